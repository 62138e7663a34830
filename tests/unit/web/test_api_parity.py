"""What people do on the pages, programs do by REST: each route of a page has its counterpart."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from burnish.web.access import PERMISSIONS, Needs
from burnish.web.api import ROUTERS as API
from burnish.web.pages import ROUTERS as PAGES

#: By route of a page: the routes by which programs see and do the same, below /api/v1.
COUNTERPARTS = {
    "GET /": ("GET /requests", "GET /devices", "GET /health"),
    "GET /live/now": ("GET /events", "GET /requests", "GET /devices"),
    "GET /arrivals": ("GET /arrivals", "GET /retrievals", "GET /archives"),
    "GET /live/arrivals": ("GET /arrivals", "GET /retrievals"),
    "PUT /arrivals/files": ("PUT /instances",),
    "GET /arrivals/disc": ("GET /search", "GET /priors"),
    "POST /arrivals/disc": ("POST /requests",),
    "GET /arrivals/removal": ("POST /instances/removal/preview",),
    "POST /arrivals/removal": ("POST /instances/removal",),
    "POST /arrivals/archive/search": ("POST /archives/{ae_title}/search",),
    "POST /arrivals/archive/retrieve": ("POST /retrievals",),
    "POST /arrivals/retrievals/{number}/cancel": ("POST /retrievals/{number}/cancel",),
    "POST /arrivals/retrievals/{number}/retry": ("POST /retrievals/{number}/retry",),
    "GET /requests": ("GET /requests",),
    "GET /live/requests": ("GET /events", "GET /requests"),
    "GET /requests/{name}": ("GET /requests/{name}",),
    "GET /live/requests/{name}": ("GET /events", "GET /requests/{name}"),
    "POST /requests/{name}/initiate": ("POST /requests/{name}/initiate",),
    "POST /requests/{name}/priority": ("POST /requests/{name}/priority",),
    "POST /requests/{name}/device": ("POST /requests/{name}/device",),
    "POST /requests/{name}/copies": ("POST /requests/{name}/copies",),
    "POST /requests/{name}/repeat": ("POST /requests/{name}/repeat",),
    "POST /requests/{name}/label": ("POST /requests/{name}/label",),
    "POST /requests/{name}/split": ("POST /requests/{name}/split",),
    "POST /requests/{name}/{action}": (
        "POST /requests/{name}/cancel",
        "POST /requests/{name}/retry",
        "POST /requests/{name}/hold",
        "POST /requests/{name}/release",
    ),
    "GET /requests/{name}/volumes/{number}/label.png": (
        "GET /requests/{name}/volumes/{number}/label",
    ),
    "GET /requests/{name}/volumes/{number}/front": ("GET /requests/{name}/volumes/{number}/front",),
    "GET /requests/{name}/volumes/{number}/image": ("GET /requests/{name}/volumes/{number}/image",),
    "GET /requests/{name}/volumes/{number}/zip": ("GET /requests/{name}/volumes/{number}/zip",),
    "GET /devices": ("GET /devices", "GET /devices/{name}"),
    "GET /live/devices": ("GET /devices",),
    "POST /devices/{name}/pause": ("POST /devices/{name}/pause",),
    "POST /devices/{name}/resume": ("POST /devices/{name}/resume",),
    "POST /devices/{name}/test": ("POST /devices/{name}/test",),
    "GET /register": ("GET /register",),
    "GET /live/register": ("GET /register",),
    "GET /register/{name}": ("GET /register/{name}",),
    "GET /live/register/{name}": ("GET /register/{name}",),
    "POST /register/{name}/notes": ("POST /register/{name}/notes",),
    "GET /peers": ("GET /peers", "GET /commitments"),
    "GET /live/peers": ("GET /peers",),
    "POST /peers/{ae_title}/echo": ("POST /peers/{ae_title}/echo",),
    "POST /peers/{ae_title}/store": ("POST /peers/{ae_title}/store",),
    "POST /bulk/preview": ("POST /bulk/preview",),
    "POST /bulk/apply": ("POST /bulk/apply",),
    "POST /bulk/undo": ("POST /bulk/undo",),
    "GET /search": ("GET /search",),
    "GET /system": ("GET /system", "GET /spool", "GET /configuration", "GET /notices/receivers"),
    "GET /system/rates": ("GET /rates",),
    "GET /live/system/checks": ("GET /checks",),
    "GET /live/system/notices": ("GET /notices", "GET /notices/receivers"),
    "POST /system/checks/{kind}": ("POST /checks/{kind}",),
    "POST /system/notices/{name}/test": ("POST /notices/receivers/{name}/test",),
    "GET /users": ("GET /users", "GET /tokens"),
    "GET /live/users": ("GET /users", "GET /tokens"),
    "POST /users": ("POST /users",),
    "POST /users/{name}/role": ("POST /users/{name}/role",),
    "POST /users/{name}/link": ("POST /users/{name}/link",),
    "POST /users/{name}/remove": ("DELETE /users/{name}",),
    "POST /tokens": ("POST /tokens",),
    "POST /tokens/{name}/revoke": ("DELETE /tokens/{name}",),
}
#: Programs sign in with a token, and their answers have no language.
FOR_PEOPLE_ONLY = {
    "GET /sign-in",
    "POST /sign-in",
    "POST /sign-out",
    "GET /welcome/{secret}",
    "POST /welcome/{secret}",
    "POST /language",
}


def routes(routers: Iterable[APIRouter], prefix: str = "") -> Iterator[str]:
    """The routes as "POST /requests/{name}/hold"."""
    for router in routers:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            for method in route.methods:
                yield f"{method} {route.path.removeprefix(prefix)}"


def test_each_route_of_a_page_has_its_counterpart_for_programs() -> None:
    assert set(routes(PAGES)) == set(COUNTERPARTS) | FOR_PEOPLE_ONLY


@pytest.mark.parametrize("page_route", COUNTERPARTS)
def test_the_counterparts_are_there(page_route: str) -> None:
    missing = set(COUNTERPARTS[page_route]) - set(routes(API, "/api/v1"))
    assert not missing


def documented_routes() -> list[str]:
    """The rows of the table of routes in the documentation, as they must be."""
    rows = []
    for router in API:
        for route in router.routes:
            assert isinstance(route, APIRoute)
            if not route.include_in_schema:
                continue
            permissions = [
                dependency.dependency.permission
                for dependency in route.dependencies
                if isinstance(dependency.dependency, Needs)
            ]
            roles = [PERMISSIONS[permission] for permission in permissions]
            least = max((role for role in roles if role is not None), key=lambda role: role.rank)
            (method,) = route.methods
            path = route.path.removeprefix("/api/v1")
            rows.append(f"| `{method} {path}` | {route.summary} | {least} |")
    return sorted(rows, key=lambda row: row.split()[2])


def test_the_documentation_lists_each_route_with_its_least_role() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(?:GET|POST|PUT|DELETE) .*\|$", text, re.MULTILINE)
    wanted = documented_routes()
    assert table == wanted, "the table must be:\n" + "\n".join(wanted)
