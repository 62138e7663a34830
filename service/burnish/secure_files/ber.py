"""Craft: presents a BER encoding as DER, so that only DER has to be parsed (ITU-T X.690 8, 10).

Other products write Secure DICOM Files as a stream: with indefinite lengths, and with strings in
pieces. A DerView knows where each byte of the DER encoding comes from; it copies nothing, so that
large files do not have to be in memory.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

from burnish.errors import Unreadable
from burnish.secure_files import der
from burnish.secure_files.der import OCTET_STRING, SEQUENCE

#: Returns `length` bytes of the source from `offset` on, fewer at its end.
Read = Callable[[int, int], bytes]

_CONSTRUCTED = 0x20
_IMPLICIT = 0xA0
#: Values nested more deeply, or in more pieces, count as damage.
_MAXIMUM_DEPTH, _MAXIMUM_PIECES = 16, 1 << 24
#: The tags from ContentInfo to EncryptedContentInfo, whose last field is a string in pieces.
_ENCRYPTED_CONTENT_INFO = (SEQUENCE, _IMPLICIT, SEQUENCE, SEQUENCE)
_CHUNK_SIZE = 1 << 20
_READ_AHEAD = 1 << 16


class _Piece(NamedTuple):
    """A part of the DER encoding: the bytes of headers, or `length` bytes of the source."""

    headers: bytes
    start: int
    length: int


class DerView:
    """The DER encoding of a BER value that fills `size` bytes of a source.

    `enveloped` says that the value is a ContentInfo with EnvelopedData. `self.size` is the size of
    the DER encoding. Raises Unreadable unless the source is exactly one valid BER value.
    """

    def __init__(self, read: Read, size: int, *, enveloped: bool) -> None:
        self._source = _BufferedSource(read, size)
        end, pieces = _BerParser(self._source, enveloped=enveloped).value(0)
        if end != size:
            raise Unreadable("bytes follow the end of the encoded value")
        self._pieces = _with_joined_headers(pieces)
        self._starts: list[int] = []
        self.size = 0
        for piece in self._pieces:
            self._starts.append(self.size)
            self.size += piece.length

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the DER encoding, fewer at its end."""
        parts = []
        end = min(offset + length, self.size)
        number = bisect_right(self._starts, offset) - 1
        while offset < end:
            piece = self._pieces[number]
            skipped = offset - self._starts[number]
            count = min(end - offset, piece.length - skipped)
            if piece.headers:
                parts.append(piece.headers[skipped : skipped + count])
            else:
                parts.append(self._source.read(piece.start + skipped, count))
            offset += count
            number += 1
        return b"".join(parts)

    def chunks(self) -> Iterator[bytes]:
        """The whole DER encoding, in chunks of bounded size."""
        for offset in range(0, self.size, _CHUNK_SIZE):
            yield self.read(offset, _CHUNK_SIZE)


class _BufferedSource:
    """Reads ahead, because the parser reads many small pieces."""

    def __init__(self, read: Read, size: int) -> None:
        self._read = read
        self.size = size
        self._start = 0
        self._buffer = b""

    def read(self, offset: int, length: int) -> bytes:
        skipped = offset - self._start
        if skipped < 0 or skipped + length > len(self._buffer):
            self._start = offset
            available = max(0, self.size - offset)
            self._buffer = self._read(offset, min(max(length, _READ_AHEAD), available))
            skipped = 0
        return bytes(self._buffer[skipped : skipped + length])


class _BerParser:
    """Finds the pieces of the DER encoding of a BER value."""

    def __init__(self, source: _BufferedSource, *, enveloped: bool) -> None:
        self._source = source
        self._enveloped = enveloped

    def value(self, start: int, path: tuple[int, ...] = ()) -> tuple[int, list[_Piece]]:
        """The end of the value at `start`, and its pieces; `path` has the tags around it."""
        if len(path) >= _MAXIMUM_DEPTH:
            raise Unreadable("the encoding is nested too deeply for BER")
        tag, contents, length = self._header(start)
        is_constructed = bool(tag & _CONSTRUCTED)
        is_string = tag & ~_CONSTRUCTED == OCTET_STRING or (
            self._enveloped and tag == _IMPLICIT and path == _ENCRYPTED_CONTENT_INFO
        )
        if is_string and is_constructed:
            end, pieces = self._string(contents, length, len(path) + 1)
            tag &= ~_CONSTRUCTED
        elif length is not None and (
            not is_constructed or len(path) > len(_ENCRYPTED_CONTENT_INFO)
        ):
            end = contents + length
            pieces = [_Piece(b"", contents, length)]
        else:
            within = (*path, tag)
            end, pieces = self._members(contents, length, lambda at: self.value(at, within))
        return end, [_header_piece(tag, sum(piece.length for piece in pieces)), *pieces]

    def _string(self, start: int, length: int | None, depth: int) -> tuple[int, list[_Piece]]:
        """The contents of a string that is encoded in pieces (X.690 8.7.3)."""

        def piece_at(position: int) -> tuple[int, list[_Piece]]:
            tag, contents, piece_length = self._header(position)
            if tag == OCTET_STRING and piece_length is not None:
                return contents + piece_length, [_Piece(b"", contents, piece_length)]
            if tag == OCTET_STRING | _CONSTRUCTED and depth < _MAXIMUM_DEPTH:
                return self._string(contents, piece_length, depth + 1)
            raise Unreadable("a piece of a string is not a string")

        return self._members(start, length, piece_at)

    def _members(
        self,
        start: int,
        length: int | None,
        member_at: Callable[[int], tuple[int, list[_Piece]]],
    ) -> tuple[int, list[_Piece]]:
        """The end and the pieces of the values within a constructed one."""
        pieces: list[_Piece] = []
        position = start
        while not self._is_end(position, start, length):
            position, member_pieces = member_at(position)
            pieces += member_pieces
            if len(pieces) > _MAXIMUM_PIECES:
                raise Unreadable("a string has too many pieces")
        if length is None:
            return position + 2, pieces
        if position != start + length:
            raise Unreadable("a value goes on after the end of the value that contains it")
        return position, pieces

    def _is_end(self, position: int, start: int, length: int | None) -> bool:
        """Whether a constructed value ends at `position`; see X.690 8.1.5 for end-of-contents."""
        if length is None:
            return self._source.read(position, 2) == b"\0\0"
        return position >= start + length

    def _header(self, start: int) -> tuple[int, int, int | None]:
        """Tag, offset of the contents, and their length, which is None if it is indefinite."""
        head = self._source.read(start, der.LONGEST_HEADER)
        if head[1:2] == b"\x80" and head[0] & _CONSTRUCTED and head[0] & 0x1F != 0x1F:
            return head[0], start + 2, None
        value = der.read_header(head)
        if start + value.end > self._source.size:
            raise Unreadable("the data end within a BER value")
        return value.tag, start + value.contents, value.end - value.contents


def _header_piece(tag: int, length: int) -> _Piece:
    header = der.header(tag, length)
    return _Piece(header, 0, len(header))


def _with_joined_headers(pieces: list[_Piece]) -> list[_Piece]:
    """The pieces without empty ones, and with adjacent headers as one piece."""
    joined: list[_Piece] = []
    for piece in pieces:
        if piece.headers and joined and joined[-1].headers:
            headers = joined[-1].headers + piece.headers
            joined[-1] = _Piece(headers, 0, len(headers))
        elif piece.length:
            joined.append(piece)
    return joined
