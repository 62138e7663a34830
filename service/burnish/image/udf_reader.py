"""Craft: reads the file table of a UDF volume of any revision without a virtual allocation table.

Numbers in brackets are parts and sections of ECMA-167; those of OSTA UDF are marked as such.
"""

import struct
from binascii import crc_hqx
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.image.file_extents import LARGEST_DIRECTORY, FileTable, Section, check_bounds
from burnish.image.image_source import Source
from burnish.media import SECTOR, FileSystem

_RECOGNITION, _MAXIMUM_RECOGNITION = 16, 64
_TAG = struct.Struct("<HHBBHHHI")
#: Sectors where an anchor may lie; negative numbers count from the end (3/8.4.2.1).
_ANCHORS = (256, -1, -257)
_MAXIMUM_SEQUENCE = 64
#: The most sectors behind the partition in which the last anchor of a padded image is looked for.
_LONGEST_PADDING = 1 << 13
#: Tag identifiers (3/7.2.1, 4/7.2.1).
_ANCHOR, _PARTITION, _LOGICAL_VOLUME, _TERMINATING = 2, 5, 6, 8
_FILE_SET, _FILE_IDENTIFIER, _ALLOCATION_EXTENT = 256, 257, 258
_FILE_ENTRY, _EXTENDED_FILE_ENTRY = 261, 266
_DIRECTORY_TYPE = 4
#: Flags of a File Identifier Descriptor (4/14.4.3).
_IS_DIRECTORY, _DELETED, _PARENT = 2, 4, 8
#: Forms of allocation descriptors (4/14.6.8).
_SHORT, _LONG, _EMBEDDED = 0, 1, 3
#: Types of extents (4/14.14.1.1).
_RECORDED, _CONTINUATION = 0, 3
_MAXIMUM_CONTINUATIONS = 64
#: BD-RE has UDF 2.50, which is written as 2.60 is (PS3.12 X.2).
_WITH_METADATA = (0x0250, 0x0260)
_METADATA_PARTITION = b"*UDF Metadata Partition"


class _Address(NamedTuple):
    """A block of a partition, by the number of its map."""

    block: int
    partition: int


class _Entry(NamedTuple):
    """A file or directory: its type, its size, and where its content lies."""

    file_type: int
    size: int
    sections: list[Section]


def recognizes(source: Source) -> bool:
    """The recognition sequence of the volume has UDF (2/8.3)."""
    for sector in range(_RECOGNITION, _RECOGNITION + _MAXIMUM_RECOGNITION):
        if not source.has(sector * SECTOR, 6):
            return False
        identifier = source.read(sector * SECTOR + 1, 5)
        if identifier in (b"NSR02", b"NSR03"):
            return True
        if identifier not in (b"CD001", b"BEA01", b"\0" * 5):
            return False
    return False


def read_file_table(source: Source) -> FileTable:
    return _UdfVolume(source).file_table()


def compare_with(source: Source, iso9660: FileTable) -> FileTable:
    """The file table that ISO 9660 has of an image, with the disagreements that UDF has."""
    bridge = replace(iso9660, file_system=FileSystem.ISO_9660_UDF_BRIDGE)
    try:
        udf = read_file_table(source)
    except Unreadable as error:
        problem = {"UDF": f"its UDF structures cannot be read: {error}"}
        return replace(bridge, disagreements={**problem, **iso9660.disagreements})
    disagreements = {**udf.disagreements, **iso9660.disagreements}
    if udf.volume_identifier != iso9660.volume_identifier:
        disagreements["volume"] = "its UDF Logical Volume Identifier is not its Volume Identifier"
    for name in udf.sections.keys() | iso9660.sections.keys():
        if name not in udf.sections:
            disagreements[name] = "its UDF directories do not have it"
        elif name not in iso9660.sections:
            disagreements[name] = "its ISO 9660 directories do not have it"
        elif _joined(udf.sections[name]) != _joined(iso9660.sections[name]):
            disagreements[name] = "its place or size in UDF is not that in ISO 9660"
    return replace(bridge, disagreements=dict(sorted(disagreements.items())))


def _joined(sections: Iterable[Section]) -> list[Section]:
    """The sections without empty ones, neighbours joined."""
    joined: list[Section] = []
    for start, length in sections:
        if joined and sum(joined[-1]) == start:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        elif length:
            joined.append((start, length))
    return joined


class _UdfVolume:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._disagreements: dict[str, str] = {}
        #: By partition number: first sector.
        self._partitions: dict[int, int] = {}
        #: By map number: where the partition begins, or the sections of its metadata file.
        self._maps: list[int | list[Section]] = []
        logical_volume = self._read_volume_descriptors()
        self._volume_identifier = _decode_dstring(logical_volume[84:212])
        if int.from_bytes(logical_volume[212:216], "little") != SECTOR:
            raise Unreadable("its logical blocks do not have 2048 bytes")
        self._revision = int.from_bytes(logical_volume[240:242], "little")
        self._read_partition_maps(logical_volume)
        self._file_set = _long_address(logical_volume[248:264])[1]

    def file_table(self) -> FileTable:
        file_set = self._read_structure(self._file_set, _FILE_SET)
        root = _long_address(file_set[400:416])[1]
        file_system = FileSystem.UDF_2_60 if self._revision in _WITH_METADATA else None
        sections = self._walk(root)
        return FileTable(file_system, self._volume_identifier, sections, self._disagreements)

    # --- volume descriptors (part 3) ---

    def _read_volume_descriptors(self) -> bytes:
        """Fills in the partitions; returns the Logical Volume Descriptor.

        Tries every anchor, and both of the sequences that an anchor leads to.
        """
        problem = Unreadable("there is no Anchor Volume Descriptor Pointer")
        for number in _ANCHORS:
            sector = number if number >= 0 else self._source.end // SECTOR + number
            try:
                anchor = self._read_descriptor(sector, _ANCHOR)
            except Unreadable:
                continue
            for offset in (16, 24):
                length, first = struct.unpack_from("<II", anchor, offset)
                try:
                    return self._read_sequence(first, min(length // SECTOR, _MAXIMUM_SEQUENCE))
                except Unreadable as error:
                    problem = error
        raise problem

    def _read_sequence(self, first: int, sectors: int) -> bytes:
        logical_volume = b""
        for sector in range(first, first + sectors):
            descriptor = self._read_descriptor(sector)
            identifier = int.from_bytes(descriptor[:2], "little")
            if identifier == _PARTITION:
                number, first_sector, sectors = struct.unpack_from("<22xH164xII", descriptor)
                self._partitions[number] = first_sector
                self._check_end(first_sector + sectors)
            elif identifier == _LOGICAL_VOLUME:
                logical_volume = descriptor
            elif identifier == _TERMINATING:
                break
        if not logical_volume or not self._partitions:
            raise Unreadable("a Volume Descriptor Sequence lacks its volume or its partition")
        return logical_volume

    def _check_end(self, partition_end: int) -> None:
        """Adds a disagreement if the volume was cut off, or if its last anchor is lost.

        Two of the three possible anchors have to be there (UDF 2.2.3). If an image was padded, the
        last one is not at its end any more, but somewhere behind the partition.
        """
        sectors = self._source.end // SECTOR
        if sectors < partition_end:
            self._disagreements["UDF"] = (
                f"it is truncated: it has {self._source.end} bytes, its partition alone ends at"
                f" {partition_end * SECTOR}"
            )
            return
        places = {number if number >= 0 else sectors + number for number in _ANCHORS}
        anchors = sum(map(self._is_anchor, places))
        behind = range(partition_end, min(sectors, partition_end + _LONGEST_PADDING))
        if anchors < 2 and not any(self._is_anchor(sector) for sector in behind):
            self._disagreements["UDF"] = (
                f"it has {anchors} of at least two anchors: it is truncated behind its partition,"
                " or an anchor is damaged"
            )

    def _is_anchor(self, sector: int) -> bool:
        with suppress(Unreadable):
            self._read_descriptor(sector, _ANCHOR)
            return True
        return False

    def _read_descriptor(self, sector: int, identifier: int | None = None) -> bytes:
        if not self._source.has(sector * SECTOR, SECTOR):
            raise Unreadable("a volume descriptor lies beyond the end of the volume")
        descriptor = self._source.read(sector * SECTOR, SECTOR)
        _check_tag(descriptor, identifier)
        return descriptor

    def _read_partition_maps(self, logical_volume: bytes) -> None:
        """3/10.7, UDF 2.2.8 to 2.2.10."""
        (count,) = struct.unpack_from("<I", logical_volume, 268)
        offset = 440
        for _ in range(count):
            if offset + 6 > len(logical_volume) or logical_volume[offset + 1] < 6:
                raise Unreadable("a partition map has a wrong length")
            map_type, length = logical_volume[offset], logical_volume[offset + 1]
            partition_map = logical_volume[offset : offset + length]
            identifier = partition_map[5:28]
            offset += length
            if map_type == 1:
                number = int.from_bytes(partition_map[4:6], "little")
                self._maps.append(self._partition_start(number))
            elif identifier == _METADATA_PARTITION and map_type == 2 and len(partition_map) >= 64:
                self._maps.append(self._read_metadata_partition(partition_map))
            else:
                name = identifier.rstrip(b"\0").decode("latin-1")[1:] or "partition"
                raise Unreadable(f"it has a {name}, which is not supported")

    def _partition_start(self, number: int) -> int:
        if number not in self._partitions:
            raise Unreadable("a partition map names a partition that does not exist")
        return self._partitions[number] * SECTOR

    def _read_metadata_partition(self, partition_map: bytes) -> list[Section]:
        """The sections of the metadata file, or of its mirror if the file is damaged."""
        number, main, mirror = struct.unpack_from("<HII", partition_map, 38)
        self._maps.append(self._partition_start(number))
        physical = len(self._maps) - 1
        copies: list[list[Section]] = []
        for name, block in (("metadata file", main), ("metadata mirror file", mirror)):
            try:
                copies.append(self._read_entry(_Address(block, physical)).sections)
            except Unreadable as error:
                self._disagreements["UDF"] = f"its {name} cannot be read: {error}"
        self._maps.pop()
        if not copies:
            raise Unreadable("neither its metadata file nor its metadata mirror file can be read")
        if len(copies) == 2 and self._read_content(copies[0]) != self._read_content(copies[1]):
            self._disagreements["UDF"] = "its metadata file and its metadata mirror file differ"
        return copies[0]

    # --- directories and files (part 4) ---

    def _sections(self, length: int, address: _Address) -> list[Section]:
        """Where an extent lies in the image."""
        if address.partition >= len(self._maps):
            raise Unreadable("an address names a partition that does not exist")
        partition = self._maps[address.partition]
        offset = address.block * SECTOR
        if isinstance(partition, int):
            return [(partition + offset, length)]
        sections = []
        for start, size in partition:
            if length > 0 and offset < size:
                count = min(length, size - offset)
                sections.append((start + offset, count))
                length -= count
            offset = max(0, offset - size)
        if length > 0:
            raise Unreadable("an address lies beyond the end of the metadata file")
        return sections

    def _read_content(self, sections: list[Section]) -> bytes:
        """The content of a directory or of a metadata file."""
        if sum(length for _, length in sections) > 16 * LARGEST_DIRECTORY:
            raise Unreadable("a directory is too large")
        for start, length in sections:
            if not self._source.has(start, length):
                raise Unreadable("a directory goes beyond the end of the volume")
        return b"".join(self._source.read(start, length) for start, length in sections)

    def _read_structure(self, address: _Address, *identifiers: int) -> bytes:
        structure = self._read_content(self._sections(SECTOR, address))
        _check_tag(structure)
        if int.from_bytes(structure[:2], "little") not in identifiers:
            raise Unreadable("an address leads to a structure of another type")
        return structure

    def _read_entry(self, address: _Address) -> _Entry:
        """A File Entry (4/14.9) or an Extended File Entry (4/14.17)."""
        entry = self._read_structure(address, _FILE_ENTRY, _EXTENDED_FILE_ENTRY)
        is_extended = int.from_bytes(entry[:2], "little") == _EXTENDED_FILE_ENTRY
        file_type, flags = entry[27], int.from_bytes(entry[34:36], "little")
        (size,) = struct.unpack_from("<Q", entry, 56)
        attributes, length = struct.unpack_from("<II", entry, 208 if is_extended else 168)
        offset = (216 if is_extended else 176) + attributes
        if offset + length > SECTOR:
            raise Unreadable("a file entry is longer than its block")
        form = flags & 7
        if form == _EMBEDDED:
            start = self._sections(SECTOR, address)[0][0] + offset
            return _Entry(file_type, size, [(start, min(size, length))])
        sections = self._read_extents(entry[offset : offset + length], form, address, size)
        return _Entry(file_type, size, sections)

    def _read_extents(
        self, descriptors: bytes, form: int, address: _Address, size: int
    ) -> list[Section]:
        """Where the `size` bytes of a file lie, by its allocation descriptors."""
        sections: list[Section] = []
        for _ in range(_MAXIMUM_CONTINUATIONS):
            continuation = None
            for length, extent_type, extent in _allocations(descriptors, form, address):
                if extent_type == _CONTINUATION:
                    continuation = extent
                    break
                if extent_type != _RECORDED:
                    raise Unreadable("a file has extents that were never recorded")
                count = min(length, size)
                sections += self._sections(count, extent)
                size -= count
            if continuation is None:
                break
            structure = self._read_structure(continuation, _ALLOCATION_EXTENT)
            length = int.from_bytes(structure[20:24], "little")
            descriptors = structure[24 : 24 + length]
        if size:
            raise Unreadable("a file is longer than its extents")
        return sections

    def _walk(self, root: _Address) -> dict[str, list[Section]]:
        """The sections of every file by name."""
        sections: dict[str, list[Section]] = {}
        reached = {root}
        directories = [("", root, 1)]
        entries = 0
        while directories:
            path, address, level = directories.pop()
            entry = self._read_entry(address)
            if entry.file_type != _DIRECTORY_TYPE:
                raise Unreadable(f"directory {path or 'root'} is not a directory")
            for flags, name, child in _children(self._read_content(entry.sections), path):
                entries += 1
                check_bounds(entries, level)
                if not flags & _IS_DIRECTORY:
                    sections[path + name] = self._read_entry(child).sections
                    continue
                if child in reached:
                    raise Unreadable(f"directory {path}{name} is reached twice")
                reached.add(child)
                directories.append((f"{path}{name}\\", child, level + 1))
        return sections


def _check_tag(structure: bytes, identifier: int | None = None) -> None:
    """Raises Unreadable unless the descriptor tag is intact (3/7.2), and of this identifier."""
    tag_identifier, _, checksum, _, _, crc, length, _ = _TAG.unpack_from(structure)
    is_intact = (sum(structure[:16]) - checksum) & 0xFF == checksum
    if not is_intact or identifier not in (None, tag_identifier):
        raise Unreadable("a structure of UDF is not where it should be")
    if 16 + length > len(structure) or crc_hqx(structure[16 : 16 + length], 0) != crc:
        raise Unreadable("a structure of UDF is damaged: its CRC is wrong")


def _allocations(
    descriptors: bytes, form: int, address: _Address
) -> Iterator[tuple[int, int, _Address]]:
    """Length, type and place of the extent of each allocation descriptor (4/14.14).

    The short ones of an entry at `address` count in its partition.
    """
    if form not in (_SHORT, _LONG):
        raise Unreadable("a file has allocation descriptors of an unknown form")
    width = 8 if form == _SHORT else 16
    for offset in range(0, len(descriptors) - width + 1, width):
        if form == _SHORT:
            length, block = struct.unpack_from("<II", descriptors, offset)
            extent = _Address(block, address.partition)
        else:
            length, extent = _long_address(descriptors[offset : offset + 16])
        if not length:
            break
        yield length & 0x3FFFFFFF, length >> 30, extent


def _long_address(data: bytes) -> tuple[int, _Address]:
    """Length, with the extent type in its two highest bits, and place (4/14.14.2)."""
    length, block, partition = struct.unpack_from("<IIH", data)
    return length, _Address(block, partition)


def _children(content: bytes, path: str) -> Iterator[tuple[int, str, _Address]]:
    """Flags, name and entry of every child of a directory (4/14.4)."""
    offset = 0
    while offset + 38 <= len(content):
        flags, name_length = content[offset + 18], content[offset + 19]
        use_length = int.from_bytes(content[offset + 36 : offset + 38], "little")
        length = (38 + use_length + name_length + 3) & ~3
        identifier = int.from_bytes(content[offset : offset + 2], "little")
        if identifier != _FILE_IDENTIFIER or offset + length > len(content):
            raise Unreadable(f"directory {path or 'root'} has a damaged record")
        _check_tag(content[offset : offset + length])
        if not flags & (_DELETED | _PARENT):
            name_start = offset + 38 + use_length
            name = _decode_text(content[name_start : name_start + name_length])
            yield flags, name, _long_address(content[offset + 20 : offset + 36])[1]
        offset += length


def _decode_text(data: bytes) -> str:
    """OSTA Compressed Unicode (UDF 2.1.1)."""
    if data[:1] == b"\x10":
        return data[1:].decode("utf-16-be", "replace")
    return data[1:].decode("latin-1")


def _decode_dstring(data: bytes) -> str:
    """1/7.2.12: the last byte is the length."""
    return _decode_text(data[: min(data[-1], len(data) - 1)])
