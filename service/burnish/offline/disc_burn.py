"""Offline: `burnish disc burn`: one volume image onto one disc, read back, without a database."""

import secrets
from collections.abc import Callable
from pathlib import Path

from burnish.burn import Burner, BurnJob, BurnOutcome, BurnResult
from burnish.errors import OperatorError, Unreadable
from burnish.image.formats import FORMATS
from burnish.image.reader import open_volume
from burnish.lifecycle import Custody
from burnish.media import MEDIA, FileSystem
from burnish.secure_files import open_secure
from burnish.settings import DeviceSettings
from burnish.verify import examine_volume
from burnish.verify.examine import VolumeWithFileSystem
from burnish.wording import quantity
from burnish.write.pipeline import Progress, image_files

_BLOCK = 1 << 20


def burn_job(image: Path, device: DeviceSettings, medium: str = "") -> BurnJob:
    """The job that burns `image`; `medium` is for robots, and empty for the medium that fits.

    Raises OperatorError for an image with faults, and for one that no medium of the device can
    hold. An optical drive itself checks which disc is in it.
    """
    size = image.stat().st_size
    with open_volume(image) as volume:
        report = examine_volume(open_secure(volume, {}), size=size)
        file_system = volume.file_system if isinstance(volume, VolumeWithFileSystem) else None
    if not report.good:
        raise OperatorError(
            f"{image} has {quantity(len(report.faults), 'fault')}",
            hint=f"`burnish disc verify {image}` lists them",
        )
    fitting_media = _fitting_media(image, file_system, size, device)
    if medium and medium not in fitting_media:
        raise OperatorError(f"{image} has {size} bytes, more than a {medium} holds")
    return BurnJob(
        image=image,
        volume_number=1,
        volume_count=1,
        copy_number=1,
        copies=1,
        request_name="DISC",
        file_set_id=report.volume_identifier,
        file_set_uid=report.file_set_uid,
        medium=medium or ("" if device.kind == "optical" else fitting_media[0]),
        device_job=f"DISC-{secrets.token_hex(4)}",
        files=lambda: image_files(image),
    )


def _fitting_media(
    image: Path, file_system: FileSystem | None, size: int, device: DeviceSettings
) -> list[str]:
    """The media of the device that can hold the image; raises OperatorError if there is none."""
    discs = []
    for name in device.media:
        if FORMATS[MEDIA[name].file_system].suffix == image.suffix.lower():
            discs.append(name)
    if not discs:
        raise OperatorError(f"{image} is not an image of a disc, judged by its suffix")
    # Blu-ray discs have UDF 2.60, which no other disc has (PS3.12)
    is_blu_ray_image = file_system is FileSystem.UDF_2_60
    discs = [
        name
        for name in discs
        if (MEDIA[name].file_system is FileSystem.UDF_2_60) == is_blu_ray_image
    ]
    if not discs:
        raise OperatorError(
            f"{image} has a file system for another kind of disc than {device.name} takes"
        )
    fitting_discs = [name for name in discs if device.capacity_of(name) >= size]
    if not fitting_discs:
        raise OperatorError(f"{image} has {size} bytes, more than a disc of {device.name} holds")
    return fitting_discs


def burn_and_read_back(
    burner: Burner,
    job: BurnJob,
    progress: Progress,
    report_problem: Callable[[str, str], None],
) -> str:
    """Burn the job and read the disc back; return what is wrong with the disc, empty if nothing.

    `report_problem` is called with each problem of the device and its remedy while it works.
    Raises OperatorError if no disc was touched.
    """
    reported = set()

    def report(result: BurnResult) -> None:
        if result.detail and result.detail not in reported:
            reported.add(result.detail)
            report_problem(result.detail, result.remedy)

    good = False
    try:
        result = burner.write(job, progress, report)
        if result.outcome in (BurnOutcome.RUINED, BurnOutcome.REJECTED):
            return result.detail
        if result.outcome is not BurnOutcome.WRITTEN:
            raise OperatorError(result.detail, hint=result.remedy)
        # a device that works by itself, a robot, has compared the disc already
        compared_by_device = burner.custody is Custody.FOLLOWED
        difference = "" if compared_by_device else _difference(job, burner.written(job))
        good = not difference
        return difference
    finally:  # also when the command is interrupted
        if good:
            burner.publish(job)
        else:
            burner.discard(job)


def _difference(job: BurnJob, medium: Path) -> str:
    """How the volume on the medium differs from the image or from the standard; empty if not."""
    size = job.image.stat().st_size
    try:
        with open_volume(medium, fresh=True, length=size) as volume:
            report = examine_volume(open_secure(volume, {}), size=size)
        if not report.good:
            fault = report.faults[0]
            return f"read back wrong: {fault.code} {fault.where}"
        with job.image.open("rb") as image, medium.open("rb") as disc:
            while block := image.read(_BLOCK):
                if disc.read(len(block)) != block:
                    return f"read back wrong: it differs from the image before byte {image.tell()}"
    except (Unreadable, OSError) as error:
        return f"it cannot be read back: {error}"
    return ""
