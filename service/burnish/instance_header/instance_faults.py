"""Craft: what the faults of an instance mean for its media.

The header of an instance has its faults in words. Those that readers pass over come first.
"""

from collections.abc import Iterable

from burnish.instance_header.pixel_data import NO_PIXEL_DATA

#: The end of a fault that readers pass over: the instance goes on media as it is.
_KEPT = " (kept as it is)"
#: Stands where the frames of an image have not been examined yet, or nothing of an instance that an
#: earlier version of Burnish received.
UNEXAMINED = "not examined yet"


def in_words(tolerable: str, faults: Iterable[str]) -> str:
    """All faults of an instance as one text, "" for none."""
    return "; ".join([f"{tolerable}{_KEPT}"] * bool(tolerable) + [*faults])


def prevents_media(fault: str) -> bool:
    """Whether an instance with this fault is not put on media, unless the site wants that."""
    return bool(fault) and not fault.endswith((_KEPT, NO_PIXEL_DATA, UNEXAMINED))


def has_no_pixel_data(fault: str) -> bool:
    """Whether the instance is an image that is a header alone."""
    return fault.endswith(NO_PIXEL_DATA)


def is_kept(fault: str) -> bool:
    """Whether the instance goes on media as it is, and people should know of the fault."""
    return fault.endswith(_KEPT)


def is_unexamined(fault: str) -> bool:
    """Whether an examination of the file is to tell if there is a fault."""
    return fault.endswith(UNEXAMINED)


def known(fault: str) -> str:
    """The faults that are known, "" for none."""
    return fault.removesuffix(UNEXAMINED).removesuffix("; ")
