"""Signing in and out, and the first password, as a browser sees them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Request

from burnish import accounts
from burnish.db.tables import FailedSignIn
from burnish.values import SERVICE, AccountRole
from burnish.web import sessions
from web_client import PASSWORD, SCRIPT, WebGround


def test_whoever_has_not_signed_in_is_led_to_the_form(web: WebGround) -> None:
    client = web.client()
    answer = client.get("/users", headers={"accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=/users"
    answer = client.get("/users", headers=SCRIPT)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/sign-in"


def test_the_cookie_is_kept_from_scripts_and_other_sites(web: WebGround) -> None:
    web.add_user("anna", AccountRole.DESK)
    form = {"name": "anna", "password": PASSWORD}
    plain = web.client().post("/sign-in", data=form, headers=SCRIPT)
    cookie = plain.headers["set-cookie"]
    assert cookie.startswith("burnish_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    client = web.client()
    client.base_url = "https://testserver"  # type: ignore[assignment]
    secure = client.post("/sign-in", data=form, headers=SCRIPT).headers["set-cookie"]
    assert secure.startswith("__Host-burnish_session=")
    assert "Secure" in secure.split("; ")


def test_the_first_administrator_signs_in_by_the_one_time_link(web: WebGround) -> None:
    with web.database.writing() as session:
        secret = accounts.new_link(session)
    client = web.client()
    assert "first administrator" in client.get(f"/welcome/{secret}").text
    form = {"name": "anna", "password": PASSWORD}
    answer = client.post(f"/welcome/{secret}", data=form, headers=SCRIPT)
    assert answer.headers["hx-redirect"] == "/"
    assert client.get("/").status_code == 200
    assert client.get(f"/welcome/{secret}").status_code == 404


def test_signing_out_ends_the_session(web: WebGround) -> None:
    anna = web.signed_in(AccountRole.DESK)
    cookies = dict(anna.client.cookies)
    assert anna.post("/sign-out").status_code == 200
    again = web.client()
    again.cookies.update(cookies)
    assert again.get("/").status_code == 303


@pytest.mark.parametrize("target", ["https://evil.example.org/", "//evil.example.org", "/\\evil"])
def test_signing_in_leads_to_pages_of_this_site_only(web: WebGround, target: str) -> None:
    web.add_user("anna", AccountRole.DESK)
    form = {"name": "anna", "password": PASSWORD, "next": target}
    answer = web.client().post("/sign-in", data=form, headers=SCRIPT)
    assert answer.headers["hx-redirect"] == "/"


def test_an_administrator_manages_users_and_tokens(web: WebGround) -> None:
    anna = web.signed_in(AccountRole.ADMINISTRATOR)
    page = anna.post("/users", name="berta", role="desk").text
    link = page.split("/welcome/")[1].split("<")[0]
    berta = web.client()
    answer = berta.post(f"/welcome/{link}", data={"password": PASSWORD}, headers=SCRIPT)
    assert answer.headers["hx-redirect"] == "/"
    assert berta.get("/users").status_code == 403
    anna.post("/users/berta/role", role="administrator")
    assert berta.get("/users").status_code == 200
    anna.post("/users/berta/remove")
    assert berta.get("/").status_code == 303
    page = anna.post("/tokens", name="pacs", role="viewer", days="30").text
    token = "burnish_" + page.split("burnish_")[1].split("<")[0]
    program = web.client()
    program.headers["authorization"] = f"Bearer {token}"
    assert program.get("/").status_code == 200
    anna.post("/tokens/pacs/revoke")
    assert program.get("/", headers={"accept": "application/json"}).status_code == 401
    with web.database.reading() as session:
        assert accounts.tokens(session) == []
    assert anna.post("/tokens", name="pacs", role="viewer", days="7").status_code == 422


def test_a_session_that_is_used_goes_on(web: WebGround) -> None:
    anna = web.signed_in(AccountRole.DESK)
    idle = web.settings.web.session_idle - timedelta(minutes=1)
    with web.database.writing() as session:
        row = session.query(accounts.AccountSession).one()
        row.seen_at -= idle
    assert anna.get("/").status_code == 200
    with web.database.reading() as session:
        row = session.query(accounts.AccountSession).one()
        assert row.seen_at - row.began_at > -timedelta(minutes=1)


def _streaming_request(web: WebGround, headers: dict[str, str]) -> Request:
    """A request for a stream, by a visitor who was let in."""
    request = Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "server": ("testserver", 80),
            "client": ("testclient", 50000),
            "path": "/live/now",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    request.state.visitor = sessions.recognize(web.app.state.context, request)
    assert request.state.visitor.role is not None
    return request


def _is_still_permitted(web: WebGround, request: Request) -> bool:
    return sessions.is_still_permitted(web.app.state.context, request)


@pytest.mark.parametrize("what_ends", ["sign-out", "role", "user", "password"])
def test_a_stream_ends_with_its_session(web: WebGround, what_ends: str) -> None:
    web.add_user("eve", AccountRole.ADMINISTRATOR)
    anna = web.signed_in(AccountRole.DESK, "anna")
    cookie = f"burnish_session={anna.client.cookies['burnish_session']}"
    request = _streaming_request(web, {"host": "testserver", "cookie": cookie})
    assert _is_still_permitted(web, request)
    if what_ends == "sign-out":
        assert anna.post("/sign-out").status_code == 200
    else:
        password_hash = accounts.hash_password(PASSWORD)
        with web.database.writing() as session:
            if what_ends == "role":
                accounts.set_role(session, "anna", AccountRole.VIEWER, by=SERVICE)
            elif what_ends == "user":
                accounts.remove_account(session, "anna", by=SERVICE)
            else:
                accounts.set_password(session, "anna", password_hash, by=SERVICE)
    assert not _is_still_permitted(web, request)


def test_a_stream_ends_with_its_token(web: WebGround) -> None:
    authorization = web.token(AccountRole.VIEWER).headers["authorization"]
    request = _streaming_request(web, {"host": "testserver", "authorization": authorization})
    assert _is_still_permitted(web, request)
    with web.database.writing() as session:
        accounts.revoke_token(session, "viewer", by=SERVICE)
    assert not _is_still_permitted(web, request)


def _attempt(web: WebGround, name: str, password: str, language: str = "en") -> Any:
    form = {"name": name, "password": password}
    headers = {**SCRIPT, "accept-language": language}
    return web.client().post("/sign-in", data=form, headers=headers)


def _let_the_window_pass(web: WebGround) -> None:
    with web.database.writing() as session:
        for row in session.query(FailedSignIn):
            row.at -= accounts.ATTEMPT_WINDOW


def test_after_ten_wrong_passwords_further_ones_are_refused_for_a_time(web: WebGround) -> None:
    web.add_user("anna", AccountRole.DESK)
    web.add_user("berta", AccountRole.DESK)
    for _ in range(10):
        answer = _attempt(web, "anna", "a wrong password")
        assert answer.status_code == 403
        assert "anna" not in answer.text
    refused = _attempt(web, "anna", PASSWORD)
    assert refused.status_code == 429
    assert "too many attempts to sign in failed" in refused.text
    assert "try again in 15 minutes" in refused.text
    assert "in 15 Minuten" in _attempt(web, "anna", PASSWORD, "de").text
    # others at the same address are let in
    assert _attempt(web, "berta", PASSWORD).status_code == 200
    _let_the_window_pass(web)
    assert _attempt(web, "anna", PASSWORD).status_code == 200


@pytest.mark.parametrize("by", ["name", "address"])
def test_many_failures_with_one_name_or_from_one_address_are_refused(
    web: WebGround, by: str
) -> None:
    web.add_user("anna", AccountRole.DESK)
    now = datetime.now(UTC)
    with web.database.writing() as session:
        for number in range(100):
            name = "anna" if by == "name" else f"user {number}"
            address = f"10.0.0.{number}" if by == "name" else "testclient"
            session.add(FailedSignIn(name=name, address=address, at=now))
    assert _attempt(web, "anna", PASSWORD).status_code == 429
    _let_the_window_pass(web)
    assert _attempt(web, "anna", PASSWORD).status_code == 200
