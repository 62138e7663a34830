"""Notices on the page System, by REST and in the metrics; the test message of each receiver."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from burnish.db.history import fail
from burnish.notices import deciding
from burnish.notices.sender import Sender
from burnish.settings import NotifySettings
from burnish.values import AccountRole
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from factories import add_request
from message_receivers import SECRET, WebReceiver, web_receiver
from web_client import WebGround


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def told() -> Iterator[WebReceiver]:
    with web_receiver() as told:
        yield told


@pytest.fixture
def telling(tmp_path: Path, told: WebReceiver) -> Iterator[WebGround]:
    """A web application of a service that has told one receiver of a failure."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    receiver = {"name": "duty", "kind": "webhook", "url": f"{told.url}/x", "secret_file": secret}
    with WebGround(tmp_path / "ground", notify=NotifySettings(receiver=(receiver,))) as ground:  # type: ignore[arg-type]
        tell(ground)
        yield ground


def tell(ground: WebGround) -> None:

    with ground.database.writing() as session:
        request = add_request(session, status=ExecutionStatus.CREATING)
        fail(session, request, ExecutionStatusInfo.PROC_FAILURE, why="it was <b>ruined</b>")
        now = datetime.now(UTC)
        deciding.decide(session, ground.settings, now=now)
    sender = Sender(ground.settings, ground.database)
    sender.tick()
    sender.wait()
    sender.tick()
    sender.close()


def test_the_page_shows_receivers_and_notices(telling: WebGround, told: WebReceiver) -> None:
    page = telling.signed_in(AccountRole.ADMINISTRATOR).get("/system").text
    assert "duty" in page
    assert f"<code>{told.url}</code>" in page  # without its path
    assert '<a href="/requests/R000001">R000001</a>' in page
    assert "It was &lt;b&gt;ruined&lt;/b&gt;." in page


def test_without_receivers_the_page_says_so(tmp_path: Path) -> None:
    with WebGround(tmp_path) as ground:
        page = ground.signed_in(AccountRole.ADMINISTRATOR).get("/system").text
    assert "Nobody is told." in page


def test_an_administrator_sends_a_test_message(telling: WebGround, told: WebReceiver) -> None:
    administrator = telling.signed_in(AccountRole.ADMINISTRATOR)
    answer = administrator.post("/system/notices/duty/test")
    assert "duty has taken the test message." in answer.text
    assert told.messages[-1]["kind"] == "test"
    told.answer = lambda _: 503
    answer = administrator.post("/system/notices/duty/test")
    assert answer.status_code == 200
    assert "has not taken" in answer.text
    assert "answers 503" in answer.text
    assert administrator.post("/system/notices/nobody/test").status_code == 404
    assert (
        telling.signed_in(AccountRole.OPERATOR).post("/system/notices/duty/test").status_code == 403
    )


def test_programs_list_notices_and_receivers(telling: WebGround, told: WebReceiver) -> None:
    tell(telling)
    viewer = telling.token(AccountRole.VIEWER)
    first = viewer.get("/api/v1/notices", params={"limit": 1, "open": True}).json()
    assert [notice["request"] for notice in first["items"]] == ["R000002"]
    second = viewer.get("/api/v1/notices", params={"before": first["next"]}).json()
    (notice,) = second["items"]
    assert notice["cause"] == "failed"
    assert notice["deliveries"][0]["state"] == "sent"
    assert second["next"] is None
    assert viewer.get("/api/v1/notices/receivers").status_code == 403
    administrator = telling.token(AccountRole.ADMINISTRATOR)
    (receiver,) = administrator.get("/api/v1/notices/receivers").json()["items"]
    assert (receiver["name"], receiver["waiting"], receiver["problem"]) == ("duty", 0, "")
    answer = administrator.post("/api/v1/notices/receivers/duty/test")
    assert answer.json() == {"message": told.messages[-1]["id"]}
    told.answer = lambda _: 500
    answer = administrator.post("/api/v1/notices/receivers/duty/test")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "answers 500" in answer.json()["detail"]


def test_metrics_tell_of_notices_and_of_receivers_that_take_none(
    telling: WebGround, told: WebReceiver
) -> None:
    told.answer = lambda _: 500
    tell(telling)
    text = telling.token(AccountRole.VIEWER).get("/metrics").text
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["burnish_notices_open", "failed"] == 2
    assert values["burnish_notices_open", "stuck"] == 0
    assert values["burnish_notices_waiting", "duty"] == 1
    assert values["burnish_notice_receiver_works", "duty"] == 0
    assert values["burnish_notice_attempts_total", "sent", "duty"] == 1
    assert values["burnish_notice_attempts_total", "failed", "duty"] == 1
