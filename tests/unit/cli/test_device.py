"""`burnish device`: listing, pausing and resuming devices."""

from pathlib import Path

import pytest

from burnish import settings
from burnish.burn import BurnOutcome, BurnResult
from burnish.burn.optical import OpticalBurner
from burnish.db import devices, schema
from burnish.db.session import Database
from burnish.db.tables import MediaCreationRequest
from burnish.vocabulary import ExecutionStatusInfo
from unit.cli.conftest import Run


@pytest.fixture
def database(config: Path) -> Database:
    loaded = settings.read_settings(config)
    loaded.storage.root.mkdir()
    schema.upgrade(loaded.database_url)
    return Database(loaded.database_url, durable=False)


def test_the_list_shows_the_problem_of_a_device(run: Run, config: Path, database: Database) -> None:
    (line,) = run("device", "list", "--json", "--config", config).json["items"]
    assert line["state"] == "ready"
    assert line["created"] == 0
    assert line["spoiled"] == 0
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


@pytest.mark.parametrize("key", ["directory", "drive"])
def test_the_list_asks_devices_and_says_what_is_not_there(
    run: Run, config: Path, tmp_path: Path, database: Database, key: str
) -> None:
    """At once, whether or not a service runs or anything waits."""
    kind = "optical" if key == "drive" else "folder"
    gone = tmp_path / "not" / "there"
    text = f'[[device]]\nname = "burner"\nkind = "{kind}"\n{key} = "{gone}"\n'
    config.write_text(config.read_text() + text)
    for is_made in (True, False):
        (line,) = run("device", "list", "--json", "--config", config).json["items"]
        assert line["state"] == "held up"
        assert line["info"] == "CHECK_MCD_OP"
        assert str(gone) in line["reason"]
        assert str(gone) in line["remedy"]
        if is_made:
            database.close()
            (tmp_path / "storage" / "burnish.db").unlink()
    if key == "directory":
        gone.mkdir(parents=True)
        (line,) = run("device", "list", "--json", "--config", config).json["items"]
        assert line["state"] == "ready"
        assert line["reason"] == ""


def test_a_device_at_work_is_not_disturbed_by_the_list(
    run: Run, config: Path, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = tmp_path / "drive"
    drive.write_bytes(b"")
    text = f'[[device]]\nname = "burner"\nkind = "optical"\ndrive = "{drive}"\n'
    config.write_text(config.read_text() + text)
    asked: list[str] = []

    def state(burner: OpticalBurner) -> BurnResult:
        asked.append(burner.name)
        return BurnResult(BurnOutcome.OUT_OF_SUPPLIES, "there is no disc", "Put in a blank.")

    monkeypatch.setattr(OpticalBurner, "state", state)
    monkeypatch.setattr(devices, "at_work", lambda _session, _name: True)
    (line,) = run("device", "list", "--json", "--config", config).json["items"]
    assert asked == []
    assert line["state"] != "held up"
    monkeypatch.undo()
    monkeypatch.setattr(OpticalBurner, "state", state)
    done = run("device", "list", "--json", "--config", config)
    assert asked == ["burner"]
    assert done.json["items"][0]["info"] == "OUT_OF_SUPPLIES"
    database.close()


@pytest.mark.usefixtures("database")
def test_a_device_is_shown_with_what_it_has(run: Run, config: Path) -> None:
    shown = run("device", "show", "outbox", "--config", config).out
    assert "a folder (folder)" in shown
    assert "0 pieces" in shown
    facts = run("device", "show", "outbox", "--json", "--config", config).json
    assert facts["device"]["state"] == "ready"
    assert facts["history"] == []
    assert run("device", "show", "other", "--config", config).code != 0


def test_a_test_burn_is_a_request_for_the_device(
    run: Run, config: Path, database: Database
) -> None:
    done = run("device", "test", "outbox", "--config", config)
    assert done.out.strip() == "R000001"
    with database.reading() as session:
        request = session.get_one(MediaCreationRequest, 1)
    assert (request.device, request.origin) == ("outbox", "test burn")
    assert request.requested_by.startswith("command line")


def test_a_test_burn_that_uses_up_a_blank_asks_first(
    run: Run, config: Path, database: Database
) -> None:
    config.write_text(
        config.read_text(encoding="utf-8")
        + '\n[[device]]\nname = "drive"\nkind = "optical"\ndrive = "/dev/sr9"\n',
        encoding="utf-8",
    )
    done = run("device", "test", "drive", "--config", config)
    assert done.code != 0
    assert "uses up a blank" in done.err
    with database.reading() as session:
        assert session.get(MediaCreationRequest, 1) is None
    assert run("device", "test", "drive", "--yes", "--config", config).code == 0
