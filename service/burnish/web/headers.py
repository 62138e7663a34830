"""Surface: the middleware of all requests: their visitor, forgery, headers of answers."""

import hmac
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from burnish.errors import NotAuthorized
from burnish.web.visitor import Visitor

#: No page loads anything from elsewhere, and none has inline scripts or styles.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = [
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NOT_STORED = (b"cache-control", b"no-store")
#: The addresses of these files change with their content.
_KEPT = (b"cache-control", b"public, max-age=604800")
_STATIC = "/static/"
_FOR_PROGRAMS = "/api/"
#: The most bytes of a body that is read as a whole: 100,000 UIDs are half of it.
_LONGEST_BODY = 16 * 1024 * 1024
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Recognize = Callable[[Request], Visitor]
Refuse = Callable[[Request, NotAuthorized], Awaitable[Any]]


class Headers:
    """Finds the visitor of each request, refuses forged ones, and adds headers to the answer."""

    def __init__(self, app: ASGIApp, *, recognize: Recognize, refuse: Refuse) -> None:
        self._app = app
        self._recognize = recognize
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        request = Request(scope)
        is_static = request.url.path.startswith(_STATIC)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                present = {name.lower() for name, _ in headers}
                headers += [pair for pair in _HEADERS if pair[0] not in present]
                if b"cache-control" not in present:
                    headers.append(_KEPT if is_static else _NOT_STORED)
            await send(message)

        request.state.visitor = Visitor()
        if not is_static:
            request.state.visitor = await run_in_threadpool(self._recognize, request)
        try:
            check_origin(request)
        except NotAuthorized as error:
            answer = await self._refuse(request, error)
            await answer(scope, receive, send_with_headers)
            return
        await self._app(scope, _limited(request, receive), send_with_headers)


def _limited(request: Request, receive: Receive) -> Receive:
    """Receives a body up to a limit, except that of an upload, which is not kept in memory."""
    if request.method == "PUT":
        return receive
    received = 0

    async def receive_up_to_limit() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > _LONGEST_BODY:
            raise HTTPException(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {_LONGEST_BODY} bytes"
            )
        return message

    return receive_up_to_limit


def check_origin(request: Request) -> None:
    """Raise NotAuthorized for a change that another site may have made a browser ask for.

    A request with a token does not come from a browser by itself. All others that change something
    carry the token of their session in X-CSRF-Token; before there is a session, the header that
    htmx adds is enough, since no other site can make a browser send it. A call of a program without
    a valid token is not looked at: it may do nothing, and is told that it needs one.
    """
    if request.method in _SAFE_METHODS:
        return
    visitor: Visitor = request.state.visitor
    if visitor.is_token:
        return
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise NotAuthorized("the request comes from a page of another site")
    if visitor.role is None and request.url.path.startswith(_FOR_PROGRAMS):
        return
    if visitor.role is None:
        is_own = request.headers.get("hx-request") == "true"
    else:
        token = request.headers.get("x-csrf-token", "")
        is_own = hmac.compare_digest(token.encode(), visitor.csrf_token.encode())
    if not is_own:
        raise NotAuthorized(
            "the request does not carry the CSRF token of its session", hint="load the page again"
        )
