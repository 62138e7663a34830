"""Stage: writes down what was decided about a request: its volumes, or why there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import insert
from sqlalchemy.orm import Session

from burnish.db.history import fail, note
from burnish.db.tables import FailedInstance, FileSet, FileSetEntry, MediaCreationRequest, Piece
from burnish.errors import Conflict
from burnish.identifiers import new_uid
from burnish.plan import attempts
from burnish.plan.candidates import Failures
from burnish.plan.profile_choice import Choice
from burnish.plan.volumes import Volume
from burnish.vocabulary import ExecutionStatusInfo, PieceState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request cannot be planned."""

    info: ExecutionStatusInfo
    why: str
    failures: Failures
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    choice: Choice
    volumes: list[Volume]


def refuse(session: Session, request: MediaCreationRequest, refusal: Refusal) -> None:
    log.info("request refused", request_id=request.id, info=refusal.info, why=refusal.why)
    fail(
        session,
        request,
        refusal.info,
        why=refusal.why,
        remedy=refusal.remedy,
        failures=[
            FailedInstance(
                ordinal=ordinal,
                referenced_sop_class_uid=one.header.sop_class_uid,
                referenced_sop_instance_uid=one.header.sop_instance_uid,
                requested_media_application_profile=one.profile,
                failure_reason=reason,
                failure_attributes=_tags(refusal.failures.attributes.get(one, ())),
            )
            for ordinal, (one, reason) in enumerate(refusal.failures.reasons.items())
        ],
    )


def _tags(attributes: Sequence[int]) -> str:
    return " ".join(f"{tag:08X}" for tag in attributes)


def record(session: Session, prefix: str, request: MediaCreationRequest, plan: Plan) -> None:
    """Writes the File-sets, their entries and their pieces: from here on writers see them."""
    count = len(plan.volumes)
    now = datetime.now(UTC)
    for number, volume in enumerate(plan.volumes, start=1):
        own = request.storage_media_file_set_uid if number == 1 else ""
        file_set = FileSet(
            request_id=request.id,
            file_set_id=_file_set_id(prefix, request, number, count),
            file_set_uid=own or new_uid(),
            volume_number=number,
            volume_count=count,
            media_application_profile=plan.choice.label,
            medium=plan.choice.medium,
            capacity=plan.choice.capacity,
            predicted_size=0,
            instances=len(volume.files),
            planned_at=now,
            readme_patients=volume.says.patients,
        )
        file_set.predicted_size = volume.size(file_set.file_set_id, file_set.file_set_uid)
        if file_set.predicted_size > plan.choice.capacity:
            raise Conflict("a planned volume is larger than its medium")
        session.add(file_set)
        session.flush()
        entries = [
            {
                "file_set_id": file_set.id,
                "ordinal": ordinal,
                "instance_id": candidate.instance_id,
                "transcoded_instance_id": candidate.transcoded_instance_id,
                "referenced_file_id": file_id,
                "icon_image_id": candidate.icon_image_id,
            }
            for ordinal, (file_id, candidate) in enumerate(volume.files)
        ]
        session.connection().execute(insert(FileSetEntry), entries)
        for copy_number in range(1, request.number_of_copies + 1):
            session.add(
                Piece(file_set_id=file_set.id, copy_number=copy_number, state=PieceState.QUEUED)
            )
    note(
        session,
        request.id,
        "PLANNED",
        f"{plan.choice.label} on {count} x {plan.choice.medium}, {request.number_of_copies} copies"
        + attempts.loss(file.candidate for volume in plan.volumes for file in volume.files),
    )


def _file_set_id(prefix: str, request: MediaCreationRequest, number: int, count: int) -> str:
    """PS3.4 S.3.2.1.1.1: the SCU's own, a prefix where the set is split; else one of ours."""
    given = request.storage_media_file_set_id
    if given:
        suffix = f"_{number}"
        return given if count == 1 else given[: 16 - len(suffix)] + suffix
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    volume = digits[number // 36 % 36] + digits[number % 36]
    return f"{prefix}_{request.id % 1_000_000:06d}{volume}"
