"""Surface: what a volume looks like before and after it is made: label, first page, image."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from fastapi import Response

from burnish.errors import BurnishError, Unknown
from burnish.image.image_file import content
from burnish.image.reader import open_volume
from burnish.image.zip_stream import StreamedFile, zip_pieces
from burnish.request import listing
from burnish.settings import Settings
from burnish.web.context import WebContext
from burnish.write.job import PieceJob, volume_jobs
from burnish.write.labels import PieceLabels
from burnish.write.pipeline import plain_files

#: For pages of discs: they may have styles and pictures of their own, but no script.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


def volume_job(context: WebContext, name: str, number: int) -> PieceJob:
    """The input of a writer for a volume of a request; raises Unknown."""
    root = context.settings.storage.root
    with context.database.reading() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        jobs = volume_jobs(session, uid, context.spool, root / "images", root / "content")
    for job in jobs:
        if job.burn_job.volume_number == number:
            return job
    raise Unknown(f"no volume {number} is planned", hint="once it is planned, its request shows it")


def label_of(settings: Settings, job: PieceJob, form: str) -> bytes:
    """The label of a volume, which its copies share; raises BurnishError."""
    labels = PieceLabels(settings.label, form).of_volume(job)
    return next(iter(labels.values())).data


def front_page(job: PieceJob) -> bytes:
    """INDEX.HTM of a volume; raises Unknown if it has none."""
    if job.plan.content is not None:
        for file in job.plan.content.volume_files():
            if file.file_id == "INDEX.HTM" and callable(file.source):
                return b"".join(file.source())
    raise Unknown("the volume has no pages")


def front_page_response(context: WebContext, name: str, number: int) -> Response:
    """The first page of a volume for a browser; raises Unknown."""
    return Response(
        front_page(volume_job(context, name, number)),
        media_type="text/html; charset=utf-8",
        # a page of a disc has styles of its own, and nothing in it may reach this site
        headers={"Content-Security-Policy": POLICY},
    )


def published_image(settings: Settings, request_name: str, number: int) -> Path | None:
    """The image of a volume in the folder of a device, once it is complete."""
    for device in settings.devices:
        if device.kind != "folder" or device.directory is None:
            continue
        manifest = device.directory / request_name / f"VOLUME{number:02d}.json"
        try:
            image = manifest.with_name(json.loads(manifest.read_bytes())["image"])
        except (OSError, ValueError, KeyError):
            continue
        if image.is_file():
            return image
    return None


def downloadable_image(context: WebContext, name: str, number: int) -> tuple[Path, str]:
    """The published image of a volume, and its name for people.

    Raises Unknown if there is no such request, or if no device has kept the image.
    """
    with context.database.reading() as session:
        request_name = listing.find_request(session, name).short_id
    path = published_image(context.settings, request_name, number)
    if path is None:
        raise Unknown(
            "the image of this volume is not here",
            hint="only folder devices keep the images of their media",
        )
    return path, f"{request_name}-{path.name}"


def zip_of_image(path: Path) -> Iterator[bytes]:
    """A ZIP file with all files of a published image, in pieces."""
    created = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    with open_volume(path) as volume:
        files = (
            StreamedFile(name, size, volume.chunks(name)) for name, size in volume.files().items()
        )
        yield from zip_pieces(files, created)


def zip_of_job(job: PieceJob) -> Iterator[bytes]:
    """A ZIP file with all files that the image of a volume has, in pieces; raises Unknown.

    It is what a device that keeps no image was given, made again from the instances.
    """
    if job.secure:
        raise Unknown(
            "the volume is encrypted, and its image is not here",
            hint="only folder devices keep the images of their media",
        )
    for instance in job.plan.instances:
        try:
            instance.source.read(0, 1)
        except (OSError, BurnishError):
            raise Unknown(
                "instances of this volume are not here any more",
                hint="only folder devices keep the images of their media",
            ) from None
    files = plain_files(job.plan)
    streamed = (StreamedFile(file.file_id, file.size, content(file)) for file in files)
    return zip_pieces(streamed, job.plan.created)


def zip_file(context: WebContext, name: str, number: int) -> tuple[Iterator[bytes], str]:
    """The files of a volume as a ZIP file in pieces, and its name; raises Unknown."""
    with context.database.reading() as session:
        request_name = listing.find_request(session, name).short_id
    path = published_image(context.settings, request_name, number)
    pieces = zip_of_image(path) if path else zip_of_job(volume_job(context, name, number))
    return pieces, f"{request_name}-VOLUME{number:02d}.zip"
