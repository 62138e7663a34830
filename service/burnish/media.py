"""Ground: physical media and Media Storage Application Profiles as data (PS3.11, PS3.12).

Adding a medium or a profile is adding a row here: checks, capacity, planning, verification
and the Conformance Statement all read these tables.
"""

from dataclasses import dataclass
from enum import StrEnum

from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS_SV1,
)

#: Bytes in one logical sector of every optical medium (PS3.12 F, P).
SECTOR = 2048


class FileSystem(StrEnum):
    """How a File-set lies on a medium (PS3.12)."""

    ISO_9660_LEVEL_1 = "ISO 9660 Level 1"


@dataclass(frozen=True, slots=True)
class Medium:
    """One kind of blank. `capacity` is what any blank of the kind holds, in bytes."""

    name: str
    capacity: int
    file_system: FileSystem


@dataclass(frozen=True, slots=True)
class ApplicationProfile:
    """One Media Storage Application Profile (PS3.11).

    `transfer_syntaxes` are those a File-set Creator may write; an instance in another one is
    brought into Explicit VR Little Endian. `media` are names in MEDIA, smallest first.
    """

    label: str
    media: tuple[str, ...]
    transfer_syntaxes: frozenset[str]
    section: str


#: The sectors a CD-R of 80 minutes surely has are 359,000 (nominally 360,000), a DVD+R 2,295,104.
MEDIA: dict[str, Medium] = {
    medium.name: medium
    for medium in (
        Medium("CD", 359_000 * SECTOR, FileSystem.ISO_9660_LEVEL_1),
        Medium("DVD", 2_295_104 * SECTOR, FileSystem.ISO_9660_LEVEL_1),
        Medium("DVD-DL", 4_171_712 * SECTOR, FileSystem.ISO_9660_LEVEL_1),
    )
}

_EXPLICIT = frozenset({EXPLICIT_VR_LITTLE_ENDIAN})
_JPEG = _EXPLICIT | {JPEG_LOSSLESS_SV1, JPEG_BASELINE, JPEG_EXTENDED}
_J2K = _EXPLICIT | {JPEG_2000_LOSSLESS, JPEG_2000}

PROFILES: dict[str, ApplicationProfile] = {
    profile.label: profile
    for profile in (
        ApplicationProfile("STD-GEN-CD", ("CD",), _EXPLICIT, "PS3.11 D"),
        ApplicationProfile("STD-GEN-DVD-JPEG", ("DVD", "DVD-DL"), _JPEG, "PS3.11 H"),
        ApplicationProfile("STD-GEN-DVD-J2K", ("DVD", "DVD-DL"), _J2K, "PS3.11 H"),
    )
}
