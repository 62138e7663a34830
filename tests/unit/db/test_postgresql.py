"""PostgreSQL: its schema, one writer at a time, waiting for work, and a server that goes away."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import insert, select, text

import postgresql
from burnish import contacts, devices, measures, register
from burnish.contacts import Contact, ContactOutcome, ContactRecorder
from burnish.db import schema, tallies
from burnish.db.session import Database
from burnish.db.tables import Event, Instance, MediaCreationRequest
from burnish.errors import OperatorError, OutOfResources
from burnish.hashing import digest_text, hasher_like
from burnish.plan.planner import Planner
from burnish.receive import Receiver
from burnish.register import RegisterFilter
from burnish.settings import DatabaseSettings
from burnish.write.worker import Worker
from factories import Ground, add_request, instance
from postgresql import PostgreSQL
from waiting import wait_until

REQUESTS = select(MediaCreationRequest.id)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with postgresql.running() as server:
        yield server


@pytest.fixture
def url(server: PostgreSQL) -> str:
    return server.create_database()


@pytest.fixture
def ground(tmp_path: Path, url: str) -> Iterator[Ground]:
    schema.upgrade(url)
    with Ground(tmp_path, database=DatabaseSettings(url=url)) as ground:
        yield ground


@pytest.fixture
def stopping() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.reading() as session:
        return [tuple(row) for row in session.execute(text(statement))]


def test_the_migrations_make_the_schema_of_the_tables(ground: Ground) -> None:
    with ground.database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, cast(Any, Instance.metadata)) == []


def test_partial_indexes_are_there(ground: Ground) -> None:
    indexes = dict(rows(ground.database, "SELECT indexname, indexdef FROM pg_indexes"))
    assert "WHERE ((released_at IS NULL) AND (replaced_at IS NULL))" in indexes["uq_instance_live"]
    assert "SPOILED" in indexes["uq_piece_live"]


def test_rows_of_the_first_version_are_kept(url: str) -> None:
    command.upgrade(schema.migration_config(url), "0001")
    digest = bytes(range(32))
    database = Database(url)
    with database.connection() as connection:
        columns = connection.exec_driver_sql(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_name = 'instance' AND is_nullable = 'NO'"
        ).all()
        values: dict[str, Any] = {"bytea": b"", "bigint": 1, "integer": 1}
        row = {name: values.get(kind, "") for name, kind in columns}
        row |= {"sha256": digest, "received_at": datetime(2026, 1, 2, 3, 4, 5)}  # noqa: DTZ001
        names = ", ".join(row)
        parameters = ", ".join(f":{name}" for name in row)
        connection.execute(text(f"INSERT INTO instance ({names}) VALUES ({parameters})"), row)  # noqa: S608
    schema.upgrade(url)
    [(kept, received_at)] = rows(database, "SELECT digest, received_at FROM instance")
    database.close()
    assert kept == f"sha256:{digest.hex()}"
    assert digest_text(hasher_like(kept)).startswith("sha256:")
    assert received_at == datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001


def test_down_and_up_again_with_rows_in_it(ground: Ground) -> None:
    """What the older schema has a column for is there afterwards."""
    tables = {
        "instance": "id, sop_instance_uid, digest, size, received_at, entity_keys",
        "media_creation_request": "id, sop_instance_uid, execution_status, initiated_at",
        "referenced_instance": "request_id, ordinal, referenced_sop_instance_uid",
        "file_set": "id, file_set_uid, predicted_size",
        "file_set_entry": "file_set_id, ordinal, instance_id, referenced_file_id",
        "piece": "id, file_set_id, copy_number, state, lease_epoch",
        "event": "id, request_id, event, before, after, at",
    }

    def all_rows() -> dict[str, list[tuple[Any, ...]]]:
        return {
            table: rows(ground.database, f"SELECT {columns} FROM {table} ORDER BY 1, 2")  # noqa: S608
            for table, columns in tables.items()
        }

    instances = [instance(instance_number=number) for number in range(3)]
    ground.store(*instances)
    ground.admit(instances, copies=2)
    Planner(ground.settings, ground.database, ground.spool).tick()
    before = all_rows()
    assert all(before.values())
    ground.database.close()
    command.downgrade(schema.migration_config(ground.url), "0002")
    assert all_rows() == before
    ground.database.close()
    schema.upgrade(ground.url)
    assert all_rows() == before


def test_a_reader_keeps_its_view_while_others_write(ground: Ground) -> None:
    with ground.database.reading() as reader:
        before = len(reader.scalars(REQUESTS).all())
        with ground.database.writing() as session:
            add_request(session)
        after = len(reader.scalars(REQUESTS).all())
    assert before == 0
    assert after == 0
    assert ground.count(MediaCreationRequest) == 1


def test_one_process_writes_at_a_time(ground: Ground) -> None:
    """What a write transaction has read stays true until it commits."""
    databases = [Database(ground.url, durable=False) for _ in range(3)]
    errors: list[BaseException] = []

    def count_up(database: Database) -> None:
        try:
            for _ in range(10):
                with database.writing() as session:
                    seen = len(session.scalars(REQUESTS).all())
                    add_request(session, origin=str(seen), volumes=0)
        except BaseException as error:  # noqa: BLE001  the test shows what a thread raises
            errors.append(error)

    threads = [threading.Thread(target=count_up, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in databases:
        database.close()
    assert errors == []
    origins = [int(origin) for (origin,) in rows(ground.database, ORIGINS)]
    assert sorted(origins) == list(range(30))


ORIGINS = "SELECT origin FROM media_creation_request"


def test_writers_that_wait_behind_a_lock_fail_in_time(ground: Ground) -> None:
    database = Database(ground.url, durable=False, wait=1.0)
    with ground.database.writing() as writer:
        writer.scalars(REQUESTS).all()
        with pytest.raises(OutOfResources, match="does not answer"), database.writing() as session:
            add_request(session)
        with pytest.raises(OutOfResources, match="does not answer"), database.connection():
            pass
        assert ground.count(MediaCreationRequest) == 0, "readers do not wait"
    assert database.hindered(300)
    with database.writing() as session:
        add_request(session)
    database.close()
    assert ground.count(MediaCreationRequest) == 1


@pytest.mark.parametrize(("durable", "level"), [(False, "off"), (True, "on")])
def test_a_commit_is_as_durable_as_configured(url: str, durable: bool, level: str) -> None:
    database = Database(url, durable=durable)
    with database.connection() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == level
    database.close()


def test_an_instance_is_stored_once_however_many_receive_it(ground: Ground) -> None:
    receivers = [Database(ground.url, durable=False) for _ in range(2)]
    sample = instance()
    errors: list[BaseException] = []

    def receive(receiver: Receiver) -> None:
        try:
            receiver.receive(sample.arriving(calling_ae_title="CT"))
        except BaseException as error:  # noqa: BLE001  the test shows what a thread raises
            errors.append(error)

    several = [Receiver(database, ground.spool) for database in receivers]
    for receiver in several:
        receiver.start()
    threads = [
        threading.Thread(target=receive, args=(receiver,)) for receiver in several for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for receiver in several:
        receiver.close()
    for database in receivers:
        database.close()
    assert errors == []
    assert ground.count(Instance) == 1
    assert len(ground.stored_keys()) == 1


def test_a_commit_of_another_process_wakes_up_a_thread(
    ground: Ground, stopping: threading.Event
) -> None:
    awake = threading.Semaphore(0)
    other = Database(ground.url, durable=False)

    def wait_for_work() -> None:
        with ground.database.wakeup(stopping, REQUESTS) as wakeup:
            while wakeup.wait():
                awake.release()

    thread = threading.Thread(target=wait_for_work)
    thread.start()
    assert awake.acquire(timeout=60), "at first there may be work"
    with other.writing() as session:
        add_request(session)
    assert awake.acquire(timeout=60)
    other.close()
    stopping.set()
    thread.join()


def test_a_server_that_goes_away_is_a_lack_of_resources(
    tmp_path: Path, stopping: threading.Event
) -> None:
    """Afterwards everything continues on new connections."""
    with postgresql.running() as server, ExitStack() as stack:
        url = server.create_database()
        schema.upgrade(url)
        ground = stack.enter_context(Ground(tmp_path, database=DatabaseSettings(url=url)))
        database = ground.database
        question = database.question(REQUESTS)
        wakeup = stack.enter_context(database.wakeup(stopping, REQUESTS))
        with database.writing() as session:
            request_id = add_request(session).id
        event = {"request_id": request_id, "at": datetime.now(UTC), "event": "NOTE"}

        def insert_event() -> bool:
            try:
                with database.connection() as connection:
                    connection.execute(insert(Event), event)
            except OutOfResources:
                return False
            return True

        assert insert_event()
        assert question.is_true()
        assert wakeup.wait()

        server.stop()
        with pytest.raises(OutOfResources), database.reading() as session:
            session.scalars(REQUESTS).all()
        with pytest.raises(OutOfResources), database.writing() as session:
            add_request(session)
        for _ in range(2):
            assert not insert_event()
        with pytest.raises(OutOfResources):
            question.is_true()
        assert wakeup.wait(), "the caller looks for work, and reports what is wrong"

        server.start()
        wait_until(insert_event)
        assert question.is_true()
        assert wakeup.wait()
        with database.writing() as session:
            add_request(session)
        assert ground.count(Event) == 2


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("mysql://burnish:s3cret@db/burnish", "SQLite and with PostgreSQL"),
        ("postgresql+psycopg2://burnish:s3cret@db/burnish", "SQLite and with PostgreSQL"),
        ("s3cret", "not a URL"),
    ],
)
def test_another_database_is_refused_without_its_password(address: str, reason: str) -> None:
    with pytest.raises(OperatorError, match=reason) as refused:
        Database(address)
    assert "s3cret" not in str(refused.value)


def test_the_driver_is_psycopg_if_the_url_names_none(url: str) -> None:
    schema.upgrade(url.replace("+psycopg", ""))
    database = Database(url.replace("+psycopg", ""))
    schema.check(database)
    database.close()


def test_a_driver_that_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with pytest.raises(OperatorError, match="psycopg is not installed") as refused:
        Database("postgresql://db/burnish")
    assert refused.value.hint == "pip install 'burnish[postgresql]'"


def test_media_contacts_and_counts_are_kept(ground: Ground) -> None:
    sample = instance(patient_name="Müller^Jürgen")
    receiver = Receiver(ground.database, ground.spool)
    receiver.receive(sample.arriving(calling_ae_title="CT1"))
    receiver.index()
    receiver.close()
    ground.admit([sample])
    Planner(ground.settings, ground.database, ground.spool).tick()
    Worker(ground.settings, ground.device, ground.database, ground.spool).make_all()
    recorder = ContactRecorder(ground.database)
    for _ in range(2):
        recorder.note(Contact("CT1", "BURNISH", "10.0.0.1", ContactOutcome.CONNECTED))
        recorder.flush()
    with ground.database.reading() as session:
        (entry,) = register.entries(session, RegisterFilter(text="muller"), limit=9)
        (contact,) = contacts.contacts(session, ground.settings, limit=9)
        measured = measures.measure(session, ground.settings)
        assert devices.fingerprint(session)
    assert entry.outcome == "created"
    assert contact.associations == 2
    assert measured.tallies[tallies.RECEIVED, "CT1"].count == 1
    assert measured.tallies[tallies.PIECES, "CREATED|outbox"].count == 1
    assert measured.pieces == {"CREATED": 1}
    assert measured.registered == 1
    with ground.database.writing() as session:
        session.execute(text("DELETE FROM registered_piece"))
    assert register.fill(ground.database, timedelta(days=1)) == 1
