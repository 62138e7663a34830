"""Craft: places the bytes of files in an image."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from burnish.artifacts import VolumeFile
from burnish.errors import Conflict, OutOfResources

Progress = Callable[[int], None]

_STRETCH, _PIECE = 8 << 20, 1 << 20
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(
    path: Path,
    size: int,
    structure: Iterable[tuple[int, bytes | bytearray]],
    files: Sequence[tuple[int, VolumeFile]],
    progress: Progress | None = None,
) -> int:
    """Writes an image of `size` bytes, durably: structure and files, each with where it begins.

    What lies between is zero. Files come in the order they lie. `progress` is told the bytes from
    the start that are written for good, and may raise to stop. What cannot be finished is removed.
    Raises Conflict for a source that is not of the size stated or goes beyond the image,
    OutOfResources where there is no room.
    """
    with new_file(path, size) as image:
        for at, data in structure:
            place(image, memoryview(data), at)
        reported = 0
        buffer = memoryview(bytearray(_PIECE))
        for at, file in files:
            for done in _fill(image, file, at, buffer):
                if progress and at + done - reported >= _STRETCH:
                    reported = at + done
                    progress(reported)
        settle(image, size)
    if progress:
        progress(size)
    return size


@contextlib.contextmanager
def new_file(path: Path, size: int) -> Iterator[int]:
    """A file of `size` bytes open for writing, removed unless all goes well.

    Its blocks are taken at once: a lack of room shows before anything is written, and writing
    takes half the time.
    """
    image = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        os.ftruncate(image, size)
        try:
            os.posix_fallocate(image, 0, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        yield image
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise OutOfResources(f"no room for an image of {size} bytes") from error
        raise
    finally:
        os.close(image)


def settle(image: int, size: int) -> None:
    """Makes the image durable; raises Conflict where it has not come out at `size` bytes."""
    found = os.fstat(image).st_size
    if found != size:
        raise Conflict(f"the image came out at {found} bytes where {size} were to be written")
    os.fsync(image)


def place(image: int, data: memoryview, at: int) -> None:
    """Writes all of `data` at a byte of the image."""
    while data:
        written = os.pwrite(image, data[:_STRETCH], at)
        data, at = data[written:], at + written


@contextlib.contextmanager
def open_source(file: VolumeFile) -> Iterator[int]:
    """The source of a file, which must be a path; raises Conflict where it is not as stated."""
    if not isinstance(file.source, Path):
        raise TypeError("only a path is opened")
    try:
        source = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Conflict(f"the source of {file.file_id} is gone") from None
    try:
        check_size(file, os.fstat(source).st_size)
        yield source
    finally:
        os.close(source)


def check_size(file: VolumeFile, size: int) -> None:
    """Raises Conflict unless `size` bytes are what the file was to have."""
    if size != file.size:
        raise Conflict(f"{file.file_id} has {size} bytes where {file.size} were to be written")


def pieces(file: VolumeFile) -> Iterator[bytes]:
    """The bytes of a file, where they have to be looked at; raises as `open_source` does."""
    if isinstance(file.source, bytes):
        check_size(file, len(file.source))
        yield file.source
    elif callable(file.source):
        yield from file.source()
    else:
        with open_source(file) as source:
            while piece := os.read(source, _PIECE):
                yield piece


def _fill(image: int, file: VolumeFile, at: int, buffer: memoryview) -> Iterator[int]:
    """Places one file; gives the bytes done after each piece."""
    if isinstance(file.source, bytes):
        check_size(file, len(file.source))
        place(image, memoryview(file.source), at)
        yield file.size
        return
    if callable(file.source):
        yield from _place_made(image, file, file.source(), at)
        return
    with open_source(file) as source:
        done = 0
        while done < file.size:
            moved = os.preadv(source, [buffer[: file.size - done]], done)
            if not moved:
                check_size(file, done)
            place(image, buffer[:moved], at + done)
            done += moved
            yield done


def _place_made(image: int, file: VolumeFile, pieces: Iterator[bytes], at: int) -> Iterator[int]:
    """Places what is made as it is written, never more of it than the file has room for."""
    done = 0
    for piece in pieces:
        if done + len(piece) > file.size:
            check_size(file, done + len(piece))
        place(image, memoryview(piece), at + done)
        done += len(piece)
        yield done
    check_size(file, done)
