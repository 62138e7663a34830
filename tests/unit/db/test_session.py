"""Sessions that read, sessions that write, and a database that does not answer."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from burnish.db.session import Database
from burnish.db.tables import Event, MediaCreationRequest
from burnish.errors import OperatorError, OutOfResources
from factories import Ground, add_request
from locks import locked


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def test_a_write_transaction_is_kept(ground: Ground) -> None:
    with ground.database.writing() as session:
        add_request(session)
    assert ground.count(MediaCreationRequest) == 1


def test_an_error_rolls_back_the_whole_transaction(ground: Ground) -> None:
    with pytest.raises(ValueError, match="no"), ground.database.writing() as session:  # noqa: PT012
        add_request(session)
        raise ValueError("no")
    assert ground.count(MediaCreationRequest) == 0


def test_changes_of_a_reader_are_not_kept(ground: Ground) -> None:
    with ground.database.reading() as session:
        add_request(session)
    assert ground.count(MediaCreationRequest) == 0


def test_a_reader_keeps_its_view_while_others_write(ground: Ground) -> None:
    with ground.database.reading() as reader:
        before = len(reader.scalars(select(MediaCreationRequest.id)).all())
        with ground.database.writing() as session:
            add_request(session)
        after = len(reader.scalars(select(MediaCreationRequest.id)).all())
    assert before == 0
    assert after == 0
    assert ground.count(MediaCreationRequest) == 1


def test_a_writer_has_the_lock_from_its_start(ground: Ground) -> None:
    """Of two who read, then write, neither is told that the database is locked."""
    start = threading.Barrier(4)
    errors: list[BaseException] = []

    def count_up() -> None:
        start.wait()
        try:
            for _ in range(10):
                with ground.database.writing() as session:
                    seen = len(session.scalars(select(MediaCreationRequest.id)).all())
                    add_request(session, origin=str(seen), volumes=0)
        except BaseException as error:  # noqa: BLE001  what a thread raises, its test must see
            errors.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with ground.database.reading() as session:
        origins = session.scalars(select(MediaCreationRequest.origin)).all()
    assert sorted(map(int, origins)) == list(range(40))


def test_foreign_keys_hold(ground: Ground) -> None:
    with ground.database.writing() as session:
        request = add_request(session)
        session.add(Event(request_id=request.id, at=datetime.now(UTC), event="NOTE"))
    with ground.database.writing() as session:
        session.execute(text("DELETE FROM media_creation_request"))
    assert ground.count(Event) == 0


def test_a_point_in_time_comes_back_in_utc(ground: Ground) -> None:
    at = datetime(2024, 1, 2, 12, 30, 15, 123456, tzinfo=timezone(timedelta(hours=2)))
    with ground.database.writing() as session:
        add_request(session, created_at=at, initiated_at=None)
    with ground.database.reading() as session:
        request = session.scalars(select(MediaCreationRequest)).one()
    assert request.created_at == at
    assert request.created_at.utcoffset() == timedelta(0)
    assert request.initiated_at is None


@pytest.mark.parametrize("durable", [False, True])
def test_a_commit_is_as_durable_as_configured(tmp_path: Path, durable: bool) -> None:
    database = Database(f"sqlite:///{tmp_path}/x.db", durable=durable)
    with database.connection() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == (2 if durable else 1)
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(OperatorError):
        Database(url)


def test_a_database_that_cannot_be_opened_is_a_lack_of_resources(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/nowhere/x.db")
    for open_ in (database.reading, database.writing, database.connection):
        with pytest.raises(OutOfResources), open_() as session:
            session.execute(text("SELECT 1"))
    database.close()


def test_a_full_disk_is_a_lack_of_resources(ground: Ground) -> None:
    with ground.database.reading() as session:
        pages = session.scalar(text("PRAGMA page_count"))
    with pytest.raises(OutOfResources) as refused, ground.database.writing() as session:  # noqa: PT012
        session.execute(text(f"PRAGMA max_page_count={pages}"))
        for _ in range(2000):
            add_request(session, label_text="x" * 5000)
    assert isinstance(refused.value.__cause__, OperationalError)
    assert isinstance(refused.value.__cause__.orig, sqlite3.OperationalError)


def test_a_damaged_database_is_a_lack_of_resources(ground: Ground) -> None:
    """Whoever asks is answered; what to do about it is said when the service is next started."""
    with ground.database.writing() as session:
        session.execute(text("CREATE TABLE much (value TEXT)"))
        session.execute(text("INSERT INTO much VALUES (:value)"), {"value": "x" * 100_000})
    ground.database.close()
    path = Path(ground.url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    database = Database(ground.url, durable=False)
    with pytest.raises(OutOfResources), database.writing() as session:
        add_request(session)
    with pytest.raises(OutOfResources), database.reading() as session:
        session.execute(text("SELECT count(*) FROM much")).all()
    database.close()


def test_a_connection_that_cannot_be_made_is_a_lack_of_resources(tmp_path: Path) -> None:
    """Where the driver itself speaks, before SQLAlchemy can put it in its own words."""
    (tmp_path / "file.db").write_bytes(b"this is no database" * 1000)
    database = Database(f"sqlite:///{tmp_path}/file.db", durable=False)
    with pytest.raises(OutOfResources), database.reading() as session:
        session.execute(text("SELECT 1"))
    database.close()


def impatient(ground: Ground, wait: float) -> Database:
    """The database of a process that waits for so many seconds."""
    ground.database.close()
    ground.database = Database(ground.url, durable=False, wait=wait)
    return ground.database


def test_all_writers_that_wait_behind_a_lock_fail_in_time(ground: Ground) -> None:
    """Each within its own time-out, not one after the other; readers go on reading."""
    database = impatient(ground, 1.0)
    errors: list[BaseException] = []
    together = threading.Barrier(20)  # on a busy machine, threads start one after the other

    def write(number: int) -> None:
        together.wait()
        try:
            if number % 2:
                with database.connection() as connection:
                    connection.execute(text("DELETE FROM event"))
            else:
                with database.writing() as session:
                    add_request(session)
        except OutOfResources as error:
            errors.append(error)

    with locked(ground.url):
        threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        assert ground.count(MediaCreationRequest) == 0
        for thread in threads:
            thread.join()
    assert len(errors) == 20
    waited_for_sqlite = [error for error in errors if "locked" in str(error)]
    assert waited_for_sqlite
    assert len(waited_for_sqlite) < 15, "the others used up their time before their turn"
    assert any("others have been writing for 1 s" in str(error) for error in errors)
    assert database.hindered(300)
    with database.writing() as session:
        add_request(session)
    assert ground.count(MediaCreationRequest) == 1


def test_a_writer_that_waits_for_a_slow_database_can_write_in_the_end(ground: Ground) -> None:
    """The lock is held again and again, never for as long as anybody waits."""
    database = impatient(ground, 20.0)
    done = threading.Event()

    def hold() -> None:
        while not done.wait(0.01):
            with locked(ground.url):
                done.wait(0.1)

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        for _ in range(10):
            with database.writing() as session:
                add_request(session, volumes=0)
    finally:
        done.set()
        holder.join()
    assert ground.count(MediaCreationRequest) == 10
    assert not database.hindered(60)
