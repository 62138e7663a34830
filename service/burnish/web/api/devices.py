"""Surface: `/api/v1/devices`: what each device does; pause, resume and test burn."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from burnish import devices, register
from burnish.devices import DeviceView
from burnish.register import RegisterEntry, RegisterFilter
from burnish.request import burn_test
from burnish.request.views import ListPage, RequestLine
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented
from burnish.web.api.shapes import object_of, page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actions_of, actor_of

router = APIRouter(prefix="/api/v1/devices", tags=["devices"])

_DEVICE = schema_of(DeviceView)


class PauseBody(Body):
    """Why a device is paused."""

    reason: str = Field(default="", max_length=500)


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List the devices",
    responses=documented(page_of(DeviceView), text="All devices."),
)
def list_devices(request: Request) -> Response:
    """All devices in the order of the configuration."""
    context = context_of(request)
    with context.database.reading() as session:
        views = devices.views(session, context.settings)
    return answer(request, ListPage(tuple(views)))


@router.get(
    "/{name}",
    dependencies=[needs(Permission.SEE)],
    summary="Show one device",
    responses=documented(
        object_of(device=DeviceView, history=list[RegisterEntry]), 404, text="The device."
    ),
)
def show_device(request: Request, name: str, limit: Limit = 10) -> Response:
    """State, reason and remedy, supplies, the piece that is made now, and the last ones."""
    context = context_of(request)
    with context.database.reading() as session:
        facts = {
            "device": devices.view(session, context.settings, name),
            "history": register.entries(session, RegisterFilter(device=name), limit=limit),
        }
    return answer(request, facts)


@router.post(
    "/{name}/pause",
    dependencies=[needs(Permission.OPERATE)],
    summary="Pause a device",
    responses=documented(_DEVICE, 404, text="The device as it is now."),
)
def pause_device(request: Request, name: str, body: PauseBody | None = None) -> Response:
    """Have a device finish its piece and take no more."""
    context = context_of(request)
    reason = body.reason if body else ""
    with context.database.writing() as session:
        devices.pause(session, context.settings, name, reason, actor=actor_of(request))
    return _device(request, name)


@router.post(
    "/{name}/resume",
    dependencies=[needs(Permission.OPERATE)],
    summary="Resume a device",
    responses=documented(_DEVICE, 404, text="The device as it is now."),
)
def resume_device(request: Request, name: str) -> Response:
    """Have a device take work again."""
    context = context_of(request)
    with context.database.writing() as session:
        devices.resume(session, context.settings, name, actor=actor_of(request))
    return _device(request, name)


@router.post(
    "/{name}/test",
    dependencies=[needs(Permission.OPERATE)],
    status_code=201,
    summary="Order a test burn",
    responses=documented(
        schema_of(RequestLine), 404, 409, status=201, text="The request of the test burn."
    ),
)
def order_test_burn(request: Request, name: str) -> Response:
    """Have a device make a small volume of generated images. It may use up a blank."""
    context = context_of(request)
    device = devices.device_named(context.settings, name)
    line = burn_test.order(actions_of(request), device, context.uploads.receive)
    return answer(request, line, status=201, location=f"/api/v1/requests/{line.short_id}")


def _device(request: Request, name: str) -> Response:
    context = context_of(request)
    with context.database.reading() as session:
        view = devices.view(session, context.settings, name)
    return answer(request, view)
