"""Surface: what a volume looks like before and after it is made: label, first page, image."""

import json
from pathlib import Path

from burnish.errors import Unknown
from burnish.settings import Settings
from burnish.write.job import PieceJob
from burnish.write.labels import PieceLabels

#: For pages of discs: they may have styles and pictures of their own, but no script.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox"
)


def label_png(settings: Settings, job: PieceJob) -> bytes:
    """The label of a volume as a picture; raises BurnishError."""
    labels = PieceLabels(settings.label, "png").of_volume(job)
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


def downloadable_image(settings: Settings, request_name: str, number: int) -> Path:
    """The published image of a volume; raises Unknown if no device has kept it."""
    path = published_image(settings, request_name, number)
    if path is None:
        raise Unknown(
            "the image of this volume is not here",
            hint="only folder devices keep the images of their media",
        )
    return path
