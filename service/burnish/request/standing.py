"""Stage: asks for media where a modality cannot: standing orders, after a quiet period."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from burnish.db.tables import Instance, ReferencedInstance
from burnish.request.operations import Order, Reference, create, initiate
from burnish.settings import Request as Defaults
from burnish.settings import StandingOrder


def due(session: Session, order: StandingOrder) -> Sequence[Any]:
    """The studies or patients for which a request is due under a standing order.

    Due is one of whose instances nobody has asked for media, once the youngest of them is older
    than the quiet period.
    """
    quiet_since = datetime.now(UTC) - order.quiet_period
    scope = _scope(order)
    return session.execute(
        select(*scope)
        .where(*_unrequested(order))
        .group_by(*scope)
        .having(func.max(Instance.received_at) <= quiet_since)
    ).all()


def issue(session: Session, defaults: Defaults, order: StandingOrder) -> int:
    """Issues the requests that are due under one standing order; how many. One patient each."""
    groups = due(session, order)
    for group in groups:
        rows = session.execute(
            select(Instance.sop_class_uid, Instance.sop_instance_uid)
            .where(
                *_unrequested(order),
                *(column == value for column, value in zip(_scope(order), group, strict=True)),
            )
            .order_by(Instance.id)
        )
        references = [
            Reference(row.sop_class_uid, row.sop_instance_uid, order.profile) for row in rows
        ]
        request = create(
            session, defaults, Order(references), origin=f"standing order {order.name}"[:40]
        )
        initiate(
            session,
            defaults,
            request.sop_instance_uid,
            number_of_copies=order.copies,
            request_priority=order.priority,
        )
    return len(groups)


def _scope(order: StandingOrder) -> tuple[InstrumentedAttribute[str], ...]:
    patient = (Instance.patient_id, Instance.issuer_of_patient_id, Instance.patient_name)
    return (*patient, Instance.study_instance_uid) if order.scope == "study" else patient


def _unrequested(order: StandingOrder) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        Instance.released_at.is_(None),
        ~exists().where(
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid
        ),
    ]
    if order.called_ae_titles:
        conditions.append(Instance.called_ae_title.in_(order.called_ae_titles))
    if order.calling_ae_titles:
        conditions.append(Instance.calling_ae_title.in_(order.calling_ae_titles))
    return conditions
