"""Surface: `/api/v1/users`: the people who sign in on the pages."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from burnish import accounts
from burnish.accounts import AccountLine, NewLink
from burnish.request.views import ListPage
from burnish.values import AccountRole
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, answer, documented
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of, welcome_link

router = APIRouter(
    prefix="/api/v1/users", tags=["users"], dependencies=[needs(Permission.ADMINISTER)]
)


class UserBody(Body):
    """A new user."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    role: AccountRole = AccountRole.DESK


class RoleBody(Body):
    """The role of a user."""

    role: AccountRole


@router.get(
    "",
    summary="List the users",
    responses=documented(page_of(AccountLine), text="All users."),
)
def list_users(request: Request) -> Response:
    """All users by name."""
    with context_of(request).database.reading() as session:
        lines = accounts.accounts(session)
    return answer(request, ListPage(tuple(lines)))


@router.post(
    "",
    status_code=201,
    summary="Add a user",
    responses=documented(
        schema_of(NewLink), 409, status=201, text="The link by which they set a password."
    ),
)
def add_user(request: Request, body: UserBody) -> Response:
    """Add a user, who then sets a password."""
    name = body.name.strip()
    with context_of(request).database.writing() as session:
        accounts.add_account(session, name, body.role, by=actor_of(request))
        secret = accounts.new_link(session, name)
    return answer(request, NewLink(name, welcome_link(request, secret)), status=201)


@router.post(
    "/{name}/role",
    status_code=204,
    summary="Give a user another role",
    response_class=Response,
    responses=documented(None, 404, 409, status=204, text="It counts from the next request on."),
)
def change_role(request: Request, name: str, body: RoleBody) -> Response:
    """Change what a user may do."""
    with context_of(request).database.writing() as session:
        accounts.set_role(session, name, body.role, by=actor_of(request))
    return Response(status_code=204)


@router.post(
    "/{name}/link",
    status_code=201,
    summary="Make a link by which a user sets a new password",
    responses=documented(schema_of(NewLink), 404, status=201, text="The link, for one day."),
)
def make_link(request: Request, name: str) -> Response:
    """A new link; those before stay as they are."""
    with context_of(request).database.writing() as session:
        secret = accounts.new_link(session, name)
    return answer(request, NewLink(name, welcome_link(request, secret)), status=201)


@router.delete(
    "/{name}",
    status_code=204,
    summary="Remove a user",
    response_class=Response,
    responses=documented(None, 404, 409, status=204, text="They are signed out at once."),
)
def remove_user(request: Request, name: str) -> Response:
    """Remove a user."""
    with context_of(request).database.writing() as session:
        accounts.remove_account(session, name, by=actor_of(request))
    return Response(status_code=204)
