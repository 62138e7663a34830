"""Surface: `/api/v1/tokens`: the tokens by which programs use this interface."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Field

from burnish import accounts
from burnish.accounts import NewToken, TokenLine
from burnish.request.views import ListPage
from burnish.values import AccountRole
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, answer, documented
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of

router = APIRouter(
    prefix="/api/v1/tokens", tags=["tokens"], dependencies=[needs(Permission.ADMINISTER)]
)


class TokenBody(Body):
    """A new token."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    role: AccountRole
    days: int = Field(default=365, ge=0, le=3650, description="Days until it expires; 0: never.")


@router.get(
    "",
    summary="List the tokens",
    responses=documented(page_of(TokenLine), text="All tokens, without secrets."),
)
def list_tokens(request: Request) -> Response:
    """All tokens by name."""
    with context_of(request).database.reading() as session:
        lines = accounts.tokens(session)
    return answer(request, ListPage(tuple(lines)))


@router.post(
    "",
    status_code=201,
    summary="Create a token",
    responses=documented(
        schema_of(NewToken),
        409,
        status=201,
        text="The token. It is not shown again.",
    ),
)
def create_token(request: Request, body: TokenBody) -> Response:
    """Create a token for a program."""
    lifetime = timedelta(days=body.days) if body.days else None
    with context_of(request).database.writing() as session:
        secret = accounts.create_token(
            session, body.name, body.role, lifetime=lifetime, by=actor_of(request)
        )
    return answer(request, NewToken(body.name.strip(), secret), status=201)


@router.delete(
    "/{name}",
    status_code=204,
    summary="Revoke a token",
    response_class=Response,
    responses=documented(None, 404, status=204, text="It is refused from now on."),
)
def revoke_token(request: Request, name: str) -> Response:
    """Revoke a token."""
    with context_of(request).database.writing() as session:
        accounts.revoke_token(session, name, by=actor_of(request))
    return Response(status_code=204)
