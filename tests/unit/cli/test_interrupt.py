"""Ctrl-C in any command: one line, exit code 130, and what stays of the work is told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from burnish import roles, spool_export
from burnish.db import backup
from burnish.offline import disc_import
from burnish.request import listing
from unit.cli.conftest import Installation, Run


def _press_ctrl_c(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


#: By command: what it is interrupted in, and what it tells.
CASES: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "request list": (
        lambda patch: patch.setattr(listing, "requests", _press_ctrl_c),
        "interrupted\n",
    ),
    "request create --files FILES": (
        lambda patch: patch.setattr(roles, "receive_file", _press_ctrl_c),
        "interrupted; what was received stays, and no request is created\n",
    ),
    "spool export OUT --all": (
        lambda patch: patch.setattr(spool_export, "export", _press_ctrl_c),
        "interrupted; each file that is in OUT is complete\n",
    ),
    "db backup COPY": (
        lambda patch: patch.setattr(backup, "_copy_checked", _press_ctrl_c),
        "interrupted; nothing was written to COPY\n",
    ),
    "db recover": (
        lambda patch: patch.setattr(roles, "rebuild_database", _press_ctrl_c),
        "interrupted; the database is as before, or rebuilt whole\n",
    ),
    "disc import FILES --into": (
        lambda patch: patch.setattr(disc_import, "import_file_set", _press_ctrl_c),
        "interrupted; what this service has taken stays there\n",
    ),
}


@pytest.mark.parametrize("command", CASES)
def test_ctrl_c_is_told_in_one_line_with_what_stays(
    run: Run,
    installation: Installation,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    interrupt, told = CASES[command]
    interrupt(monkeypatch)
    paths = {"FILES": str(installation.instances[0].parent), "OUT": "out", "COPY": "copy.db"}
    arguments = [paths.get(word, word) for word in command.split()]
    done = run(*arguments, "--config", installation.config)
    for word, path in paths.items():
        told = told.replace(word, path)
    assert done.code == 130
    assert done.out == ""
    assert done.err.startswith(f"burnish: {told}")
    assert not (tmp_path / "copy.db").exists()
    assert list(tmp_path.glob("*.part")) == []


def test_ctrl_c_while_the_modules_are_loaded_ends_the_command_quietly(tmp_path: Path) -> None:
    library = tmp_path / "typer.py"
    library.write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('went on')\n",
        encoding="utf-8",
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        # a test run in the background ignores SIGINT, and so would the command
        ["env", "--default-signal=INT", sys.executable, "-m", "burnish", "status"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGINT
    assert (done.stdout, done.stderr) == ("", "")
