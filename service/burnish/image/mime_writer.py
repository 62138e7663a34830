"""Craft: writes File-sets as MIME messages, in which files are parts (PS3.12 K; RFC 2045, 2046).

A message is what a mail program sends, but for its sender and recipients. All lines of Base64 have
76 characters and the headers of all parts are equally long but for the paths in them, so that the
size is a sum.
"""

import base64
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.utils import format_datetime
from pathlib import Path

from burnish.errors import InvalidValue
from burnish.image import image_file, volume_size
from burnish.image.image_file import Progress
from burnish.image.volume_size import Run, Sums
from burnish.values import VolumeFile

#: Bytes in one line, and the characters they come to with the end of the line (RFC 2045 6.8).
LINE, _ENCODED_LINE = 57, 78
#: It has characters that stand in no line of Base64.
_BOUNDARY = "=_DICOM_File-set_="
_END = f"--{_BOUNDARY}--\r\n".encode()
_DATE_LENGTH = len("Mon, 06 May 2024 10:38:10 +0000")
#: Characters of a type and of a name, the longest there are, and of the folding before an ID.
_TYPE, _NAME = len("application/octet-stream"), len("IM000001.dcm")
_PIECE = LINE << 14


def _message(date: str) -> bytes:
    """The header of the message: what a sender does not fill in."""
    lines = (
        "MIME-Version: 1.0",
        f"Date: {date}",
        "Subject: DICOM File-set",
        f'Content-Type: multipart/mixed; boundary="{_BOUNDARY}"',
        *("", "One DICOM File-set, of which every file is a part of this message.", ""),
    )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _part(file_id: str) -> bytes:
    """The delimiter and the header of a part (PS3.12 K.1.2)."""
    name = file_id.rpartition("\\")[2]
    kind = "application/dicom"
    if "." in name:
        kind = "text/plain" if name.endswith(".TXT") else "application/octet-stream"
    elif file_id != "DICOMDIR":
        name += ".dcm"
    folding = " " * (1 + _TYPE - len(kind) + 2 * (_NAME - len(name)))
    lines = (
        f"--{_BOUNDARY}",
        f"Content-Type: {kind};",
        f'{folding}id="{file_id.replace(chr(92), "/")}";',
        f' name="{name}"',
        "Content-Transfer-Encoding: base64",
        f'Content-Disposition: attachment; filename="{name}"',
        "",
    )
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


_PART_LENGTH = len(_part("DICOMDIR")) - len("DICOMDIR")


class _Sizing:
    """Sizes in bytes."""

    largest_file = 1 << 40

    def content(self, path_length: int, size: int) -> int:
        return _PART_LENGTH + path_length + _encoded_length(size)

    def structure(self, runs: Sequence[Run]) -> int:  # noqa: ARG002
        return 0

    def size(self, sums: Sums) -> int:
        return len(_message("." * _DATE_LENGTH)) + sums.content + len(_END)


SIZING = _Sizing()


def _encoded_length(size: int) -> int:
    """The characters of a file, and the line end that belongs to the delimiter behind it."""
    lines, rest = divmod(size, LINE)
    return lines * _ENCODED_LINE + (-(-rest // 3) * 4 + 2 if rest else 0) + (0 if size else 2)


def write(
    path: Path,
    *,
    volume_identifier: str,
    files: Sequence[VolumeFile],
    created: datetime,
    progress: Progress | None = None,
) -> int:
    """Writes the message at `path`, as `iso9660.write` does; the File-set ID is not in it."""
    _, size = volume_size.planned(SIZING, volume_identifier, files)
    if created.utcoffset() is None:
        raise InvalidValue("the date of an image needs its time zone")
    at = 0
    with image_file.new_file(path, size) as message:
        for piece in _pieces(files, created):
            message.place(memoryview(piece), at)
            at += len(piece)
            if progress:
                progress(at)
        message.settle()
    return size


def _pieces(files: Sequence[VolumeFile], created: datetime) -> Iterator[bytes]:
    yield _message(format_datetime(created))
    for file in files:
        yield _part(file.file_id)
        yield from _encoded(file)
    yield _END


def _encoded(file: VolumeFile) -> Iterator[bytes]:
    """The lines of a file."""
    rest, done = b"", 0
    for piece in image_file.pieces(file):
        done += len(piece)
        if done > file.size:
            break
        rest += piece
        whole = len(rest) - len(rest) % LINE
        for start in range(0, whole, _PIECE):
            yield _lines(rest[start : min(start + _PIECE, whole)])
        rest = rest[whole:]
    image_file.check_size(file, done)
    if rest or not file.size:
        yield _lines(rest) or b"\r\n"


def _lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
