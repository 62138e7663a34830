"""Craft: encodes what a UDF volume begins with (ECMA-167 part 3): the volume descriptors."""

import struct
from dataclasses import dataclass

from burnish.image import udf
from burnish.image.udf import Udf
from burnish.media import SECTOR
from burnish.vocabulary import IMPLEMENTATION_VERSION_NAME

#: Where the two Volume Descriptor Sequences lie, and their sectors each (3/8.4.2); the integrity
#: sequence; the first anchor.
MAIN_SEQUENCE, RESERVE_SEQUENCE, SEQUENCE_SECTORS = 32, 48, 16
INTEGRITY_SEQUENCE, ANCHOR = 64, 256

_READ_ONLY = 1
_INTERCHANGE_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Partition:
    """The partition that everything lies in: its first sector, and how many it has.

    `maps` are the partition maps (3/10.7), `sizes` the blocks of each, and `file_set` is the
    long_ad of the File Set Descriptor.
    """

    first: int
    sectors: int
    maps: tuple[bytes, ...]
    sizes: tuple[int, ...]
    file_set: bytes


@dataclass(frozen=True, slots=True)
class Census:
    """What the integrity descriptor tells: files, directories, and the next unique ID."""

    files: int
    directories: int
    next_unique: int


#: The partition map of the one partition there is (3/10.7.2).
PHYSICAL_MAP = struct.pack("<BBHH", 1, 6, 1, 0)


def sequences(common: Udf, partition: Partition, census: Census) -> list[tuple[int, bytes]]:
    """Both descriptor sequences and the integrity sequence: first sector and bytes of each."""
    found = []
    for at in (MAIN_SEQUENCE, RESERVE_SEQUENCE):
        makers = (_primary, _implementation_use, _partition, _logical, _unallocated)
        descriptors = [make(common, partition, at + number) for number, make in enumerate(makers)]
        descriptors.append(common.tag(8, at + len(makers), bytes(496)))
        found.append((at, b"".join(one.ljust(SECTOR, b"\0") for one in descriptors)))
    integrity = _integrity(common, partition, census).ljust(SECTOR, b"\0")
    terminator = common.tag(8, INTEGRITY_SEQUENCE + 1, bytes(496))
    return [*found, (INTEGRITY_SEQUENCE, integrity + terminator)]


def anchor(common: Udf, location: int) -> bytes:
    """An Anchor Volume Descriptor Pointer (3/10.2), which leads to both sequences."""
    length = SEQUENCE_SECTORS * SECTOR
    body = struct.pack("<IIII", length, MAIN_SEQUENCE, length, RESERVE_SEQUENCE)
    return common.tag(2, location, body.ljust(496, b"\0"))


def _sequence_number(location: int) -> bytes:
    return struct.pack("<I", (location - MAIN_SEQUENCE) % SEQUENCE_SECTORS)


def _primary(common: Udf, partition: Partition, location: int) -> bytes:  # noqa: ARG001
    """3/10.1."""
    body = (
        _sequence_number(location)
        + struct.pack("<I", 0)
        + udf.text(common.volume_identifier, 32)
        + struct.pack("<HHHHII", 1, 1, _INTERCHANGE_LEVEL, _INTERCHANGE_LEVEL, 1, 1)
        + udf.text(udf.volume_set_identifier(common), 128)
        + udf.character_set() * 2
        + bytes(16)
        + common.entity(_application())
        + common.stamp()
        + common.entity("*Burnish")
        + bytes(64)
        + struct.pack("<IH", 0, 1)
    )
    return common.tag(1, location, body.ljust(496, b"\0"))


def _application() -> str:
    return "*" + IMPLEMENTATION_VERSION_NAME


def _implementation_use(common: Udf, partition: Partition, location: int) -> bytes:  # noqa: ARG001
    """3/10.4, UDF 2.2.7."""
    body = (
        _sequence_number(location)
        + common.udf_entity("*UDF LV Info")
        + udf.character_set()
        + udf.text(common.volume_identifier, 128)
        + udf.text("", 36) * 3
        + common.entity("*Burnish")
    )
    return common.tag(4, location, body.ljust(496, b"\0"))


def _partition(common: Udf, partition: Partition, location: int) -> bytes:
    """3/10.5."""
    standard = "+NSR02" if common.revision < 0x0200 else "+NSR03"
    body = (
        _sequence_number(location)
        + struct.pack("<HH", 1, 0)
        + common.entity(standard)
        + bytes(128)
        + struct.pack("<III", _READ_ONLY, partition.first, partition.sectors)
        + common.entity("*Burnish")
    )
    return common.tag(5, location, body.ljust(496, b"\0"))


def _logical(common: Udf, partition: Partition, location: int) -> bytes:
    """3/10.6."""
    maps = b"".join(partition.maps)
    body = (
        _sequence_number(location)
        + udf.character_set()
        + udf.text(common.volume_identifier, 128)
        + struct.pack("<I", SECTOR)
        + common.domain()
        + partition.file_set
        + struct.pack("<II", len(maps), len(partition.maps))
        + common.entity("*Burnish")
        + bytes(128)
        + struct.pack("<II", 2 * SECTOR, INTEGRITY_SEQUENCE)
        + maps
    )
    return common.tag(6, location, body)


def _unallocated(common: Udf, partition: Partition, location: int) -> bytes:  # noqa: ARG001
    """3/10.8."""
    return common.tag(7, location, _sequence_number(location) + bytes(4))


def _integrity(common: Udf, partition: Partition, census: Census) -> bytes:
    """A closed volume (3/10.10, UDF 2.2.6)."""
    revision = common.revision
    # what reads UDF 2.50 reads 2.60
    read = min(revision, 0x0250)
    use = common.entity("*Burnish") + struct.pack(
        "<IIHHH", census.files, census.directories, read, revision, revision
    )
    sizes = struct.pack(f"<{len(partition.sizes)}I", *partition.sizes)
    body = (
        common.stamp()
        + struct.pack("<III", 1, 0, 0)
        + struct.pack("<Q", census.next_unique).ljust(32, b"\0")
        + struct.pack("<II", len(partition.sizes), len(use))
        + bytes(len(sizes))
        + sizes
        + use
    )
    return common.tag(9, INTEGRITY_SEQUENCE, body)
