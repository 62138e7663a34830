"""Surface: the list of commands in `--help`, with whole sentences."""

from typing import Any

import typer
from typer.core import TyperGroup

from burnish.cli import exits, output

#: The longest first sentence of a help text; a longer one is cut.
_LONGEST = 200


class CommandGroup(TyperGroup):
    """A group whose list of commands breaks long sentences over lines instead of cutting them.

    A command that is interrupted with Ctrl-C says so in one line.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run a command of the group."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            output.print_error(str(interrupt) or "interrupted", getattr(interrupt, "hint", ""))
            raise typer.Exit(exits.INTERRUPTED) from interrupt

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write name and first sentence of each command."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                rows.append((name, command.get_short_help_str(_LONGEST)))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
