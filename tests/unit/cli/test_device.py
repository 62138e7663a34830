"""`burnish device`: listing, pausing and resuming devices."""

from pathlib import Path

import pytest

from burnish import settings
from burnish.db import devices, schema
from burnish.db.session import Database
from burnish.vocabulary import ExecutionStatusInfo
from unit.cli.conftest import Run


@pytest.fixture
def database(config: Path) -> Database:
    loaded = settings.read_settings(config)
    loaded.storage.root.mkdir()
    schema.upgrade(loaded.database_url)
    return Database(loaded.database_url, durable=False)


def test_the_list_shows_the_problem_of_a_device(run: Run, config: Path, database: Database) -> None:
    (line,) = run("device", "list", "--json", "--config", config).json
    assert line["state"] == "NORMAL"
    assert line["made"] == 0
    assert line["ruined"] == 0
    with database.writing() as session:
        info = ExecutionStatusInfo.OUT_OF_SUPPLIES
        devices.tell(session, "outbox", info, "the bins are empty", "Fill them.")
    done = run("device", "list", "--config", config)
    assert "OUT_OF_SUPPLIES" in done.out
    assert "the bins are empty" in done.err
    assert "Fill them." in done.err


def test_a_device_can_be_paused_and_resumed(run: Run, config: Path, database: Database) -> None:
    because = ("--because", "a new disk")
    assert run("device", "pause", "outbox", *because, "--config", config).code == 0
    done = run("device", "list", "--config", config)
    assert "paused" in done.out
    assert "a new disk" in done.err
    assert "burnish device resume outbox" in done.err
    assert run("device", "resume", "outbox", "--config", config).code == 0
    with database.reading() as session:
        assert devices.standing(session, "outbox").works


@pytest.mark.usefixtures("database")
def test_an_unknown_device_is_reported(run: Run, config: Path) -> None:
    for command in ("pause", "resume"):
        done = run("device", command, "burner", "--config", config)
        assert done.code == 4
        assert "burnish device list" in done.err
