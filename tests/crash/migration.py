"""Migrations of a database with rows in it, killed at each step: as before, or as after."""

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from alembic import command

from burnish.db import backup, schema
from crash.steps import Steps
from crash.sweep import in_child

_ROWS = 50


def points(folder: Path, steps: Steps) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each step of the upgrade from the first schema to this program's."""
    template = folder / "old"
    template.mkdir()
    _fill(template / "burnish.db")
    for step in range(1, _attempt(folder, steps, 0) + 1):
        yield f"step {step}", partial(_attempt, folder, steps, step)


def _fill(path: Path) -> None:
    """A database of the first schema, with instances."""
    command.upgrade(schema._config(f"sqlite:///{path}"), "0001")
    filled = {"sha256": b"\0" * 32, "size": 8, "received_at": "2026-01-02 03:04:05.000000"}
    with closing(sqlite3.connect(path)) as connection:
        columns = connection.execute("PRAGMA table_info(instance)").fetchall()
        row = {name: filled.get(name, "") for _, name, _, required, *_ in columns if required}
        for number in range(_ROWS):
            row |= {"id": number, "sop_instance_uid": f"1.2.{number}"}
            connection.execute(
                f"INSERT INTO instance ({','.join(row)}) VALUES ({','.join('?' * len(row))})",  # noqa: S608
                list(row.values()),
            )
        connection.commit()


def _attempt(folder: Path, steps: Steps, step: int) -> int:
    root = folder / "migrated"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(folder / "old", root)
    steps.watch(root)
    if step:
        steps.kill_at(step)
    path = root / "burnish.db"
    code, output = in_child(partial(_upgrade, path))
    taken = steps.count
    steps.forget()
    assert code in (0, -signal.SIGKILL), output
    backup.check_pages(path)
    code, output = in_child(partial(_upgrade, path))
    assert code == 0, output
    backup.check_pages(path)
    with closing(sqlite3.connect(path)) as connection:
        ((count,),) = connection.execute("SELECT count(*) FROM instance WHERE digest <> ''")
    assert count == _ROWS, count
    return taken


def _upgrade(path: Path) -> None:
    schema.upgrade(f"sqlite:///{path}")
