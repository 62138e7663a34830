"""`--json` of the command line: which commands have it."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from burnish import cli

#: Commands that answer nothing, and what they do instead.
_WITHOUT = {
    "serve": "It runs until it is stopped and writes a log, as JSON with `log.format`.",
    "demo": "It shows the service to a person, and the requests that it makes are listed by REST.",
    "conformance": "It prints a document in Markdown, HTML or PDF.",
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
