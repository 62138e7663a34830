"""Ground: icons of directory records, and what profiles require of them (PS3.3 F.7, PS3.11)."""

from dataclasses import dataclass
from typing import NamedTuple

from burnish.dicom_elements import PIXEL_DATA, scan
from burnish.errors import Unreadable

#: The most rows and columns that Burnish accepts; every reader shows 64 (PS3.3 F.7).
LARGEST = 256
_SAMPLES, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 0x00280002, 0x00280004, 0x00280006
_ROWS, _COLUMNS = 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_KINDS = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})


class IconAttributes(NamedTuple):
    """The attributes in an item of Icon Image Sequence; `sound`: the item conforms to F.7."""

    rows: int
    columns: int
    bits: int
    photometric_interpretation: str
    sound: bool


@dataclass(frozen=True, slots=True)
class IconRule:
    """The rule of a profile for Icon Image Sequence (0088,0200): `size` is rows and columns."""

    required: bool
    size: int
    photometric_interpretations: frozenset[str]

    def accepts(self, icon: IconAttributes) -> bool:
        return (
            icon.sound
            and icon.bits == 8
            and icon.rows == icon.columns == self.size
            and icon.photometric_interpretation in self.photometric_interpretations
        )

    def __str__(self) -> str:
        kinds = " or ".join(sorted(self.photometric_interpretations))
        return f"{self.size} x {self.size}, 8 bits, {kinds}"


def read(item: bytes, *, explicit: bool = True) -> IconAttributes:
    """The attributes in the content of an item."""
    try:
        values = {
            element.tag: item[element.value : element.value + element.length]
            for element in scan(item, 0, len(item), explicit=explicit)
        }
    except Unreadable:
        return IconAttributes(0, 0, 0, "", False)

    def number(tag: int) -> int:
        return int.from_bytes(values.get(tag, b"")[:2], "little")

    rows, columns, bits = number(_ROWS), number(_COLUMNS), number(_ALLOCATED)
    kind = values.get(_PHOTOMETRIC, b"").decode("latin-1").strip(" \0")
    length = (rows * columns * bits + 7) // 8
    sound = (
        number(_SAMPLES) == 1
        and kind in _KINDS
        and bits in (1, 8)
        and (number(_STORED), number(_HIGH), number(_SIGNED)) == (bits, bits - 1, 0)
        and _PLANAR_CONFIGURATION not in values
        and len(values.get(PIXEL_DATA, b"")) == length + length % 2 > 0
    )
    return IconAttributes(rows, columns, bits, kind, sound)


def acceptable(item: bytes, rule: IconRule | None) -> bool:
    """Whether a record may have the icon `item` (in Explicit VR) by the `rule` of its profile."""
    icon = read(item)
    if rule:
        return rule.accepts(icon)
    return icon.sound and icon.rows <= LARGEST and icon.columns <= LARGEST
