"""The spool: whole files under their final names, or none."""

import errno
import os
from collections import namedtuple
from pathlib import Path

import pytest

from burnish import spool as module
from burnish.errors import OutOfResources
from burnish.spool import Spool, is_converted
from syncs import recorded_syncs


def arrived(spool: Spool, count: int) -> list[str]:
    keys = [spool.new_key() for _ in range(count)]
    for key in keys:
        spool.arriving(key).write_bytes(key.encode())
    return keys


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_a_published_file_is_in_one_place(tmp_path: Path, durable: bool, count: int) -> None:
    spool = Spool(tmp_path, durable=durable)
    keys = arrived(spool, count)
    spool.publish(keys)
    assert sorted(spool.published_keys()) == sorted(keys)
    assert all(spool.path(key).read_bytes() == key.encode() for key in keys)
    assert os.listdir(spool.incoming) == []


def test_the_folders_of_a_new_spool_are_durable(tmp_path: Path) -> None:
    root = tmp_path / "spool"
    with recorded_syncs() as syncs:
        spool = Spool(root, durable=True)
    assert {tmp_path, root, spool.instances} <= syncs.paths()


def test_the_folder_of_segments_that_an_earlier_version_did_not_have_is_durable(
    tmp_path: Path,
) -> None:
    Spool(tmp_path, durable=True).segments.rmdir()
    with recorded_syncs() as syncs:
        Spool(tmp_path, durable=True)
    assert tmp_path in syncs.paths()


def test_the_names_of_segments_can_be_made_durable(tmp_path: Path) -> None:
    for durable in (True, False):
        spool = Spool(tmp_path, durable=durable)
        with recorded_syncs() as syncs:
            spool.sync_segments()
        assert (spool.segments in syncs.paths()) is durable


def test_without_syncfs_each_file_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SYNCFS", None)
    spool = Spool(tmp_path, durable=True)
    keys = arrived(spool, 5)
    synced: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(fd), real(fd))[1])
    spool.publish(keys)
    assert len(synced) >= 5 + len({key[:2] for key in keys})
    assert sorted(spool.published_keys()) == sorted(keys)


def test_keys_are_unique(tmp_path: Path) -> None:
    spool = Spool(tmp_path, durable=False)
    assert len({spool.new_key() for _ in range(1000)}) == 1000


def test_the_key_of_a_conversion_can_be_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, durable=False)
    assert is_converted(spool.new_converted_key())
    assert not is_converted(spool.new_key())


def test_publishing_a_missing_file_is_an_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path, durable=True)
    for keys in ([spool.new_key()], [spool.new_key() for _ in range(3)]):
        with pytest.raises(FileNotFoundError):
            spool.publish(keys)


def test_a_sync_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path, durable=True)
    monkeypatch.setattr(module, "_SYNCFS", lambda _: -1)
    with pytest.raises(OSError, match="syncfs"):
        spool.publish(arrived(spool, 2))

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        spool.publish(arrived(spool, 1))


def test_each_process_hears_of_a_failed_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel tells each open descriptor of a failure once, and none that is opened later."""
    asked: list[int] = []
    spool = Spool(tmp_path, durable=True)
    before = set(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("burnish.spool._SYNCFS", lambda descriptor: asked.append(descriptor) or 0)
    for _ in range(2):
        spool.publish(arrived(spool, 2))
    assert len(asked) == 2
    assert {str(descriptor) for descriptor in asked} <= before


def test_removing_again_is_harmless(tmp_path: Path) -> None:
    spool = Spool(tmp_path, durable=False)
    first, second = arrived(spool, 2)
    spool.publish([first])
    for _ in range(2):
        spool.remove(first)
        spool.remove(second)
    assert list(spool.published_keys()) == os.listdir(spool.incoming) == []


Usage = namedtuple("Usage", "total used free")


def test_no_room_from_high_water_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, used, looks = [100.0], [94], [0]

    def disk_usage(_: Path) -> Usage:
        looks[0] += 1
        return Usage(100, used[0], 100 - used[0])

    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    monkeypatch.setattr(module.shutil, "disk_usage", disk_usage)
    spool = Spool(tmp_path, durable=False, high_water=0.95)
    spool.check_room()
    used[0] = 95
    spool.check_room()  # looked less than a second ago
    assert looks == [1]
    now[0] += 1
    for _ in range(3):
        with pytest.raises(OutOfResources):
            spool.check_room()
    used[0] = 50
    now[0] += 1
    spool.check_room()
    assert looks == [3]


def test_no_room_until_low_water(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once refused, what comes is taken again when there is room to speak of."""
    now, refused = 100.0, []
    spool = Spool(tmp_path, durable=False, high_water=0.95, low_water=0.9)
    for used in (90, 94, 95, 94, 91, 90, 91, 94, 96, 89):
        usage = Usage(100, used, 100 - used)
        monkeypatch.setattr(module.shutil, "disk_usage", lambda _, usage=usage: usage)
        now += 2
        monkeypatch.setattr(module, "monotonic", lambda now=now: now)
        try:
            spool.check_room()
            refused.append(False)
        except OutOfResources:
            refused.append(True)
    assert refused == [False, False, True, True, True, False, False, False, True, False]


def test_a_spool_can_be_opened_again(tmp_path: Path) -> None:
    keys = arrived(first := Spool(tmp_path, durable=False), 3)
    first.publish(keys)
    assert sorted(Spool(tmp_path, durable=False).published_keys()) == sorted(keys)


def test_a_spool_that_does_not_answer_has_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool = Spool(tmp_path, durable=False)
    monkeypatch.setattr(module.shutil, "disk_usage", fail)
    with pytest.raises(OutOfResources):
        spool.check_room()
