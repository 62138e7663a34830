"""ZIP files that are written while they are sent."""

import io
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

from burnish.image.zip_stream import StreamedFile, zip_pieces

_CREATED = datetime(2026, 11, 28, 7, 30, 2, tzinfo=UTC)


def test_programs_read_what_was_streamed(tmp_path: Path) -> None:
    contents = {
        "DICOMDIR": [b"abc", b"def"],
        "A\\B\\IM1": [memoryview(b"\0" * 70_000), b"end"],
        "EMPTY": [],
    }
    files = [
        StreamedFile(name, sum(len(piece) for piece in pieces), pieces)
        for name, pieces in contents.items()
    ]
    path = tmp_path / "streamed.zip"
    path.write_bytes(b"".join(zip_pieces(files, _CREATED)))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["DICOMDIR", "A/B/IM1", "EMPTY"]
        assert archive.read("A/B/IM1") == b"\0" * 70_000 + b"end"
        assert archive.getinfo("DICOMDIR").date_time == (2026, 11, 28, 7, 30, 2)
    assert subprocess.run(["7z", "t", path], capture_output=True, check=False).returncode == 0


def test_nothing_is_kept_of_what_was_sent() -> None:
    piece = bytes(1 << 20)
    sent = zip_pieces([StreamedFile("IM1", 64 << 20, (piece for _ in range(64)))], _CREATED)
    assert max(len(part) for part in sent) < 2 << 20


def test_a_file_above_four_gigabytes_is_announced_as_zip64() -> None:
    files = [StreamedFile("IM1", 5 << 30, [b"x"])]
    beginning = io.BytesIO(next(iter(zip_pieces(files, _CREATED))))
    assert beginning.read(6)[4] == zipfile.ZIP64_VERSION
