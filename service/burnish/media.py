"""Ground: physical media as data (PS3.12).

Adding a medium is adding a row here: checks, capacity, planning, verification and the Conformance
Statement all read this table. The profiles are in `application_profiles`.
"""

from dataclasses import dataclass
from enum import StrEnum

#: Bytes in one logical sector of every optical medium (PS3.12 F, P).
SECTOR = 2048


class FileSystem(StrEnum):
    """How a File-set lies on a medium (PS3.12)."""

    ISO_9660_LEVEL_1 = "ISO 9660 Level 1"
    ISO_9660_UDF_BRIDGE = "ISO 9660 and UDF 1.02"
    UDF_2_60 = "UDF 2.60"
    FAT = "FAT16 or FAT32"
    FAT16 = "FAT16"
    ZIP = "ZIP"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Medium:
    """One kind of blank. `capacity` is what any blank of the kind holds, in bytes.

    Where blanks of the kind differ, as sticks and mailboxes do, a site may say that its own hold
    more, up to `largest`.
    """

    name: str
    capacity: int
    file_system: FileSystem
    largest: int = 0

    def holding(self, capacity: int | None) -> int:
        """Bytes on one blank where the site says `capacity`; None where it does not say."""
        return self.capacity if capacity is None else min(capacity, self.largest or self.capacity)


#: The sectors a CD-R of 80 minutes surely has are 359,000 (nominally 360,000), a DVD+R 2,295,104,
#: a DVD-R of two layers 4,171,712; of BD those of 25 and 50 GB with the default spare areas.
#: Sticks and cards come in all sizes: 4 GB of a stick, 2 GB of a card, less 5 % that makers count
#: otherwise. FAT16 has no more than 2 GiB. What a mailbox takes in one message is the site's to
#: say; 25 MB are common, of which 18 MB are left when the ZIP file is encoded in Base64. What is a
#: message as it is may have all of them.
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

#: Those that can be left open for a later session: PS3.12 F wants the last one to describe
#: everything, as ISO 9660 lets it. That of the others has UDF as well, or nothing else, of which
#: every session would need another kind (PS3.12 P, X); DVD and BD are finalised.
OPEN_MEDIA = ("CD",)

#: The name that a ZIP file has when it is attached to a message (PS3.11 L.3.2).
ATTACHMENT = "DICOM.ZIP"

#: Those that Burnish writes and reads back: a profile is offered where it has a medium with one.
WRITTEN_FILE_SYSTEMS: frozenset[FileSystem] = frozenset(FileSystem)
#: What PS3.12 permits on a medium on which Burnish writes something else.
PERMITTED_INSTEAD: dict[FileSystem, tuple[FileSystem, ...]] = {
    FileSystem.ISO_9660_UDF_BRIDGE: (FileSystem.ISO_9660_LEVEL_1,),
    FileSystem.FAT: (FileSystem.FAT16,),
}
