"""Craft: writes the bytes of an image, durably."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from burnish.errors import Conflict, OutOfResources
from burnish.values import VolumeFile

Progress = Callable[[int], None]

#: Bytes between two reports of progress, and the most that are handed to the system at once.
_STRETCH = 8 << 20
#: Bytes of the buffer.
_BUFFER = 1 << 20
#: Blocks are allocated this far ahead of what is written.
_AHEAD = 16 << 20
_UNSUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_layout(
    path: Path,
    size: int,
    structure: Iterable[tuple[int, bytes | bytearray]],
    files: Sequence[tuple[int, VolumeFile]],
    progress: Progress | None = None,
) -> int:
    """Writes an image of `size` bytes: structure and files, each with its first byte in the image.

    All other bytes are zero. Files must be in the order in which they lie. `progress` is called
    with the number of bytes from the start that no longer change; it may raise to stop the writing.
    An image that cannot be finished is removed.

    Raises Conflict for a source that is missing or has not the stated size, OutOfResources if the
    file system has no room.
    """
    with new_image(path, size) as image:
        for start, data in structure:
            image.write_at(memoryview(data), start)
        reported = 0
        for written in _FileCopier(image).copy_files(files):
            if progress and written - reported >= _STRETCH:
                reported = written
                progress(reported)
        image.finish()
    if progress:
        progress(size)
    return size


@contextlib.contextmanager
def new_image(path: Path, size: int) -> Iterator["NewImage"]:
    """A new file of `size` bytes; an exception removes it.

    Raises OutOfResources if the file system has no room.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        yield NewImage(descriptor, size)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise OutOfResources(f"there is no room for an image of {size} bytes") from error
        raise
    finally:
        os.close(descriptor)


class NewImage:
    """A file that is written more or less from its beginning to its end.

    A lack of room shows before the first byte is written. Blocks are allocated shortly before they
    are written, which makes writing faster. They are not allocated all at once, because where that
    takes long, as in memory, a reader that follows the writer would have to wait for it.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size
        self._allocated = 0
        os.ftruncate(descriptor, size)
        self._allocate_beyond(0)
        room = os.fstatvfs(descriptor)
        # a file system that does not tell its size has 0 blocks
        if room.f_blocks and room.f_bavail * room.f_frsize < size - self._allocated:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write_at(self, data: memoryview, start: int) -> None:
        """Writes all of `data` from byte `start` on."""
        if start <= self._allocated < start + len(data):
            self._allocate_beyond(start + len(data))
        while data:
            written = os.pwrite(self._descriptor, data[:_STRETCH], start)
            data = data[written:]
            start += written

    def finish(self) -> None:
        """Makes the image durable; raises Conflict if it has not the size that was planned."""
        self._allocate_beyond(self._size)
        size = os.fstat(self._descriptor).st_size
        if size != self._size:
            raise Conflict(f"the image has {size} bytes instead of the {self._size} planned")
        os.fsync(self._descriptor)

    def _allocate_beyond(self, needed: int) -> None:
        """Allocates blocks up to `_AHEAD` bytes beyond byte `needed`."""
        end = min(needed + _AHEAD, self._size)
        if self._allocated >= end:
            return
        try:
            os.posix_fallocate(self._descriptor, self._allocated, end - self._allocated)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            end = self._size  # do not try again
        self._allocated = end


@contextlib.contextmanager
def open_source(file: VolumeFile) -> Iterator[int]:
    """The source of a file, which is a path, opened for reading.

    Raises Conflict if it is missing or has not the stated size.
    """
    source = _open(file)
    try:
        check_size(file, os.fstat(source).st_size)
        yield source
    finally:
        os.close(source)


def check_size(file: VolumeFile, size: int) -> None:
    """Raises Conflict unless `size` is the stated size of the file."""
    if size != file.size:
        raise Conflict(f"{file.file_id} has {size} bytes instead of the {file.size} planned")


def content(file: VolumeFile) -> Iterator[bytes]:
    """The bytes of a file in pieces, for a format that encodes them or needs their checksum.

    Raises as `open_source` does.
    """
    if isinstance(file.source, bytes):
        check_size(file, len(file.source))
        yield file.source
    elif callable(file.source):
        yield from file.source()
    else:
        with open_source(file) as source:
            while piece := os.read(source, _BUFFER):
                yield piece


def _open(file: VolumeFile) -> int:
    if not isinstance(file.source, Path):
        raise TypeError("only a path can be opened")
    try:
        return os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Conflict(f"the source of {file.file_id} no longer exists") from None


class _FileCopier:
    """Copies files into an image.

    Small files are gathered in a buffer, with the zeros between them, and written together.
    """

    def __init__(self, image: NewImage) -> None:
        self._image = image
        #: One byte longer than what is written at once, to notice a source that is too long.
        self._buffer = memoryview(bytearray(_BUFFER + 1))
        #: Where the gathered bytes begin in the image, and how many there are.
        self._start = self._filled = 0

    def copy_files(self, files: Iterable[tuple[int, VolumeFile]]) -> Iterator[int]:
        """Copies all files; yields the number of bytes of the image written so far."""
        for start, file in files:
            is_small = isinstance(file.source, Path) and 0 < file.size <= _BUFFER
            offset = start - self._start
            fits = 0 < self._filled <= offset <= _BUFFER - file.size
            if not (is_small and fits):
                yield self._flush()
                self._start, offset = start, 0
            if not (is_small and self._gather(file, offset)):
                yield self._flush()
                yield from self._copy(file, start)
        yield self._flush()

    def _gather(self, file: VolumeFile, offset: int) -> bool:
        """Reads a file into the buffer; False unless one read gives exactly the stated size."""
        end = offset + file.size
        source = _open(file)
        try:
            count = os.preadv(source, [self._buffer[offset : end + 1]], 0)
        finally:
            os.close(source)
        if count != file.size:
            return False
        self._buffer[self._filled : offset] = bytes(offset - self._filled)
        self._filled = end
        return True

    def _flush(self) -> int:
        """Writes the gathered bytes; returns where they end in the image."""
        self._image.write_at(self._buffer[: self._filled], self._start)
        self._start += self._filled
        self._filled = 0
        return self._start

    def _copy(self, file: VolumeFile, start: int) -> Iterator[int]:
        if isinstance(file.source, bytes):
            check_size(file, len(file.source))
            self._image.write_at(memoryview(file.source), start)
            yield start + file.size
        elif callable(file.source):
            yield from self._copy_pieces(file, file.source(), start)
        else:
            yield from self._copy_path(file, start)

    def _copy_path(self, file: VolumeFile, start: int) -> Iterator[int]:
        with open_source(file) as source:
            done = 0
            while done < file.size:
                piece = self._buffer[: min(_BUFFER, file.size - done)]
                count = os.preadv(source, [piece], done)
                if not count:
                    check_size(file, done)
                self._image.write_at(piece[:count], start + done)
                done += count
                yield start + done

    def _copy_pieces(self, file: VolumeFile, pieces: Iterator[bytes], start: int) -> Iterator[int]:
        """Copies a file that is generated, and never writes beyond its stated size."""
        done = 0
        for piece in pieces:
            if done + len(piece) > file.size:
                check_size(file, done + len(piece))
            self._image.write_at(memoryview(piece), start + done)
            done += len(piece)
            yield start + done
        check_size(file, done)
