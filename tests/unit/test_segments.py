"""Segments: what was appended can be read again; what is torn is told apart."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from burnish.errors import OutOfResources, Unreadable
from burnish.hashing import digest_of, new_hasher
from burnish.spool import appender as appending
from burnish.spool import segment
from burnish.spool.appender import Appender, PendingRecord, SealedSegment
from syncs import recorded_syncs
from waiting import wait_until

FILE_META = bytes(128) + b"DICM" + bytes(200)


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "SEGMENT_SIZE", 1 << 20)


class Log:
    """An appender whose notices are kept."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.notices: list[PendingRecord | SealedSegment] = []
        self.appender = Appender(folder, self.notices.extend, durable=durable)

    def append(self, data_set: bytes, row: bytes = b"row") -> PendingRecord:
        pending = prepared(data_set, row)
        self.appender.append(pending)
        return pending

    @property
    def sealed(self) -> list[SealedSegment]:
        return [notice for notice in self.notices if isinstance(notice, SealedSegment)]

    def paths(self) -> list[Path]:
        return [self.folder / f"{name}.seg" for name in segment.names(self.folder)]

    def close(self) -> None:
        self.appender.seal()
        for sealed_segment in self.sealed:
            os.close(sealed_segment.descriptor)
        self.notices.clear()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = Log(tmp_path / "segments", durable=True)
    yield opened
    opened.close()


def prepared(data_set: bytes, row: bytes = b"row") -> PendingRecord:
    hasher = new_hasher()
    hasher.update(data_set)
    header = segment.encode_record_header(row, FILE_META, len(data_set), hasher.digest())
    return PendingRecord(
        (header, FILE_META, data_set), len(header) + len(FILE_META) + len(data_set)
    )


def walked(path: Path) -> list[tuple[segment.SegmentRecord, bytes]]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [
            (record, os.pread(descriptor, record.size, record.payload))
            for record in segment.records(descriptor)
        ]
    finally:
        os.close(descriptor)


def test_what_was_appended_is_read_again_in_order(log: Log) -> None:
    contents = [bytes([number]) * (10 + 1000 * number) for number in range(20)]
    appended = [log.append(content, b"row %d" % len(content)) for content in contents]
    (path,) = log.paths()
    records = walked(path)
    assert [payload for _, payload in records] == [FILE_META + content for content in contents]
    assert [record.row for record, _ in records] == [b"row %d" % len(c) for c in contents]
    assert [record.payload for record, _ in records] == [entry.payload for entry in appended]
    assert [record.end for record, _ in records] == [entry.end for entry in appended]
    assert {entry.name for entry in appended} == {path.stem}
    assert all(record.offset % 8 == 0 for record, _ in records)
    assert log.notices == appended


def test_a_long_row_is_read_whole(log: Log) -> None:
    row = os.urandom(70_000)
    log.append(b"content", row)
    log.append(b"content")
    ((first, _), (second, _)) = walked(log.paths()[0])
    assert first.row == row
    assert second.row == b"row"


def test_a_record_of_a_file_of_its_own_has_no_payload(log: Log) -> None:
    header = segment.encode_record_header(b"row", FILE_META, 10**9, bytes(32), has_own_file=True)
    log.appender.append(PendingRecord((header,), len(header)))
    log.append(b"content")
    (own, _), (_, payload) = walked(log.paths()[0])
    assert own.has_own_file
    assert own.size == len(FILE_META) + 10**9
    assert payload == FILE_META + b"content"


def test_a_full_segment_is_sealed_with_its_size_and_the_digest_of_its_headers(log: Log) -> None:
    for number in range(30):
        log.append(bytes([number]) * 100_000)
    assert len(log.sealed) == len(log.paths()) - 1 == 2
    for sealed in log.sealed:
        path = log.folder / f"{sealed.name}.seg"
        records = walked(path)
        assert path.stat().st_size == sealed.size == records[-1][0].end
        assert sealed.digest == digest_of(b"".join(record.header for record, _ in records))


def test_a_segment_has_one_owner_until_its_seal_is_recorded(log: Log) -> None:
    log.append(b"content")
    descriptor = os.open(log.paths()[0], os.O_RDWR)
    assert not segment.lock(descriptor)
    log.appender.seal()
    assert not segment.lock(descriptor)
    os.close(log.sealed[0].descriptor)
    log.notices.clear()
    assert segment.lock(descriptor)
    os.close(descriptor)


def test_a_segment_without_records_is_not_kept(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", failing(errno.ENOSPC, after=1))
        with pytest.raises(OutOfResources):
            log.append(b"content")
    assert log.paths() == []
    log.append(b"content")
    assert len(log.paths()) == 1


def test_a_segment_is_durable_before_anything_is_appended_to_it(tmp_path: Path) -> None:
    """Its header before it gets its name, and then its name: a power failure would take both."""
    log = Log(tmp_path / "segments", durable=True)
    with recorded_syncs() as syncs:
        log.append(b"content")
    syncs.assert_durable(log.paths()[0])
    log.close()


def failing(number: int, *, after: int = 0) -> Any:
    """A system call that works so many times, then fails."""
    real, left = os.pwritev, [after]

    def call(*arguments: Any) -> int:
        if left[0]:
            left[0] -= 1
            return real(*arguments)
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("call", ["pwritev", "fdatasync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_after_a_failure_nothing_counts_and_a_new_segment_begins(
    log: Log, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    first = log.append(b"first")
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing(number))
        with pytest.raises(OutOfResources):
            log.append(b"refused")
    assert log.notices[0] is first
    (sealed,) = log.sealed
    assert sealed.size == first.end
    log.append(b"second")
    old, new = log.paths()
    if old.stem != first.name:
        old, new = new, old
    assert [payload for _, payload in walked(old)] == [FILE_META + b"first"]
    assert old.stat().st_size == sealed.size
    assert [payload for _, payload in walked(new)] == [FILE_META + b"second"]


def test_a_write_that_is_cut_short_is_completed(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwritev
    log.append(b"first")

    def short(descriptor: int, parts: Any, offset: int) -> int:
        return real(descriptor, [b"".join(parts)[:100]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    log.append(b"second" * 1000)
    assert walked(log.paths()[0])[1][1] == FILE_META + b"second" * 1000


def test_many_at_once_are_appended_by_one_write_and_one_sync(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, syncs = threading.Event(), []
    real = os.fdatasync

    def slow(descriptor: int) -> None:
        gate.wait(300)
        syncs.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow)
    contents = [b"content %d" % number for number in range(20)]
    threads = [threading.Thread(target=log.append, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(log.appender._pending) >= 19 - appending._LARGEST_GROUP)
    gate.set()
    for thread in threads:
        thread.join()
    payloads = [payload for _, payload in walked(log.paths()[0])]
    assert sorted(payloads) == sorted(FILE_META + content for content in contents)
    assert len(syncs) < len(contents)


def test_a_defect_while_a_group_is_written_acknowledges_nothing_of_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not to the threads that wait for the one that writes."""
    log.append(b"before")
    gate, calls = threading.Event(), []
    real = os.pwritev
    outcomes: dict[bytes, type[BaseException] | None] = {}

    def defective(descriptor: int, parts: Any, offset: int) -> int:
        calls.append(offset)
        if len(calls) > 1:
            raise MemoryError
        gate.wait(300)
        return real(descriptor, parts, offset)

    def append(content: bytes) -> None:
        try:
            log.append(content)
            outcomes[content] = None
        except (MemoryError, OutOfResources) as error:
            outcomes[content] = type(error)

    monkeypatch.setattr(os, "pwritev", defective)
    threads = [threading.Thread(target=append, args=(content,)) for content in (b"1", b"2", b"3")]
    threads[0].start()
    wait_until(lambda: calls)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(log.appender._pending) == 2)
    gate.set()
    for thread in threads:
        thread.join()
    assert outcomes.pop(b"1") is None
    assert set(outcomes.values()) == {MemoryError, OutOfResources}


def test_sealing_beside_appending_loses_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "segments", durable=False)
    contents = [b"content %d" % number for number in range(200)]

    def append(part: list[bytes]) -> None:
        for content in part:
            log.append(content)

    threads = [threading.Thread(target=append, args=(contents[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        log.appender.seal()
    for thread in threads:
        thread.join()
    payloads = [payload for path in log.paths() for _, payload in walked(path)]
    assert sorted(payloads) == sorted(FILE_META + content for content in contents)
    log.close()


@pytest.mark.parametrize("part", ["magic", "length", "row", "checksum", "cut"])
def test_a_record_whose_header_is_torn_ends_the_segment(log: Log, part: str) -> None:
    kept = log.append(b"kept")
    torn = log.append(b"torn", b"a row")
    log.close()
    (path,) = log.paths()
    data = bytearray(path.read_bytes())
    position = {"magic": 0, "length": 8, "row": 66, "checksum": 62, "cut": 40}[part] + kept.end
    if part == "cut":
        del data[position:]
    else:
        data[position] ^= 1
    path.write_bytes(data)
    assert [record.payload for record, _ in walked(path)] == [kept.payload]
    assert torn.payload > kept.payload


@pytest.mark.parametrize("position", [0, 140, len(FILE_META), len(FILE_META) + 6])
def test_a_payload_that_is_torn_is_told_apart(log: Log, position: int) -> None:
    appended = log.append(b"content")
    log.close()
    (path,) = log.paths()
    for changed in (False, True):
        data = bytearray(path.read_bytes())
        data[appended.payload + position] ^= changed
        path.write_bytes(data)
        descriptor = os.open(path, os.O_RDONLY)
        record = segment.next_record(descriptor, segment.HEADER_SIZE)
        assert record is not None
        assert segment.is_whole(descriptor, record) is not changed
        os.close(descriptor)


def test_a_released_instance_leaves_its_header(log: Log) -> None:
    appended = log.append(b"content")
    log.close()
    (path,) = log.paths()
    with path.open("r+b") as file:
        file.seek(appended.payload + 128)
        file.write(bytes(4))
    descriptor = os.open(path, os.O_RDONLY)
    (record,) = segment.records(descriptor)
    assert segment.is_released(descriptor, record)
    os.close(descriptor)


def test_names_are_unique_and_sort_by_time() -> None:
    made_names = [segment.new_name() for _ in range(100)]
    assert len(set(made_names)) == 100
    assert all(segment.is_name(name) for name in made_names)
    assert not segment.is_name("../../etc/passwd")
    assert sorted(name[:14] for name in made_names) == [name[:14] for name in made_names]


def test_a_segment_of_a_later_format_is_refused(log: Log) -> None:
    log.append(b"content")
    name = log.paths()[0].stem
    log.close()
    path = log.paths()[0]
    descriptor = os.open(path, os.O_RDWR)
    assert segment.check_header(descriptor, name)
    assert not segment.check_header(descriptor, segment.new_name())
    os.pwrite(descriptor, b"\x02\x00", 8)
    with pytest.raises(Unreadable):
        segment.check_header(descriptor, name)
    os.close(descriptor)
