"""Craft: what the faults of an instance mean for its media.

The header of an instance has its faults in words. Those that readers pass over come first.
"""

import re
from collections.abc import Iterable

from burnish import character_sets
from burnish.instance_header.element_checks import attribute
from burnish.instance_header.pixel_data import NO_PIXEL_DATA

#: The end of a fault that readers pass over: the instance goes on media as it is.
KEPT = " (kept as it is)"
#: Stands where the sequences of an instance or the frames of an image have not been examined yet,
#: or nothing of an instance that an earlier version of Burnish received.
UNEXAMINED = "not examined yet"
_CHARACTER_SET = "Specific Character Set (0008,0005)"
_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")


def in_words(tolerable: str, faults: Iterable[str]) -> str:
    """All faults of an instance as one text, "" for none."""
    return "; ".join([f"{tolerable}{KEPT}"] * bool(tolerable) + [*faults])


def text_fault(character_set: bytes, undecodable: int) -> str:
    """The faults of the texts of an instance, in words; "" if there are none.

    `character_set` is its Specific Character Set (0008,0005); `undecodable` is the tag of a text
    that is not in it, 0 if there is none.
    """
    if terms := character_sets.unknown_terms(character_set):
        return f"its {_CHARACTER_SET} has {', '.join(terms)}, which is not known"
    if not undecodable:
        return ""
    if character_set.strip(b" \0") in (b"", b"ISO_IR 6"):
        return f"its {attribute(undecodable)} has text beyond ASCII without a {_CHARACTER_SET}"
    return f"its {attribute(undecodable)} has bytes that are not in its {_CHARACTER_SET}"


def with_text_fault(character_set: bytes, undecodable: int, fault: str) -> str:
    """The fault of an instance, preceded by what is wrong with its texts."""
    text = f"{text_fault(character_set, undecodable)}{KEPT}"
    return f"{text}; {fault}" if fault else text


def has_doubtful_text(fault: str) -> bool:
    """Whether texts of the instance are not in a character set that is known."""
    return _CHARACTER_SET in fault


def after_examination(earlier: str, minor: Iterable[str], serious: Iterable[str]) -> str:
    """The fault of an instance that was unexamined, with what its examination has found.

    Readers pass over what is `minor`: the first of that is enough.
    """
    texts = [text for text in known(earlier).split("; ") if text]
    texts += [f"{text}{KEPT}" for text in list(minor)[:1]]
    texts += serious
    # the last text decides what becomes of the instance
    return "; ".join(sorted(texts, key=_severity))


def _severity(text: str) -> int:
    return 2 if prevents_media(text) else int(has_no_pixel_data(text))


def prevents_media(fault: str) -> bool:
    """Whether an instance with this fault is not put on media, unless the site wants that."""
    return bool(fault) and not fault.endswith((KEPT, NO_PIXEL_DATA, UNEXAMINED))


def has_no_pixel_data(fault: str) -> bool:
    """Whether the instance is an image that is a header alone."""
    return fault.endswith(NO_PIXEL_DATA)


def is_kept(fault: str) -> bool:
    """Whether the instance goes on media as it is, and people should know of the fault."""
    return fault.endswith(KEPT)


def is_unexamined(fault: str) -> bool:
    """Whether an examination of the file is to tell if there is a fault."""
    return fault.endswith(UNEXAMINED)


def known(fault: str) -> str:
    """The faults that are known, "" for none."""
    return fault.removesuffix(UNEXAMINED).removesuffix("; ")


def attributes(fault: str) -> tuple[int, ...]:
    """The tags of the attributes that faults which prevent media name, each once."""
    texts = [text for text in fault.split("; ") if prevents_media(text)]
    numbers = _TAG.findall("; ".join(texts))
    # items and delimiters are no attributes
    tags = (int(group + number, 16) for group, number in numbers if group != "FFFE")
    return tuple(dict.fromkeys(tags))
