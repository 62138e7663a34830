"""No text of a peer, an upload, a user, a device or an archive becomes part of a page."""

import html
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest

from burnish.values import AccountRole
from unit.web import planted
from unit.web.test_access import CASES
from web_client import SignedInClient, WebGround

#: Leaves attributes in either quotes, and begins an element.
_ATTACK = "\"'><x-{0} y>"
_ELEMENT = re.compile(r"x-\w+")
#: What may stand in a path.
_NAMES = {
    "/requests/{name}": ["R000001", "R000002", "R000003"],
    "/register/{name}": ["M000001"],
    "/api/v1/devices/{name}": ["outbox", "spare"],
    "/instances/{sop_instance_uid}": [],
    "/retrievals/{number}": ["1"],
}


class _Elements(HTMLParser):
    """The elements of a page that an attack has begun, and the texts that people read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.attacked: set[str] = set()
        self.texts = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if _ELEMENT.fullmatch(tag):
            self.attacked.add(tag)
        self.texts += " ".join(value or "" for _, value in attributes)

    def handle_data(self, data: str) -> None:
        self.texts += data


def _text(field: str) -> str:
    # a File-set ID has no other characters
    return "HOSTILE" if field == "fsid" else _ATTACK.format(field)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebGround]:
    root = tmp_path_factory.mktemp("hostile")
    with planted.planted(root, _text) as web:
        # a stream then has the present state and ends
        web.app.state.context.live.stop()
        yield web


def _addresses() -> list[str]:
    """Each address that a page or a program reads, of what is there."""
    addresses = []
    for case in CASES:
        if case.method != "GET" or case.path == "/api/v1/events":
            continue
        path = case.path.replace("/volumes/{number}", "/volumes/1")
        named = [
            path.replace(ending[ending.rindex("{") :], name)
            for ending, names in _NAMES.items()
            if ending in path
            for name in names
        ]
        addresses += named or [re.sub(r"\{[^}]*\}", "R999999", path)]
    quoted = "%22%27%3E%3Cx-q%20y%3E"
    return [
        *addresses,
        "/arrivals/disc?study=1&study=2",
        "/search?q=x-name",
        "/search?q=x-id",
        f"/search?q={quoted}",
        f"/register?q={quoted}",
        f"/requests?group={quoted}",
        f"/requests/{quoted}",
        f"/sign-in?next=/{quoted}",
    ]


@pytest.fixture(scope="module")
def administrator(hostile: WebGround) -> SignedInClient:
    return hostile.signed_in(AccountRole.ADMINISTRATOR)


def test_no_planted_text_becomes_an_element(administrator: SignedInClient) -> None:
    attacked, texts = {}, ""
    for address in _addresses():
        answer = administrator.get(address)
        kind = answer.headers.get("content-type", "")
        assert answer.headers["x-content-type-options"] == "nosniff"
        page = answer.text
        if "event-stream" in kind:
            page = page.replace("data: ", "")
        elif "html" not in kind:
            continue
        elements = _Elements(page)
        attacked[address] = elements.attacked
        texts += elements.texts
    assert {address: names for address, names in attacked.items() if names} == {}
    shown = {
        name for name in (*planted.OF_PATIENTS, *planted.OF_OTHERS) if f"<x-{name} y>" in texts
    }
    # no page shows descriptions of series and called AE titles; such a birth date is none
    not_shown = {"series", "ae2", "born", "fsid"}
    assert shown == {*planted.OF_PATIENTS, *planted.OF_OTHERS} - not_shown


def test_a_name_in_a_message_of_an_action_is_escaped(administrator: SignedInClient) -> None:
    for path, fields in (
        ("/requests/R000002/device", {"device": _ATTACK.format("d")}),
        ("/devices/outbox/pause", {"reason": _ATTACK.format("r")}),
        ("/register/M000001/notes", {"kind": "remark", "text": _ATTACK.format("n")}),
        ("/users", {"name": _ATTACK.format("u"), "role": "desk"}),
        ("/tokens", {"name": _ATTACK.format("t"), "role": "desk", "days": "30"}),
        ("/bulk/undo", {"steps": _ATTACK.format("s")}),
        ("/arrivals/archive/search", {"archive": _ATTACK.format("a"), "patient_id": "1"}),
        ("/sign-in", {"name": _ATTACK.format("i"), "password": "no"}),
    ):
        answer = administrator.post(path, **fields)
        assert answer.status_code < 500, path
        assert not _Elements(answer.text).attacked, path
        assert html.escape("<x-") not in answer.headers.get("hx-redirect", "")
