"""Surface: the page Users: users of the web, and tokens for programs."""

from collections.abc import Hashable
from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import accounts
from burnish.db.session import Database
from burnish.errors import InvalidValue
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.live import Topic
from burnish.web.sessions import actor_of, welcome_link
from burnish.web.visitor import Role

router = APIRouter(dependencies=[needs(Permission.ADMINISTER)])

#: Days that a token may last; 0: until it is revoked.
_LIFETIMES = (30, 90, 365, 0)


@router.get("/users")
def users(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    return context.rendering.page(request, "users.html", **_values(context.database))


@router.get("/live/users")
async def live_users(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """Users and tokens, again after each change."""

    def fingerprint(database: Database) -> Hashable:
        lines = _lines(database)
        has_expired = (token.has_expired for token in lines["tokens"])
        return (*lines["users"], *lines["tokens"], *has_expired)

    topic = Topic(
        "users_content.html", fingerprint, lambda database, _sees_patients: _values(database)
    )
    return context_of(request).live.response(request, "users", topic, last_event_id)


@router.post("/users")
def add_user(request: Request, form: Form) -> Response:
    """Add a user; the answer shows the link by which they set a password."""
    name = form.get("name", "").strip()
    with context_of(request).database.writing() as session:
        accounts.add_account(session, name, _role(form), by=actor_of(request))
        secret = accounts.new_link(session, name)
    return _changed(request, link=welcome_link(request, secret), link_for=name)


@router.post("/users/{name}/role")
def change_role(request: Request, name: str, form: Form) -> Response:
    """Give a user another role."""
    with context_of(request).database.writing() as session:
        accounts.set_role(session, name, _role(form), by=actor_of(request))
    return _changed(request)


@router.post("/users/{name}/link")
def make_link(request: Request, name: str) -> Response:
    """A new link by which a user sets a password."""
    with context_of(request).database.writing() as session:
        secret = accounts.new_link(session, name)
    return _changed(request, link=welcome_link(request, secret), link_for=name)


@router.post("/users/{name}/remove")
def remove_user(request: Request, name: str) -> Response:
    """Remove a user."""
    with context_of(request).database.writing() as session:
        accounts.remove_account(session, name, by=actor_of(request))
    return _changed(request)


@router.post("/tokens")
def create_token(request: Request, form: Form) -> Response:
    """Create a token; the answer is the only one that shows it."""
    name = form.get("name", "").strip()
    days = form.get("days", "")
    if days not in map(str, _LIFETIMES):
        raise InvalidValue("the token lasts 30, 90 or 365 days, or until it is revoked")
    lifetime = timedelta(days=int(days)) if days != "0" else None
    with context_of(request).database.writing() as session:
        secret = accounts.create_token(
            session, name, _role(form), lifetime=lifetime, by=actor_of(request)
        )
    return _changed(request, token=secret, token_name=name)


@router.post("/tokens/{name}/revoke")
def revoke_token(request: Request, name: str) -> Response:
    """Revoke a token."""
    with context_of(request).database.writing() as session:
        accounts.revoke_token(session, name, by=actor_of(request))
    return _changed(request)


def _changed(
    request: Request, *, link: str = "", link_for: str = "", token: str = "", token_name: str = ""
) -> Response:
    """The answer to a change: users and tokens, and the secret that only this answer shows."""
    context = context_of(request)
    return context.rendering.page(
        request,
        "users_changed.html",
        link=link,
        link_for=link_for,
        token=token,
        token_name=token_name,
        **_values(context.database),
    )


def _values(database: Database) -> dict[str, Any]:
    return {**_lines(database), "roles": list(Role), "lifetimes": _LIFETIMES}


def _lines(database: Database) -> dict[str, list[Any]]:
    with database.reading() as session:
        return {"users": accounts.accounts(session), "tokens": accounts.tokens(session)}


def _role(form: Form) -> Role:
    try:
        return Role(form.get("role", ""))
    except ValueError:
        raise InvalidValue(f"a role is one of {', '.join(Role)}") from None
