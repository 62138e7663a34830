"""Ground: the terms by which people find studies, and how both sides of a search are folded.

Case, accents, and the width of characters make no difference. A German umlaut is found as `ü`, `u`
and `ue`.
"""

import re
import unicodedata
from collections.abc import Iterator

from burnish.folding import LONGEST_TERM, fold

#: The kinds of terms.
NAME, PATIENT_ID, ACCESSION_NUMBER = "n", "p", "a"
#: Sorts after every character that a term may have.
LAST_CHARACTER = "\U0010ffff"
#: How some languages spell letters with an accent where they have only plain ones.
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """The folded words of a text."""
    return [word[:LONGEST_TERM] for word in _WORD.findall(fold(text))]


def name_terms(patient_name: str) -> set[str]:
    """The terms of a Patient's Name (PS3.5 6.2.1): the words of all its component groups.

    A name in a script that is written without spaces is also found as a whole.
    """
    terms: set[str] = set()
    for group in patient_name.split("="):
        spelled_out = unicodedata.normalize("NFKC", group.casefold()).translate(_SPELLED_OUT)
        terms.update(words(group), words(spelled_out))
        if not group.isascii():
            components = group.split("^")[:2]
            terms.update(words("".join("".join(part.split()) for part in components)))
    return terms


def code(text: str) -> str:
    """A Patient ID or Accession Number as a term."""
    return fold(text).strip()[:LONGEST_TERM]


def terms_of(
    patient_name: str, patient_id: str, accession_number: str
) -> Iterator[tuple[str, str]]:
    """The kind and the text of each term of a study."""
    for term in sorted(name_terms(patient_name)):
        yield NAME, term
    if code(patient_id):
        yield PATIENT_ID, code(patient_id)
    if code(accession_number):
        yield ACCESSION_NUMBER, code(accession_number)
