"""A process that waits for work wakes up after a commit, and misses none."""

import multiprocessing
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from sqlalchemy import select

from burnish.db import wakeup as module
from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest
from burnish.db.wakeup import Wakeup, pause
from factories import Ground, add_request

#: Longer than any test takes.
NEVER = 1e9
#: What counts as work in these tests: a request that is not held.
REQUESTS = select(MediaCreationRequest.id).where(MediaCreationRequest.held_at.is_(None))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """A service with work: one request."""
    with Ground(tmp_path) as ground:
        with ground.database.writing() as session:
            add_request(session)
        yield ground


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def _only_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting thread wakes up after commits alone, not by the clock."""
    monkeypatch.setattr(module, "LOOK_ANYWAY", NEVER)


class Waiter:
    """A thread that waits for commits; `awake` is released each time that it wakes up."""

    def __init__(self, wakeup: Wakeup) -> None:
        self.awake = threading.Semaphore(0)
        self._wakeup = wakeup
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._wakeup.wait():
            self.awake.release()

    def woke(self) -> bool:
        return self.awake.acquire(timeout=60)

    def stays_asleep(self, polls: int = 5) -> bool:
        """Whether it does not wake up for the time of several questions."""
        return not self.awake.acquire(timeout=polls * module.IDLE_POLL)

    def join(self) -> None:
        self._thread.join()


@pytest.fixture
def waiter(ground: Ground, stopping: threading.Event, _only_commits: None) -> Iterator[Waiter]:
    with ground.database.wakeup(stopping, REQUESTS) as wakeup:
        waiter = Waiter(wakeup)
        assert waiter.woke(), "at first there may be work"
        yield waiter
        stopping.set()
        waiter.join()


def test_a_commit_wakes_up_a_thread_once(ground: Ground, waiter: Waiter) -> None:
    for _ in range(3):
        with ground.database.writing() as session:
            add_request(session)
        assert waiter.woke()
        assert waiter.stays_asleep()


def test_a_commit_of_another_program_wakes_up_a_thread(ground: Ground, waiter: Waiter) -> None:
    with closing(sqlite3.connect(ground.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE other (value)")
        connection.commit()
    assert waiter.woke()


def test_a_reader_wakes_up_nobody(ground: Ground, waiter: Waiter) -> None:
    with ground.database.reading() as session:
        assert session.get(MediaCreationRequest, 1) is not None
    assert waiter.stays_asleep()


def test_a_commit_wakes_up_nobody_while_there_is_no_work(ground: Ground, waiter: Waiter) -> None:
    with ground.database.writing() as session:
        session.get_one(MediaCreationRequest, 1).held_at = datetime.now(UTC)
    assert waiter.stays_asleep()
    with ground.database.writing() as session:
        session.get_one(MediaCreationRequest, 1).held_at = None
    assert waiter.woke()


def test_a_rollback_wakes_up_nobody(ground: Ground, waiter: Waiter) -> None:
    with pytest.raises(ValueError, match="no"), ground.database.writing() as session:  # noqa: PT012
        add_request(session)
        raise ValueError("no")
    assert waiter.stays_asleep()


def test_commits_are_seen_after_the_write_ahead_log_begins_anew(
    ground: Ground, waiter: Waiter
) -> None:
    with closing(sqlite3.connect(ground.url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    waiter.stays_asleep()
    with ground.database.writing() as session:
        add_request(session)
    assert waiter.woke()


@pytest.mark.usefixtures("_only_commits")
def test_a_commit_while_the_caller_works_is_not_missed(
    ground: Ground, stopping: threading.Event
) -> None:
    with ground.database.wakeup(stopping, REQUESTS) as wakeup:
        assert wakeup.wait()
        with ground.database.writing() as session:
            add_request(session)
        waiter = Waiter(wakeup)
        assert waiter.woke()
        stopping.set()
        waiter.join()


def test_without_a_commit_a_thread_wakes_up_by_the_clock(
    ground: Ground, stopping: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_ANYWAY", 2 * module.IDLE_POLL)
    with ground.database.wakeup(stopping, REQUESTS) as wakeup:
        waiter = Waiter(wakeup)
        for _ in range(3):
            assert waiter.woke()
        stopping.set()
        waiter.join()


def test_a_wait_ends_when_the_process_has_to_stop(
    ground: Ground, stopping: threading.Event
) -> None:
    with ground.database.wakeup(stopping, REQUESTS) as wakeup:
        waiter = Waiter(wakeup)
        assert waiter.woke()
        stopping.set()
        waiter.join()
        assert not wakeup.wait()


def test_a_database_that_does_not_exist_yet(tmp_path: Path, stopping: threading.Event) -> None:
    """The caller looks for work all the same, and reports what is wrong."""
    database = Database(f"sqlite:///{tmp_path}/none/burnish.db")
    with database.wakeup(stopping, REQUESTS) as wakeup:
        assert wakeup.wait()
        assert wakeup.wait()
        (tmp_path / "none").mkdir()
        with closing(sqlite3.connect(tmp_path / "none" / "burnish.db")) as connection:
            connection.execute("CREATE TABLE other (value)")
        assert wakeup.wait()
    database.close()


def test_a_file_that_is_no_database(tmp_path: Path, stopping: threading.Event) -> None:
    (tmp_path / "file.db").write_bytes(b"this is no database" * 1000)
    database = Database(f"sqlite:///{tmp_path}/file.db")
    with database.wakeup(stopping, REQUESTS) as wakeup:
        assert wakeup.wait()
        assert wakeup.wait()
    database.close()


def write_lock_is_free(path: str, answer: "Connection[bool, None]") -> None:
    """In a process of its own, without patience: whether SQLite's write lock can be had."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            answer.send(False)
        else:
            connection.execute("ROLLBACK")
            answer.send(True)


def asked_by_another_process(path: str) -> bool:
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=write_lock_is_free, args=(path, sending))
    process.start()
    try:
        assert receiving.poll(60)
        return bool(receiving.recv())
    finally:
        process.join()


def test_the_locks_of_a_process_survive_its_waiting(
    ground: Ground, stopping: threading.Event
) -> None:
    """To close a descriptor of a file of SQLite would drop them."""
    path = ground.url.removeprefix("sqlite:///")
    with ground.database.writing() as session:
        add_request(session)
        with ground.database.wakeup(stopping, REQUESTS) as wakeup:
            assert wakeup.wait()
            assert wakeup.wait()
            assert not asked_by_another_process(path)
        assert not asked_by_another_process(path)
    assert asked_by_another_process(path)


def test_a_pause_ends_when_the_process_has_to_stop(stopping: threading.Event) -> None:
    assert not pause(stopping, 0.01)
    stopping.set()
    assert pause(stopping, NEVER)


def test_a_signal_handler_ends_a_pause(stopping: threading.Event) -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: stopping.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        assert pause(stopping, NEVER)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_user_does_not_wait_long_for_a_question() -> None:
    assert module.POLL <= 0.05
    assert module.IDLE_POLL <= 0.1
