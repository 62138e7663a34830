"""`--json` of the command line: which commands have it."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from burnish import cli

#: Commands that print no facts of the installation, and what they print or do instead.
_WITHOUT = {
    "serve": "runs",
    "demo": "shows",
    "conformance": "prints a document",
    "config check": "tells mistakes, by its exit code too",
    "db upgrade": "changes the database",
    "db check": "tells damage, by its exit code too",
    "db backup": "writes a file",
    "db restore": "changes the database",
    "db recover": "changes the database",
    "disc burn": "writes a medium",
    "disc label": "writes a file",
    "notify test": "sends messages",
    "request label": "writes files",
    "token revoke": "prints nothing",
    "user remove": "prints nothing",
}


def _commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The commands below a group, by their names on the command line."""
    if hasattr(command, "commands"):
        for part, child in command.commands.items():
            yield from _commands(child, f"{name} {part}".strip())
    else:
        yield name, command


COMMANDS = dict(_commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_tells_facts_has_json(name: str) -> None:
    options = [option for parameter in COMMANDS[name].params for option in parameter.opts]
    assert ("--json" in options) == (name not in _WITHOUT)
