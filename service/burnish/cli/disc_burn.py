"""Surface: `burnish disc burn`, an image onto a disc in a device of the configuration."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import exits, output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, present
from burnish.errors import NotNow, OperatorError, Unknown

if TYPE_CHECKING:
    from burnish.burn import Burner, BurnJob, BurnResult
    from burnish.db.session import Database
    from burnish.settings import DeviceSettings, Settings
    from burnish.write.pipeline import Progress

_PIECE = 1 << 20
_KINDS = ("optical", "primera", "epson")
_BECAUSE = "burnish disc burn uses it"
_REMEDY = "Throw the disc away, and try again."

Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="As `burnish disc build` made it.")]
Name = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A drive or robot, as `burnish device list` has it.")
]
Medium = Annotated[
    str,
    typer.Option(
        metavar="MEDIUM", show_default=False, help="What a robot is to take; else what fits."
    ),
]


def burn(image: Image, name: Name, *, medium: Medium = "", config: Config = None) -> None:
    """Burn a volume image on a disc in a drive or robot of the service, and read it back.

    Meanwhile the service leaves the drive alone; it must not be at work on it. A robot does it
    among its other jobs. The image has to be without faults. The disc is read back, every byte of
    it, as the service does; a robot compares it itself. Exit code 10 where a person has to see to
    the device, 22 where the disc is ruined.
    """
    with open_database(config) as (settings, database):
        device = _device(settings, name)
        job = _job(present(image), device, medium)
        alone = _alone(database, name) if device.kind == "optical" else contextlib.nullcontext()
        with alone, output.progress() as progress:
            from burnish.burn import open_burner

            burner = open_burner(device.kind, name, **device.burner_options())
            size = image.stat().st_size
            wrong = _made(
                burner, job, lambda done: progress(f"burning {image.name}", done, size), size
            )
    if wrong:
        output.complain(f"{image}: {wrong}", _REMEDY)
        raise typer.Exit(exits.VOLUME_FAULTY)
    how = "read back and found right" if device.kind == "optical" else f"compared by {name}"
    typer.echo(f"{image}: on a disc, {size} bytes, {how}")


def _device(settings: "Settings", name: str) -> "DeviceSettings":
    for device in settings.devices:
        if device.name == name and device.kind in _KINDS:
            return device
    raise Unknown(f"no drive or robot {name}", hint="`burnish device list` shows the devices")


def _job(image: Path, device: "DeviceSettings", medium: str) -> "BurnJob":
    """The job; raises OperatorError for an image with faults, or of no medium of the device."""
    from burnish.burn import BurnJob
    from burnish.image.formats import FORMATS
    from burnish.image.reader import open_volume
    from burnish.media import MEDIA, FileSystem
    from burnish.secure_files import open_secure
    from burnish.verify import examine_volume
    from burnish.verify.examine import VolumeWithFileSystem
    from burnish.write import pipeline

    size = image.stat().st_size
    with open_volume(image) as volume:
        found = examine_volume(open_secure(volume, {}), size=size)
        file_system = volume.file_system if isinstance(volume, VolumeWithFileSystem) else None
    if not found.good:
        hint = f"`burnish disc verify {image}` names them"
        raise OperatorError(f"{image} has {len(found.faults)} faults", hint=hint)
    discs = [
        one
        for one in device.media
        if FORMATS[MEDIA[one].file_system].suffix == image.suffix.lower()
    ]
    if not discs:
        raise OperatorError(f"{image} is no image of a disc, by its suffix")
    udf_only = FileSystem.UDF_2_60  # what BD has, and nothing else has (PS3.12)
    discs = [
        one for one in discs if (MEDIA[one].file_system is udf_only) is (file_system is udf_only)
    ]
    if not discs:
        raise OperatorError(f"{image} has the file system of another disc than {device.name} takes")
    fitting = [one for one in discs if device.capacity_of(one) >= size]
    if medium and medium not in device.media:
        raise typer.BadParameter(f"{device.name} is for {', '.join(device.media)}")
    if not fitting or (medium and medium not in fitting):
        raise OperatorError(f"{image} has {size} bytes, more than a disc of {device.name} holds")
    return BurnJob(
        image=image,
        volume_number=1,
        volume_count=1,
        copy_number=1,
        copies=1,
        request_name="DISC",
        file_set_id=found.volume_identifier,
        file_set_uid=found.file_set_uid,
        medium=medium or ("" if device.kind == "optical" else fitting[0]),
        device_job=f"DISC-{secrets.token_hex(4)}",
        files=lambda: pipeline.image_files(image),
    )


@contextlib.contextmanager
def _alone(database: "Database", name: str) -> Iterator[None]:
    """The device paused for the service, as `burnish device list` tells; raises NotNow where it
    is at work. It is resumed unless somebody had paused it before."""
    from burnish.db import devices

    with database.writing() as session:
        before = devices.standing(session, name)
        if _BECAUSE in before.detail:
            hint = f"wait for it; if it was killed: `burnish device resume {name}`"
            raise NotNow(f"{name}: {_BECAUSE} already", hint=hint)
        if before.paused_at is None:
            devices.pause(session, name, _BECAUSE)
    try:
        with database.reading() as session:
            if devices.at_work(session, name):
                hint = "try again when its piece is made: `burnish device pause` keeps it from more"
                raise NotNow(f"{name} is at work", hint=hint)
        yield
    finally:
        if before.paused_at is None:
            with database.writing() as session:
                devices.resume(session, name)


def _made(burner: "Burner", job: "BurnJob", progress: "Progress", size: int) -> str:
    """Burns and reads back; what is wrong with the disc. Raises OperatorError where none was
    touched."""
    from burnish.burn import BurnOutcome
    from burnish.lifecycle import Custody

    told: list[str] = []

    def tell(result: "BurnResult") -> None:
        if result.detail and result.detail not in told:
            told.append(result.detail)
            output.complain(result.detail, result.remedy)

    good = False
    try:
        burnt = burner.write(job, progress, tell)
        if burnt.outcome is BurnOutcome.RUINED:
            return burnt.detail
        if burnt.outcome is not BurnOutcome.WRITTEN:
            raise OperatorError(burnt.detail, hint=burnt.remedy)
        followed = burner.custody is Custody.FOLLOWED
        wrong = "" if followed else _differs(job, burner.written(job), size)
        good = not wrong
        return wrong
    finally:  # also where somebody interrupts it
        if good:
            burner.publish(job)
        else:
            burner.discard(job)


def _differs(job: "BurnJob", written: Path, size: int) -> str:
    """What is wrong with the disc, read from the medium: any byte, or what the standard says."""
    from burnish.errors import Unreadable
    from burnish.image.reader import open_volume
    from burnish.secure_files import open_secure
    from burnish.verify import examine_volume

    try:
        with open_volume(written, fresh=True, length=size) as volume:
            found = examine_volume(open_secure(volume, {}), size=size)
        if not found.good:
            return f"read back wrong: {found.faults[0].code} {found.faults[0].where}"
        with job.image.open("rb") as image, written.open("rb") as disc:
            while piece := image.read(_PIECE):
                if disc.read(len(piece)) != piece:
                    return f"read back wrong: it is not the image before byte {image.tell()}"
    except (Unreadable, OSError) as error:
        return f"it cannot be read back: {error}"
    return ""
