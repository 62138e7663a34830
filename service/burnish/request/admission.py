"""Stage: admits an initiated request once its instances have been received, or will not be."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, func, select
from sqlalchemy.orm import Session

from burnish.db import known_studies
from burnish.db.history import note
from burnish.db.tables import (
    FailedInstance,
    FileSet,
    Instance,
    MediaCreationRequest,
    ReferencedInstance,
)
from burnish.vocabulary import ExecutionStatus, FailureReason
from burnish.wording import quantity


def unplanned_requests() -> Select[Any]:
    """The requests that wait for their instances or for a plan, and are not held."""
    return select(MediaCreationRequest.id).where(
        MediaCreationRequest.execution_status == ExecutionStatus.PENDING,
        MediaCreationRequest.held_at.is_(None),
        ~exists().where(FileSet.request_id == MediaCreationRequest.id),
    )


def waiting_requests(session: Session) -> Sequence[int]:
    """The requests that wait for admission and are not held, oldest first."""
    return session.scalars(
        unplanned_requests()
        .where(MediaCreationRequest.admitted_at.is_(None))
        .order_by(MediaCreationRequest.initiated_at)
    ).all()


def admit(
    session: Session,
    request_id: int,
    wait_for_instances: timedelta,
    retrieve_for: timedelta = timedelta(0),
    *,
    rows_complete: bool = True,
) -> bool:
    """Admits a waiting request; returns False if it goes on waiting.

    A request waits `wait_for_instances` for peers to send what is missing; after that, archives
    have `retrieve_for` to send it. Until the rows of received instances are complete, none counts
    as missing. A request with an instance that is still missing (failure reason 0112H) or of
    another SOP Class (0119H) gets these failures. The planner then fails it together with all else
    that stands against it.
    """
    request = session.get_one(MediaCreationRequest, request_id)
    if request.execution_status is not ExecutionStatus.PENDING or request.admitted_at:
        return True
    unmet = _unmet_references(session, request_id)
    missing = [reference for reference in unmet if reference.sop_class_uid is None]
    if missing and not rows_complete:
        return False
    if missing and _may_still_arrive(session, request, wait_for_instances, retrieve_for):
        return False
    known_studies.link_request(session, request_id)
    request.failures = _failures(unmet)
    request.admitted_at = datetime.now(UTC)
    if not unmet:
        instances = _count_instances(session, request_id)
        note(session, request.id, "ADMITTED", f"{quantity(instances, 'instance')} received")
    return True


def _failures(unmet: Sequence[Any]) -> list[FailedInstance]:
    """A Failed SOP Sequence in which the missing instances come first."""
    missing = [reference for reference in unmet if reference.sop_class_uid is None]
    conflicting = [reference for reference in unmet if reference.sop_class_uid is not None]
    reasons = [FailureReason.NO_SUCH_OBJECT_INSTANCE] * len(missing)
    reasons += [FailureReason.CLASS_INSTANCE_CONFLICT] * len(conflicting)
    return [
        FailedInstance(
            ordinal=ordinal,
            referenced_sop_class_uid=reference.referenced_sop_class_uid,
            referenced_sop_instance_uid=reference.referenced_sop_instance_uid,
            requested_media_application_profile=reference.requested_media_application_profile,
            failure_reason=reason,
        )
        for ordinal, (reference, reason) in enumerate(
            zip([*missing, *conflicting], reasons, strict=True)
        )
    ]


def _may_still_arrive(
    session: Session,
    request: MediaCreationRequest,
    wait_for_instances: timedelta,
    retrieve_for: timedelta,
) -> bool:
    """Whether peers or archives have time left to send what is missing.

    Has `fetch_missing` begin when the time of the peers is up.
    """
    now = datetime.now(UTC)
    if now < (request.initiated_at or now) + wait_for_instances:
        return True
    if not retrieve_for:
        return False
    if request.retrieval_began_at is None:
        request.retrieval_began_at = now
        note(session, request.id, "RETRIEVING", "missing instances are requested from archives")
    if request.retrieval_ended_at is not None:
        # an archive may report success before its last instance has been received
        return now < request.retrieval_ended_at + wait_for_instances
    return now < request.retrieval_began_at + retrieve_for


def _count_instances(session: Session, request_id: int) -> int:
    """The number of different instances that a request references."""
    uid = ReferencedInstance.referenced_sop_instance_uid
    query = select(func.count(uid.distinct())).where(ReferencedInstance.request_id == request_id)
    return session.scalar(query) or 0


def _unmet_references(session: Session, request_id: int) -> Sequence[Any]:
    """The references to instances that are missing or of another SOP Class, in order.

    `sop_class_uid` is the SOP Class of the received instance, None if it is missing.
    """
    return session.execute(
        select(
            ReferencedInstance.referenced_sop_class_uid,
            ReferencedInstance.referenced_sop_instance_uid,
            ReferencedInstance.requested_media_application_profile,
            Instance.sop_class_uid,
        )
        .outerjoin(
            Instance,
            (Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid)
            & Instance.is_newest(),
        )
        .where(
            ReferencedInstance.request_id == request_id,
            Instance.id.is_(None)
            | (Instance.sop_class_uid != ReferencedInstance.referenced_sop_class_uid),
        )
        .order_by(ReferencedInstance.ordinal)
    ).all()
