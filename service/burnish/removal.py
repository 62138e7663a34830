"""Stage: removes instances at once, because an administrator says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, exists, func, select, update
from sqlalchemy.orm import Session

from burnish.db import instance_count, instance_rows
from burnish.db.history import fail
from burnish.db.instance_rows import Selection
from burnish.db.session import Database, in_batches
from burnish.db.tables import (
    CommitmentTransaction,
    CommittedInstance,
    FailedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    ReferencedInstance,
    short_id,
)
from burnish.errors import Conflict, OutOfResources, Unknown
from burnish.spool import Spool
from burnish.values import SERVICE, Actor
from burnish.vocabulary import OPEN_STATES, ExecutionStatusInfo, FailureReason
from burnish.wording import quantity

#: Values in one IN condition.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Removal:
    """The instances that a removal concerns.

    `needed_by`: short ids of open requests that need some of the instances. `promised`: how many of
    the instances a peer was promised to be kept (Storage Commitment).
    """

    instances: int
    studies: int
    patients: int
    size: int
    needed_by: tuple[str, ...]
    promised: int


def describe(session: Session, selection: Selection) -> Removal:
    """The removal that would be made; raises Unknown if nothing matches."""
    contents = _contents(selection)
    instances, studies, size = session.execute(
        select(
            func.count(Instance.sop_instance_uid.distinct()),
            func.count(Instance.study_instance_uid.distinct()),
            func.coalesce(func.sum(Instance.size), 0),
        ).where(Instance.id.in_(contents))
    ).one()
    if not instances:
        raise Unknown("no instance matches", hint="`burnish instance list` shows instances")
    patients = session.execute(
        select(Instance.patient_id, Instance.issuer_of_patient_id)
        .where(Instance.id.in_(contents))
        .distinct()
    ).all()
    promised = session.scalar(
        select(func.count(Instance.sop_instance_uid.distinct())).where(
            Instance.id.in_(contents), _is_promised()
        )
    )
    return Removal(
        instances,
        studies,
        len(patients),
        size,
        tuple(short_id(request_id) for request_id in _requests_in_need(session, contents)),
        promised or 0,
    )


def remove(
    database: Database,
    spool: Spool,
    selection: Selection,
    *,
    even_if_needed: bool = False,
    actor: Actor = SERVICE,
) -> Removal:
    """Remove instances, all contents of each, and their files; return what was removed.

    Raises Unknown if nothing matches, and Conflict if an open request needs one of the instances or
    a peer was promised that it is kept. With `even_if_needed` they are removed all the same:
    admitted requests fail, the others wait until the instances are sent again.
    """
    with database.writing() as session:
        removal = describe(session, selection)
        if not even_if_needed:
            _refuse_if_needed(removal)
        contents = _contents(selection)
        for request_id in _requests_in_need(session, contents):
            request = session.get_one(MediaCreationRequest, request_id)
            _fail_request(session, request, contents, actor)
        ids = session.scalars(select(Instance.id).where(Instance.id.in_(contents))).all()
        files = instance_rows.files_of(session, ids)
        for batch in in_batches(ids, _BATCH):
            session.execute(
                update(Instance).where(Instance.id.in_(batch)).values(released_at=datetime.now(UTC))
            )
    try:
        spool.erase_durably(files)
    except OSError as error:
        # the service erases them, as soon as it can, and deletes their rows
        raise OutOfResources(f"the spool cannot be written: {error.strerror}") from None
    with database.writing() as session:
        for batch in in_batches(ids, _BATCH):
            deleted = session.connection().execute(
                delete(Instance).where(Instance.id.in_(batch), *instance_rows.is_deletable())
            )
            instance_count.note_deleted(session, deleted.rowcount)
    return removal


def _contents(selection: Selection) -> Select[Any]:
    """Selects the contents to remove: those that match, and older ones of instances that match.

    Otherwise older content would stay behind under the uncorrected name of its patient.
    """
    removed_instances = select(Instance.sop_instance_uid).where(
        selection.condition(), Instance.is_newest()
    )
    is_older = Instance.replaced_at.is_not(None) & Instance.sop_instance_uid.in_(removed_instances)
    return select(Instance.id).where(
        Instance.released_at.is_(None), selection.condition() | is_older
    )


def _is_promised() -> ColumnElement[bool]:
    return exists().where(
        CommittedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        CommittedInstance.storage_commitment_id == CommitmentTransaction.id,
        CommittedInstance.failure_reason == 0,
        CommitmentTransaction.promised_until > datetime.now(UTC),
    )


def _requests_in_need(session: Session, contents: Select[Any]) -> Sequence[int]:
    """The open requests that reference one of the instances, or whose volumes have one."""
    is_open = MediaCreationRequest.execution_status.in_(OPEN_STATES)
    referencing = (
        select(ReferencedInstance.request_id)
        .join(Instance, Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid)
        .where(Instance.id.in_(contents), Instance.is_newest())
    )
    planned = (
        select(FileSet.request_id)
        .join(FileSetEntry, FileSetEntry.file_set_id == FileSet.id)
        .where(FileSetEntry.instance_id.in_(contents))
    )
    return session.scalars(
        select(MediaCreationRequest.id)
        .where(
            is_open,
            MediaCreationRequest.id.in_(referencing) | MediaCreationRequest.id.in_(planned),
        )
        .order_by(MediaCreationRequest.id)
    ).all()


def _refuse_if_needed(removal: Removal) -> None:
    hint = "--even-if-needed removes the instances all the same: admitted requests then fail"
    if removal.needed_by:
        raise Conflict(f"instances are needed by {', '.join(removal.needed_by)}", hint=hint)
    if removal.promised:
        raise Conflict(
            f"{quantity(removal.promised, 'instance')} promised to a peer (Storage Commitment)",
            hint=hint,
        )


def _fail_request(
    session: Session, request: MediaCreationRequest, contents: Select[Any], actor: Actor
) -> None:
    """Fail a request that was admitted, naming the removed instances as missing (0112H)."""
    if request.admitted_at is None:
        return
    rows = session.execute(
        select(ReferencedInstance)
        .join(Instance, Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid)
        .where(ReferencedInstance.request_id == request.id, Instance.id.in_(contents))
        .order_by(ReferencedInstance.ordinal)
        .distinct()
    ).scalars()
    failures = [
        FailedInstance(
            ordinal=ordinal,
            referenced_sop_class_uid=reference.referenced_sop_class_uid,
            referenced_sop_instance_uid=reference.referenced_sop_instance_uid,
            requested_media_application_profile=reference.requested_media_application_profile,
            failure_reason=FailureReason.NO_SUCH_OBJECT_INSTANCE,
        )
        for ordinal, reference in enumerate(rows)
    ]
    fail(
        session,
        request,
        ExecutionStatusInfo.NO_INSTANCE,
        why=f"{quantity(len(failures), 'instance')} removed from the spool",
        failures=failures,
        remedy="send the instances again, then `burnish request retry`",
        actor=actor,
    )
