"""Craft: opens volumes for reading: directories, images, discs in drives, ZIP files, messages."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

from burnish.errors import Unreadable
from burnish.image import (
    fat_reader,
    iso9660_reader,
    mime_reader,
    pycdlib_reader,
    udf_reader,
    zip_reader,
)
from burnish.image.file_extents import (
    Found,
    Section,
    Source,
    WholeSource,
    check_bounds,
    chunks,
    read,
)
from burnish.media import FileSystem
from burnish.values import Volume


@contextlib.contextmanager
def open_volume(
    path: Path,
    *,
    fresh: bool = False,
    digest: bool = False,
    whole: bool = False,
    twice: bool = False,
    length: int | None = None,
    session: int | None = None,
) -> Iterator[Volume]:
    """The volume at `path`: a directory, an image, a block device, a ZIP file, or a message.

    An image is of ISO 9660, UDF, both, or FAT.

    With `fresh`, what the system holds of the image in memory is first dropped, so that what is
    read comes from the medium. With `digest`, the volume has a method `sha256`: that of the whole
    image, for which whatever `chunks` gave in the order of the volume is not read again. With
    `whole`, that method only reads what is left of the image, and tells "". With `twice`, another
    reader has to find the same files at the same places. With `length`, the image has no more
    than so many bytes, whatever the drive put behind it. Of a disc with several sessions the one
    counts that begins at the sector `session`, or else the last.
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
        if digest or whole:
            yield _WholeImage(descriptor, length=length, digest=digest)
        else:
            yield _Image(descriptor, Source(descriptor, length, session), twice=twice)
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

    def disagreements(self) -> Mapping[str, str]:
        return {}

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._open(name) as descriptor:
            remaining = self._sizes[name] - offset
            wanted = remaining if length is None else min(length, remaining)
            return read(descriptor, offset, max(0, wanted))

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        with self._open(name) as descriptor:
            yield from chunks(descriptor, 0, self._sizes[name])

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
                check_bounds(entries, level)
                if entry.is_dir(follow_symlinks=False):
                    directories.append((f"{parent}{entry.name}/", level + 1))
                elif entry.is_file(follow_symlinks=False):
                    yield parent + entry.name, entry.stat(follow_symlinks=False).st_size


class _Image:
    """An image, or a disc, as a volume."""

    def __init__(
        self,
        descriptor: int,
        source: Source,
        *,
        twice: bool = False,
    ) -> None:
        # the other reader knows the first session only
        self._descriptor, self._twice = descriptor, twice and not source.session
        self._found = _find(source)
        self._content = self._found.content or source
        self.volume_identifier = self._found.volume_identifier
        self.file_system = self._found.file_system
        sections = self._found.sections
        self._order = sorted(sections, key=lambda name: _start(sections[name]))
        self._sizes = {name: sum(length for _, length in sections[name]) for name in self._order}

    def files(self) -> Mapping[str, int]:
        return self._sizes

    def disagreements(self) -> Mapping[str, str]:
        if not self._twice or self.file_system is not FileSystem.ISO_9660_LEVEL_1:
            return self._found.disagreements
        with os.fdopen(os.dup(self._descriptor), "rb") as image:
            others = pycdlib_reader.disagreements(image, self._found.sections)
        return {**others, **self._found.disagreements}

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        wanted = self._sizes.get(name, 0) - offset if length is None else length
        parts = []
        for start, size in self._sections(name):
            if wanted > 0 and offset < size:
                piece = min(wanted, size - offset)
                parts.append(self._content.read(start + offset, piece))
                wanted -= piece
            offset = max(0, offset - size)
        return b"".join(parts)

    def chunks(self, name: str) -> Iterator[memoryview | bytes]:
        sections = self._sections(name)
        if len(sections) == 1 and name not in self._found.checks:
            return self._content.chunks(*sections[0])
        return self._joined(name, sections)

    def _joined(self, name: str, sections: Sequence[Section]) -> Iterator[memoryview | bytes]:
        crc = 0
        expected = self._found.checks.get(name)
        for start, size in sections:
            for chunk in self._content.chunks(start, size):
                if expected is not None:
                    crc = crc32(chunk, crc)
                yield chunk
        if expected not in (None, crc):
            raise Unreadable(f"{name} has not the CRC that its archive says")

    def _sections(self, name: str) -> Sequence[Section]:
        sections = self._found.sections.get(name)
        if sections is None:
            raise Unreadable(f"there is no file {name}")
        for start, size in sections:
            if not self._content.has(start, size):
                raise Unreadable(f"{name} goes beyond the end of the volume")
        return sections


def _start(sections: Sequence[Section]) -> int:
    return sections[0][0] if sections else 0


_KINDS: tuple[tuple[Callable[[Source], bool], Callable[[Source], Found]], ...] = (
    (udf_reader.is_one, udf_reader.find),
    (fat_reader.is_one, fat_reader.find),
    (zip_reader.is_one, zip_reader.find),
    (mime_reader.is_one, mime_reader.find),
)


def _find(source: Source) -> Found:
    """What there is, by the first file system that it is."""
    if iso9660_reader.is_one(source):
        found = iso9660_reader.find(source)
        bridge = not source.session and udf_reader.is_one(source)
        return udf_reader.compared(source, found) if bridge else found
    for is_one, find in _KINDS:
        if is_one(source):
            return find(source)
    raise Unreadable("there is no volume: it is neither ISO 9660, UDF, FAT, ZIP nor MIME")


class _WholeImage(_Image):
    """An image of which all is read in the end, also what lies between files, and hashed.

    It hashes in a thread of its own, beside whatever the reader does with the same bytes.
    """

    def __init__(self, descriptor: int, *, length: int | None, digest: bool) -> None:
        self._digest = hashlib.sha256() if digest else None
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._before: Future[None] | None = None
        self._whole = WholeSource(descriptor, length, self._hash if digest else None)
        super().__init__(descriptor, self._whole)

    def sha256(self) -> str:
        """The SHA-256 of the image in hexadecimal digits, "" where it is not hashed.

        Raises Unreadable where not all of it can be read.
        """
        self._whole.finish()
        self._hashing.shutdown()
        return self._digest.hexdigest() if self._digest else ""

    def _hash(self, data: bytes) -> None:
        """Hands over what was read, when what was handed over before has been hashed."""
        if self._before is not None:
            self._before.result()
        self._before = self._hashing.submit(self._update, data)

    def _update(self, data: bytes) -> None:
        if self._digest:
            self._digest.update(data)
