"""Surface: who a request comes from: the cookie of its session, or its token."""

from fastapi import Request, Response

from burnish import accounts
from burnish.accounts import SessionLimits, SignedIn
from burnish.values import Actor
from burnish.web.access import visitor_of
from burnish.web.context import WebContext
from burnish.web.visitor import Visitor

_COOKIE = "burnish_session"
_BEARER = "Bearer "


def recognize(context: WebContext, request: Request) -> Visitor:
    """The visitor of a request; one without a role if its session or token has ended."""
    address = request.client.host if request.client else ""
    authorization = request.headers.get("authorization", "")
    if authorization.startswith(_BEARER):
        token = accounts.find_token(context.database, authorization.removeprefix(_BEARER).strip())
        return _visitor(token, address, is_token=True)
    secret = request.cookies.get(_cookie_name(request), "")
    if not secret:
        return Visitor(address=address)
    web = context.settings.web
    limits = SessionLimits(web.session_lifetime, web.session_idle)
    return _visitor(accounts.find_session(context.database, secret, limits), address)


def actor_of(request: Request) -> Actor:
    """Who sent a request, for the history of what they do."""
    visitor = visitor_of(request)
    return Actor("token" if visitor.is_token else "user", visitor.name, visitor.address)


def set_cookie(request: Request, answer: Response, secret: str) -> None:
    """Give the browser the cookie of a session that has begun."""
    answer.set_cookie(
        _cookie_name(request),
        secret,
        path="/",
        httponly=True,
        samesite="lax",
        secure=_is_secure(request),
    )


def delete_cookie(request: Request, answer: Response) -> None:
    """Take the cookie back."""
    answer.delete_cookie(_cookie_name(request), path="/", httponly=True, secure=_is_secure(request))


def _visitor(signed_in: SignedIn | None, address: str, *, is_token: bool = False) -> Visitor:
    if signed_in is None:
        return Visitor(address=address)
    return Visitor(
        role=signed_in.role,
        name=signed_in.name,
        address=address,
        is_token=is_token,
        account_id=signed_in.account_id,
        session_id=signed_in.session_id,
        csrf_token=signed_in.csrf_token,
    )


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _cookie_name(request: Request) -> str:
    """Over TLS, a name that no page of another host or of plain HTTP can set (RFC 6265bis)."""
    return f"__Host-{_COOKIE}" if _is_secure(request) else _COOKIE
