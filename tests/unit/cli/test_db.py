"""`burnish db`: `upgrade` creates the database, other commands do not."""

import sqlite3
from contextlib import closing
from pathlib import Path

from unit.cli.conftest import Run


def test_upgrade_creates_the_database_and_check_accepts_it(config: Path, run: Run) -> None:
    upgrade = run("db", "upgrade", "--config", config)
    assert upgrade.code == 0
    assert "revision" in upgrade.out
    assert run("db", "upgrade", "--config", config).code == 0
    assert run("db", "check", "--config", config).code == 0


def test_commands_that_only_look_create_no_database(config: Path, run: Run) -> None:
    for command in (("db", "check"), ("request", "list"), ("instance", "list")):
        done = run(*command, "--config", config)
        assert done.code == 10
        assert "burnish db upgrade" in done.err
    assert not (config.parent / "storage").exists()


def test_a_database_of_another_version_is_rejected(config: Path, run: Run) -> None:
    run("db", "upgrade", "--config", config)
    with closing(sqlite3.connect(config.parent / "storage" / "burnish.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    for command in (("db", "check"), ("request", "list"), ("db", "upgrade")):
        done = run(*command, "--config", config)
        assert done.code == 12
        assert done.err.startswith("burnish: ")
