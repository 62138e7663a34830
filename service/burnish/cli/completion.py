"""Surface: what a shell completes: names of requests and devices, from the installation.

Whatever goes wrong, nothing is completed: a shell shows no errors.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

#: The newest requests that are completed.
_REQUESTS = 50


def request_names(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest requests whose names begin with what was typed, each with its state."""
    names: list[tuple[str, str]] = []
    with suppress(Exception):
        from burnish.cli.installation import open_database
        from burnish.request import listing

        with open_database(_config(context)) as (_, database), database.reading() as session:
            lines = listing.requests(session, limit=_REQUESTS)
        names = [
            (line.short_id, str(line.group))
            for line in lines
            if line.short_id.startswith(incomplete.upper())
        ]
    return names


def device_names(context: typer.Context, incomplete: str) -> list[str]:
    """The devices of the configuration whose names begin with what was typed."""
    names: list[str] = []
    with suppress(Exception):
        from burnish.cli.installation import read_settings

        devices = read_settings(_config(context)).devices
        names = [device.name for device in devices if device.name.startswith(incomplete)]
    return names


def archive_names(context: typer.Context, incomplete: str) -> list[str]:
    """The archives of the configuration whose AE titles begin with what was typed."""
    names: list[str] = []
    with suppress(Exception):
        from burnish.cli.installation import read_settings
        from burnish.request.fetch_missing import archives

        peers = archives(read_settings(_config(context)))
        names = [peer.ae_title for peer in peers if peer.ae_title.startswith(incomplete.upper())]
    return names


def _config(context: typer.Context) -> Path | None:
    """The configuration file that the command line names, or the environment."""
    import os

    for values in _parameters(context):
        if values.get("config"):
            return Path(values["config"])
    named = os.environ.get("BURNISH_CONFIG")
    return Path(named) if named else None


def _parameters(context: Any) -> Iterator[dict[str, Any]]:
    while context is not None:
        yield context.params
        context = context.parent
