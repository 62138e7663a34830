"""SOP Classes, transfer syntaxes and records that are not known are passed over (PS3.2 7.2)."""

import pytest

from burnish.application_profiles import PROFILES
from burnish.dicomdir import appending
from burnish.site_records import PRIVATE_RECORD_UID
from burnish.values import DirectoryEntry, VolumeReport
from burnish.verify import FaultCode, examine_volume
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from factories import header
from made_entries import EVERY_KEY
from made_volume import SECONDARY_CAPTURE, Node, SampleVolume, file_meta, instance, leaf

PROFILE = PROFILES["STD-GEN-CD"]
PRIVATE = "1.2.826.0.1.3680043.2.1396.999"
IMAGE = (0, 0, 0, 0)


def notes(report: VolumeReport) -> set[str]:
    return {note.code for note in report.notes}


def test_a_private_transfer_syntax_is_not_examined() -> None:
    """Nothing tells how its data set is encoded."""
    sample = SampleVolume()
    sample.files["DICOM\\I0"] = file_meta(SECONDARY_CAPTURE, "1.2.9.0", PRIVATE) + bytes(range(99))
    sample.at(*IMAGE).set(0x00041512, b"UI", PRIVATE)
    report = examine_volume(sample.volume())
    assert report.faults == ()
    assert notes(report) == {FaultCode.TRANSFER_SYNTAX_UNKNOWN}
    [text] = report.not_examined
    assert text == f"the data set in Transfer Syntax {PRIVATE}, which is not known, of 1 file"
    by_profile = examine_volume(sample.volume(), PROFILE)
    assert {fault.code for fault in by_profile.faults} == {FaultCode.TRANSFER_SYNTAX_NOT_IN_PROFILE}


def test_a_transfer_syntax_that_is_no_uid_is_a_fault() -> None:
    sample = SampleVolume()
    sample.files["DICOM\\I0"] = instance("1.2.9.0", "none of them")
    sample.at(*IMAGE).set(0x00041512, b"UI", "none of them")
    codes = {fault.code for fault in examine_volume(sample.volume()).faults}
    assert codes == {FaultCode.FILE_META_WRONG}


def test_the_pixels_of_a_private_sop_class_are_not_judged() -> None:
    sample = SampleVolume()
    without_bits = instance("1.2.9.0").replace(b"\x28\0\0\x01US\x02\0\x08\0", b"")
    data = without_bits.replace(SECONDARY_CAPTURE.encode(), PRIVATE[:25].encode())
    sample.files["DICOM\\I0"] = data
    sample.at(*IMAGE).set(0x00041510, b"UI", PRIVATE[:25])
    report = examine_volume(sample.volume())
    assert report.faults == ()
    assert notes(report) == {FaultCode.SOP_CLASS_UNKNOWN}
    assert any("the content in SOP Class" in text for text in report.not_examined)
    by_profile = examine_volume(sample.volume(), PROFILE)
    assert {fault.code for fault in by_profile.faults} == {FaultCode.SOP_CLASS_NOT_IN_PROFILE}


def test_a_damaged_file_of_a_private_sop_class_is_a_fault() -> None:
    """What every data set has to be, this one has to be as well."""
    sample = SampleVolume()
    data = instance("1.2.9.0").replace(SECONDARY_CAPTURE.encode(), PRIVATE[:25].encode())
    sample.files["DICOM\\I0"] = data[:-10]
    sample.at(*IMAGE).set(0x00041510, b"UI", PRIVATE[:25])
    codes = {fault.code for fault in examine_volume(sample.volume()).faults}
    assert codes == {FaultCode.FILE_TRUNCATED}


@pytest.mark.parametrize("record_type", ["PICTURE", "OVERLAY"])
def test_a_record_of_a_type_that_is_not_known_is_a_note(record_type: str) -> None:
    sample = SampleVolume()
    sample.at(0, 0, 0).below.append(Node({0x00041430: (b"CS", record_type.encode())}))
    report = examine_volume(sample.volume())
    assert report.faults == ()
    assert notes(report) == {FaultCode.RECORD_TYPE_UNKNOWN}
    assert report.not_examined == (
        f"which keys are required in type {record_type} of 1 directory record",
    )
    by_profile = examine_volume(sample.volume(), PROFILE)
    assert {fault.code for fault in by_profile.faults} == {FaultCode.RECORD_TYPE_UNKNOWN}


def private_record(uid: str, keys: dict[int, tuple[bytes, bytes]]) -> SampleVolume:
    """A volume whose first file has a PRIVATE record with keys."""
    sample = SampleVolume()
    old = sample.at(*IMAGE)
    references = (0x00041500, 0x00041510, 0x00041511, 0x00041512)
    old.elements = {tag: old.elements[tag] for tag in references}
    old.elements[0x00041430] = (b"CS", b"PRIVATE")
    for tag, (vr, value) in {0x00041432: (b"UI", uid.encode()), **keys}.items():
        old.set(tag, vr, value)
    new_class = "1.2.826.0.1.3680043.2.139"
    old.set(0x00041510, b"UI", new_class)
    sample.files["DICOM\\I0"] = instance("1.2.9.0").replace(
        SECONDARY_CAPTURE.encode() + b"\0", new_class.encode() + b"\0"
    )
    return sample


def test_keys_of_a_private_record_are_compared_with_the_file() -> None:
    """What remains is said: the values that no file has, and which keys there have to be."""
    rows, comments = 0x00280010, 0x00204000
    keys = {rows: (b"US", b"\1\0"), comments: (b"LT", b"left")}
    report = examine_volume(private_record("1.2.3.4", keys).volume())
    assert report.faults == ()
    (note,) = [note for note in report.notes if note.code == FaultCode.KEY_DIFFERS]
    assert note.where.endswith("(PRIVATE)")
    assert note.message.startswith("its Rows (0028,0010) is 1; that of the file")
    assert report.not_examined[1:] == (
        "the values in type PRIVATE, which no file has, of 1 key",
        "which keys are required in type PRIVATE of 1 directory record",
    )


def test_all_keys_of_a_private_record_of_burnish_are_known() -> None:
    report = examine_volume(private_record(PRIVATE_RECORD_UID, {}).volume())
    assert [text for text in report.not_examined if "PRIVATE" in text] == []


def test_text_of_a_private_record_needs_its_character_set() -> None:
    comments = {0x00204000: (b"LT", "sinistre à".encode())}
    report = examine_volume(private_record("1.2.3.4", comments).volume())
    assert {fault.code for fault in report.faults} == {FaultCode.CHARACTER_SET_MISSING}
    utf_8 = {0x00080005: (b"CS", b"ISO_IR 192"), **comments}
    assert examine_volume(private_record("1.2.3.4", utf_8).volume()).faults == ()


def test_a_record_of_a_new_type_for_a_new_sop_class_is_a_note() -> None:
    sample = SampleVolume()
    new_class = "1.2.840.10008.5.1.4.1.1.9999"
    sample.files["DICOM\\I0"] = instance("1.2.9.0").replace(
        SECONDARY_CAPTURE.encode() + b"\0", new_class.encode()[:26]
    )
    sample.at(*IMAGE).set(0x00041430, b"CS", "NOVEL")
    sample.at(*IMAGE).set(0x00041510, b"UI", new_class[:26])
    report = examine_volume(sample.volume())
    assert report.faults == ()
    assert notes(report) == {FaultCode.RECORD_TYPE_UNKNOWN, FaultCode.SOP_CLASS_UNKNOWN}


def test_entities_below_a_record_that_is_not_known_are_not_judged() -> None:
    """A TOPIC of earlier editions repeats the studies of patients."""
    sample = SampleVolume()
    repeated = [Node(dict(node.elements), list(node.below)) for node in sample.at(0).below]
    repeated[0].below = [Node(dict(sample.at(0, 0, 1).elements), [leaf(2, "DICOM\\I2")])]
    repeated[0].below[0].below[0].elements = {0x00041430: (b"CS", b"PRINT")}
    sample.root.append(Node({0x00041430: (b"CS", b"TOPIC")}, repeated))
    report = examine_volume(sample.volume())
    assert report.faults == ()


def with_multi_referenced_file() -> SampleVolume:
    """A sample of which two records lead to one file by a record apart."""
    sample = SampleVolume()
    original = sample.at(*IMAGE)
    reference = {tag: original.elements[tag] for tag in (0x00041500, 0x00041510, 0x00041512)}
    reference |= {0x00041430: (b"CS", b"MRDR"), 0x00041600: (b"UL", b"\2\0\0\0")}
    reference[0x00041511] = original.elements[0x00041511]
    shared = Node(reference)
    sample.apart.append(shared)
    for node in (original, Node(dict(original.elements))):
        for tag in (0x00041500, 0x00041510, 0x00041511, 0x00041512):
            del node.elements[tag]
        node.reference = shared
        if node is not original:
            sample.at(0, 0, 1).below.append(node)
    return sample


def test_multi_referenced_file_directory_records_are_followed() -> None:
    report = examine_volume(with_multi_referenced_file().volume())
    assert report.faults == ()
    assert report.instances == 4
    assert notes(report) == {FaultCode.RECORD_TYPE_UNKNOWN}


def test_a_reference_to_a_record_that_is_none_is_a_fault() -> None:
    sample = with_multi_referenced_file()
    sample.at(*IMAGE).reference = sample.at(0)
    codes = {fault.code for fault in examine_volume(sample.volume()).faults}
    assert FaultCode.RECORD_OFFSET_WRONG in codes


def test_multi_referenced_file_directory_records_stay_when_instances_are_added() -> None:
    sample = with_multi_referenced_file()
    earlier = appending.read_earlier(sample.dicomdir())
    [shared] = earlier.multi_referenced.values()
    added = header(
        uid="1.2.9.77", patient_id="UNKNOWN-1", name="Doe^J", study="1.2.7.1", series="1.2.8.1"
    )
    entry = DirectoryEntry("DICOM\\NEW", added, EXPLICIT_VR_LITTLE_ENDIAN)
    again = appending.read_earlier(appending.append_entries(earlier, [entry], EVERY_KEY))
    assert [node.body for node in again.multi_referenced.values()] == [shared.body]
    leads = [node for node in again.all_records() if node.mrdr_offset]
    assert [node.file_id for node in leads] == ["DICOM\\I0", "DICOM\\I0"]
    assert {node.mrdr_offset for node in leads} == set(again.multi_referenced)
