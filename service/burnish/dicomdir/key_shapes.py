"""Craft: what directory records take from instances that have the same elements, as a series has.

What depends on nothing but which elements there are is found out once.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from burnish.application_profiles import limits
from burnish.dicom_elements import encode
from burnish.directory_records import DVD_KEYS, KEYS, all_keys

ISSUER = 0x00100021
VERIFICATION_DATE_TIME = 0x0040A030
CONTENT_SEQUENCE = 0x0040A730
SHARED_FUNCTIONAL_GROUPS = 0x52009229
_REFERENCED_IMAGES = 0x00081140

#: Where the profiles look in the Shared Functional Groups for a key (PS3.11 Table H.3-2).
IN_FUNCTIONAL_GROUPS = {
    0x00200032: 0x00209113,
    0x00200037: 0x00209116,
    0x00280030: 0x00289110,
    _REFERENCED_IMAGES: 0,
}
TEXTS = frozenset((b"SH", b"LO", b"PN", b"ST", b"LT"))
#: Dates that stand in for a missing Study Date, with their times.
FALLBACKS = ((0x00080021, 0x00080031), (0x00080022, 0x00080032), (0x00080023, 0x00080033))
ENTITY_KEYS = tuple(
    sorted(
        key
        for record in ("PATIENT", "STUDY", "SERIES")
        for key in (*KEYS[record], *DVD_KEYS.get(record, ()))
    )
)
#: All that the identity of an instance's entities is made of.
ENTITY_TAGS = tuple(
    {*(key.tag for key in ENTITY_KEYS), ISSUER, *(tag for pair in FALLBACKS for tag in pair)}
)


class Leaf(NamedTuple):
    """What to do for one key of an instance's own record."""

    tag: int
    vr: bytes
    type: str
    is_text: bool
    in_functional_groups: bool

    def is_usual(self, *, sequences: bool) -> bool:
        """Whether its element is made of its own value and nothing else."""
        if self.vr == b"SQ":
            return sequences and self.tag != CONTENT_SEQUENCE
        return self.tag != VERIFICATION_DATE_TIME


@lru_cache(maxsize=64)
def _leaves(record_type: str) -> tuple[Leaf, ...]:
    return tuple(
        Leaf(tag, vr, kind, vr in TEXTS, tag in IN_FUNCTIONAL_GROUPS)
        for tag, vr, kind in all_keys(record_type)
    )


class Shape(NamedTuple):
    """What is to be taken from instances that have values for the same tags, as a series has.

    `leaves` are the keys of their own record in order: what to look at, or an element that is
    the same for all of them; `missing` are keys of Type 1 that none of them has.
    `usual_places` are those of the leaves that need nothing but their own value, mostly all;
    `sequence_tags` are those of sequences among them.
    """

    entity_tags: tuple[int, ...]
    entity_values: Callable[[dict[int, bytes]], tuple[bytes, ...]]
    limited_tags: tuple[int, ...]
    limited_values: Callable[[dict[int, bytes]], tuple[bytes, ...]]
    leaves: tuple[Leaf | bytes, ...]
    missing: tuple[int, ...]
    has_unusual: bool
    sequence_tags: tuple[int, ...]
    usual_places: tuple[int, ...]
    usual_tags: tuple[int, ...]
    usual_vrs: tuple[bytes, ...]
    usual_values: Callable[[dict[int, bytes]], tuple[bytes, ...]]


@lru_cache(maxsize=256)
def shape(tags: tuple[int, ...], record_type: str, *, sequences: bool) -> Shape:
    """What is to be taken where there are values for `tags`, in this order.

    With `sequences`, they may be taken as they are, being in Explicit VR.
    """
    there = frozenset(tags)
    entity_tags = tuple(tag for tag in ENTITY_TAGS if tag in there)
    limited_tags = tuple(tag for tag in limits.SOUGHT if tag in there)
    leaves: list[Leaf | bytes] = []
    missing = []
    for leaf in _leaves(record_type) if record_type else ():
        elsewhere = leaf.in_functional_groups and SHARED_FUNCTIONAL_GROUPS in there
        if leaf.tag in there or elsewhere or leaf.tag == VERIFICATION_DATE_TIME:
            leaves.append(leaf)
        elif leaf.type == "2":
            leaves.append(encode(leaf.tag, leaf.vr, b""))
        elif leaf.type == "1":
            missing.append(leaf.tag)
    usual = [
        (place, leaf.tag, leaf.vr)
        for place, leaf in enumerate(leaves)
        if not isinstance(leaf, bytes) and leaf.tag in there and leaf.is_usual(sequences=sequences)
    ]
    places, usual_tags, vrs = zip(*usual, strict=True) if usual else ((), (), ())
    return Shape(
        *(entity_tags, picking(entity_tags), limited_tags, picking(limited_tags)),
        *(tuple(leaves), tuple(sorted(missing))),
        has_unusual=sum(isinstance(leaf, Leaf) for leaf in leaves) > len(usual),
        sequence_tags=tuple(tag for _, tag, vr in usual if vr == b"SQ"),
        usual_places=places,
        usual_tags=usual_tags,
        usual_vrs=vrs,
        usual_values=picking(usual_tags),
    )


def picking(keys: Sequence[int]) -> Callable[[Any], tuple[bytes, ...]]:
    """Gives the values that a tuple or a dictionary has at `keys`, however few these are."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda values: tuple([values[key] for key in keys])
