"""Surface: `/api/v1`, the interface for programs: one module with a router for each noun.

All that the pages do can be done here. The JSON of a view is that of `--json` on the command line.
"""

from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from burnish import __version__
from burnish.web.access import Permission, needs
from burnish.web.api import (
    bulk,
    devices,
    events,
    instances,
    notices,
    peers,
    register,
    requests,
    retrievals,
    search,
    system,
    tokens,
    users,
)
from burnish.web.api.answers import PROBLEM_SCHEMA, problem_responses

_PREFIX = "/api/v1"
_NOUNS = (
    requests,
    bulk,
    search,
    instances,
    retrievals,
    register,
    devices,
    peers,
    notices,
    system,
    tokens,
    users,
    events,
)
_DESCRIPTION = """\
Everything that the pages of Burnish do. A program sends its token with each call:
`Authorization: Bearer burnish_…`; `burnish token create` makes one. What a token may do is what its
role may do. A token of the role viewer gets null in place of all that tells of patients.

Errors are `application/problem+json` (RFC 9457), with `remedy` for what to do. Lists have pages:
`next` of an answer is the value of `before` for the next one.
"""
_PROBLEM = {
    "type": "object",
    "description": "A problem (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "remedy": {"type": "string", "description": "What to do."},
    },
    "required": ["type", "title", "status"],
}


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """The OpenAPI document of all routes."""
    documented = FastAPI(title="Burnish", version=__version__, description=_DESCRIPTION)
    for router in ROUTERS:
        documented.include_router(router)
    content: dict[str, Any] = documented.openapi()
    for operations in content["paths"].values():
        for operation in operations.values():
            if "requestBody" in operation:
                operation["responses"] |= problem_responses(400, 413, 415)
    components = content.setdefault("components", {})
    components.setdefault("schemas", {})[PROBLEM_SCHEMA] = _PROBLEM
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    content["security"] = [{"token": []}]
    return content


_document_router = APIRouter(prefix=_PREFIX)


@_document_router.get(
    "/openapi.json", dependencies=[needs(Permission.OPEN)], include_in_schema=False
)
def openapi(_request: Request) -> Response:
    """The OpenAPI 3.1 document of this interface."""
    return JSONResponse(document())


ROUTERS = (*(noun.router for noun in _NOUNS), _document_router)
