"""Craft: finds the files of a ZIP file (PS3.12 V; PKWARE APPNOTE)."""

import io
import os
import struct
import zipfile

from burnish.errors import Unreadable
from burnish.image.file_extents import Found, Section, Source, check_bounds
from burnish.media import FileSystem

_LOCAL = struct.Struct("<I22xHH")
_SIGNATURE = 0x04034B50
_ENCRYPTED = 1


def is_one(source: Source) -> bool:
    """Whether it begins as a ZIP file does: with a file, or with the end of an empty one."""
    return source.has(0, 22) and source.read(0, 4) in (b"PK\3\4", b"PK\5\6")


def find(source: Source) -> Found:
    """All files of the archive; raises Unreadable for one that is compressed or encrypted.

    A ZIP file has no name, so its Volume Identifier is empty.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(_Stream(source))) as archive:
            # not is_dir, which fails for an empty name
            entries = [one for one in archive.infolist() if not one.filename.endswith("/")]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise Unreadable(f"the ZIP file cannot be read: {error}") from error
    sections: dict[str, list[Section]] = {}
    checks = {}
    for number, entry in enumerate(entries, start=1):
        check_bounds(number, entry.filename.count("/"))
        name = entry.filename.replace("/", "\\")
        if name in sections:
            raise Unreadable(f"{name} is in the ZIP file twice")
        sections[name] = [_section(source, entry, name)]
        checks[name] = entry.CRC
    return Found(FileSystem.ZIP, "", sections, checks=checks)


def _section(source: Source, entry: zipfile.ZipInfo, name: str) -> Section:
    if entry.flag_bits & _ENCRYPTED:
        raise Unreadable(f"{name} is encrypted by the ZIP file")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise Unreadable(f"{name} is compressed by the ZIP file: unpack it, and read the directory")
    if not source.has(entry.header_offset, _LOCAL.size):
        raise Unreadable(f"{name} goes beyond the end of the ZIP file")
    signature, names, extra = _LOCAL.unpack(source.read(entry.header_offset, _LOCAL.size))
    if signature != _SIGNATURE:
        raise Unreadable(f"there is no file where the ZIP file has {name}")
    return entry.header_offset + _LOCAL.size + names + extra, entry.file_size


class _Stream(io.RawIOBase):
    """A source as a file."""

    def __init__(self, source: Source) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, self._source.end)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        length = max(0, min(len(buffer), self._source.end - self._at))
        buffer[:length] = self._source.read(self._at, length)
        self._at += length
        return length
