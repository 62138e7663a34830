"""The planner against rows: what is planned, what is refused and why, and what it must survive."""

import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from burnish.application_profiles import PROFILES
from burnish.content.readme_txt import ReadmeDetails
from burnish.db.session import Database
from burnish.db.tables import (
    Event,
    FileSet,
    Instance,
    MediaCreationRequest,
    TranscodedInstance,
)
from burnish.dicom_elements import encode, scan
from burnish.errors import Conflict, OutOfResources
from burnish.instance_header import instance_faults
from burnish.media import MEDIA, SECTOR
from burnish.plan import persist, volumes
from burnish.plan.attempts import Attempt
from burnish.plan.eligibility import kind_of
from burnish.plan.grouping import group_into_series
from burnish.plan.media_plan import Plan, Terms, pack_candidates
from burnish.plan.planner import Planner
from burnish.plan.profile_choice import Choice
from burnish.plan.size_estimate import VolumeEstimate
from burnish.plan.source_instances import InstanceFile, SourceInstance
from burnish.plan.volumes import PlannedVolume, divide_into_volumes, fixed_part, lay_out_volume
from burnish.request import operations
from burnish.settings import (
    DeviceSettings,
    RequestSettings,
    SecuritySettings,
    StandingOrderSettings,
)
from burnish.values import InstanceHeader
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    PieceState,
)
from burnish.write import job, pipeline
from burnish.write.pipeline import VolumeInstance, VolumePlan
from certificates import identity
from factories import (
    MPEG2,
    STANDALONE_CURVE,
    Ground,
    SampleInstance,
    encapsulated,
    header,
    instance,
    jpeg_frame,
    undecodable_frame,
)
from locks import locked
from trees import few

BROKEN = encapsulated(b"no image at all!")


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def plan_all(ground: Ground, planner: Planner | None = None) -> None:
    own = planner or Planner(ground.settings, ground.database, ground.spool)
    try:
        own.tick()
    finally:
        own.close()


def several_instances(count: int = 3, **values: Any) -> list[SampleInstance]:
    return [instance(instance_number=n, **values) for n in range(1, count + 1)]


def planned(
    ground: Ground, instances: Sequence[SampleInstance], **request: Any
) -> MediaCreationRequest:
    ground.store(*instances)
    uid = ground.admit(instances, **request)
    plan_all(ground)
    return ground.request(uid)


def refused(
    request: MediaCreationRequest, info: ExecutionStatusInfo
) -> list[tuple[str, FailureReason]]:
    """The Failed SOP Sequence of a request that must have failed so."""
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is info
    assert request.file_sets == []
    return [
        (f.referenced_sop_instance_uid, FailureReason(f.failure_reason)) for f in request.failures
    ]


def small(capacity: int) -> dict[str, Any]:
    return {"device": (DeviceSettings(name="outbox", media=("CD",), capacity=capacity),)}


# --- what is planned -----------------------------------------------------------------------------


def test_a_request_becomes_one_file_set_and_a_piece_for_each_copy(ground: Ground) -> None:
    request = planned(ground, instances := several_instances(), copies=3)
    assert request.execution_status is ExecutionStatus.PENDING
    (file_set,) = request.file_sets
    assert file_set.media_application_profile == "STD-GEN-CD"
    assert file_set.medium == "CD"
    assert file_set.volume_number == 1
    assert file_set.volume_count == 1
    assert file_set.instances == 3
    assert [p.copy_number for p in file_set.pieces] == [1, 2, 3]
    assert {p.state for p in file_set.pieces} == {PieceState.QUEUED}
    assert [e.referenced_file_id[-8:] for e in file_set.entries] == [
        f"IM{n:06d}" for n in range(1, len(instances) + 1)
    ]
    assert ground.events(request.sop_instance_uid)[-1][0] == "PLANNED"


def test_a_planned_request_is_not_planned_again(ground: Ground) -> None:
    request = planned(ground, several_instances())
    plan_all(ground)
    assert len(ground.request(request.sop_instance_uid).file_sets) == 1


def test_volumes_of_a_split_set_are_numbered_and_fit_the_medium(tmp_path: Path) -> None:
    with Ground(tmp_path, **small(200_000)) as ground:
        instances = [
            instance(size=60_000, series=f"1.2.3.1.{n}", series_number=n) for n in range(6)
        ]
        request = planned(
            ground,
            instances,
            profiles="STD-GEN-CD",
            storage_media_file_set_id="MYSETOFDISCS",
            storage_media_file_set_uid="1.9",
        )
        count = len(request.file_sets)
        assert count >= 3
        assert sum(s.instances for s in request.file_sets) == 6
        assert [s.volume_number for s in request.file_sets] == list(range(1, count + 1))
        assert {s.volume_count for s in request.file_sets} == {count}
        assert [s.file_set_id for s in request.file_sets] == [
            f"MYSETOFDISCS_{n}" for n in range(1, count + 1)
        ]
        uids = [s.file_set_uid for s in request.file_sets]
        assert uids[0] == "1.9"
        assert len(set(uids)) == count
        assert all(s.predicted_size <= 200_000 for s in request.file_sets)


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [
        ("SIXTEENCHARSLONG", 1, "SIXTEENCHARSLONG"),
        ("SIXTEENCHARSLONG", 2, "SIXTEENCHARSLO_1"),
        ("SIXTEENCHARSLONG", 100, "SIXTEENCHARSLO_1"),
        ("", 1, "BURNISH_00000701"),
        ("", 2, "BURNISH_00000701"),
    ],
)
def test_file_set_ids(given: str, count: int, expected: str) -> None:
    request = MediaCreationRequest(id=7, storage_media_file_set_id=given)
    ids = [persist.volume_file_set_id("BURNISH", request, n, count) for n in range(1, count + 1)]
    assert ids[0] == expected
    assert len(set(ids)) == count
    assert all(len(file_set_id) <= 16 for file_set_id in ids)


@pytest.mark.parametrize(
    ("size", "profile", "medium"),
    [
        (1000, "STD-GEN-CD", "CD"),
        (800_000_000, "STD-GEN-DVD-JPEG", "DVD"),
        (4_800_000_000, "STD-GEN-DVD-JPEG", "DVD-DL"),
    ],
)
def test_a_request_without_a_profile_gets_the_smallest_medium_that_holds_it(
    ground: Ground, size: int, profile: str, medium: str
) -> None:
    instances = [instance(instance_number=n) for n in (1, 2)]
    ground.store(*instances, size=size // 2)
    uid = ground.admit(instances)
    plan_all(ground)
    (file_set,) = ground.request(uid).file_sets
    assert file_set.media_application_profile == profile
    assert file_set.medium == medium


def test_a_set_that_fits_no_single_volume_is_split_over_dvds(ground: Ground) -> None:
    instances = [instance(series=f"1.2.3.1.{n}", series_number=n) for n in range(4)]
    ground.store(*instances, size=4_000_000_000)
    uid = ground.admit(instances)
    plan_all(ground)
    assert {s.medium for s in ground.request(uid).file_sets} == {"DVD"}
    assert len(ground.request(uid).file_sets) == 4


def test_the_requested_profile_is_used(ground: Ground) -> None:
    request = planned(ground, several_instances(), profiles="STD-GEN-DVD-J2K")
    (file_set,) = request.file_sets
    assert file_set.media_application_profile == "STD-GEN-DVD-J2K"
    assert file_set.medium == "DVD"


def in_implicit_vr(instances: SampleInstance) -> SampleInstance:
    data_set = b"".join(
        (e.tag >> 16).to_bytes(2, "little")
        + (e.tag & 0xFFFF).to_bytes(2, "little")
        + e.length.to_bytes(4, "little")
        + instances.data_set[e.value : e.value + e.length]
        for e in scan(instances.data_set, 0, len(instances.data_set), explicit=True)
    )
    return SampleInstance(
        instances.sop_class_uid, instances.sop_instance_uid, IMPLICIT_VR_LITTLE_ENDIAN, data_set
    )


def test_an_instance_is_converted_once_for_several_requests(ground: Ground) -> None:
    received = in_implicit_vr(several_instances(1)[0])
    ground.store(received)
    requests = [ground.admit([received]) for _ in range(2)]
    plan_all(ground)
    assert ground.count(TranscodedInstance) == 1
    with ground.database.reading() as session:
        made_row = session.scalars(select(TranscodedInstance)).one()
    assert made_row.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
    assert ground.spool.path(made_row.spool_key).stat().st_size == made_row.size
    for uid in requests:
        (entry,) = ground.request(uid).file_sets[0].entries
        assert entry.transcoded_instance_id == made_row.id


def test_compressed_images_are_not_converted_for_a_profile_that_permits_them(
    ground: Ground,
) -> None:
    instances = [instance(transfer_syntax_uid=JPEG_BASELINE, pixels=encapsulated(jpeg_frame()))]
    request = planned(ground, instances, profiles="STD-GEN-DVD-JPEG")
    assert request.file_sets[0].entries[0].transcoded_instance_id is None
    assert ground.count(TranscodedInstance) == 0


# --- what is refused -----------------------------------------------------------------------------


def test_an_unknown_profile_is_refused(ground: Ground) -> None:
    instances = several_instances(2)
    request = planned(ground, instances, profiles=["STD-GEN-CD", "STD-GEN-SEC-ZIP-MAIL"])
    assert refused(request, ExecutionStatusInfo.NOT_SUPPORTED) == [
        (instances[1].sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED)
    ]


def test_a_profile_that_no_device_can_write_is_refused(tmp_path: Path) -> None:
    with Ground(tmp_path, device=(DeviceSettings(name="cd", media=("CD",)),)) as ground:
        instances = several_instances(1)
        request = planned(ground, instances, profiles="STD-GEN-DVD-JPEG")
        assert refused(request, ExecutionStatusInfo.NOT_SUPPORTED) == [
            (instances[0].sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED)
        ]


def test_profiles_without_a_common_medium_are_refused(ground: Ground) -> None:
    instances = several_instances(2)
    request = planned(ground, instances, profiles=["STD-GEN-CD", "STD-GEN-DVD-JPEG"])
    assert refused(request, ExecutionStatusInfo.INST_AP_CONFLICT) == [
        (sample.sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT)
        for sample in instances
    ]


def test_secure_and_other_profiles_are_refused_together(ground: Ground) -> None:
    instances = several_instances(2)
    request = planned(ground, instances, profiles=["STD-GEN-CD", "STD-GEN-SEC-CD"])
    assert refused(request, ExecutionStatusInfo.INST_AP_CONFLICT) == [
        (sample.sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT)
        for sample in instances
    ]


def test_secure_media_without_recipients_are_refused(ground: Ground) -> None:
    instances = several_instances(2)
    request = planned(ground, instances, profiles="STD-GEN-SEC-CD")
    assert refused(request, ExecutionStatusInfo.NOT_SUPPORTED) == [
        (sample.sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED)
        for sample in instances
    ]
    assert "[security]" in request.remedy


def test_damage_is_told_beside_a_reason_that_rules_out_every_instance(ground: Ground) -> None:
    damaged = instance(pixels=encode(0x7FE00010, b"OW", bytes(50)))
    request = planned(ground, [*several_instances(1), damaged], profiles="STD-GEN-SEC-CD")
    assert len(refused(request, ExecutionStatusInfo.NOT_SUPPORTED)) == 2
    assert "[security]" in request.remedy
    assert "correct the instances" in request.remedy
    with ground.database.reading() as session:
        why = session.scalars(select(Event.why).order_by(Event.id.desc())).first()
    assert why is not None
    assert "has 50 bytes, where 64 are required (1 instance)" in why


def test_secure_media_for_an_expired_certificate_are_refused(tmp_path: Path) -> None:
    expired = identity(tmp_path, "expired", expired=True)
    security = SecuritySettings(recipients=(expired.certificate,))
    with Ground(tmp_path, security=security) as ground:
        request = planned(ground, several_instances(1), profiles="STD-GEN-SEC-CD")
        assert len(refused(request, ExecutionStatusInfo.NOT_SUPPORTED)) == 1


def test_an_instance_in_a_transfer_syntax_outside_the_profile_is_refused(ground: Ground) -> None:
    instances = [*several_instances(1), instance(transfer_syntax_uid=MPEG2, pixels=BROKEN)]
    request = planned(ground, instances)
    assert refused(request, ExecutionStatusInfo.INST_AP_CONFLICT) == [
        (instances[1].sop_instance_uid, FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT)
    ]
    with ground.database.reading() as session:
        why = session.scalars(select(Event.why).order_by(Event.id.desc())).first()
    assert why is not None
    assert f"STD-GEN-DVD-JPEG does not permit its Transfer Syntax {MPEG2}" in why


def test_a_sop_class_without_a_directory_record_is_refused(ground: Ground) -> None:
    instances = [*several_instances(1), instance(sop_class_uid=STANDALONE_CURVE)]
    request = planned(ground, instances)
    assert refused(request, ExecutionStatusInfo.NOT_SUPPORTED) == [
        (instances[1].sop_instance_uid, FailureReason.SOP_CLASS_NOT_SUPPORTED)
    ]


def test_a_set_that_does_not_fit_is_refused_where_splitting_is_not_allowed(tmp_path: Path) -> None:
    with Ground(tmp_path, **small(200_000)) as ground:
        instances = several_instances(4, size=60_000)
        request = planned(ground, instances, profiles="STD-GEN-CD", allow_media_splitting="NO")
        assert refused(request, ExecutionStatusInfo.SET_OVERSIZED) == []
        assert request.remedy


def test_an_instance_larger_than_the_medium_is_refused(tmp_path: Path) -> None:
    with Ground(tmp_path, **small(200_000)) as ground:
        instances = [*several_instances(2, size=1000), instance(size=300_000)]
        for split in ("YES", "NO"):
            if split == "YES":
                ground.store(*instances)
            uid = ground.admit(instances, profiles="STD-GEN-CD", allow_media_splitting=split)
            plan_all(ground)
            request = ground.request(uid)
            assert refused(request, ExecutionStatusInfo.INST_OVERSIZED) == [
                (instances[2].sop_instance_uid, FailureReason.INSTANCE_SIZE_EXCEEDED)
            ]


@pytest.mark.parametrize("profile", ["STD-GEN-CD", ""])
@pytest.mark.parametrize("syntax", [JPEG_BASELINE, JPEG_2000_LOSSLESS])
def test_pixel_data_that_cannot_be_decoded_is_refused_where_it_must_be_decoded(
    ground: Ground, profile: str, syntax: str
) -> None:
    """On CD it must be decoded: nothing is put on a DVD instead, where it would stay as it is."""
    broken = encapsulated(undecodable_frame(syntax))
    instances = [*several_instances(1), instance(transfer_syntax_uid=syntax, pixels=broken)]
    ground.store(*instances)
    uid = ground.admit(instances, profiles=profile)
    planner = Planner(ground.settings, ground.database, ground.spool)
    waits = iter(range(40))
    wait = planner._conversions.wait

    def counted(seconds: float) -> bool:
        if next(waits, None) is None:
            planner.stopping.set()
        return wait(20 * seconds)

    planner._conversions.wait = counted  # type: ignore[method-assign]
    plan_all(ground, planner)
    assert not planner.stopping.is_set(), "what cannot be decoded is tried again without end"
    request = ground.request(uid)
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (instances[1].sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]
    assert "request a profile that permits their transfer syntax" in request.remedy


@pytest.mark.parametrize("profile", ["STD-GEN-CD", "STD-GEN-DVD-JPEG", ""])
def test_images_that_no_viewer_can_show_are_refused_for_any_medium(
    ground: Ground, profile: str
) -> None:
    good = instance()
    short = instance(instance_number=2, pixels=encode(0x7FE00010, b"OW", bytes(50)))
    native = instance(instance_number=3, transfer_syntax_uid=JPEG_BASELINE)
    instances = [good, short, native]
    request = planned(ground, instances, profiles=profile)
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (short.sop_instance_uid, FailureReason.PROCESSING_FAILURE),
        (native.sop_instance_uid, FailureReason.PROCESSING_FAILURE),
    ]
    with ground.database.reading() as session:
        why = session.scalars(select(Event.why).where(Event.event == "FAILED")).one()
    assert "has 50 bytes, where 64 are required" in why
    assert "is native, where its transfer syntax requires encapsulated" in why


SHORT = encode(0x7FE00010, b"OW", bytes(50))


def with_damaged_images(ground: Ground, choice: str) -> None:
    table = {"damaged_images": choice}
    request = RequestSettings.model_validate(ground.settings.request.model_dump() | table)
    ground.settings = ground.settings.model_copy(update={"request": request})


def events(ground: Ground, event: str) -> list[str]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Event.why).where(Event.event == event)))


def on_media(request: MediaCreationRequest) -> int:
    return sum(file_set.instances for file_set in request.file_sets)


@pytest.mark.parametrize("profile", ["STD-GEN-CD", ""])
def test_a_site_may_put_damaged_images_on_media_and_all_say_so(
    ground: Ground, profile: str
) -> None:
    with_damaged_images(ground, "keep")
    short = instance(instance_number=2, pixels=SHORT)
    request = planned(ground, [instance(), short], profiles=profile)
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.file_sets[0].medium == "CD"
    assert on_media(request) == 2
    [why] = events(ground, "DAMAGED")
    assert f"{short.sop_instance_uid} (its Pixel Data (7FE0,0010) has 50 bytes" in why
    assert why in request.file_sets[0].readme_remarks.splitlines()


def test_an_image_that_cannot_be_decoded_is_kept_on_a_dvd_and_all_say_so(ground: Ground) -> None:
    with_damaged_images(ground, "keep")
    frame = encapsulated(undecodable_frame(JPEG_BASELINE))
    broken = instance(transfer_syntax_uid=JPEG_BASELINE, pixels=frame)
    request = planned(ground, [instance(instance_number=2), broken])
    assert request.execution_status is ExecutionStatus.PENDING
    assert request.file_sets[0].medium == "DVD"
    assert on_media(request) == 2
    [why] = events(ground, "DAMAGED")
    assert broken.sop_instance_uid in why
    assert why in request.file_sets[0].readme_remarks.splitlines()


def test_a_kept_image_that_no_profile_permits_is_still_refused(ground: Ground) -> None:
    with_damaged_images(ground, "keep")
    broken = instance(transfer_syntax_uid=JPEG_BASELINE, pixels=BROKEN)
    request = planned(ground, [instance(instance_number=2), broken], profiles="STD-GEN-CD")
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (broken.sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]
    [why] = events(ground, "FAILED")
    assert f"does not permit its Transfer Syntax {JPEG_BASELINE}" in why


@pytest.mark.parametrize("profile", ["STD-GEN-CD", "STD-GEN-DVD-JPEG", ""])
def test_a_site_may_have_damaged_images_left_out_and_all_say_so(
    ground: Ground, profile: str
) -> None:
    with_damaged_images(ground, "leave_out")
    short = instance(instance_number=2, pixels=SHORT)
    broken = instance(instance_number=3, transfer_syntax_uid=JPEG_BASELINE, pixels=BROKEN)
    request = planned(ground, [instance(), short, broken], profiles=profile)
    assert request.execution_status is ExecutionStatus.PENDING
    left_out = {failure.referenced_sop_instance_uid for failure in request.failures}
    assert short.sop_instance_uid in left_out
    [why] = events(ground, "LEFT OUT")
    assert "NOT on the media" in why
    assert why in request.file_sets[0].readme_remarks.splitlines()
    assert on_media(request) + len(left_out) == 3
    assert left_out == {short.sop_instance_uid, broken.sop_instance_uid}
    if profile != "STD-GEN-DVD-JPEG":
        assert request.file_sets[0].medium == "CD"


@pytest.mark.parametrize(
    ("frames", "columns", "reason"),
    [
        ([jpeg_frame()[:100]], 64, "frame 1"),
        ([b"\0\1garbage!" * 20], 64, "begins with 0001H"),
        ([], 64, "has no fragment"),
        ([jpeg_frame(columns=32)], 64, "has 32 columns in its JPEG header"),
    ],
)
@pytest.mark.parametrize("profile", ["STD-GEN-CD", "STD-GEN-DVD-JPEG", ""])
def test_damaged_frames_are_found_also_where_nothing_is_decoded(
    ground: Ground, profile: str, frames: list[bytes], columns: int, reason: str
) -> None:
    damaged = instance(
        transfer_syntax_uid=JPEG_BASELINE, pixels=encapsulated(*frames), size=columns
    )
    request = planned(ground, [instance(instance_number=2), damaged], profiles=profile)
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (damaged.sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]
    [why] = events(ground, "FAILED")
    assert reason in why


def test_a_missing_frame_is_found_also_where_nothing_is_decoded(ground: Ground) -> None:
    image = instance(transfer_syntax_uid=JPEG_BASELINE, pixels=encapsulated(*[jpeg_frame()] * 3))
    frames = encode(0x00280008, b"IS", b"10")
    position = image.data_set.index(struct.pack("<HH", 0x0028, 0x0010))
    data_set = image.data_set[:position] + frames + image.data_set[position:]
    request = planned(ground, [replace(image, data_set=data_set)], profiles="STD-GEN-DVD-JPEG")
    assert request.execution_status is ExecutionStatus.FAILURE
    [why] = events(ground, "FAILED")
    assert "(0028,0008) is 10" in why


def test_if_all_images_are_damaged_none_is_left_out(ground: Ground) -> None:
    with_damaged_images(ground, "leave_out")
    short = instance(pixels=SHORT)
    request = planned(ground, [short])
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (short.sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]


def test_another_reason_than_damage_leaves_nothing_out(ground: Ground) -> None:
    with_damaged_images(ground, "leave_out")
    curve = instance(sop_class_uid=STANDALONE_CURVE, instance_number=2)
    request = planned(ground, [instance(), curve, instance(instance_number=3, pixels=SHORT)])
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.file_sets == []


def test_a_standing_order_may_decide_otherwise_on_damaged_images(ground: Ground) -> None:
    order = StandingOrderSettings(
        name="us", called_ae_titles=("BURN_US",), damaged_images="leave_out"
    )
    ground.settings = ground.settings.model_copy(update={"standing_order": (order,)})
    instances = [instance(), instance(instance_number=2, pixels=SHORT)]
    ground.store(*instances)
    uid = ground.admit(instances)
    with ground.database.writing() as session:
        request = session.scalars(select(MediaCreationRequest)).one()
        request.standing_order = "us"
    plan_all(ground)
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert on_media(request) == 1


def with_damaged_sequence(sample: SampleInstance) -> SampleInstance:
    """An instance with a Referenced Image Sequence whose item is longer than the sequence."""
    reference = encode(0x00081155, b"UI", b"1.2.3")
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 90) + reference
    data = sample.data_set
    modality = next(e for e in scan(data, 0, len(data), explicit=True) if e.tag == 0x00080060)
    sequence = encode(0x00081140, b"SQ", item)
    return replace(sample, data_set=data[: modality.end] + sequence + data[modality.end :])


DAMAGED_SEQUENCE = (
    "its Referenced Image Sequence (0008,1140): item 1 should have 90 bytes, of which 14 are there"
)


def test_an_instance_with_a_damaged_sequence_is_named_with_attribute_and_reason(
    ground: Ground,
) -> None:
    instances = [instance(), with_damaged_sequence(instance(instance_number=2))]
    request = planned(ground, instances)
    assert refused(request, ExecutionStatusInfo.PROC_FAILURE) == [
        (instances[1].sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]
    [failure] = request.failures
    assert failure.failure_attributes == "00081140"
    [why] = events(ground, "FAILED")
    assert DAMAGED_SEQUENCE in why
    with ground.database.reading() as session:
        faults = session.scalars(select(Instance.fault).order_by(Instance.id)).all()
    assert faults == ["", DAMAGED_SEQUENCE]


def test_a_damaged_sequence_that_is_kept_does_not_come_into_the_dicomdir(ground: Ground) -> None:
    with_damaged_images(ground, "keep")
    request = planned(ground, [with_damaged_sequence(instance())])
    [file_set] = request.file_sets
    assert DAMAGED_SEQUENCE in file_set.readme_remarks
    [why] = events(ground, "DAMAGED")
    assert DAMAGED_SEQUENCE in why
    with ground.database.reading() as session:
        keys = session.scalars(select(Instance.record_keys)).one()
    assert b"\x08\0\x40\x11" not in keys


def test_a_damaged_instance_that_cannot_be_converted_is_named_with_what_is_damaged(
    ground: Ground,
) -> None:
    with_damaged_images(ground, "keep")
    damaged = in_implicit_vr(with_damaged_sequence(instance()))
    request = planned(ground, [damaged], profiles="STD-GEN-CD")
    assert request.execution_status is ExecutionStatus.FAILURE
    [why] = events(ground, "FAILED")
    assert DAMAGED_SEQUENCE in why
    assert f"does not permit its Transfer Syntax {IMPLICIT_VR_LITTLE_ENDIAN}" in why


def test_an_instance_with_a_damaged_sequence_is_left_out_if_the_site_says_so(
    ground: Ground,
) -> None:
    with_damaged_images(ground, "leave_out")
    request = planned(ground, [instance(), with_damaged_sequence(instance(instance_number=2))])
    [file_set] = request.file_sets
    assert len(file_set.entries) == 1
    [why] = events(ground, "LEFT OUT")
    assert DAMAGED_SEQUENCE in why


def test_an_instance_of_an_earlier_version_is_examined_when_it_is_planned(ground: Ground) -> None:
    instances = [instance(), instance(instance_number=2, pixels=SHORT)]
    ground.store(*instances)
    with ground.database.writing() as session:
        session.execute(update(Instance).values(fault=instance_faults.UNEXAMINED))
    uid = ground.admit(instances)
    plan_all(ground)
    assert refused(ground.request(uid), ExecutionStatusInfo.PROC_FAILURE) == [
        (instances[1].sop_instance_uid, FailureReason.PROCESSING_FAILURE)
    ]
    with ground.database.reading() as session:
        faults = session.scalars(select(Instance.fault).order_by(Instance.id)).all()
    assert faults == ["", "its Pixel Data (7FE0,0010) has 50 bytes, where 64 are required"]


@pytest.mark.parametrize(
    ("values", "named", "in_readme"),
    [
        ({}, "", ""),
        ({"patient_id": ""}, "Patient ID (0010,0020)", "Patient ID (0010,0020)"),
        ({"study_date": ""}, "Study Date (0008,0020)", "Study Date (0008,0020)"),
        ({"series_number": None}, "Series Number (0020,0011)", ""),
        ({"instance_number": None}, "Instance Number (0020,0013)", ""),
    ],
)
def test_values_that_stand_in_for_missing_ones_are_told(
    ground: Ground, values: dict[str, Any], named: str, in_readme: str
) -> None:
    request = planned(ground, [instance(**values)])
    whys = events(ground, "STAND-INS")
    assert [named in why for why in whys] == [True] * bool(named)
    remarks = request.file_sets[0].readme_remarks
    assert bool(remarks) == bool(in_readme)
    assert in_readme in remarks


def test_a_key_that_one_instance_of_a_study_has_is_not_missing(ground: Ground) -> None:
    planned(ground, [instance(), instance(instance_number=2, study_date="")])
    assert events(ground, "STAND-INS") == []


def test_instances_with_elements_out_of_order_go_on_media_and_the_request_says_so(
    ground: Ground,
) -> None:
    late = instance(pixels=encode(0x7FE00010, b"OW", bytes(64)) + encode(0x00200010, b"SH", b"1"))
    request = planned(ground, [late])
    assert on_media(request) == 1
    [why] = events(ground, "PLANNED")
    assert "Study ID (0020,0010) comes behind an element of a higher tag (kept as it is)" in why


def test_images_without_pixel_data_go_on_media_and_the_request_says_so(ground: Ground) -> None:
    empty = instance(instance_number=2, pixels=encode(0xFFFCFFFC, b"OB", bytes(2)))
    request = planned(ground, [instance(), empty])
    (file_set,) = request.file_sets
    assert file_set.instances == 2
    with ground.database.reading() as session:
        why = session.scalars(select(Event.why).where(Event.event == "PLANNED")).one()
    assert why.endswith("1 image without Pixel Data")
    assert "1 image of this set has no pixel data" in file_set.readme_remarks


# --- what it must survive ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [None, ExecutionStatus.IDLE, ExecutionStatus.CREATING])
def test_only_admitted_requests_are_planned(ground: Ground, status: ExecutionStatus | None) -> None:
    instances = several_instances(1)
    ground.store(*instances)
    uid = ground.admit(instances)
    with ground.database.writing() as session:
        columns = {"admitted_at": None} if status is None else {"execution_status": status}
        session.execute(update(MediaCreationRequest).values(columns))
    plan_all(ground)
    assert ground.request(uid).file_sets == []


def test_a_request_cancelled_while_it_is_planned_is_not_planned(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = several_instances(1)
    ground.store(*instances)
    uid = ground.admit(instances)
    planner = Planner(ground.settings, ground.database, ground.spool)
    decide = planner._decide

    def decide_late(*args: Any, **options: Any) -> Any:
        decision = decide(*args, **options)
        with ground.database.writing() as session:
            operations.cancel(session, uid)
        return decision

    monkeypatch.setattr(planner, "_decide", decide_late)
    plan_all(ground, planner)
    assert ground.request(uid).execution_status is ExecutionStatus.DELETED
    assert ground.count(FileSet) == 0


def test_a_request_whose_planning_fails_does_not_stop_the_others(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a plan trips over, the request fails by itself and the next one has its turn."""
    bad, good = instance(patient_id="BAD"), instance(patient_id="GOOD")
    ground.store(bad, good)
    first, second = ground.admit([bad]), ground.admit([good])
    real = volumes.lay_out_volumes

    def trip(groups: Any, **more: Any) -> Any:
        if groups[0][0].candidates[0].header.patient_id == "BAD":
            raise Conflict("the DICOMDIR would be longer than its offsets reach")
        return real(groups, **more)

    monkeypatch.setattr(volumes, "lay_out_volumes", trip)
    plan_all(ground)
    assert len(ground.request(second).file_sets) == 1
    assert ground.request(first).execution_status is ExecutionStatus.FAILURE


def test_requests_are_planned_by_priority(ground: Ground) -> None:
    instances = several_instances(1)
    ground.store(*instances)
    uids = [ground.admit(instances, priority=p) for p in ("LOW", "MED", "HIGH")]
    plan_all(ground)
    ids = [ground.request(uid).file_sets[0].id for uid in uids]
    assert ids == sorted(ids, reverse=True)


def source_instance(number: int, instance_header: Any, size: int) -> SourceInstance:
    received = InstanceFile(EXPLICIT_VR_LITTLE_ENDIAN, size, "key")
    return SourceInstance(
        instance_header, kind_of(instance_header, EXPLICIT_VR_LITTLE_ENDIAN), number, received
    )


def with_key(
    header_of_instance: InstanceHeader, tag: int, vr: bytes, value: bytes
) -> InstanceHeader:
    """The header with one more key of its patient, study or series."""
    keys = header_of_instance.entity_keys
    elements = {
        element.tag: keys[element.start : element.end]
        for element in scan(keys, 0, len(keys), explicit=True)
    }
    elements[tag] = encode(tag, vr, value)
    return header_of_instance._replace(
        entity_keys=b"".join(elements[tag] for tag in sorted(elements))
    )


def test_a_record_longer_than_was_added_up_makes_no_volume_too_large() -> None:
    """Each instance gives the study a key that the other lacks: the record is longer than either.

    The capacity is exact: the estimate fits, and the real DICOMDIR takes one sector more.
    """
    cd = MEDIA["CD"].file_system
    profile = PROFILES["STD-GEN-CD"]
    for length in range(2, 2048, 2):
        described = with_key(header(uid="1.4.1"), 0x00081030, b"LO", b"D" * 64)
        numbered = with_key(header(uid="1.4.2"), 0x00080050, b"SH", b"1" * 16)
        # what makes the DICOMDIR longer by so many bytes
        longer = [
            header(patient_id="P2", uid=f"1.6.{n}.{'1' * 40}", study="1.2.9", series="1.2.9.9")
            for n in range(length // 40)
        ]
        longer.append(header(uid="1.5." + "1" * (1 + length % 40), study="1.2.8", series="1.2.8.1"))
        rows = [
            source_instance(n, its_header, SECTOR)
            for n, its_header in enumerate([described, numbered, *longer])
        ]
        candidates = [row.candidate(profile) for row in rows]
        series = group_into_series(candidates)
        estimate = VolumeEstimate(fixed_part(1 << 60, cd))
        addition = estimate.addition(series)
        assert addition is not None
        estimate.add(addition)
        capacity = estimate.size()
        if capacity < lay_out_volume(series, cd).largest_size():
            break
    else:
        pytest.fail("no case found in which the estimate is too small")
    divided, oversized = divide_into_volumes(series, capacity, cd)
    assert oversized == []
    assert len(divided) == 2
    assert all(volume.largest_size() <= capacity for volume in divided)


def test_a_volume_larger_than_its_medium_is_never_recorded(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last guard, should the arithmetic of planning be wrong."""
    size = PlannedVolume.size

    def wrong_in_the_end(volume: PlannedVolume, file_set_id: str, file_set_uid: str) -> int:
        estimated = set(file_set_id) == {"0"}
        return size(volume, file_set_id, file_set_uid) if estimated else 10**12

    monkeypatch.setattr(PlannedVolume, "size", wrong_in_the_end)
    with pytest.raises(Conflict, match="larger than its medium"):
        planned(ground, several_instances(1), profiles="STD-GEN-CD")
    assert ground.count(FileSet) == 0


@few
@given(st.integers(0, 1 << 32), st.integers(2, 8), st.integers(0, 5))
def test_volumes_fit_where_instances_of_a_series_have_different_keys(
    seed: int, count: int, room: int
) -> None:
    """Capacities that are exact to the sector, and records longer than was added up."""
    chance = random.Random(seed)
    rows = [
        source_instance(
            n,
            header(
                name=chance.choice(("", "Doe^Jane^With^Many^Names" * 2)),
                series=f"1.3.{n % 2}",
                series_number=chance.choice((None, 1)),
                uid=f"1.4.{n}",
                instance_number=n,
            ),
            chance.randint(1, 3) * SECTOR,
        )
        for n in range(count)
    ]
    profile = PROFILES["STD-GEN-CD"]
    candidates = [row.candidate(profile) for row in rows]
    alone = max(
        lay_out_volume(group_into_series([row]), MEDIA["CD"].file_system).largest_size()
        for row in candidates
    )
    choice = Choice("CD", alone + room * SECTOR, (profile,) * count)
    plan = pack_candidates(
        rows,
        candidates,
        Attempt(choice, split=True),
        Terms(readme_details=ReadmeDetails(patients=True)),
    )
    assert isinstance(plan, Plan)
    assert all(volume.largest_size() <= choice.capacity for volume in plan.volumes)
    assert sorted(f.candidate.instance_id for v in plan.volumes for f in v.files) == list(
        range(count)
    )


@settings(few, max_examples=12)
@given(st.integers(0, 1 << 32), st.integers(1, 12))
def test_the_image_has_the_predicted_size(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int
) -> None:
    chance = random.Random(seed)
    root = tmp_path_factory.mktemp("ground")
    instances = []
    for n in range(count):
        study, series = chance.randint(1, 2), chance.randint(1, 2)
        instances.append(
            instance(
                patient_id=(patient := chance.choice(("P1", "P2", ""))),
                patient_name=chance.choice(("Doe^Jane", "DOE^JANE", "")),
                study=f"1.2.{len(patient)}{patient[1:]}.{study}",
                series=f"1.2.{len(patient)}{patient[1:]}.{study}.{series}",
                series_number=chance.choice((None, series)),
                instance_number=chance.choice((None, n)),
                size=chance.choice((1, 2047, 2048, 5000, chance.randint(1, 20_000))),
            )
        )
    capacity, profile = chance.choice(((120_000, "STD-GEN-CD"), (10**6, "")))
    with Ground(root, **small(capacity)) as ground:
        request = planned(ground, instances, profiles=profile)
        assert request.file_sets
        built = 0
        for file_set in request.file_sets:
            assert file_set.predicted_size <= file_set.capacity
            plan = plan_of(ground, file_set)
            image = pipeline.build_image(plan, root / "image.iso")
            assert (root / "image.iso").stat().st_size == file_set.predicted_size
            assert pipeline.read_back(plan, root / "image.iso", image, fresh=False).faults == ()
            built += len(plan.instances)
        assert built == count


def plan_of(ground: Ground, file_set: FileSet) -> VolumePlan:
    with ground.database.reading() as session:
        instances: tuple[VolumeInstance, ...] = job.volume_instances(
            session, file_set, ground.spool
        )
    return VolumePlan(
        file_set.file_set_id,
        file_set.file_set_uid,
        file_set.planned_at,
        file_set.predicted_size,
        MEDIA[file_set.medium].file_system,
        instances,
        readme_details=ReadmeDetails(profiles=file_set.media_application_profile),
    )


def test_a_conversion_is_not_repeated_when_recording_it_failed(ground: Ground) -> None:
    instances = [in_implicit_vr(sample) for sample in several_instances(2)]
    ground.store(*instances)
    with ground.database.writing() as session:
        session.execute(update(Instance).values(fault=""))  # they have been examined
    uid = ground.admit(instances)
    ground.database.close()
    ground.database = Database(ground.url, durable=False, wait=0.1)
    planner = Planner(ground.settings, ground.database, ground.spool)
    with locked(ground.url), pytest.raises(OutOfResources):
        planner.tick()
    waiting = {row.spool_key for row in planner._unrecorded}
    assert waiting
    plan_all(ground, planner)
    assert ground.request(uid).file_sets
    with ground.database.reading() as session:
        kept = set(session.scalars(select(TranscodedInstance.spool_key)))
    assert waiting <= kept
    assert len(kept) == 2
    assert len(list(ground.spool.published_keys())) == 4
