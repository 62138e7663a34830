"""Craft: the Distinguished Encoding Rules as far as CMS needs them (ITU-T X.690 8, 10).

The reader works on the beginning of a value of which the rest is not in memory: files can be much
larger than memory.
"""

from collections.abc import Iterable
from typing import NamedTuple

from burnish.errors import Unreadable

INTEGER = 0x02
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31
#: The longest header: a tag, an octet that counts the length octets, and eight of those.
LONGEST_HEADER = 10


def header(tag: int, length: int) -> bytes:
    """Tag and length octets of a value with `length` bytes of contents."""
    if length < 0x80:
        return bytes((tag, length))
    length_octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length_octets))) + length_octets


def encoded_length(length: int) -> int:
    """The length of a value with `length` bytes of contents, header included."""
    length_octets = 0 if length < 0x80 else (length.bit_length() + 7) // 8
    return 2 + length_octets + length


def encode(tag: int, *parts: bytes) -> bytes:
    """One value whose contents are the parts, one after the other."""
    contents = b"".join(parts)
    return header(tag, len(contents)) + contents


def integer(value: int) -> bytes:
    """A number that is not negative."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    return encode(OCTET_STRING, value)


def oid(dotted: str) -> bytes:
    """An object identifier such as "1.2.840.113549.1.7.1" (8.19)."""
    first, second, *arcs = map(int, dotted.split("."))
    contents = bytearray((first * 40 + second,))
    for arc in arcs:
        groups = [arc & 0x7F]
        remaining = arc >> 7
        while remaining:
            groups.append(0x80 | remaining & 0x7F)
            remaining >>= 7
        contents += bytes(reversed(groups))
    return encode(OBJECT_IDENTIFIER, bytes(contents))


def set_of(tag: int, values: Iterable[bytes]) -> bytes:
    """The values in ascending order of their encodings (11.6)."""
    return encode(tag, *sorted(values))


class IndefiniteLength(Unreadable):
    """A value has an indefinite length, which BER permits and DER does not."""


class Truncated(Unreadable):
    """A value goes on after the end of the buffer."""


class DerValue(NamedTuple):
    """One value in a buffer: its tag, where it and its contents start, and where both end."""

    tag: int
    start: int
    contents: int
    end: int


def read_header(data: bytes, start: int = 0) -> DerValue:
    """The value at `start`, which may end after the end of the buffer.

    Raises Unreadable for an invalid header, IndefiniteLength for one without a length, and
    Truncated if the header itself is not in the buffer to its end.
    """
    if start + 2 > len(data):
        raise Truncated("the data end within a DER value")
    tag, length = data[start], data[start + 1]
    if tag & 0x1F == 0x1F:
        raise Unreadable("the encoding is not valid DER")
    if length == 0x80:
        raise IndefiniteLength("a value is encoded with indefinite length")
    contents = start + 2
    if length > 0x80:
        contents += length & 0x7F
        if contents > start + LONGEST_HEADER:
            raise Unreadable("the encoding is not valid DER")
        if contents > len(data):
            raise Truncated("the data end within a DER value")
        length = int.from_bytes(data[start + 2 : contents], "big")
    return DerValue(tag, start, contents, contents + length)


class DerReader:
    """Reads values one after the other; raises Unreadable if the next is not the expected one.

    `position` is where the next value starts.
    """

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self.position = start
        self._end = len(data) if end is None else end

    def __bool__(self) -> bool:
        return self.position < self._end

    def next_tag(self) -> int:
        """The tag of the next value, 0 at the end."""
        return self._data[self.position] if self else 0

    def enter(self, tag: int) -> DerValue:
        """Goes on with the contents of the next value, whose end may be outside the buffer."""
        value = read_header(self._data, self.position)
        if value.tag != tag:
            raise Unreadable(f"a value has the type {value.tag:02X} instead of {tag:02X}")
        self.position = value.contents
        return value

    def value(self, tag: int) -> DerValue:
        """Reads the next value to its end."""
        value = self.enter(tag)
        if value.end > self._end:
            if value.end > len(self._data):
                raise Truncated("the data end within a DER value")
            raise Unreadable("a value goes on after the end of the value that contains it")
        self.position = value.end
        return value

    def contents(self, tag: int) -> bytes:
        value = self.value(tag)
        return self._data[value.contents : value.end]

    def encoded(self, tag: int) -> bytes:
        """The next value with its header."""
        value = self.value(tag)
        return self._data[value.start : value.end]

    def inside(self, tag: int) -> "DerReader":
        """A reader of the contents of the next value."""
        value = self.value(tag)
        return DerReader(self._data, value.contents, value.end)

    def integer(self) -> int:
        return int.from_bytes(self.contents(INTEGER), "big", signed=True)

    def oid(self) -> str:
        """An object identifier in dotted form (8.19)."""
        arcs = []
        arc = 0
        for octet in self.contents(OBJECT_IDENTIFIER):
            arc = arc << 7 | octet & 0x7F
            if not octet & 0x80:
                arcs.append(arc)
                arc = 0
        if not arcs:
            raise Unreadable("an object identifier is empty")
        first = min(arcs[0] // 40, 2)
        second = arcs[0] - 40 * first
        return ".".join(map(str, (first, second, *arcs[1:])))
