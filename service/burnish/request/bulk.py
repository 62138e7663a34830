"""Stage: one action on all requests that match a filter: preview, action, undo.

Each request has a transaction of its own, so that receivers and writers get their turn meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest, short_id
from burnish.errors import BurnishError, InvalidArgument, OutOfResources
from burnish.request import changes, listing, operations
from burnish.request.listing import RequestFilter
from burnish.request.views import ActionKind
from burnish.settings import Settings
from burnish.values import Actor
from burnish.vocabulary import OPEN_STATES, ExecutionStatus, ExecutionStatusInfo, RequestPriority

#: The most requests that one bulk action changes.
MOST_REQUESTS = 10_000


#: Actions after which `undo` restores what was before.
UNDOABLE = frozenset({ActionKind.HOLD, ActionKind.RELEASE, ActionKind.PRIORITY, ActionKind.DEVICE})


@dataclass(frozen=True, slots=True)
class BulkAction:
    """An action; `value` is the priority or the name of the device, "" for any device."""

    kind: ActionKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class BulkPreview:
    """The effect of an action: requests that match, and those of them whose state permits it."""

    matching: int
    permitted: int
    names: tuple[str, ...]
    can_be_undone: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that an action did not change, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class UndoStep:
    """The values that restore one request."""

    name: str
    action: BulkAction


@dataclass(frozen=True, slots=True)
class BulkResult:
    """The result of an action. `undo` restores the requests, as far as it can be undone."""

    changed: tuple[str, ...]
    refused: tuple[Refused, ...]
    undo: tuple[UndoStep, ...]


def preview(session: Session, wanted: RequestFilter, action: BulkAction) -> BulkPreview:
    """How many requests an action would change, and the first of them by name."""
    permitted = _permitted(session, wanted, action.kind)
    return BulkPreview(
        matching=listing.count(session, wanted),
        permitted=len(permitted),
        names=tuple(short_id(request_id) for request_id in permitted[:20]),
        can_be_undone=action.kind in UNDOABLE,
    )


def apply(
    database: Database,
    settings: Settings,
    wanted: RequestFilter,
    action: BulkAction,
    *,
    actor: Actor,
) -> BulkResult:
    """Do an action with all requests that match and whose state permits it.

    A request whose state has changed meanwhile is refused, the others are changed. Raises
    InvalidArgument if there are too many, or the value is wrong.
    """
    _check(settings, action)
    with database.reading() as session:
        request_ids = _permitted(session, wanted, action.kind)
    if len(request_ids) > MOST_REQUESTS:
        raise InvalidArgument(f"more than {MOST_REQUESTS} requests match: narrow the filter")
    steps = [UndoStep(short_id(request_id), action) for request_id in request_ids]
    return _do(database, settings, steps, actor)


def undo(
    database: Database, settings: Settings, steps: Sequence[UndoStep], *, actor: Actor
) -> BulkResult:
    """Restore what an action has changed."""
    return _do(database, settings, steps, actor)


def _do(
    database: Database, settings: Settings, steps: Sequence[UndoStep], actor: Actor
) -> BulkResult:
    changed: list[str] = []
    refused: list[Refused] = []
    restoring: list[UndoStep] = []
    for step in steps:
        try:
            with database.writing() as session:
                before = _perform(session, settings, step, actor)
        except OutOfResources:
            raise
        except BurnishError as error:
            refused.append(Refused(step.name, str(error)))
            continue
        changed.append(step.name)
        if before is not None:
            restoring.append(replace(step, action=before))
    return BulkResult(tuple(changed), tuple(refused), tuple(restoring))


def _perform(
    session: Session, settings: Settings, step: UndoStep, actor: Actor
) -> BulkAction | None:
    """Do an action with one request; returns what restores it, None if nothing does."""
    line = listing.find_request(session, step.name)
    uid, kind, value = line.sop_instance_uid, step.action.kind, step.action.value
    before: BulkAction | None = None
    if kind is ActionKind.INITIATE:
        operations.initiate(session, settings.request, uid, actor=actor)
    elif kind is ActionKind.CANCEL:
        operations.cancel(session, uid, actor=actor)
    elif kind is ActionKind.RETRY:
        operations.retry(session, uid, actor=actor)
    elif kind is ActionKind.HOLD:
        operations.hold(session, uid, actor=actor)
        before = BulkAction(ActionKind.RELEASE)
    elif kind is ActionKind.RELEASE:
        operations.release(session, uid, actor=actor)
        before = BulkAction(ActionKind.HOLD)
    elif kind is ActionKind.PRIORITY:
        changes.set_priority(session, uid, RequestPriority(value), actor=actor)
        before = BulkAction(kind, str(line.request_priority))
    elif kind is ActionKind.DEVICE:
        changes.move_to_device(session, uid, value, settings.devices, actor=actor)
        before = BulkAction(kind, line.device)
    else:
        changes.repeat(session, settings.request, uid, actor=actor)
    return before


def _check(settings: Settings, action: BulkAction) -> None:
    """Raises InvalidArgument if the value of an action is wrong."""
    if action.kind is ActionKind.PRIORITY and action.value not in [*RequestPriority]:
        raise InvalidArgument("the priority is not HIGH, MED or LOW")
    names = ["", *(device.name for device in settings.devices)]
    if action.kind is ActionKind.DEVICE and action.value not in names:
        raise InvalidArgument(f"no device {action.value}")


def _permitted(session: Session, wanted: RequestFilter, kind: ActionKind) -> Sequence[int]:
    """The ids of the requests that match and whose state permits the action, oldest first."""
    request = MediaCreationRequest
    status = request.execution_status
    is_open = status.in_(OPEN_STATES)
    conditions = {
        ActionKind.INITIATE: status == ExecutionStatus.IDLE,
        ActionKind.CANCEL: is_open,
        ActionKind.RETRY: (status == ExecutionStatus.FAILURE)
        | (
            status.in_((ExecutionStatus.PENDING, ExecutionStatus.CREATING))
            & request.execution_status_info.not_in(
                (ExecutionStatusInfo.NORMAL, ExecutionStatusInfo.QUEUED)
            )
        ),
        ActionKind.HOLD: is_open & request.held_at.is_(None),
        ActionKind.RELEASE: is_open & request.held_at.is_not(None),
        ActionKind.PRIORITY: is_open,
        ActionKind.DEVICE: is_open,
        ActionKind.REPEAT: status.in_((ExecutionStatus.DONE, ExecutionStatus.FAILURE)),
    }
    query = select(request.id).where(*listing.conditions(wanted), conditions[kind])
    return session.scalars(query.order_by(request.id)).all()
