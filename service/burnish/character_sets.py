"""Ground: decodes text in the Specific Character Sets of PS3.3 C.12.1.1.2.

Decoding never fails, since an instance must not be rejected for its text. A byte that cannot be
decoded is shown as a backslash and three octal digits, as PS3.5 6.1.2.3 has it.
"""

import codecs as python_codecs
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


#: A code string (PS3.5 6.2).
_CODE = re.compile(r"[A-Z0-9 _]{0,16}")
#: What may be shown of a term: no text of a patient that came here by mistake.
_SHOWABLE = re.compile(r"[A-Za-z0-9 _.:-]{1,24}")
_OCTAL = "octal"


def _in_octal_digits(error: UnicodeError) -> tuple[str, int]:
    """The error handler by which a byte is shown as PS3.5 6.1.2.3 has it: G\\374nther."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return octal(error.object[error.start : error.end]), error.end


def octal(value: bytes) -> str:
    """Bytes as a backslash and three octal digits each."""
    return "".join(f"\\{byte:03o}" for byte in value)


python_codecs.register_error(_OCTAL, _in_octal_digits)


@lru_cache(maxsize=256)
def codecs(specific_character_set: bytes) -> tuple[str, ...]:
    """The codec of each value of Specific Character Set (0008,0005); () if any is unknown."""
    normal = [_normal(term) for term in _terms(specific_character_set)]
    if not all(term in CODECS for term in normal):
        return ()
    return tuple(CODECS[term] for term in normal)


@lru_cache(maxsize=256)
def unknown_terms(specific_character_set: bytes) -> tuple[str, ...]:
    """The values of Specific Character Set (0008,0005) that are not known, as they may be shown."""
    return tuple(
        term if _SHOWABLE.fullmatch(term) else "a value that is no code"
        for term in _terms(specific_character_set)
        if _normal(term) not in CODECS
    )


def for_record(specific_character_set: bytes) -> bytes:
    """The character set of a directory record: that of the instance, known or not.

    b"" if that is not made of code strings, which a record must have (PS3.5 6.2).
    """
    declared = specific_character_set.strip(b" \0")
    return declared if all(_CODE.fullmatch(term) for term in _terms(declared)) else b""


def _terms(specific_character_set: bytes) -> list[str]:
    text = specific_character_set.decode("latin-1").strip(" \0")
    return [term.strip() for term in text.split("\\")]


def _normal(term: str) -> str:
    return term.replace("ISO 2022 IR", "ISO_IR")


def _codec(term: str) -> str | None:
    """The codec of a Defined Term, also of one that is misspelt; None if it is not known."""
    return CODECS.get(_normal(term)) or _MISSPELT.get(_letters_and_digits(term))


def _letters_and_digits(term: str) -> str:
    return "".join(filter(str.isalnum, term.upper())).replace("ISO2022IR", "ISOIR")


#: The codec of each Defined Term without spaces and signs, and of other names that devices write.
_MISSPELT = {_letters_and_digits(term): codec for term, codec in CODECS.items() if term} | {
    "UTF8": "utf-8",
    "ISO88591": "latin-1",
    "LATIN1": "latin-1",
}


def is_plain(value: bytes) -> bool:
    """Whether `value` means the same in every Specific Character Set."""
    return value.isascii() and 0x1B not in value


def guess(value: bytes) -> bytes:
    """The probable Specific Character Set of a text without one: UTF-8 or Latin-1."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return b"ISO_IR 100"
    return b"ISO_IR 192"


def decode(value: bytes, specific_character_set: bytes, errors: str = _OCTAL) -> str:
    """Text without its padding.

    An absent character set is guessed (`guess`), a misspelt one is taken for the one that is meant.
    In one that is not known, text is read as UTF-8 if it is; otherwise its bytes beyond ASCII
    cannot be decoded. `errors` is an error handler of Python, for bytes that cannot be decoded.
    """
    if is_plain(value):
        return value.decode("ascii").strip(" \0")
    first = _first_codec(value, specific_character_set)
    if 0x1B not in value:
        return value.decode(first, errors).strip(" \0")
    return "".join(_pieces(value, first, errors)).strip(" \0")


def is_decodable(value: bytes, specific_character_set: bytes) -> bool:
    """Whether a text has only what its character set has: nothing is guessed or replaced."""
    if is_plain(value):
        return True
    codec = _codec(_terms(specific_character_set)[0])
    if codec is None or (0x1B not in value and codec == "ascii"):
        return False
    try:
        decode(value, specific_character_set, "strict")
    except UnicodeDecodeError:
        return False
    return True


def _first_codec(value: bytes, specific_character_set: bytes) -> str:
    """The codec of text that no escape sequence precedes."""
    terms = _terms(specific_character_set)
    codec = _codec(terms[0])
    is_absent = codec == "ascii" and len(terms) == 1 and 0x1B not in value
    if codec is not None and not is_absent:
        return codec
    guessed = CODECS[guess(value).decode("ascii")]
    return guessed if is_absent or guessed == "utf-8" else "ascii"


def _pieces(value: bytes, first: str, errors: str) -> list[str]:
    """The text between escape sequences (PS3.5 6.1.2.5).

    A delimiter also restores the first set (6.1.2.5.3), but text in another set must then start
    with its own escape sequence again, so delimiters need no special treatment.
    """
    texts = []
    wide, upper = b"", first
    for number, piece in enumerate(_ESCAPE.split(value)):
        codec = _ESCAPES.get(piece)
        if number % 2 and codec is None:  # an escape sequence of a set that is not known
            texts.append(_undecodable(piece, errors))
            wide, upper = b"", "ascii"
        elif codec is None:
            texts.append((wide + piece).decode("iso2022_jp_2" if wide else upper, errors))
        elif piece in _WIDE:
            wide = piece
        else:
            wide = b""
            upper = first if codec == "ascii" else codec
    return texts


def _undecodable(piece: bytes, errors: str) -> str:
    """An escape sequence that is not known; raises UnicodeDecodeError if `errors` is strict."""
    if errors == "strict":
        raise UnicodeDecodeError("ascii", piece, 0, len(piece), "unknown escape sequence")
    return octal(piece) if errors == _OCTAL else ""
