"""Craft: opens volumes for reading: directories, and ISO 9660 images and discs (ECMA-119)."""

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from burnish.artifacts import Volume
from burnish.errors import Unreadable
from burnish.media import FileSystem

#: The most files and directories that a volume may have.
MAXIMUM_ENTRIES = 1_000_000

#: The most directory levels; ECMA-119 6.8.2.1 has eight, other writers go beyond.
MAXIMUM_LEVELS = 32

_SECTOR = 2048
_CHUNK = 1 << 20
_FIRST_DESCRIPTOR = 16
_DESCRIPTORS = 64
_PRIMARY, _TERMINATOR = 1, 255
_DIRECTORY, _ASSOCIATED, _CONTINUED = 2, 4, 128
_HIGHEST_DIRECTORY = 64 << 20
_RECORD = struct.Struct("<BBI4xI4x7xBBB")

#: Where one File Section begins, and its length, in bytes.
_Section = tuple[int, int]


@contextlib.contextmanager
def open_volume(path: Path, *, fresh: bool = False, digest: bool = False) -> Iterator[Volume]:
    """The volume at `path`: a directory, an ISO 9660 image, or a block device.

    With `fresh`, what the system holds of the image in memory is first dropped, so that what is
    read comes from the medium. With `digest`, the volume has a method `sha256`: that of the whole
    image, for which whatever `chunks` gave in the order of the volume is not read again.
    Raises Unreadable if there is no volume that can be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"the volume cannot be opened: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            yield _Directory(path)
            return
        if fresh:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        yield _DigestedImage(descriptor) if digest else _Image(descriptor)
    finally:
        os.close(descriptor)


class _Directory:
    """A directory as a volume. It has no Volume Identifier; symbolic links are not followed."""

    volume_identifier = ""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            found = sorted(_walk(root))
        except OSError as error:
            raise Unreadable(f"the directory cannot be read: {error.strerror}") from error
        self._sizes = {name.replace("/", "\\"): size for name, size in found}
        self._paths = {name.replace("/", "\\"): name for name, _ in found}

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._open(name) as descriptor:
            remaining = self._sizes[name] - offset
            wanted = remaining if length is None else min(length, remaining)
            return _read(descriptor, offset, max(0, wanted))

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        with self._open(name) as descriptor:
            yield from _chunks(descriptor, 0, self._sizes[name])

    @contextlib.contextmanager
    def _open(self, name: str) -> Iterator[int]:
        try:
            path = self._root / self._paths[name]
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except KeyError:
            raise Unreadable(f"there is no file {name}") from None
        except OSError as error:
            raise Unreadable(f"{name} cannot be opened: {error.strerror}") from error
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Every file below `root` by its path from there, and its size."""
    entries = 0
    directories = [("", 1)]
    while directories:
        parent, level = directories.pop()
        with os.scandir(root / parent) as found:
            for entry in found:
                entries += 1
                _check_bounds(entries, level)
                if entry.is_dir(follow_symlinks=False):
                    directories.append((f"{parent}{entry.name}/", level + 1))
                elif entry.is_file(follow_symlinks=False):
                    yield parent + entry.name, entry.stat(follow_symlinks=False).st_size


class _Image:
    """An ISO 9660 image, or a disc, as a volume. Only the primary directory tree is read."""

    file_system = FileSystem.ISO_9660_LEVEL_1

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._end = os.lseek(descriptor, 0, os.SEEK_END)
        primary = self._primary_volume_descriptor()
        self.volume_identifier = primary[40:72].decode("latin-1").rstrip(" \0")
        self._block = int.from_bytes(primary[128:130], "little")
        if self._block not in (512, 1024, 2048):
            raise Unreadable(f"logical blocks of {self._block} bytes are not ISO 9660")
        sections = self._tree(primary[156:190])
        self._sections = dict(sorted(sections.items(), key=lambda item: item[1][0]))
        self._sizes = {
            name: sum(length for _, length in parts) for name, parts in self._sections.items()
        }

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        wanted = self._sizes.get(name, 0) - offset if length is None else length
        parts = []
        for start, size in self._found(name):
            if wanted > 0 and offset < size:
                piece = min(wanted, size - offset)
                parts.append(_read(self._descriptor, start + offset, piece))
                wanted -= piece
            offset = max(0, offset - size)
        return b"".join(parts)

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        for start, size in self._found(name):
            yield from _chunks(self._descriptor, start, size)

    def _found(self, name: str) -> list[_Section]:
        if name not in self._sections:
            raise Unreadable(f"there is no file {name}")
        for start, size in self._sections[name]:
            if start + size > self._end:
                raise Unreadable(f"{name} goes beyond the end of the volume")
        return self._sections[name]

    def _primary_volume_descriptor(self) -> bytes:
        """ECMA-119 8.4."""
        for sector in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + _DESCRIPTORS):
            if (sector + 1) * _SECTOR > self._end:
                break
            found = _read(self._descriptor, sector * _SECTOR, _SECTOR)
            if found[1:6] != b"CD001" or found[0] == _TERMINATOR:
                break
            if found[0] == _PRIMARY:
                return found
        raise Unreadable("there is no ISO 9660 Primary Volume Descriptor")

    def _tree(self, root: bytes) -> dict[str, list[_Section]]:
        """The File Sections of every file by name (ECMA-119 6.8, 9.1)."""
        sections: dict[str, list[_Section]] = {}
        _, attributes, extent, size, *_ = _RECORD.unpack_from(root)
        seen = {extent}
        directories = [("", extent + attributes, size, 1)]
        entries = 0
        while directories:
            parent, start, length, level = directories.pop()
            continued = ""
            for flags, extent, size, identifier in self._records(parent, start, length):
                entries += 1
                _check_bounds(entries, level)
                if flags & _DIRECTORY:
                    if extent in seen:
                        raise Unreadable(f"directory {parent}{identifier} is reached twice")
                    seen.add(extent)
                    directories.append((f"{parent}{identifier}\\", extent, size, level + 1))
                    continue
                name = parent + identifier
                section = (extent * self._block, size)
                if name == continued:
                    sections[name].append(section)
                else:
                    # of several versions the highest comes first (ECMA-119 9.3)
                    sections.setdefault(name, [section])
                continued = name if flags & _CONTINUED else ""
        return sections

    def _records(self, parent: str, extent: int, size: int) -> Iterator[tuple[int, int, int, str]]:
        """Flags, extent, length and name of every child of a directory."""
        start = extent * self._block
        if size > _HIGHEST_DIRECTORY or start + size > self._end:
            raise Unreadable(f"directory {parent or 'root'} goes beyond the end of the volume")
        data = _read(self._descriptor, start, size)
        at = 0
        while at < len(data):
            length = data[at]
            if not length:
                at += _SECTOR - at % _SECTOR
                continue
            if length < 34 or at + length > len(data) or 33 + data[at + 32] > length:
                raise Unreadable(f"directory {parent or 'root'} has a record of no sense")
            _, attributes, extent, size, flags, unit, gap = _RECORD.unpack_from(data, at)
            identifier = data[at + 33 : at + 33 + data[at + 32]]
            at += length
            if flags & _ASSOCIATED or identifier in (b"\0", b"\1"):
                continue
            if unit or gap:
                raise Unreadable(f"{parent}{_name(identifier, flags)} is interleaved")
            yield flags, extent + attributes, size, _name(identifier, flags)


class _DigestedImage(_Image):
    """An image that hashes what is read of it, and what lies between, up to the end.

    It hashes in a thread of its own, beside whatever the reader does with the same bytes.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._digest = hashlib.sha256()
        self._digested = 0
        self._gathered: list[bytes] = []
        self._weight = 0
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._before: Future[None] | None = None

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        for start, size in self._found(name):
            at = start
            for chunk in _chunks(self._descriptor, start, size):
                if at >= self._digested:
                    self._digest_up_to(at)
                    self._hash(chunk)
                at += len(chunk)
                yield chunk

    def sha256(self) -> str:
        """The SHA-256 of the image in hexadecimal digits."""
        self._digest_up_to(self._end)
        self._flush()
        self._hashing.shutdown()
        return self._digest.hexdigest()

    def _digest_up_to(self, end: int) -> None:
        for chunk in _chunks(self._descriptor, self._digested, end - self._digested):
            self._hash(chunk)

    def _hash(self, chunk: bytes) -> None:
        self._digested += len(chunk)
        self._gathered.append(chunk)
        self._weight += len(chunk)
        if self._weight >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        """Hands over what was gathered, when what was handed over before has been hashed."""
        if self._before is not None:
            self._before.result()
        gathered, self._gathered, self._weight = self._gathered, [], 0
        self._before = self._hashing.submit(self._update, gathered)

    def _update(self, gathered: list[bytes]) -> None:
        for chunk in gathered:
            self._digest.update(chunk)


def _name(identifier: bytes, flags: int) -> str:
    """A name without the version and the separators that ISO 9660 adds (ECMA-119 7.5.1)."""
    name = identifier.decode("latin-1")
    if flags & _DIRECTORY:
        return name
    return name.partition(";")[0].removesuffix(".")


def _check_bounds(entries: int, level: int) -> None:
    if entries > MAXIMUM_ENTRIES:
        raise Unreadable(f"the volume has more than {MAXIMUM_ENTRIES} files")
    if level > MAXIMUM_LEVELS:
        raise Unreadable(f"the volume has more than {MAXIMUM_LEVELS} directory levels")


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Bytes of a file, all of them."""
    parts = []
    while length > 0:
        try:
            part = os.pread(descriptor, min(length, 1 << 30), offset)
        except OSError as error:
            raise Unreadable(f"the medium cannot be read: {error.strerror}") from error
        if not part:
            raise Unreadable(f"the volume ends at byte {offset}, before its end")
        parts.append(part)
        offset, length = offset + len(part), length - len(part)
    return b"".join(parts) if len(parts) != 1 else parts[0]


def _chunks(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    for at in range(offset, offset + length, _CHUNK):
        yield _read(descriptor, at, min(_CHUNK, offset + length - at))
