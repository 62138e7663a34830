"""Stage: admits an initiated request once its instances are here, or fails it with the reason."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from burnish.db.history import fail, note
from burnish.db.tables import FailedInstance, Instance, MediaCreationRequest, ReferencedInstance
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason


def pending_requests() -> Select[Any]:
    """The requests that wait: for their instances, for a plan, or for a device."""
    return select(MediaCreationRequest.id).where(
        MediaCreationRequest.execution_status == ExecutionStatus.PENDING
    )


def waiting_requests(session: Session) -> Sequence[int]:
    """The requests that are PENDING, not yet admitted and not held, oldest first."""
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
    """Looks at one waiting request; True when it was admitted or failed, False while it waits.

    What is still missing after `wait_for_instances` is retrieved, for at most `retrieve_for`.
    DUPL_REF_INST, INST_AP_CONFLICT (0119H) and NO_INSTANCE (0112H) are found here.
    """
    request = session.get_one(MediaCreationRequest, request_id)
    if request.execution_status is not ExecutionStatus.PENDING or request.admitted_at:
        return True
    count, distinct = _counted(session, request_id)
    if twice := count - distinct:
        why = f"{twice} references are given more than once"
        fail(session, request, ExecutionStatusInfo.DUPL_REF_INST, why=why)
        return True
    unmet = _unmet(session, request_id)
    missing = [item for item in unmet if item.sop_class_uid is None]
    conflicts = [item for item in unmet if item.sop_class_uid is not None]
    now = datetime.now(UTC)
    if missing and (
        now < (request.initiated_at or now) + wait_for_instances
        or _may_be_retrieved(session, request, now, wait_for_instances, retrieve_for)
    ):
        return False
    if not unmet:
        request.admitted_at = now
        note(session, request.id, "ADMITTED", f"all {count} instances are here")
        return True
    failures = [
        *((item, FailureReason.NO_SUCH_OBJECT_INSTANCE) for item in missing),
        *((item, FailureReason.CLASS_INSTANCE_CONFLICT) for item in conflicts),
    ]
    fail(
        session,
        request,
        ExecutionStatusInfo.NO_INSTANCE if missing else ExecutionStatusInfo.INST_AP_CONFLICT,
        why=f"{len(missing)} instances are not here, {len(conflicts)} are of another SOP Class",
        failures=[_failed(number, *failure) for number, failure in enumerate(failures)],
        remedy="send the missing instances, then ask again or `burnish request retry`",
    )
    return True


def _may_be_retrieved(
    session: Session,
    request: MediaCreationRequest,
    now: datetime,
    wait_for_instances: timedelta,
    retrieve_for: timedelta,
) -> bool:
    """Whether what is missing may yet come from an archive; begins that where it is to begin."""
    if not retrieve_for:
        return False
    if request.retrieval_began_at is None:
        request.retrieval_began_at = now
        note(session, request.id, "RETRIEVING", "what is missing is looked for in archives")
    if request.retrieval_ended_at is not None:
        # an archive may say that it is done before its last instance is here
        return now < request.retrieval_ended_at + wait_for_instances
    return now < request.retrieval_began_at + retrieve_for


def _counted(session: Session, request_id: int) -> tuple[int, int]:
    """How many references a request has, and to how many instances."""
    uid = ReferencedInstance.referenced_sop_instance_uid
    counts = select(func.count(), func.count(uid.distinct()))
    count, distinct = session.execute(
        counts.where(ReferencedInstance.request_id == request_id)
    ).one()
    return count, distinct


def _unmet(session: Session, request_id: int) -> Sequence[Any]:
    """The references, in order, to what is not here or is here under another SOP Class.

    `sop_class_uid` is the one it is here under, if it is. The database looks, since mostly there
    are thousands that are met.
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


def _failed(ordinal: int, item: Any, reason: FailureReason) -> FailedInstance:
    return FailedInstance(
        ordinal=ordinal,
        referenced_sop_class_uid=item.referenced_sop_class_uid,
        referenced_sop_instance_uid=item.referenced_sop_instance_uid,
        requested_media_application_profile=item.requested_media_application_profile,
        failure_reason=reason,
    )
