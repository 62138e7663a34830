"""The keys of directory records are compared with the files that they lead to."""

from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from burnish.dicom_elements import encode
from burnish.errors import Conflict
from burnish.image.reader import open_volume
from burnish.offline.disc_label import label_content
from burnish.verify import FaultCode, examine_volume
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from made_volume import SECONDARY_CAPTURE, MemoryVolume, SampleVolume, file_meta, instance

#: Tag, VR and value of the attributes of a file that are keys of its records.
KEYS = {
    0x00080020: (b"DA", b"20240101"),
    0x00080030: (b"TM", b"120000"),
    0x00080050: (b"SH", b"A1"),
    0x00080060: (b"CS", b"OT"),
    0x00081030: (b"LO", b"Knee"),
    0x00100010: (b"PN", b"Doe^J"),
    0x00100020: (b"LO", b"P1"),
    0x0020000D: (b"UI", b"1.2.7.1"),
    0x0020000E: (b"UI", b"1.2.8.1"),
    0x00200010: (b"SH", b"1"),
    0x00200011: (b"IS", b"1"),
    0x00200013: (b"IS", b"0"),
}
#: The record that has each key: its place below the root.
PLACES = {
    **dict.fromkeys((0x00100010, 0x00100020), (0,)),
    **dict.fromkeys(
        (0x00080020, 0x00080030, 0x00080050, 0x00081030, 0x0020000D, 0x00200010), (0, 0)
    ),
    **dict.fromkeys((0x00080060, 0x0020000E, 0x00200011), (0, 0, 0)),
    0x00200013: (0, 0, 0, 0),
}
IDENTIFYING = {0x00100010, 0x00100020, 0x0020000D, 0x0020000E}
NAME = "DICOM\\I0"


def volume(
    in_file: dict[int, bytes] | None = None, in_record: dict[int, bytes] | None = None
) -> MemoryVolume:
    """A volume whose first file has the KEYS, as its records have, apart from what is given."""
    sample = SampleVolume()
    values = {tag: value for tag, (_, value) in KEYS.items()} | (in_file or {})
    for tag, place in PLACES.items():
        vr, value = KEYS[tag]
        sample.at(*place).set(tag, vr, (in_record or {}).get(tag, value))
    data_set = {
        0x00080005: (b"CS", values.get(0x00080005, b"")),
        0x00080016: (b"UI", SECONDARY_CAPTURE.encode()),
        0x00080018: (b"UI", b"1.2.9.0"),
        **{tag: (vr, values[tag]) for tag, (vr, _) in KEYS.items()},
        0x00280002: (b"US", b"\1\0"),
        0x00280004: (b"CS", b"MONOCHROME2"),
        0x00280010: (b"US", b"\4\0"),
        0x00280011: (b"US", b"\4\0"),
        0x00280100: (b"US", b"\x08\0"),
        0x00280101: (b"US", b"\x08\0"),
        0x00280102: (b"US", b"\7\0"),
        0x00280103: (b"US", b"\0\0"),
        0x7FE00010: (b"OW", bytes(16)),
    }
    content = b"".join(encode(tag, *data_set[tag]) for tag in sorted(data_set))
    meta = file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN)
    sample.files[NAME] = meta + content
    for number in (1, 2):  # the other files of the same patient
        sample.files[f"DICOM\\I{number}"] = instance(f"1.2.9.{number}", patient_id=b"P1")
    return sample.volume()


def differences(given: MemoryVolume) -> tuple[list[str], list[str]]:
    """The messages of faults and of notes about keys."""
    report = examine_volume(given)
    faults = [fault for fault in report.faults if fault.code == FaultCode.KEY_DIFFERS]
    assert all(note.code == FaultCode.KEY_DIFFERS for note in report.notes)
    return [fault.message for fault in faults], [note.message for note in report.notes]


def test_records_that_agree_with_their_files_have_no_fault_and_no_note() -> None:
    assert differences(volume()) == ([], [])


@pytest.mark.parametrize("tag", KEYS, ids=lambda tag: f"{tag:08X}")
def test_each_key_that_differs_is_named(tag: int) -> None:
    other = {b"DA": b"19990102", b"TM": b"010203", b"UI": b"1.2.99", b"IS": b"77"}
    value = other.get(KEYS[tag][0], b"OTHER")
    faults, notes = differences(volume(in_record={tag: value}))
    expected, unexpected = (faults, notes) if tag in IDENTIFYING else (notes, faults)
    assert unexpected == []
    (message,) = [text for text in expected if NAME in text]
    assert f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in message
    assert value.decode() in message
    assert KEYS[tag][1].decode() in message


def test_an_empty_name_in_a_record_differs_from_that_of_the_file() -> None:
    faults, _ = differences(volume(in_record={0x00100010: b""}))
    (message,) = [text for text in faults if NAME in text]
    assert "is empty" in message


@pytest.mark.parametrize(
    ("tag", "in_file", "in_record"),
    [
        (0x00100010, b"DOE^J", b"Doe^J"),
        (0x00100010, b"Doe^J^^^ ", b"Doe^J"),
        (0x00100020, b" P1 ", b"P1"),
        (0x00080020, b"2024.01.01", b"20240101"),
        (0x00080020, b"", b"19000101"),
        (0x00080030, b"12:00:00", b"120000"),
        (0x00080030, b"1200", b"120000"),
        (0x00200011, b"+01 ", b"1"),
        (0x00080060, b"", b"OT"),
    ],
)
def test_what_only_looks_different_is_no_difference(
    tag: int, in_file: bytes, in_record: bytes
) -> None:
    assert differences(volume({tag: in_file}, {tag: in_record})) == ([], [])


def test_a_patient_id_that_says_that_it_stands_in_is_not_noted() -> None:
    faults, notes = differences(volume({0x00100020: b""}, {0x00100020: b"UNKNOWN-12"}))
    assert [text for text in (*faults, *notes) if NAME in text] == []


@pytest.mark.parametrize(("tag", "value"), [(0x00100010, b"Some^One"), (0x00100020, b"PZ")])
def test_a_record_that_names_the_patient_of_a_file_that_does_not_is_noted(
    tag: int, value: bytes
) -> None:
    faults, notes = differences(volume({tag: b""}, {tag: value}))
    assert [text for text in faults if NAME in text] == []
    (message,) = [text for text in notes if NAME in text]
    assert value.decode() in message
    assert message.endswith("has none")


def with_further_keys(
    in_record: dict[int, tuple[bytes, bytes]], in_file: dict[int, tuple[bytes, bytes]]
) -> MemoryVolume:
    """A volume whose first file and its IMAGE record have further elements."""
    sample = SampleVolume()
    for tag, (vr, value) in in_record.items():
        sample.at(0, 0, 0, 0).set(tag, vr, value)
    elements = {tag: (vr, KEYS[tag][1]) for tag, (vr, _) in KEYS.items()} | in_file
    elements |= {0x00080016: (b"UI", SECONDARY_CAPTURE.encode()), 0x00080018: (b"UI", b"1.2.9.0")}
    content = b"".join(encode(tag, *elements[tag]) for tag in sorted(elements))
    meta = file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN)
    sample.files[NAME] = meta + content
    return sample.volume()


def further_notes(
    in_record: dict[int, tuple[bytes, bytes]], in_file: dict[int, tuple[bytes, bytes]]
) -> list[str]:
    report = examine_volume(with_further_keys(in_record, in_file))
    return [
        note.message
        for note in report.notes
        if note.code == FaultCode.KEY_DIFFERS and "(IMAGE)" in note.where
    ]


def test_a_further_key_that_differs_is_noted() -> None:
    comments, exposure = 0x00204000, 0x00181152
    record = {comments: (b"LT", b"left"), exposure: (b"IS", b"7")}
    assert further_notes(record, {comments: (b"LT", b"left"), exposure: (b"IS", b"07")}) == []
    (note,) = further_notes(record, {comments: (b"LT", b"right"), exposure: (b"IS", b"7")})
    assert note.startswith("its Image Comments (0020,4000) is 'left'; that of the file")


def test_a_further_key_that_is_no_text_is_compared() -> None:
    time = 0x00189073
    record = {time: (b"FD", bytes(8))}
    assert further_notes(record, {time: (b"FD", bytes(8))}) == []
    (note,) = further_notes(record, {time: (b"FD", b"\1" + bytes(7))})
    assert "is 00 00 00 00 00 00 00 00; that of the file" in note


def test_a_private_key_is_compared_with_that_of_its_creator_in_the_file() -> None:
    record = {0x00210010: (b"LO", b"ACME"), 0x00211001: (b"LO", b"left")}
    file = {
        0x00210010: (b"LO", b"OTHER"),
        0x00210012: (b"LO", b"ACME"),
        0x00211001: (b"LO", b"not this"),
        0x00211201: (b"LO", b"left"),
    }
    assert further_notes(record, file) == []
    (note,) = further_notes(record, file | {0x00211201: (b"LO", b"right")})
    assert "'left'" in note
    assert "'right'" in note
    assert further_notes(record, {0x00210010: (b"LO", b"OTHER"), 0x00211001: (b"LO", b"x")}) == []


def test_one_name_in_two_character_sets_is_no_difference() -> None:
    in_utf8 = {0x00080005: b"ISO_IR 192", 0x00100010: "Müller^Jörg".encode()}
    sample = volume(in_utf8, {0x00100010: "Müller^Jörg".encode("latin-1")})
    # the record is in Latin-1, which is guessed without a Specific Character Set
    assert [text for text in differences(sample)[0] if NAME in text] == []


def test_other_writers_copy_the_keys() -> None:
    directory = Path(str(get_testdata_file("DICOMDIR"))).parent
    with open_volume(directory) as opened:
        report = examine_volume(opened)
    assert [fault for fault in report.faults if fault.code == FaultCode.KEY_DIFFERS] == []


def _write(target: Path, sample: MemoryVolume) -> Path:
    for name, data in sample.contents.items():
        path = target.joinpath(*name.split("\\"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return target


def test_a_label_is_made_only_if_records_and_files_agree(tmp_path: Path) -> None:
    assert label_content(_write(tmp_path / "good", volume())).patients[0].patient_id == "P1"
    with pytest.raises(Conflict, match="disagree in 3 places"):
        label_content(_write(tmp_path / "bad", volume(in_record={0x00100020: b"PZ"})))
