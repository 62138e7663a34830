"""Craft: Barcode Value (2200,0005) as bars, in each symbology of PS3.3 C.22.1.1."""

from collections.abc import Callable
from dataclasses import dataclass

from burnish.errors import InvalidValue

#: Widths of one module in mm, each a whole number of dots of 600 dpi; the widest that fits is used.
MODULES = tuple(dots * 25.4 / 600 for dots in (10, 8, 7, 6, 5))
#: Modules that stay white on either side (ISO/IEC 15417, 16388, 16390).
QUIET = 10
_CODE_39 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"


@dataclass(frozen=True, slots=True)
class Barcode:
    """`modules` has a 1 for each dark one and a 0 for each light one; `text` is what they say."""

    modules: str
    text: str

    @property
    def width(self) -> int:
        """Modules in all, with the quiet zones."""
        return len(self.modules) + 2 * QUIET

    def bars(self) -> list[tuple[int, int]]:
        """Where each bar begins, and how wide it is, in modules from the left quiet zone's edge."""
        found = []
        at = QUIET
        for dark in self.modules.replace("01", "0 1").replace("10", "1 0").split():
            if dark[0] == "1":
                found.append((at, len(dark)))
            at += len(dark)
        return found


def barcode(value: str, symbology: str) -> Barcode:
    """The bars of a value; without a symbology, CODE128 (PS3.4 leaves both to the SCU).

    Raises InvalidValue where the symbology is none of the Defined Terms, or cannot say the value.
    """
    encode = SYMBOLOGIES.get(symbology or "CODE128")
    if encode is None:
        raise InvalidValue("Barcode Symbology is none of the Defined Terms of PS3.3 C.22.1.1")
    text = value.strip()
    if not text:
        raise InvalidValue("Barcode Value is empty")
    return encode(text)


def _code_128(text: str) -> Barcode:
    """ISO/IEC 15417: any ASCII."""
    if not text.isascii():
        raise InvalidValue("CODE128 has no letters but those of ASCII")
    from barcode.codex import Code128

    return Barcode(Code128(text).build()[0], text)


def _code_39(text: str) -> Barcode:
    """ISO/IEC 16388, without the optional check character."""
    if not set(text) <= set(_CODE_39):
        raise InvalidValue(f"CODE39 has no characters but {_CODE_39}")
    from barcode.codex import Code39

    return Barcode(Code39(text, add_checksum=False).build()[0], text)


def _interleaved_2_of_5(text: str) -> Barcode:
    """ISO/IEC 16390: digits in pairs; before an odd number of them stands a zero."""
    if not (text.isascii() and text.isdigit()):
        raise InvalidValue("INTER_2_5 has no characters but digits")
    from barcode.itf import ITF

    bars = ITF(text, narrow=1, wide=3)
    return Barcode(bars.build()[0], bars.code)


def _hibc(text: str) -> Barcode:
    """ANSI/HIBC 1: a value of Code 39's characters, `+` before it, its check character behind.

    Which of the two the value lacks is added. In Code 128, which HIBC permits beside Code 39.
    """
    if not set(text) <= set(_CODE_39):
        raise InvalidValue(f"HIBC has no characters but {_CODE_39}")
    if not (text[0] == "+" and len(text) > 2 and _check_character(text[:-1]) == text[-1]):
        text = text if text[0] == "+" else f"+{text}"
        text += _check_character(text)
    return _code_128(text)


def _check_character(text: str) -> str:
    return _CODE_39[sum(_CODE_39.index(letter) for letter in text) % 43]


#: Defined Terms of Barcode Symbology (2200,0006).
SYMBOLOGIES: dict[str, Callable[[str], Barcode]] = {
    "CODE128": _code_128,
    "CODE39": _code_39,
    "INTER_2_5": _interleaved_2_of_5,
    "HIBC": _hibc,
}
