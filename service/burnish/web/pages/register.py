"""Surface: the page Register: every piece of media that was made or spoiled, and notes on each."""

from datetime import UTC, datetime, timedelta

from fastapi import APIRouter, Request, Response

from burnish import register
from burnish.errors import InvalidValue, Unknown
from burnish.register import NoteKind, RegisterFilter
from burnish.web.access import Permission, may, needs, visitor_of
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.sessions import actor_of

router = APIRouter()

_PAGE = 50


@router.get("/register", dependencies=[needs(Permission.SEE)])
def show_register(
    request: Request,
    *,
    q: str = "",
    outcome: str = "",
    device: str = "",
    since: str = "",
    until: str = "",
    before: str = "",
) -> Response:
    """The newest pieces, or those that are asked for."""
    context = context_of(request)
    is_hidden = bool(q) and not _may_look_for(request, q)
    criteria = RegisterFilter(
        text=q,
        device=device,
        outcome=outcome,
        since=_day(since),
        until=_day(until, days=1),
    )
    with context.database.reading() as session:
        entries = []
        if q and not is_hidden:
            entries = register.entries_named(session, q, limit=_PAGE)
        if not entries and not is_hidden:
            position = int(before) if before.isascii() and before.isdigit() else None
            entries = register.entries(session, criteria, limit=_PAGE + 1, before=position)
        count = register.count(session)
    has_more = len(entries) > _PAGE
    entries = entries[:_PAGE]
    return context.rendering.page(
        request,
        "register.html",
        entries=entries,
        count=count,
        asked={"q": q, "outcome": outcome, "device": device, "since": since, "until": until},
        device_names=[configured.name for configured in context.settings.devices],
        before=entries[-1].id if has_more else "",
    )


@router.get("/register/{name}", dependencies=[needs(Permission.SEE)])
def show_entry(request: Request, name: str) -> Response:
    """One piece of media."""
    return _entry(request, name, "register_entry.html")


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
    if not _may_look_for(request, name):
        raise Unknown(f"the register has no piece of media {name!r}")
    with context.database.reading() as session:
        entry = register.entry(session, name)
    return context.rendering.page(request, template, entry=entry, kinds=list(NoteKind))


def _may_look_for(request: Request, text: str) -> bool:
    """Whether a visitor may ask for media by this text.

    Whoever does not see patients asks only by names in the register: bar codes and File-set IDs may
    be numbers of patients.
    """
    sees_patients = may(visitor_of(request).role, Permission.SEE_PATIENTS)
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
