"""Icons from the request or of our own, on media: planned, written, and examined."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import oracles
from burnish.application_profiles import PROFILES
from burnish.content.readme_txt import ReadmeDetails
from burnish.db.tables import FileSet, IconImage
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.plan.planner import Planner
from burnish.request import operations
from burnish.settings import RequestSettings
from burnish.verify import examine_volume
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason
from burnish.write import job, pipeline
from burnish.write.pipeline import VolumePlan
from factories import Ground, SampleInstance, instance
from unit.transcode.test_icons import item

XA = "1.2.840.10008.5.1.4.1.1.12.1"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path / "ground") as ground:
        yield ground


def angiogram(folder: Path, number: int, *, pixels: int = 96) -> SampleInstance:
    """An X-ray angiography image in JPEG Lossless, compressed by DCMTK."""
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = XA, generate_uid()
    data_set.StudyInstanceUID, data_set.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    data_set.PatientID, data_set.PatientName = "P1", "Doe^Jane"
    data_set.StudyDate, data_set.StudyTime, data_set.StudyID = "20240102", "101500", "1"
    data_set.Modality, data_set.SeriesNumber, data_set.InstanceNumber = "XA", 1, number
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "SINGLE PLANE"]
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.Rows = data_set.Columns = pixels
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.PixelRepresentation = 0
    ramp = np.add.outer(np.arange(pixels), np.arange(pixels)) * 255 // (2 * pixels - 2)
    data_set.PixelData = ramp.astype(np.uint8).tobytes()
    data_set["PixelData"].VR = "OB"
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    plain, compressed = folder / f"{number}.dcm", folder / f"{number}.jpg.dcm"
    data_set.save_as(plain, enforce_file_format=True)
    oracles.run("dcmcjpeg", "+e1", plain, compressed)
    syntax, data = oracles.data_set_bytes(compressed)
    uid = str(oracles.read(compressed).SOPInstanceUID)
    return SampleInstance(XA, uid, syntax, data)


def planned(ground: Ground, uid: str) -> None:
    planner = Planner(ground.settings, ground.database, ground.spool)
    try:
        planner.tick()
    finally:
        planner.close()
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING, request.failures


def built(ground: Ground, uid: str, target: Path) -> Path:
    """The image of a planned request's one volume, of the size that was predicted."""
    (file_set,) = ground.request(uid).file_sets
    with ground.database.reading() as session:
        instances = job.volume_instances(
            session, session.get_one(FileSet, file_set.id), ground.spool
        )
    plan = VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        instances,
        readme_details=ReadmeDetails(profiles=file_set.media_application_profile),
    )
    image = pipeline.build_image(plan, target)  # refuses an image of another size
    assert pipeline.read_back(plan, target, image, fresh=False).faults == ()
    return target


def faults_in(image: Path, profile: str) -> list[str]:
    with open_volume(image) as volume:
        report = examine_volume(volume, PROFILES[profile], size=image.stat().st_size)
    return [f"{fault.code} {fault.where} {fault.message}" for fault in report.faults]


def icons_in(image: Path, target: Path) -> list[tuple[int, int]]:
    """Rows and columns of each icon in the DICOMDIR, by pydicom; other programs read it too."""
    root = oracles.extract(image, target)
    assert not oracles.dciodvfy_errors(root / "DICOMDIR")
    oracles.dcdirdmp(root / "DICOMDIR")
    oracles.dcmdump(root / "DICOMDIR")
    return [
        (icon.Rows, icon.Columns)
        for record in oracles.read(root / "DICOMDIR").DirectoryRecordSequence
        for icon in record.get("IconImageSequence", [])
    ]


def test_icons_are_made_for_a_profile_that_requires_them(ground: Ground, tmp_path: Path) -> None:
    instances = [angiogram(tmp_path, number) for number in range(3)]
    ground.store(*instances)
    uid = ground.admit(instances, profiles="STD-XABC-CD")
    planned(ground, uid)
    image = built(ground, uid, tmp_path / "image.iso")
    assert faults_in(image, "STD-XABC-CD") == []
    assert icons_in(image, tmp_path / "tree") == [(128, 128)] * 3
    assert ground.count(IconImage) == 3
    again = ground.admit(instances, profiles="STD-XABC-CD")
    planned(ground, again)
    assert ground.count(IconImage) == 3


def test_an_icon_of_the_scu_is_used_where_the_profile_permits_it(
    ground: Ground, tmp_path: Path
) -> None:
    instances = [angiogram(tmp_path, number) for number in range(3)]
    ground.store(*instances)
    icons = [item(128), item(64), None]
    references = [
        operations.Reference(sample.sop_class_uid, sample.sop_instance_uid, "STD-XABC-CD", icon)
        for sample, icon in zip(instances, icons, strict=True)
    ]
    uid = admitted(ground, references)
    planned(ground, uid)
    image = built(ground, uid, tmp_path / "image.iso")
    assert faults_in(image, "STD-XABC-CD") == []
    assert icons_in(image, tmp_path / "tree") == [(128, 128)] * 3
    assert ground.count(IconImage) == 2


def admitted(ground: Ground, references: list[operations.Reference]) -> str:
    with ground.database.writing() as session:
        request = operations.create(
            session, ground.settings.request, operations.NewRequest(references), origin="test"
        )
        operations.initiate(session, RequestSettings(), request.sop_instance_uid)
        request.admitted_at = request.initiated_at
        return request.sop_instance_uid


def test_a_general_profile_takes_the_icon_of_the_scu(ground: Ground, tmp_path: Path) -> None:
    instances = [instance(instance_number=n, size=400) for n in (1, 2)]
    ground.store(*instances)
    first, second = instances
    references = [
        operations.Reference(first.sop_class_uid, first.sop_instance_uid, "", item(48)),
        operations.Reference(second.sop_class_uid, second.sop_instance_uid, "", b"damaged"),
    ]
    uid = admitted(ground, references)
    planned(ground, uid)
    image = built(ground, uid, tmp_path / "image.iso")
    assert icons_in(image, tmp_path / "tree") == [(48, 48)]
    assert faults_in(image, "STD-GEN-CD") == []


def test_icons_are_always_made_where_the_settings_say_so(tmp_path: Path) -> None:
    with Ground(tmp_path / "ground", request=RequestSettings(icons="always")) as ground:
        instances = [instance(instance_number=n, size=400) for n in range(70)]
        ground.store(*instances)
        uid = ground.admit(instances)
        planned(ground, uid)
        image = built(ground, uid, tmp_path / "image.iso")
        assert icons_in(image, tmp_path / "tree") == [(64, 64)] * 70


def test_an_image_without_an_icon_is_refused_where_the_profile_requires_one(
    ground: Ground, tmp_path: Path
) -> None:
    good = angiogram(tmp_path, 1)
    bad = angiogram(tmp_path, 2)
    at = bad.data_set.rindex(b"\xff\xd8\xff")
    bad = SampleInstance(
        bad.sop_class_uid,
        bad.sop_instance_uid,
        bad.transfer_syntax_uid,
        bad.data_set[:at] + bytes(8) + bad.data_set[at + 8 :],
    )
    ground.store(good, bad)
    uid = ground.admit([good, bad], profiles="STD-XABC-CD")
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner.tick()
    planner.close()
    request = ground.request(uid)
    assert request.execution_status_info is ExecutionStatusInfo.PROC_FAILURE
    [failure] = request.failures
    assert failure.referenced_sop_instance_uid == bad.sop_instance_uid
    assert failure.failure_reason == FailureReason.PROCESSING_FAILURE


def test_instances_that_the_profile_does_not_permit_are_refused(
    ground: Ground, tmp_path: Path
) -> None:
    instances = [angiogram(tmp_path, 1), angiogram(tmp_path, 2, pixels=600), instance(size=400)]
    ground.store(*instances)
    uid = ground.admit(instances, profiles="STD-XABC-CD")
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner.tick()
    request = ground.request(uid)
    assert request.execution_status_info is ExecutionStatusInfo.INST_AP_CONFLICT
    assert {f.referenced_sop_instance_uid: f.failure_reason for f in request.failures} == {
        sample.sop_instance_uid: FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
        for sample in instances[1:]
    }
