"""Notices: one message when something begins, one when it ends, whatever is killed when."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import func, select, update

import postgresql
from burnish.db import devices, schema
from burnish.db.history import fail, move
from burnish.db.tables import (
    DeviceState,
    Event,
    MediaCreationRequest,
    Notice,
    NoticeDelivery,
    short_id,
)
from burnish.devices import watch_writers
from burnish.errors import StaleLease
from burnish.lifecycle import RequestEvent
from burnish.notices import deciding, listing, outbox
from burnish.notices.outbox import ClaimedMessage
from burnish.notices.sender import Sender
from burnish.receive import Receiver
from burnish.request.health import Level, health
from burnish.settings import DatabaseSettings, NotifySettings, StorageSettings, WebSettings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo
from factories import Ground, add_request, instance
from message_receivers import SECRET, WebReceiver, web_receiver
from postgresql import PostgreSQL

ANNA = Actor("user", "anna")
START = datetime(2026, 11, 28, 6, 0, tzinfo=UTC)
LONG = timedelta(days=2)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql.running() as server:
        yield server


class Telling(Ground):
    """A database, a web server that is told, and the time of the test."""

    def __init__(self, root: Path, told: WebReceiver, **tables: Any) -> None:
        self.web = told
        secret = root / "secret"
        root.mkdir(exist_ok=True)
        secret.write_text(SECRET)
        receiver = {
            "name": "duty",
            "kind": "webhook",
            "url": told.url,
            "secret_file": secret,
            **tables.pop("receiver", {}),
        }
        tables.setdefault("web", WebSettings(url="https://discs.example.org"))
        super().__init__(root / "ground", notify=NotifySettings(receiver=(receiver,)), **tables)
        self.now = datetime.now(UTC)
        self.watched_for = LONG

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def look(self) -> None:
        """What the scheduler does every few seconds."""
        watch_writers(self.database, self.settings, watched_for=self.watched_for, now=self.now)
        with self.database.reading() as session:
            is_due = deciding.is_change_due(session, self.settings, now=self.now)
        with self.database.writing() as session:
            deciding.decide(session, self.settings, now=self.now)
        with self.database.reading() as session:
            # what did not begin with this look, because there was too much, is all that may be due
            assert is_due or not deciding.is_change_due(session, self.settings, now=self.now)

    def settle(self) -> None:
        """Looks, and looks again once what lasts is told."""
        self.look()
        self.pass_time(seconds=31)
        self.look()

    def claim(self) -> ClaimedMessage | None:
        with self.database.writing() as session:
            return outbox.claim(
                session,
                self.settings,
                self.settings.notify.receiver[0],
                owner="test",
                now=self.now,
            )

    def send(self) -> list[str]:
        """Sends what is due; the headlines of the messages that the receiver has got."""
        before = len(self.web.messages)
        sender = Sender(self.settings, self.database)
        sender.tick()
        sender.wait()
        sender.tick()
        sender.close()
        return [
            " + ".join(notice["headline"] for notice in message["notices"])
            for message in self.web.messages[before:]
        ]

    def add(self, **columns: Any) -> int:
        with self.database.writing() as session:
            return add_request(session, **columns).id

    def fail(self, request_id: int) -> None:
        with self.database.writing() as session:
            request = session.get_one(MediaCreationRequest, request_id)
            fail(session, request, ExecutionStatusInfo.PROC_FAILURE, why="there is no device")

    def retry(self, request_id: int) -> None:
        with self.database.writing() as session:
            request = session.get_one(MediaCreationRequest, request_id)
            move(session, request, RequestEvent.RETRIED, actor=ANNA)

    def hold(self, request_id: int, *, held: bool = True) -> None:
        with self.database.writing() as session:
            row = session.get_one(MediaCreationRequest, request_id)
            row.held_at = datetime.now(UTC) if held else None

    def notices(self) -> list[listing.NoticeLine]:
        with self.database.reading() as session:
            return listing.notices(session)

    def receiver_line(self) -> listing.ReceiverLine:
        with self.database.reading() as session:
            (line,) = listing.receivers(session, self.settings)
        return line


@pytest.fixture
def web() -> Iterator[WebReceiver]:
    with web_receiver() as web:
        yield web


@pytest.fixture
def telling(tmp_path: Path, web: WebReceiver) -> Iterator[Telling]:
    with Telling(tmp_path, web) as telling:
        yield telling


@pytest.fixture(params=["sqlite", "postgresql"])
def on_each_database(
    request: pytest.FixtureRequest, tmp_path: Path, web: WebReceiver
) -> Iterator[Telling]:
    tables: dict[str, Any] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("server")
        url = server.create_database()
        schema.upgrade(url)
        tables["database"] = DatabaseSettings(url=url)
    with Telling(tmp_path, web, **tables) as telling:
        yield telling


# --- causes ---


def test_a_failure_is_told_once_and_its_end_once(on_each_database: Telling) -> None:
    telling = on_each_database
    request = telling.add(status=ExecutionStatus.CREATING)
    telling.fail(request)
    for _ in range(3):
        telling.look()
    assert telling.send() == [f"Request {short_id(request)} failed"]
    (notice,) = telling.web.messages[0]["notices"]
    assert notice["reason"] == "There is no device."
    assert notice["remedy"] == f"burnish request retry {short_id(request)}"
    assert notice["url"] == f"https://discs.example.org/requests/{short_id(request)}"
    telling.retry(request)
    for _ in range(3):
        telling.look()
    assert telling.send() == [f"Request {short_id(request)} is no longer failed"]
    assert telling.web.messages[1]["notices"][0]["outcome"] == "Its media are being planned."
    assert telling.send() == []


def test_a_request_that_fails_again_has_failed_anew(telling: Telling) -> None:
    request = telling.add(status=ExecutionStatus.CREATING)
    telling.fail(request)
    telling.look()
    telling.retry(request)
    telling.fail(request)
    telling.look()
    name = short_id(request)
    assert telling.send() == [
        f"Request {name} failed",
        f"Request {name} is no longer failed",
        f"Request {name} failed",
    ]


def test_old_failures_are_not_told_and_told_ones_do_not_end_by_age(telling: Telling) -> None:
    old, new = (telling.add(status=ExecutionStatus.CREATING) for _ in range(2))
    telling.fail(old)
    with telling.database.writing() as session:
        row = session.get_one(MediaCreationRequest, old)
        row.ended_at = datetime.now(UTC) - LONG
    telling.fail(new)
    telling.look()
    assert telling.send() == [f"Request {short_id(new)} failed"]
    telling.pass_time(days=3)
    telling.look()
    assert telling.send() == []


def test_a_request_that_is_deleted_ends_its_notice_without_a_message(telling: Telling) -> None:
    request = telling.add(status=ExecutionStatus.CREATING)
    telling.fail(request)
    telling.look()
    telling.send()
    with telling.database.writing() as session:
        session.delete(session.get_one(MediaCreationRequest, request))
    telling.look()
    assert telling.send() == []
    assert telling.notices()[0].ended_at is not None


def test_what_needs_a_person_is_told_once_it_has_lasted(telling: Telling) -> None:
    request = telling.add()
    telling.hold(request)
    telling.look()
    assert telling.send() == []
    telling.pass_time(seconds=31)
    telling.look()
    assert telling.send() == [f"Request {short_id(request)} needs a person"]
    telling.hold(request, held=False)
    telling.look()
    assert telling.send() == [f"Request {short_id(request)} no longer needs a person"]


def test_what_has_passed_by_itself_is_not_told(telling: Telling) -> None:
    request = telling.add()
    telling.hold(request)
    telling.look()
    telling.hold(request, held=False)
    telling.pass_time(seconds=31)
    telling.look()
    assert telling.send() == []
    assert telling.notices() == []


def test_a_request_that_does_not_move_on_is_told(telling: Telling) -> None:
    began = datetime.now(UTC) - timedelta(hours=2)
    stuck = telling.add(initiated_at=began)
    telling.add()
    telling.add(initiated_at=began, status=ExecutionStatus.IDLE)
    telling.look()
    assert telling.send() == [f"Request {short_id(stuck)} does not move on"]
    assert telling.web.messages[0]["notices"][0]["reason"] == "It waits until a device is free."
    with telling.database.writing() as session:
        session.add(Event(request_id=stuck, at=telling.now, event="PRIORITY", why=""))
    telling.look()
    assert telling.send() == [f"Request {short_id(stuck)} moves on"]


def test_a_device_that_is_paused_or_held_up_is_told_until_it_works(
    on_each_database: Telling,
) -> None:
    telling = on_each_database
    with telling.database.writing() as session:
        devices.pause(session, "outbox", "new disk", actor=ANNA)
    telling.settle()
    assert telling.send() == ["Device outbox does not work"]
    assert "new disk" in telling.web.messages[0]["notices"][0]["reason"]
    assert telling.web.messages[0]["notices"][0]["url"] == "https://discs.example.org/devices"
    with telling.database.writing() as session:
        devices.resume(session, "outbox", actor=ANNA)
        devices.tell(session, "outbox", ExecutionStatusInfo.CHECK_MCD_SRV, "gone", "look")
    telling.settle()
    assert telling.send() == []  # it has not worked in between
    with telling.database.writing() as session:
        devices.tell(session, "outbox")
    telling.settle()
    assert telling.send() == ["Device outbox works again"]


def test_a_device_whose_writer_is_silent_is_told(telling: Telling) -> None:
    with telling.database.writing() as session:
        devices.give_sign_of_life(session, "outbox")
        session.execute(update(DeviceState).values(seen_at=telling.now - timedelta(minutes=6)))
    telling.watched_for = timedelta(minutes=1)
    telling.settle()
    assert telling.send() == []  # the scheduler has only just started: so have the writers
    telling.watched_for = timedelta(minutes=6)
    telling.settle()
    assert telling.send() == ["Device outbox does not work"]
    assert "no sign of life" in telling.web.messages[0]["notices"][0]["reason"]
    with telling.database.writing() as session:
        session.execute(update(DeviceState).values(seen_at=telling.now))
    telling.look()
    assert telling.send() == ["Device outbox works again"]


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, web: WebReceiver) -> None:
    storage = StorageSettings(root=tmp_path / "ground", high_water=1.0, low_water=0.000001)
    with Telling(tmp_path, web, storage=storage) as telling:
        telling.settle()
        assert telling.send() == ["The disk is nearly full"]
        telling.settings = telling.settings.model_copy(
            update={"storage": storage.model_copy(update={"low_water": 1.0})}
        )
        telling.settle()
        assert telling.send() == ["The disk is no longer nearly full"]


def test_a_receiver_is_told_of_its_causes_only(tmp_path: Path, web: WebReceiver) -> None:
    with Telling(tmp_path, web, receiver={"causes": ["device"]}) as telling:
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
        telling.look()
        assert telling.send() == []
        assert [notice.cause for notice in telling.notices()] == ["failed"]


@pytest.mark.parametrize("may_know", [False, True])
def test_patients_are_in_messages_only_if_the_site_allows_it(
    tmp_path: Path, web: WebReceiver, may_know: bool
) -> None:
    with Telling(tmp_path, web, receiver={"patients": may_know}) as telling:
        sample = instance(patient_name="MARK^Jane", patient_id="MARKID")
        receiver = Receiver(telling.database, telling.spool)
        receiver.receive(sample.arriving())
        receiver.index()
        receiver.close()
        uid = telling.create([sample])
        with telling.database.reading() as session:
            (request,) = session.scalars(
                select(MediaCreationRequest.id).where(MediaCreationRequest.sop_instance_uid == uid)
            )
        telling.fail(request)
        telling.look()
        telling.send()
    assert ("MARK" in json.dumps(web.messages)) == may_know


# --- kills, doubles, losses ---


def test_a_process_that_is_killed_before_it_sends_loses_nothing(
    on_each_database: Telling,
) -> None:
    telling = on_each_database
    telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    killed = telling.claim()
    assert killed is not None
    assert telling.claim() is None  # the lease keeps others away
    telling.pass_time(seconds=21)
    again = telling.claim()
    assert again is not None
    assert again.message == killed.message


def test_a_process_that_is_killed_after_it_has_sent_sends_the_same_message_again(
    telling: Telling,
) -> None:
    telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    sent = telling.claim()
    telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    telling.pass_time(seconds=21)
    again = telling.claim()
    assert sent is not None
    assert again is not None
    assert again.message == sent.message  # what came later is in a message of its own
    with telling.database.writing() as session, pytest.raises(StaleLease):
        outbox.delivered(session, sent, now=telling.now)
    with telling.database.writing() as session:
        outbox.delivered(session, again, now=telling.now)
    following = telling.claim()
    assert following is not None
    assert following.message.id != sent.message.id


def test_of_two_processes_that_look_at_once_one_begins_a_notice(
    on_each_database: Telling,
) -> None:
    telling = on_each_database
    for _ in range(5):
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
    threads = [threading.Thread(target=telling.look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(telling.notices()) == 5


def test_of_two_senders_one_has_the_lease(on_each_database: Telling) -> None:
    telling = on_each_database
    for _ in range(5):
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    senders = [Sender(telling.settings, telling.database) for _ in range(2)]
    for sender in senders:
        sender.tick()
    for sender in senders:
        sender.wait()
        sender.close()
    telling.send()
    ids = [message["id"] for message in telling.web.messages]
    assert len(ids) == len(set(ids)) == 5


# --- receivers that do not take messages; many at once ---


def test_a_message_that_is_not_taken_is_tried_again_with_growing_pauses(telling: Telling) -> None:
    telling.web.answer = lambda _: 503
    telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    telling.send()
    line = telling.receiver_line()
    assert "answers 503" in line.problem
    assert (line.waiting, line.last_sent_at) == (1, None)
    with telling.database.reading() as session:
        findings = health(session, telling.settings).findings
    (finding,) = [finding for finding in findings if finding.part == "notify duty"]
    assert finding.level is Level.ATTENTION
    assert finding.remedy == "burnish notify test duty"
    pauses = []
    ids = set()
    telling.now = line.next_attempt or telling.now
    for _ in range(8):
        claimed = telling.claim()
        assert claimed is not None
        ids.add(claimed.message.id)
        with telling.database.writing() as session:
            outbox.not_delivered(session, telling.settings, claimed, "away", now=telling.now)
        next_attempt = telling.receiver_line().next_attempt
        assert next_attempt is not None
        pauses.append((next_attempt - telling.now).total_seconds())
        telling.now = next_attempt
    assert pauses == [60, 120, 240, 480, 900, 900, 900, 900]
    assert ids == {telling.web.messages[0]["id"]}


def test_a_message_that_is_never_taken_is_given_up_and_the_next_one_follows(
    telling: Telling,
) -> None:
    first, second = (telling.add(status=ExecutionStatus.CREATING) for _ in range(2))
    telling.fail(first)
    telling.look()
    claimed = telling.claim()
    assert claimed is not None
    telling.pass_time(days=1)
    with telling.database.writing() as session:
        is_sent_again = outbox.not_delivered(
            session, telling.settings, claimed, "away", now=telling.now
        )
    assert not is_sent_again
    telling.now = datetime.now(UTC)
    telling.fail(second)
    telling.look()
    assert telling.send() == [f"Request {short_id(second)} failed"]
    states = [line.state for notice in telling.notices() for line in notice.deliveries]
    assert states == ["sent", "given up"]
    assert telling.receiver_line().failing_since is None


def test_a_receiver_that_is_away_gets_what_it_missed(telling: Telling) -> None:
    telling.web.answer = lambda _: 500
    request = telling.add(status=ExecutionStatus.CREATING)
    telling.fail(request)
    telling.look()
    telling.send()
    telling.retry(request)
    telling.look()
    telling.web.answer = lambda _: 204
    with telling.database.writing() as session:
        session.execute(update(outbox.NoticeReceiver).values(not_before=None))
    name = short_id(request)
    assert telling.send() == [f"Request {name} failed", f"Request {name} is no longer failed"]


def test_many_at_once_go_into_one_message_and_more_wait_for_their_time(
    telling: Telling,
) -> None:
    for _ in range(30):
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    (headlines,) = telling.send()
    assert headlines.count("failed") == 30
    for _ in range(15):
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
        telling.look()
        telling.send()
    assert len(telling.web.messages) == 10
    line = telling.receiver_line()
    assert line.waiting == 6
    assert line.next_attempt is not None
    telling.now = line.next_attempt
    claimed = telling.claim()
    assert claimed is not None
    assert len(claimed.message.items) == 1  # a new time has begun


def test_a_receiver_that_is_not_configured_any_more_is_forgotten(telling: Telling) -> None:
    telling.fail(telling.add(status=ExecutionStatus.CREATING))
    telling.look()
    telling.web.answer = lambda _: 500
    telling.send()
    without = telling.settings.model_copy(update={"notify": NotifySettings()})
    with telling.database.writing() as session:
        deciding.forget_receivers(session, without)
    with telling.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(NoticeDelivery)) == 0


def test_old_notices_are_deleted_once_they_were_told(telling: Telling) -> None:
    told, waiting = (telling.add(status=ExecutionStatus.CREATING) for _ in range(2))
    telling.fail(told)
    telling.look()
    telling.retry(told)
    telling.look()
    telling.send()
    telling.fail(waiting)
    telling.look()
    telling.retry(waiting)
    telling.look()
    with telling.database.writing() as session:
        deciding.delete_old(session, telling.now + LONG)
        left = session.scalars(select(Notice.subject)).all()
    assert left == [short_id(waiting)]


def test_messages_lead_nowhere_that_only_this_machine_can_open(
    tmp_path: Path, web: WebReceiver
) -> None:
    with Telling(tmp_path, web, web=WebSettings()) as telling:
        telling.fail(telling.add(status=ExecutionStatus.CREATING))
        telling.look()
        telling.send()
    assert web.messages[0]["url"] == ""
    assert web.messages[0]["notices"][0]["url"] is None
