"""Craft: encodes the structures of UDF (ECMA-167, OSTA UDF 1.02 and 2.60).

Where they and the files lie in an image is decided by `udf_writer` (UDF 2.60 alone, for Blu-ray
discs) and by `udf_bridge_writer` (ISO 9660 and UDF 1.02, for DVDs).

Numbers in brackets are parts and sections of ECMA-167. Every structure begins with a tag that holds
a checksum of itself and a CRC of what follows.
"""

import hashlib
import struct
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from burnish.errors import InvalidValue
from burnish.image.directory_tree import Directory
from burnish.media import SECTOR
from burnish.values import VolumeFile
from burnish.vocabulary import IMPLEMENTATION_VERSION_NAME

#: The most bytes of one extent of a file: what 30 bits hold, in whole sectors (4/14.14.1).
LARGEST_EXTENT = 0x3FFFF800

#: The recognition sequence of UDF 1.02 (2/8.3), at sector 16 or behind the descriptors of ISO 9660.
RECOGNITION_UDF_1 = b"".join(
    (b"\0" + name + b"\1").ljust(SECTOR, b"\0") for name in (b"BEA01", b"NSR02", b"TEA01")
)
#: The same of UDF 2.60.
RECOGNITION_UDF_2 = RECOGNITION_UDF_1.replace(b"NSR02", b"NSR03")

#: File types of an ICB (4/14.6.6; UDF 2.60 2.2.13).
DIRECTORY, REGULAR, METADATA, METADATA_MIRROR = 4, 5, 250, 251

#: First sectors of both Volume Descriptor Sequences and the sectors of each (3/8.4.2), of the
#: integrity sequence, and of the first anchor.
MAIN_SEQUENCE, RESERVE_SEQUENCE, SEQUENCE_SECTORS = 32, 48, 16
INTEGRITY_SEQUENCE, ANCHOR = 64, 256

#: The map of a partition that lies on the medium itself (3/10.7.2).
PHYSICAL_MAP = struct.pack("<BBHH", 1, 6, 1, 0)

_DEVELOPER = "*Burnish"
_DOMAIN = "*OSTA UDF Compliant"
_READ_ONLY = 1
_INTERCHANGE_LEVEL = 2
_SHORT_ADDRESSES, _LONG_ADDRESSES = 0, 1
#: PS3.12 P.2.1.5 and X.2.1.5: everybody may read, write and delete a file, and enter, read, write
#: and delete a directory (4/14.9.5).
_FILE_PERMISSIONS, _DIRECTORY_PERMISSIONS = 0b10110, 0b10111
_EVERYBODY = 1 | 1 << 5 | 1 << 10
#: Systems that number files in another way keep the unique IDs below for themselves (UDF 3.2.1.1).
_FIRST_UNIQUE_ID = 16


@dataclass(frozen=True, slots=True)
class UdfEncoder:
    """Encodes what all structures of one volume have in common."""

    revision: int
    volume_identifier: str
    created: datetime

    def timestamp(self) -> bytes:
        """The date of the volume with its time zone in minutes (1/7.3)."""
        offset = self.created.utcoffset()
        if offset is None:
            raise InvalidValue("the date of an image needs its time zone")
        zone = offset // timedelta(minutes=1) & 0xFFF
        year, month, day, hour, minute, second = self.created.timetuple()[:6]
        return struct.pack("<HH5B3x", 0x1000 | zone, year, month, day, hour, minute, second)

    def tagged(self, identifier: int, location: int, body: bytes) -> bytes:
        """A structure: its descriptor tag (3/7.2) and `body`."""
        version = 2 if self.revision < 0x0200 else 3
        tag = struct.pack(
            "<HHBBHHHI", identifier, version, 0, 0, 1, crc_hqx(body, 0), len(body), location
        )
        checksum = sum(tag) & 0xFF
        return tag[:4] + bytes([checksum]) + tag[5:] + body

    def entity(self, identifier: str, suffix: bytes = b"") -> bytes:
        """An Entity Identifier (1/7.4)."""
        return b"\0" + identifier.encode().ljust(23, b"\0") + suffix.ljust(8, b"\0")

    def domain(self) -> bytes:
        """The domain that the volume conforms to, with its flags for write protection."""
        return self.entity(_DOMAIN, struct.pack("<HB", self.revision, 0x03))

    def udf_entity(self, identifier: str) -> bytes:
        """An identifier that UDF itself defines (UDF 2.1.5.3), of no particular system."""
        return self.entity(identifier, struct.pack("<H", self.revision))


# --- elements of structures ----------------------------------------------------------------------


def dstring(value: str, length: int) -> bytes:
    """A dstring of `length` bytes, in 8-bit characters (1/7.2.12)."""
    encoded = b"\x08" + value.encode("ascii") if value else b""
    return encoded.ljust(length - 1, b"\0") + bytes([len(encoded)])


def character_set() -> bytes:
    """OSTA Compressed Unicode (UDF 2.1.2)."""
    return b"\0" + b"OSTA Compressed Unicode".ljust(63, b"\0")


def long_address(length: int, block: int, partition: int = 0, unique_id: int = 0) -> bytes:
    """A long_ad (4/14.14.2) with the UDF unique ID in its implementation use."""
    return struct.pack("<IIHHI", length, block, partition, 0, unique_id)


def short_address(length: int, block: int) -> bytes:
    """A short_ad (4/14.14.1)."""
    return struct.pack("<II", length, block)


def extents(size: int, block: int) -> Iterable[tuple[int, int]]:
    """The extents of a file that lies in one piece: length in bytes and first block of each."""
    while size > 0:
        length = min(size, LARGEST_EXTENT)
        yield length, block
        size -= length
        block += LARGEST_EXTENT // SECTOR


# --- volume descriptors (ECMA-167 part 3) --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Partition:
    """The partition that everything lies in: its first sector and its number of sectors.

    `maps` are the partition maps (3/10.7), `sizes` the blocks of each, and `file_set` is the
    long_ad of the File Set Descriptor.
    """

    first: int
    sectors: int
    maps: tuple[bytes, ...]
    sizes: tuple[int, ...]
    file_set: bytes


@dataclass(frozen=True, slots=True)
class Totals:
    """The values of the integrity descriptor: files, directories, and the next unique ID."""

    files: int
    directories: int
    next_unique_id: int


def volume_sequences(
    encoder: UdfEncoder, partition: Partition, totals: Totals
) -> list[tuple[int, bytes]]:
    """Both descriptor sequences and the integrity sequence: first sector and bytes of each."""
    sequences = []
    for first in (MAIN_SEQUENCE, RESERVE_SEQUENCE):
        descriptors = [
            _primary_volume_descriptor(encoder, first),
            _implementation_use_descriptor(encoder, first + 1),
            _partition_descriptor(encoder, partition, first + 2),
            _logical_volume_descriptor(encoder, partition, first + 3),
            _unallocated_space_descriptor(encoder, first + 4),
            _terminating_descriptor(encoder, first + 5),
        ]
        sequences.append((first, _in_sectors(descriptors)))
    integrity = [
        _integrity_descriptor(encoder, partition, totals),
        _terminating_descriptor(encoder, INTEGRITY_SEQUENCE + 1),
    ]
    sequences.append((INTEGRITY_SEQUENCE, _in_sectors(integrity)))
    return sequences


def anchor(encoder: UdfEncoder, location: int) -> bytes:
    """An Anchor Volume Descriptor Pointer, which leads to both sequences (3/10.2)."""
    length = SEQUENCE_SECTORS * SECTOR
    body = struct.pack("<IIII", length, MAIN_SEQUENCE, length, RESERVE_SEQUENCE)
    return encoder.tagged(2, location, body.ljust(496, b"\0"))


def _in_sectors(structures: Iterable[bytes]) -> bytes:
    return b"".join(structure.ljust(SECTOR, b"\0") for structure in structures)


def _sequence_number(location: int) -> bytes:
    return struct.pack("<I", (location - MAIN_SEQUENCE) % SEQUENCE_SECTORS)


def _primary_volume_descriptor(encoder: UdfEncoder, location: int) -> bytes:
    """3/10.1."""
    body = (
        _sequence_number(location)
        + struct.pack("<I", 0)
        + dstring(encoder.volume_identifier, 32)
        + struct.pack("<HHHHII", 1, 1, _INTERCHANGE_LEVEL, _INTERCHANGE_LEVEL, 1, 1)
        + dstring(_volume_set_identifier(encoder), 128)
        + character_set() * 2
        + bytes(16)
        + encoder.entity("*" + IMPLEMENTATION_VERSION_NAME)
        + encoder.timestamp()
        + encoder.entity(_DEVELOPER)
        + bytes(64)
        + struct.pack("<IH", 0, 1)
    )
    return encoder.tagged(1, location, body.ljust(496, b"\0"))


def _volume_set_identifier(encoder: UdfEncoder) -> str:
    """Sixteen hexadecimal digits that no two volumes share (UDF 2.2.2.5), and the name."""
    identity = f"{encoder.volume_identifier} {encoder.created.isoformat()}".encode()
    return hashlib.sha256(identity).hexdigest()[:16] + encoder.volume_identifier


def _implementation_use_descriptor(encoder: UdfEncoder, location: int) -> bytes:
    """3/10.4, UDF 2.2.7."""
    body = (
        _sequence_number(location)
        + encoder.udf_entity("*UDF LV Info")
        + character_set()
        + dstring(encoder.volume_identifier, 128)
        + dstring("", 36) * 3
        + encoder.entity(_DEVELOPER)
    )
    return encoder.tagged(4, location, body.ljust(496, b"\0"))


def _partition_descriptor(encoder: UdfEncoder, partition: Partition, location: int) -> bytes:
    """3/10.5."""
    standard = "+NSR02" if encoder.revision < 0x0200 else "+NSR03"
    body = (
        _sequence_number(location)
        + struct.pack("<HH", 1, 0)
        + encoder.entity(standard)
        + bytes(128)
        + struct.pack("<III", _READ_ONLY, partition.first, partition.sectors)
        + encoder.entity(_DEVELOPER)
    )
    return encoder.tagged(5, location, body.ljust(496, b"\0"))


def _logical_volume_descriptor(encoder: UdfEncoder, partition: Partition, location: int) -> bytes:
    """3/10.6."""
    maps = b"".join(partition.maps)
    body = (
        _sequence_number(location)
        + character_set()
        + dstring(encoder.volume_identifier, 128)
        + struct.pack("<I", SECTOR)
        + encoder.domain()
        + partition.file_set
        + struct.pack("<II", len(maps), len(partition.maps))
        + encoder.entity(_DEVELOPER)
        + bytes(128)
        + struct.pack("<II", 2 * SECTOR, INTEGRITY_SEQUENCE)
        + maps
    )
    return encoder.tagged(6, location, body)


def _unallocated_space_descriptor(encoder: UdfEncoder, location: int) -> bytes:
    """3/10.8."""
    return encoder.tagged(7, location, _sequence_number(location) + bytes(4))


def _terminating_descriptor(encoder: UdfEncoder, location: int) -> bytes:
    """3/10.9, 4/14.2."""
    return encoder.tagged(8, location, bytes(496))


def _integrity_descriptor(encoder: UdfEncoder, partition: Partition, totals: Totals) -> bytes:
    """States that the volume is closed (3/10.10, UDF 2.2.6)."""
    revision = encoder.revision
    # a system that reads UDF 2.50 also reads 2.60
    least_to_read = min(revision, 0x0250)
    implementation_use = encoder.entity(_DEVELOPER) + struct.pack(
        "<IIHHH", totals.files, totals.directories, least_to_read, revision, revision
    )
    sizes = struct.pack(f"<{len(partition.sizes)}I", *partition.sizes)
    body = (
        encoder.timestamp()
        + struct.pack("<III", 1, 0, 0)
        + struct.pack("<Q", totals.next_unique_id).ljust(32, b"\0")
        + struct.pack("<II", len(partition.sizes), len(implementation_use))
        + bytes(len(sizes))  # no free space in any partition
        + sizes
        + implementation_use
    )
    return encoder.tagged(9, INTEGRITY_SEQUENCE, body)


# --- file set, directories and files (ECMA-167 part 4) -------------------------------------------


def file_set_sequence(encoder: UdfEncoder, root: bytes) -> bytes:
    """The File Set Descriptor (4/14.1) and its terminator, in the first two blocks of a partition.

    `root` is the long_ad of the root directory.
    """
    body = (
        encoder.timestamp()
        + struct.pack("<HHIIII", 3, 3, 1, 1, 0, 0)
        + character_set()
        + dstring(encoder.volume_identifier, 128)
        + character_set()
        + dstring(encoder.volume_identifier, 32)
        + bytes(64)
        + root
        + encoder.domain()
    )
    descriptor = encoder.tagged(256, 0, body.ljust(496, b"\0"))
    return _in_sectors([descriptor, _terminating_descriptor(encoder, 1)])


def file_entry(
    encoder: UdfEncoder,
    location: int,
    file_type: int,
    *,
    size: int,
    addresses: Sequence[bytes],
    unique_id: int,
    links: int = 1,
) -> bytes:
    """The entry of a file or directory: a File Entry (4/14.9), from UDF 2.00 on an extended one.

    `addresses` are short_ad of 8 bytes or long_ad of 16.
    """
    are_long = bool(addresses) and len(addresses[0]) == 16
    is_extended = encoder.revision >= 0x0200
    permissions = _DIRECTORY_PERMISSIONS if file_type == DIRECTORY else _FILE_PERMISSIONS
    blocks = -(-size // SECTOR)
    address_form = _LONG_ADDRESSES if are_long else _SHORT_ADDRESSES
    body = struct.pack("<IHHHBBIHH", 0, 4, 0, 1, 0, file_type, 0, 0, address_form)  # ICB tag
    body += struct.pack(
        "<IIIHBBIQ", 0xFFFFFFFF, 0xFFFFFFFF, permissions * _EVERYBODY, links, 0, 0, 0, size
    )
    timestamp = encoder.timestamp()
    if is_extended:
        body += struct.pack("<QQ", size, blocks) + timestamp * 4 + struct.pack("<II", 1, 0)
        body += bytes(32)
    else:
        body += struct.pack("<Q", blocks) + timestamp * 3 + struct.pack("<I", 1) + bytes(16)
    descriptors = b"".join(addresses)
    body += encoder.entity(_DEVELOPER) + struct.pack("<QII", unique_id, 0, len(descriptors))
    return encoder.tagged(266 if is_extended else 261, location, body + descriptors)


def file_identifier(
    encoder: UdfEncoder, location: int, name: str, icb: bytes, *, directory: bool = False
) -> bytes:
    """A File Identifier Descriptor (4/14.4); without a name it leads to the parent directory."""
    encoded = b"\x08" + name.encode("ascii") if name else b""
    flags = (2 if directory else 0) | (0 if name else 8)
    body = struct.pack("<HBB", 1, flags, len(encoded)) + icb + b"\0\0" + encoded
    body_length = file_identifier_length(len(name)) - 16
    return encoder.tagged(257, location, body.ljust(body_length, b"\0"))


def file_identifier_length(name_length: int) -> int:
    """Bytes of a File Identifier Descriptor, a multiple of four."""
    return (38 + (1 + name_length if name_length else 0) + 3) & ~3


def names_sectors(names: Iterable[tuple[int, int]]) -> int:
    """Sectors of a directory's content, by pairs of a number of names and their length."""
    length = file_identifier_length(0)  # the parent
    length += sum(count * file_identifier_length(name_length) for count, name_length in names)
    return -(-length // SECTOR)


@dataclass(slots=True)
class EntryBlocks:
    """The block of each directory's and file's entry, counted in the partition of the entries.

    Directories come first, the entry of each followed by its content, then files.
    """

    directories: Sequence[Directory]
    files: Sequence[VolumeFile]
    first: int
    blocks: dict[str, int] = field(default_factory=dict)
    unique_ids: dict[str, int] = field(default_factory=dict)
    end: int = 0

    def __post_init__(self) -> None:
        block = self.first
        for directory in self.directories:
            self.blocks[directory.path] = block
            names = [child.name for child in directory.directories] + directory.files
            block += 1 + names_sectors((1, len(name)) for name in names)
        for file in self.files:
            self.blocks[file.file_id] = block
            block += 1
        self.end = block
        below_root = list(self.blocks)[1:]
        self.unique_ids = {
            path: number for number, path in enumerate(below_root, start=_FIRST_UNIQUE_ID)
        }
        self.unique_ids[""] = 0

    @property
    def next_unique_id(self) -> int:
        return _FIRST_UNIQUE_ID + len(self.blocks) - 1


def encode_entries(
    encoder: UdfEncoder,
    entry_blocks: EntryBlocks,
    partition: int,
    addresses_of: Callable[[VolumeFile], Sequence[bytes]],
) -> bytes:
    """All entries and the content of all directories, from the root's entry to the last file's.

    They lie in the partition of this number. `addresses_of` gives the allocation descriptors of a
    file's content.
    """
    sectors = []
    for directory in entry_blocks.directories:
        block = entry_blocks.blocks[directory.path]
        content = _directory_content(encoder, entry_blocks, partition, directory)
        entry = file_entry(
            encoder,
            block,
            DIRECTORY,
            size=len(content),
            addresses=[short_address(len(content), block + 1)],
            unique_id=entry_blocks.unique_ids[directory.path],
            links=1 + len(directory.directories),
        )
        sectors += [entry.ljust(SECTOR, b"\0"), content, bytes(-len(content) % SECTOR)]
    for file in entry_blocks.files:
        entry = file_entry(
            encoder,
            entry_blocks.blocks[file.file_id],
            REGULAR,
            size=file.size,
            addresses=addresses_of(file),
            unique_id=entry_blocks.unique_ids[file.file_id],
        )
        sectors.append(entry.ljust(SECTOR, b"\0"))
    return b"".join(sectors)


def _directory_content(
    encoder: UdfEncoder, entry_blocks: EntryBlocks, partition: int, directory: Directory
) -> bytes:
    """The parent of a directory, then its directories and files by name (4/8.6)."""
    children = [("", directory.parent, True)]
    children += [(child.name, child.path, True) for child in directory.directories]
    children += [(name, directory.path_of(name), False) for name in directory.files]
    first = entry_blocks.blocks[directory.path] + 1
    content = bytearray()
    for name, path, is_directory in children:
        unique_id = entry_blocks.unique_ids[path] if encoder.revision >= 0x0200 else 0
        icb = long_address(SECTOR, entry_blocks.blocks[path], partition, unique_id)
        location = first + len(content) // SECTOR
        content += file_identifier(encoder, location, name, icb, directory=is_directory)
    return bytes(content)
