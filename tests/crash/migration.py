"""`db upgrade` of a database with rows in it: as before, or as after."""

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command

from burnish.db import backup, schema

_ROWS = 50


class Upgrade:
    """The upgrade from the first schema to that of this program."""

    name = "upgrade"

    def prepare(self, root: Path) -> None:
        """A database of the first schema, with instances."""
        path = root / "burnish.db"
        command.upgrade(schema.migration_config(f"sqlite:///{path}"), "0001")
        filled = {"sha256": b"\0" * 32, "size": 8, "received_at": "2026-01-02 03:04:05.000000"}
        with closing(sqlite3.connect(path)) as connection:
            columns = connection.execute("PRAGMA table_info(instance)").fetchall()
            row = {name: filled.get(name, "") for _, name, _, required, *_ in columns if required}
            for number in range(_ROWS):
                row |= {"id": number, "sop_instance_uid": f"1.2.{number}"}
                marks = ",".join("?" * len(row))
                connection.execute(
                    f"INSERT INTO instance ({','.join(row)}) VALUES ({marks})",  # noqa: S608
                    list(row.values()),
                )
            connection.commit()

    def act(self, root: Path) -> None:
        schema.upgrade(f"sqlite:///{root / 'burnish.db'}")

    def check(self, root: Path, *, done: bool) -> None:
        path = root / "burnish.db"
        backup.check_pages(path)
        if not done:
            return
        with closing(sqlite3.connect(path)) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM instance WHERE digest <> ''")
            ((revision,),) = connection.execute("SELECT version_num FROM alembic_version")
        assert count == _ROWS, count
        assert revision == schema.newest(), revision
