"""Values of instances that are made to conform for directory records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.dicomdir.key_values import fit


@pytest.mark.parametrize(
    ("tag", "vr", "value", "expected"),
    [
        (0x00200013, b"IS", b" 12 ", b"12"),
        (0x00200013, b"IS", b"3.0", b"3"),
        (0x00200013, b"IS", b"1\\2", b""),
        (0x00200013, b"IS", b"99999999999", b""),
        (0x00080020, b"DA", b"20240131", b"20240131"),
        (0x00080020, b"DA", b"2024.01.31", b"20240131"),
        (0x00080020, b"DA", b"20241331", b""),
        (0x00080030, b"TM", b"12:30:59", b"123059"),
        (0x00080030, b"TM", b"123059.1234567", b"123059"),
        (0x00080030, b"TM", b"99", b""),
        (0x0008002A, b"DT", b"20240131120000.1+0100", b"20240131120000.1+0100"),
        (0x0008002A, b"DT", b"yesterday", b""),
        (0x00080060, b"CS", b"ct", b"CT"),
        (0x00080060, b"CS", b"CT\\MR", b"CT"),
        (0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\", b"ORIGINAL\\PRIMARY\\"),
        (0x00200032, b"DS", b"1\\2\\3", b"1\\2\\3"),
        (0x00200032, b"DS", b"1\\2", b""),
        (0x00200032, b"DS", b"1.00000000000000000\\2\\3", b"1\\2\\3"),
        (0x00200052, b"UI", b"1.2.3\0", b"1.2.3"),
        (0x00200052, b"UI", b"1.2.x", b""),
        (0x00280010, b"US", b"\1\0", b"\1\0"),
        (0x00280010, b"US", b"1", b""),
        (0x00100020, b"LO", b"a\\b\0", b"a/b"),
        (0x00100020, b"LO", b"a\nb", b"a b"),
        (0x00200010, b"SH", b"x" * 20, b"x" * 16),
        (0x00100010, b"PN", b"x" * 70 + b"=y", b"x" * 64 + b"=y"),
        (0x00100010, b"PN", "é".encode() * 64, "é".encode() * 64),
        (0x00100010, b"PN", "é".encode() * 70, "é".encode() * 64),
        (0x00100020, b"LO", b"   ", b""),
    ],
)
def test_values_are_made_to_conform(tag: int, vr: bytes, value: bytes, expected: bytes) -> None:
    assert fit(tag, vr, value, b"ISO_IR 192") == expected


@given(
    st.sampled_from([b"DA", b"TM", b"DT", b"IS", b"DS", b"CS", b"UI", b"LO", b"PN", b"ST", b"US"]),
    st.binary(max_size=100),
)
def test_a_conforming_value_is_not_changed_again(vr: bytes, value: bytes) -> None:
    fitted = fit(0x00080008, vr, value, b"ISO_IR 100")
    assert fit(0x00080008, vr, fitted, b"ISO_IR 100") == fitted
