"""Every route for every visitor: the table of permissions is what the routes do."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

from burnish.values import AccountRole
from burnish.web import api, metrics, pages
from burnish.web.access import PERMISSIONS, Permission
from burnish.web.app import permissions_of
from web_client import SCRIPT, WebGround

_VISITORS = ("nobody", *AccountRole, "token", "expired token")
_SAFE = {"GET", "HEAD"}


@dataclass(frozen=True)
class RouteCase:
    """One method of one route."""

    method: str
    path: str
    permission: Permission

    @property
    def address(self) -> str:
        """The path with something in its parameters that does not exist."""
        # viewers may name media only as the register does
        name = "M999999" if "/register/" in self.path else "R999999"
        return re.sub(r"\{[^}]*\}", name, self.path)

    @property
    def is_stream(self) -> bool:
        """Whether the answer has no end."""
        return "/live/" in self.path or self.path == "/api/v1/events"

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _cases() -> Iterator[RouteCase]:
    for router in (*pages.ROUTERS, metrics.router, *api.ROUTERS):
        for route in router.routes:
            assert isinstance(route, APIRoute)
            (needed,) = permissions_of(route)
            for method in sorted(route.methods):
                yield RouteCase(method, route.path, needed.permission)


CASES = list(_cases())
WRITES = [case for case in CASES if case.method not in _SAFE]


@dataclass(frozen=True)
class VisitorCase:
    """A client, its role as far as it has one, and the CSRF token of its session."""

    client: TestClient
    role: AccountRole | None
    csrf_token: str = ""


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, VisitorCase]]:
    with WebGround(tmp_path_factory.mktemp("web")) as web:
        visitors = {
            "nobody": VisitorCase(web.client(), None),
            "token": VisitorCase(web.token(AccountRole.OPERATOR), AccountRole.OPERATOR),
            "expired token": VisitorCase(web.token(AccountRole.ADMINISTRATOR, expired=True), None),
        }
        for role in AccountRole:
            signed_in = web.signed_in(role)
            visitors[role] = VisitorCase(signed_in.client, role, signed_in.csrf_token)
        yield visitors


def _is_let_in(role: AccountRole | None, permission: Permission) -> bool:
    least = PERMISSIONS[permission]
    return least is None or (role is not None and role.rank >= least.rank)


def _answer(case: RouteCase, visitor: VisitorCase, *, with_csrf_token: bool = True) -> int:
    headers = dict(SCRIPT)
    if with_csrf_token:
        headers["x-csrf-token"] = visitor.csrf_token
    # of an event stream only the status is read
    with visitor.client.stream(case.method, case.address, headers=headers) as answer:
        return answer.status_code


@pytest.mark.parametrize("name", _VISITORS)
@pytest.mark.parametrize("case", [case for case in CASES if not case.is_stream], ids=str)
def test_a_route_lets_in_those_who_have_its_permission(
    case: RouteCase, name: str, visitors: dict[str, VisitorCase]
) -> None:
    if case.path == "/sign-out":
        return  # it would end the session that the other cases need
    visitor = visitors[name]
    status = _answer(case, visitor)
    assert status < 500
    if _is_let_in(visitor.role, case.permission):
        assert status not in (401, 403) or case.path == "/sign-in"
    else:
        assert status == (403 if visitor.role else 401)


@pytest.mark.parametrize("name", ["nobody", "expired token"])
@pytest.mark.parametrize("case", [case for case in CASES if case.is_stream], ids=str)
def test_a_stream_is_for_those_who_have_signed_in(
    case: RouteCase, name: str, visitors: dict[str, VisitorCase]
) -> None:
    assert _answer(case, visitors[name]) == 401


@pytest.mark.parametrize("name", ["nobody", "expired token", *AccountRole])
@pytest.mark.parametrize("case", WRITES, ids=str)
def test_a_change_without_the_csrf_token_is_refused(
    case: RouteCase, name: str, visitors: dict[str, VisitorCase]
) -> None:
    visitor = visitors[name]
    if visitor.role is None:
        # before there is a session, the header of the script is what no other site can send;
        # a program is told that its token is not valid
        status = 401 if case.path.startswith("/api/") else 403
        assert visitor.client.request(case.method, case.address).status_code == status
    else:
        assert _answer(case, visitor, with_csrf_token=False) == 403


@pytest.mark.parametrize("role", AccountRole)
def test_a_change_with_the_csrf_token_of_another_session_is_refused(
    role: AccountRole, visitors: dict[str, VisitorCase]
) -> None:
    others = [visitors[other].csrf_token for other in AccountRole if other is not role]
    for token in (*others, visitors[role].csrf_token[:-1], "x"):
        headers = {**SCRIPT, "x-csrf-token": token}
        answer = visitors[role].client.post("/requests/R999999/hold", headers=headers)
        assert answer.status_code == 403
        assert "CSRF" in answer.text


@pytest.mark.parametrize("case", WRITES, ids=str)
def test_a_change_from_another_site_is_refused(
    case: RouteCase, visitors: dict[str, VisitorCase]
) -> None:
    visitor = visitors[AccountRole.ADMINISTRATOR]
    headers = {**SCRIPT, "x-csrf-token": visitor.csrf_token, "origin": "https://evil.example.org"}
    answer = visitor.client.request(case.method, case.address, headers=headers)
    assert answer.status_code == 403


def test_each_permission_needs_the_role_that_the_documentation_names() -> None:
    least = {permission.name: role for permission, role in PERMISSIONS.items()}
    assert least == {
        "OPEN": None,
        "SEE": AccountRole.VIEWER,
        "SEE_PATIENTS": AccountRole.DESK,
        "MAKE": AccountRole.DESK,
        "DOWNLOAD": AccountRole.DESK,
        "RECEIVE": AccountRole.DESK,
        "OPERATE": AccountRole.OPERATOR,
        "REMOVE": AccountRole.OPERATOR,
        "CORRECT": AccountRole.OPERATOR,
        "ADMINISTER": AccountRole.ADMINISTRATOR,
    }


#: How the addresses begin that need more than to see the work, without /api/v1. The permission is
#: that of the longest beginning.
_PERMISSION_BY_ADDRESS = {
    "/search": "SEE_PATIENTS",
    "/priors": "SEE_PATIENTS",
    "/arrivals": "SEE_PATIENTS",
    "/live/arrivals": "SEE_PATIENTS",
    "/arrivals/files": "RECEIVE",
    "/arrivals/archive": "RECEIVE",
    "/arrivals/retrievals": "RECEIVE",
    "/archives": "RECEIVE",
    "/retrievals": "RECEIVE",
    "/arrivals/disc": "MAKE",
    "/arrivals/removal": "REMOVE",
    "/requests/{name}/volumes": "DOWNLOAD",
    "/bulk": "OPERATE",
    "/notices/receivers": "ADMINISTER",
    "/configuration": "ADMINISTER",
    "/system": "ADMINISTER",
    "/checks": "ADMINISTER",
    "/rates": "ADMINISTER",
    "/live/system": "ADMINISTER",
    "/users": "ADMINISTER",
    "/live/users": "ADMINISTER",
    "/tokens": "ADMINISTER",
    "/openapi.json": "OPEN",
    "/healthz": "OPEN",
    "/readyz": "OPEN",
    "/sign-in": "OPEN",
    "/sign-out": "OPEN",
    "/welcome": "OPEN",
    "/language": "OPEN",
}
#: The permission for changes below these addresses.
_PERMISSION_TO_CHANGE = {
    "/requests": "MAKE",
    "/register": "MAKE",
    "/instances": "RECEIVE",
    "/instances/{sop_instance_uid}": "REMOVE",
    "/instances/removal": "REMOVE",
    "/instances/correction": "CORRECT",
    "/devices": "OPERATE",
    "/peers": "OPERATE",
}


def _expected_permission(case: RouteCase) -> str:
    address = case.path.removeprefix("/api/v1") or "/"
    expected = dict(_PERMISSION_BY_ADDRESS)
    if case.method not in _SAFE:
        expected |= _PERMISSION_TO_CHANGE
    beginnings = [start for start in expected if address.startswith(start)]
    return expected[max(beginnings, key=len)] if beginnings else "SEE"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_route_needs_the_permission_for_what_it_does(case: RouteCase) -> None:
    assert case.permission.name == _expected_permission(case)


def test_the_application_serves_no_other_route(tmp_path: Path) -> None:
    with WebGround(tmp_path) as web:
        assert {path for path, _ in _served(web.app)} == {case.path for case in CASES}


def _served(app: FastAPI) -> Iterator[tuple[str, APIRoute]]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.route, APIRoute):
            yield context.route.path, context.route
