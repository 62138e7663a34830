"""Who waits for a commit is woken by one, and by nothing that it missed."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from burnish.db import wakeup as bells
from burnish.db.tables import MediaCreationRequest
from burnish.db.wakeup import Bell, Commits, rest
from burnish.request import admission
from factories import Ground, add_request
from waiting import wait_until


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def test_a_ring_before_the_wait_is_heard() -> None:
    bell = Bell()
    for _ in range(70_000):  # more than a pipe holds
        bell.ring()
    since = monotonic()
    bell.wait(60)
    assert monotonic() - since < 30
    bell.wait(0.0)
    since = monotonic()
    bell.wait(0.2)
    assert monotonic() - since > 0.1, "all of it was heard"


def test_a_ring_ends_a_wait() -> None:
    bell, woken = Bell(), threading.Event()

    def wait() -> None:
        bell.wait(60)
        woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    bell.ring()
    assert woken.wait(30)
    thread.join()


def test_who_is_to_stop_does_not_wait() -> None:
    stopping = threading.Event()
    stopping.set()
    since = monotonic()
    rest(Bell(), stopping, 60)
    rest(None, stopping, 60)
    assert monotonic() - since < 30


def test_without_a_bell_a_look_is_never_far() -> None:
    since = monotonic()
    rest(None, threading.Event(), 60)
    assert monotonic() - since < 30


def test_commits_are_seen_from_outside(ground: Ground) -> None:
    """By whatever connection they are made, also where the log begins anew."""
    commits = Commits(ground.url)
    assert commits.can_be_seen
    with ground.database.writing() as session:
        add_request(session)
    assert commits.changed()
    assert not commits.changed()
    with ground.database.reading() as session:
        assert session.get(MediaCreationRequest, 1)
    assert not commits.changed(), "who reads changes nothing"
    for _ in range(3):
        with ground.database.writing() as session:
            add_request(session)
        assert commits.changed()
        assert not commits.changed()
        with closing(sqlite3.connect(ground.url.removeprefix("sqlite:///"))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        commits.changed()


def test_a_database_that_nobody_has_opened(tmp_path: Path) -> None:
    commits = Commits(f"sqlite:///{tmp_path}/none.db")
    assert commits.can_be_seen
    assert not commits.changed()
    with Ground(tmp_path / "root") as ground:
        commits = Commits(ground.url)
        with ground.database.writing() as session:
            add_request(session)
        assert commits.changed()
        ground.database.close()
        assert commits.changed(), "its log is gone"
        with ground.database.writing() as session:
            add_request(session)
        assert commits.changed()


def test_commits_elsewhere_cannot_be_seen() -> None:
    assert not Commits("postgresql+psycopg://somewhere/burnish").can_be_seen


def test_a_watch_knows_when_to_ask_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sleeps for so long misses nothing, though there may be many commits."""
    watch = ground.database.watch(admission.pending_requests())
    assert watch.patience == 0.0
    assert watch.changed()
    assert 0.0 < watch.patience <= 0.25
    with ground.database.writing() as session:
        add_request(session)
    assert not watch.changed(), "it has just said yes"
    wait_until(lambda: watch.patience > 0.25)
    assert watch.changed()
    monkeypatch.setattr("burnish.db.session._LOOK_AGAIN", 0.0)
    assert 1.0 < watch.patience <= 2.0


def test_there_is_work_until_once_after_the_last(ground: Ground) -> None:
    work = ground.database.work(admission.pending_requests())
    assert work.is_there(), "at first nobody knows"
    assert not work.is_there()
    with ground.database.writing() as session:
        request = add_request(session)
    assert work.is_there()
    assert work.is_there()
    with ground.database.writing() as session:
        session.delete(session.merge(request))
    assert work.is_there()
    assert not work.is_there()


def test_a_look_is_not_seldom() -> None:
    """What a user waits for waits for this."""
    assert bells.LOOK <= 0.05
