"""Ground: decodes text in the Specific Character Sets of PS3.3 C.12.1.1.2.

Decoding never fails: damaged bytes become replacement characters, since an instance must not be
rejected for its text.
"""

import re
from functools import lru_cache

#: Python's codec for each Defined Term, with and without Code Extensions.
CODECS = {
    "": "ascii",
    "ISO_IR 6": "ascii",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 166": "tis-620",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
    "ISO_IR 58": "gb2312",
    "ISO_IR 87": "iso2022_jp",
    "ISO_IR 149": "euc_kr",
    "ISO_IR 159": "iso2022_jp_2",
}
#: The codec of the text after each escape sequence (PS3.3 Tables C.12-3 and C.12-4).
_ESCAPES = {
    b"\x1b(B": "ascii",
    b"\x1b(J": "shift_jis",
    b"\x1b)I": "shift_jis",
    b"\x1b-A": "latin-1",
    b"\x1b-B": "iso8859-2",
    b"\x1b-C": "iso8859-3",
    b"\x1b-D": "iso8859-4",
    b"\x1b-F": "iso8859-7",
    b"\x1b-G": "iso8859-6",
    b"\x1b-H": "iso8859-8",
    b"\x1b-L": "iso8859-5",
    b"\x1b-M": "iso8859-9",
    b"\x1b-T": "tis-620",
    b"\x1b-b": "iso8859-15",
    b"\x1b$B": "iso2022_jp",
    b"\x1b$(D": "iso2022_jp_2",
    b"\x1b$)A": "gb2312",
    b"\x1b$)C": "euc_kr",
}
#: Two-byte sets without the high bit: their codec needs the escape sequence itself.
_WIDE = frozenset({b"\x1b$B", b"\x1b$(D"})
_ESCAPE = re.compile(rb"(\x1b(?:\$?[()\-]|\$)[A-Za-z])")


@lru_cache(maxsize=256)
def codecs(specific_character_set: bytes) -> tuple[str, ...]:
    """The codec of each value of Specific Character Set (0008,0005); () if any is unknown."""
    terms = specific_character_set.decode("latin-1").strip(" \0").split("\\")
    normal = [term.strip().replace("ISO 2022 IR", "ISO_IR") for term in terms]
    if not all(term in CODECS for term in normal):
        return ()
    return tuple(CODECS[term] for term in normal)


def is_plain(value: bytes) -> bool:
    """Whether `value` means the same in every Specific Character Set."""
    return value.isascii() and 0x1B not in value


def guess(value: bytes) -> bytes:
    """The probable Specific Character Set of a text without a known one: UTF-8 or Latin-1."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return b"ISO_IR 100"
    return b"ISO_IR 192"


def decode(value: bytes, specific_character_set: bytes) -> str:
    """Text without its padding. An unknown or absent character set is guessed."""
    if is_plain(value):
        return value.decode("ascii").strip(" \0")
    declared = codecs(specific_character_set)
    if not declared or (declared == ("ascii",) and 0x1B not in value):
        declared = codecs(guess(value))
    if 0x1B not in value:
        return value.decode(declared[0], "replace").strip(" \0")
    return "".join(_pieces(value, declared[0])).strip(" \0")


def _pieces(value: bytes, first: str) -> list[str]:
    """The text between escape sequences (PS3.5 6.1.2.5).

    A delimiter also restores the first set (6.1.2.5.3), but text in another set must then start
    with its own escape sequence again, so delimiters need no special treatment.
    """
    texts = []
    wide, upper = b"", first
    for piece in _ESCAPE.split(value):
        codec = _ESCAPES.get(piece)
        if codec is None:
            texts.append((wide + piece).decode("iso2022_jp_2" if wide else upper, "replace"))
        elif piece in _WIDE:
            wide = piece
        else:
            wide = b""
            upper = first if codec == "ascii" else codec
    return texts
