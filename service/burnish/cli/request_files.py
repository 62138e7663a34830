"""Surface: commands of `burnish request` that write files: labels, images, ZIP files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, RequestName
from burnish.errors import NotNow
from burnish.request.views import ListPage

if TYPE_CHECKING:
    from burnish.request.views import VolumeView
    from burnish.volume_downloads import VolumeDownloads

#: The bytes of an image that are copied at once.
_CHUNK = 1 << 20

LabelDirectory = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="The directory for the labels.")
]
Directory = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="The directory for the files.")
]
LabelForm = Annotated[str, typer.Option("--form", metavar="FORM", help="pdf, png, jpg or bmp.")]
VolumeNumber = Annotated[
    int | None, typer.Option("--volume", metavar="N", min=1, help="Only this volume.")
]


def label(
    name: RequestName,
    *,
    target: LabelDirectory,
    form: LabelForm = "pdf",
    volume: VolumeNumber = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Write the labels of a request, one for each volume; all copies share it.

    For discs from a drive and for sticks, which no device prints. A request with Media Disposition
    also gets an address label.
    """
    from burnish.label import LABEL_FORMATS

    if form not in LABEL_FORMATS:
        raise typer.BadParameter(f"--form is one of {', '.join(LABEL_FORMATS)}")
    with _downloads(config) as downloads:
        numbers = {shown.volume_number for shown in _volumes(downloads, name, volume)}
        files = _write_labels(downloads, name, numbers, form, target)
    _print_files(files, json=json)


def image(
    name: RequestName,
    *,
    target: Directory,
    volume: VolumeNumber = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Copy the images of a request out of the folder device, one for each volume.

    As the page downloads them: ISO 9660, UDF, FAT or ZIP. A volume of which no device has kept the
    image ends the command with exit code 4; `burnish request zip` may have its files.
    """
    files = []
    with _downloads(config) as downloads:
        for shown in _volumes(downloads, name, volume):
            source, file_name = downloads.image(name, shown.volume_number)
            file = target / file_name
            files.append(_write(file, _chunks(source), shown))
    _print_files(files, json=json)


def zip_file(
    name: RequestName,
    *,
    target: Directory,
    volume: VolumeNumber = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Write the files of a request as ZIP files, one for each volume.

    As the page downloads them: of the image, or made from the instances while they are here.
    Otherwise the command ends with exit code 4.
    """
    files = []
    with _downloads(config) as downloads:
        for shown in _volumes(downloads, name, volume):
            pieces, file_name = downloads.zip_file(name, shown.volume_number)
            files.append(_write(target / file_name, pieces, shown))
    _print_files(files, json=json)


def add_to(app: typer.Typer) -> None:
    """Add the commands to those of `burnish request`."""
    app.command()(label)
    app.command()(image)
    app.command("zip")(zip_file)


@contextmanager
def _downloads(config: Path | None) -> "Iterator[VolumeDownloads]":
    with open_database(config) as (settings, database):
        from burnish import roles
        from burnish.volume_downloads import VolumeDownloads

        yield VolumeDownloads(settings, database, roles.open_spool(settings))


def _volumes(downloads: "VolumeDownloads", name: str, number: int | None) -> "Sequence[VolumeView]":
    """The volumes of a request, or the one of this number; raises Unknown, NotNow."""
    short_id, volumes = downloads.volumes(name)
    chosen = [volume for volume in volumes if number in (None, volume.volume_number)]
    if not chosen:
        raise NotNow(
            f"{short_id} has no such volume yet",
            hint=f"once it is planned, `burnish request show {short_id}` lists its volumes",
        )
    return chosen


def _write_labels(
    downloads: "VolumeDownloads", name: str, numbers: set[int], form: str, target: Path
) -> list[dict[str, object]]:
    """Write the labels of volumes into a directory; what was written, as JSON has it."""
    from burnish.write.labels import PieceLabels

    settings = downloads.settings
    labels = PieceLabels(settings.label, settings.content, form)
    target.mkdir(parents=True, exist_ok=True)
    files: list[dict[str, object]] = []
    for job in downloads.jobs(name):
        if job.burn_job.volume_number not in numbers:
            continue
        for file_name, label_file in labels.of_volume(job).items():
            (target / file_name).write_bytes(label_file.data)
            for note in label_file.notes:
                output.print_error(f"{file_name}: {note}")
            files.append(
                {
                    "file": target / file_name,
                    "file_set_id": job.burn_job.file_set_id,
                    "size": len(label_file.data),
                    "notes": label_file.notes,
                }
            )
    return files


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _write(file: Path, chunks: Iterator[bytes], volume: "VolumeView") -> dict[str, object]:
    """Write a file of a volume, which has its name once it is whole; it, as JSON has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        with output.if_interrupted(f"interrupted; {file} was not written"), part.open("wb") as out:
            out.writelines(chunks)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return {"file": file, "file_set_id": volume.file_set_id, "size": file.stat().st_size}


def _print_files(files: list[dict[str, object]], *, json: bool) -> None:
    if json:
        output.print_views(ListPage(tuple(files)))
        return
    for file in files:
        typer.echo(f"{file['file']}: {file['file_set_id']}, {file['size']} bytes")
