"""Surface: the page Devices: what each device does, what it has made, pause, resume, test burn."""

from collections.abc import Hashable, Mapping
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import devices, register
from burnish.db.session import Database
from burnish.register import RegisterFilter
from burnish.request import burn_test
from burnish.settings import Settings
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.live import Topic
from burnish.web.sessions import actions_of, actor_of

router = APIRouter()

#: How many pieces the history of a device shows.
_HISTORY = 8


@router.get("/devices", dependencies=[needs(Permission.SEE)])
def show_devices(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    return context.rendering.page(
        request, "devices.html", **_values(context.settings, context.database)
    )


@router.get("/live/devices", dependencies=[needs(Permission.SEE)])
async def live_devices(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The content of the page, again after each change."""
    context = context_of(request)
    topic = Topic(
        "devices_content.html",
        _fingerprint,
        lambda database, _sees_patients: _values(context.settings, database),
    )
    return context.live.response(request, "devices", topic, last_event_id)


@router.post("/devices/{name}/pause", dependencies=[needs(Permission.OPERATE)])
def pause(request: Request, name: str, form: Form) -> Response:
    """Have a device finish its piece and take no more."""
    context = context_of(request)
    with context.database.writing() as session:
        devices.pause(
            session, context.settings, name, form.get("reason", ""), actor=actor_of(request)
        )
    return _content(request)


@router.post("/devices/{name}/resume", dependencies=[needs(Permission.OPERATE)])
def resume(request: Request, name: str) -> Response:
    """Have a device take work again."""
    context = context_of(request)
    with context.database.writing() as session:
        devices.resume(session, context.settings, name, actor=actor_of(request))
    return _content(request)


@router.post("/devices/{name}/test", dependencies=[needs(Permission.OPERATE)])
def order_test_burn(request: Request, name: str) -> Response:
    """Have a device make a small volume of generated images."""
    context = context_of(request)
    device = devices.device_named(context.settings, name)
    line = burn_test.order(actions_of(request), device, context.uploads.receive)
    return context.rendering.page(request, "devices_test.html", name=line.short_id, device=name)


def _content(request: Request) -> Response:
    context = context_of(request)
    values = _values(context.settings, context.database)
    return context.rendering.page(request, "devices_content.html", **values)


def _fingerprint(database: Database) -> Hashable:
    with database.reading() as session:
        return tuple(devices.fingerprint(session))


def _values(settings: Settings, database: Database) -> Mapping[str, Any]:
    with database.reading() as session:
        views = devices.views(session, settings)
        history = {
            view.name: register.entries(session, RegisterFilter(device=view.name), limit=_HISTORY)
            for view in views
        }
    blanks = {device.name: burn_test.uses_up_a_blank(device) for device in settings.devices}
    return {
        "devices": views,
        "history": history,
        "uses_up_a_blank": blanks,
    }
