"""Stage: what people take of a volume, made or not: label, first page, image, ZIP."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from burnish.db.session import Database
from burnish.errors import BurnishError, Unknown
from burnish.image.image_file import content
from burnish.image.reader import open_volume
from burnish.image.zip_stream import StreamedFile, zip_pieces
from burnish.request import listing
from burnish.request.views import VolumeView
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.write.job import PieceJob, volume_jobs
from burnish.write.labels import PieceLabels
from burnish.write.pipeline import plain_files


@dataclass(frozen=True, slots=True)
class VolumeDownloads:
    """What people take of the volumes of an installation. Requests are named as people name them.

    Each method raises Unknown if there is no such request or volume.
    """

    settings: Settings
    database: Database
    spool: Spool

    def volumes(self, name: str) -> tuple[str, tuple[VolumeView, ...]]:
        """The short name of a request, and its volumes; none before it is planned."""
        with self.database.reading() as session:
            view = listing.show(session, name)
        return view.line.short_id, view.volumes

    def jobs(self, name: str) -> list[PieceJob]:
        """The input of a writer for each volume of a request."""
        root = self.settings.storage.root
        with self.database.reading() as session:
            uid = listing.find_request(session, name).sop_instance_uid
            return volume_jobs(session, uid, self.spool, root / "images", root / "content")

    def job(self, name: str, number: int) -> PieceJob:
        """The input of a writer for a volume of a request."""
        for job in self.jobs(name):
            if job.burn_job.volume_number == number:
                return job
        raise Unknown(
            f"no volume {number} is planned", hint="once it is planned, its request shows it"
        )

    def label(self, name: str, number: int, form: str) -> bytes:
        """The label of a volume, which its copies share; raises BurnishError."""
        labels = PieceLabels(self.settings.label, self.settings.content, form)
        files = labels.of_volume(self.job(name, number))
        return next(iter(files.values())).data

    def front_page(self, name: str, number: int) -> bytes:
        """INDEX.HTM of a volume; raises Unknown if it has none."""
        content_of_volume = self.job(name, number).plan.content
        if content_of_volume is not None:
            for file in content_of_volume.volume_files():
                if file.file_id == "INDEX.HTM" and callable(file.source):
                    return b"".join(file.source())
        raise Unknown("the volume has no pages")

    def image(self, name: str, number: int) -> tuple[Path, str]:
        """The published image of a volume, and its name for people.

        Raises Unknown if no device has kept the image.
        """
        request_name = self._request_name(name)
        path = published_image(self.settings, request_name, number)
        if path is None:
            raise Unknown(
                "the image of this volume is not here",
                hint="only folder devices keep the images of their media",
            )
        return path, f"{request_name}-{path.name}"

    def zip_file(self, name: str, number: int) -> tuple[Iterator[bytes], str]:
        """The files of a volume as a ZIP file in pieces, and its name for people.

        Raises Unknown if there is no image and instances are gone, or the volume is encrypted.
        """
        request_name = self._request_name(name)
        path = published_image(self.settings, request_name, number)
        pieces = _zip_of_image(path) if path else _zip_of_job(self.job(name, number))
        return pieces, f"{request_name}-VOLUME{number:02d}.zip"

    def _request_name(self, name: str) -> str:
        with self.database.reading() as session:
            return listing.find_request(session, name).short_id


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


def _zip_of_image(path: Path) -> Iterator[bytes]:
    """A ZIP file with all files of a published image, in pieces."""
    created = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    with open_volume(path) as volume:
        files = (
            StreamedFile(name, size, volume.chunks(name)) for name, size in volume.files().items()
        )
        yield from zip_pieces(files, created)


def _zip_of_job(job: PieceJob) -> Iterator[bytes]:
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
