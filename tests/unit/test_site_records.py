"""Further directory keys and private SOP Classes, from the header index to the DICOMDIR."""

import io
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

import made_entries
from burnish import site_records
from burnish.db.instance_rows import HEADER_COLUMNS, HeaderReader, header_values
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import header_on_media, record_keys
from burnish.settings import read_settings
from burnish.site_records import PRIVATE_RECORD_UID
from burnish.values import InstanceHeader
from made_entries import instance

CT = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "2.25.4711"
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def configure(tmp_path: Path, *keys: str, rest: str = "") -> None:
    path = tmp_path / "burnish.toml"
    path.write_text(f"[request]\ndirectory_keys = [{', '.join(keys)}]\n{rest}", encoding="utf-8")
    read_settings(path)


def private_key(record: str, creator: str, key_type: str = "3", vr: str = "LO") -> str:
    return (
        f'{{ record = "{record}", attribute = "(0021,1001)", creator = "{creator}", vr = "{vr}",'
        f' type = "{key_type}" }}'
    )


def sample(sop_class: str = CT, **attributes: object) -> Dataset:
    data_set = instance(sop_class, PatientID="P1", InstanceNumber="7", **attributes)
    data_set.private_block(0x21, "OTHER", create=True).add_new(1, "LO", "not this")
    data_set.private_block(0x21, "ACME", create=True).add_new(1, "LO", "Protokoll")
    return data_set


def records(header: InstanceHeader, profile: str = "STD-GEN-CD") -> dict[str, Dataset]:
    keys = record_keys(profile)
    entries = made_entries.entries([header_on_media(header, profile)])
    data = encoder.encode(entries, keys=keys, file_set_id="A", file_set_uid="1.2")
    lengths = encoder.record_lengths(entries[0].header, EXPLICIT, keys)
    assert len(data) == encoder.base_length("A", "1.2") + sum(lengths)
    directory = pydicom.dcmread(io.BytesIO(data))
    return {record.DirectoryRecordType: record for record in directory.DirectoryRecordSequence}


def test_further_keys_are_in_records_of_every_profile(tmp_path: Path) -> None:
    configure(
        tmp_path,
        '{ record = "PATIENT", attribute = "PatientSex", type = "2" }',
        '{ record = "STUDY", attribute = "ReferringPhysicianName" }',
        '{ record = "IMAGE", attribute = "ContentDate" }',
    )
    data_set = sample(ReferringPhysicianName="Müller", ContentDate="20260101")
    data_set.SpecificCharacterSet = "ISO_IR 192"
    by_type = records(made_entries.indexed(data_set))
    assert by_type["PATIENT"].PatientSex == ""
    assert by_type["STUDY"].ReferringPhysicianName == "Müller"
    assert by_type["IMAGE"].ContentDate == "20260101"
    assert "PatientBirthDate" not in by_type["PATIENT"]


def test_a_private_key_has_the_value_of_its_creator(tmp_path: Path) -> None:
    configure(tmp_path, private_key("SERIES", "ACME"), private_key("IMAGE", "ACME"))
    for syntax in (EXPLICIT, IMPLICIT):
        by_type = records(made_entries.indexed(sample(), syntax))
        for record_type in ("SERIES", "IMAGE"):
            assert by_type[record_type].private_block(0x21, "ACME")[1].value == "Protokoll"
            assert (0x0021, 0x0011) not in by_type[record_type]


def test_a_private_key_of_type_2_has_its_creator_also_without_a_value(tmp_path: Path) -> None:
    configure(tmp_path, private_key("SERIES", "NOBODY", "2"), private_key("IMAGE", "NOBODY", "2"))
    by_type = records(made_entries.indexed(sample()))
    for record_type in ("SERIES", "IMAGE"):
        assert by_type[record_type].private_block(0x21, "NOBODY")[1].is_empty


def test_a_key_that_is_no_longer_configured_is_left_out(tmp_path: Path) -> None:
    configure(tmp_path, private_key("IMAGE", "ACME"), private_key("SERIES", "ACME"))
    header = made_entries.indexed(sample())
    configure(tmp_path)
    by_type = records(header)
    assert not [tag for tag in by_type["IMAGE"].keys() | by_type["SERIES"].keys() if tag.is_private]


def test_a_creator_that_has_another_block_by_now_does_not_lend_its_value(tmp_path: Path) -> None:
    configure(tmp_path, private_key("IMAGE", "ACME"), private_key("SERIES", "ACME"))
    header = made_entries.indexed(sample())
    configure(tmp_path, private_key("IMAGE", "AAAA"), private_key("SERIES", "AAAA"))
    by_type = records(header)
    assert not [tag for tag in by_type["IMAGE"].keys() | by_type["SERIES"].keys() if tag.is_private]


def test_alike_instances_keep_their_own_further_keys(tmp_path: Path) -> None:
    configure(tmp_path, '{ record = "IMAGE", attribute = "ImageComments" }')
    for number in range(4):
        data_set = sample(ImageComments=f"number {number}", Rows=1, Columns=1)
        data_set.SOPInstanceUID = f"1.2.3.{number}"
        by_type = records(made_entries.indexed(data_set))
        assert by_type["IMAGE"].ImageComments == f"number {number}"


def test_a_private_class_has_a_private_record(tmp_path: Path) -> None:
    configure(tmp_path, rest=f'[[sop_class]]\nuid = "{PRIVATE}"\n')
    by_type = records(made_entries.indexed(sample(PRIVATE)))
    assert by_type["PRIVATE"].PrivateRecordUID == PRIVATE_RECORD_UID
    assert by_type["PRIVATE"].ReferencedSOPClassUIDInFile == PRIVATE
    assert "InstanceNumber" not in by_type["PRIVATE"]


def test_a_private_class_may_have_a_standard_record(tmp_path: Path) -> None:
    configure(tmp_path, rest=f'[[sop_class]]\nuid = "{PRIVATE}"\nrecord = "IMAGE"\n')
    by_type = records(made_entries.indexed(sample(PRIVATE)))
    assert by_type["IMAGE"].InstanceNumber == 7


def test_an_instance_that_arrived_before_its_class_was_configured_has_a_record(
    tmp_path: Path,
) -> None:
    row = header_values(made_entries.indexed(sample(PRIVATE)))
    assert row["directory_record_type"] == ""
    stored = [row[column.name] for column in HEADER_COLUMNS]
    assert HeaderReader().header(stored).directory_record_type == ""
    configure(tmp_path, rest=f'[[sop_class]]\nuid = "{PRIVATE}"\nrecord = "IMAGE"\n')
    header = HeaderReader().header(stored)
    assert header.directory_record_type == "IMAGE"
    assert records(header)["IMAGE"].InstanceNumber == 1  # it was not indexed: that of the record
    assert site_records.record_type(PRIVATE) == "IMAGE"
