"""Craft: reads the file table of a MIME message (PS3.12 K; RFC 2045, 2046), and its files.

A file lies in the message as it is, or in Base64 in lines that are equally long except the last.
Headers are parsed by Python's `email`. It is not used for the message, because it keeps all of it
in memory (243 MB for a message of 216 MB, here 39 MB) and takes seven times as long.
"""

import binascii
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from burnish.errors import Unreadable
from burnish.image import image_source
from burnish.image.file_extents import FileTable, check_bounds
from burnish.image.image_source import Source
from burnish.media import FileSystem

#: Bytes of the longest header that is read.
_LONGEST_HEADER = 1 << 16
#: Parts within parts deeper than this are not read.
_MAXIMUM_DEPTH = 4
_IDENTITY_ENCODINGS = frozenset({"7bit", "8bit", "binary", ""})


@dataclass(frozen=True, slots=True)
class _Part:
    """A file in a message: its size, and the first byte of its body in the message.

    In Base64 each line has `line` bytes of the file and takes `stride` characters of the message.
    Otherwise the body is one line.
    """

    size: int
    start: int
    line: int
    stride: int
    is_base64: bool


def recognizes(source: Source) -> bool:
    """A message begins with a header that says that its body has parts."""
    beginning = source.read(0, min(source.end, _LONGEST_HEADER)).lower()
    header = beginning.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return all(text in header for text in (b"mime-version:", b"content-type:", b"multipart/"))


def read_file_table(source: Source) -> FileTable:
    """All files of the message by their IDs, or else by their names.

    A part with neither is text, not a file. A message has no name, so its Volume Identifier is
    empty.
    """
    parts: dict[str, _Part] = {}
    for identifier, part in _files(source, 0, source.end, depth=0):
        check_bounds(len(parts) + 1, identifier.count("/"))
        name = identifier.replace("/", "\\")
        if name in parts:
            raise Unreadable(f"{name} is in the message twice")
        parts[name] = part
    content = _MessageContent(source, list(parts.values()))
    sections = {
        name: [(start, part.size)]
        for (name, part), start in zip(parts.items(), content.starts, strict=True)
    }
    return FileTable(FileSystem.MIME, "", sections, content=content)


def _files(source: Source, start: int, end: int, depth: int) -> Iterator[tuple[str, _Part]]:
    """The files among the parts of the entity that lies between `start` and `end`."""
    header, body = _read_header(source, start, end)
    if header.get_content_maintype() != "multipart":
        name = _file_name(header)
        if name:
            yield name, _read_part(source, name, header, body, end)
        return
    boundary = header.get_boundary()
    if not boundary or depth == _MAXIMUM_DEPTH:
        raise Unreadable("the message has parts without a boundary, or too many levels of parts")
    delimiter = b"--" + boundary.encode("ascii", "replace")
    for part_start, part_end in _part_bounds(source, delimiter, body, end):
        yield from _files(source, part_start, part_end, depth + 1)


def _read_header(source: Source, start: int, end: int) -> tuple[Message, int]:
    """The header of an entity, and where its body begins."""
    text = source.read(start, min(_LONGEST_HEADER, end - start))
    if text.startswith((b"\n", b"\r\n")):
        return Message(), start + text.index(b"\n") + 1
    header_ends = [
        text.index(blank) + len(blank) for blank in (b"\n\n", b"\r\n\r\n") if blank in text
    ]
    if not header_ends:
        raise Unreadable("the header of a part of the message has no end")
    length = min(header_ends)
    return BytesHeaderParser().parsebytes(text[:length]), start + length


def _part_bounds(
    source: Source, delimiter: bytes, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """First byte and end of each part between delimiters (RFC 2046 5.1.1)."""
    part_start: int | None = None
    for position in _delimiters(source, delimiter, start, end):
        if part_start is not None:
            line_end = 2 if source.read(position - 2, 2) == b"\r\n" else 1
            part_end = position - line_end
            if part_end < part_start:
                raise Unreadable("a part of the message has no header")
            yield part_start, part_end
        line = source.read(position, min(len(delimiter) + 256, end - position))
        after_delimiter = line[len(delimiter) :]
        if after_delimiter.startswith(b"--"):
            return
        part_start = position + len(delimiter) + after_delimiter.find(b"\n") + 1
    raise Unreadable("the message has no final boundary")


def _delimiters(source: Source, delimiter: bytes, start: int, end: int) -> Iterator[int]:
    """Where lines begin that consist of the delimiter."""
    pattern = b"\n" + delimiter
    overlap = source.read(start - 1, 1)
    for chunk_start in range(start, end, image_source.CHUNK):
        count = min(image_source.CHUNK, end - chunk_start)
        text = overlap + source.read(chunk_start, count)
        index = text.find(pattern)
        while index >= 0:
            position = chunk_start - len(overlap) + index + 1
            line = source.read(position, min(len(delimiter) + 80, end - position))
            # a longer boundary, as that of an enclosing entity may be, is another delimiter
            rest_of_line = line[len(delimiter) :].lstrip(b"-").partition(b"\n")[0]
            if not rest_of_line.strip():
                yield position
            index = text.find(pattern, index + 1)
        overlap = text[-len(pattern) + 1 :]


def _file_name(header: Message) -> str:
    """The ID of a DICOM file (PS3.12 K.1.2), else the name of a file, else ""."""
    for value in (header.get_param("id"), header.get_param("name"), header.get_filename()):
        if isinstance(value, str) and value:
            return value
    return ""


def _read_part(source: Source, name: str, header: Message, start: int, end: int) -> _Part:
    encoding = str(header.get("Content-Transfer-Encoding", "")).strip().lower()
    if encoding in _IDENTITY_ENCODINGS:
        length = end - start
        return _Part(length, start, line=max(1, length), stride=max(1, length), is_base64=False)
    if encoding != "base64":
        raise Unreadable(f"{name} has an encoding that is not supported: {encoding}")
    while end > start and source.read(end - 1, 1) in b"\r\n":
        end -= 1
    length = end - start
    beginning = source.read(start, min(1024, length))
    line_end = beginning.find(b"\n")
    if line_end >= 0:
        stride = line_end + 1
        characters = len(beginning[:stride].rstrip(b"\r\n"))
    else:
        stride = max(1, length)
        characters = length
    if characters % 4 or (line_end < 0 and length > len(beginning)):
        raise Unreadable(f"the lines of {name} are not Base64")
    full_lines, last_line = divmod(length, stride)
    if last_line % 4:
        raise Unreadable(f"the lines of {name} are not equally long")
    padding = source.read(end - 2, 2).count(b"=") if length >= 2 else 0
    line = characters // 4 * 3
    size = full_lines * line + last_line // 4 * 3 - padding
    return _Part(size, start, line=max(1, line), stride=stride, is_base64=True)


class _MessageContent(Source):
    """The files of a message one behind the other, decoded when they are read."""

    def __init__(self, source: Source, parts: list[_Part]) -> None:
        self._source, self._parts = source, parts
        self.starts: list[int] = []
        self.end = 0
        for part in parts:
            self.starts.append(self.end)
            self.end += part.size

    def read(self, offset: int, length: int) -> bytes:
        if not self.has(offset, length):
            raise Unreadable("the message ends too early")
        pieces = []
        while length > 0:
            number = bisect_right(self.starts, offset) - 1
            part = self._parts[number]
            offset_in_part = offset - self.starts[number]
            count = min(length, part.size - offset_in_part)
            pieces.append(self._decode(part, offset_in_part, count))
            offset += count
            length -= count
        return b"".join(pieces)

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        for start in range(offset, offset + length, image_source.CHUNK):
            yield self.read(start, min(image_source.CHUNK, offset + length - start))

    def _decode(self, part: _Part, offset: int, count: int) -> bytes:
        """`count` bytes of a file from byte `offset` on."""
        if not part.is_base64:
            return self._source.read(part.start + offset, count)
        first_line = offset // part.line
        end_line = -(-(offset + count) // part.line)
        lines = end_line - first_line
        start = part.start + first_line * part.stride
        bytes_from_there = part.size - first_line * part.line
        if bytes_from_there > lines * part.line:
            characters = lines * part.stride
        else:
            characters = _encoded_length(part, bytes_from_there)
        text = self._source.read(start, characters).replace(b"\r", b"").replace(b"\n", b"")
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error as error:
            raise Unreadable(f"Base64 is damaged at byte {start}") from error
        skip = offset - first_line * part.line
        if len(data) < skip + count:
            raise Unreadable(f"Base64 is damaged at byte {start}")
        return data[skip : skip + count]


def _encoded_length(part: _Part, size: int) -> int:
    """The characters of the last `size` bytes of a file, from the beginning of a line on."""
    full_lines, last_line = divmod(size, part.line)
    return full_lines * part.stride + -(-last_line // 3) * 4
