"""Surface: `/api/v1/bulk`: one action on many requests: how many first, then the action, undo."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from burnish.request import bulk
from burnish.request.bulk import BulkAction, BulkPreview, BulkResult, UndoStep
from burnish.request.listing import RequestFilter
from burnish.request.views import ActionKind, RequestGroup
from burnish.vocabulary import ExecutionStatus
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, answer, documented
from burnish.web.api.shapes import schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of

router = APIRouter(
    prefix="/api/v1/bulk", tags=["requests"], dependencies=[needs(Permission.OPERATE)]
)

_Name = Annotated[str, Field(max_length=64)]


class FilterBody(Body):
    """Which requests: those that match all that is given."""

    status: ExecutionStatus | None = None
    group: RequestGroup | None = None
    patient: str = Field(default="", max_length=200)
    accession_number: str = Field(default="", max_length=64)
    study_date: str = Field(default="", max_length=40)
    since: datetime | None = None
    device: _Name = ""
    calling_ae_title: _Name = ""
    standing_order: _Name = ""
    names: list[_Name] = Field(default=[], max_length=1000)


class ActionBody(Body):
    """An action; `value` is the priority or the device."""

    kind: ActionKind
    value: _Name = ""


class BulkBody(Body):
    """An action on the requests that match a filter."""

    filter: FilterBody
    action: ActionBody


class StepBody(Body):
    """The values that restore one request."""

    name: _Name
    action: ActionBody


class UndoBody(Body):
    """`undo` of an earlier answer."""

    steps: list[StepBody] = Field(max_length=10_000)


@router.post(
    "/preview",
    summary="Count what an action would change",
    responses=documented(schema_of(BulkPreview), text="The number of requests."),
)
def preview_bulk(request: Request, body: BulkBody) -> Response:
    """How many requests match, and how many of them the action would change."""
    with context_of(request).database.reading() as session:
        outcome = bulk.preview(session, _filter(body.filter), _action(body.action))
    return answer(request, outcome)


@router.post(
    "/apply",
    summary="Do an action with many requests",
    responses=documented(schema_of(BulkResult), 409, text="What was done."),
)
def apply_bulk(request: Request, body: BulkBody) -> Response:
    """Do an action with all requests that match and whose state permits it."""
    context = context_of(request)
    result = bulk.apply(
        context.database,
        context.settings,
        _filter(body.filter),
        _action(body.action),
        actor=actor_of(request),
    )
    return answer(request, result)


@router.post(
    "/undo",
    summary="Undo an action on many requests",
    responses=documented(schema_of(BulkResult), 409, text="What was restored."),
)
def undo_bulk(request: Request, body: UndoBody) -> Response:
    """Restore what was before, as far as it still can be."""
    context = context_of(request)
    steps = [UndoStep(step.name, _action(step.action)) for step in body.steps]
    result = bulk.undo(context.database, context.settings, steps, actor=actor_of(request))
    return answer(request, result)


def _filter(body: FilterBody) -> RequestFilter:
    values = body.model_dump()
    return RequestFilter(**{**values, "names": tuple(values["names"])})


def _action(body: ActionBody) -> BulkAction:
    return BulkAction(body.kind, body.value)
