"""The readers of files from elsewhere, with the errors that each may raise."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from burnish.dicomdir import encoder
from burnish.errors import BurnishError, Conflict
from burnish.file_slice import Slice
from burnish.image.formats import FORMATS
from burnish.image.reader import open_volume
from burnish.instance_header.header import index_file
from burnish.media import FileSystem
from burnish.transcode import convert, icons
from burnish.transcode.transfer_syntaxes import LOSSY
from burnish.values import DirectoryEntry, VolumeFile
from burnish.verify import examine_volume
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN
from made_entries import EVERY_KEY
from material import real_studies, wider_collection

Seeds = list[tuple[str, bytes]]
_LARGEST = 300_000


@dataclass(frozen=True)
class Reader:
    """A function that reads the file at a path, and the errors that it may raise.

    A `confined` reader runs in a process of its own in the service too, so it may crash that
    process or exhaust its memory.
    """

    read: Callable[[Path], object]
    seeds: Callable[[], Seeds]
    errors: tuple[type[Exception], ...] = (BurnishError,)
    confined: bool = False
    #: The limit of its CPU time.
    seconds: float = 60.0


def index(path: Path) -> None:
    """Indexes the header, and encodes a DICOMDIR of it, which must have its predicted size."""
    file = index_file(path)
    if not file.header.directory_record_type:
        return
    entries = [DirectoryEntry("DICOM\\A", file.header, file.transfer_syntax_uid)]
    with suppress(Conflict):
        dicomdir = encoder.encode(entries, keys=EVERY_KEY, file_set_id="X", file_set_uid="1.2")
        assert len(dicomdir) == encoder.size(
            entries, keys=EVERY_KEY, file_set_id="X", file_set_uid="1.2"
        )


def _convert(path: Path) -> None:
    convert.convert_file(EXPLICIT_VR_LITTLE_ENDIAN, Slice.of_file(path), path.with_suffix(".made"))


def _compress(path: Path) -> None:
    convert.convert_file("1.2.840.10008.1.2.4.70", Slice.of_file(path), path.with_suffix(".made"))


def _lose(path: Path) -> None:
    """With loss, in every way there is."""
    errors = list[Exception]()
    for number, syntax in enumerate(sorted(LOSSY)):
        try:
            convert.convert_file(syntax, Slice.of_file(path), path.with_suffix(f".{number}"))
        except _CODECS as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _icon(path: Path) -> None:
    icons.make_icon(Slice.of_file(path), 64)


def _examine(path: Path) -> None:
    with open_volume(path, digest=True) as volume:
        examine_volume(volume)


def _examine_directory(path: Path) -> None:
    """The file as the DICOMDIR of a directory, and as the only instance on it."""
    root = path.with_suffix(".root")
    root.mkdir(exist_ok=True)
    (root / "DICOMDIR").write_bytes(path.read_bytes())
    (root / "A").write_bytes(path.read_bytes())
    _examine(root)


def files() -> Seeds:
    """Real DICOM files that are small enough to be damaged by the thousand."""
    studies, wider = real_studies(), wider_collection()
    folders = (
        [folder.name for folder in sorted(wider.root.iterdir()) if folder.is_dir()] if wider else []
    )
    paths = [*studies.all, *studies.transfer_syntaxes.values(), *wider.files(*folders)]
    small = [path for path in paths if path.stat().st_size <= _LARGEST]
    return [(path.name, path.read_bytes()) for path in small]


def directories() -> Seeds:
    files = [index_file(path) for path in real_studies().patients]
    entries = [
        DirectoryEntry(f"DICOM\\F{number}", file.header, file.transfer_syntax_uid)
        for number, file in enumerate(files)
    ]
    seeds = []
    for count in (1, 5, len(entries)):
        with suppress(Conflict):
            data = encoder.encode(
                entries[:count], keys=EVERY_KEY, file_set_id="X", file_set_uid="1.2"
            )
            seeds.append((f"DICOMDIR of {count}", data))
    return seeds


def volumes(folder: Path) -> Seeds:
    """A small volume of each file system."""
    _, directory = directories()[0]
    file = real_studies().patients[0]
    images = []
    for file_system in FileSystem:
        if file_system not in FORMATS:
            continue
        path = folder / f"seed-{file_system.name}"
        FORMATS[file_system].write(
            path,
            volume_identifier="X",
            files=[
                VolumeFile("DICOMDIR", len(directory), directory),
                VolumeFile("README.TXT", 2, b"x\n"),
                VolumeFile("DICOM\\F0", file.stat().st_size, Slice.of_file(file)),
            ],
            created=datetime(2024, 1, 2, tzinfo=UTC),
        )
        data = path.read_bytes()
        path.unlink()
        if len(data) <= 4 << 20:
            images.append((file_system.name, data))
    return images


_CODECS = (BurnishError, OSError, MemoryError)


def readers(folder: Path) -> dict[str, Reader]:
    """Every reader by its name."""
    return {
        "header": Reader(index, files),
        "convert": Reader(_convert, files, _CODECS, confined=True, seconds=300),
        "compress": Reader(_compress, files, _CODECS, confined=True, seconds=300),
        "lossy": Reader(_lose, files, _CODECS, confined=True, seconds=300),
        "icon": Reader(
            partial(icons.make_icon, pixels=64), files, (OSError,), confined=True, seconds=300
        ),
        "directory": Reader(_examine_directory, directories),
        "instance": Reader(_examine_directory, files),
        "volume": Reader(_examine, partial(volumes, folder)),
    }
