"""Surface: who a request comes from: the cookie of its session, or its token."""

from fastapi import Request, Response

from burnish import accounts
from burnish.accounts import SessionLimits, SignedIn
from burnish.request.actions import RequestActions
from burnish.values import Actor
from burnish.web.access import visitor_of
from burnish.web.context import WebContext, context_of
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


def is_still_permitted(context: WebContext, request: Request) -> bool:
    """Whether the visitor of a stream still has the role with which it began.

    A stream is no use of its session: it neither prolongs it nor ends for want of use.
    """
    present = visitor_of(request)
    if present.is_token:
        return recognize(context, request).role == present.role
    lifetime = context.settings.web.session_lifetime
    limits = SessionLimits(lifetime, idle=lifetime)
    secret = request.cookies.get(_cookie_name(request), "")
    signed_in = accounts.find_session(context.database, secret, limits, is_use=False)
    return signed_in is not None and signed_in.role == present.role


def actor_of(request: Request) -> Actor:
    """Who sent a request, for the history of what they do."""
    visitor = visitor_of(request)
    return Actor("token" if visitor.is_token else "user", visitor.name, visitor.address)


def actions_of(request: Request) -> RequestActions:
    """The operations on media creation requests for the visitor who sent an HTTP request."""
    context = context_of(request)
    return RequestActions(context.database, context.settings, actor_of(request))


def welcome_link(request: Request, secret: str) -> str:
    """The address at which a user sets a password, as the visitor who made it sees this site."""
    base = context_of(request).settings.web.url or str(request.base_url).rstrip("/")
    return f"{base}/welcome/{secret}"


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
