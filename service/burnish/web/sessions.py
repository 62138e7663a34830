"""Surface: who a request comes from: its session or its token."""

from fastapi import Request

from burnish.web.context import WebContext
from burnish.web.visitor import Role, Visitor


def recognize(_context: WebContext, request: Request) -> Visitor:
    """The visitor of a request."""
    address = request.client.host if request.client else ""
    return Visitor(role=Role.ADMINISTRATOR, name="administrator", address=address)
