"""Surface: the page Register: every piece of media that was made or spoiled, and notes on each."""

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import register
from burnish.db.session import Database
from burnish.errors import InvalidValue, Unknown
from burnish.register import NoteKind, RegisterFilter
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.live import Topic, live_address
from burnish.web.sessions import actor_of

router = APIRouter()

_PAGE = 50


def _read_asked(
    q: str = "", outcome: str = "", device: str = "", since: str = "", until: str = ""
) -> dict[str, str]:
    """The fields of the search form."""
    return {"q": q, "outcome": outcome, "device": device, "since": since, "until": until}


_Asked = Annotated[dict[str, str], Depends(_read_asked)]


@router.get("/register", dependencies=[needs(Permission.SEE)])
def show_register(
    request: Request,
    asked: _Asked,
    before: str = "",
) -> Response:
    """The newest pieces, or those that are asked for."""
    context = context_of(request)
    sees_patients = context.rendering.audience(request).sees_patients
    return context.rendering.page(
        request,
        "register.html",
        device_names=[configured.name for configured in context.settings.devices],
        live=live_address("/live/register", **asked, before=before),
        **_list_values(context.database, asked, before, sees_patients=sees_patients),
    )


@router.get("/live/register", dependencies=[needs(Permission.SEE)])
async def live_register(
    request: Request,
    asked: _Asked,
    before: str = "",
    last_event_id: str = Header(""),
) -> StreamingResponse:
    """The pieces that the page shows, again after each change of the register."""
    topic = Topic(
        "register_content.html",
        _fingerprint,
        lambda database, sees_patients: _list_values(
            database, asked, before, sees_patients=sees_patients
        ),
    )
    name = live_address("register", **asked, before=before)
    return context_of(request).live.response(request, name, topic, last_event_id)


@router.get("/register/{name}", dependencies=[needs(Permission.SEE)])
def show_entry(request: Request, name: str) -> Response:
    """One piece of media."""
    return _entry(request, name, "register_entry.html")


@router.get("/live/register/{name}", dependencies=[needs(Permission.SEE)])
async def live_entry(
    request: Request, name: str, last_event_id: str = Header("")
) -> StreamingResponse:
    """One piece of media, again after each note."""
    topic = Topic(
        "register_entry_content.html",
        _fingerprint,
        lambda database, sees_patients: _entry_values(database, name, sees_patients=sees_patients),
    )
    live = context_of(request).live
    return live.response(request, f"register entry {name}", topic, last_event_id)


@router.post("/register/{name}/notes", dependencies=[needs(Permission.MAKE)])
def add_note(request: Request, name: str, form: Form) -> Response:
    """Note what became of a piece."""
    try:
        kind = NoteKind(form.get("kind", ""))
    except ValueError:
        raise InvalidValue(f"a note is one of {', '.join(NoteKind)}") from None
    with context_of(request).database.writing() as session:
        register.add_note(session, name, kind, form.get("text", ""), actor=actor_of(request))
    return _entry(request, name, "register_entry_content.html")


def _entry(request: Request, name: str, template: str) -> Response:
    context = context_of(request)
    sees_patients = context.rendering.audience(request).sees_patients
    values = _entry_values(context.database, name, sees_patients=sees_patients)
    return context.rendering.page(request, template, **values)


def _entry_values(database: Database, name: str, *, sees_patients: bool) -> Mapping[str, Any]:
    if not _may_look_for(name, sees_patients=sees_patients):
        raise Unknown(f"the register has no piece of media {name!r}")
    with database.reading() as session:
        entry = register.entry(session, name)
    return {"entry": entry, "kinds": list(NoteKind)}


def _list_values(
    database: Database, asked: Mapping[str, str], before: str, *, sees_patients: bool
) -> Mapping[str, Any]:
    text = asked["q"]
    is_hidden = bool(text) and not _may_look_for(text, sees_patients=sees_patients)
    criteria = RegisterFilter(
        text=text,
        device=asked["device"],
        outcome=asked["outcome"],
        since=_day(asked["since"]),
        until=_day(asked["until"], days=1),
    )
    with database.reading() as session:
        entries = []
        if text and not is_hidden:
            entries = register.entries_named(session, text, limit=_PAGE)
        if not entries and not is_hidden:
            position = int(before) if before.isascii() and before.isdigit() else None
            entries = register.entries(session, criteria, limit=_PAGE + 1, before=position)
        count = register.count(session)
    has_more = len(entries) > _PAGE
    entries = entries[:_PAGE]
    return {
        "entries": entries,
        "count": count,
        "asked": asked,
        "before": entries[-1].id if has_more else "",
    }


def _fingerprint(database: Database) -> Hashable:
    with database.reading() as session:
        return register.fingerprint(session)


def _may_look_for(text: str, *, sees_patients: bool) -> bool:
    """Whether a visitor may ask for media by this text.

    Whoever does not see patients asks only by names in the register: bar codes and File-set IDs may
    be numbers of patients.
    """
    return sees_patients or register.is_entry_name(text)


def _day(text: str, days: int = 0) -> datetime | None:
    """The beginning of a day in the time zone of the service; raises InvalidValue."""
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007  in local time, like the browser
        return (day + timedelta(days=days)).astimezone().astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidValue("a day is written as 2026-11-28") from None
