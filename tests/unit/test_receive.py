"""Receiving: durable before it is answered, once for each instance, and nothing by halves."""

import errno
import io
import os
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, groupby
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from sqlalchemy import select, update
from sqlalchemy.exc import DatabaseError, OperationalError

from burnish.db import received_rows
from burnish.db.session import Database
from burnish.db.tables import Instance
from burnish.dicom_elements import encode
from burnish.errors import (
    BurnishError,
    InvalidUID,
    Mismatch,
    OtherContent,
    OutOfResources,
    Unreadable,
)
from burnish.file_slice import Slice
from burnish.identifiers import new_uid
from burnish.instance_header import header
from burnish.instance_header.alike import LastKind
from burnish.receive import Incoming, Origin, Receiver, buffers
from burnish.receive import incoming as arriving
from burnish.receive import indexer as indexing
from burnish.receive import receiver as receiving
from burnish.spool import Spool, segment
from digesting import digest_of
from factories import CT, HANGING_PROTOCOL, Ground, SampleInstance, instance
from locks import locked
from waiting import wait_until


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def receiver(ground: Ground) -> Receiver:
    return Receiver(ground.database, ground.spool)


def begin(receiver: Receiver, sample: SampleInstance, **identity: str) -> Incoming:
    values = {
        "sop_class_uid": sample.sop_class_uid,
        "sop_instance_uid": sample.sop_instance_uid,
        "transfer_syntax_uid": sample.transfer_syntax_uid,
        "calling_ae_title": "MODALITY",
        "called_ae_title": "BURNISH",
    }
    return receiver.open(**{**values, **identity})


def send(receiver: Receiver, sample: SampleInstance, **identity: str) -> None:
    incoming = begin(receiver, sample, **identity)
    data = sample.data_set
    for start in range(0, len(data), 1000):
        incoming.write(memoryview(data)[start : start + 1000])
    receiver.accept(incoming)
    receiver.index()


def accept(receiver: Receiver, sample: SampleInstance, **identity: str) -> None:
    """As `send`, but the row is left to follow."""
    incoming = begin(receiver, sample, **identity)
    incoming.write(memoryview(sample.data_set))
    receiver.accept(incoming)


def rows(ground: Ground) -> list[Instance]:
    with ground.database.reading() as session:
        return list(session.scalars(select(Instance).order_by(Instance.id)))


def test_an_accepted_instance_has_its_file_and_its_row(ground: Ground, receiver: Receiver) -> None:
    sample = instance(size=200_000)
    send(receiver, sample)
    (row,) = rows(ground)
    assert row.sop_instance_uid == sample.sop_instance_uid
    assert row.sop_class_uid == CT
    assert row.calling_ae_title == "MODALITY"
    assert row.called_ae_title == "BURNISH"
    assert row.patient_id == "P1"
    assert row.study_instance_uid == "1.2.3.1"
    assert row.released_at is None
    file = ground.stored_file(row)
    assert len(file) == row.size
    assert file[row.data_set_offset :] == sample.data_set
    assert file[128:132] == b"DICM"
    assert os.listdir(ground.spool.incoming) == []


@pytest.mark.parametrize("size", [400, 65_534, 65_536, 98_302, 98_304, 98_306, 300_000])
def test_fragmentation_makes_no_difference(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 98_304)
    chance = random.Random(size)
    rest = len(instance(sop_instance_uid="1.2.3", pixels=encode(0x7FE00010, b"OB", b"")).data_set)
    for number, most in enumerate((1, 999, 16_372, 32_768, 70_000, 131_066)):
        pixels = encode(0x7FE00010, b"OB", chance.randbytes(size - rest))
        sample = instance(sop_instance_uid="1.2.3", pixels=pixels)
        assert len(sample.data_set) == size
        incoming = begin(receiver, sample)
        rest_of_data = memoryview(sample.data_set)
        while rest_of_data:
            count = chance.randint(most // 2, most)
            if chance.random() < 0.5:
                room = incoming.room()
                count = min(count, len(room), len(rest_of_data))
                room[:count] = rest_of_data[:count]
                incoming.received(count)
            else:
                incoming.write(rest_of_data[:count])
            rest_of_data = rest_of_data[count:]
        receiver.accept(incoming)
        receiver.index()
        row = rows(ground)[number]
        assert bool(incoming.key) is (size > 98_304)
        assert row.digest == digest_of(sample.data_set)
        assert ground.stored_file(row)[row.data_set_offset :] == sample.data_set


@pytest.mark.parametrize("size", [64, 100_000])
def test_an_instance_is_on_disk_before_it_is_acknowledged(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """And its row need not be: it follows. A file of its own is on disk before its record is."""
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    spool = Spool(ground.settings.storage.root / "durable", durable=True)
    receiver = Receiver(ground.database, spool)
    accept(receiver, instance())  # the segment is there
    order: list[str] = []

    def noting(name: str, call: Any) -> Any:
        def noted(descriptor: int, *arguments: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            order.append(f"{name} {Path(path).suffix or Path(path).parent.parent.name}")
            return call(descriptor, *arguments)

        return noted

    for name in ("pwritev", "fdatasync", "fsync"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    accept(receiver, instance(size=size))
    order.append("answer")
    own_file = ["fsync instances", "fsync durable"] if size > 65_536 else []
    assert order == [*own_file, "pwritev .seg", "fdatasync .seg", "answer"]
    assert rows(ground) == []
    receiver.close()
    assert len(rows(ground)) == 2


def test_many_at_once_are_made_durable_in_groups(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, groups = threading.Event(), []
    pwritev = os.pwritev
    accept(receiver, instance())

    def slow(descriptor: int, parts: list[bytes], offset: int) -> int:
        groups.append(offset)
        gate.wait(300)
        return pwritev(descriptor, parts, offset)

    monkeypatch.setattr(os, "pwritev", slow)
    samples = [instance(instance_number=n) for n in range(20)]
    threads = [threading.Thread(target=accept, args=(receiver, sample)) for sample in samples]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(receiver._appender._pending) == 19)
    gate.set()
    for thread in threads:
        thread.join()
    assert len(groups) == 2
    receiver.index()
    received = {row.sop_instance_uid for row in rows(ground)}
    assert received >= {sample.sop_instance_uid for sample in samples}
    assert len(ground.stored_keys()) == 21


def test_the_same_instance_again_is_a_success_and_no_second_row(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance()
    for _ in range(3):
        send(receiver, sample)
    assert len(rows(ground)) == 1
    assert ground.stored_keys() == [rows(ground)[0].spool_key]


@pytest.fixture
def strict(ground: Ground) -> Receiver:
    """A receiver for which the first content of a SOP Instance UID counts."""
    return Receiver(ground.database, ground.spool, same_uid="first")


@pytest.mark.parametrize("changed", ["content", "transfer syntax"])
def test_if_the_first_content_counts_other_content_is_refused(
    ground: Ground, strict: Receiver, changed: str
) -> None:
    sample = instance()
    send(strict, sample)
    before = rows(ground)[0].digest
    other, identity = sample, {"transfer_syntax_uid": "1.2.840.10008.1.2.4.50"}
    if changed == "content":
        other, identity = instance(sop_instance_uid=sample.sop_instance_uid, patient_id="P2"), {}
    with pytest.raises(OtherContent):
        send(strict, other, **identity)
    assert [row.digest for row in rows(ground)] == [before]
    assert len(ground.stored_keys()) == 1


def test_if_the_first_content_counts_the_same_data_in_another_encoding_are_a_success(
    ground: Ground, strict: Receiver
) -> None:
    sample = instance()
    send(strict, sample)
    with ground.database.writing() as session:
        session.execute(update(Instance).values(received_at=datetime(2020, 1, 1, tzinfo=UTC)))
    implicit = in_implicit_vr(sample)
    send(strict, implicit, transfer_syntax_uid=implicit.transfer_syntax_uid)
    (row,) = rows(ground)
    assert row.digest == digest_of(sample.data_set)
    assert row.received_at.year > 2020
    assert ground.stored_keys() == [row.spool_key]


def in_implicit_vr(sample: SampleInstance) -> SampleInstance:
    data_set = dcmread(io.BytesIO(sample.data_set), force=True)
    target = io.BytesIO()
    data_set.save_as(target, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return SampleInstance(
        sample.sop_class_uid, sample.sop_instance_uid, "1.2.840.10008.1.2", target.getvalue()
    )


def test_newer_content_replaces_the_older_one_which_stays_beside_it(
    ground: Ground, receiver: Receiver
) -> None:
    wrong = instance(patient_name="WRONG^NAME", patient_id="W1")
    right = instance(
        sop_instance_uid=wrong.sop_instance_uid, patient_name="RIGHT^NAME", patient_id="R1"
    )
    send(receiver, wrong)
    with structlog.testing.capture_logs() as logs:
        send(receiver, right, calling_ae_title="ARCHIVE")
    older, newer = rows(ground)
    assert older.replaced_at is not None
    assert older.replaced_at >= older.received_at
    assert newer.replaced_at is None
    assert older.released_at is None
    assert newer.released_at is None
    assert older.patient_id == "W1"
    assert newer.patient_id == "R1"
    for row, sample in ((older, wrong), (newer, right)):
        assert ground.stored_file(row)[row.data_set_offset :] == sample.data_set
    (event,) = [event for event in logs if event["event"] == "instance replaced"]
    assert event["calling_ae_title"] == "ARCHIVE"
    assert event["older_calling_ae_title"] == "MODALITY"
    assert event["sop_instance_uid"] == wrong.sop_instance_uid
    assert event["changed"] == "Patient's Name, Patient ID"
    assert "RIGHT" not in str(event)


@pytest.mark.parametrize("together", [False, True])
def test_what_arrives_later_is_newer_also_if_the_clock_is_set_back(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    clock = [1_780_000_000_000_000_000]
    monkeypatch.setattr(receiving, "time_ns", lambda: clock[0])
    wrong = instance(patient_id="WRONG")
    right = instance(sop_instance_uid=wrong.sop_instance_uid, patient_id="R1")
    accept(receiver, wrong)
    if not together:
        receiver.index()
    clock[0] -= 3600 * 1_000_000_000
    accept(receiver, right)
    receiver.index()
    (newest,) = [row for row in rows(ground) if row.replaced_at is None]
    assert newest.patient_id == "R1"


def test_the_same_image_in_another_encoding_is_newer_content(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance()
    send(receiver, sample)
    implicit = in_implicit_vr(sample)
    send(receiver, implicit, transfer_syntax_uid=implicit.transfer_syntax_uid)
    older, newer = rows(ground)
    assert older.replaced_at is not None
    assert newer.transfer_syntax_uid == "1.2.840.10008.1.2"


def test_the_newest_content_again_is_a_success_and_no_further_row(
    ground: Ground, receiver: Receiver
) -> None:
    contents = [instance(sop_instance_uid="1.2.3.4", patient_id=f"P{n}") for n in (1, 2)]
    for sample in (*contents, contents[1]):
        send(receiver, sample)
    assert [row.replaced_at is None for row in rows(ground)] == [False, True]
    assert len(ground.stored_keys()) == 2


def test_content_that_was_replaced_may_become_the_newest_again(
    ground: Ground, receiver: Receiver
) -> None:
    contents = [instance(sop_instance_uid="1.2.3.4", patient_id=f"P{n}") for n in (1, 2)]
    for sample in (*contents, contents[0]):
        send(receiver, sample)
    assert [row.patient_id for row in rows(ground)] == ["P1", "P2", "P1"]
    assert [row.replaced_at is None for row in rows(ground)] == [False, False, True]


@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=12), group=st.integers(1, 5))
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_content_that_was_received_last_is_the_newest(
    ground: Ground, receiver: Receiver, order: list[int], group: int
) -> None:
    """Alone or in one group with others: in the end one content is the newest, and it is right."""
    uid = new_uid()
    contents = [instance(sop_instance_uid=uid, patient_id=f"P{n}") for n in range(4)]
    for start in range(0, len(order), group):
        for number in order[start : start + group]:
            accept(receiver, contents[number])
        receiver.index()
    mine = [row for row in rows(ground) if row.sop_instance_uid == uid]
    newest = [row for row in mine if row.replaced_at is None]
    assert [row.digest for row in newest] == [digest_of(contents[order[-1]].data_set)]
    distinct = [number for number, _ in groupby(order)]
    assert len(mine) == len(distinct)
    assert all(ground.spool.slice(row.spool_key, row.size).is_whole() for row in mine)
    assert len(ground.stored_keys()) == len(rows(ground))


@pytest.mark.parametrize("harm", ["lost", "short"])
def test_a_file_that_was_lost_is_replaced_by_a_second_send(
    ground: Ground, receiver: Receiver, harm: str
) -> None:
    sample = instance()
    send(receiver, sample)
    (row,) = rows(ground)
    source = ground.spool.slice(row.spool_key, row.size)
    if harm == "lost":
        ground.spool.erase(row.spool_key, row.size)
    else:
        os.truncate(source.path, source.offset + 5)
    send(receiver, sample, calling_ae_title="OTHER_AE")
    (row,) = rows(ground)
    file = ground.stored_file(row)
    assert file[row.data_set_offset :] == sample.data_set
    assert len(file) == row.size


def test_a_file_that_cannot_be_read_does_not_keep_others_from_their_rows(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = instance()
    send(receiver, sample)
    (before,) = rows(ground)

    def fail(_: object) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    accept(receiver, sample)
    accept(receiver, instance())
    with monkeypatch.context() as patch:
        patch.setattr(Slice, "is_whole", fail)
        receiver.index()
    again, _ = rows(ground)
    assert again.spool_key != before.spool_key
    assert ground.stored_file(again)[again.data_set_offset :] == sample.data_set


def test_a_released_instance_may_be_sent_again(ground: Ground, receiver: Receiver) -> None:
    from datetime import UTC, datetime

    sample = instance()
    ground.store(sample, released_at=datetime.now(UTC))
    send(receiver, sample)
    assert len(rows(ground)) == 2


def test_duplicates_in_one_group_are_stored_once(ground: Ground, strict: Receiver) -> None:
    samples = [instance(sop_instance_uid="1.2.3.4", patient_id=f"P{n}") for n in (1, 1, 2)]
    outcomes: list[type | None] = []

    def send_sample(sample: SampleInstance) -> None:
        try:
            send(strict, sample)
            outcomes.append(None)
        except BurnishError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=send_sample, args=(sample,)) for sample in samples]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows(ground)) == len(ground.stored_keys()) == 1
    refused = 1 if rows(ground)[0].patient_id == "P1" else 2
    assert outcomes.count(OtherContent) == refused


@pytest.mark.parametrize("size", [64, 100_000])
def test_if_the_first_content_counts_the_room_of_what_is_refused_is_given_back(
    ground: Ground, strict: Receiver, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """In the segment and, for a large instance, as a file of its own."""
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    first = instance(sop_instance_uid="1.2.3.4", patient_id="P1", size=size)
    other = instance(sop_instance_uid="1.2.3.4", patient_id="P2", size=size)
    send(strict, first)
    with pytest.raises(OtherContent):
        send(strict, other)
    (row,) = rows(ground)
    assert ground.stored_keys() == [row.spool_key]
    assert ground.stored_file(row)[row.data_set_offset :] == first.data_set
    (name,) = segment.names(ground.spool.segments)
    with segment.opened(ground.spool.segments, name) as descriptor:
        records = list(segment.all_records(descriptor))
    assert b"P2" not in b"".join(record.row for record in records if not record.has_own_file)


def test_if_the_first_content_counts_two_receivers_agree_on_it(ground: Ground) -> None:
    """Each content is in the segment of its receiver before either has a row."""
    receivers = [Receiver(ground.database, ground.spool, same_uid="first") for _ in range(2)]
    for receiver in receivers:
        receiver.start()
    contents = [instance(sop_instance_uid="1.2.3.4", patient_id=f"P{n}") for n in range(2)]
    outcomes: dict[str, str] = {}

    def send_sample(receiver: Receiver, sample: SampleInstance, patient_id: str) -> None:
        try:
            accept(receiver, sample)
            outcomes[patient_id] = "stored"
        except OtherContent:
            outcomes[patient_id] = "refused"

    threads = [
        threading.Thread(target=send_sample, args=(receiver, sample, f"P{n}"))
        for n, (receiver, sample) in enumerate(zip(receivers, contents, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for receiver in receivers:
        receiver.close()
    (row,) = rows(ground)
    assert sorted(outcomes.values()) == ["refused", "stored"]
    assert outcomes[row.patient_id] == "stored"
    assert ground.stored_keys() == [row.spool_key]


def test_if_the_first_content_counts_nobody_waits_until_rows_have_collected(
    ground: Ground, strict: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer waits for its row: to let rows collect would only make all of them wait."""
    monkeypatch.setattr(indexing, "_COLLECT", 1e9)
    monkeypatch.setattr(indexing, "_LONGEST_COLLECTION", 3600.0)
    strict.start()
    for number in range(3):
        accept(strict, instance(instance_number=number))
    strict.close()
    assert len(rows(ground)) == 3


def test_a_padded_data_set_is_stored_without_its_padding(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance(size=70_000)
    padded = SampleInstance(
        CT, sample.sop_instance_uid, sample.transfer_syntax_uid, sample.data_set + bytes(2048)
    )
    with structlog.testing.capture_logs() as logs:
        send(receiver, padded)
    (row,) = rows(ground)
    file = ground.stored_file(row)
    assert file[row.data_set_offset :] == sample.data_set
    assert row.size == len(file)
    assert row.digest == digest_of(sample.data_set)
    assert [event["why"] for event in logs if event["event"] == "data set repaired"] == [
        "2048 zero bytes behind the data set removed"
    ]
    send(receiver, sample)
    assert len(rows(ground)) == 1


def test_an_odd_last_length_is_stored_as_an_even_one(ground: Ground, receiver: Receiver) -> None:
    sample = instance(size=70_143)
    head = sample.data_set[: -70_144 - 4]
    odd = head + (70_143).to_bytes(4, "little") + bytes(70_143)
    send(receiver, replace(sample, data_set=odd))
    (row,) = rows(ground)
    file = ground.stored_file(row)
    even = head + (70_144).to_bytes(4, "little") + bytes(70_144)
    assert file[row.data_set_offset :] == even
    assert row.digest == digest_of(even)


@pytest.mark.parametrize("repair", ["padding", "odd length"])
def test_a_file_of_its_own_that_is_repaired_has_the_digest_of_its_data_set(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, repair: str
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    sample = instance(size=200_143)
    data_set = sample.data_set + bytes(2048)
    if repair == "odd length":
        head = sample.data_set[: -200_144 - 4]
        data_set = head + (200_143).to_bytes(4, "little") + bytes(200_143)
    send(receiver, replace(sample, data_set=data_set))
    (row,) = rows(ground)
    assert "@" not in row.spool_key, "it has no file of its own"
    stored = ground.stored_file(row)[row.data_set_offset :]
    assert len(stored) == len(sample.data_set)
    assert row.digest == digest_of(stored)


@pytest.mark.parametrize("thread", ["of its own", "none: the buffer is small", "none can start"])
def test_a_file_of_its_own_is_written_in_order_with_or_without_a_thread(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    writers = set()
    write = os.write

    def noting(descriptor: int, content: memoryview) -> int:
        if "/incoming/" in os.readlink(f"/proc/self/fd/{descriptor}"):
            writers.add(threading.current_thread().name)
            content = content[:20_000]  # and a write may be short
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", noting)
    if "small" in thread:
        monkeypatch.setattr(buffers, "_MOST_BUFFERS", 0)
        monkeypatch.setattr(buffers, "_SMALL_SIZE", 6_553)
    if "start" in thread:
        monkeypatch.setattr(threading.Thread, "start", Mock(side_effect=RuntimeError))
    sample = instance(pixels=encode(0x7FE00010, b"OW", random.Random(1).randbytes(300_000)))
    send(receiver, sample)
    (row,) = rows(ground)
    assert ground.stored_file(row)[row.data_set_offset :] == sample.data_set
    assert row.digest == digest_of(sample.data_set)
    expected = {"MainThread", "own file"} if thread == "of its own" else {"MainThread"}
    assert writers == expected


def test_a_file_of_its_own_that_cannot_be_written_further_is_removed(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that writes it finds that out, and ends."""
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    write, counts = os.write, count()

    def failing(descriptor: int, content: memoryview) -> int:
        if "/incoming/" in os.readlink(f"/proc/self/fd/{descriptor}") and next(counts) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", failing)
    sample = instance(size=300_000)
    incoming = begin(receiver, sample)
    with pytest.raises(OutOfResources, match="No space left"):
        incoming.write(memoryview(sample.data_set))
    incoming.abandon()
    assert list(ground.spool.incoming.iterdir()) == []
    assert "own file" not in [thread.name for thread in threading.enumerate()]


def test_an_image_that_cannot_be_shown_is_stored_and_told(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance(pixels=encode(0x7FE00010, b"OW", bytes(50)))
    with structlog.testing.capture_logs() as logs:
        send(receiver, sample)
    (row,) = rows(ground)
    assert row.fault == "its Pixel Data (7FE0,0010) has 50 bytes, where 64 are required"
    (event,) = [event for event in logs if event["event"] == "instance is damaged"]
    assert event["why"] == row.fault


def test_text_in_a_character_set_that_is_not_known_is_told_once_for_each_series(
    ground: Ground, receiver: Receiver
) -> None:
    unknown = encode(0x00080005, b"CS", b"ISO_IR 999")
    with structlog.testing.capture_logs() as logs:
        for number in (1, 2, 3):
            sample = instance(instance_number=number)
            send(receiver, replace(sample, data_set=unknown + sample.data_set))
    texts = {row.fault for row in rows(ground)}
    why = "its Specific Character Set (0008,0005) has ISO_IR 999, which is not known"
    assert texts == {f"{why} (kept as it is)"}
    (event,) = [event for event in logs if event["event"] == "text of a series is in doubt"]
    assert event["why"].startswith(why)
    assert not [event for event in logs if event["event"] == "instance is damaged"]


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("uid", ["", "1.2.x", "1" * 65, "../../etc/passwd", "1..2"])
@pytest.mark.parametrize("keyword", ["sop_class_uid", "sop_instance_uid"])
def test_an_invalid_uid_is_refused(
    ground: Ground, receiver: Receiver, keyword: str, uid: str
) -> None:
    with pytest.raises(InvalidUID):
        begin(receiver, instance(), **{keyword: uid})
    assert ground.stored_keys() == []


@pytest.mark.parametrize(
    "identity",
    [{"sop_instance_uid": "1.2.3.99"}, {"sop_class_uid": HANGING_PROTOCOL}],
)
def test_a_data_set_that_contradicts_the_command_is_refused(
    ground: Ground, receiver: Receiver, identity: dict[str, str]
) -> None:
    with pytest.raises(Mismatch):
        send(receiver, instance(), **identity)
    assert ground.stored_keys() == rows(ground) == []


def test_a_refused_instance_with_a_file_of_its_own_leaves_nothing(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    with pytest.raises(Mismatch):
        send(receiver, instance(size=200_000), sop_instance_uid="1.2.3.99")
    assert list(ground.spool.incoming.iterdir()) == []
    assert ground.stored_keys() == []


def origin_of(sample: SampleInstance, sop_class_uid: str = "") -> Origin:
    return Origin(
        sop_class_uid=sop_class_uid or sample.sop_class_uid,
        transfer_syntax_uid=sample.transfer_syntax_uid,
        calling_ae_title="MODALITY",
        called_ae_title="BURNISH",
    )


@pytest.fixture
def series(receiver: Receiver) -> list[SampleInstance]:
    """Images of one series; those like them are known from then on."""
    images = [
        instance(instance_number=number, sop_instance_uid=f"1.2.{number}") for number in range(1, 9)
    ]
    for image in images[:2]:
        accept(receiver, image)
    return images


def test_an_instance_like_one_before_is_stored_as_any_other(
    ground: Ground, receiver: Receiver, series: list[SampleInstance], tmp_path: Path
) -> None:
    origin = origin_of(series[0])
    for image in series[2:]:
        assert header.index_alike(memoryview(image.data_set), image.transfer_syntax_uid, LastKind())
        data_set = bytearray(image.data_set)
        receiver.receive_from(origin, image.sop_instance_uid, memoryview(data_set))
        data_set[:] = bytes(len(data_set))  # what it was read into is used again
    receiver.index()
    with Ground(tmp_path / "other") as other:
        other_receiver = Receiver(other.database, other.spool)
        for image in series:
            accept(other_receiver, image)
        other_receiver.index()
        expected = [(row.digest, row.size, other.stored_file(row)) for row in rows(other)]
        columns = [column.name for column in Instance.__table__.columns]
        own = {"id", "spool_key", "received_at"}
        for row, other_row in zip(rows(ground), rows(other), strict=True):
            for name in columns:
                if name not in own:
                    assert getattr(row, name) == getattr(other_row, name), name
    assert [(row.digest, row.size, ground.stored_file(row)) for row in rows(ground)] == expected


def test_an_instance_like_one_before_is_refused_as_any_other(
    ground: Ground, receiver: Receiver, series: list[SampleInstance]
) -> None:
    image = series[2]
    data_set = memoryview(image.data_set)
    assert header.index_alike(data_set, image.transfer_syntax_uid, LastKind())
    for origin, uid, error in (
        (origin_of(image), "1.2.99", Mismatch),
        (origin_of(image), "1.2.x", InvalidUID),
        (origin_of(image, HANGING_PROTOCOL), image.sop_instance_uid, Mismatch),
        (origin_of(image, "x"), image.sop_instance_uid, InvalidUID),
    ):
        for _ in range(2):
            with pytest.raises(error):
                receiver.receive_from(origin, uid, data_set)
    receiver.index()
    assert [row.sop_instance_uid for row in rows(ground)] == ["1.2.1", "1.2.2"]


def test_nothing_waits_once_everything_has_its_row(ground: Ground, receiver: Receiver) -> None:
    for number in range(3):
        accept(receiver, instance(instance_number=number))
    assert receiver._indexer.waiting == 3
    receiver.index()
    assert receiver._indexer.waiting == 0
    assert len(rows(ground)) == 3


@pytest.mark.parametrize("values", [{"study": ""}, {"series": ""}, {"study": "1.2.x"}])
def test_an_instance_without_study_or_series_is_refused(
    ground: Ground, receiver: Receiver, values: dict[str, str]
) -> None:
    with pytest.raises(Mismatch):
        send(receiver, instance(**values))  # type: ignore[arg-type]
    assert ground.stored_keys() == rows(ground) == []


def test_an_instance_of_no_patient_needs_no_study(ground: Ground, receiver: Receiver) -> None:
    send(receiver, instance(sop_class_uid=HANGING_PROTOCOL, study="", series="", patient_id=""))
    assert rows(ground)[0].directory_record_type == "HANGING PROTOCOL"


def test_a_data_set_that_is_cut_short_is_refused(ground: Ground, receiver: Receiver) -> None:
    sample = instance(size=5000)
    short = SampleInstance(
        sample.sop_class_uid,
        sample.sop_instance_uid,
        sample.transfer_syntax_uid,
        sample.data_set[:-9],
    )
    with pytest.raises(Unreadable):
        send(receiver, short)
    assert ground.stored_keys() == rows(ground) == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(seed=st.integers(0, 1 << 32))
def test_a_damaged_data_set_is_stored_or_refused(
    ground: Ground, receiver: Receiver, seed: int
) -> None:
    """Whatever comes in, the answer is one of the errors of the tree, and nothing hangs."""
    chance = random.Random(seed)
    data = bytearray(instance(sop_instance_uid="1.2.3.4").data_set)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data) - 80)
        data[at] = chance.choice((0, 0xFF, 0x5C, 0x1B, chance.randrange(256)))
    syntax = chance.choice(
        ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99",
         "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.4.50")
    )  # fmt: skip
    before = len(ground.stored_keys())
    try:
        send(receiver, SampleInstance(CT, "1.2.3.4", syntax, bytes(data)))
    except BurnishError:
        assert len(ground.stored_keys()) == before
    assert not receiver._appender._has_leader


# --- no room -------------------------------------------------------------------------------------


def descriptors(ground: Ground) -> int:
    """How many lead into the spool; those of other threads of this process do not count."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{name}").startswith(str(ground.spool.incoming))
    return count


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "rename"])
def test_a_disk_that_fails_for_a_file_of_its_own_leaves_nothing(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    spool = Spool(ground.settings.storage.root / "spool", durable=True)
    receiver = Receiver(ground.database, spool)
    before = descriptors(ground)
    for _ in range(3):
        incoming = begin(receiver, instance(size=200_000))
        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            with pytest.raises(OutOfResources):  # noqa: PT012  in one of the two
                incoming.write(memoryview(instance(sop_instance_uid="1.2", size=200_000).data_set))
                incoming.sop_instance_uid = "1.2"
                receiver.accept(incoming)
        incoming.abandon()
    assert descriptors(ground) == before, "a descriptor is left open each time"
    assert ground.stored_keys() == []
    send(receiver, instance(size=200_000))
    assert len(ground.stored_keys()) == len(rows(ground)) == 1


def test_a_disk_that_fills_up_while_an_instance_arrives_keeps_nothing(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    real, left = os.write, [70_000]

    def write(descriptor: int, data: bytes) -> int:
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(descriptor, bytes(data)[: left[0]])
        left[0] -= count
        return count

    before = descriptors(ground)
    incoming = begin(receiver, instance())
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OutOfResources):
            incoming.write(memoryview(bytes(200_000)))
    incoming.abandon()
    assert descriptors(ground) == before
    assert ground.stored_keys() == rows(ground) == []


@pytest.mark.parametrize("call", ["open", "pwritev"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_what_cannot_be_appended_is_not_acknowledged(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    sample = instance()
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        if call != "posix_fallocate":  # only the room in advance
            for _ in range(3):
                with pytest.raises(OutOfResources):
                    accept(receiver, instance())
        else:
            accept(receiver, sample)
    receiver.index()
    expected = int(call == "posix_fallocate")
    assert len(rows(ground)) == len(ground.stored_keys()) == expected
    send(receiver, instance())
    assert len(rows(ground)) == len(ground.stored_keys()) == expected + 1


def test_what_was_not_synced_is_not_acknowledged(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel reports a failed sync once: whether the next one succeeds says nothing."""
    receiver = Receiver(ground.database, Spool(ground.settings.storage.root / "d", durable=True))
    fdatasync, fails = os.fdatasync, [False, True]

    def sync(descriptor: int) -> None:
        if fails and fails.pop(0):
            raise OSError(errno.EIO, "Input/output error")
        fdatasync(descriptor)

    monkeypatch.setattr(os, "fdatasync", sync)
    send(receiver, instance(patient_id="FIRST"))
    with pytest.raises(OutOfResources):
        send(receiver, instance(patient_id="REFUSED"))
    send(receiver, instance(patient_id="LAST"))
    first, last = rows(ground)
    assert [first.patient_id, last.patient_id] == ["FIRST", "LAST"]
    assert first.spool_key.partition("@")[0] != last.spool_key.partition("@")[0]


def failing_record(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("INSERT", {}, Exception("database or disk is full")),
        DatabaseError("INSERT", {}, Exception("database disk image is malformed")),
        OutOfResources("the database does not answer"),
    ],
)
def test_rows_that_cannot_be_inserted_follow_later(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    samples = [instance(instance_number=number) for number in range(3)]
    with monkeypatch.context() as patch:
        patch.setattr(received_rows._Insertion, "insert", failing_record(error))
        for sample in samples:
            accept(receiver, sample)
            with pytest.raises(OutOfResources):
                receiver.index()
    assert rows(ground) == []
    receiver.index()
    assert [row.sop_instance_uid for row in rows(ground)] == [
        sample.sop_instance_uid for sample in samples
    ]


def test_too_many_instances_without_a_row_are_refused(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "MOST_WAITING", 3)
    away = OutOfResources("the database does not answer")
    with monkeypatch.context() as patch:
        patch.setattr(received_rows._Insertion, "insert", failing_record(away))
        receiver.start()
        for number in range(3):
            accept(receiver, instance(instance_number=number))
        with pytest.raises(OutOfResources):
            begin(receiver, instance())
    receiver.close()
    assert len(rows(ground)) == 3


def test_a_thread_without_an_answer_from_the_database_goes_on_when_there_is_one(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an error that nobody thought of."""
    monkeypatch.setattr(indexing, "_RETRY", 0.01)
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as logs:
        patch.setattr(received_rows._Insertion, "insert", failing_record(RuntimeError("a defect")))
        receiver.start()
        accept(receiver, instance())
        wait_until(lambda: any(event.get("exc_info") for event in logs))
    wait_until(lambda: len(rows(ground)) == 1)
    accept(receiver, instance())
    wait_until(lambda: len(rows(ground)) == 2)
    receiver.close()


@pytest.mark.parametrize("first_counts", [False, True])
def test_a_value_that_the_database_cannot_hold_is_refused_before_it_is_stored(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, first_counts: bool
) -> None:
    """NUL on PostgreSQL; on SQLite it is a character like others."""
    same_uid: Any = "first" if first_counts else "newest"
    receiver = Receiver(ground.database, ground.spool, same_uid=same_uid)
    bad = instance(patient_id="B\0D")
    with monkeypatch.context() as patch:
        patch.setattr(Database, "holds_nul", False)
        with pytest.raises(Unreadable, match="cannot be stored"):
            send(receiver, bad)
        send(receiver, instance())
    assert [row.patient_id for row in rows(ground)] == ["P1"]
    assert len(ground.stored_keys()) == 1


def test_a_value_that_the_database_refuses_concerns_its_instance_alone(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such an instance was acknowledged: it stays in the spool, and the log says so."""
    record_in = received_rows.RowRecorder.record_in

    def refuse(recorder: Any, connection: Any, rows: Any, is_whole: Any) -> Any:
        if any(row["patient_id"] == "BAD" for row in rows):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return record_in(recorder, connection, rows, is_whole)

    monkeypatch.setattr(received_rows.RowRecorder, "record_in", refuse)
    monkeypatch.setattr(
        received_rows._Insertion, "insert", failing_record(OverflowError("too large"))
    )
    for patient_id in ("P1", "BAD", "P2"):
        accept(receiver, instance(patient_id=patient_id))
    with structlog.testing.capture_logs() as logs:
        receiver.index()
    assert [row.patient_id for row in rows(ground)] == ["P1", "P2"]
    assert len(ground.stored_keys()) == 3
    assert [event["event"] for event in logs] == ["instance without a row"]
    receiver.index()
    assert len(rows(ground)) == 2


def test_above_high_water_no_instance_is_begun(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground.spool, "_high_water", 0.0)
    with pytest.raises(OutOfResources):
        begin(receiver, instance())
    assert ground.stored_keys() == []


def test_an_instance_without_end_stops_at_high_water(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 1000)
    monkeypatch.setattr(arriving, "_ROOM_CHECK", 1000)
    incoming = begin(receiver, instance())
    incoming.write(memoryview(bytes(1500)))
    monkeypatch.setattr(ground.spool, "_high_water", 0.0)
    monkeypatch.setattr("burnish.spool._ROOM_CHECK_INTERVAL", 0.0)
    incoming.write(memoryview(bytes(400)))
    with pytest.raises(OutOfResources):
        incoming.write(memoryview(bytes(200)))
    incoming.abandon()
    assert ground.stored_keys() == []


def test_an_abandoned_instance_leaves_nothing(ground: Ground, receiver: Receiver) -> None:
    before = descriptors(ground)
    incoming = begin(receiver, instance())
    incoming.write(memoryview(b"the first bytes"))
    for _ in range(2):
        incoming.abandon()
    assert ground.stored_keys() == []
    assert descriptors(ground) == before


def test_an_instance_that_is_sent_again_counts_as_received_now(
    ground: Ground, receiver: Receiver
) -> None:
    sample = instance()
    send(receiver, sample)
    with ground.database.writing() as session:
        session.execute(update(Instance).values(received_at=datetime(2020, 1, 1, tzinfo=UTC)))
    before = ground.stored_keys()
    send(receiver, sample)
    assert rows(ground)[0].received_at > datetime.now(UTC) - timedelta(hours=1)
    assert ground.stored_keys() == before


@pytest.mark.parametrize("how", ["write", "close", "read"])
def test_a_disk_that_fails_completely_is_a_lack_of_resources(
    ground: Ground, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Also where not even what was begun can be removed again."""
    monkeypatch.setattr(buffers, "BUFFER_SIZE", 65_536)
    sample = instance(size=200_000)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    incoming = begin(receiver, sample)
    monkeypatch.setattr(ground.spool, "remove", fail)
    if how == "write":
        monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OutOfResources) as refused:  # noqa: PT012  one of them
        incoming.write(memoryview(sample.data_set))
        if how == "close":
            monkeypatch.setattr(os, "close", fail)
        elif how == "read":
            monkeypatch.setattr(header, "index_data_set", fail)
        receiver.accept(incoming)
    monkeypatch.undo()
    assert "Read-only" in str(refused.value)
    incoming.abandon()
    assert rows(ground) == []


def test_an_instance_that_waits_for_a_locked_database_gets_its_row_later(ground: Ground) -> None:
    ground.database.close()
    ground.database = Database(ground.url, durable=False, wait=0.1)
    receiver = Receiver(ground.database, ground.spool)
    with locked(ground.url):
        for number in range(3):
            accept(receiver, instance(instance_number=number))
            with pytest.raises(OutOfResources):
                receiver.index()
    assert rows(ground) == []
    receiver.index()
    assert len(rows(ground)) == len(ground.stored_keys()) == 3


def test_where_the_first_content_counts_no_answer_comes_without_the_database(
    ground: Ground,
) -> None:
    ground.database.close()
    ground.database = Database(ground.url, durable=False, wait=0.1)
    receiver = Receiver(ground.database, ground.spool, same_uid="first")
    sample = instance()
    with locked(ground.url), pytest.raises(OutOfResources):
        accept(receiver, sample)
    accept(receiver, sample)
    assert len(rows(ground)) == len(ground.stored_keys()) == 1
