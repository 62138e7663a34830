"""Conversions in processes of their own, and what becomes of those that fail or crash."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import conversions
from burnish.errors import OutOfResources
from burnish.plan import conversion as module
from burnish.plan.attempts import Conversion
from burnish.plan.conversion import Conversions, Converted
from burnish.plan.eligibility import InstanceFailure
from burnish.spool import Spool
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason


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
    return Conversion(instance_id, EXPLICIT_VR_LITTLE_ENDIAN, key, "AE")


def finish(running: Conversions, wanted: list[Conversion]) -> list[Converted]:
    """Starts and collects until nothing is left that is not done or failed."""
    rows: list[Converted] = []
    for _ in range(20):
        done = {row.conversion.instance_id for row in rows}
        running.start([one for one in wanted if one.instance_id not in done])
        if not running.running:
            break
        running.wait(300)
        rows += running.collect()
    return rows


@pytest.fixture(autouse=True)
def _convert_by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file says what becomes of it."""
    monkeypatch.setattr(module, "_convert", conversions.convert)


def test_what_is_converted_is_published(spool: Spool, running: Conversions) -> None:
    rows = finish(running, [put(spool, n, b"copy") for n in range(3)])
    assert sorted(row.conversion.instance_id for row in rows) == [0, 1, 2]
    for row in rows:
        assert row.conversion.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        assert spool.path(row.spool_key).read_bytes() == b"copy"
    assert os.listdir(spool.incoming) == []


@pytest.mark.parametrize("how", ["unreadable", "os", "memory"])
def test_what_fails_is_remembered_until_it_is_forgotten(
    spool: Spool, running: Conversions, how: str
) -> None:
    rows = finish(running, [bad := put(spool, 1, how.encode()), put(spool, 2, b"copy")])
    assert [row.conversion.instance_id for row in rows] == [2]
    assert list(running.failed) == [bad.key]
    running.start([bad])
    assert running.running == frozenset()
    running.forget([2, 3])
    assert list(running.failed) == [bad.key]
    running.forget([1, 2])
    assert running.failed == {}
    assert os.listdir(spool.incoming) == []


def test_a_decoder_that_crashes_takes_nobody_with_it(spool: Spool, running: Conversions) -> None:
    wanted = [put(spool, 1, b"crash"), *(put(spool, n, b"copy") for n in range(2, 6))]
    rows = finish(running, wanted)
    assert sorted(row.conversion.instance_id for row in rows) == [2, 3, 4, 5]
    assert running.failed == {
        wanted[0].key: InstanceFailure(
            FailureReason.PROCESSING_FAILURE, "the codec crashed or did not end"
        )
    }


def test_after_a_crash_work_goes_on_in_parallel(spool: Spool, running: Conversions) -> None:
    """A suspect that then fails in the ordinary way is a suspect no longer."""
    crash = put(spool, 1, b"crash once")
    rows = finish(running, [crash])
    assert rows == []
    assert list(running.failed) == [crash.key]
    running.start([put(spool, n, b"copy") for n in range(2, 5)])
    assert len(running.running) > 1


@pytest.mark.parametrize(
    ("how", "reason", "attributes", "encoder_fault"),
    [
        ("missing", FailureReason.MISSING_ATTRIBUTE, (0x00280010,), False),
        ("empty", FailureReason.MISSING_ATTRIBUTE_VALUE, (0x00280010, 0x00280011), False),
        ("too large", FailureReason.PROCESSING_FAILURE, (0x7FE00010,), False),
        ("other", FailureReason.PROCESSING_FAILURE, (), True),
    ],
)
def test_why_it_failed_is_told_in_the_words_of_the_standard(
    spool: Spool,
    running: Conversions,
    how: str,
    reason: FailureReason,
    attributes: tuple[int, ...],
    encoder_fault: bool,
) -> None:
    """The worker's error comes with its attributes through the pipe between the processes."""
    finish(running, [put(spool, 1, how.encode())])
    (failure,) = running.failed.values()
    assert failure.reason == reason
    assert failure.attributes == attributes
    assert failure.encoder_fault == encoder_fault


def alone(code: str) -> int:
    """The exit code of a process that runs `code`; negative for a signal."""
    head = "from pathlib import Path; from burnish.plan import conversion as c; "
    return subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, check=False, timeout=300
    ).returncode


def test_a_codec_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"")
    spin = "c.convert.convert_file = lambda *_, **__: [0 for _ in iter(int, 1)]; "
    call = f"c._TIME_LIMIT = 0.2; c._convert('', Path({str(tmp_path / 'source')!r}), Path(), '')"
    assert alone(spin + call) == -signal.SIGPROF


def test_the_time_for_one_is_not_that_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"")
    call = f"c._convert('', Path({str(tmp_path / 'source')!r}), Path(), '')"
    quick = "c.convert.convert_file = lambda *_, **__: None; c._TIME_LIMIT = 0.2; "
    assert alone(quick + call + "; sum(range(20_000_000))") == 0


def test_a_codec_that_asks_for_all_memory_does_not_get_it() -> None:
    assert alone("c.confine_codec_process(1 << 40); bytearray(100_000_000)") == 0
    assert alone("c.confine_codec_process(1 << 40); bytearray(1_000_000_000)") == 1


def test_a_full_disk_is_no_fault_of_the_instance(
    spool: Spool, running: Conversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = put(spool, 1, b"full")
    running.start([wanted])
    running.wait(300)
    with pytest.raises(OutOfResources):
        running.collect()
    assert running.failed == {}

    def fail(_keys: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool.path(wanted.spool_key).write_bytes(b"copy")
    with monkeypatch.context() as patch:
        patch.setattr(spool, "publish", fail)
        running.start([wanted])
        running.wait(300)
        with pytest.raises(OutOfResources):
            running.collect()
    assert os.listdir(spool.incoming) == []
    assert [row.conversion.instance_id for row in finish(running, [wanted])] == [1]
