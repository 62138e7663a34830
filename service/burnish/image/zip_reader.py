"""Craft: reads the file table of a ZIP file (PS3.12 V), and its files, by Python's zipfile."""

import os
import struct
import zipfile
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from burnish.errors import Unreadable
from burnish.image import image_source
from burnish.image.file_extents import FileTable, Section, check_bounds
from burnish.image.image_source import Source
from burnish.media import FileSystem

_ENCRYPTED = 1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: The most bytes that a compressed file may have, so that a small ZIP file cannot fill the memory.
_LARGEST_COMPRESSED = 1 << 31
_ERRORS = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error, zlib.error)


def recognizes(source: Source) -> bool:
    """A ZIP file begins with a file, or, if it is empty, with the end of its directory."""
    return source.has(0, 4) and source.read(0, 4) in (b"PK\3\4", b"PK\5\6")


def read_file_table(source: Source) -> FileTable:
    """All files of the archive. A ZIP file has no name, so its Volume Identifier is empty."""
    try:
        archive = zipfile.ZipFile(_SourceFile(source))
    except _ERRORS as error:
        raise Unreadable(f"the ZIP file cannot be read: {error}") from error
    # not is_dir, which fails for an empty name
    entries = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
    content = _ZipContent(archive, entries)
    sections: dict[str, list[Section]] = {}
    for number, (entry, start) in enumerate(zip(entries, content.starts, strict=True), start=1):
        check_bounds(number, entry.filename.count("/"))
        name = entry.filename.replace("/", "\\")
        if name in sections:
            raise Unreadable(f"{name} is in the ZIP file twice")
        _check(entry, name)
        sections[name] = [(start, entry.file_size)]
    return FileTable(FileSystem.ZIP, "", sections, content=content)


def _check(entry: zipfile.ZipInfo, name: str) -> None:
    """Raises Unreadable for a file that is not read here."""
    if entry.flag_bits & _ENCRYPTED:
        raise Unreadable(f"{name} is encrypted by the ZIP file")
    if entry.compress_type not in _METHODS:
        raise Unreadable(f"{name} is compressed by a method other than Deflate")
    if entry.compress_type != zipfile.ZIP_STORED and entry.file_size > _LARGEST_COMPRESSED:
        raise Unreadable(f"{name} is compressed and has more than {_LARGEST_COMPRESSED} bytes")


class _ZipContent(Source):
    """The files of an archive one behind the other. zipfile checks the CRC of a file read whole."""

    def __init__(self, archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo]) -> None:
        self._archive, self._entries = archive, entries
        self.starts: list[int] = []
        self.end = 0
        for entry in entries:
            self.starts.append(self.end)
            self.end += entry.file_size

    def read(self, offset: int, length: int) -> bytes:
        return b"".join(self.chunks(offset, length))

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        if not length:
            return
        number = bisect_right(self.starts, offset) - 1
        entry = self._entries[number]
        name = entry.filename.replace("/", "\\")
        try:
            with self._archive.open(entry) as file:
                if offset > self.starts[number]:
                    file.seek(offset - self.starts[number])
                while length > 0:
                    piece = file.read(min(image_source.CHUNK, length))
                    if not piece:
                        raise Unreadable(f"{name} goes beyond the end of the ZIP file")
                    yield piece
                    length -= len(piece)
        except _ERRORS as error:
            raise Unreadable(f"{name} cannot be read: {error}") from error


class _SourceFile:
    """A source with the methods of a file that zipfile calls."""

    def __init__(self, source: Source) -> None:
        self._source, self._offset = source, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        bases = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset, os.SEEK_END: self._source.end}
        self._offset = bases[whence] + offset
        if self._offset < 0:
            raise ValueError("an offset lies before the beginning of the file")
        return self._offset

    def tell(self) -> int:
        return self._offset

    def read(self, length: int = -1) -> bytes:
        available = max(0, self._source.end - self._offset)
        count = available if length < 0 else min(length, available)
        data = b"".join(self._source.chunks(self._offset, count))
        self._offset += count
        return data
