"""README.TXT."""

import pytest

from burnish.content import readme_txt
from burnish.content.content_terms import ContentTerms, Site
from burnish.content.languages import LANGUAGES, catalogue
from burnish.content.readme_txt import ReadmeDetails
from burnish.dicom_elements import encode
from burnish.vocabulary import IncludeNonDICOMObjects
from factories import header


@pytest.mark.parametrize("secure", [False, True])
def test_readme_is_plain_text_of_one_length(secure: bool) -> None:
    short = readme_txt.build_readme("A", 1, secure=secure)
    long = readme_txt.build_readme("ABCDEFGHIJKLMNOP", 999_999, secure=secure)
    assert len(short) == len(long)
    assert b"DICOMDIR" in short
    for line in short.split(b"\r\n"):
        assert line.isascii(), line
        assert len(line) < 80, line
    assert short.count(b"\n") == short.count(b"\r\n")


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_readme_names_the_profiles_and_which_volume_it_is(language: str) -> None:
    terms = ContentTerms(IncludeNonDICOMObjects.FOR_PATIENT, language=language)
    readmes = [
        readme_txt.build_readme(
            "A", 1, volume=volume, profiles="STD-GEN-CD+STD-XABC-CD", content=terms
        )
        for volume in ((2, 3), (12_345, 99_999))
    ]
    assert len(readmes[0]) == len(readmes[1])
    lines = [line.rstrip() for line in readmes[0].decode("utf-8-sig").splitlines()]
    title = catalogue(language).text("readme.profile")
    assert f"{title:<19}STD-GEN-CD, STD-XABC-CD" in lines
    assert catalogue(language).text("pages.volume", number=2, count=3) in lines


def test_readme_has_the_complete_label_text() -> None:
    short = readme_txt.build_readme("A", 1, details=ReadmeDetails("first\x1b\r\nŁódź ").text([]))
    long = readme_txt.build_readme(
        "ABCDEFGHIJKLMNOP", 999_999, details=ReadmeDetails("first\r\nŁódź ").text([])
    )
    assert len(short) == len(long)
    assert "first\r\nŁódź\r\n" in short.decode("utf-8-sig")
    secure = readme_txt.build_readme("A", 1, secure=True)
    assert readme_txt.build_readme("A", 1, secure=True, details="first") == secure


def test_readme_lists_institutions_patients_and_studies() -> None:
    keys = encode(0x00080050, b"SH", b"A77") + encode(0x00080080, b"LO", b"St. Elsewhere")
    keys += encode(0x00081030, b"LO", b"Abdomen") + encode(0x00100030, b"DA", b"19500102")
    japanese = header(patient_id="7", name="Yamada^Tarou=山田^太郎=やまだ^たろう")._replace(
        entity_keys=keys
    )
    other_patient = header(
        patient_id="8", name="Adams^John Robert^^Rev.\x1b[1m", study="1.9", date=""
    )
    series = encode(0x0020000E, b"UI", b"1.2")
    presentation_state = japanese._replace(modality="PR", entity_keys=keys + series)
    text = ReadmeDetails("Lecture 4", patients=True).text(
        [japanese, presentation_state, other_patient]
    )
    assert text.split("\n") == [
        *("Lecture 4", "", "Institution:       St. Elsewhere", ""),
        *("Patient:           Yamada, Tarou = 山田 太郎 = やまだ たろう", "Patient ID:        7"),
        "Birth date, sex:   1950-01-02",
        *("Study:             2024-01-02, CT PR, Abdomen, Accession Number A77", ""),
        *("Patient:           Adams, John Robert, Rev.[1m", "Patient ID:        8"),
        "Study:             CT",
    ]
    assert ReadmeDetails(patients=True).text([other_patient]).startswith("Patient:")
    assert ReadmeDetails().text([japanese]) == ""


def test_without_patient_id_each_study_has_a_patient_of_its_own() -> None:
    """As in the DICOMDIR: no patient gets the birth date or the studies of another."""
    born = encode(0x00100030, b"DA", b"19500102")
    first = header(patient_id="", name="Doe^Jane", study="1.8")._replace(entity_keys=born)
    second = header(patient_id="", name="Doe^Jane", study="1.9")._replace(
        entity_keys=encode(0x00081030, b"LO", b"Knee")
    )
    text = ReadmeDetails(patients=True).text([first, second])
    assert text.split("\n") == [
        *("Patient:           Doe, Jane", "Birth date, sex:   1950-01-02"),
        *("Study:             2024-01-02, CT", "", "Patient:           Doe, Jane"),
        "Study:             2024-01-02, CT, Knee",
    ]


@pytest.mark.parametrize("label_text", ["", "first\r\nDICOM instances: 9\r\nŁódź"])
def test_the_number_of_instances_is_updated(label_text: str) -> None:
    """Everything but the number is kept, whichever version of Burnish wrote the file."""
    for count in (12, 999_999):
        new = readme_txt.with_instance_count(
            readme_txt.build_readme("A", 3, details=label_text), count
        )
        assert new == readme_txt.build_readme("A", count, details=label_text)
    assert readme_txt.with_instance_count(b"something else\r\n", 4) == b"something else\r\n"


def test_a_secure_medium_says_that_there_are_remarks_and_not_which() -> None:
    remark = "Study Instance UID 1.2.3 belongs to 2 Patient IDs."
    readme = readme_txt.build_readme("A", 1, secure=True, remarks=[remark])
    assert b"There are remarks on what this medium holds" in readme
    assert b"1.2.3" not in readme
    assert readme == readme_txt.build_readme("A", 1, secure=True, remarks=["another", "one"])


def test_readme_names_the_institution_of_the_instances_where_the_settings_name_none() -> None:
    def readme(institutions: list[str], **terms: object) -> str:
        site = Site(institution=str(terms.pop("institution", "")), contact="telephone 77")
        audience = IncludeNonDICOMObjects(terms.pop("audience", "FOR_PATIENT"))
        content = ContentTerms(audience, site=site)
        data = readme_txt.build_readme(
            "A", 1, content=content, institutions=institutions, secure=bool(terms)
        )
        return data.decode("utf-8-sig")

    assert "Klinik Łódź" in readme(["Klinik Łódź"])
    assert "Klinik Łódź" not in readme(["Klinik Łódź"], institution="St. Example")
    for names, institution in ((["Klinik Łódź"], ""), ([], "Klinik Łódź")):
        for_teaching = readme(names, institution=institution, audience="FOR_TEACHING")
        assert "DO identify the patient" in " ".join(for_teaching.split())
        assert "Klinik Łódź" not in for_teaching
        assert "telephone 77" not in for_teaching
        assert "telephone 77" in readme(names, institution=institution)
    assert "Klinik Łódź" not in readme(["Klinik Łódź"], secure=True)
    assert "Klinik Łódź" not in readme(["Klinik Łódź", "B", "C"])


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_headings_and_how_to_decrypt_are_in_the_language_of_the_medium(language: str) -> None:
    content = ContentTerms(IncludeNonDICOMObjects.FOR_PATIENT, language=language)
    patient = header(name="Doe^Jane", patient_id="7")._replace(
        entity_keys=encode(0x00080080, b"LO", b"St. Elsewhere")
    )
    details = ReadmeDetails("Lecture 4", patients=True).text([patient], content)
    assert len(details.split("\n")) == 7
    plain, secure = (
        readme_txt.build_readme(
            "A", 1, secure=is_secure, details=details, remarks=["Look."], content=content
        ).decode("utf-8-sig")
        for is_secure in (False, True)
    )
    assert details in plain.replace("\r\n", "\n")
    assert "openssl cms -decrypt" in secure
    for english in (
        "PLEASE NOTE",
        "WHAT IS ON THE LABEL",
        "Patient ID:",
        "are encrypted",
        "Ask the",
    ):
        assert english not in plain
        assert english not in secure
