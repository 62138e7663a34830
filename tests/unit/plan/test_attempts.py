"""In which form instances go onto media: compressed where that makes them fit, and what cannot."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from burnish.application_profiles import PROFILES, ApplicationProfile
from burnish.application_profiles.profile import Rule
from burnish.content.readme_txt import ReadmeDetails
from burnish.db.tables import Event, MediaCreationRequest, TranscodedInstance
from burnish.dicom_elements import encode
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.plan.eligibility import InstanceFailure, kind_of
from burnish.plan.planner import Planner
from burnish.plan.source_instances import InstanceFile, SourceInstance
from burnish.scp import attributes
from burnish.scp.request_attributes import RequestAttributes
from burnish.settings import DeviceSettings
from burnish.verify import examine_volume
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_LOSSLESS_SV1,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
)
from burnish.write import job, pipeline
from burnish.write.pipeline import VolumePlan
from factories import (
    MPEG2,
    Ground,
    SampleInstance,
    encapsulated,
    header,
    instance,
    jpeg_frame,
)

#: What a DVD takes for itself, and room for two images.
CAPACITY = 735_000
ROWS, COLUMNS, PIXEL_DATA = 0x00280010, 0x00280011, 0x7FE00010


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path, device=(DeviceSettings(name="outbox", capacity=CAPACITY),)) as ground:
        yield ground


def tick(ground: Ground, failed: dict[tuple[int, str], InstanceFailure] | None = None) -> None:
    planner = Planner(ground.settings, ground.database, ground.spool)
    planner._conversions.failed.update(failed or {})
    try:
        planner.tick()
    finally:
        planner.close()


def planned(
    ground: Ground, instances: list[SampleInstance], **request: Any
) -> MediaCreationRequest:
    uid = ground.admit(instances, **request)
    tick(ground)
    return ground.request(uid)


def compressible_images(count: int = 4) -> list[SampleInstance]:
    """Images of 60,000 bytes that get much smaller."""
    return [instance(instance_number=n, size=60_000) for n in range(1, count + 1)]


def incompressible_images(count: int = 4) -> list[SampleInstance]:
    """Images of 60,000 bytes that do not."""
    rng = np.random.default_rng(1)
    pixels = [encode(PIXEL_DATA, b"OW", rng.bytes(60_000)) for _ in range(count)]
    return [instance(instance_number=n, size=60_000, pixels=p) for n, p in enumerate(pixels)]


def transcoded(ground: Ground) -> dict[int, TranscodedInstance]:
    with ground.database.reading() as session:
        return {row.id: row for row in session.scalars(select(TranscodedInstance))}


@pytest.mark.parametrize(
    ("profile", "syntax"),
    [("STD-GEN-DVD-JPEG", JPEG_LOSSLESS_SV1), ("STD-GEN-DVD-J2K", JPEG_2000_LOSSLESS)],
)
def test_a_set_too_large_for_one_volume_is_compressed_where_splitting_is_not_allowed(
    ground: Ground, profile: str, syntax: str
) -> None:
    # JPEG 2000 needs more than one row to get smaller
    instances = (
        [_with_240_rows(image) for image in compressible_images()]
        if syntax == JPEG_2000_LOSSLESS
        else compressible_images()
    )
    ground.store(*instances)
    request = planned(ground, instances, profiles=profile, allow_media_splitting="NO")
    (file_set,) = request.file_sets
    rows = transcoded(ground)
    assert {row.transfer_syntax_uid for row in rows.values()} == {syntax}
    assert {entry.transcoded_instance_id for entry in file_set.entries} == set(rows)
    again = planned(ground, instances, profiles=profile, allow_media_splitting="NO")
    assert set(transcoded(ground)) == set(rows), "compressed a second time"
    assert again.file_sets[0].predicted_size == file_set.predicted_size


def _with_240_rows(image: SampleInstance) -> SampleInstance:
    """The same image with 240 rows of 250."""
    data = image.data_set.replace(encode(ROWS, b"US", b"\1\0"), encode(ROWS, b"US", b"\xf0\0"))
    wide = (60_000).to_bytes(2, "little")
    return replace(
        image,
        data_set=data.replace(encode(COLUMNS, b"US", wide), encode(COLUMNS, b"US", b"\xfa\0")),
    )


def test_the_image_of_compressed_instances_has_the_planned_size(
    ground: Ground, tmp_path: Path
) -> None:
    instances = compressible_images()
    ground.store(*instances)
    request = planned(ground, instances, profiles="STD-GEN-DVD-JPEG", allow_media_splitting="NO")
    (file_set,) = request.file_sets
    with ground.database.reading() as session:
        instances = job.volume_instances(session, file_set, ground.spool)
    plan = VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        instances,
        readme_details=ReadmeDetails(profiles=file_set.media_application_profile),
    )
    built = pipeline.build_image(plan, tmp_path / "volume.iso", lambda _: None)
    assert (tmp_path / "volume.iso").stat().st_size == file_set.predicted_size <= CAPACITY
    report = pipeline.read_back(plan, tmp_path / "volume.iso", built, fresh=False)
    assert report.good, report.faults


def images_compressible_with_loss_only(count: int = 4) -> list[SampleInstance]:
    """Square images of 60,000 bytes that get much smaller only with loss."""
    rng = np.random.default_rng(1)
    slope = np.linspace(0, 200, 250)[None, :] + np.zeros((240, 250))
    instances = []
    for number in range(1, count + 1):
        cells = (slope + rng.normal(20, 5, slope.shape)).clip(0, 255).astype(np.uint8)
        pixels = encode(PIXEL_DATA, b"OB", cells.tobytes())
        instances.append(
            _with_240_rows(instance(instance_number=number, size=60_000, pixels=pixels))
        )
    return instances


@pytest.mark.parametrize(
    ("profile", "syntax"),
    [("STD-GEN-DVD-JPEG", JPEG_BASELINE), ("STD-GEN-DVD-J2K", JPEG_2000)],
)
def test_a_set_is_compressed_with_loss_where_nothing_else_makes_it_fit(
    ground: Ground, profile: str, syntax: str, tmp_path: Path
) -> None:
    """PS3.4 S.3.2.1.1.9; the volume has the new instances, and its DICOMDIR names them."""
    instances = images_compressible_with_loss_only()
    ground.store(*instances)
    request_attributes = {"allow_media_splitting": "NO", "allow_lossy_compression": "YES"}
    request = planned(ground, instances, profiles=profile, **request_attributes)
    (file_set,) = request.file_sets
    with ground.database.reading() as session:
        reasons = session.scalars(select(Event.why).where(Event.event == "PLANNED")).all()
    assert [why.rpartition(", ")[2] for why in reasons] == ["4 instances compressed with loss"]
    rows = transcoded(ground)
    used = [rows[entry.transcoded_instance_id or 0] for entry in file_set.entries]
    assert {row.transfer_syntax_uid for row in used} == {syntax}
    with ground.database.reading() as session:
        on_volume = job.volume_instances(session, file_set, ground.spool)
    uids = {sample.header.sop_instance_uid for sample in on_volume}
    assert uids == {row.derived_sop_instance_uid for row in used}
    assert not uids & {sample.sop_instance_uid for sample in instances}
    plan = VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        on_volume,
        readme_details=ReadmeDetails(profiles=file_set.media_application_profile),
    )
    image = tmp_path / "volume.iso"
    built = pipeline.build_image(plan, image)
    assert pipeline.read_back(plan, image, built, fresh=False).good
    with open_volume(image) as volume:
        report = examine_volume(volume, PROFILES[profile], size=image.stat().st_size)
    assert report.good, report.faults
    again = planned(ground, instances, profiles=profile, **request_attributes)
    assert set(transcoded(ground)) == set(rows), "compressed a second time"
    assert again.file_sets[0].predicted_size == file_set.predicted_size


@pytest.mark.parametrize(
    ("profile", "request_attributes"),
    [
        ("STD-GEN-DVD-JPEG", {"allow_lossy_compression": "NO"}),
        ("STD-GEN-CD", {"allow_lossy_compression": "YES"}),
    ],
)
def test_a_set_is_not_compressed_with_loss_where_that_is_not_allowed_or_not_in_the_profile(
    tmp_path: Path, profile: str, request_attributes: dict[str, str]
) -> None:
    instances = images_compressible_with_loss_only()
    room = {"STD-GEN-CD": 220_000}.get(profile, CAPACITY)
    with Ground(tmp_path, device=(DeviceSettings(name="outbox", capacity=room),)) as ground:
        ground.store(*instances)
        request = planned(
            ground, instances, profiles=profile, allow_media_splitting="NO", **request_attributes
        )
    assert request.execution_status_info is ExecutionStatusInfo.SET_OVERSIZED


def test_a_set_that_may_be_split_is_not_compressed_with_loss(ground: Ground) -> None:
    instances = images_compressible_with_loss_only()
    ground.store(*instances)
    request_attributes = {"allow_media_splitting": "YES", "allow_lossy_compression": "YES"}
    request = planned(ground, instances, profiles="STD-GEN-DVD-JPEG", **request_attributes)
    assert len(request.file_sets) > 1
    assert transcoded(ground) == {}


def test_images_of_a_study_with_documents_are_not_compressed_with_loss(ground: Ground) -> None:
    """A document of the same study may refer to the images: these keep their UIDs."""
    instances = images_compressible_with_loss_only()
    report = instance(sop_class_uid="1.2.840.10008.5.1.4.1.1.88.11", instance_number=9)
    ground.store(*instances, report)
    request_attributes = {"allow_media_splitting": "NO", "allow_lossy_compression": "YES"}
    request = planned(
        ground, [*instances, report], profiles="STD-GEN-DVD-JPEG", **request_attributes
    )
    assert request.execution_status_info is ExecutionStatusInfo.SET_OVERSIZED
    assert {row.derived_sop_instance_uid for row in transcoded(ground).values()} == {""}


@pytest.mark.parametrize(
    ("allowed", "reason"),
    [
        ("NO", FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT),
        ("YES", FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT),
    ],
)
def test_an_image_is_refused_by_a_profile_that_has_only_video(
    ground: Ground, allowed: str, reason: FailureReason
) -> None:
    image = instance(pixels=encode(0x7FE00010, b"OW", bytes(128)))
    frames = encode(0x00280008, b"IS", b"2")
    at = image.data_set.index(encode(ROWS, b"US", b"\1\0"))
    image = replace(image, data_set=image.data_set[:at] + frames + image.data_set[at:])
    ground.store(image)
    request = planned(
        ground, [image], profiles="STD-DVD-MPEG2-MPML", allow_lossy_compression=allowed
    )
    assert [failure.failure_reason for failure in request.failures] == [reason]


def test_a_set_that_may_be_split_is_not_compressed(ground: Ground) -> None:
    instances = compressible_images()
    ground.store(*instances)
    request = planned(ground, instances, profiles="STD-GEN-DVD-JPEG", allow_media_splitting="YES")
    assert len(request.file_sets) > 1
    assert transcoded(ground) == {}


def test_the_received_file_is_used_where_it_fits_though_a_compressed_one_exists(
    ground: Ground,
) -> None:
    instances = compressible_images()
    ground.store(*instances)
    planned(ground, instances, profiles="STD-GEN-DVD-JPEG", allow_media_splitting="NO")
    request = planned(
        ground, instances[:1], profiles="STD-GEN-DVD-JPEG", allow_media_splitting="NO"
    )
    (entry,) = request.file_sets[0].entries
    assert entry.transcoded_instance_id is None


def test_an_image_that_does_not_get_smaller_goes_uncompressed(ground: Ground) -> None:
    """Then the set still does not fit; unless others of it make room."""
    profile = "STD-GEN-DVD-JPEG"
    incompressible, compressible = incompressible_images(4), compressible_images(4)
    ground.store(*incompressible, *compressible)
    request = planned(ground, incompressible, profiles=profile, allow_media_splitting="NO")
    assert request.execution_status_info is ExecutionStatusInfo.SET_OVERSIZED
    assert request.failures == []
    request = planned(
        ground, [incompressible[0], *compressible], profiles=profile, allow_media_splitting="NO"
    )
    (file_set,) = request.file_sets
    kept = [entry.transcoded_instance_id is None for entry in file_set.entries]
    assert kept.count(True) == 1


def test_an_image_too_large_for_any_volume_is_compressed(tmp_path: Path) -> None:
    (compressible,), (incompressible,) = compressible_images(1), incompressible_images(1)
    with Ground(tmp_path, device=(DeviceSettings(name="outbox", capacity=640_000),)) as ground:
        ground.store(compressible, incompressible)
        request = planned(ground, [compressible], profiles="STD-GEN-DVD-JPEG")
        assert len(transcoded(ground)) == len(request.file_sets) == 1
        request = planned(ground, [incompressible], profiles="STD-GEN-DVD-JPEG")
        assert request.execution_status_info is ExecutionStatusInfo.INST_OVERSIZED


def test_an_encoder_fault_fails_the_instance(ground: Ground) -> None:
    instances = compressible_images()
    numbers = ground.store(*instances)
    uid = ground.admit(instances, profiles="STD-GEN-DVD-JPEG", allow_media_splitting="NO")
    tick(
        ground,
        {
            (numbers[1], JPEG_LOSSLESS_SV1): InstanceFailure(
                FailureReason.PROCESSING_FAILURE, "other values", encoder_fault=True
            )
        },
    )
    request = ground.request(uid)
    assert request.execution_status_info is ExecutionStatusInfo.PROC_FAILURE
    assert [(f.referenced_sop_instance_uid, f.failure_reason) for f in request.failures] == [
        (instances[1].sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason", "tags"),
    [
        ((ROWS, b"\1\0"), None, FailureReason.MISSING_ATTRIBUTE, [ROWS]),
        ((ROWS, b"\1\0"), b"", FailureReason.MISSING_ATTRIBUTE_VALUE, [ROWS]),
        ((ROWS, b"\1\0"), b"\0\0", FailureReason.PROCESSING_FAILURE, [ROWS]),
        ((0, b""), b"", FailureReason.PROCESSING_FAILURE, [PIXEL_DATA]),
        ((ROWS, b"\1\0"), b"\2\0", FailureReason.PROCESSING_FAILURE, [ROWS]),
    ],
)
def test_failure_attributes_name_what_prevents_the_conversion(
    ground: Ground,
    old: tuple[int, bytes],
    new: bytes | None,
    reason: FailureReason,
    tags: list[int],
) -> None:
    tag, value = old
    frame = jpeg_frame() if tag else b"no image at all!"
    image = instance(transfer_syntax_uid=JPEG_BASELINE, pixels=encapsulated(frame))
    if tag:
        changed = b"" if new is None else encode(tag, b"US", new)
        image = replace(image, data_set=image.data_set.replace(encode(tag, b"US", value), changed))
    ground.store(image)
    request = planned(ground, [image], profiles="STD-GEN-CD")
    assert request.execution_status is ExecutionStatus.FAILURE
    pieces = RequestAttributes(ground.database).encoded(
        request.sop_instance_uid, EXPLICIT_VR_LITTLE_ENDIAN
    )
    data_set = attributes.decode(b"".join(pieces), EXPLICIT_VR_LITTLE_ENDIAN)
    (item,) = data_set.FailedSOPSequence
    assert item.FailureReason == reason
    failure_attributes = item["FailureAttributes"]
    assert [
        int(tag)
        for tag in (
            failure_attributes.value if failure_attributes.VM > 1 else [failure_attributes.value]
        )
    ] == tags


def wanted(syntax: str) -> SourceInstance:
    return SourceInstance(header(), kind_of(header(), syntax), 1, InstanceFile(syntax, 1, "key"))


@pytest.mark.parametrize(
    ("syntax", "permitted", "form", "compressed"),
    [
        (EXPLICIT_VR_LITTLE_ENDIAN, {EXPLICIT_VR_LITTLE_ENDIAN}, EXPLICIT_VR_LITTLE_ENDIAN, None),
        (JPEG_2000, {EXPLICIT_VR_LITTLE_ENDIAN}, EXPLICIT_VR_LITTLE_ENDIAN, None),
        (JPEG_2000, {EXPLICIT_VR_LITTLE_ENDIAN, JPEG_2000}, JPEG_2000, None),
        (EXPLICIT_VR_LITTLE_ENDIAN, {JPEG_LOSSLESS_SV1}, JPEG_LOSSLESS_SV1, None),
        (JPEG_BASELINE, {JPEG_2000_LOSSLESS, JPEG_2000}, JPEG_2000_LOSSLESS, None),
        (MPEG2, {EXPLICIT_VR_LITTLE_ENDIAN}, None, None),
        (
            JPEG_2000,
            {EXPLICIT_VR_LITTLE_ENDIAN, JPEG_LOSSLESS_SV1},
            EXPLICIT_VR_LITTLE_ENDIAN,
            JPEG_LOSSLESS_SV1,
        ),
    ],
)
def test_the_default_and_the_lossless_transfer_syntax_of_a_profile(
    syntax: str, permitted: set[str], form: str | None, compressed: str | None
) -> None:
    rules = (Rule(frozenset(permitted)),)
    profile: ApplicationProfile = replace(PROFILES["STD-GEN-CD"], rules=rules)
    instance_kind = wanted(syntax)
    assert instance_kind.media_syntaxes(profile).default == form
    assert instance_kind.media_syntaxes(profile).lossless == compressed
