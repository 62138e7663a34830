"""No route, list, message or stream tells a viewer of a patient."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from burnish.db.tables import Instance
from burnish.request import event_feed
from burnish.values import AccountRole
from burnish.web.api.events import stream
from burnish.web.app import create_app
from unit.web import planted
from unit.web.test_access import CASES, RouteCase
from web_client import SCRIPT, SignedInClient, WebGround

#: What tells of the patient, by the name of its field; the birth date is also shown as 1987-06-05.
_SECRETS = {
    "name": "Lovelace^Ada",
    "id": "P4711X",
    "acc": "ACC4712X",
    "born": "19870605",
    "study": "Thorax of Ada",
    "series": "Series of Ada",
    "label": "Label for Ada",
    "barcode": "BAR4713X",
    "for": "Disposition of Ada",
    "fsid": "SET4714X",
    "note": "Husband of Ada",
    "told": "Remark on Ada",
}
_WORDS = re.compile(
    r"Lovelace|\bAda\b|4711X|4712X|4713X|4714X|19870605|1987-06-05", flags=re.IGNORECASE
)
#: The names that stand in addresses, by the parameter of the route.
_NAMES = {
    "/requests": "R000001",
    "/register": "M000001",
    "/devices": "outbox",
    "/retrievals": "1",
    "/instances": "",
}


def _text(field: str) -> str:
    return _SECRETS.get(field, field.upper())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebGround]:
    with planted.planted(tmp_path_factory.mktemp("viewer"), _text) as web:
        yield web


@pytest.fixture(scope="module")
def viewer(filled: WebGround) -> SignedInClient:
    signed_in = filled.signed_in(AccountRole.VIEWER)
    # a stream then has the present state and ends
    filled.app.state.context.live.stop()
    return signed_in


def _address(case: RouteCase, filled: WebGround) -> str:
    """The address of something that is there."""
    path = case.path.replace("/volumes/{number}", "/volumes/1")
    if "{sop_instance_uid}" in path:
        with filled.database.reading() as session:
            uid = str(session.execute(select(Instance.sop_instance_uid).limit(1)).scalar_one())
        return path.replace("{sop_instance_uid}", uid)
    for beginning, name in _NAMES.items():
        if beginning in path:
            return re.sub(r"\{[^}]*\}", name, path)
    return re.sub(r"\{[^}]*\}", "R000001", path)


_NOT_FOR_THIS = ("/sign-out", "/api/v1/events")


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.path not in _NOT_FOR_THIS], ids=str
)
def test_no_answer_tells_a_viewer_of_a_patient(
    case: RouteCase, filled: WebGround, viewer: SignedInClient
) -> None:
    headers = {**SCRIPT, "x-csrf-token": viewer.csrf_token}
    answer = viewer.client.request(case.method, _address(case, filled), headers=headers)
    told = answer.text + str(answer.headers)
    assert answer.status_code < 500
    assert _WORDS.findall(told) == []


@pytest.mark.parametrize(
    "address",
    [
        "/requests?group=done",
        "/requests?group=not%20started",
        "/requests/R000002",
        "/requests/R000003",
        "/live/requests/R000002",
        "/live/requests?group=done",
        "/live/register?outcome=created",
        "/live/register/M000001",
        "/register?outcome=created",
        "/register?q=M000001",
        "/api/v1/requests/R000002",
        "/api/v1/notices?limit=5",
        "/api/v1/instances?limit=100",
        "/requests/R000002/volumes/1/image",
    ],
)
def test_no_list_and_no_message_tells_a_viewer_of_a_patient(
    address: str, viewer: SignedInClient
) -> None:
    answer = viewer.get(address)
    assert _WORDS.findall(answer.text + str(answer.headers)) == []


@pytest.mark.parametrize(
    "secret", ["Lovelace", "P4711X", "ACC4712X", "BAR4713X", "SET4714X", "19870605"]
)
def test_a_viewer_cannot_try_out_whether_there_is_a_patient(
    secret: str, viewer: SignedInClient
) -> None:
    for name in (secret, "Nobody"):
        assert viewer.get("/search", params={"q": name}).status_code == 403
        assert "M000001" not in viewer.get("/register", params={"q": name}).text
        assert viewer.get(f"/register/{name}").status_code == 404
        assert viewer.get(f"/api/v1/register/{name}").status_code == 403
        listed = viewer.get("/api/v1/requests", params={"patient": name}).text
        assert "R000001" not in listed


def test_the_stream_of_events_tells_a_viewer_of_no_patient(filled: WebGround) -> None:
    with filled.database.reading() as session:
        newest = event_feed.newest_event(session)
    app = create_app(filled.settings, filled.database, filled.spool)
    events = stream(app.state.context, 0, lambda: True)

    async def read() -> str:
        told = ""
        while f"id: {newest}\n" not in told:
            told += (await anext(events)).decode()
        await events.aclose()  # type: ignore[attr-defined]
        return told

    told = asyncio.run(read())
    assert "LABEL CHANGED" in told
    assert _WORDS.findall(told) == []


def test_somebody_at_the_desk_sees_the_patient(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    page = desk.get("/requests/R000001").text
    for shown in ("Lovelace, Ada", "P4711X", "1987-06-05", "ACC4712X", "Label for Ada"):
        assert shown in page
    assert "Husband of Ada" in desk.get("/register/M000001").text
