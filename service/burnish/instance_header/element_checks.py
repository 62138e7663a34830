"""Craft: whether the elements of a data set follow each other as PS3.5 7.1 requires."""

from collections.abc import Iterator

from burnish.dicom_elements import UNDEFINED_LENGTH, describe

#: Groups of messages and of File Meta Information, which no data set has (PS3.5 7.1).
FOREIGN_GROUPS = frozenset({0x0000, 0x0002})
#: Kinds of faults of elements that readers pass over.
TOLERABLE = frozenset({"order", "length"})
#: A delimiter that has a length, or is not needed.
DELIMITER = "delimiter"
_NESTED = "nested "


def nested(kind: str) -> str:
    """The kind of a fault of an element within a sequence."""
    return f"{_NESTED}{kind}"


def is_passed_over(kind: str) -> bool:
    """Whether readers show the image whatever a fault of this kind says."""
    return kind in TOLERABLE or kind == DELIMITER or kind.startswith(_NESTED)


def attribute(tag: int) -> str:
    """The name and the tag of an attribute, as messages give them: Patient ID (0010,0020)."""
    from pydicom.datadict import dictionary_description

    try:
        return f"{dictionary_description(tag)} {describe(tag)}"
    except KeyError:
        return describe(tag)


class ElementChecks:
    """The checks of the elements at the top level of one data set, which are given in order."""

    def __init__(self) -> None:
        self._highest = -1

    def faults(self, tag: int, length: int) -> Iterator[tuple[str, str]]:
        """The faults of the next element: the kind of each, and a sentence about "its"."""
        yield from element_faults(tag, length, self._highest)
        self._highest = max(self._highest, tag)


def element_faults(tag: int, length: int, highest: int) -> Iterator[tuple[str, str]]:
    """The faults of an element behind others of which `highest` is the highest tag.

    The kind of each fault, and a sentence about "its".
    """
    if tag >> 16 in FOREIGN_GROUPS:
        yield "group", f"its data set has {attribute(tag)}, which belongs outside of it"
    elif tag == highest:
        yield "twice", f"its data set has {attribute(tag)} twice"
    elif tag < highest:
        yield "order", f"its {attribute(tag)} comes behind an element of a higher tag"
    if length % 2 and length != UNDEFINED_LENGTH:
        yield "length", f"its {attribute(tag)} has {length} bytes, where lengths are even"
