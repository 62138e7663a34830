"""Stage: admits an initiated request once its instances are here, or fails it with the reason."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from burnish.db.history import fail, note
from burnish.db.tables import FailedInstance, Instance, MediaCreationRequest, ReferencedInstance
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason


def pending() -> Select[Any]:
    """The requests that wait: for their instances, for a plan, or for a device."""
    return select(MediaCreationRequest.id).where(
        MediaCreationRequest.execution_status == ExecutionStatus.PENDING
    )


def waiting(session: Session) -> Sequence[int]:
    """The requests that are PENDING, not yet admitted and not held, oldest first."""
    return session.scalars(
        pending()
        .where(
            MediaCreationRequest.admitted_at.is_(None),
            MediaCreationRequest.held_at.is_(None),
        )
        .order_by(MediaCreationRequest.initiated_at)
    ).all()


def examine(
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
    references = _references(session, request_id)
    distinct = {item.referenced_sop_instance_uid for item in references}
    if twice := len(references) - len(distinct):
        why = f"{twice} references are given more than once"
        fail(session, request, ExecutionStatusInfo.DUPL_REF_INST, why=why)
        return True
    stored = _stored_classes(session, request_id)
    missing = [i for i in references if i.referenced_sop_instance_uid not in stored]
    now = datetime.now(UTC)
    if missing and (
        now < (request.initiated_at or now) + wait_for_instances
        or _may_be_retrieved(session, request, now, wait_for_instances, retrieve_for)
    ):
        return False
    conflicts = _conflicts(references, stored)
    if not missing and not conflicts:
        request.admitted_at = now
        note(session, request.id, "ADMITTED", f"all {len(references)} instances are here")
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


def _conflicts(references: Sequence[Any], stored: Mapping[str, str]) -> list[Any]:
    """The references to what is here under another SOP Class."""
    return [
        item
        for item in references
        if stored.get(item.referenced_sop_instance_uid, item.referenced_sop_class_uid)
        != item.referenced_sop_class_uid
    ]


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


def _references(session: Session, request_id: int) -> Sequence[Any]:
    """The references as plain rows: there may be thousands."""
    return session.execute(
        select(
            ReferencedInstance.referenced_sop_class_uid,
            ReferencedInstance.referenced_sop_instance_uid,
            ReferencedInstance.requested_media_application_profile,
        )
        .where(ReferencedInstance.request_id == request_id)
        .order_by(ReferencedInstance.ordinal)
    ).all()


def _stored_classes(session: Session, request_id: int) -> dict[str, str]:
    rows = session.execute(
        select(Instance.sop_instance_uid, Instance.sop_class_uid)
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(ReferencedInstance.request_id == request_id, Instance.released_at.is_(None))
    )
    return {row.sop_instance_uid: row.sop_class_uid for row in rows}


def _failed(ordinal: int, item: Any, reason: FailureReason) -> FailedInstance:
    return FailedInstance(
        ordinal=ordinal,
        referenced_sop_class_uid=item.referenced_sop_class_uid,
        referenced_sop_instance_uid=item.referenced_sop_instance_uid,
        requested_media_application_profile=item.requested_media_application_profile,
        failure_reason=reason,
    )
