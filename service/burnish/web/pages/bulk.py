"""Surface: one action on many requests: how many first, then the action, then undo."""

from fastapi import APIRouter, Request, Response

from burnish.errors import InvalidValue
from burnish.request import bulk
from burnish.request.bulk import UNDOABLE, BulkAction, UndoStep
from burnish.request.listing import RequestFilter
from burnish.request.views import ActionKind, RequestGroup
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.sessions import actor_of

router = APIRouter(dependencies=[needs(Permission.OPERATE)])

#: What the page offers; a priority or device is chosen for single requests.
OFFERED = (
    ActionKind.RETRY,
    ActionKind.HOLD,
    ActionKind.RELEASE,
    ActionKind.INITIATE,
    ActionKind.CANCEL,
)


@router.post("/bulk/preview")
def preview(request: Request, form: Form) -> Response:
    """How many requests the action would change."""
    context = context_of(request)
    action = _action(form)
    with context.database.reading() as session:
        outcome = bulk.preview(session, _filter(form), action)
    return context.rendering.page(
        request,
        "bulk_preview.html",
        preview=outcome,
        action=action.kind,
        group=form.get("group", ""),
    )


@router.post("/bulk/apply")
def apply(request: Request, form: Form) -> Response:
    """Do it."""
    context = context_of(request)
    action = _action(form)
    result = bulk.apply(
        context.database, context.settings, _filter(form), action, actor=actor_of(request)
    )
    return context.rendering.page(
        request, "bulk_done.html", result=result, undo=_encoded(result.undo)
    )


@router.post("/bulk/undo")
def undo(request: Request, form: Form) -> Response:
    """Restore what was before."""
    context = context_of(request)
    result = bulk.undo(
        context.database,
        context.settings,
        _decoded(form.get("steps", "")),
        actor=actor_of(request),
    )
    return context.rendering.page(request, "bulk_done.html", result=result, undo="")


def _action(form: Form) -> BulkAction:
    try:
        kind = ActionKind(form.get("action", ""))
    except ValueError:
        kind = None
    if kind not in OFFERED:
        raise InvalidValue("choose what to do with the requests")
    return BulkAction(kind)


def _filter(form: Form) -> RequestFilter:
    name = form.get("group", "")
    try:
        return RequestFilter(group=RequestGroup(name) if name else None)
    except ValueError:
        raise InvalidValue(f"there is no group {name}") from None


def _encoded(steps: tuple[UndoStep, ...]) -> str:
    """The steps of an undo as a field of a form: R000001:release R000002:release."""
    return " ".join(f"{step.name}:{step.action.kind}" for step in steps)


def _decoded(text: str) -> list[UndoStep]:
    """The reverse; raises InvalidValue for an action that is no undo."""
    steps = []
    for part in text.split():
        name, _, kind = part.partition(":")
        if kind not in UNDOABLE:
            raise InvalidValue("this cannot be undone")
        steps.append(UndoStep(name, BulkAction(ActionKind(kind))))
    return steps
