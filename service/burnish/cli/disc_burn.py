"""Surface: `burnish disc burn`, an image onto a disc in a configured device."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import exits, output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, existing
from burnish.errors import NotNow, Unknown

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.settings import DeviceSettings, Settings

_KINDS = ("optical", "primera", "epson")
_PAUSE_REASON = "burnish disc burn uses it"

Image = Annotated[
    Path,
    typer.Argument(readable=False, metavar="IMAGE", help="An image made by `burnish disc build`."),
]
DeviceName = Annotated[
    str, typer.Argument(metavar="DEVICE", help="A drive or robot in `burnish device list`.")
]
Medium = Annotated[
    str,
    typer.Option(
        metavar="MEDIUM",
        show_default=False,
        help="The medium for a robot to take. Default: one that fits.",
    ),
]


def burn(
    image: Image,
    name: DeviceName,
    *,
    medium: Medium = "",
    json: Json = False,
    config: Config = None,
) -> None:
    """Burn a volume image onto a disc in a configured drive or robot, and read the disc back.

    The image must have no faults. The service does not use the drive meanwhile; the command fails
    if the service is using it already. A drive is read back byte by byte; a robot compares the disc
    itself. Exit code 10 if the device needs an operator, 22 if the disc is spoiled.
    """
    with open_database(config) as (settings, database):
        from burnish.burn import open_burner
        from burnish.offline.disc_burn import burn_and_read_back, burn_job

        device = _device(settings, name)
        if medium and medium not in device.media:
            raise typer.BadParameter(f"{name} is for {', '.join(device.media)}")
        job = burn_job(existing(image), device, medium)
        size = image.stat().st_size
        is_drive = device.kind == "optical"
        with contextlib.ExitStack() as stack:
            if is_drive:
                stack.enter_context(_paused_for_service(database, name))
            progress = stack.enter_context(output.progress_bar())
            burner = open_burner(device.kind, name, **device.burner_options())
            problem = burn_and_read_back(
                burner,
                job,
                lambda done: progress(f"burning {image.name}", done, size),
                output.print_error,
            )
    verdict = "read back without differences" if is_drive else f"compared by {name}"
    outcome = {"image": image, "device": name, "size": size, "problem": problem}
    if problem:
        if json:
            output.print_views({**outcome, "verified": ""})
        output.print_error(f"{image}: {problem}", "Throw the disc away and try again.")
        raise typer.Exit(exits.VOLUME_FAULTY)
    text = f"{image}: burnt, {size} bytes, {verdict}"
    output.print_outcome(text, {**outcome, "verified": verdict}, json=json)


def _device(settings: "Settings", name: str) -> "DeviceSettings":
    for device in settings.devices:
        if device.name == name and device.kind in _KINDS:
            return device
    raise Unknown(f"no drive or robot {name}", hint="`burnish device list` shows the devices")


@contextlib.contextmanager
def _paused_for_service(database: "Database", name: str) -> Iterator[None]:
    """Keeps the service off a drive; the drive is resumed unless it was paused before.

    Raises NotNow if the service, or another such command, is using the drive.
    """
    from burnish.db import devices

    with database.writing() as session:
        before = devices.standing(session, name)
        if _PAUSE_REASON in before.detail:
            raise NotNow(
                f"another `burnish disc burn` is using {name}",
                hint=f"wait for it; if it was killed: `burnish device resume {name}`",
            )
        if before.paused_at is None:
            devices.pause(session, name, _PAUSE_REASON)
    try:
        with database.reading() as session:
            if devices.at_work(session, name):
                raise NotNow(
                    f"the service is using {name}",
                    hint="try again when its piece is finished; `burnish device pause` keeps the"
                    " drive from taking another one",
                )
        yield
    finally:
        if before.paused_at is None:
            with database.writing() as session:
                devices.resume(session, name)
