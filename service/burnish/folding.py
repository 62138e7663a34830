"""Ground: folds text for searching, so that case, accents and width make no difference."""

import re
import unicodedata

#: The longest word that is kept for searching.
LONGEST_TERM = 64
#: Letters that have no decomposition in Unicode.
_PLAIN = str.maketrans(
    {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
)


def fold(text: str) -> str:
    """The text without case, accents and differences of width: `Müller` and `MULLER` are one.

    Only the accents of Latin, Greek and Cyrillic letters go: in other scripts such marks make
    another letter.
    """
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    kept = []
    base = ""
    for letter in decomposed:
        if not unicodedata.combining(letter):
            base = letter
        elif base < "\u0530":
            continue
        kept.append(letter)
    return unicodedata.normalize("NFKC", "".join(kept)).casefold().translate(_PLAIN)


def terms(text: str) -> list[str]:
    """The words of a text, folded, each once: a name is found by each of its parts."""
    words = re.split(r"[\s^=,]+", fold(text))
    return list(dict.fromkeys(word[:LONGEST_TERM] for word in words if word))
