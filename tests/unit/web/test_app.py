"""The web application: headers and errors."""

import re

from burnish.values import AccountRole
from burnish.web.headers import CONTENT_SECURITY_POLICY
from web_client import WebGround


def test_no_page_may_load_anything_from_elsewhere(web: WebGround) -> None:
    answer = web.client().get("/sign-in")
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert not re.search(r"<style|style=|<script>|\son[a-z]+=", answer.text)


def test_pages_are_not_kept_by_browsers_but_static_files_are(web: WebGround) -> None:
    client = web.client()
    assert client.get("/sign-in").headers["cache-control"] == "no-store"
    assert "max-age" in client.get("/static/burnish.css").headers["cache-control"]


def test_an_unknown_address_is_answered_with_a_page(web: WebGround) -> None:
    answer = web.client().get("/nothing", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert "<h1>" in answer.text


def test_an_error_of_an_action_goes_beside_the_part_of_the_page(web: WebGround) -> None:
    administrator = web.signed_in(AccountRole.ADMINISTRATOR)
    answer = administrator.post("/users/nobody/remove")
    assert answer.status_code == 404
    assert answer.headers["hx-retarget"] == "#messages"


def test_a_program_gets_a_problem_document(web: WebGround) -> None:
    answer = web.client().get("/api/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:burnish:problem:not-found"


def test_a_form_that_is_too_long_is_refused(web: WebGround) -> None:
    answer = web.client().post(
        "/sign-in", content=b"name=" + b"a" * 600_000, headers={"hx-request": "true"}
    )
    assert answer.status_code == 422
