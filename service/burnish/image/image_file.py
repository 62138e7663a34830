"""Craft: places the bytes of files in an image."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from burnish.errors import Conflict, OutOfResources
from burnish.values import VolumeFile

Progress = Callable[[int], None]

_STRETCH, _PIECE = 8 << 20, 1 << 20
#: Blocks are taken so far ahead of what is written.
_AHEAD = 16 << 20
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

    What lies between is zero. Files come in the order they lie, structure before or behind them
    all. `progress` is told the bytes from the start that are written for good, and may raise to
    stop. What cannot be finished is removed. Raises Conflict for a source that is not of the size
    stated or goes beyond the image, OutOfResources where there is no room.
    """
    with new_file(path, size) as image:
        for at, data in structure:
            image.place(memoryview(data), at)
        reported = 0
        for done in _Filling(image).fill(files):
            if progress and done - reported >= _STRETCH:
                reported = done
                progress(reported)
        image.settle()
    if progress:
        progress(size)
    return size


@contextlib.contextmanager
def new_file(path: Path, size: int) -> Iterator["NewFile"]:
    """A file of `size` bytes to be written, removed unless all goes well."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        yield NewFile(descriptor, size)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise OutOfResources(f"no room for an image of {size} bytes") from error
        raise
    finally:
        os.close(descriptor)


class NewFile:
    """A file that is written from its beginning on, or nearly so.

    A lack of room shows before anything is written. Blocks are taken before they are needed, so
    that writing takes half the time, yet not all at once: where that takes long, as in memory, who
    reads behind the writer need not wait for it.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size
        self._taken = 0
        os.ftruncate(descriptor, size)
        self._take(0)
        room = os.fstatvfs(descriptor)
        if room.f_blocks and room.f_bavail * room.f_frsize < size - self._taken:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def place(self, data: memoryview, at: int) -> None:
        """Writes all of `data` at a byte of it."""
        if at <= self._taken < at + len(data):
            self._take(at + len(data))
        while data:
            written = os.pwrite(self._descriptor, data[:_STRETCH], at)
            data, at = data[written:], at + written

    def settle(self) -> None:
        """Makes it durable; raises Conflict where it has not come out at its size."""
        self._take(self._size)
        found = os.fstat(self._descriptor).st_size
        if found != self._size:
            raise Conflict(
                f"the image came out at {found} bytes where {self._size} were to be written"
            )
        os.fsync(self._descriptor)

    def _take(self, needed: int) -> None:
        """Takes blocks beyond the byte `needed`."""
        end = min(needed + _AHEAD, self._size)
        if self._taken < end:
            try:
                os.posix_fallocate(self._descriptor, self._taken, end - self._taken)
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
                end = self._size
            self._taken = end


def _open(file: VolumeFile) -> int:
    """The source of a file, which must be a path; raises Conflict where it is gone."""
    if not isinstance(file.source, Path):
        raise TypeError("only a path is opened")
    try:
        return os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Conflict(f"the source of {file.file_id} is gone") from None


@contextlib.contextmanager
def open_source(file: VolumeFile) -> Iterator[int]:
    """The source of a file, open; raises Conflict where it is not as stated."""
    source = _open(file)
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


class _Filling:
    """Places files: small ones together, in one piece with the zeros between them."""

    def __init__(self, image: NewFile) -> None:
        self._image = image
        #: One byte more than is placed, to see where a source has more than it should.
        self._buffer = memoryview(bytearray(_PIECE + 1))
        self._start = self._filled = 0

    def fill(self, files: Iterable[tuple[int, VolumeFile]]) -> Iterator[int]:
        """Places all of them; gives the byte of the image behind each piece."""
        for at, file in files:
            small = isinstance(file.source, Path) and 0 < file.size <= _PIECE
            behind = at - self._start
            if not (small and 0 < self._filled <= behind <= _PIECE - file.size):
                yield self._flush()
                self._start, behind = at, 0
            if not (small and self._gather(file, behind)):
                yield self._flush()
                yield from self._fill(file, at)
        yield self._flush()

    def _gather(self, file: VolumeFile, behind: int) -> bool:
        """Reads a file to where it lies in the buffer; whether it came at once, and all of it."""
        end = behind + file.size
        source = _open(file)
        try:
            count = os.preadv(source, [self._buffer[behind : end + 1]], 0)
        finally:
            os.close(source)
        if count != file.size:
            return False
        self._buffer[self._filled : behind] = bytes(behind - self._filled)
        self._filled = end
        return True

    def _flush(self) -> int:
        """Places what was gathered."""
        self._image.place(self._buffer[: self._filled], self._start)
        self._start, self._filled = self._start + self._filled, 0
        return self._start

    def _fill(self, file: VolumeFile, at: int) -> Iterator[int]:
        if isinstance(file.source, bytes):
            check_size(file, len(file.source))
            self._image.place(memoryview(file.source), at)
            yield at + file.size
        elif callable(file.source):
            yield from self._place_made(file, file.source(), at)
        else:
            yield from self._copy(file, at)

    def _copy(self, file: VolumeFile, at: int) -> Iterator[int]:
        with open_source(file) as source:
            done = 0
            while done < file.size:
                piece = self._buffer[: min(_PIECE, file.size - done)]
                moved = os.preadv(source, [piece], done)
                if not moved:
                    check_size(file, done)
                self._image.place(piece[:moved], at + done)
                done += moved
                yield at + done

    def _place_made(self, file: VolumeFile, pieces: Iterator[bytes], at: int) -> Iterator[int]:
        """Places what is made as it is written, never more of it than the file has room for."""
        done = 0
        for piece in pieces:
            if done + len(piece) > file.size:
                check_size(file, done + len(piece))
            self._image.place(memoryview(piece), at + done)
            done += len(piece)
            yield at + done
        check_size(file, done)
