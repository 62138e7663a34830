"""Craft: writes File-sets as MIME messages whose parts are the files (PS3.12 K; RFC 2045, 2046).

A message lacks its sender and recipients, which a mail program fills in. All lines of Base64 have
76 characters, and the headers of all parts are equally long apart from the paths in them, so that
the size is a sum.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

from burnish.errors import InvalidValue
from burnish.image import image_file, volume_size
from burnish.image.image_file import Progress
from burnish.image.image_layout import ImageLayout
from burnish.image.volume_size import NameRun, Sums
from burnish.values import VolumeFile

#: Bytes in a line, and the characters they come to with the end of the line (RFC 2045 6.8).
_LINE, _ENCODED_LINE = 57, 78
#: It has characters that no line of Base64 has.
_BOUNDARY = "=_DICOM_File-set_="
_END = f"--{_BOUNDARY}--\r\n".encode()
_DATE_LENGTH = len("Mon, 06 May 2024 10:38:10 +0000")
#: Characters of the longest content type and of the longest name.
_LONGEST_TYPE, _LONGEST_NAME = len("application/octet-stream"), len("IM000001.dcm")
#: Bytes that are encoded at once: whole lines.
_PIECE = _LINE << 14


def _message_header(date: str) -> bytes:
    return _lines(
        "MIME-Version: 1.0",
        f"Date: {date}",
        "Subject: DICOM File-set",
        f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"',
        "",
        "One DICOM File-set, of which every file is a part of this message.",
        "",
    )


def _part_header(file_id: str) -> bytes:
    """The delimiter and the header of a part (PS3.12 K.1.2).

    Spaces before the ID make up for a shorter type or name.
    """
    name = file_id.rpartition("\\")[2]
    content_type = "application/dicom"
    if "." in name:
        content_type = "text/plain" if name.endswith(".TXT") else "application/octet-stream"
    elif file_id != "DICOMDIR":
        name += ".dcm"
    spaces = " " * (1 + _LONGEST_TYPE - len(content_type) + 2 * (_LONGEST_NAME - len(name)))
    identifier = file_id.replace("\\", "/")
    return _lines(
        f"--{_BOUNDARY}",
        f"Content-Type: {content_type};",
        f'{spaces}id="{identifier}";',
        f' name="{name}"',
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{name}"',
        "",
    )


def _lines(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


_PART_HEADER_LENGTH = len(_part_header("DICOMDIR")) - len("DICOMDIR")


class MimeSizing:
    """The unit is a byte."""

    largest_file = 1 << 40

    def content(self, path_length: int, size: int) -> int:
        return _PART_HEADER_LENGTH + path_length + _encoded_length(size)

    def structure(self, runs: Sequence[NameRun]) -> int:  # noqa: ARG002
        return 0

    def size(self, sums: Sums) -> int:
        header = _message_header("." * _DATE_LENGTH)
        return len(header) + sums.content + len(_END)


SIZING = MimeSizing()


def _encoded_length(size: int) -> int:
    """The characters of a file, with the end of the line before the next delimiter."""
    if not size:
        return len("\r\n")
    full_lines, last_line = divmod(size, _LINE)
    length = full_lines * _ENCODED_LINE
    if last_line:
        length += -(-last_line // 3) * 4 + len("\r\n")
    return length


def write_image(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
    layout: ImageLayout | None = None,
) -> int:
    """Writes a message (see `formats.ImageWriter`). The File-set ID is not in it."""
    _, size = volume_size.plan_volume(SIZING, volume_identifier, files)
    if created.utcoffset() is None:
        raise InvalidValue("the date of an image needs its time zone")
    written = 0
    with image_file.new_image(path, size, layout) as message:
        for piece in _message(files, created):
            message.write_at(memoryview(piece), written)
            written += len(piece)
            if progress:
                progress(written)
        message.finish()
    return size


def _message(files: Sequence[VolumeFile], created: datetime) -> Iterator[bytes]:
    yield _message_header(format_datetime(created))
    for file in files:
        yield _part_header(file.file_id)
        yield from _encoded(file)
    yield _END


def _encoded(file: VolumeFile) -> Iterator[bytes]:
    """The lines of a file."""
    pending = b""
    for piece in image_file.content(file):
        pending += piece
        full_lines = len(pending) - len(pending) % _LINE
        for start in range(0, full_lines, _PIECE):
            yield _base64(pending[start : min(start + _PIECE, full_lines)])
        pending = pending[full_lines:]
    if pending:
        yield _base64(pending)
    elif not file.size:
        yield b"\r\n"


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
