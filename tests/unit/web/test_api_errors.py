"""Errors of the interface for programs: each is problem+json, whatever went wrong."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from burnish.values import AccountRole
from web_client import WebGround


@pytest.fixture(scope="module")
def operator(shared_web: WebGround) -> TestClient:
    return shared_web.token(AccountRole.OPERATOR)


def _check(answer: Any, status: int, kind: str) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:burnish:problem:{kind}"
    assert problem["title"]
    return problem


def test_an_unknown_address_and_an_unknown_name_are_not_found(operator: TestClient) -> None:
    _check(operator.get("/api/v1/nothing"), 404, "not-found")
    _check(operator.get("/api/v1/requests/R000099"), 404, "not-found")


def test_a_method_that_an_address_does_not_have_is_told_with_those_that_it_has(
    operator: TestClient,
) -> None:
    answer = operator.patch("/api/v1/requests", json={})
    _check(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize("body", [b"{", b"", b"nonsense", b"\xff\xfe", b'{"studies": '])
def test_a_body_that_is_not_json_is_malformed(operator: TestClient, body: bytes) -> None:
    answer = operator.post(
        "/api/v1/requests", content=body, headers={"content-type": "application/json"}
    )
    if body:
        _check(answer, 400, "malformed")
    else:
        _check(answer, 422, "invalid")


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_media_type_is_refused(operator: TestClient, media_type: str) -> None:
    answer = operator.post(
        "/api/v1/requests", content=b'{"studies": []}', headers={"content-type": media_type}
    )
    _check(answer, 415, "media-type")


def test_a_value_that_is_wrong_is_named(operator: TestClient) -> None:
    problem = _check(operator.post("/api/v1/requests", json={"copies": 0}), 422, "invalid")
    assert "copies" in problem["detail"]
    problem = _check(operator.post("/api/v1/requests", json={"copy": 1}), 422, "invalid")
    assert "copy" in problem["detail"]
    _check(operator.get("/api/v1/requests", params={"limit": 0}), 422, "invalid")


def test_a_body_that_is_too_long_is_not_read_to_its_end(operator: TestClient) -> None:

    def body() -> Any:
        for _ in range(1000):
            yield b" " * (1 << 20)

    answer = operator.post(
        "/api/v1/requests", content=body(), headers={"content-type": "application/json"}
    )
    _check(answer, 413, "too-large")


def test_whoever_has_not_signed_in_is_told_how(shared_web: WebGround) -> None:
    answer = shared_web.client().get("/api/v1/requests")
    _check(answer, 401, "not-signed-in")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_role_that_is_not_enough_is_told(shared_web: WebGround) -> None:
    viewer = shared_web.token(AccountRole.VIEWER)
    _check(viewer.post("/api/v1/requests", json={}), 403, "not-permitted")
