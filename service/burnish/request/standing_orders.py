"""Stage: asks for media where a modality cannot: standing orders, after a quiet period."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, case, exists, func, insert, literal, select
from sqlalchemy.orm import Session

from burnish.db.history import note
from burnish.db.tables import FileSet, Instance, MediaCreationRequest, ReferencedInstance, short_id
from burnish.request.operations import NewRequest, Reference, create, initiate
from burnish.settings import RequestSettings, StandingOrderSettings
from burnish.vocabulary import ExecutionStatus

_OPEN = (ExecutionStatus.IDLE, ExecutionStatus.PENDING)


def groups_due(session: Session, order: StandingOrderSettings) -> Sequence[Any]:
    """The studies or patients for which a request is due under a standing order.

    Due is one of whose instances nobody has asked for media, once the youngest of them is older
    than the quiet period.
    """
    quiet_since = datetime.now(UTC) - order.quiet_period
    group = _group(order)
    return session.execute(
        select(*group)
        .where(*_unrequested(order))
        .group_by(*group)
        .having(func.max(Instance.received_at) <= quiet_since)
    ).all()


def issue_requests(
    session: Session, defaults: RequestSettings, order: StandingOrderSettings
) -> int:
    """Issues the requests that are due under one standing order; how many. One patient each.

    What comes after the request of its study or patient was planned goes onto a supplement.
    """
    groups = groups_due(session, order)
    for group in groups:
        earlier = _earlier(session, order, group)
        request = create(
            session,
            defaults,
            NewRequest(_late(session, order, group), order.attributes),
            origin=f"standing order {order.name}"[:40],
        )
        request.standing_order = order.name
        request.device = order.device
        if earlier is not None:
            request.supplements_id = earlier
            note(session, request.id, "SUPPLEMENTS", short_id(earlier))
            note(session, earlier, "SUPPLEMENTED", f"by {short_id(request.id)}")
        initiate(
            session,
            defaults,
            request.sop_instance_uid,
            number_of_copies=order.copies,
            request_priority=order.priority,
        )
        if order.hold:
            request.held_at = datetime.now(UTC)
            note(session, request.id, "HELD", "the standing order has it so")
    return len(groups)


def requests_with_late_instances(session: Session, order: StandingOrderSettings) -> Sequence[int]:
    """The requests under a standing order that are not planned yet, with late instances to take."""
    waiting = session.scalars(
        select(MediaCreationRequest.id)
        .where(
            MediaCreationRequest.execution_status.in_(_OPEN),
            MediaCreationRequest.standing_order == order.name,
            ~exists().where(FileSet.request_id == MediaCreationRequest.id),
        )
        .order_by(MediaCreationRequest.id)
    ).all()
    if not waiting:
        return []
    group = _group(order)
    late = session.execute(select(*group).where(*_unrequested(order)).distinct()).all()
    return [each for each in waiting if late and _group_of(session, order, each) in late]


def join_late_instances(session: Session, order: StandingOrderSettings) -> int:
    """Late instances join the request of their study or patient that is not planned yet."""
    joined = 0
    for request_id in requests_with_late_instances(session, order):
        late = _late(session, order, _group_of(session, order, request_id))
        if not late:
            continue
        request = session.get_one(MediaCreationRequest, request_id)
        first = len(request.references)
        session.execute(
            insert(ReferencedInstance),
            [
                {
                    "request_id": request_id,
                    "ordinal": first + number,
                    "referenced_sop_class_uid": reference.sop_class_uid,
                    "referenced_sop_instance_uid": reference.sop_instance_uid,
                    "requested_media_application_profile": reference.profile
                    or request.references[0].requested_media_application_profile,
                    "icon_image_sequence": None,
                }
                for number, reference in enumerate(late)
            ],
        )
        # a plan that is being made is of fewer instances: it counts no more
        request.admitted_at = None
        note(session, request_id, "JOINED", f"by {len(late)} late instances")
        joined += len(late)
    return joined


def _late(session: Session, order: StandingOrderSettings, group: Sequence[Any]) -> list[Reference]:
    """The instances of a group for which nobody has asked."""
    rows = session.execute(
        select(Instance.sop_class_uid, Instance.sop_instance_uid)
        .where(*_unrequested(order), *_is_of(order, group))
        .order_by(Instance.id)
    )
    return [Reference(row.sop_class_uid, row.sop_instance_uid, order.profile) for row in rows]


def _earlier(session: Session, order: StandingOrderSettings, group: Sequence[Any]) -> int | None:
    """The first request under the order for the same group that was not cancelled."""
    return session.scalars(
        select(MediaCreationRequest.id)
        .join(ReferencedInstance, ReferencedInstance.request_id == MediaCreationRequest.id)
        .join(Instance, ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid)
        .where(
            MediaCreationRequest.standing_order == order.name,
            MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
            MediaCreationRequest.supplements_id.is_(None),
            *_is_of(order, group),
        )
        .order_by(MediaCreationRequest.id)
        .limit(1)
    ).first()


def _group_of(session: Session, order: StandingOrderSettings, request_id: int) -> Any:
    """What a request is for, None where its instances are gone."""
    return session.execute(
        select(*_group(order))
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(ReferencedInstance.request_id == request_id, Instance.released_at.is_(None))
        .limit(1)
    ).first()


def _group(order: StandingOrderSettings) -> list[ColumnElement[Any]]:
    """What instances have in common that go onto media together: one patient, always."""
    group: list[Any] = [Instance.patient_id, Instance.issuer_of_patient_id, Instance.patient_name]
    if order.scope == "study":
        group.append(Instance.study_instance_uid)
    if order.ae_groups:
        caller = Instance.calling_ae_title
        together = [
            (caller.in_(map(_said, titles)), _said(titles[0])) for titles in order.ae_groups
        ]
        group.append(case(*together, else_=caller))
    return group


def _said(title: str) -> ColumnElement[str]:
    """An AE title in the statement itself: PostgreSQL compares what it groups by as it is said."""
    return literal(title, literal_execute=True)


def _is_of(order: StandingOrderSettings, group: Sequence[Any]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in zip(_group(order), group, strict=True)]


def _unrequested(order: StandingOrderSettings) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Instance.released_at.is_(None),
        ~exists().where(
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid
        ),
    ]
    if order.called_ae_titles:
        conditions.append(Instance.called_ae_title.in_(order.called_ae_titles))
    if order.callers:
        conditions.append(Instance.calling_ae_title.in_(order.callers))
    return conditions
