"""The web application: every route declares its permission, headers, errors."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web_client import WebGround


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebGround]:
    with WebGround(tmp_path) as web:
        yield web


def test_no_page_may_load_anything_from_elsewhere(web: WebGround) -> None:
    answer = web.client().get("/")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src ")
    assert answer.headers["cache-control"] == "no-store"


def test_an_unknown_address_is_answered_with_a_page(web: WebGround) -> None:
    answer = web.client().get("/nothing", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "<h1>" in answer.text


def test_a_program_gets_a_problem_document(web: WebGround) -> None:
    answer = web.client().get("/api/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:burnish:problem:not-found"
