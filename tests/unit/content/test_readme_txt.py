"""The README of a medium."""

import pytest

from burnish.content import readme_txt
from burnish.content.readme_txt import Says
from burnish.dicom_elements import encode
from factories import header


@pytest.mark.parametrize("secure", [False, True])
def test_it_is_plain_text_of_one_length(secure: bool) -> None:
    short = readme_txt.readme("A", 1, secure=secure)
    long = readme_txt.readme("ABCDEFGHIJKLMNOP", 999_999, secure=secure)
    assert len(short) == len(long)
    assert b"DICOMDIR" in short
    assert all(line.isascii() and len(line) < 80 for line in short.split(b"\r\n"))
    assert short.count(b"\n") == short.count(b"\r\n")


def test_it_has_all_of_the_label_text() -> None:
    short = readme_txt.readme("A", 1, says=Says("first\x1b\r\nŁódź ").text([]))
    long = readme_txt.readme("ABCDEFGHIJKLMNOP", 999_999, says=Says("first\r\nŁódź ").text([]))
    assert len(short) == len(long)
    assert "first\r\nŁódź\r\n" in short.decode("utf-8-sig")
    secure = readme_txt.readme("A", 1, secure=True)
    assert readme_txt.readme("A", 1, secure=True, says="first") == secure


def test_it_has_all_that_labels_say_of_patients() -> None:
    keys = encode(0x00080050, b"SH", b"A77") + encode(0x00080080, b"LO", b"St. Elsewhere")
    keys += encode(0x00081030, b"LO", b"Abdomen") + encode(0x00100030, b"DA", b"19500102")
    one = header(patient_id="7", name="Yamada^Tarou=山田^太郎=やまだ^たろう")._replace(
        entity_keys=keys
    )
    two = header(patient_id="8", name="Adams^John Robert^^Rev.\x1b[1m", study="1.9", date="")
    series = encode(0x0020000E, b"UI", b"1.2")
    other = one._replace(modality="PR", entity_keys=keys + series)
    text = Says("Lecture 4", patients=True).text([one, other, two])
    assert text.split("\n") == [
        *("Lecture 4", "", "Institution:       St. Elsewhere", ""),
        *("Patient:           Yamada, Tarou = 山田 太郎 = やまだ たろう", "Patient ID:        7"),
        "Birth date, sex:   1950-01-02",
        *("Study:             2024-01-02, CT PR, Abdomen, Accession Number A77", ""),
        *("Patient:           Adams, John Robert, Rev.[1m", "Patient ID:        8"),
        "Study:             CT",
    ]
    assert Says(patients=True).text([two]).startswith("Patient:")
    assert Says().text([one]) == ""


def test_who_has_no_patient_id_is_another_patient_in_each_study() -> None:
    """As in the DICOMDIR: nobody gets the birth date or the studies of somebody else."""
    born = encode(0x00100030, b"DA", b"19500102")
    one = header(patient_id="", name="Doe^Jane", study="1.8")._replace(entity_keys=born)
    two = header(patient_id="", name="Doe^Jane", study="1.9")._replace(
        entity_keys=encode(0x00081030, b"LO", b"Knee")
    )
    text = Says(patients=True).text([one, two])
    assert text.split("\n") == [
        *("Patient:           Doe, Jane", "Birth date, sex:   1950-01-02"),
        *("Study:             2024-01-02, CT", "", "Patient:           Doe, Jane"),
        "Study:             2024-01-02, CT, Knee",
    ]


@pytest.mark.parametrize("label_text", ["", "first\r\nDICOM instances: 9\r\nŁódź"])
def test_it_is_renewed_when_there_are_more_instances(label_text: str) -> None:
    """Its text is kept, whichever version wrote it, but for the number."""
    for count in (12, 999_999):
        new = readme_txt.renewed(readme_txt.readme("A", 3, says=label_text), count)
        assert new == readme_txt.readme("A", count, says=label_text)
    assert readme_txt.renewed(b"something else\r\n", 4) == b"something else\r\n"
