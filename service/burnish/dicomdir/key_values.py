"""Craft: makes values of instances conform to their VR, for directory records (PS3.5 6.2).

A directory record must conform even if the instance does not. A value is corrected if that needs
no invention; otherwise it counts as empty.
"""

import re
from collections.abc import Callable

from burnish import character_sets
from burnish.identifiers import is_tolerable_uid

_DATE = re.compile(rb"[0-9]{4}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_TIME = re.compile(rb"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9]|60)(\.[0-9]{1,6})?|[0-5][0-9])?")
_DATE_TIME = re.compile(
    rb"[0-9]{4}((0[1-9]|1[0-2])((0[1-9]|[12][0-9]|3[01])(([01][0-9]|2[0-3])([0-5][0-9]"
    rb"([0-5][0-9]|60)?(\.[0-9]{1,6})?)?)?)?)?([+-][01][0-9][0-5][0-9])?"
)
_INTEGER = re.compile(rb"[+-]?[0-9]{1,12}")
_CODE = re.compile(rb"[A-Z0-9 _]{1,16}")
_CODES = re.compile(rb"[A-Z0-9 _]{0,16}(\\[A-Z0-9 _]{0,16})*")
_DECIMAL_PATTERN = rb" *[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? *"
_DECIMAL = re.compile(_DECIMAL_PATTERN)
_DECIMALS = re.compile(rb"%s(?:\\%s)*" % (_DECIMAL_PATTERN, _DECIMAL_PATTERN))
_CONTROL = re.compile(rb"[\x00-\x1a\x1c-\x1f\x7f]")
_LINE_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")

#: The most characters of a text, and of each component group of a PN (PS3.5 Table 6.2-1).
_LIMITS = {b"SH": 16, b"LO": 64, b"PN": 64, b"ST": 1024, b"LT": 10240}
#: The number of values of each attribute that has several decimals.
_DECIMAL_COUNTS = {0x00200032: 3, 0x00200037: 6, 0x00280030: 2}
#: Attributes (CS) that may have several values.
_SEVERAL_CODES = frozenset({0x00080008})
#: The bytes of binary numbers.
_WIDTHS = {b"US": 2, b"UL": 4}


def fit(tag: int, vr: bytes, value: bytes, character_set: bytes) -> bytes:
    """The conforming value without trailing padding; b"" if there is none."""
    if vr in _WIDTHS:
        return value if len(value) == _WIDTHS[vr] else b""
    stripped = value.rstrip(b" \0")
    if not stripped:
        return b""
    check = _CHECKS.get(vr)
    if check is not None:
        return check(tag, stripped)
    if vr in _LIMITS:
        return _text(vr, stripped, character_set)
    return stripped


def _date(_: int, value: bytes) -> bytes:
    plain = value.strip(b" ")
    if len(plain) == 10:  # YYYY.MM.DD of ACR-NEMA 2.0 (PS3.5 6.2 note)
        plain = plain.replace(b".", b"").replace(b"-", b"")
    return plain if _DATE.fullmatch(plain) else b""


def _time(_: int, value: bytes) -> bytes:
    plain = value.strip(b" ").replace(b":", b"")
    if _TIME.fullmatch(plain):
        return plain
    shorter, point, _fraction = plain.partition(b".")
    return shorter if point and _TIME.fullmatch(shorter) else b""


def _date_time(_: int, value: bytes) -> bytes:
    plain = value.strip(b" ")
    return plain if _DATE_TIME.fullmatch(plain) else b""


def _integer(_: int, value: bytes) -> bytes:
    plain = value.strip(b" ")
    if not _INTEGER.fullmatch(plain):
        if _DECIMAL.fullmatch(plain) is None or len(plain) > 16 or float(plain) % 1:
            return b""
        plain = str(int(float(plain))).encode("ascii")
    return plain if -(2**31) <= int(plain) < 2**31 and len(plain) <= 12 else b""


def _decimals(tag: int, value: bytes) -> bytes:
    values = value.split(b"\\")
    if len(values) != _DECIMAL_COUNTS.get(tag, len(values)) or not _DECIMALS.fullmatch(value):
        return b""
    if max(map(len, values)) <= 16:
        return value
    shorter = [n if len(n) <= 16 else b"%.9g" % float(n) for n in values]
    return b"\\".join(shorter) if all(len(n) <= 16 and b"n" not in n for n in shorter) else b""


def _code(tag: int, value: bytes) -> bytes:
    several = tag in _SEVERAL_CODES
    if (_CODES if several else _CODE).fullmatch(value):
        return value
    if not several:
        value = value.partition(b"\\")[0]
    codes = [re.sub(rb"[^A-Z0-9 _]", b"_", c.strip(b" ").upper())[:16] for c in value.split(b"\\")]
    return b"\\".join(codes)


def _uid(_: int, value: bytes) -> bytes:
    plain = value.strip(b" ")
    return plain if plain.isascii() and is_tolerable_uid(plain.decode("ascii")) else b""


_CHECKS: dict[bytes, Callable[[int, bytes], bytes]] = {
    b"DA": _date,
    b"TM": _time,
    b"DT": _date_time,
    b"IS": _integer,
    b"DS": _decimals,
    b"CS": _code,
    b"UI": _uid,
}


def _text(vr: bytes, value: bytes, character_set: bytes) -> bytes:
    """Text of one value without control characters, shortened if too long (PS3.5 6.2)."""
    limit = _LIMITS[vr]
    controls = _LINE_CONTROL if vr in (b"ST", b"LT") else _CONTROL
    if controls.search(value):
        value = controls.sub(b" ", value).rstrip(b" ")
    if character_sets.is_plain(value):
        if vr in (b"SH", b"LO", b"PN"):
            value = value.replace(b"\\", b"/")
        if vr != b"PN":
            return value[:limit].rstrip(b" ")
        return b"=".join(group[:limit] for group in value.split(b"=")[:3])
    if len(value) <= limit:
        return value
    decoded = character_sets.decode(value, character_set, "replace")
    groups = decoded.split("=") if vr == b"PN" else [decoded]
    if all(len(group) <= limit for group in groups):
        return value
    codecs = character_sets.codecs(character_set)
    if len(codecs) != 1 or 0x1B in value:
        return b""
    shorter = "=".join(group[:limit] for group in groups[:3])
    return shorter.encode(codecs[0], "replace")
