"""Conversions in processes of their own, and what becomes of those that fail or crash."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import conversions
from burnish.plan import conversion as module
from burnish.plan.conversion import Conversion, Conversions
from burnish.spool import Spool
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", durable=False)


@pytest.fixture
def running(spool: Spool) -> Iterator[Conversions]:
    made = Conversions(spool)
    yield made
    made.close()


def put(spool: Spool, instance_id: int, content: bytes) -> Conversion:
    key = spool.new_key()
    spool.path(key).write_bytes(content)
    return Conversion(instance_id, key, "AE")


def finish(running: Conversions, wanted: list[Conversion]) -> list[module.TranscodedInstance]:
    """Starts and collects until nothing is left that is not done or failed."""
    rows: list[module.TranscodedInstance] = []
    for _ in range(20):
        done = {row.instance_id for row in rows}
        running.start([one for one in wanted if one.instance_id not in done])
        if not running.running:
            break
        running.wait(30)
        rows += running.collect()
    return rows


@pytest.fixture(autouse=True)
def _convert_by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file says what becomes of it."""
    monkeypatch.setattr(module, "_convert", conversions.convert)


def test_what_is_converted_is_published(spool: Spool, running: Conversions) -> None:
    rows = finish(running, [put(spool, n, b"copy") for n in range(3)])
    assert sorted(row.instance_id for row in rows) == [0, 1, 2]
    for row in rows:
        assert row.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        assert spool.path(row.spool_key).read_bytes() == b"copy"
    assert os.listdir(spool.incoming) == []


@pytest.mark.parametrize("how", ["unreadable", "os", "memory"])
def test_what_fails_is_remembered_until_it_is_forgotten(
    spool: Spool, running: Conversions, how: str
) -> None:
    rows = finish(running, [bad := put(spool, 1, how.encode()), put(spool, 2, b"copy")])
    assert [row.instance_id for row in rows] == [2]
    assert list(running.failed) == [1]
    running.start([bad])
    assert running.running == frozenset()
    assert list(running.forget([1, 2, 3])) == [1]
    assert running.forget([1]) == {}
    assert os.listdir(spool.incoming) == []


def test_a_decoder_that_crashes_takes_nobody_with_it(spool: Spool, running: Conversions) -> None:
    wanted = [put(spool, 1, b"crash"), *(put(spool, n, b"copy") for n in range(2, 6))]
    rows = finish(running, wanted)
    assert sorted(row.instance_id for row in rows) == [2, 3, 4, 5]
    assert running.failed == {1: "the decoder crashed"}


def test_after_a_crash_work_goes_on_in_parallel(spool: Spool, running: Conversions) -> None:
    """A suspect that then fails in the ordinary way is a suspect no longer."""
    crash = put(spool, 1, b"crash once")
    rows = finish(running, [crash])
    assert rows == []
    assert list(running.failed) == [1]
    running.start([put(spool, n, b"copy") for n in range(2, 5)])
    assert len(running.running) > 1
