"""Craft: finds the files of a UDF volume of any revision without a VAT (ECMA-167, OSTA UDF)."""

import struct
from binascii import crc_hqx
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, Found, Section, Source, check_bounds
from burnish.media import FileSystem

_SECTOR = 2048
_RECOGNITION, _RECOGNITIONS = 16, 64
_TAG = struct.Struct("<HHBBHHHI")
_ANCHORS = (256, -1, -257)
_SEQUENCE = 64
_ANCHOR, _PARTITION, _LOGICAL, _TERMINATOR = 2, 5, 6, 8
_FILE_SET, _IDENTIFIER, _CONTINUATION, _ENTRY, _EXTENDED_ENTRY = 256, 257, 258, 261, 266
_DIRECTORY = 4
_DELETED, _PARENT = 4, 8
_IS_DIRECTORY = 2
_SHORT, _LONG, _EMBEDDED = 0, 1, 3
_RECORDED, _NEXT = 0, 3
_CONTINUATIONS = 64
#: BD-RE has UDF 2.50, which is written as 2.60 is (PS3.12 X.2).
_WITH_METADATA = (0x0250, 0x0260)
_METADATA_PARTITION = b"*UDF Metadata Partition"


class _Address(NamedTuple):
    """A block of a partition, by the number of its map."""

    block: int
    partition: int


class _Entry(NamedTuple):
    """What an entry says of a file: its type, length and where it lies."""

    kind: int
    size: int
    sections: list[Section]


def is_one(source: Source) -> bool:
    """Whether its recognition sequence has UDF (ECMA-167 2/8.3)."""
    for sector in range(_RECOGNITION, _RECOGNITION + _RECOGNITIONS):
        if not source.has(sector * _SECTOR, 6):
            return False
        name = source.read(sector * _SECTOR + 1, 5)
        if name in (b"NSR02", b"NSR03"):
            return True
        if name not in (b"CD001", b"BEA01", b"\0" * 5):
            return False
    return False


def find(source: Source) -> Found:
    """All files of the volume; raises Unreadable where it is damaged."""
    return _Volume(source).found()


def compared(source: Source, other: Found) -> Found:
    """What another file system of the same image has, and where UDF does not say the same."""
    both = replace(other, file_system=FileSystem.ISO_9660_UDF_BRIDGE)
    try:
        found = find(source)
    except Unreadable as error:
        return replace(both, disagreements={"UDF": f"its UDF structures cannot be read: {error}"})
    differing = dict(found.disagreements)
    if found.volume_identifier != other.volume_identifier:
        differing["volume"] = "its UDF Logical Volume Identifier is not its Volume Identifier"
    for name in found.sections.keys() | other.sections.keys():
        if name not in found.sections:
            differing[name] = "its UDF directories do not have it"
        elif name not in other.sections:
            differing[name] = "its ISO 9660 directories do not have it"
        elif _whole(found.sections[name]) != _whole(other.sections[name]):
            differing[name] = "UDF has it elsewhere, or of another length, than ISO 9660"
    return replace(both, disagreements=dict(sorted(differing.items())))


def _whole(sections: Iterable[Section]) -> list[Section]:
    """Sections with those joined that follow each other, without empty ones."""
    joined: list[Section] = []
    for start, length in sections:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        elif length:
            joined.append((start, length))
    return joined


class _Volume:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._disagreements: dict[str, str] = {}
        self._partitions: dict[int, tuple[int, int]] = {}
        #: By number of the map: where the partition begins; or the sections of its metadata file.
        self._maps: list[int | list[Section]] = []
        logical = self._descriptors()
        self.volume_identifier = _dstring(logical[84:212])
        if int.from_bytes(logical[212:216], "little") != _SECTOR:
            raise Unreadable("its logical blocks are not of 2048 bytes")
        self._revision = int.from_bytes(logical[240:242], "little")
        self._read_maps(logical)
        self._file_set = _long_address(logical[248:264])[1]

    def found(self) -> Found:
        descriptor = self._tagged(self._file_set, _FILE_SET)
        root = _long_address(descriptor[400:416])[1]
        kind = FileSystem.UDF_2_60 if self._revision in _WITH_METADATA else None
        return Found(kind, self.volume_identifier, self._walk(root), self._disagreements)

    # --- volume structures (ECMA-167 3) ---

    def _descriptors(self) -> bytes:
        """The Logical Volume Descriptor, by any anchor and either sequence; partitions besides."""
        why = Unreadable("there is no Anchor Volume Descriptor Pointer")
        for number in _ANCHORS:
            sector = number if number >= 0 else self._source.end // _SECTOR + number
            try:
                anchor = self._descriptor(sector, _ANCHOR)
            except Unreadable:
                continue
            for at in (16, 24):
                length, first = struct.unpack_from("<II", anchor, at)
                try:
                    return self._sequence(first, min(length // _SECTOR, _SEQUENCE))
                except Unreadable as error:
                    why = error
        raise why

    def _sequence(self, first: int, sectors: int) -> bytes:
        logical = b""
        for sector in range(first, first + sectors):
            found = self._descriptor(sector)
            kind = int.from_bytes(found[:2], "little")
            if kind == _PARTITION:
                number, start, length = struct.unpack_from("<22xH164xII", found)
                self._partitions[number] = (start, length)
            elif kind == _LOGICAL:
                logical = found
            elif kind == _TERMINATOR:
                break
        if not logical or not self._partitions:
            raise Unreadable("a Volume Descriptor Sequence lacks its volume or its partition")
        return logical

    def _descriptor(self, sector: int, kind: int = 0) -> bytes:
        if not self._source.has(sector * _SECTOR, _SECTOR):
            raise Unreadable("a volume descriptor lies beyond the end of the volume")
        return _checked(self._source.read(sector * _SECTOR, _SECTOR), kind)

    def _read_maps(self, logical: bytes) -> None:
        """ECMA-167 3/10.7, UDF 2.2.8 to 2.2.10."""
        (count,) = struct.unpack_from("<I", logical, 268)
        at = 440
        for _ in range(count):
            if at + 6 > len(logical) or logical[at + 1] < 6:
                raise Unreadable("its partition maps make no sense")
            one = logical[at : at + logical[at + 1]]
            at += len(one)
            if one[0] == 1:
                self._maps.append(self._start_of(int.from_bytes(one[4:6], "little")))
            elif one[0] == 2 and len(one) >= 64 and one[5:28] == _METADATA_PARTITION:
                self._maps.append(self._metadata(one))
            else:
                kind = one[5:28].rstrip(b"\0").decode("latin-1")
                raise Unreadable(f"it has a {kind[1:] or 'partition'}, which is not read here")

    def _start_of(self, number: int) -> int:
        if number not in self._partitions:
            raise Unreadable("a partition map leads to no partition")
        return self._partitions[number][0] * _SECTOR

    def _metadata(self, described: bytes) -> list[Section]:
        """The sections of the metadata file, or of its mirror where that one is damaged."""
        number, main, mirror = struct.unpack_from("<HII", described, 38)
        self._maps.append(self._start_of(number))
        reference = len(self._maps) - 1
        found: list[list[Section]] = []
        for name, block in (("metadata file", main), ("metadata mirror file", mirror)):
            try:
                found.append(self._entry(_Address(block, reference)).sections)
            except Unreadable as error:
                self._disagreements["UDF"] = f"its {name} cannot be read: {error}"
        self._maps.pop()
        if not found:
            raise Unreadable("neither its metadata file nor the mirror of that can be read")
        if len(found) == 2 and self._content(found[0]) != self._content(found[1]):
            self._disagreements["UDF"] = "its metadata file and the mirror of that differ"
        return found[0]

    # --- file structures (ECMA-167 4) ---

    def _sections(self, length: int, address: _Address) -> list[Section]:
        """Where an extent lies in the image."""
        if address.partition >= len(self._maps):
            raise Unreadable("an address leads to no partition")
        where = self._maps[address.partition]
        start = address.block * _SECTOR
        if isinstance(where, int):
            return [(where + start, length)]
        found = []
        for at, size in where:
            if length > 0 and start < size:
                piece = min(length, size - start)
                found.append((at + start, piece))
                length -= piece
            start = max(0, start - size)
        if length > 0:
            raise Unreadable("an address leads beyond the metadata file")
        return found

    def _content(self, sections: list[Section]) -> bytes:
        if sum(length for _, length in sections) > 16 * LARGEST_DIRECTORY:
            raise Unreadable("a directory is larger than any can be")
        for start, length in sections:
            if not self._source.has(start, length):
                raise Unreadable("a directory goes beyond the end of the volume")
        return b"".join(self._source.read(start, length) for start, length in sections)

    def _tagged(self, address: _Address, *kinds: int) -> bytes:
        data = self._content(self._sections(_SECTOR, address))
        found = _checked(data)
        if int.from_bytes(found[:2], "little") not in kinds:
            raise Unreadable("a structure is not of the kind that leads to it")
        return found

    def _entry(self, address: _Address) -> _Entry:
        """A File Entry (4/14.9) or an Extended File Entry (4/14.17)."""
        data = self._tagged(address, _ENTRY, _EXTENDED_ENTRY)
        extended = data[0] == _EXTENDED_ENTRY & 0xFF
        kind, flags = data[27], int.from_bytes(data[34:36], "little")
        (size,) = struct.unpack_from("<Q", data, 56)
        attributes, length = struct.unpack_from("<II", data, 208 if extended else 168)
        at = (216 if extended else 176) + attributes
        if at + length > _SECTOR:
            raise Unreadable("a file entry is longer than its block")
        if flags & 7 == _EMBEDDED:
            start = self._sections(_SECTOR, address)[0][0] + at
            return _Entry(kind, size, [(start, min(size, length))])
        sections = self._extents(data[at : at + length], flags & 7, address, size)
        return _Entry(kind, size, sections)

    def _extents(self, data: bytes, form: int, address: _Address, size: int) -> list[Section]:
        """The sections that allocation descriptors tell, as far as the file is long."""
        found: list[Section] = []
        for _ in range(_CONTINUATIONS):
            following = None
            for length, kind, where in _allocations(data, form, address):
                if kind == _NEXT:
                    following = where
                    break
                if kind != _RECORDED:
                    raise Unreadable("a file has parts that were never recorded")
                found += self._sections(min(length, size), where)
                size -= min(length, size)
            if following is None:
                break
            data = self._tagged(following, _CONTINUATION)
            data = data[24 : 24 + int.from_bytes(data[20:24], "little")]
        if size:
            raise Unreadable("a file is longer than its extents")
        return found

    def _walk(self, root: _Address) -> Mapping[str, list[Section]]:
        found: dict[str, list[Section]] = {}
        seen = {root}
        directories = [("", root, 1)]
        entries = 0
        while directories:
            path, address, level = directories.pop()
            entry = self._entry(address)
            if entry.kind != _DIRECTORY:
                raise Unreadable(f"directory {path or 'root'} is none")
            for flags, name, child in _identifiers(self._content(entry.sections), path):
                entries += 1
                check_bounds(entries, level)
                if not flags & _IS_DIRECTORY:
                    found[path + name] = self._entry(child).sections
                    continue
                if child in seen:
                    raise Unreadable(f"directory {path}{name} is reached twice")
                seen.add(child)
                directories.append((f"{path}{name}\\", child, level + 1))
        return found


def _checked(data: bytes, kind: int = 0) -> bytes:
    """A structure whose tag has the right checksum and CRC (3/7.2), and is of a kind if given."""
    identifier, _, checksum, _, _, crc, length, _ = _TAG.unpack_from(data)
    if (sum(data[:16]) - checksum) & 0xFF != checksum or (kind and identifier != kind):
        raise Unreadable("a structure of UDF is not where it should be")
    if 16 + length > len(data) or crc_hqx(data[16 : 16 + length], 0) != crc:
        raise Unreadable("a structure of UDF is damaged: its CRC is wrong")
    return data


def _allocations(data: bytes, form: int, address: _Address) -> Iterator[tuple[int, int, _Address]]:
    """Length, kind and place of each allocation descriptor (4/14.14)."""
    if form not in (_SHORT, _LONG):
        raise Unreadable("a file has allocation descriptors of no known form")
    width = 8 if form == _SHORT else 16
    for at in range(0, len(data) - width + 1, width):
        if form == _SHORT:
            length, block = struct.unpack_from("<II", data, at)
            where = _Address(block, address.partition)
        else:
            length, where = _long_address(data[at : at + 16], masked=False)
        if not length:
            break
        yield length & 0x3FFFFFFF, length >> 30, where


def _long_address(data: bytes, *, masked: bool = True) -> tuple[int, _Address]:
    length, block, partition = struct.unpack_from("<IIH", data)
    return length & 0x3FFFFFFF if masked else length, _Address(block, partition)


def _identifiers(data: bytes, path: str) -> Iterator[tuple[int, str, _Address]]:
    """Flags, name and entry of every child of a directory (4/14.4)."""
    at = 0
    while at + 38 <= len(data):
        flags, named = data[at + 18], data[at + 19]
        use = int.from_bytes(data[at + 36 : at + 38], "little")
        length = (38 + use + named + 3) & ~3
        if data[at : at + 2] != _IDENTIFIER.to_bytes(2, "little") or at + length > len(data):
            raise Unreadable(f"directory {path or 'root'} has a record of no sense")
        _checked(data[at : at + length])
        if not flags & (_DELETED | _PARENT):
            name = _text(data[at + 38 + use : at + 38 + use + named])
            yield flags, name, _long_address(data[at + 20 : at + 36])[1]
        at += length


def _text(data: bytes) -> str:
    """OSTA Compressed Unicode (UDF 2.1.1)."""
    if data[:1] == b"\x10":
        return data[1:].decode("utf-16-be", "replace")
    return data[1:].decode("latin-1")


def _dstring(data: bytes) -> str:
    return _text(data[: min(data[-1], len(data) - 1)])
