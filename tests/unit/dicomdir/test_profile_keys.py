"""The DICOMDIR has the keys of the profiles of its File-set, and no others."""

import io

import pydicom
import pytest
from pydicom.dataset import Dataset

import made_entries
from burnish.application_profiles import PROFILES
from burnish.dicomdir import encoder
from burnish.dicomdir.profile_keys import header_on_media, record_keys
from burnish.directory_records import KEYS
from burnish.values import InstanceHeader
from made_entries import instance

CT = "1.2.840.10008.5.1.4.1.1.2"
#: What every directory record may have, whatever its type (PS3.3 F.3.2.2).
OF_EVERY_RECORD = {0x00080005, 0x0004151A}


def ct_header() -> InstanceHeader:
    return made_entries.indexed(
        instance(
            CT,
            SpecificCharacterSet="ISO_IR 192",
            ImageType=["ORIGINAL", "PRIMARY"],
            PatientName="Doe^Jané",
            PatientID="P1",
            PatientBirthDate="19700101",
            PatientSex="F",
            StudyDate="20240101",
            StudyTime="12",
            StudyID="S",
            Modality="CT",
            InstitutionName="Spital Zürich",
            InstitutionAddress="Rämistrasse",
            PerformingPhysicianName="Weiß",
            SeriesNumber="1",
            InstanceNumber="1",
            FrameOfReferenceUID="1.2.9",
            ImagePositionPatient=["0", "0", "0"],
            ImageOrientationPatient=["1", "0", "0", "0", "1", "0"],
            PixelSpacing=["1", "1"],
            Rows=1,
            Columns=1,
        )
    )


def keys_by_record(profiles: str, header: InstanceHeader) -> dict[str, Dataset]:
    """The records of a DICOMDIR with one instance, without the elements of group 0004."""
    keys = record_keys(profiles)
    entries = made_entries.entries([header_on_media(header, profiles)])
    data = encoder.encode(entries, keys=keys, file_set_id="A", file_set_uid="1.2")
    assert len(data) == encoder.size(entries, keys=keys, file_set_id="A", file_set_uid="1.2")
    records = pydicom.dcmread(io.BytesIO(data)).DirectoryRecordSequence
    by_type = {record.DirectoryRecordType: record for record in records}
    for record in by_type.values():
        for element in list(record):
            if element.tag.group == 4 and element.tag != 0x0004151A:
                del record[element.tag]
    return by_type


def test_a_general_cd_does_not_tell_birth_date_sex_or_institution() -> None:
    records = keys_by_record("STD-GEN-CD", ct_header())
    assert list(records["PATIENT"].dir()) == ["PatientID", "PatientName", "SpecificCharacterSet"]
    assert set(records["SERIES"].dir()) == {"Modality", "SeriesInstanceUID", "SeriesNumber"}
    assert set(records["IMAGE"].dir()) == {"ImageType", "InstanceNumber"}


def test_a_dvd_has_the_keys_of_table_h_3_2() -> None:
    records = keys_by_record("STD-GEN-DVD-JPEG", ct_header())
    assert records["PATIENT"].PatientBirthDate == "19700101"
    assert records["PATIENT"].PatientSex == "F"
    assert records["SERIES"].InstitutionName == "Spital Zürich"
    assert records["SERIES"].PerformingPhysicianName == "Weiß"
    assert {"Rows", "Columns", "FrameOfReferenceUID", "PixelSpacing"} <= set(records["IMAGE"].dir())


def test_a_missing_key_that_the_profile_has_not_is_not_supplied() -> None:
    header = made_entries.indexed(instance(CT, PatientID="P1", InstanceNumber="1"))
    assert set(header.missing_keys) == {0x00280010, 0x00280011}
    assert set(keys_by_record("STD-GEN-CD", header)["IMAGE"].dir()) == {"InstanceNumber"}
    assert keys_by_record("STD-GEN-DVD-JPEG", header)["IMAGE"].Rows == 0


@pytest.mark.parametrize("label", sorted(PROFILES))
def test_no_profile_puts_keys_of_another_into_the_dicomdir(label: str) -> None:
    for record_type, record in keys_by_record(label, ct_header()).items():
        permitted = {key.tag for key in KEYS[record_type]} | OF_EVERY_RECORD
        permitted |= {key.tag for key in PROFILES[label].keys.get(record_type, ())}
        assert {int(element.tag) for element in record} <= permitted


@pytest.mark.parametrize("label", sorted(PROFILES))
def test_the_records_have_every_key_that_the_profile_requires(label: str) -> None:
    records = keys_by_record(label, ct_header())
    for record_type in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        for key in PROFILES[label].keys.get(record_type, ()):
            assert key.type == "1C" or key.tag in records[record_type]


def test_keys_of_type_2_have_no_value_where_the_instance_has_none() -> None:
    header = made_entries.indexed(instance(CT, PatientID="P1", InstanceNumber="1"))
    records = keys_by_record("STD-XABC-CD", header)
    assert records["PATIENT"].PatientBirthDate == ""
    assert records["SERIES"].InstitutionName == ""
    assert records["IMAGE"].CalibrationImage == ""


def test_a_file_set_of_two_profiles_has_the_keys_of_both() -> None:
    records = keys_by_record("STD-GEN-CD+STD-CTMR-CD", ct_header())
    assert {"ImageType", "Rows", "PixelSpacing"} <= set(records["IMAGE"].dir())
    assert "PatientBirthDate" not in records["PATIENT"]


def test_the_header_keeps_what_labels_and_pages_show() -> None:
    header = ct_header()
    assert header_on_media(header, "STD-GEN-CD").entity_keys == header.entity_keys
