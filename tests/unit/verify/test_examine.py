"""Any volume is examined: every kind of defect, and the codes of its faults."""

import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from burnish.application_profiles import PROFILES
from burnish.dicom_elements import encode, scan
from burnish.verify import FaultCode, examine_volume
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    MEDIA_STORAGE_DIRECTORY_STORAGE,
)
from factories import encapsulated
from made_codestreams import jpeg_2000
from made_volume import (
    FILE_SET_UID,
    SECONDARY_CAPTURE,
    MemoryVolume,
    Node,
    SampleVolume,
    file_meta,
    instance,
    leaf,
    series,
)

META_LENGTH = len(file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN))
NONE = (0).to_bytes(4, "little")
NOWHERE = (7).to_bytes(4, "little")


def test_a_volume_without_defects_has_no_fault() -> None:
    report = examine_volume(SampleVolume().volume(), PROFILES["STD-GEN-CD"])
    assert report.faults == ()
    assert report.good
    assert report.instances == 4
    assert report.files == 5
    assert report.file_set_uid == FILE_SET_UID
    assert report.volume_identifier == "TEST"
    assert report.bytes_read > 0


def test_other_tools_accept_the_volume_without_defects(tmp_path: Path) -> None:
    for name, data in SampleVolume().volume().contents.items():
        path = tmp_path / name.replace("\\", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    for tool in ("dciodvfy", "dcdirdmp"):
        done = subprocess.run([tool, tmp_path / "DICOMDIR"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert b"Error" not in done.stderr


def _set(tag: int, vr: bytes, value: bytes | str, *path: int) -> Callable[[SampleVolume], None]:
    return lambda sample: sample.at(*path).set(tag, vr, value)


def _delete(tag: int, *path: int) -> Callable[[SampleVolume], None]:
    return lambda sample: sample.at(*path).elements.pop(tag) and None


def _header(tag: int, vr: bytes, value: bytes) -> Callable[[SampleVolume], None]:
    return lambda sample: sample.header.update({tag: (vr, value)})


def _file(name: str, data: bytes | None) -> Callable[[SampleVolume], None]:
    def change(sample: SampleVolume) -> None:
        if data is None:
            del sample.files[name]
        else:
            sample.files[name] = data

    return change


def _cut(name: str, length: int) -> Callable[[SampleVolume], None]:
    return lambda sample: sample.files.update({name: sample.files[name][:length]})


def _loop(sample: SampleVolume) -> None:
    sample.dicomdir()
    sample.at(1).set(0x00041400, b"UL", sample.at(0).offset.to_bytes(4, "little"))


def _loop_downwards(sample: SampleVolume) -> None:
    sample.dicomdir()
    sample.at(0, 0, 0, 0).set(0x00041420, b"UL", sample.at(0).offset.to_bytes(4, "little"))


def _implicit(sample: SampleVolume) -> None:
    sample.explicit, sample.transfer_syntax = False, IMPLICIT_VR_LITTLE_ENDIAN


def _move_patient_below_series(sample: SampleVolume) -> None:
    sample.at(0, 0, 0).below.append(sample.root.pop())


def _duplicate_instance(sample: SampleVolume) -> None:
    sample.at(1, 0, 0, 0).set(0x00041511, b"UI", "1.2.9.0")
    sample.files["DICOM\\I3"] = sample.files["DICOM\\I0"]


def _retarget(file_id: str) -> Callable[[SampleVolume], None]:
    def change(sample: SampleVolume) -> None:
        sample.at(0, 0, 0, 0).set(0x00041500, b"CS", file_id)
        sample.files[file_id] = sample.files.pop("DICOM\\I0")

    return change


IMAGE = (0, 0, 0, 0)

#: The change to a good volume, and the codes of exactly the faults that it causes.
DEFECTS: dict[str, tuple[Callable[[SampleVolume], None], set[FaultCode]]] = {
    "type 1 key missing, patient": (_delete(0x00100020, 0), {FaultCode.KEY_MISSING}),
    "type 1 key empty, patient": (_set(0x00100020, b"LO", "", 0), {FaultCode.KEY_EMPTY}),
    "type 1 key blank, patient": (_set(0x00100020, b"LO", "  ", 0), {FaultCode.KEY_EMPTY}),
    "type 2 key missing, patient": (_delete(0x00100010, 0), {FaultCode.KEY_MISSING}),
    "type 1 key missing, study": (_delete(0x00080020, 0, 0), {FaultCode.KEY_MISSING}),
    "type 1 key empty, study": (_set(0x00200010, b"SH", "", 0, 0), {FaultCode.KEY_EMPTY}),
    "type 2 key missing, study": (_delete(0x00080050, 0, 0), {FaultCode.KEY_MISSING}),
    "type 1 key missing, series": (_delete(0x00080060, 0, 0, 0), {FaultCode.KEY_MISSING}),
    "type 1 key empty, series": (_set(0x00200011, b"IS", "", 0, 0, 0), {FaultCode.KEY_EMPTY}),
    "type 1 key missing, image": (_delete(0x00200013, *IMAGE), {FaultCode.KEY_MISSING}),
    "referenced transfer syntax missing": (
        _delete(0x00041512, *IMAGE),
        {FaultCode.KEY_MISSING},
    ),
    "referenced sop class empty": (
        _set(0x00041510, b"UI", "", *IMAGE),
        {FaultCode.KEY_EMPTY},
    ),
    "next offset bad": (
        _set(0x00041400, b"UL", NOWHERE, *IMAGE),
        {FaultCode.RECORD_OFFSET_WRONG, FaultCode.RECORD_ORPHANED},
    ),
    "lower offset bad": (
        _set(0x00041420, b"UL", NOWHERE, 0, 0),
        {FaultCode.RECORD_OFFSET_WRONG, FaultCode.RECORD_ORPHANED},
    ),
    "first offset bad": (
        _header(0x00041200, b"UL", NOWHERE),
        {
            FaultCode.FIRST_RECORD_OFFSET_WRONG,
            FaultCode.RECORD_ORPHANED,
            FaultCode.LAST_RECORD_OFFSET_WRONG,
        },
    ),
    "first offset 0": (
        _header(0x00041200, b"UL", NONE),
        {
            FaultCode.DICOMDIR_EMPTY,
            FaultCode.RECORD_ORPHANED,
            FaultCode.LAST_RECORD_OFFSET_WRONG,
        },
    ),
    "lower offset 0": (
        _set(0x00041420, b"UL", NONE, 0, 0),
        {FaultCode.RECORD_ORPHANED, FaultCode.RECORD_CHILDLESS},
    ),
    "last offset wrong": (
        _header(0x00041202, b"UL", NOWHERE),
        {FaultCode.LAST_RECORD_OFFSET_WRONG},
    ),
    "loop": (_loop, {FaultCode.RECORD_LOOP}),
    "loop downwards": (_loop_downwards, {FaultCode.RECORD_LOOP}),
    "consistency flag": (_header(0x00041212, b"US", b"\xff\xff"), {FaultCode.CONSISTENCY_FLAG}),
    "in-use flag": (_set(0x00041410, b"US", b"\0\0", *IMAGE), {FaultCode.RECORD_IN_USE_FLAG}),
    "file id lower case": (
        _set(0x00041500, b"CS", "DICOM\\i0", *IMAGE),
        {FaultCode.FILE_ID_CHARACTERS},
    ),
    "file id with extension": (
        _retarget("DICOM\\I0.DCM"),
        {FaultCode.FILE_ID_CHARACTERS},
    ),
    "file id component long": (
        _retarget("DICOM\\I23456789"),
        {FaultCode.FILE_ID_COMPONENT_LENGTH, FaultCode.FILE_NAME_INVALID},
    ),
    "file id components": (
        _retarget("1\\2\\3\\4\\5\\6\\7\\8\\9"),
        {FaultCode.FILE_ID_COMPONENTS, FaultCode.FILE_NAME_INVALID},
    ),
    "file missing": (_file("DICOM\\I0", None), {FaultCode.FILE_MISSING}),
    "referenced sop instance wrong": (
        _set(0x00041511, b"UI", "1.2.9.9", *IMAGE),
        {FaultCode.REFERENCED_SOP_INSTANCE_WRONG},
    ),
    "referenced sop class wrong": (
        _set(0x00041510, b"UI", "1.2.840.10008.5.1.4.1.1.2", *IMAGE),
        {FaultCode.REFERENCED_SOP_CLASS_WRONG},
    ),
    "referenced transfer syntax wrong": (
        _set(0x00041512, b"UI", IMPLICIT_VR_LITTLE_ENDIAN, *IMAGE),
        {FaultCode.REFERENCED_TRANSFER_SYNTAX_WRONG},
    ),
    "file-set id long": (
        _header(0x00041130, b"CS", b"A" * 17),
        {FaultCode.FILE_SET_ID_INVALID, FaultCode.VOLUME_IDENTIFIER_WRONG},
    ),
    "file-set id characters": (
        _header(0x00041130, b"CS", b"A-B"),
        {FaultCode.FILE_SET_ID_INVALID, FaultCode.VOLUME_IDENTIFIER_WRONG},
    ),
    "volume identifier": (
        lambda sample: setattr(sample, "volume_identifier", "OTHER"),
        {FaultCode.VOLUME_IDENTIFIER_WRONG},
    ),
    "record type unknown": (
        _set(0x00041430, b"CS", "PICTURE", *IMAGE),
        {FaultCode.RECORD_TYPE_UNKNOWN},
    ),
    "record type retired": (
        _set(0x00041430, b"CS", "OVERLAY", *IMAGE),
        {FaultCode.RECORD_TYPE_UNKNOWN},
    ),
    "record type of another sop class": (
        _set(0x00041430, b"CS", "STEREOMETRIC", *IMAGE),
        {FaultCode.RECORD_TYPE_WRONG},
    ),
    "patient below series": (_move_patient_below_series, {FaultCode.RECORD_MISPLACED}),
    "image in the root": (
        lambda sample: sample.root.append(sample.at(0, 0, 1).below.pop()),
        {FaultCode.RECORD_MISPLACED, FaultCode.RECORD_CHILDLESS},
    ),
    "image without file": (
        _delete(0x00041500, *IMAGE),
        {FaultCode.RECORD_WITHOUT_FILE, FaultCode.FILE_UNREFERENCED},
    ),
    "duplicate patient": (
        _set(0x00100020, b"LO", "UNKNOWN-1 ", 1),
        {FaultCode.DUPLICATE_PATIENT_ID},
    ),
    "duplicate study": (_set(0x0020000D, b"UI", "1.2.7.1", 1, 0), {FaultCode.DUPLICATE_STUDY}),
    "duplicate series": (
        _set(0x0020000E, b"UI", "1.2.8.1", 1, 0, 0),
        {FaultCode.DUPLICATE_SERIES},
    ),
    "duplicate instance": (_duplicate_instance, {FaultCode.DUPLICATE_INSTANCE}),
    "duplicate file reference": (
        lambda sample: sample.at(0, 0, 0).below.append(
            Node({**leaf(0, "DICOM\\I0").elements, 0x00041511: (b"UI", b"1.2.9.8")})
        ),
        {FaultCode.DUPLICATE_FILE_REFERENCE},
    ),
    "implicit vr dicomdir": (_implicit, {FaultCode.DICOMDIR_TRANSFER_SYNTAX}),
    "implicit vr dicomdir, said to be explicit": (
        lambda sample: setattr(sample, "explicit", False),
        {FaultCode.DICOMDIR_TRANSFER_SYNTAX},
    ),
    "big endian dicomdir": (
        lambda sample: setattr(sample, "transfer_syntax", EXPLICIT_VR_BIG_ENDIAN),
        {
            FaultCode.DICOMDIR_TRANSFER_SYNTAX,
            FaultCode.DICOMDIR_UNREADABLE,
            FaultCode.VOLUME_IDENTIFIER_WRONG,
            FaultCode.FILE_UNREFERENCED,
        },
    ),
    "character set missing": (
        _set(0x00100010, b"PN", "Müller".encode("latin-1"), 0),
        {FaultCode.CHARACTER_SET_MISSING, FaultCode.KEY_DIFFERS},
    ),
    "file unreferenced": (
        _file("EXTRA", instance("1.2.9.7")),
        {FaultCode.FILE_UNREFERENCED},
    ),
    "file cut in its data set": (_cut("DICOM\\I0", -1), {FaultCode.FILE_TRUNCATED}),
    "file cut in its meta": (_cut("DICOM\\I0", 200), {FaultCode.FILE_TRUNCATED}),
    "file that is its meta alone": (
        _file("DICOM\\I0", file_meta("1.2", "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN)),
        {FaultCode.FILE_TRUNCATED},
    ),
    "file cut to nothing": (_cut("DICOM\\I0", 0), {FaultCode.FILE_NOT_DICOM}),
    "file of rubbish": (
        _file("DICOM\\I0", instance("1.2.9.0")[:META_LENGTH] + b"\x08\0\x77\0??" + bytes(99)),
        {FaultCode.FILE_UNREADABLE},
    ),
    "file of other content": (_file("DICOM\\I0", b"text"), {FaultCode.FILE_NOT_DICOM}),
    "file meta of another instance": (
        _file(
            "DICOM\\I0",
            file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN)
            + instance("1.2.9.5")[META_LENGTH:],
        ),
        {FaultCode.FILE_META_WRONG},
    ),
    "file name": (
        _file("readme.txt", b"text"),
        {FaultCode.FILE_NAME_INVALID},
    ),
    "second dicomdir": (
        _file("DICOM\\DICOMDIR", SampleVolume().dicomdir()),
        {FaultCode.DICOMDIR_MISPLACED},
    ),
    "private record without uid": (
        lambda sample: sample.at(0, 0, 0).below.append(Node({0x00041430: (b"CS", b"PRIVATE")})),
        {FaultCode.KEY_MISSING},
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_has_its_faults(defect: str) -> None:
    change, codes = DEFECTS[defect]
    sample = SampleVolume()
    change(sample)
    report = examine_volume(sample.volume())
    assert {fault.code for fault in report.faults} == codes
    assert all(fault.message for fault in report.faults)
    for fault in report.faults:
        # only what a record says against its file can be told with a name alone
        assert fault.code == FaultCode.KEY_DIFFERS or "Doe" not in fault.message
        assert "Doe" not in fault.where


def test_a_volume_without_a_dicomdir_has_faults() -> None:
    report = examine_volume(MemoryVolume(SampleVolume().files))
    assert report.faults[0].code == FaultCode.DICOMDIR_ABSENT
    assert {fault.code for fault in report.faults[1:]} == {FaultCode.FILE_UNREFERENCED}


def test_a_dicomdir_that_lies_in_a_folder_is_told_as_such() -> None:
    files = SampleVolume().volume().contents
    volume = MemoryVolume({f"CD1\\{name}": content for name, content in files.items()})
    faults = {fault.code: fault for fault in examine_volume(volume).faults}
    assert FaultCode.DICOMDIR_ABSENT in faults
    misplaced = faults[FaultCode.DICOMDIR_MISPLACED]
    assert misplaced.where == "CD1\\DICOMDIR"
    assert "verify its folder alone" in misplaced.message


def test_a_disc_that_is_mounted_in_lower_case_has_no_fault() -> None:
    """Linux shows the names of a plain ISO 9660 volume in this way."""
    volume = SampleVolume().volume()
    volume.contents = {name.lower(): data for name, data in volume.contents.items()}
    assert examine_volume(volume).faults == ()


def test_some_files_in_lower_case_are_read_but_are_a_fault() -> None:
    volume = SampleVolume().volume()
    volume.contents = {
        name.lower() if name != "DICOMDIR" else name: data for name, data in volume.contents.items()
    }
    assert {fault.code for fault in examine_volume(volume).faults} == {FaultCode.FILE_NAME_INVALID}


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes(128) + b"DICM", bytes(500)])
def test_a_dicomdir_that_is_not_dicom_is_unreadable(content: bytes) -> None:
    report = examine_volume(MemoryVolume({"DICOMDIR": content}, ""))
    assert {fault.code for fault in report.faults} == {FaultCode.DICOMDIR_UNREADABLE}


def test_a_dicomdir_truncated_anywhere_is_unreadable() -> None:
    volume = SampleVolume().volume()
    dicomdir = volume.contents["DICOMDIR"]
    for length in range(0, len(dicomdir), 37):
        volume.contents["DICOMDIR"] = dicomdir[:length]
        codes = {fault.code for fault in examine_volume(volume).faults}
        assert FaultCode.DICOMDIR_UNREADABLE in codes


def test_a_dicomdir_of_another_sop_class_is_a_fault() -> None:
    sample = SampleVolume()
    dicomdir = sample.dicomdir().replace(
        MEDIA_STORAGE_DIRECTORY_STORAGE.encode(), b"1.2.840.10008.1.3.99"
    )
    faults = examine_volume(MemoryVolume({"DICOMDIR": dicomdir, **sample.files})).faults
    assert [fault.code for fault in faults] == [FaultCode.DICOMDIR_SOP_CLASS]


def test_incomplete_file_meta_information_is_a_fault() -> None:
    sample = SampleVolume()
    data = sample.files["DICOM\\I0"]
    sample.files["DICOM\\I0"] = data.replace(b"\x02\0\x12\0UI\x06\x001.2.3\0", b"")
    report = examine_volume(sample.volume())
    group_length_fault, fault = report.faults
    assert group_length_fault.code == FaultCode.FILE_META_WRONG
    assert fault.code == FaultCode.FILE_META_INCOMPLETE
    assert "(0002,0012)" in fault.message


def test_a_transfer_syntax_that_the_profile_does_not_permit_is_a_fault() -> None:
    sample = SampleVolume()
    native = encode(0x7FE00010, b"OW", bytes(range(256)))
    frame = encapsulated(jpeg_2000(16, 16))
    compressed = instance("1.2.9.0", JPEG_2000).replace(native, frame)
    sample.files["DICOM\\I0"] = compressed
    sample.at(*IMAGE).set(0x00041512, b"UI", JPEG_2000)
    assert examine_volume(sample.volume()).good
    for profile in ("STD-GEN-CD", "STD-GEN-DVD-JPEG"):
        codes = {fault.code for fault in examine_volume(sample.volume(), PROFILES[profile]).faults}
        assert FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE in codes
    report = examine_volume(sample.volume(), PROFILES["STD-GEN-DVD-J2K"])
    assert FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE not in {fault.code for fault in report.faults}


def test_a_missing_key_that_the_profile_requires_is_a_fault() -> None:
    sample = SampleVolume()
    sample.files["DICOM\\I0"] = instance("1.2.9.0", image_type=b"DERIVED\\SECONDARY")
    assert examine_volume(sample.volume()).good
    faults = examine_volume(sample.volume(), PROFILES["STD-GEN-CD"]).faults
    assert [fault.code for fault in faults] == [FaultCode.PROFILE_KEY_MISSING]
    assert "(0008,0008)" in faults[0].message
    faults = examine_volume(sample.volume(), PROFILES["STD-GEN-DVD-JPEG"]).faults
    assert {fault.code for fault in faults} == {FaultCode.PROFILE_KEY_MISSING}
    assert len(faults) == 1 + 4 * len(("Rows", "Columns"))


def deflated(data_set: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data_set) + deflater.flush()


def big_endian(data_set: bytes) -> bytes:
    """A data set of Explicit VR Little Endian in big endian."""
    parts = []
    for element in scan(data_set, 0, len(data_set), explicit=True):
        head = struct.pack(">HH", element.tag >> 16, element.tag & 0xFFFF) + element.vr
        is_long = element.value - element.start == 12
        head += struct.pack(">HI" if is_long else ">H", *([0] * is_long), element.length)
        value = data_set[element.value : element.end]
        swapped = b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2))
        parts.append(head + (swapped if element.vr in (b"US", b"OW") else value))
    return b"".join(parts)


ENCODINGS = {
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: deflated,
    EXPLICIT_VR_BIG_ENDIAN: big_endian,
}


@pytest.mark.parametrize("transfer_syntax", ENCODINGS)
def test_deflated_and_big_endian_data_sets_are_examined(transfer_syntax: str) -> None:
    sample = SampleVolume()
    meta = file_meta(SECONDARY_CAPTURE, "1.2.9.0", transfer_syntax)
    data_set = instance("1.2.9.0")[META_LENGTH:]
    encode_data_set = ENCODINGS[transfer_syntax]
    sample.files["DICOM\\I0"] = meta + encode_data_set(data_set)
    sample.at(*IMAGE).set(0x00041512, b"UI", transfer_syntax)
    report = examine_volume(sample.volume())
    assert report.faults == ()
    assert report.notes == ()
    with_more_rows = data_set.replace(
        encode(0x00280010, b"US", b"\x10\0"), encode(0x00280010, b"US", b"\x11\0")
    )
    sample.files["DICOM\\I0"] = meta + encode_data_set(with_more_rows)
    (fault,) = examine_volume(sample.volume()).faults
    assert "has 256 bytes, where 272 are required" in fault.message
    sample.files["DICOM\\I0"] = meta + encode_data_set(data_set)[:-10]
    (fault,) = examine_volume(sample.volume()).faults
    assert fault.code == FaultCode.FILE_TRUNCATED


def test_the_faults_of_one_code_are_limited() -> None:
    sample = SampleVolume()
    sample.at(0, 0, 0).below.extend(leaf(number, "GONE") for number in range(10, 300))
    faults = examine_volume(sample.volume()).faults
    duplicates = [fault for fault in faults if fault.code == FaultCode.DUPLICATE_FILE_REFERENCE]
    assert len(duplicates) == 51
    assert duplicates[-1].message == "and 239 more of this kind"


def test_file_sets_of_other_writers_are_accepted() -> None:
    dicomdir = get_testdata_file("dicomdirtests/DICOMDIR")
    assert dicomdir is not None
    for name in ("DICOMDIR", "DICOMDIR-reordered"):
        data = Path(str(dicomdir)).with_name(name).read_bytes()
        codes = {
            fault.code for fault in examine_volume(MemoryVolume({"DICOMDIR": data}, "")).faults
        }
        assert codes <= {FaultCode.FILE_MISSING, FaultCode.FILE_SET_ID_INVALID}


def test_the_work_grows_with_the_number_of_records() -> None:
    calls = {count: _calls_to_examine(count) for count in (1000, 4000)}
    assert calls[4000] < 5 * calls[1000]


def _calls_to_examine(count: int) -> int:
    """How many functions an examination of a DICOMDIR of `count` images calls."""
    sample = SampleVolume()
    sample.root[0].below[0].below = [
        series(number, *(leaf(number * 1000 + i, f"S{number}\\I{i}") for i in range(count // 20)))
        for number in range(11, 31)
    ]
    sample.files.clear()
    volume = sample.volume()
    calls = 0

    def count_call(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        report = examine_volume(volume)
    finally:
        sys.setprofile(None)
    assert {fault.code for fault in report.faults} == {FaultCode.FILE_MISSING}
    return calls


def test_records_may_be_nested_3000_levels_deep() -> None:
    sample = SampleVolume()
    node = sample.at(0, 0, 0)
    for number in range(10, 3000):
        node.below.insert(0, leaf(number, f"I{number}"))
        node = node.below[0]
    codes = {fault.code for fault in examine_volume(sample.volume()).faults}
    assert FaultCode.RECORD_MISPLACED in codes


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_makes_the_examination_fail(data: st.DataObject) -> None:
    volume = SampleVolume().volume()
    name = data.draw(st.sampled_from(["DICOMDIR", "DICOM\\I0"]))
    content = bytearray(volume.contents[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    volume.contents[name] = bytes(content[: data.draw(st.integers(0, len(content)))])
    examine_volume(volume, PROFILES["STD-GEN-DVD-JPEG"])


def test_a_wrong_length_does_not_make_it_use_memory() -> None:
    sample = SampleVolume()
    meta = file_meta(SECONDARY_CAPTURE, "1.2.9.0", EXPLICIT_VR_LITTLE_ENDIAN)
    sample.files["DICOM\\I0"] = meta + b"\x08\0\x16\0UN\0\0\xfe\xff\xff\xff"
    tracemalloc.start()
    codes = {fault.code for fault in examine_volume(sample.volume()).faults}
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert codes == {FaultCode.FILE_TRUNCATED}
