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
from burnish.plan import conversion
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
    conversions_ = Conversions(spool)
    yield conversions_
    conversions_.close()


def stored(spool: Spool, instance_id: int, content: bytes) -> Conversion:
    key = spool.new_key()
    spool.path(key).write_bytes(content)
    return Conversion(instance_id, EXPLICIT_VR_LITTLE_ENDIAN, key, len(content), "AE")


def run_all(running: Conversions, conversions_to_run: list[Conversion]) -> list[Converted]:
    """Run conversions until each has succeeded or failed."""
    converted: list[Converted] = []
    for _ in range(20):
        done = set(instance_ids(converted))
        running.start(
            [
                conversion_to_run
                for conversion_to_run in conversions_to_run
                if conversion_to_run.instance_id not in done
            ]
        )
        if not running.running:
            break
        running.wait(300)
        converted += running.collect()
    return converted


def instance_ids(converted: list[Converted]) -> list[int]:
    return [one_converted.conversion.instance_id for one_converted in converted]


@pytest.fixture(autouse=True)
def _convert_as_the_file_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The content of a file says what happens when it is converted."""
    monkeypatch.setattr(conversion, "_convert", conversions.convert)


def test_converted_files_are_published(spool: Spool, running: Conversions) -> None:
    converted = run_all(running, [stored(spool, n, b"copy") for n in range(3)])
    assert sorted(instance_ids(converted)) == [0, 1, 2]
    for one_converted in converted:
        assert one_converted.conversion.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
        assert spool.path(one_converted.spool_key).read_bytes() == b"copy"
    assert os.listdir(spool.incoming) == []


@pytest.mark.parametrize("how", ["unreadable", "os", "memory"])
def test_a_failed_conversion_is_not_started_again_until_it_is_forgotten(
    spool: Spool, running: Conversions, how: str
) -> None:
    converted = run_all(running, [bad := stored(spool, 1, how.encode()), stored(spool, 2, b"copy")])
    assert instance_ids(converted) == [2]
    assert list(running.failed) == [bad.key]
    running.start([bad])
    assert running.running == frozenset()
    running.forget([2, 3])
    assert list(running.failed) == [bad.key]
    running.forget([1, 2])
    assert running.failed == {}
    assert os.listdir(spool.incoming) == []


def test_a_crashing_decoder_does_not_fail_other_conversions(
    spool: Spool, running: Conversions
) -> None:
    conversions_to_run = [
        stored(spool, 1, b"crash"),
        *(stored(spool, n, b"copy") for n in range(2, 6)),
    ]
    converted = run_all(running, conversions_to_run)
    assert sorted(instance_ids(converted)) == [
        2,
        3,
        4,
        5,
    ]
    assert running.failed == {
        conversions_to_run[0].key: InstanceFailure(
            FailureReason.PROCESSING_FAILURE, "the codec crashed or did not end"
        )
    }


def test_conversions_run_in_parallel_again_after_a_crash(
    spool: Spool, running: Conversions
) -> None:
    """A conversion that then fails without a crash is no longer tried alone."""
    crash = stored(spool, 1, b"crash once")
    converted = run_all(running, [crash])
    assert converted == []
    assert list(running.failed) == [crash.key]
    running.start([stored(spool, n, b"copy") for n in range(2, 5)])
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
def test_a_failed_conversion_has_the_failure_reason_of_the_standard(
    spool: Spool,
    running: Conversions,
    how: str,
    reason: FailureReason,
    attributes: tuple[int, ...],
    encoder_fault: bool,
) -> None:
    """The attributes of the worker's error reach this process."""
    run_all(running, [stored(spool, 1, how.encode())])
    (failure,) = running.failed.values()
    assert failure.reason == reason
    assert failure.attributes == attributes
    assert failure.encoder_fault == encoder_fault


def alone(code: str) -> int:
    """The exit code of a process that runs `code`; negative for a signal."""
    head = "from pathlib import Path; from burnish.file_slice import Slice; "
    head += "from burnish.plan import conversion as c; "
    head += "from burnish.codec_process import confine_codec_process; "
    return subprocess.run(
        [sys.executable, "-c", head + code], capture_output=True, check=False, timeout=300
    ).returncode


def test_a_codec_in_an_endless_loop_is_stopped() -> None:
    spin = "c.convert.convert_file = lambda *_, **__: [0 for _ in iter(int, 1)]; "
    call = "c._TIME_LIMIT = 0.2; c._convert('', Slice('source', 0, 0), Path(), '')"
    assert alone(spin + call) == -signal.SIGPROF


def test_the_time_limit_of_a_conversion_ends_with_it() -> None:
    call = "c._convert('', Slice('source', 0, 0), Path(), '')"
    quick = "c.convert.convert_file = lambda *_, **__: None; c._TIME_LIMIT = 0.2; "
    assert alone(quick + call + "; sum(range(20_000_000))") == 0


def test_the_memory_of_a_codec_process_is_limited() -> None:
    assert alone("confine_codec_process(1 << 40); bytearray(100_000_000)") == 0
    assert alone("confine_codec_process(1 << 40); bytearray(1_000_000_000)") == 1


def test_a_conversion_is_tried_again_after_the_disk_was_full(
    spool: Spool, running: Conversions, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk_conversion = stored(spool, 1, b"full")
    running.start([full_disk_conversion])
    running.wait(300)
    with pytest.raises(OutOfResources):
        running.collect()
    assert running.failed == {}

    def fail(_keys: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    spool.path(full_disk_conversion.spool_key).write_bytes(b"copy")
    with monkeypatch.context() as patch:
        patch.setattr(spool, "publish", fail)
        running.start([full_disk_conversion])
        running.wait(300)
        with pytest.raises(OutOfResources):
            running.collect()
    assert os.listdir(spool.incoming) == []
    assert instance_ids(run_all(running, [full_disk_conversion])) == [1]
