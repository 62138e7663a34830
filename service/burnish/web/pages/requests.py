"""Surface: the list of requests, the page of one request, and what people do with requests."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from burnish import register
from burnish.db.session import Database
from burnish.errors import InvalidValue
from burnish.request import listing
from burnish.request.actions import NAMED_ACTIONS
from burnish.request.listing import RequestFilter
from burnish.request.views import RequestGroup, RequestView, SeriesShare
from burnish.settings import Settings
from burnish.volume_downloads import published_image
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.disc_drawing import DiscDrawing, Share, draw
from burnish.web.disc_pages import page_response
from burnish.web.forms import Form, copies_of, priority_of
from burnish.web.live import Topic, live_address
from burnish.web.pages import bulk, now
from burnish.web.sessions import actions_of
from burnish.write.job import volumes_with_pages

router = APIRouter()

_PAGE = 50
#: The media that a request without volumes is drawn on, from small to large.
_DRAWN_ON = (("CD", 359_000 * 2048), ("DVD", 2_295_104 * 2048), ("BD", 11_826_176 * 2048))


@dataclass(frozen=True, slots=True)
class ShownDisc:
    """One volume as the page draws it; `number` is 0 before planning."""

    title: str
    number: int
    file_set_id: str
    size: int
    capacity: int
    drawing: DiscDrawing
    has_image: bool = False
    has_front_page: bool = False
    has_zip: bool = False


@router.get("/requests", dependencies=[needs(Permission.SEE)])
def requests(request: Request, group: str = "", before: str = "") -> Response:
    """The list of all requests, or of one group, newest first."""
    context = context_of(request)
    return context.rendering.page(
        request,
        "requests.html",
        group_names=list(RequestGroup),
        bulk_actions=bulk.OFFERED,
        live=live_address("/live/requests", group=group, before=before),
        **_list_values(context.database, group, before),
    )


@router.get("/live/requests", dependencies=[needs(Permission.SEE)])
async def live_requests(
    request: Request, group: str = "", before: str = "", last_event_id: str = Header("")
) -> StreamingResponse:
    """The list, or the part of it that the page shows, again after each change."""
    topic = Topic(
        "requests_content.html",
        now.fingerprint,
        lambda database, _sees_patients: _list_values(database, group, before),
    )
    name = live_address("requests", group=group, before=before)
    return context_of(request).live.response(request, name, topic, last_event_id)


@router.get("/requests/{name}", dependencies=[needs(Permission.SEE)])
def one_request(request: Request, name: str) -> Response:
    """The page of one request."""
    context = context_of(request)
    values = _values(context.settings, context.database, name)
    return context.rendering.page(request, "request.html", **values)


@router.get("/live/requests/{name}", dependencies=[needs(Permission.SEE)])
async def live_request(
    request: Request, name: str, last_event_id: str = Header("")
) -> StreamingResponse:
    """The content of the page of one request, again after each change."""
    context = context_of(request)

    def of_request(database: Database) -> Hashable:
        with database.reading() as session:
            return now.fingerprint(database), register.newest_note(session)

    topic = Topic(
        "request_content.html",
        of_request,
        lambda database, _sees_patients: _values(context.settings, database, name),
    )
    return context.live.response(request, f"request {name}", topic, last_event_id)


@router.post("/requests/{name}/initiate", dependencies=[needs(Permission.MAKE)])
def initiate(request: Request, name: str) -> Response:
    """Start a request that was only created."""
    return _done(request, actions_of(request).initiate(name).short_id, "initiate")


@router.post("/requests/{name}/priority", dependencies=[needs(Permission.MAKE)])
def set_priority(request: Request, name: str, form: Form) -> Response:
    """Have a request made sooner or later than others."""
    line = actions_of(request).set_priority(name, priority_of(form))
    return _done(request, line.short_id, "priority")


@router.post("/requests/{name}/device", dependencies=[needs(Permission.MAKE)])
def move_to_device(request: Request, name: str, form: Form) -> Response:
    """Have another device make a request."""
    line = actions_of(request).move_to_device(name, form.get("device", ""))
    return _done(request, line.short_id, "device")


@router.post("/requests/{name}/copies", dependencies=[needs(Permission.MAKE)])
def add_copies(request: Request, name: str, form: Form) -> Response:
    """Make more copies, by a new request if this one has ended."""
    maker = actions_of(request).add_copies(name, copies_of(form))
    return _done(request, name, "copies", maker.short_id)


@router.post("/requests/{name}/repeat", dependencies=[needs(Permission.MAKE)])
def repeat(request: Request, name: str) -> Response:
    """Make the media of a request again, by a new request."""
    again = actions_of(request).repeat(name)
    return _done(request, name, "repeat", again.short_id)


@router.post("/requests/{name}/label", dependencies=[needs(Permission.MAKE)])
def set_label(request: Request, name: str, form: Form) -> Response:
    """Change what the labels of a request say, before one is printed."""
    line = actions_of(request).set_label(name, text=form.get("text"), style=form.get("style"))
    return _done(request, line.short_id, "label")


@router.post("/requests/{name}/split", dependencies=[needs(Permission.MAKE)])
def split(request: Request, name: str) -> Response:
    """Have a request for each patient in place of one for several."""
    parts = actions_of(request).split(name)
    return _done(request, name, "split", *(part.short_id for part in parts))


@router.post("/requests/{name}/{action}", dependencies=[needs(Permission.MAKE)])
def act(request: Request, name: str, action: str) -> Response:
    """Cancel, retry, hold or release a request."""
    line = actions_of(request).do(action, name)
    return _done(request, line.short_id, action, undo=NAMED_ACTIONS[action].undo)


@router.get(
    "/requests/{name}/volumes/{number}/label.png", dependencies=[needs(Permission.DOWNLOAD)]
)
def label(request: Request, name: str, number: int) -> Response:
    """The label of a volume as a picture."""
    picture = context_of(request).downloads.label(name, number, "png")
    return Response(picture, media_type="image/png")


@router.get("/requests/{name}/volumes/{number}/front", dependencies=[needs(Permission.DOWNLOAD)])
def front_page(request: Request, name: str, number: int) -> Response:
    """The first page that a browser shows of a volume."""
    return page_response(context_of(request).downloads.front_page(name, number))


@router.get("/requests/{name}/volumes/{number}/image", dependencies=[needs(Permission.DOWNLOAD)])
def image(request: Request, name: str, number: int) -> Response:
    """The image of a volume that a folder device has published."""
    path, file_name = context_of(request).downloads.image(name, number)
    return FileResponse(path, filename=file_name)


@router.get("/requests/{name}/volumes/{number}/zip", dependencies=[needs(Permission.DOWNLOAD)])
def zip_file(request: Request, name: str, number: int) -> Response:
    """All files of a volume as a ZIP file, made while it is sent."""
    pieces, file_name = context_of(request).downloads.zip_file(name, number)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


def _list_values(database: Database, group: str, before: str) -> Mapping[str, Any]:
    with database.reading() as session:
        wanted = RequestFilter(group=_group(group))
        lines = listing.requests(session, wanted, limit=_PAGE + 1, before=before)
    has_more = len(lines) > _PAGE
    lines = lines[:_PAGE]
    return {"lines": lines, "group": group, "before": lines[-1].short_id if has_more else ""}


def _group(name: str) -> RequestGroup | None:
    try:
        return RequestGroup(name) if name else None
    except ValueError:
        raise InvalidValue(f"a group is one of {', '.join(RequestGroup)}") from None


def _done(request: Request, name: str, action: str, *others: str, undo: str = "") -> Response:
    """The answer after an action on a request; `others` are other requests that do it."""
    return context_of(request).rendering.page(
        request,
        "action_done.html",
        name=name,
        action=action,
        undo=undo,
        others=[other for other in others if other != name],
    )


# --- the drawing of volumes


def _values(settings: Settings, database: Database, name: str) -> Mapping[str, Any]:
    with database.reading() as session:
        view = listing.show(session, name)
        with_pages = volumes_with_pages(session, view.line.sop_instance_uid)
    piece_names = {
        piece.id: f"{piece.volume_number}/{piece.volume_count} · {piece.copy_number}"
        for piece in view.pieces
    }
    return {
        "view": view,
        "discs": _discs(settings, view, with_pages),
        "piece_names": piece_names,
        "can_repeat": True,
        "device_names": [device.name for device in settings.devices],
        "maximum_copies": settings.request.maximum_copies,
    }


def _discs(settings: Settings, view: RequestView, with_pages: frozenset[int]) -> list[ShownDisc]:
    if not view.volumes:
        return _unplanned_disc(view)
    return [
        ShownDisc(
            title=f"{volume.medium} {volume.volume_number}/{volume.volume_count}",
            number=volume.volume_number,
            file_set_id=volume.file_set_id,
            size=volume.size,
            capacity=volume.capacity,
            drawing=draw(_shares(volume.series), volume.capacity, volume.size),
            has_image=published_image(settings, view.line.short_id, volume.volume_number)
            is not None,
            has_front_page=volume.volume_number in with_pages,
            has_zip=not view.missing,
        )
        for volume in view.volumes
    ]


def _unplanned_disc(view: RequestView) -> list[ShownDisc]:
    """The received instances, on the smallest disc that may hold them."""
    size = sum(share.size for share in view.unplanned)
    if not size:
        return []
    medium, capacity = next((kind for kind in _DRAWN_ON if kind[1] >= size), _DRAWN_ON[-1])
    drawing = draw(_shares(view.unplanned), capacity)
    return [ShownDisc(f"≈ {medium}", 0, "", size, capacity, drawing)]


def _shares(series: tuple[SeriesShare, ...]) -> list[Share]:
    return [Share(f"{share.modality} · {share.instances}", share.size) for share in series]
