"""Augmented and Private profiles of the configuration, from C-STORE to a disc that others read."""

import re
import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

import material
import oracles
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until

SPECTRUM = "2.25.4711"
PICTURE = "2.25.4712"
BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
PRIVATE_PROFILE, AUGMENTED_PROFILE = "PRI-ACME-CD", "AUG-CTMRSR-CD"
#: What a configuration in TOML says; the tables of a service are plain values.
PROFILES = f"""
[[sop_class]]
uid = "{SPECTRUM}"
name = "ACME Spectrum Storage"

[[sop_class]]
uid = "{PICTURE}"
name = "ACME Picture Storage"
record = "IMAGE"

[[application_profile]]
name = "{PRIVATE_PROFILE}"
base = "STD-GEN-CD"
sop_classes = ["{SPECTRUM}", "{PICTURE}"]
directory_keys = [
  {{ record = "PATIENT", attribute = "PatientBirthDate", type = "2" }},
  {{ record = "STUDY", attribute = "ReferringPhysicianName" }},
  {{ record = "SERIES", attribute = "(0021,1001)", creator = "ACME 1.0", vr = "LO" }},
  {{ record = "PRIVATE", attribute = "(0021,1002)", creator = "ACME 1.0", vr = "DS" }},
]

[[application_profile]]
name = "{AUGMENTED_PROFILE}"
base = "STD-CTMR-CD"
sop_classes = ["{BASIC_TEXT_SR}"]
directory_keys = [{{ record = "SR DOCUMENT", attribute = "InstanceCreationDate", type = "2" }}]
restrict_to_base = true
"""


def private_instance(sop_class: str, number: int) -> FileDataset:
    """An instance with attributes of two private creators; the first one is of no interest."""
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = sop_class, f"2.25.7.{number}"
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "2.25.1", f"2.25.1.{sop_class[-1]}"
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.PatientName, data_set.PatientID = "Doe^Jané", "P1"
    data_set.PatientBirthDate, data_set.PatientSex = "19700101", "F"
    data_set.StudyDate, data_set.StudyTime, data_set.StudyID = "20260101", "120000", "1"
    data_set.ReferringPhysicianName, data_set.Modality = "Müller^Hans", "OT"
    data_set.SeriesNumber, data_set.InstanceNumber = 1, number
    data_set.private_block(0x21, "OTHER", create=True).add_new(1, "LO", "not this")
    block = data_set.private_block(0x21, "ACME 1.0", create=True)
    block.add_new(1, "LO", "Protokoll Ä")
    block.add_new(2, "DS", "1.5")
    if sop_class == PICTURE:
        data_set.Rows, data_set.Columns, data_set.SamplesPerPixel = 2, 2, 1
        data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
        data_set.PhotometricInterpretation, data_set.PixelRepresentation = "MONOCHROME2", 0
        data_set.PixelData = b"\1\2\3\4"
    return as_file(data_set)


def report() -> FileDataset:
    data_set = material.read(material.real_studies().file("CT_small.dcm"))
    for keyword in ("PixelData", "Rows", "Columns"):
        del data_set[keyword]
    data_set.SOPClassUID, data_set.SOPInstanceUID = BASIC_TEXT_SR, "2.25.8.1"
    data_set.SeriesInstanceUID, data_set.Modality = "2.25.8", "SR"
    data_set.ContentDate, data_set.ContentTime = "20260101", "120000"
    data_set.CompletionFlag, data_set.VerificationFlag = "COMPLETE", "UNVERIFIED"
    data_set.InstanceCreationDate = "20260102"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "18748-4", "LN", "Report"
    data_set.ConceptNameCodeSequence = [code]
    return as_file(data_set)


def as_file(data_set: Dataset) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    return FileDataset("", data_set, file_meta=meta)


PRIVATE_INSTANCES = [
    private_instance(SPECTRUM, 1),
    private_instance(SPECTRUM, 2),
    private_instance(PICTURE, 3),
]


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    service = start_shared(storage={"sop_classes": ["standard", SPECTRUM, PICTURE]})
    service.stop()
    service.config.write_text(service.config.read_text() + PROFILES, encoding="utf-8")
    service.start()
    return service


@pytest.fixture(scope="module")
def ct_image() -> FileDataset:
    return material.read(material.real_studies().file("CT_small.dcm"))


def make_media(
    burnish: Service, instances: list[FileDataset], profile: str
) -> tuple[str, Path | None]:
    """The SOP Instance UID of a request for media of a profile, and the image if there is one."""
    assert set(clients.send(burnish.port, instances)) == {0}
    with MediaCreation(burnish.port) as scu:
        assert scu.create(clients.references(instances, profile))[0] == 0
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
        wait_until(lambda: scu.get(uid)[1].ExecutionStatus in ("DONE", "FAILURE"), what="an end")
        status = scu.get(uid)[1]
    if status.ExecutionStatus == "FAILURE":
        return uid, None
    name = burnish.cli("request", "show", uid)["short_id"]
    (image,) = (burnish.outbox / name).glob("*.iso")
    return uid, image


def verified(burnish: Service, image: Path, profile: str) -> str:
    """What `burnish disc verify` says of a sound volume."""
    done = burnish.run(
        "disc", "verify", str(image), "--profile", profile, "--config", str(burnish.config)
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_private_profile_from_c_store_to_a_disc(burnish: Service, tmp_path: Path) -> None:
    _, image = make_media(burnish, PRIVATE_INSTANCES, PRIVATE_PROFILE)
    assert image is not None
    output = verified(burnish, image, PRIVATE_PROFILE)
    assert f"judged by: {PRIVATE_PROFILE} (Private, after STD-GEN-CD)" in output
    root = oracles.extract(image, tmp_path / "disc")
    oracles.dcmdump(root / "DICOMDIR")
    oracles.dcdirdmp(root)
    assert oracles.dciodvfy_errors(root / "DICOMDIR") == []
    readme = (root / "README.TXT").read_text()
    assert re.search(rf"^Profile: +{PRIVATE_PROFILE}$", readme, re.MULTILINE)
    records = pydicom.dcmread(root / "DICOMDIR").DirectoryRecordSequence
    by_type = {record.DirectoryRecordType: record for record in records}
    assert by_type["PATIENT"].PatientBirthDate == "19700101"
    assert "PatientSex" not in by_type["PATIENT"]
    assert by_type["STUDY"].ReferringPhysicianName == "Müller^Hans"
    assert by_type["SERIES"].private_block(0x21, "ACME 1.0")[1].value == "Protokoll Ä"
    assert by_type["PRIVATE"].private_block(0x21, "ACME 1.0")[2].value == 1.5
    assert by_type["PRIVATE"].ReferencedSOPClassUIDInFile == SPECTRUM
    assert by_type["IMAGE"].ReferencedSOPClassUIDInFile == PICTURE
    sent = {str(instance.SOPInstanceUID) for instance in PRIVATE_INSTANCES}
    files = [path for path in (root / "DICOM").rglob("*") if path.is_file()]
    assert {str(pydicom.dcmread(path).SOPInstanceUID) for path in files} == sent


def test_dcmtk_adds_to_the_dicomdir_of_a_private_profile(burnish: Service, tmp_path: Path) -> None:
    _, image = make_media(burnish, PRIVATE_INSTANCES, PRIVATE_PROFILE)
    assert image is not None
    root = oracles.extract(image, tmp_path / "disc")
    shutil.copy(material.real_studies().file("CT_small.dcm"), root / "CT")
    added = subprocess.run(
        ["dcmmkdir", "-Pgp", "+I", "--append", "+D", "DICOMDIR", "+id", ".", "CT"],
        cwd=root,
        capture_output=True,
        check=False,
        text=True,
    )
    assert added.returncode == 0, added.stderr
    records = pydicom.dcmread(root / "DICOMDIR").DirectoryRecordSequence
    types = [record.DirectoryRecordType for record in records]
    assert types.count("PRIVATE") == 2
    assert types.count("IMAGE") == 2


def test_a_standard_profile_does_not_permit_a_private_sop_class(burnish: Service) -> None:
    uid, image = make_media(burnish, PRIVATE_INSTANCES, "STD-GEN-CD")
    assert image is None
    with MediaCreation(burnish.port) as scu:
        failed = scu.get(uid)[1].FailedSOPSequence
    assert {item.FailureReason for item in failed} == {0x0202}


def test_an_augmented_profile_from_c_store_to_a_disc(
    burnish: Service, ct_image: FileDataset, tmp_path: Path
) -> None:
    instances = [ct_image, report()]
    assert make_media(burnish, instances, "STD-CTMR-CD")[1] is None
    _, image = make_media(burnish, instances, AUGMENTED_PROFILE)
    assert image is not None
    output = verified(burnish, image, AUGMENTED_PROFILE)
    assert "(Augmented, of STD-CTMR-CD)" in output
    root = oracles.extract(image, tmp_path / "disc")
    oracles.dcmdump(root / "DICOMDIR")
    oracles.dcdirdmp(root)
    assert oracles.dciodvfy_errors(root / "DICOMDIR") == []
    records = pydicom.dcmread(root / "DICOMDIR").DirectoryRecordSequence
    by_type = {record.DirectoryRecordType: record for record in records}
    assert by_type["SR DOCUMENT"].InstanceCreationDate == "20260102"
    assert by_type["IMAGE"].Rows == 128  # a key of the base


def test_a_profile_that_is_restricted_to_its_base_gives_way_to_it(
    burnish: Service, ct_image: FileDataset
) -> None:
    _, image = make_media(burnish, [ct_image], AUGMENTED_PROFILE)
    assert image is not None
    (manifest,) = image.parent.glob("*.json")
    assert '"STD-CTMR-CD"' in manifest.read_text()


def test_the_old_prefix_of_a_profile_is_read(burnish: Service, ct_image: FileDataset) -> None:
    _, image = make_media(burnish, [ct_image], "APL-GEN-CD")
    assert image is not None
    (manifest,) = image.parent.glob("*.json")
    assert '"STD-GEN-CD"' in manifest.read_text()


def test_the_statement_has_the_profiles_and_the_private_sop_classes(burnish: Service) -> None:
    done = burnish.run("conformance", "--config", str(burnish.config))
    assert done.returncode == 0, done.stderr
    for words in (PRIVATE_PROFILE, AUGMENTED_PROFILE, "ACME Spectrum Storage", SPECTRUM):
        assert words in done.stdout
