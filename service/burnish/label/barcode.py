"""Craft: Barcode Value (2200,0005) as bars, in each symbology of PS3.3 C.22.1.1."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

from burnish.errors import InvalidValue

#: Widths of a module in mm, each a whole number of dots at 600 dpi. The widest that fits is used.
MODULE_WIDTHS = tuple(dots * 25.4 / 600 for dots in (10, 8, 7, 6, 5))
#: Modules that stay white on either side (ISO/IEC 15417, 16388, 16390).
QUIET_ZONE = 10
_CODE_39_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"


@dataclass(frozen=True, slots=True)
class Barcode:
    """`modules` has a "1" for each dark and a "0" for each light module; `text` is their value."""

    modules: str
    text: str

    @property
    def width(self) -> int:
        """The number of modules, quiet zones included."""
        return len(self.modules) + 2 * QUIET_ZONE

    def bars(self) -> list[tuple[int, int]]:
        """The start and width of each bar in modules, counted from the left edge of the zone."""
        bars = []
        position = QUIET_ZONE
        for module, group in groupby(self.modules):
            width = len(list(group))
            if module == "1":
                bars.append((position, width))
            position += width
        return bars


def encode_barcode(value: str, symbology: str) -> Barcode:
    """The bars of a value, in CODE128 if no symbology is given (PS3.4 leaves both to the SCU).

    Raises InvalidValue if the symbology is not a Defined Term or cannot encode the value.
    """
    encode = SYMBOLOGIES.get(symbology or "CODE128")
    if encode is None:
        raise InvalidValue("Barcode Symbology is not one of the Defined Terms of PS3.3 C.22.1.1")
    text = value.strip()
    if not text:
        raise InvalidValue("Barcode Value is empty")
    return encode(text)


def _code_128(text: str) -> Barcode:
    """ISO/IEC 15417: any ASCII text."""
    if not text.isascii():
        raise InvalidValue("CODE128 encodes only ASCII")
    from barcode.codex import Code128

    return Barcode(Code128(text).build()[0], text)


def _code_39(text: str) -> Barcode:
    """ISO/IEC 16388, without the optional check character."""
    _require_code_39_characters(text, "CODE39")
    from barcode.codex import Code39

    return Barcode(Code39(text, add_checksum=False).build()[0], text)


def _interleaved_2_of_5(text: str) -> Barcode:
    """ISO/IEC 16390: pairs of digits; an odd number of digits gets a leading zero."""
    if not (text.isascii() and text.isdigit()):
        raise InvalidValue("INTER_2_5 encodes only digits")
    from barcode.itf import ITF

    bars = ITF(text, narrow=1, wide=3)
    return Barcode(bars.build()[0], bars.code)


def _hibc(text: str) -> Barcode:
    """ANSI/HIBC 1: characters of Code 39 between a leading `+` and a check character.

    The `+` and the check character are added if the value does not have them. The bars are those
    of Code 128, which HIBC permits besides Code 39.
    """
    _require_code_39_characters(text, "HIBC")
    is_complete = text.startswith("+") and len(text) > 2 and _check_character(text[:-1]) == text[-1]
    if not is_complete:
        text = text if text.startswith("+") else f"+{text}"
        text += _check_character(text)
    return _code_128(text)


def _require_code_39_characters(text: str, symbology: str) -> None:
    if not set(text) <= set(_CODE_39_CHARACTERS):
        raise InvalidValue(f"{symbology} encodes only the characters {_CODE_39_CHARACTERS}")


def _check_character(text: str) -> str:
    """The check character of HIBC: the sum of the characters' values modulo 43."""
    total = sum(_CODE_39_CHARACTERS.index(character) for character in text)
    return _CODE_39_CHARACTERS[total % len(_CODE_39_CHARACTERS)]


#: Defined Terms of Barcode Symbology (2200,0006).
SYMBOLOGIES: dict[str, Callable[[str], Barcode]] = {
    "CODE128": _code_128,
    "CODE39": _code_39,
    "INTER_2_5": _interleaved_2_of_5,
    "HIBC": _hibc,
}
