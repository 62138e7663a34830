"""Rules for every command: help, version, errors, and a quick start."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from burnish import __version__, cli
from unit.cli.conftest import Installation, Run

README = Path(__file__).resolve().parents[3] / "README.md"


def commands() -> Iterator[tuple[str, ...]]:
    def walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        children = getattr(command, "commands", {})
        for name, child in children.items():
            yield from walk(child, (*path, name))
        if not children:
            yield path

    return walk(typer.main.get_command(cli.app), ())


COMMANDS = list(commands())


def test_version_prints_the_version(run: Run) -> None:
    assert run("--version").out == f"burnish {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...], run: Run) -> None:
    done = run(*command, "--help")
    assert done.code == 0
    assert f"burnish {' '.join(command)}" in done.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_readme_lists_every_command(command: tuple[str, ...]) -> None:
    assert f"`burnish {' '.join(command)}" in README.read_text(encoding="utf-8")


def test_the_readme_names_only_commands_that_exist() -> None:
    named = re.findall(r"`burnish ([a-z]+)(?: ([a-z]+))?", README.read_text(encoding="utf-8"))
    nouns = {command[0] for command in COMMANDS if len(command) > 1}
    for first, second in named:
        words = (first, second) if first in nouns and second else (first,)
        assert any(command[: len(words)] == words for command in COMMANDS), words


@pytest.mark.parametrize("noun", sorted({c[0] for c in COMMANDS if len(c) > 1}))
def test_a_noun_alone_lists_its_commands(noun: str, run: Run) -> None:
    done = run(noun)
    assert done.code == 2
    assert "Commands:" in done.out + done.err


def test_an_error_is_printed_without_a_traceback(installation: Installation, run: Run) -> None:
    done = run("request", "show", "R000099", "--config", installation.config)
    assert done.code == 4
    assert done.out == ""
    assert done.err.splitlines() == [
        "burnish: no request R000099",
        "  `burnish request list` shows them",
    ]


def test_a_file_that_cannot_be_written_is_named_without_a_traceback(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = run("disc", "build", tmp_path / "file", "--output", tmp_path / "file" / "out")
    assert done.code == 1
    assert done.err == f"burnish: {tmp_path / 'file' / 'out'}: Not a directory\n"


def test_the_configuration_may_come_from_the_environment(
    installation: Installation, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURNISH_CONFIG", str(installation.config))
    assert run("request", "list", "--json").json["items"] == []


def test_help_imports_no_heavy_library() -> None:
    heavy = ["pydicom", "pynetdicom", "sqlalchemy", "numpy", "structlog", "pydantic", "rich"]
    program = (
        "import sys; sys.argv = ['burnish', '--help']\n"
        "from burnish.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"
