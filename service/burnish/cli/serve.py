"""Surface: `burnish serve`, the service or one of its roles."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from burnish.cli.installation import read_settings
from burnish.cli.options import Config


class Role(StrEnum):
    """The parts of the service that can run alone."""

    RECEIVER = "receiver"
    SCHEDULER = "scheduler"
    WRITER = "writer"
    WEB = "web"


def serve(
    role: Annotated[Role | None, typer.Option(help="Run only this part of the service.")] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="The device of --role writer.")] = "",
    config: Config = None,
) -> None:
    """Run the service, or one part of it.

    Without --role, all parts run on this machine, and the database is created or upgraded first.
    With --role, the database must already have this version. On SIGTERM, associations and media
    in progress are finished first.
    """
    if bool(device) != (role is Role.WRITER):
        raise typer.BadParameter("--role writer needs --device; other roles do not take it")
    from burnish import roles, supervisor

    settings = read_settings(config)
    roles.configure_logging(settings)
    roles.hide_library_warnings()
    roles.restrict_file_permissions()
    roles.check_runs_as_owner(settings)
    if role is None:
        supervisor.Supervisor(settings).run()
        return
    # while a part runs, no other service and no recovery can begin on this storage root
    lock = roles.lock(settings, "serve", shared=True)
    match role:
        case Role.RECEIVER:
            roles.run_receiver(settings)
        case Role.SCHEDULER:
            roles.run_scheduler(settings)
        case Role.WRITER:
            roles.run_writer(settings, device)
        case Role.WEB:
            roles.run_web(settings)
    os.close(lock)
