"""Segments that one process creates before the receivers need them."""

import errno
import multiprocessing
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from burnish.spool import Spool, segment
from burnish.spool.appender import Appender, PendingRecord, SealedSegment
from burnish.spool.segments_ahead import SegmentsAhead
from waiting import wait_until

SIZE = 1 << 20


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    ready, segments = tmp_path / "incoming", tmp_path / "segments"
    ready.mkdir()
    segments.mkdir()
    return ready, segments


@contextmanager
def creating(ahead: SegmentsAhead, count: int, has_room: Any = lambda _: True) -> Iterator[Any]:
    """A process that keeps `count` segments ready."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=ahead.create, args=(SIZE, count, has_room))
    process.start()
    try:
        yield process
    finally:
        process.terminate()
        process.join()


def ready(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.seg"))


def test_so_many_are_kept_ready(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 3):
        wait_until(lambda: len(ready(folders[0])) == 3)
        first = ready(folders[0])[0]
        status = first.stat()
        assert status.st_blocks * 512 >= SIZE, "its room is not allocated"
        assert stat.S_IMODE(status.st_mode) & 0o007 == 0
        taken = ahead.take(folders[1])
        assert taken is not None
        wait_until(lambda: len(ready(folders[0])) == 3)
        assert segment.names(folders[1]) == [taken.name]
        assert segment.check_header(taken.descriptor, taken.name)
        os.close(taken.descriptor)
    ahead.remove()
    assert not list(folders[0].iterdir())


def test_a_taken_segment_has_its_owner(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 1):
        wait_until(lambda: ready(folders[0]))
    taken = ahead.take(folders[1])
    assert taken is not None
    other = os.open(segment.path(folders[1], taken.name), os.O_RDWR)
    assert not segment.lock(other)
    os.close(taken.descriptor)
    assert segment.lock(other)
    os.close(other)


def test_each_is_taken_once(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 2):
        wait_until(lambda: len(ready(folders[0])) == 2)
    taken = [ahead.take(folders[1]) for _ in range(3)]
    assert taken[2] is None
    names = {new.name for new in taken if new is not None}
    assert names == set(segment.names(folders[1]))
    assert len(names) == 2
    for new in taken[:2]:
        assert new is not None
        os.close(new.descriptor)


def test_one_that_another_process_takes_is_left_to_it(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 1):
        wait_until(lambda: ready(folders[0]))
    other = os.open(ready(folders[0])[0], os.O_RDWR)
    assert segment.lock(other)
    assert ahead.take(folders[1]) is None
    os.close(other)


def test_none_is_created_while_the_disk_is_full(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    looks = multiprocessing.get_context("fork").Semaphore(0)
    is_full = multiprocessing.get_context("fork").Event()
    is_full.set()

    def has_room(size: int) -> bool:
        assert size == SIZE
        looks.release()
        return not is_full.is_set()

    with creating(ahead, 1, has_room):
        assert looks.acquire(timeout=60)
        assert ahead.take(folders[1]) is None  # it looks again
        assert looks.acquire(timeout=60)
        assert not list(folders[0].iterdir())
        is_full.clear()
        assert ahead.take(folders[1]) is None
        wait_until(lambda: ready(folders[0]))


def test_nothing_is_left_of_one_that_has_no_room(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = SegmentsAhead(folders[0])

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        ahead._create(SIZE)
    assert not list(folders[0].iterdir())


def test_an_appender_uses_what_is_ready_and_creates_the_rest(folders: tuple[Path, Path]) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 1):
        wait_until(lambda: ready(folders[0]))
    name = ready(folders[0])[0].stem
    notices: list[PendingRecord | SealedSegment] = []
    appender = Appender(folders[1], notices.extend, durable=False, ahead=ahead)
    meta = bytes(128) + b"DICM"
    for number in range(2):
        header = segment.encode_record_header(b"row", meta, 4, bytes(32))
        appender.append(PendingRecord((header, meta, b"data"), len(header) + len(meta) + 4))
        appender.seal()
        assert len(segment.names(folders[1])) == number + 1
    sealed = [notice for notice in notices if isinstance(notice, SealedSegment)]
    assert sealed[0].name == name
    assert sealed[1].name != name
    for notice in sealed:
        path = segment.path(folders[1], notice.name)
        assert path.stat().st_size == notice.size, "room behind the last record is kept"
        assert len(list(segment.records(notice.descriptor))) == 1
        os.close(notice.descriptor)


def test_a_segment_without_records_is_removed_when_it_is_sealed(
    folders: tuple[Path, Path],
) -> None:
    ahead = SegmentsAhead(folders[0])
    with creating(ahead, 1):
        wait_until(lambda: ready(folders[0]))
    appender = Appender(folders[1], lambda _: None, durable=False, ahead=ahead)
    appender._begin_segment()
    appender.seal()
    assert segment.names(folders[1]) == []


@pytest.mark.parametrize(("size", "fits"), [(29, True), (30, False)])
def test_what_is_created_ahead_leaves_the_disk_below_low_water(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, fits: bool
) -> None:
    spool = Spool(tmp_path, durable=False, high_water=0.95, low_water=0.9)
    usage = shutil.disk_usage(tmp_path)._replace(total=100, used=60, free=40)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert spool.has_room_ahead(size) == fits
