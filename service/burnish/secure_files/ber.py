"""Craft: shows what is encoded by the Basic Encoding Rules as if it were DER (ITU-T X.690 8, 10).

Others write Secure DICOM Files as a stream, with indefinite lengths and with strings in pieces.
Nothing is copied: a DerView says where each byte of the DER encoding comes from.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.secure_files import der
from burnish.secure_files.der import OCTET_STRING, SEQUENCE

#: Gives bytes of what is encoded from an offset on, fewer where it ends.
Read = Callable[[int, int], bytes]

_CONSTRUCTED = 0x20
_IMPLICIT = 0xA0
#: A value nested deeper than this, or in more pieces, is taken for damage.
_MAXIMUM_DEPTH, _MAXIMUM_PIECES = 16, 1 << 24
#: From ContentInfo down to EncryptedContentInfo, whose last field is a string in pieces.
_ENCRYPTED_CONTENT_INFO = (SEQUENCE, _IMPLICIT, SEQUENCE, SEQUENCE)
_AT_ONCE = 1 << 20


class _Piece(NamedTuple):
    """Bytes of the DER encoding: those of a header, or so many from an offset of the source."""

    header: bytes
    start: int
    length: int


class DerView:
    """The DER encoding of what is in BER in `size` bytes of a source; it has `self.size` itself.

    `enveloped` tells that it is a ContentInfo with EnvelopedData. Raises Unreadable where it is
    not BER, whole and nothing more.
    """

    def __init__(self, read: Read, size: int, *, enveloped: bool) -> None:
        self._source = _Source(read, size)
        self._enveloped = enveloped
        end, pieces = self._value(0, ())
        if end != size:
            raise Unreadable("something follows what is encoded with indefinite length")
        self._pieces = _joined(pieces)
        self._starts: list[int] = []
        self.size = 0
        for piece in self._pieces:
            self._starts.append(self.size)
            self.size += piece.length

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the encoding, fewer where it ends."""
        parts = []
        end = min(offset + length, self.size)
        number = bisect_right(self._starts, offset) - 1
        while offset < end:
            piece, skip = self._pieces[number], offset - self._starts[number]
            count = min(end - offset, piece.length - skip)
            if piece.header:
                parts.append(piece.header[skip : skip + count])
            else:
                parts.append(self._source.read(piece.start + skip, count))
            offset, number = offset + count, number + 1
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """All of the encoding, in pieces of bounded size."""
        for at in range(0, self.size, _AT_ONCE):
            yield self.read(at, _AT_ONCE)

    def _value(self, at: int, path: tuple[int, ...]) -> tuple[int, list[_Piece]]:
        """Where the value at `at` ends, and what its encoding consists of."""
        tag, contents, length = self._header(at)
        within = (*path, tag)
        if len(within) > _MAXIMUM_DEPTH:
            raise Unreadable("what should be BER is nested too deeply")
        string = tag & ~_CONSTRUCTED == OCTET_STRING or (
            self._enveloped and tag == _IMPLICIT and path == _ENCRYPTED_CONTENT_INFO
        )
        opaque = length is not None and not (string and tag & _CONSTRUCTED)
        if opaque and (not tag & _CONSTRUCTED or len(path) > len(_ENCRYPTED_CONTENT_INFO)):
            assert length is not None  # noqa: S101
            end = contents + length
            return end, [_header(tag, length), _Piece(b"", contents, length)]
        if string:
            end, parts = self._string(contents, length, len(within))
            tag &= ~_CONSTRUCTED
        else:
            end, parts = self._values(contents, length, within)
        return end, [_header(tag, sum(part.length for part in parts)), *parts]

    def _values(
        self, at: int, length: int | None, path: tuple[int, ...]
    ) -> tuple[int, list[_Piece]]:
        """What a constructed value consists of."""
        parts: list[_Piece] = []
        for start in self._each(at, length):
            end, found = self._value(start, path)
            parts += found
            self._end = end
        return self._end_of(at, length), parts

    def _string(self, at: int, length: int | None, depth: int) -> tuple[int, list[_Piece]]:
        """The contents of the pieces of a string, one behind the other (X.690 8.7.3)."""
        parts: list[_Piece] = []
        for start in self._each(at, length):
            tag, contents, own = self._header(start)
            if tag == OCTET_STRING and own is not None:
                parts.append(_Piece(b"", contents, own))
                self._end = contents + own
            elif tag == OCTET_STRING | _CONSTRUCTED and depth < _MAXIMUM_DEPTH:
                self._end, found = self._string(contents, own, depth + 1)
                parts += found
            else:
                raise Unreadable("a string is in pieces that are no strings")
            if len(parts) > _MAXIMUM_PIECES:
                raise Unreadable("a string is in more pieces than there can be")
        return self._end_of(at, length), parts

    def _each(self, at: int, length: int | None) -> Iterator[int]:
        """Where each value in a constructed one begins; `_end` is where the last one ended."""
        self._end = at
        while self._end < at + length if length is not None else not self._is_end(self._end):
            yield self._end

    def _end_of(self, at: int, length: int | None) -> int:
        if length is None:
            return self._end + 2
        if self._end != at + length:
            raise Unreadable("a value runs past the end of that which it is in")
        return self._end

    def _is_end(self, at: int) -> bool:
        """Whether the end-of-contents octets stand there (X.690 8.1.5)."""
        return self._source.read(at, 2) == b"\0\0"

    def _header(self, at: int) -> tuple[int, int, int | None]:
        """Tag, offset of the contents, and their length, None where that is indefinite."""
        head = self._source.read(at, der.LONGEST_HEADER)
        if head[1:2] == b"\x80" and head[0] & _CONSTRUCTED and head[0] & 0x1F != 0x1F:
            return head[0], at + 2, None
        found = der.read_header(head)
        end = at + found.end
        if end > self._source.size:
            raise Unreadable("it ends before its end")
        return found.tag, at + found.contents, found.end - found.contents


class _Source:
    """What is read in small pieces, of which a large one is held."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self.size = size
        self._start, self._held = 0, b""

    def read(self, offset: int, length: int) -> bytes:
        skip = offset - self._start
        if skip < 0 or skip + length > len(self._held):
            wanted = min(max(length, 1 << 16), max(0, self.size - offset))
            self._start, self._held = offset, self._read(offset, wanted)
            skip = 0
        return bytes(self._held[skip : skip + length])


def _header(tag: int, length: int) -> _Piece:
    made = der.header(tag, length)
    return _Piece(made, 0, len(made))


def _joined(pieces: list[_Piece]) -> list[_Piece]:
    """Without empty ones, and with headers that follow one another as one."""
    joined: list[_Piece] = []
    for piece in pieces:
        if piece.header and joined and joined[-1].header:
            header = joined[-1].header + piece.header
            joined[-1] = _Piece(header, 0, len(header))
        elif piece.length:
            joined.append(piece)
    return joined
