"""Craft: a ZIP file that is written while it is sent, of files whose bytes come in pieces.

Each file is stored as it is, and its checksum follows it (PKWARE APPNOTE 4.3.9), so that nothing is
read twice or kept.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple


class StreamedFile(NamedTuple):
    """A file by its File ID, with its bytes in pieces."""

    file_id: str
    size: int
    pieces: Iterable[bytes | memoryview]


class _Sink(io.RawIOBase):
    """Collects what zipfile writes until it is sent; it cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """The bytes that were written since the last call."""
        content = b"".join(self._pieces)
        self._pieces.clear()
        return content


def zip_pieces(files: Iterable[StreamedFile], created: datetime) -> Iterator[bytes]:
    """The ZIP file with these files in pieces; `created` is the date of each of them."""
    sink = _Sink()
    date = (max(created.year, 1980), *created.timetuple()[1:6])
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.file_id.replace("\\", "/"), date)
            entry.external_attr = 0o100644 << 16
            entry.file_size = file.size
            with archive.open(entry, "w") as target:
                for piece in file.pieces:
                    target.write(piece)
                    yield sink.take()
    yield sink.take()
