"""Stage: standing orders issue requests for modalities that can only store.

A standing order groups the instances that nobody has requested media for, by study or by patient.
Once a group has been quiet, `issue_requests` creates and initiates a request for it. A late image,
one that is received after that, joins this request until it is planned (`join_late_instances`);
after that it goes onto a supplement, a second request that refers to the first.

A request that failed for damaged instances is planned again once all of them were sent again. Media
with instances that were corrected since are made again if the order says so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from burnish.db.history import note
from burnish.db.tables import (
    FailedInstance,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    ReferencedInstance,
    short_id,
)
from burnish.request import operations
from burnish.request.operations import NewRequest, Reference
from burnish.settings import RequestSettings, StandingOrderSettings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, FailureReason
from burnish.wording import quantity

#: Failure reasons of instances that are damaged.
_DAMAGE = (
    FailureReason.PROCESSING_FAILURE,
    FailureReason.MISSING_ATTRIBUTE,
    FailureReason.MISSING_ATTRIBUTE_VALUE,
)
_NOT_BEGUN = (ExecutionStatus.IDLE, ExecutionStatus.PENDING)


def is_due(session: Session, order: StandingOrderSettings) -> bool:
    """Whether there is anything to do for the order now."""
    return any(
        find(session, order)
        for find in (
            requests_with_late_instances,
            groups_due,
            requests_to_make_again,
            requests_to_retry,
        )
    )


def concerns(order: StandingOrderSettings, calling_ae_title: str, called_ae_title: str) -> bool:
    """Whether the order concerns what an AE has sent to another one."""
    is_called = not order.called_ae_titles or called_ae_title in order.called_ae_titles
    return is_called and (not order.callers or calling_ae_title in order.callers)


def groups_due(session: Session, order: StandingOrderSettings) -> Sequence[Any]:
    """The groups of unrequested instances for which the order issues a request now.

    A group is due when its youngest instance is older than the quiet period.
    """
    quiet_since = datetime.now(UTC) - order.quiet_period
    columns = _group_columns(order)
    return session.execute(
        select(*columns)
        .where(*_unrequested(order))
        .group_by(*columns)
        .having(func.max(Instance.received_at) <= quiet_since)
    ).all()


def issue_requests(
    session: Session, defaults: RequestSettings, order: StandingOrderSettings
) -> int:
    """Issues a request for each group that is due; returns their number.

    If the group already has a request, the new one is a supplement to the first.
    """
    groups = groups_due(session, order)
    for group in groups:
        _issue_request(session, defaults, order, group)
    return len(groups)


def _issue_request(
    session: Session, defaults: RequestSettings, order: StandingOrderSettings, group: Sequence[Any]
) -> None:
    supplemented_id = _first_request(session, order, group)
    references = _unrequested_references(session, order, group)
    request = _create_and_initiate(session, defaults, order, references)
    if supplemented_id is not None:
        request.supplements_id = supplemented_id
        actor = _actor(order)
        note(session, request.id, "SUPPLEMENTS", short_id(supplemented_id), actor=actor)
        note(session, supplemented_id, "SUPPLEMENTED", f"by {short_id(request.id)}", actor=actor)


def _actor(order: StandingOrderSettings) -> Actor:
    return Actor("standing order", order.name)


def _create_and_initiate(
    session: Session,
    defaults: RequestSettings,
    order: StandingOrderSettings,
    references: Sequence[Reference],
) -> MediaCreationRequest:
    actor = _actor(order)
    request = operations.create(
        session,
        defaults,
        NewRequest(references, order.attributes),
        origin=f"standing order {order.name}"[:40],
        actor=actor,
    )
    request.standing_order = order.name
    request.device = order.device
    operations.initiate(
        session,
        defaults,
        request.sop_instance_uid,
        number_of_copies=order.copies,
        request_priority=order.priority,
        actor=actor,
    )
    if order.hold:
        request.held_at = datetime.now(UTC)
        note(session, request.id, "HELD", "by its standing order", actor=actor)
    return request


def requests_to_make_again(session: Session, order: StandingOrderSettings) -> Sequence[int]:
    """DONE requests of the order whose media have instances that were corrected since.

    Another encoding of the same keys is no correction. A request that names the instances and is
    newer has made, or will make, the correction known.
    """
    if order.corrected != "make_again":
        return []
    newest, later = aliased(Instance), aliased(ReferencedInstance)
    is_correction = or_(
        newest.transfer_syntax_uid == Instance.transfer_syntax_uid,
        newest.entity_keys != Instance.entity_keys,
        newest.record_keys != Instance.record_keys,
    )
    return session.scalars(
        select(FileSet.request_id)
        .join(FileSetEntry, FileSetEntry.file_set_id == FileSet.id)
        .join(Instance, Instance.id == FileSetEntry.instance_id)
        .join(newest, newest.sop_instance_uid == Instance.sop_instance_uid)
        .join(MediaCreationRequest, MediaCreationRequest.id == FileSet.request_id)
        .where(
            MediaCreationRequest.standing_order == order.name,
            MediaCreationRequest.execution_status == ExecutionStatus.DONE,
            Instance.replaced_at.is_not(None),
            newest.is_newest(),
            is_correction,
            ~exists().where(
                later.referenced_sop_instance_uid == Instance.sop_instance_uid,
                later.request_id > FileSet.request_id,
            ),
        )
        .group_by(FileSet.request_id)
        .having(func.max(newest.received_at) <= datetime.now(UTC) - order.quiet_period)
        .order_by(FileSet.request_id)
    ).all()


def make_again(session: Session, defaults: RequestSettings, order: StandingOrderSettings) -> int:
    """Issues a request for the instances of each request to be made again; returns their number."""
    request_ids = requests_to_make_again(session, order)
    actor = _actor(order)
    for request_id in request_ids:
        rows = session.execute(
            select(Instance.sop_class_uid, Instance.sop_instance_uid)
            .join(
                ReferencedInstance,
                ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
            )
            .where(ReferencedInstance.request_id == request_id, Instance.is_newest())
            .order_by(ReferencedInstance.ordinal)
        )
        references = [
            Reference(row.sop_class_uid, row.sop_instance_uid, order.profile) for row in rows
        ]
        request = _create_and_initiate(session, defaults, order, references)
        why = "instances were corrected after the media were made"
        note(session, request.id, "REPLACES", f"{short_id(request_id)}: {why}", actor=actor)
        note(session, request_id, "MADE AGAIN", f"by {short_id(request.id)}: {why}", actor=actor)
    return len(request_ids)


def requests_to_retry(session: Session, order: StandingOrderSettings) -> Sequence[Any]:
    """Requests of the order that failed for damaged instances, all of which were corrected."""
    newest = aliased(Instance)
    is_uncorrected = or_(
        FailedInstance.failure_reason.not_in(_DAMAGE),
        ~exists().where(
            newest.sop_instance_uid == FailedInstance.referenced_sop_instance_uid,
            newest.is_newest(),
            newest.received_at > MediaCreationRequest.ended_at,
            newest.received_at <= datetime.now(UTC) - order.quiet_period,
        ),
    )
    of_request = FailedInstance.request_id == MediaCreationRequest.id
    return session.scalars(
        select(MediaCreationRequest.sop_instance_uid).where(
            MediaCreationRequest.standing_order == order.name,
            MediaCreationRequest.execution_status == ExecutionStatus.FAILURE,
            exists().where(of_request),
            ~exists().where(of_request, is_uncorrected),
        )
    ).all()


def retry_corrected(session: Session, order: StandingOrderSettings) -> int:
    """Plans requests anew whose damaged instances were corrected; returns their number."""
    uids = requests_to_retry(session, order)
    for uid in uids:
        operations.retry(
            session, uid, why="all damaged instances were sent again", actor=_actor(order)
        )
    return len(uids)


def requests_with_late_instances(session: Session, order: StandingOrderSettings) -> Sequence[int]:
    """The requests of the order that are not planned yet and that late instances can join."""
    unplanned = session.scalars(
        select(MediaCreationRequest.id)
        .where(
            MediaCreationRequest.execution_status.in_(_NOT_BEGUN),
            MediaCreationRequest.standing_order == order.name,
            ~exists().where(FileSet.request_id == MediaCreationRequest.id),
        )
        .order_by(MediaCreationRequest.id)
    ).all()
    if not unplanned:
        return []
    late_groups = session.execute(
        select(*_group_columns(order)).where(*_unrequested(order)).distinct()
    ).all()
    if not late_groups:
        return []
    return [
        request_id
        for request_id in unplanned
        if _group_of_request(session, order, request_id) in late_groups
    ]


def join_late_instances(session: Session, order: StandingOrderSettings) -> int:
    """Adds late instances to the unplanned request of their group; returns their number."""
    joined = 0
    for request_id in requests_with_late_instances(session, order):
        group = _group_of_request(session, order, request_id)
        late = _unrequested_references(session, order, group)
        if not late:
            continue  # they joined another request of the same group
        request = session.get_one(MediaCreationRequest, request_id)
        operations.add_references(
            session,
            request,
            late,
            default_profile=request.references[0].requested_media_application_profile,
            first_ordinal=len(request.references),
        )
        # A plan being made now does not include these instances. Clearing `admitted_at` makes the
        # planner discard it.
        request.admitted_at = None
        note(
            session,
            request_id,
            "JOINED",
            f"by {quantity(len(late), 'late instance')}",
            actor=_actor(order),
        )
        joined += len(late)
    return joined


def _unrequested_references(
    session: Session, order: StandingOrderSettings, group: Sequence[Any]
) -> list[Reference]:
    """References to the instances of a group that no request references."""
    rows = session.execute(
        select(Instance.sop_class_uid, Instance.sop_instance_uid)
        .where(*_unrequested(order), *_is_in_group(order, group))
        .order_by(Instance.id)
    )
    return [Reference(row.sop_class_uid, row.sop_instance_uid, order.profile) for row in rows]


def _first_request(
    session: Session, order: StandingOrderSettings, group: Sequence[Any]
) -> int | None:
    """The first request of the order for the same group that was not cancelled."""
    return session.scalars(
        select(MediaCreationRequest.id)
        .join(ReferencedInstance, ReferencedInstance.request_id == MediaCreationRequest.id)
        .join(Instance, ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid)
        .where(
            MediaCreationRequest.standing_order == order.name,
            MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
            MediaCreationRequest.supplements_id.is_(None),
            *_is_in_group(order, group),
        )
        .order_by(MediaCreationRequest.id)
        .limit(1)
    ).first()


def _group_of_request(session: Session, order: StandingOrderSettings, request_id: int) -> Any:
    """The group that a request was issued for; None if its instances have been released."""
    return session.execute(
        select(*_group_columns(order))
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(ReferencedInstance.request_id == request_id, Instance.is_newest())
        .limit(1)
    ).first()


def _group_columns(order: StandingOrderSettings) -> list[ColumnElement[Any]]:
    """The columns whose values the instances of a group share: always those of one patient."""
    columns: list[Any] = [
        Instance.patient_id,
        Instance.issuer_of_patient_id,
        Instance.patient_name,
    ]
    if order.scope == "study":
        columns.append(Instance.study_instance_uid)
    if order.ae_groups:
        # the AEs of a group count as its first AE
        caller = Instance.calling_ae_title
        ae_groups = [
            (caller.in_([_literal(title) for title in ae_titles]), _literal(ae_titles[0]))
            for ae_titles in order.ae_groups
        ]
        columns.append(case(*ae_groups, else_=caller))
    return columns


def _literal(ae_title: str) -> ColumnElement[str]:
    """An AE title as a literal of the statement.

    PostgreSQL groups by an expression only if it is literally the selected one; two parameters
    are never that.
    """
    return literal(ae_title, literal_execute=True)


def _is_in_group(order: StandingOrderSettings, group: Sequence[Any]) -> list[ColumnElement[bool]]:
    columns = _group_columns(order)
    return [column == value for column, value in zip(columns, group, strict=True)]


def _unrequested(order: StandingOrderSettings) -> list[ColumnElement[bool]]:
    """Conditions for the instances that the order concerns and that no request references."""
    conditions: list[ColumnElement[bool]] = [
        Instance.is_newest(),
        ~exists().where(
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid
        ),
    ]
    if order.called_ae_titles:
        conditions.append(Instance.called_ae_title.in_(order.called_ae_titles))
    if order.callers:
        conditions.append(Instance.calling_ae_title.in_(order.callers))
    return conditions
