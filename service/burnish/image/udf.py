"""Craft: encodes the structures of UDF (ECMA-167, OSTA UDF 1.02 and 2.60).

Numbers in brackets are sections of ECMA-167. Every structure of its own begins with a tag that
holds a checksum of itself and a CRC of what follows.
"""

import hashlib
import struct
from binascii import crc_hqx
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from burnish.errors import InvalidValue
from burnish.media import SECTOR

#: The most bytes of one extent of a file: what 30 bits hold, in whole sectors (4/14.14.1).
LARGEST_EXTENT = 0x3FFFF800

#: Recognition sequence at sector 16 or after what ISO 9660 has there (2/8.3), by its standards.
RECOGNITION_UDF_1 = b"".join(
    (b"\0" + name + b"\1").ljust(SECTOR, b"\0") for name in (b"BEA01", b"NSR02", b"TEA01")
)
RECOGNITION_UDF_2 = RECOGNITION_UDF_1.replace(b"NSR02", b"NSR03")

#: File types of an ICB (4/14.6.6; UDF 2.60 2.2.13).
DIRECTORY, REGULAR, METADATA, METADATA_MIRROR = 4, 5, 250, 251

_DEVELOPER = "*Burnish"
_DOMAIN = "*OSTA UDF Compliant"
_IN_ICB_SHORT, _IN_ICB_LONG = 0, 1
#: PS3.12 P.2.1.5 and X.2.1.5: everybody may read, write and delete a file, and go through, read,
#: write and delete a directory (4/14.9.5).
_FILE_PERMISSIONS, _DIRECTORY_PERMISSIONS = 0b10110, 0b10111
_EVERYBODY = 1 | 1 << 5 | 1 << 10


@dataclass(frozen=True, slots=True)
class Udf:
    """What all structures of one volume have in common."""

    revision: int
    volume_identifier: str
    created: datetime

    def stamp(self) -> bytes:
        """A timestamp (1/7.3) with its time zone in minutes."""
        offset = self.created.utcoffset()
        if offset is None:
            raise InvalidValue("the date of an image needs its time zone")
        zone = offset // timedelta(minutes=1) & 0xFFF
        year, month, day, hour, minute, second = self.created.timetuple()[:6]
        return struct.pack("<HH5B3x", 0x1000 | zone, year, month, day, hour, minute, second)

    def tag(self, identifier: int, location: int, body: bytes) -> bytes:
        """A structure: its descriptor tag (3/7.2), and `body`."""
        version = 2 if self.revision < 0x0200 else 3
        tag = struct.pack(
            "<HHBBHHHI", identifier, version, 0, 0, 1, crc_hqx(body, 0), len(body), location
        )
        return tag[:4] + bytes((sum(tag) & 0xFF,)) + tag[5:] + body

    def entity(self, identifier: str, suffix: bytes = b"") -> bytes:
        """An Entity Identifier (1/7.4)."""
        return b"\0" + identifier.encode().ljust(23, b"\0") + suffix.ljust(8, b"\0")

    def domain(self) -> bytes:
        """The domain that the volume conforms to; nothing may be written to it."""
        return self.entity(_DOMAIN, struct.pack("<HB", self.revision, 0x03))

    def udf_entity(self, identifier: str) -> bytes:
        """An identifier that UDF itself defines (UDF 2.1.5.3), of no particular system."""
        return self.entity(identifier, struct.pack("<H", self.revision))


def text(value: str, length: int) -> bytes:
    """A dstring (1/7.2.12) of so many bytes, in 8-bit characters."""
    encoded = b"\x08" + value.encode("ascii") if value else b""
    return encoded.ljust(length - 1, b"\0") + bytes((len(encoded),))


def character_set() -> bytes:
    """OSTA Compressed Unicode (UDF 2.1.2)."""
    return b"\0" + b"OSTA Compressed Unicode".ljust(63, b"\0")


def long_address(length: int, block: int, partition: int = 0, unique: int = 0) -> bytes:
    """A long_ad (4/14.14.2) with the UDF unique ID in its implementation use."""
    return struct.pack("<IIHHI", length, block, partition, 0, unique)


def short_address(length: int, block: int) -> bytes:
    """A short_ad (4/14.14.1)."""
    return struct.pack("<II", length, block)


def spanned(size: int, block: int) -> Iterable[tuple[int, int]]:
    """The extents of a file that lies in one piece: length in bytes, and first block."""
    while size > 0:
        length = min(size, LARGEST_EXTENT)
        yield length, block
        size, block = size - length, block + LARGEST_EXTENT // SECTOR


def file_set_sequence(udf: Udf, root: bytes) -> bytes:
    """The File Set Descriptor (4/14.1) and its terminator, in the first two blocks of a partition.

    `root` is the long_ad of the root directory.
    """
    body = (
        udf.stamp()
        + struct.pack("<HHIIII", 3, 3, 1, 1, 0, 0)
        + character_set()
        + text(udf.volume_identifier, 128)
        + character_set()
        + text(udf.volume_identifier, 32)
        + bytes(64)
        + root
        + udf.domain()
    )
    descriptor = udf.tag(256, 0, body.ljust(496, b"\0"))
    terminator = udf.tag(8, 1, bytes(496))
    return descriptor.ljust(SECTOR, b"\0") + terminator.ljust(SECTOR, b"\0")


def file_entry(
    udf: Udf,
    location: int,
    file_type: int,
    *,
    size: int,
    addresses: Sequence[bytes],
    unique: int,
    links: int = 1,
) -> bytes:
    """The entry of a file or directory: a File Entry (4/14.9), from UDF 2.00 on an extended one.

    `addresses` are short_ad of 8 bytes or long_ad of 16.
    """
    long = bool(addresses) and len(addresses[0]) == 16
    extended = udf.revision >= 0x0200
    permissions = _DIRECTORY_PERMISSIONS if file_type == DIRECTORY else _FILE_PERMISSIONS
    blocks = -(-size // SECTOR)
    icb = struct.pack(
        "<IHHHBBIHH", 0, 4, 0, 1, 0, file_type, 0, 0, _IN_ICB_LONG if long else _IN_ICB_SHORT
    )
    body = icb + struct.pack(
        "<IIIHBBIQ", 0xFFFFFFFF, 0xFFFFFFFF, permissions * _EVERYBODY, links, 0, 0, 0, size
    )
    stamp = udf.stamp()
    if extended:
        body += struct.pack("<QQ", size, blocks) + stamp * 4 + struct.pack("<II", 1, 0)
        body += bytes(32)
    else:
        body += struct.pack("<Q", blocks) + stamp * 3 + struct.pack("<I", 1) + bytes(16)
    tail = b"".join(addresses)
    body += udf.entity(_DEVELOPER) + struct.pack("<QII", unique, 0, len(tail)) + tail
    return udf.tag(266 if extended else 261, location, body)


def file_identifier(
    udf: Udf, location: int, name: str, icb: bytes, *, directory: bool = False
) -> bytes:
    """A File Identifier Descriptor (4/14.4); one without a name leads to the parent directory."""
    encoded = b"\x08" + name.encode("ascii") if name else b""
    flags = (2 if directory else 0) | (0 if name else 8)
    body = struct.pack("<HBB", 1, flags, len(encoded)) + icb + b"\0\0" + encoded
    return udf.tag(257, location, body.ljust(file_identifier_length(len(name)) - 16, b"\0"))


def file_identifier_length(name_length: int) -> int:
    """Bytes of a File Identifier Descriptor, which has a multiple of four."""
    return (38 + (1 + name_length if name_length else 0) + 3) & ~3


def directory_sectors(runs: Iterable[tuple[int, int]]) -> int:
    """Sectors of a directory, by the number and length of its names."""
    length = file_identifier_length(0)
    length += sum(count * file_identifier_length(size) for count, size in runs)
    return -(-length // SECTOR)


def volume_set_identifier(udf: Udf) -> str:
    """Sixteen hexadecimal digits that no two volumes share, as UDF 2.2.2.5 wants, and the name."""
    made = f"{udf.volume_identifier} {udf.created.isoformat()}".encode()
    return hashlib.sha256(made).hexdigest()[:16] + udf.volume_identifier
