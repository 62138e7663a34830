"""Bar codes, read back by zxing-cpp."""

import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from burnish.errors import InvalidValue
from burnish.label.barcode import SYMBOLOGIES, Barcode, encode_barcode

CODE_39 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
PRINTABLE_ASCII = "".join(map(chr, range(33, 127))) + " "


def read_back(barcode: Barcode, symbology: zxingcpp.BarcodeFormat) -> str:
    """The value that a reader of a symbology sees."""
    image = Image.new("L", (barcode.width * 3, 60), 255)
    for start, width in barcode.bars():
        image.paste(0, (start * 3, 0, (start + width) * 3, 60))
    [result] = zxingcpp.read_barcodes(image, formats=symbology)
    return result.text


def values(characters: str, shortest: int = 1) -> st.SearchStrategy[str]:
    """Values of certain characters without spaces at their ends."""
    texts = st.text(characters, min_size=shortest, max_size=20)
    return texts.filter(lambda text: text == text.strip() != "")


@settings(max_examples=30, deadline=None)
@given(values(PRINTABLE_ASCII))
def test_code_128_encodes_any_ascii(value: str) -> None:
    barcode = encode_barcode(value, "CODE128")
    assert read_back(barcode, zxingcpp.BarcodeFormat.Code128) == value


@settings(max_examples=30, deadline=None)
@given(values(CODE_39))
def test_code_39_encodes_its_characters(value: str) -> None:
    barcode = encode_barcode(value, "CODE39")
    assert read_back(barcode, zxingcpp.BarcodeFormat.Code39Std) == value


@settings(max_examples=30, deadline=None)
@given(values("0123456789", 6))
def test_interleaved_2_of_5_encodes_pairs_of_digits(value: str) -> None:
    even = value if len(value) % 2 == 0 else f"0{value}"
    barcode = encode_barcode(value, "INTER_2_5")
    assert read_back(barcode, zxingcpp.BarcodeFormat.ITF) == even


@pytest.mark.parametrize("value", ["A123BJC5D6E71", "+A123BJC5D6E71", "+A123BJC5D6E71G"])
def test_hibc_gets_its_flag_and_its_check_character(value: str) -> None:
    # The example of the HIBC supplier standard: the check character of +A123BJC5D6E71 is G.
    barcode = encode_barcode(value, "HIBC")
    assert read_back(barcode, zxingcpp.BarcodeFormat.Code128) == "+A123BJC5D6E71G"


def test_the_default_symbology_is_code_128() -> None:
    assert encode_barcode("x1", "") == encode_barcode("x1", "CODE128")


@pytest.mark.parametrize(
    ("value", "symbology"),
    [("", "CODE128"), ("é", "CODE128"), ("abc", "CODE39"), ("12A", "INTER_2_5"), ("é", "HIBC")],
)
def test_a_value_that_a_symbology_cannot_encode_is_refused(value: str, symbology: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        encode_barcode(value, symbology)
    assert not value or value not in str(refusal.value).split()


def test_the_symbologies_are_those_of_the_standard() -> None:
    assert set(SYMBOLOGIES) == {"CODE128", "CODE39", "INTER_2_5", "HIBC"}
    with pytest.raises(InvalidValue):
        encode_barcode("1", "QR")
