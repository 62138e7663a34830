"""Craft: the Distinguished Encoding Rules as far as the Cryptographic Message Syntax needs them.

Everything written has a definite length that is known beforehand (ITU-T X.690 10.1).
"""

from collections.abc import Iterable
from typing import NamedTuple

from burnish.errors import Unreadable

INTEGER, OCTET_STRING, NULL, OBJECT_IDENTIFIER, SEQUENCE, SET = 0x02, 0x04, 0x05, 0x06, 0x30, 0x31
#: Longest header there is: the tag, the octet that counts, and eight octets of length.
LONGEST_HEADER = 10


def header(tag: int, length: int) -> bytes:
    """Identifier and length octets of a value of `length` bytes."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets


def wrapped(length: int) -> int:
    """Bytes of a value of `length` bytes together with its header."""
    return 2 + length if length < 0x80 else 2 + (length.bit_length() + 7) // 8 + length


def encode(tag: int, *parts: bytes) -> bytes:
    """One value; what several parts it has follow one another."""
    value = b"".join(parts)
    return header(tag, len(value)) + value


def integer(value: int) -> bytes:
    """A number that is not negative."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    return encode(OCTET_STRING, value)


def oid(dotted: str) -> bytes:
    """An object identifier as 1.2.840.113549.1.7.1."""
    first, second, *rest = map(int, dotted.split("."))
    value = bytearray((first * 40 + second,))
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        value += bytes(reversed(groups))
    return encode(OBJECT_IDENTIFIER, bytes(value))


def set_of(tag: int, values: Iterable[bytes]) -> bytes:
    """The values in ascending order of their encodings (ITU-T X.690 11.6)."""
    return encode(tag, *sorted(values))


class IndefiniteLength(Unreadable):
    """A value has an indefinite length, as BER may have and DER may not."""


class DerValue(NamedTuple):
    """One value in a buffer: its tag, and where it and its contents begin and end."""

    tag: int
    start: int
    contents: int
    end: int


def read_header(data: bytes, at: int = 0) -> DerValue:
    """The value that begins at `at`; it may end beyond the buffer.

    Raises Unreadable for what is no header, IndefiniteLength for what has no length.
    """
    if at + 2 > len(data) or data[at] & 0x1F == 0x1F:
        raise Unreadable("what should be DER is none")
    length, contents = data[at + 1], at + 2
    if length == 0x80:
        raise IndefiniteLength("it is encoded with indefinite length")
    if length > 0x80:
        contents += length & 0x7F
        if contents > min(len(data), at + LONGEST_HEADER):
            raise Unreadable("what should be DER is none")
        length = int.from_bytes(data[at + 2 : contents], "big")
    return DerValue(data[at], at, contents, contents + length)


class DerReader:
    """Reads the values of a constructed one in turn; raises Unreadable for what is not there.

    `at` is where the next one begins.
    """

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self.at = start
        self._end = len(data) if end is None else end
        if self._end > len(data):
            raise Unreadable("it ends before its end")

    def __bool__(self) -> bool:
        return self.at < self._end

    def peek(self) -> int:
        """The tag of the next value, 0 where there is none."""
        return self._data[self.at] if self else 0

    def value(self, tag: int) -> DerValue:
        """The next value, which must have `tag`."""
        found = read_header(self._data, self.at)
        if found.tag != tag or found.end > self._end:
            raise Unreadable(f"a value is not of the type {tag:02X} that belongs there")
        self.at = found.end
        return found

    def contents(self, tag: int) -> bytes:
        found = self.value(tag)
        return self._data[found.contents : found.end]

    def whole(self, tag: int) -> bytes:
        """The next value with its header."""
        found = self.value(tag)
        return self._data[found.start : found.end]

    def inside(self, tag: int) -> "DerReader":
        found = self.value(tag)
        return DerReader(self._data, found.contents, found.end)

    def integer(self) -> int:
        return int.from_bytes(self.contents(INTEGER), "big", signed=True)

    def oid(self) -> str:
        """An object identifier with dots."""
        arcs, arc = [0], 0
        for octet in self.contents(OBJECT_IDENTIFIER):
            arc = arc << 7 | octet & 0x7F
            if not octet & 0x80:
                arcs.append(arc)
                arc = 0
        if len(arcs) < 2:
            raise Unreadable("an object identifier is empty")
        first = min(arcs[1] // 40, 2)
        return ".".join(map(str, (first, arcs[1] - 40 * first, *arcs[2:])))
