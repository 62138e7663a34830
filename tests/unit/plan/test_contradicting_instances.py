"""Requests with instances that contradict each other: kept apart where they must be, and told."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select, update

from burnish.content import readme_txt
from burnish.db.tables import Event, Instance, MediaCreationRequest
from burnish.image.reader import open_volume
from burnish.request import operations
from burnish.settings import DeviceSettings, RequestSettings
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason
from burnish.write import pipeline
from burnish.write.job import volume_jobs
from factories import Ground, SampleInstance, instance

MERGED = [
    instance(patient_id="OLD", instance_number=1),
    instance(patient_id="NEW", instance_number=2),
]
MERGED_SERIES_APART = [
    instance(patient_id="OLD", series="1.2.3.1.1"),
    instance(patient_id="NEW", series="1.2.3.1.2"),
]
MOVED = [
    instance(study="1.2.3.1", instance_number=1),
    instance(study="1.2.3.2", instance_number=2),
]
NAMESAKES = [
    instance(patient_name="Doe^Jane", instance_number=1),
    instance(patient_name="Roe^Richard", study="1.2.3.2", series="1.2.3.2.1", instance_number=2),
]
TWO_BIRTH_DATES = [
    instance(birth_date="19600101", instance_number=1),
    instance(birth_date="19610101", instance_number=2),
]
TWO_SEXES = [instance(sex="F", instance_number=1), instance(sex="M", instance_number=2)]


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def planned(
    ground: Ground, instances: Sequence[SampleInstance], **request: Any
) -> MediaCreationRequest:
    ground.store(*instances)
    uid = ground.admit(instances, **request)
    ground.plan()
    return ground.request(uid)


def reasons(ground: Ground, event: str) -> list[str]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Event.why).where(Event.event == event)))


def readmes(ground: Ground, request: MediaCreationRequest, folder: Path) -> list[str]:
    """README.TXT of each volume; building an image checks its planned size too."""
    texts = []
    with ground.database.reading() as session:
        jobs = volume_jobs(session, request.sop_instance_uid, ground.spool, folder, folder)
    for number, job in enumerate(jobs):
        path = folder / f"{number}.iso"
        pipeline.build_image(job.plan, path)
        with open_volume(path) as volume:
            texts.append(" ".join(volume.read(readme_txt.NAME).decode().split()))
    return texts


@pytest.mark.parametrize(
    ("instances", "reason"),
    [
        (MERGED, "Study Instance UID 1.2.3.1 belongs to 2 Patient IDs"),
        (MERGED_SERIES_APART, "Study Instance UID 1.2.3.1 belongs to 2 Patient IDs"),
        (MOVED, "Series Instance UID 1.2.3.1.1 belongs to 2 studies"),
        (NAMESAKES, "one Patient ID belongs to 2 patients"),
    ],
    ids=["merged", "merged, series apart", "moved", "namesakes"],
)
def test_instances_that_no_directory_can_list_together_are_on_volumes_of_the_same_medium(
    ground: Ground, tmp_path: Path, instances: list[SampleInstance], reason: str
) -> None:
    with structlog.testing.capture_logs() as log:
        request = planned(ground, instances)
    assert [file_set.medium for file_set in request.file_sets] == ["CD", "CD"]
    assert [len(file_set.entries) for file_set in request.file_sets] == [1, 1]
    assert reasons(ground, "CONTRADICTION") == [reason]
    (plan,) = reasons(ground, "PLANNED")
    assert plan == f"STD-GEN-CD on 2 x CD, copies: 1; on separate media because {reason}"
    assert [(line["log_level"], line["why"]) for line in log if "contradict" in line["event"]] == [
        ("warning", reason)
    ]
    for readme in readmes(ground, request, tmp_path):
        assert "PLEASE NOTE" in readme
        assert reason[1:] in readme


@pytest.mark.parametrize("instances", [MERGED, MOVED, NAMESAKES])
def test_they_are_refused_with_the_true_reason_if_splitting_is_not_allowed(
    ground: Ground, instances: list[SampleInstance]
) -> None:
    other = instance(patient_id="P9", study="1.2.9", series="1.2.9.1")
    request = planned(ground, [*instances, other], allow_media_splitting="NO")
    assert request.execution_status is ExecutionStatus.FAILURE
    assert request.execution_status_info is ExecutionStatusInfo.DIR_PROC_ERR
    failed = [
        (failure.referenced_sop_instance_uid, failure.failure_reason)
        for failure in request.failures
    ]
    assert failed == [
        (sample.sop_instance_uid, FailureReason.PROCESSING_FAILURE) for sample in instances
    ]
    (why,) = reasons(ground, "FAILED")
    assert "belongs to 2" in why
    assert "DVD" not in why
    assert "burnish request retry" in request.remedy


def test_a_corrected_request_is_planned_on_one_volume(ground: Ground) -> None:
    request = planned(ground, MERGED, allow_media_splitting="NO")
    corrected = instance(
        patient_id="NEW", instance_number=1, sop_instance_uid=MERGED[0].sop_instance_uid
    )
    with ground.database.writing() as session:
        session.execute(
            update(Instance)
            .where(Instance.sop_instance_uid == corrected.sop_instance_uid)
            .values(replaced_at=datetime.now(UTC))
        )
        operations.retry(session, request.sop_instance_uid)
        again = operations.get_request(session, request.sop_instance_uid)
        again.admitted_at = again.created_at
    ground.store(corrected)
    ground.plan()
    assert len(ground.request(request.sop_instance_uid).file_sets) == 1


@pytest.mark.parametrize(
    ("instances", "reason"),
    [(TWO_BIRTH_DATES, "2 birth dates"), (TWO_SEXES, "2 values of Patient's Sex")],
)
def test_one_patient_with_different_details_is_told(
    ground: Ground, tmp_path: Path, instances: list[SampleInstance], reason: str
) -> None:
    with structlog.testing.capture_logs() as log:
        request = planned(ground, instances, allow_media_splitting="NO")
    assert len(request.file_sets) == 1
    (told,) = reasons(ground, "CONTRADICTION")
    assert told.endswith(reason)
    assert [line["why"] for line in log if "contradict" in line["event"]] == [told]
    (readme,) = readmes(ground, request, tmp_path)
    assert reason in readme


def test_instances_that_agree_are_planned_without_a_word(ground: Ground, tmp_path: Path) -> None:
    agreeing = [instance(sex="F", instance_number=n) for n in (1, 2)]
    request = planned(ground, agreeing)
    assert reasons(ground, "CONTRADICTION") == []
    (readme,) = readmes(ground, request, tmp_path)
    assert "PLEASE NOTE" not in readme


def test_a_larger_medium_is_used_only_where_the_size_requires_it(tmp_path: Path) -> None:
    device = DeviceSettings(name="outbox", media=("CD",), capacity=300_000)
    large = DeviceSettings(name="large", media=("DVD",))
    with Ground(tmp_path, device=(device, large)) as ground:
        merged = [
            instance(patient_id=patient_id, instance_number=n, size=size)
            for n, (patient_id, size) in enumerate([("OLD", 150_000), ("NEW", 150_000)])
        ]
        request = planned(ground, merged)
        assert [file_set.medium for file_set in request.file_sets] == ["CD", "CD"]
        merged = [
            instance(patient_id=patient_id, instance_number=n, size=150_000, study="1.2.3.9")
            for n, patient_id in enumerate(("OLD", "NEW", "NEW"))
        ]
        request = planned(ground, merged)
        assert [file_set.medium for file_set in request.file_sets] == ["DVD", "DVD"]


def test_a_site_can_have_such_requests_wait_for_a_person(tmp_path: Path) -> None:
    with Ground(tmp_path, request=RequestSettings(contradictions="hold")) as ground:
        request = planned(ground, TWO_BIRTH_DATES)
        assert request.held_at
        assert request.file_sets == []
        with ground.database.writing() as session:
            operations.release(session, request.sop_instance_uid)
        ground.plan()
        request = ground.request(request.sop_instance_uid)
        assert len(request.file_sets) == 1
        assert len(reasons(ground, "CONTRADICTION")) == 1
