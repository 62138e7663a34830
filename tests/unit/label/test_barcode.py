"""Bar codes, read back by zxing-cpp."""

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from burnish.errors import InvalidValue
from burnish.label.barcode import SYMBOLOGIES, Barcode, barcode

Code = zxingcpp.BarcodeFormat
CODE_39 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
PRINTABLE = "".join(map(chr, range(33, 127))) + " "


def read(made: Barcode, symbology: zxingcpp.BarcodeFormat) -> str:
    """What a reader of a symbology makes of it."""
    image = Image.new("L", (made.width * 3, 60), 255)
    for at, wide in made.bars():
        image.paste(0, (at * 3, 0, (at + wide) * 3, 60))
    [found] = zxingcpp.read_barcodes(image, formats=symbology)
    return found.text


def of(letters: str, shortest: int = 1) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=shortest, max_size=20).filter(lambda s: s == s.strip() != "")


@settings(max_examples=30, deadline=None)
@given(of(PRINTABLE))
def test_code_128_says_any_ascii(value: str) -> None:
    assert read(barcode(value, "CODE128"), Code.Code128) == value


@settings(max_examples=30, deadline=None)
@given(of(CODE_39))
def test_code_39(value: str) -> None:
    assert read(barcode(value, "CODE39"), Code.Code39Std) == value


@settings(max_examples=30, deadline=None)
@given(of("0123456789", 6))
def test_interleaved_2_of_5_has_pairs_of_digits(value: str) -> None:
    even = value if len(value) % 2 == 0 else f"0{value}"
    assert read(barcode(value, "INTER_2_5"), Code.ITF) == even


def test_hibc_gets_its_flag_and_its_check_character() -> None:
    # the example of the HIBC supplier standard: the check character of +A123BJC5D6E71 is G
    for given_ in ("A123BJC5D6E71", "+A123BJC5D6E71", "+A123BJC5D6E71G"):
        assert read(barcode(given_, "HIBC"), Code.Code128) == "+A123BJC5D6E71G"


def test_without_a_symbology_it_is_code_128() -> None:
    assert barcode("x1", "") == barcode("x1", "CODE128")


@pytest.mark.parametrize(
    ("value", "symbology"),
    [("", "CODE128"), ("é", "CODE128"), ("abc", "CODE39"), ("12A", "INTER_2_5"), ("é", "HIBC")],
)
def test_what_a_symbology_cannot_say_is_refused(value: str, symbology: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        barcode(value, symbology)
    assert not value or value not in str(refused.value).split()


def test_the_symbologies_are_those_of_the_standard() -> None:
    assert set(SYMBOLOGIES) == {"CODE128", "CODE39", "INTER_2_5", "HIBC"}
    with pytest.raises(InvalidValue):
        barcode("1", "QR")
