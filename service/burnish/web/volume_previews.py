"""Surface: what a volume looks like before and after it is made: label, first page, image."""

import json
from pathlib import Path

from burnish.errors import Unknown
from burnish.request import listing
from burnish.settings import Settings
from burnish.web.context import WebContext
from burnish.write.job import PieceJob, volume_jobs
from burnish.write.labels import PieceLabels

#: For pages of discs: they may have styles and pictures of their own, but no script.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


def volume_job(context: WebContext, name: str, number: int) -> PieceJob:
    """What a writer would get to make a volume of a request; raises Unknown."""
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
