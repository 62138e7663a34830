"""The SHA-256 of an image that is being written."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from burnish.errors import Unreadable
from burnish.image.image_digest import ImageHashing


@pytest.mark.parametrize("reported", [(), (1,), (1 << 20, (5 << 20) + 7), (0, 3 << 20)])
def test_the_digest_is_that_of_all_bytes(tmp_path: Path, reported: tuple[int, ...]) -> None:
    """Whatever progress was reported, and although later bytes still changed then."""
    path = tmp_path / "image"
    data = os.urandom((5 << 20) + 7)
    path.write_bytes(bytes(len(data)))
    hashing = ImageHashing()
    with path.open("r+b") as image:
        at = 0
        for end in (*reported, len(data)):
            image.write(data[at:end])
            image.flush()
            if end in reported:
                hashing.follow(path, end)
            at = end
    hashing.complete(path, len(data))
    path.unlink()
    assert hashing.sha256() == hashlib.sha256(data).hexdigest()
    assert hashing.sha256() == hashlib.sha256(data).hexdigest()


def test_hashing_ends_when_the_image_is_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    ImageHashing().abandon()
    hashing = ImageHashing()
    hashing.follow(path, 1 << 19)
    hashing.abandon()
    assert hashing._thread is not None
    hashing._thread.join()
    assert hashing._thread not in threading.enumerate()


def test_an_image_that_is_cut_short_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(1 << 20))
    hashing = ImageHashing()
    hashing.complete(path, (1 << 20) + 1)
    with pytest.raises(Unreadable, match="ends at byte 1048576 of 1048577"):
        hashing.sha256()


def test_an_image_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    hashing = ImageHashing()
    hashing.complete(path, 0)
    assert hashing.sha256() == hashlib.sha256().hexdigest()
