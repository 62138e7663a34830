"""A slice of the spool: a file of its own, or a range of a segment that may be released."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from burnish import file_slice
from burnish.file_slice import Slice
from burnish.spool import Spool

INSTANCE = bytes(128) + b"DICM" + bytes(range(256)) * 100
BEFORE = b"segment header" * 1000


def in_segment(folder: Path) -> Slice:
    path = folder / "segment"
    path.write_bytes(BEFORE + INSTANCE + b"the next record" * 1000)
    return Slice(str(path), len(BEFORE), len(INSTANCE))


def in_own_file(folder: Path) -> Slice:
    path = folder / "file"
    path.write_bytes(INSTANCE)
    return Slice.of_file(path)


each_place = pytest.mark.parametrize("place", [in_segment, in_own_file])


@each_place
def test_all_ways_of_reading_give_the_bytes_of_the_instance(
    tmp_path: Path, place: Callable[[Path], Slice], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_slice, "_PIECE", 1000)
    source = place(tmp_path)
    assert source.size == len(INSTANCE)
    with source.open() as file:
        assert file.read() == INSTANCE
        file.seek(130)
        assert file.read(10) == INSTANCE[130:140]
    assert b"".join(source.pieces()) == INSTANCE
    assert {len(piece) for piece in source.pieces()} == {1000, len(INSTANCE) % 1000}
    assert source.read(100, 50) == INSTANCE[100:150]
    assert source.read(len(INSTANCE) - 5, 50) == INSTANCE[-5:]
    assert source.read(len(INSTANCE) + 5, 50) == b""
    assert source.is_whole()


@each_place
def test_an_instance_whose_file_is_gone_is_not_whole(
    tmp_path: Path, place: Callable[[Path], Slice]
) -> None:
    source = place(tmp_path)
    Path(source.path).unlink()
    assert not source.is_whole()
    for read in (source.open, lambda: source.read(0, 1), lambda: list(source.pieces())):
        with pytest.raises(FileNotFoundError):
            read()


@each_place
def test_an_instance_that_is_cut_short_is_not_whole(
    tmp_path: Path, place: Callable[[Path], Slice]
) -> None:
    source = place(tmp_path)
    os.truncate(source.path, source.offset + source.size - 1)
    assert not source.is_whole()
    assert b"".join(source.pieces()) == INSTANCE[:-1]


def spool_with_segment(folder: Path) -> tuple[Spool, str]:
    """A spool, and the key of an instance in a segment of it."""
    spool = Spool(folder, durable=False)
    path = Path(spool.slice("S@1", 1).path)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(BEFORE + INSTANCE + b"the next record" * 1000)
    return spool, f"S@{len(BEFORE)}"


def test_the_room_of_a_released_instance_is_given_back(tmp_path: Path) -> None:
    spool, key = spool_with_segment(tmp_path)
    source = spool.slice(key, len(INSTANCE))
    path = Path(source.path)
    assert source.is_whole()
    blocks = path.stat().st_blocks
    for _ in range(2):
        spool.erase(key, len(INSTANCE))
        assert not source.is_whole()
        assert path.stat().st_blocks < blocks
        content = path.read_bytes()
        assert content.startswith(BEFORE)
        assert content.endswith(b"the next record" * 1000)
        assert content[source.offset : source.offset + source.size] == bytes(len(INSTANCE))


def test_a_released_instance_cannot_be_read(tmp_path: Path) -> None:
    spool, key = spool_with_segment(tmp_path)
    source = spool.slice(key, len(INSTANCE))
    spool.erase(key, len(INSTANCE))
    for read in (source.open, lambda: source.read(0, 1), lambda: list(source.pieces())):
        with pytest.raises(FileNotFoundError, match="released"):
            read()


def test_a_reader_notices_that_the_instance_is_released_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has read may be a hole by then."""
    monkeypatch.setattr(file_slice, "_PIECE", 1000)
    spool, key = spool_with_segment(tmp_path)
    pieces = spool.slice(key, len(INSTANCE)).pieces()
    next(pieces)
    spool.erase(key, len(INSTANCE))
    with pytest.raises(FileNotFoundError, match="released"):
        list(pieces)


def test_the_mark_is_enough_where_no_holes_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burnish.spool.release.punch_hole", lambda *_: False)
    spool, key = spool_with_segment(tmp_path)
    spool.erase(key, len(INSTANCE))
    assert not spool.slice(key, len(INSTANCE)).is_whole()


def test_erasing_from_a_segment_that_is_gone_is_harmless(tmp_path: Path) -> None:
    spool, _ = spool_with_segment(tmp_path)
    spool.erase("T@64", 1000)


def test_erasing_a_file_of_its_own_removes_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, durable=False)
    key = spool.new_key()
    spool.path(key).write_bytes(INSTANCE)
    for _ in range(2):
        spool.erase(key, len(INSTANCE))
        assert list(spool.published_keys()) == []
