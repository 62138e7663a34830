"""Surface: `burnish serve`, the service itself or one role of it."""

from enum import StrEnum
from typing import Annotated

import typer

from burnish.cli.installation import read_settings
from burnish.cli.options import Config


class Role(StrEnum):
    """The parts of the service that can run by themselves."""

    RECEIVER = "receiver"
    SCHEDULER = "scheduler"
    WRITER = "writer"


def serve(
    role: Annotated[Role | None, typer.Option(help="Run only this role.")] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="The device of the role writer.")
    ] = "",
    config: Config = None,
) -> None:
    """Run the service: receive instances, plan, make and verify media.

    Without --role everything runs on this machine, and the database is brought up to date first;
    a role only checks it. SIGTERM lets associations and media under way come to their end.
    """
    if bool(device) != (role is Role.WRITER):
        raise typer.BadParameter("--device goes with --role writer, which needs it")
    from burnish import roles, supervisor

    settings = read_settings(config)
    roles.configure_logging(settings)
    roles.hide_library_warnings()
    roles.restrict_file_permissions()
    match role:
        case None:
            roles.prepare(settings)
            supervisor.Supervisor(settings).run()
        case Role.RECEIVER:
            roles.run_receiver(settings)
        case Role.SCHEDULER:
            roles.run_scheduler(settings)
        case Role.WRITER:
            roles.run_writer(settings, device)
