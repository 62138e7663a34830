"""Craft: finds the files in a MIME message (PS3.12 K; RFC 2045, 2046).

Files lie in it in Base64, in lines that are equally long but for the last, or as they are.
"""

import binascii
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from burnish.errors import Unreadable
from burnish.image.file_extents import CHUNK, Found, Section, Source, check_bounds
from burnish.media import FileSystem

_HEADER = 1 << 16
#: A message in a message in a message: what is deeper is not looked for.
_MAXIMUM_DEPTH = 4
_AS_IT_IS = frozenset({"7bit", "8bit", "binary", ""})


@dataclass(frozen=True, slots=True)
class _Part:
    """A file in a message: its bytes, and where it lies; `line` of them are in each line.

    `stride` characters are from one line to the next. As it is, it is one line.
    """

    size: int
    start: int
    line: int
    stride: int
    encoded: bool


def is_one(source: Source) -> bool:
    """Whether it begins with a header that says that what follows is in parts."""
    start = source.read(0, min(source.end, _HEADER)).lower()
    header = start.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return b"mime-version:" in header and b"content-type:" in header and b"multipart/" in header


def find(source: Source) -> Found:
    """All files of the message, by their IDs, else by their names; text without one is no file.

    A message has no name, so its Volume Identifier is empty.
    """
    parts: dict[str, _Part] = {}
    for identifier, part in _files(source, 0, source.end, 0):
        check_bounds(len(parts) + 1, identifier.count("/"))
        name = identifier.replace("/", "\\")
        if name in parts:
            raise Unreadable(f"{name} is in the message twice")
        parts[name] = part
    content = _Content(source, list(parts.values()))
    places: list[Section] = list(zip(content.starts, [p.size for p in parts.values()], strict=True))
    sections = {name: [place] for name, place in zip(parts, places, strict=True)}
    return Found(FileSystem.MIME, "", sections, content=content)


def _files(source: Source, start: int, end: int, depth: int) -> Iterator[tuple[str, _Part]]:
    """The files among the parts of an entity that lies there."""
    header, body = _header(source, start, end)
    if header.get_content_maintype() != "multipart":
        name = _name(header)
        if name:
            yield name, _part(source, name, header, (body, end))
        return
    boundary = header.get_boundary()
    if not boundary or depth == _MAXIMUM_DEPTH:
        raise Unreadable("the message has parts, but no boundary between them")
    delimiter = b"--" + boundary.encode("ascii", "replace")
    for part in _between(source, delimiter, body, end):
        yield from _files(source, *part, depth + 1)


def _header(source: Source, start: int, end: int) -> tuple[Message, int]:
    """The header of an entity, and where its body begins."""
    raw = source.read(start, min(_HEADER, end - start))
    if raw[:1] == b"\n" or raw[:2] == b"\r\n":
        return Message(), start + raw.index(b"\n") + 1
    ends = [raw.find(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n") if blank in raw]
    if not ends:
        raise Unreadable("a part of the message has no end of its header")
    return BytesHeaderParser().parsebytes(raw[: min(ends)]), start + min(ends)


def _between(source: Source, delimiter: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Where the parts lie between delimiters, each at the beginning of a line (RFC 2046 5.1.1)."""
    begun: int | None = None
    for at in _delimiters(source, delimiter, start, end):
        if begun is not None:
            behind = at - (2 if source.read(at - 2, 2) == b"\r\n" else 1)
            if behind < begun:
                raise Unreadable("a part of the message is empty")
            yield begun, behind
        line = source.read(at, min(len(delimiter) + 256, end - at))[len(delimiter) :]
        if line.startswith(b"--"):
            return
        begun = at + len(delimiter) + line.find(b"\n") + 1
    raise Unreadable("the message ends before its end")


def _delimiters(source: Source, delimiter: bytes, start: int, end: int) -> Iterator[int]:
    wanted = b"\n" + delimiter
    before = source.read(start - 1, 1)
    for at in range(start, end, CHUNK):
        piece = before + source.read(at, min(CHUNK, end - at))
        found = piece.find(wanted)
        while found >= 0:
            # What only begins like it, as that of an entity around this one may, is another.
            line = at - len(before) + found + 1
            following = source.read(line, min(len(delimiter) + 80, end - line))[len(delimiter) :]
            if following.lstrip(b"-").partition(b"\n")[0].strip() == b"":
                yield line
            found = piece.find(wanted, found + 1)
        before = piece[-len(wanted) + 1 :]


def _name(header: Message) -> str:
    """The ID of a DICOM file (PS3.12 K.1.2), else the name of a file, else nothing."""
    for said in (header.get_param("id"), header.get_param("name"), header.get_filename()):
        if isinstance(said, str) and said:
            return said
    return ""


def _part(source: Source, name: str, header: Message, place: tuple[int, int]) -> _Part:
    start, end = place
    encoding = str(header.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding in _AS_IT_IS:
        return _Part(end - start, start, max(1, end - start), max(1, end - start), False)
    if encoding != "base64":
        raise Unreadable(f"{name} is in an encoding that DICOM files are not in: {encoding}")
    while end > start and source.read(end - 1, 1) in b"\r\n":
        end -= 1
    first = source.read(start, min(1024, end - start))
    characters = first.find(b"\n")
    stride = characters + 1 if characters >= 0 else max(1, end - start)
    line = len(first[:stride].rstrip(b"\r\n")) if characters >= 0 else end - start
    if line % 4 or (characters < 0 and end - start > len(first)):
        raise Unreadable(f"the lines of {name} are not of Base64")
    whole, rest = divmod(end - start, stride)
    if rest % 4:
        raise Unreadable(f"the lines of {name} are not equally long")
    padding = source.read(end - 2, 2).count(b"=") if end - start >= 2 else 0
    size = whole * (line // 4 * 3) + rest // 4 * 3 - padding
    return _Part(size, start, max(1, line // 4 * 3), stride, True)


class _Content(Source):
    """The files of a message one behind the other, decoded as they are read."""

    def __init__(self, source: Source, parts: list[_Part]) -> None:
        self._source, self._parts = source, parts
        self.starts: list[int] = []
        self.end = 0
        for part in parts:
            self.starts.append(self.end)
            self.end += part.size

    def read(self, offset: int, length: int) -> bytes:
        if not self.has(offset, length):
            raise Unreadable("the message ends before its end")
        pieces = []
        while length > 0:
            number = bisect_right(self.starts, offset) - 1
            inside = offset - self.starts[number]
            count = min(length, self._parts[number].size - inside)
            pieces.append(self._decoded(self._parts[number], inside, count))
            offset, length = offset + count, length - count
        return b"".join(pieces)

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        for at in range(offset, offset + length, CHUNK):
            yield self.read(at, min(CHUNK, offset + length - at))

    def _decoded(self, part: _Part, inside: int, count: int) -> bytes:
        if not part.encoded:
            return self._source.read(part.start + inside, count)
        first, last = inside // part.line, -(-(inside + count) // part.line)
        start = part.start + first * part.stride
        left = part.size - first * part.line
        lines = last - first
        wanted = lines * part.stride if left > lines * part.line else _characters(part, left)
        raw = self._source.read(start, wanted)
        try:
            data = binascii.a2b_base64(
                raw.replace(b"\r", b"").replace(b"\n", b""), strict_mode=True
            )
        except binascii.Error as error:
            raise Unreadable(f"Base64 is damaged at byte {start}") from error
        skip = inside - first * part.line
        if len(data) < skip + count:
            raise Unreadable(f"Base64 is damaged at byte {start}")
        return data[skip : skip + count]


def _characters(part: _Part, left: int) -> int:
    """The characters of the last `left` bytes of a file, from the beginning of a line."""
    lines, rest = divmod(left, part.line)
    return lines * part.stride + -(-rest // 3) * 4
