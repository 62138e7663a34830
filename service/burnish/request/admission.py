"""Stage: admits an initiated request once its instances have been received, or fails it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from burnish.db.history import fail, note
from burnish.db.tables import FailedInstance, Instance, MediaCreationRequest, ReferencedInstance
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason
from burnish.wording import quantity


def pending_requests() -> Select[Any]:
    """The requests that wait for their instances, for a plan, or for a device."""
    return select(MediaCreationRequest.id).where(
        MediaCreationRequest.execution_status == ExecutionStatus.PENDING
    )


def waiting_requests(session: Session) -> Sequence[int]:
    """The requests that wait for admission and are not held, oldest first."""
    return session.scalars(
        pending_requests()
        .where(
            MediaCreationRequest.admitted_at.is_(None),
            MediaCreationRequest.held_at.is_(None),
        )
        .order_by(MediaCreationRequest.initiated_at)
    ).all()


def admit(
    session: Session,
    request_id: int,
    wait_for_instances: timedelta,
    retrieve_for: timedelta = timedelta(0),
) -> bool:
    """Admits or fails a waiting request; returns False if it goes on waiting.

    A request waits `wait_for_instances` for peers to send what is missing; after that, archives
    have `retrieve_for` to send it. A request fails with DUPL_REF_INST if it references an instance
    twice, with INST_AP_CONFLICT (failure reason 0119H) if an instance is of another SOP Class, and
    with NO_INSTANCE (0112H) if an instance is still missing.
    """
    request = session.get_one(MediaCreationRequest, request_id)
    if request.execution_status is not ExecutionStatus.PENDING or request.admitted_at:
        return True
    references, instances = _count_references(session, request_id)
    if references > instances:
        why = f"{quantity(references - instances, 'reference')} given more than once"
        fail(session, request, ExecutionStatusInfo.DUPL_REF_INST, why=why)
        return True
    unmet = _unmet_references(session, request_id)
    missing = [reference for reference in unmet if reference.sop_class_uid is None]
    if missing and _may_still_arrive(session, request, wait_for_instances, retrieve_for):
        return False
    if unmet:
        _fail(session, request, unmet)
    else:
        request.admitted_at = datetime.now(UTC)
        why = f"{quantity(instances, 'instance')} received"
        note(session, request.id, "ADMITTED", why)
    return True


def _fail(session: Session, request: MediaCreationRequest, unmet: Sequence[Any]) -> None:
    """Fails a request; the missing instances come first in its Failed SOP Sequence."""
    missing = [reference for reference in unmet if reference.sop_class_uid is None]
    conflicting = [reference for reference in unmet if reference.sop_class_uid is not None]
    reasons = [FailureReason.NO_SUCH_OBJECT_INSTANCE] * len(missing)
    reasons += [FailureReason.CLASS_INSTANCE_CONFLICT] * len(conflicting)
    failures = [
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
    why = []
    if missing:
        why.append(f"{quantity(len(missing), 'instance')} not received")
    if conflicting:
        why.append(f"{quantity(len(conflicting), 'instance')} of another SOP Class")
    fail(
        session,
        request,
        ExecutionStatusInfo.NO_INSTANCE if missing else ExecutionStatusInfo.INST_AP_CONFLICT,
        why=", ".join(why),
        failures=failures,
        remedy="send the missing instances, then request again or `burnish request retry`",
    )


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


def _count_references(session: Session, request_id: int) -> tuple[int, int]:
    """The number of a request's references, and of the instances they reference."""
    uid = ReferencedInstance.referenced_sop_instance_uid
    references, instances = session.execute(
        select(func.count(), func.count(uid.distinct())).where(
            ReferencedInstance.request_id == request_id
        )
    ).one()
    return references, instances


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
            & Instance.released_at.is_(None),
        )
        .where(
            ReferencedInstance.request_id == request_id,
            Instance.id.is_(None)
            | (Instance.sop_class_uid != ReferencedInstance.referenced_sop_class_uid),
        )
        .order_by(ReferencedInstance.ordinal)
    ).all()
