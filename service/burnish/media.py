"""Ground: physical media as data (PS3.12).

A new medium is a new row here: checks, capacity, planning, verification and the Conformance
Statement all read this table. The profiles are in `application_profiles`.
"""

from dataclasses import dataclass
from enum import StrEnum

#: Bytes in one logical sector of every optical medium (PS3.12 F, P).
SECTOR = 2048


class FileSystem(StrEnum):
    """The file system of a medium (PS3.12)."""

    ISO_9660_LEVEL_1 = "ISO 9660 Level 1"
    ISO_9660_UDF_BRIDGE = "ISO 9660 and UDF 1.02"
    UDF_2_60 = "UDF 2.60"
    FAT = "FAT16 or FAT32"
    FAT16 = "FAT16"
    ZIP = "ZIP"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Medium:
    """A kind of blank.

    capacity: bytes that every blank of this kind holds.
    largest: bytes that a site may configure for its blanks, for a kind that comes in several sizes,
        as sticks and mailboxes do; 0 for a kind that does not.
    """

    name: str
    capacity: int
    file_system: FileSystem
    largest: int = 0

    def holding(self, capacity: int | None) -> int:
        """Bytes that a blank holds if the site has configured `capacity` (None: it has not)."""
        return self.capacity if capacity is None else min(capacity, self.largest or self.capacity)


#: Capacities:
#: - CD: 359,000 of the nominal 360,000 sectors of a CD-R of 80 minutes.
#: - DVD, DVD-DL: the sectors of the smallest kind, a DVD+R and a DVD-R of two layers.
#: - BD, BD-DL: discs of 25 and 50 GB with the default spare areas.
#: - USB, CF, MMC, SD: a stick of 4 GB and a card of 2 GB, less 5 % because makers count
#:   differently. A FAT16 has 2 GiB at most.
#: - MAIL, MIME: mailboxes commonly take messages of 25 MB. Base64 leaves 18 MB of them for a ZIP
#:   file; a MIME message is already encoded.
MEDIA: dict[str, Medium] = {
    medium.name: medium
    for medium in (
        Medium("CD", 359_000 * SECTOR, FileSystem.ISO_9660_LEVEL_1),
        Medium("DVD", 2_295_104 * SECTOR, FileSystem.ISO_9660_UDF_BRIDGE),
        Medium("DVD-DL", 4_171_712 * SECTOR, FileSystem.ISO_9660_UDF_BRIDGE),
        Medium("BD", 11_826_176 * SECTOR, FileSystem.UDF_2_60),
        Medium("BD-DL", 23_652_352 * SECTOR, FileSystem.UDF_2_60),
        Medium("USB", 3_800_000_000, FileSystem.FAT, largest=1 << 40),
        Medium("CF", 1_900_000_000, FileSystem.FAT, largest=1 << 40),
        Medium("MMC", 1_900_000_000, FileSystem.FAT16, largest=1 << 31),
        Medium("SD", 1_900_000_000, FileSystem.FAT16, largest=1 << 31),
        Medium("MAIL", 18_000_000, FileSystem.ZIP, largest=1 << 40),
        Medium("MIME", 25_000_000, FileSystem.MIME, largest=1 << 40),
    )
}

#: Media that can be left open for a later session. PS3.12 F requires that the last session
#: describes the whole disc, which ISO 9660 permits. DVD and BD have UDF (PS3.12 P, X), in which a
#: further session would need other structures, so they are always finalised.
OPEN_MEDIA = ("CD",)

#: The name that a ZIP file must have when it is attached to a message (PS3.11 L.3.2).
ATTACHMENT = "DICOM.ZIP"

#: The file systems that Burnish writes and reads back. A profile is offered if one of its media has
#: such a file system.
WRITTEN_FILE_SYSTEMS: frozenset[FileSystem] = frozenset(FileSystem)
#: File systems that PS3.12 permits instead of the one that Burnish writes.
PERMITTED_INSTEAD: dict[FileSystem, tuple[FileSystem, ...]] = {
    FileSystem.ISO_9660_UDF_BRIDGE: (FileSystem.ISO_9660_LEVEL_1,),
    FileSystem.FAT: (FileSystem.FAT16,),
}
