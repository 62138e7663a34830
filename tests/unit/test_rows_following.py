"""Rows follow what was received: others wait for them, and what a dead process left is replayed."""

import io
import os
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import sqlite

from burnish import commitment
from burnish.db import instance_records, instance_rows, received_rows
from burnish.db.new_rows import NewRow
from burnish.db.session import Database
from burnish.db.tables import Instance, MediaCreationRequest, Segment
from burnish.errors import OutOfResources
from burnish.instance_header import header
from burnish.receive import Receiver, buffers
from burnish.receive import replay as replaying
from burnish.receive.following import rows_are_complete
from burnish.receive.replay import replay
from burnish.request import admission, operations
from burnish.settings import RequestSettings
from burnish.spool import appender, segment
from factories import Ground, SampleInstance, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def receiver(ground: Ground) -> Receiver:
    return Receiver(ground.database, ground.spool)


def accept(receiver: Receiver, *samples: SampleInstance) -> None:
    for sample in samples:
        receiver.receive(sample.arriving())


def die(receiver: Receiver) -> None:
    """As if the process of this receiver were killed: its segment has no owner any more."""
    os.close(receiver._appender._descriptor)
    receiver._appender._descriptor = -1


def rows(ground: Ground) -> list[Instance]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Instance).order_by(Instance.id)))


def segments(ground: Ground) -> list[Segment]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Segment)))


# --- waiting -------------------------------------------------------------------------------------


def test_rows_are_complete_once_all_that_was_acknowledged_has_its_row(
    ground: Ground, receiver: Receiver
) -> None:
    assert rows_are_complete(ground.database, ground.spool)
    accept(receiver, instance(), instance())
    assert not rows_are_complete(ground.database, ground.spool)
    assert not rows_are_complete(ground.database, ground.spool, 0.05)
    receiver.index()
    assert rows_are_complete(ground.database, ground.spool)
    receiver.close()
    assert rows_are_complete(ground.database, ground.spool)


def test_who_waits_for_rows_does_not_wait_for_those_that_come_later(
    ground: Ground, receiver: Receiver
) -> None:
    """Otherwise nothing would ever be complete while others send."""
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            accept(receiver, instance())

    receiver.start()
    sender = threading.Thread(target=send)
    sender.start()
    try:
        assert rows_are_complete(ground.database, ground.spool, 300)
    finally:
        stop.set()
        sender.join()
        receiver.close()


def test_an_instance_whose_row_follows_is_not_reported_as_missing(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance()
    accept(receiver, sample)
    uid = ground.create([sample])
    with ground.database.writing() as session:
        request_id = operations.initiate(session, RequestSettings(), uid).id
        assert not admission.admit(session, request_id, timedelta(0), rows_complete=False)
    receiver.index()
    with ground.database.writing() as session:
        assert admission.admit(session, request_id, timedelta(0))
        request = session.get_one(MediaCreationRequest, request_id)
        assert request.admitted_at
        assert request.failures == []


def test_a_commitment_waits_for_rows_that_follow(ground: Ground, receiver: Receiver) -> None:
    sample = instance()
    accept(receiver, sample)
    limits = ground.settings.storage_commitment.model_copy(
        update={"wait_for_instances": timedelta(0)}
    )
    settings = ground.settings.model_copy(update={"storage_commitment": limits})
    with ground.database.writing() as session:
        reference = (sample.sop_class_uid, sample.sop_instance_uid)
        commitment_id = commitment.request(
            session, "1.2.3", [reference], calling_ae_title="CT", called_ae_title="BURNISH"
        )
        assert not commitment.judge(
            session, settings, ground.spool, commitment_id, rows_complete=False
        )
    receiver.index()
    with ground.database.writing() as session:
        assert commitment.judge(session, settings, ground.spool, commitment_id)
        report = commitment.claim(session, commitment_id, early=True)
    assert report is not None
    assert not report.failed


def test_a_segment_is_not_recorded_as_sealed_before_its_instances_have_rows(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody replays a sealed segment: after a crash its instances would never get their rows."""
    accept(receiver, instance(), instance())
    receiver._appender.seal()

    def fail(*_: object) -> None:
        raise OutOfResources("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(received_rows.RowRecorder, "record", fail)
        with pytest.raises(OutOfResources):
            receiver.index()
    assert [row.name for row in segments(ground) if row.sealed_at] == []
    receiver.index()
    assert len(rows(ground)) == 2
    (row,) = segments(ground)
    assert row.sealed_at


# --- replay --------------------------------------------------------------------------------------


def test_what_a_dead_process_left_is_replayed_and_sealed(
    ground: Ground, receiver: Receiver
) -> None:
    samples = [instance(instance_number=number) for number in range(5)]
    accept(receiver, *samples[:2])
    receiver.index()
    accept(receiver, *samples[2:])
    expected = {sample.sop_instance_uid: sample.data_set for sample in samples}
    assert replay(ground.database, ground.spool, "newest") == 0, "its process lives"
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == 3
    assert replay(ground.database, ground.spool, "newest") == 0
    stored = {
        row.sop_instance_uid: ground.stored_file(row)[row.data_set_offset :] for row in rows(ground)
    }
    assert stored == expected
    (row,) = segments(ground)
    path = segment.path(ground.spool.segments, row.name)
    assert row.sealed_at
    assert row.sealed_size == row.indexed_offset == path.stat().st_size
    assert row.digest.startswith("blake3:")


@pytest.mark.parametrize("count", [2, 3, 4, 6, 7])
def test_every_batch_of_a_segment_is_replayed(
    count: int, ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_BATCH", 3)
    samples = [instance(instance_number=number) for number in range(count)]
    accept(receiver, *samples)
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == count
    assert {row.sop_instance_uid for row in rows(ground)} == {
        sample.sop_instance_uid for sample in samples
    }


def test_a_released_instance_is_not_replayed_and_is_not_called_torn(
    ground: Ground, receiver: Receiver
) -> None:
    accept(receiver, instance(instance_number=1), instance(instance_number=2))
    receiver.index()
    released, kept = rows(ground)
    ground.spool.erase(released.spool_key, released.size)
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(Segment))
    die(receiver)
    with structlog.testing.capture_logs() as lines:
        assert replay(ground.database, ground.spool, "newest") == 1
    assert [row.sop_instance_uid for row in rows(ground)] == [kept.sop_instance_uid]
    assert "torn instance removed" not in {line["event"] for line in lines}


def test_a_replayed_row_is_the_row_that_the_receiver_would_have_inserted(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance(patient_name="Äneas^Ö", instance_number=None, size=5000)
    accept(receiver, sample)
    receiver.index()
    (before,) = rows(ground)
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        session.execute(delete(Segment))
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == 1
    (after,) = rows(ground)
    for column in Instance.__table__.columns:
        assert getattr(before, column.name) == getattr(after, column.name), column


def test_a_header_of_another_version_is_read_again(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = instance(patient_id="RIGHT")
    with monkeypatch.context() as patch:
        patch.setattr(instance_records, "HEADER_INDEX_VERSION", 0)
        encode = instance_records.encode

        def encode_as_before(row: NewRow, **options: bool) -> bytes:
            earlier_row = NewRow.of({**row.columns(), "patient_id": "as read before"})
            return encode(earlier_row, **options)

        patch.setattr(instance_records, "encode", encode_as_before)
        accept(receiver, sample)
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == 1
    assert [row.patient_id for row in rows(ground)] == ["RIGHT"]


def test_a_large_instance_is_replayed_from_its_record(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 1000)
    kept, lost = instance(size=5000), instance(size=5000)
    accept(receiver, lost)
    (key,) = ground.spool.published_keys()
    accept(receiver, kept)
    ground.spool.remove(key)
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == 1
    (row,) = rows(ground)
    assert ground.stored_file(row)[row.data_set_offset :] == kept.data_set


@pytest.mark.parametrize("torn", ["payload", "header", "cut"])
def test_what_is_torn_was_never_acknowledged_and_is_not_replayed(
    ground: Ground, receiver: Receiver, torn: str
) -> None:
    samples = [instance(size=5000), instance(size=5000)]
    accept(receiver, *samples)
    die(receiver)
    (name,) = segment.names(ground.spool.segments)
    path = segment.path(ground.spool.segments, name)
    with path.open("r+b") as file:
        _, last = segment.records(file.fileno())
        if torn == "cut":
            file.truncate(last.payload + 3000)
        else:
            file.seek(last.payload + 3000 if torn == "payload" else last.offset + 20)
            file.write(b"torn")
    assert replay(ground.database, ground.spool, "newest") == 1
    assert [row.sop_instance_uid for row in rows(ground)] == [samples[0].sop_instance_uid]
    assert len(ground.stored_keys()) == 1
    assert rows_are_complete(ground.database, ground.spool)


def test_a_database_that_was_restored_gets_what_came_since(
    ground: Ground, receiver: Receiver, tmp_path: Path
) -> None:
    """Also of sealed segments, and without those that were released since."""
    first, released, last = (instance(instance_number=number) for number in range(3))
    accept(receiver, first)
    receiver.index()
    ground.database.close()
    shutil.copy(tmp_path / "burnish.db", tmp_path / "backup")
    accept(receiver, released, last)
    receiver.close()
    row = rows(ground)[1]
    ground.spool.erase(row.spool_key, row.size)
    ground.database.close()
    for path in tmp_path.glob("burnish.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup", tmp_path / "burnish.db")
    ground.database = Database(ground.url, durable=False)
    assert replay(ground.database, ground.spool, "newest") == 1
    assert [row.sop_instance_uid for row in rows(ground)] == [
        first.sop_instance_uid,
        last.sop_instance_uid,
    ]
    assert len(ground.stored_keys()) == 2


def test_rows_that_are_there_already_are_not_inserted_again(
    ground: Ground, receiver: Receiver
) -> None:
    """A recovered database has rows, but does not know how far the segments have theirs."""
    contents = [instance(sop_instance_uid="1.2.3", patient_id=f"P{number}") for number in range(3)]
    accept(receiver, *contents)
    receiver.index()
    with ground.database.writing() as session:
        session.execute(delete(Segment))
    die(receiver)
    assert replay(ground.database, ground.spool, "newest") == 0
    assert [row.patient_id for row in rows(ground)] == ["P0", "P1", "P2"]
    assert [row.replaced_at is None for row in rows(ground)] == [False, False, True]
    assert len(ground.stored_keys()) == 3


def test_the_content_that_arrived_later_counts_whichever_is_indexed_first(ground: Ground) -> None:
    first, second = (Receiver(ground.database, ground.spool) for _ in range(2))
    older, newer = (instance(sop_instance_uid="1.2.3", patient_id=uid) for uid in ("OLD", "NEW"))
    accept(first, older)
    accept(second, newer)
    second.index()
    with structlog.testing.capture_logs() as logs:
        first.index()
    by_patient = {row.patient_id: row.replaced_at for row in rows(ground)}
    assert by_patient["NEW"] is None
    assert by_patient["OLD"] is not None
    assert [event["event"] for event in logs] == ["instance replaced"]


def test_the_same_content_from_two_receivers_is_one_row(ground: Ground) -> None:
    receivers = [Receiver(ground.database, ground.spool) for _ in range(2)]
    sample = instance()
    for receiver in receivers:
        accept(receiver, sample)
    for receiver in receivers:
        receiver.index()
    assert len(rows(ground)) == len(ground.stored_keys()) == 1


def test_if_the_first_content_counts_a_replay_keeps_it(ground: Ground) -> None:
    """Its receiver was killed before it had an answer for the second content."""
    first, second = (Receiver(ground.database, ground.spool, same_uid="first") for _ in range(2))
    older, newer = (instance(sop_instance_uid="1.2.3", patient_id=uid) for uid in ("OLD", "NEW"))
    other = instance(patient_id="OTHER")
    accept(first, older)
    first.close()
    second.index = second._indexer.index = lambda: None  # type: ignore[method-assign]
    second._wait_for_verdict = lambda _arrival: None  # type: ignore[method-assign]
    accept(second, newer, other)
    die(second)
    assert replay(ground.database, ground.spool, "first") == 1
    assert [row.patient_id for row in rows(ground)] == ["OLD", "OTHER"]
    assert ground.stored_keys() == sorted(row.spool_key for row in rows(ground))


@pytest.mark.parametrize("microsecond", [0, 7, 123_456])
def test_times_are_written_as_everywhere_in_the_database(microsecond: int) -> None:
    """Those of received instances are written by hand, which is quicker."""
    time = datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=UTC)
    dialect = sqlite.dialect()
    bind = Instance.__table__.c.received_at.type.dialect_impl(dialect).bind_processor(dialect)
    received_us = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert received_rows._time_in_sqlite(received_us) == bind(time)


def test_rows_of_any_number_are_all_inserted(ground: Ground, receiver: Receiver) -> None:
    """Those of a series go into the database by statements of many rows, the rest one by one."""
    samples = [
        instance(instance_number=number, series=f"1.2.3.{number % 2 if number < 150 else number}")
        for number in range(153)
    ]
    accept(receiver, *samples)
    receiver.index()
    accept(receiver, samples[0])
    receiver.index()
    stored = {row.sop_instance_uid: row for row in rows(ground)}
    assert len(stored) == len(samples)
    for number, sample in enumerate(samples):
        row = stored[sample.sop_instance_uid]
        data_set = sample.data_set
        of_sample = header.index(data_set, len(data_set), sample.transfer_syntax_uid, io.BytesIO)
        for name, value in instance_rows.header_values(of_sample).items():
            assert getattr(row, name) == value, (number, name)
        assert ground.stored_file(row)[row.data_set_offset :] == data_set


def test_a_segment_that_has_no_record_yet_is_removed(ground: Ground) -> None:
    log = appender.Appender(ground.spool.segments, lambda _: None, durable=False)
    log._begin_segment()
    os.close(log._descriptor)
    left = segment.unfinished_path(ground.spool.segments, segment.new_name())
    left.write_bytes(b"")
    hollow = segment.path(ground.spool.segments, segment.new_name())
    hollow.write_bytes(bytes(1000))
    assert replay(ground.database, ground.spool, "newest") == 0
    assert list(ground.spool.segments.iterdir()) == []
    assert segments(ground) == []


def test_a_segment_whose_header_is_damaged_is_kept_and_told(
    ground: Ground, receiver: Receiver
) -> None:
    accept(receiver, instance())
    receiver.close()
    (name,) = segment.names(ground.spool.segments)
    path = segment.path(ground.spool.segments, name)
    with path.open("r+b") as file:
        file.write(b"\xff")
    damaged = path.read_bytes()
    with ground.database.connection() as connection:
        connection.execute(delete(Segment))
    with structlog.testing.capture_logs() as lines:
        assert replay(ground.database, ground.spool, "newest") == 0
    assert path.read_bytes() == damaged
    assert [(line["event"], line["segment"]) for line in lines] == [
        ("segment cannot be read", name)
    ]


def test_a_segment_that_a_live_process_is_creating_is_kept(ground: Ground) -> None:
    segments = ground.spool.segments
    being_created = segment.unfinished_path(segments, segment.new_name())
    left = segment.unfinished_path(segments, segment.new_name())
    left.touch()
    descriptor = os.open(being_created, os.O_CREAT | os.O_RDWR)
    try:
        assert segment.lock(descriptor)
        replay(ground.database, ground.spool, "newest")
    finally:
        os.close(descriptor)
    assert being_created.exists()
    assert not left.exists()


def test_an_old_row_of_a_segment_is_not_set_back(ground: Ground, receiver: Receiver) -> None:
    accept(receiver, instance())
    receiver.index()
    (before,) = segments(ground)
    with ground.database.connection() as connection:
        received_rows.set_indexed_offsets(connection, {before.name: before.indexed_offset})
    assert segments(ground)[0].indexed_offset == before.indexed_offset
    with ground.database.writing() as session:
        session.execute(update(Segment).values(indexed_offset=segment.HEADER_SIZE))
    assert not rows_are_complete(ground.database, ground.spool)
