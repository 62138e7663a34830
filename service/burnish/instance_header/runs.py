"""Craft: elements that headers of one kind have alike, taken many at once.

The instances of a series have the same elements in the same order, most of them of the same
length. Where that is so, one `struct` takes a whole stretch of them in the time of a few.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from burnish.dicom_elements import scan
from burnish.dicomdir.key_shapes import picking
from burnish.errors import Unreadable

#: The bytes of a tag.
_TAG = 4


@dataclass(frozen=True, slots=True)
class _Place:
    """One element: the bytes before its value, how long that is, and what it is wanted as."""

    header: bytes
    length: int
    wanted: int | None


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Elements from one to before the next that varies, as one `struct` takes them."""

    unpack: Callable[[bytes, int], tuple[bytes, ...]]
    size: int
    count: int
    #: What precedes the values: where it is among the fields, and what it has to be.
    headers_of: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    headers: tuple[bytes, ...]
    #: The values that are wanted: where they are among the fields, and their tags.
    values_of: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
    tags: tuple[int, ...]


class Run:
    """The elements at the start of `head` that are there whole.

    `wanted` has tags by their bytes read as one little-endian number. Which elements vary in
    length is learnt from what else is taken. Threads may share a Run.
    """

    def __init__(
        self, head: bytes, misses: int, *, explicit: bool, wanted: Mapping[int, int]
    ) -> None:
        #: How many headers in sequence did not have these elements.
        self.misses = misses
        self._places, varying = list[_Place](), set[int]()
        for header, length, is_fixed in _elements(head, explicit=explicit):
            if not is_fixed:
                varying.add(len(self._places))
            tag = wanted.get(int.from_bytes(header[:_TAG], "little"))
            self._places.append(_Place(header, length, tag))
        self._varying = frozenset(varying)
        self._stretches = dict[int, _Stretch]()

    def take(
        self, head: bytes, values: dict[int, bytes], one: Callable[[int], int]
    ) -> tuple[int, bool]:
        """Takes the wanted values that `head` begins with; how far it came, and if to the end.

        `one` takes the element at an offset, whatever its length, and returns the offset behind.
        """
        places, index, position = self._places, 0, 0
        while index < len(places):
            stretch = self._stretches.get(index) or self._stretch(index)
            if stretch.count:
                try:
                    fields = stretch.unpack(head, position)
                except struct.error:
                    return position, False
                if stretch.headers_of(fields) != stretch.headers:
                    if not self._learn(index, head, position):
                        return position, False
                    continue
                if stretch.tags:
                    values.update(zip(stretch.tags, stretch.values_of(fields), strict=True))
                index += stretch.count
                position += stretch.size
            if index < len(places):
                if head[position : position + _TAG] != places[index].header[:_TAG]:
                    return position, False
                behind = one(position)
                if behind == position:
                    return position, False
                index, position = index + 1, behind
        self.misses = 0
        return position, True

    def _stretch(self, first: int) -> _Stretch:
        layout, headers_at, values_at, tags = ["<"], list[int](), list[int](), list[int]()
        size = count = fields = 0
        for index, place in enumerate(self._places[first:], first):
            if index in self._varying:
                break
            layout.append(
                f"{len(place.header)}s{place.length}{'x' if place.wanted is None else 's'}"
            )
            headers_at.append(fields)
            fields += 1
            if place.wanted is not None:
                values_at.append(fields)
                tags.append(place.wanted)
                fields += 1
            size += len(place.header) + place.length
            count += 1
        headers = [place.header for place in self._places[first : first + count]]
        stretch = _Stretch(
            unpack=struct.Struct("".join(layout)).unpack_from,
            size=size,
            count=count,
            headers_of=picking(headers_at),
            headers=tuple(headers),
            values_of=picking(values_at),
            tags=tuple(tags),
        )
        self._stretches[first] = stretch
        return stretch

    def _learn(self, index: int, head: bytes, position: int) -> bool:
        """Notes which element has another length here; False where the elements are others."""
        for number, place in enumerate(self._places[index:], index):
            behind = position + len(place.header)
            if head[position:behind] != place.header:
                if head[position : position + _TAG] != place.header[:_TAG]:
                    return False
                self._varying |= {number}
                self._stretches = {}
                return True
            position = behind + place.length
        return True


def _elements(head: bytes, *, explicit: bool) -> Iterator[tuple[bytes, int, bool]]:
    """What precedes each value, the value's length, and whether it is of a plain kind."""
    try:
        for element in scan(head, 0, len(head), explicit=explicit):
            is_plain = not element.undefined and element.vr != b"UN"
            yield head[element.start : element.value], element.length, is_plain
    except Unreadable:
        return
