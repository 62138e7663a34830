"""`burnish rates`: the counts of the last hours and days."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from burnish import roles, settings
from burnish.db import schema
from burnish.db.tables import HourlyRate
from unit.cli.conftest import Run

_NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
_SINCE = ("--since", "2026-11-20T00:00:00+00:00")

pytestmark = pytest.mark.usefixtures("berlin")


@pytest.fixture
def counted(config: Path) -> Path:
    """The configuration of an installation that has counted something."""
    loaded = settings.read_settings(config)
    loaded.storage.root.mkdir()
    schema.upgrade(loaded.database_url)
    database = roles.open_database(loaded)
    counts = (
        (0, "received", "CT1", 30),
        (0, "received", "CT2", 10),
        (0, "pieces", "CREATED|outbox", 2),
        (0, "pieces", "SPOILED|outbox", 1),
        (0, "requests", "DONE", 7),
        (10, "received", "CT1", 5),
        (11, "requests", "FAILURE", 3),
    )
    with database.writing() as session:
        for hours_ago, name, label, count in counts:
            hour = int((_NOW - timedelta(hours=hours_ago)).timestamp()) // 3600
            session.execute(
                insert(HourlyRate).values(hour=hour, name=name, label=label, count=count, amount=0)
            )
    database.close()
    return config


def test_each_hour_is_one_line_the_latest_first(run: Run, counted: Path) -> None:
    done = run("rates", *_SINCE, "--config", counted)
    assert [line.split() for line in done.out.splitlines()] == [
        ["hour", "received", "made", "failed"],
        ["2026-11-28", "10:00", "+0100", "40", "2", "1"],
        ["2026-11-28", "00:00", "+0100", "5", "0", "0"],
        ["2026-11-27", "23:00", "+0100", "0", "0", "3"],
    ]


def test_days_are_those_of_the_time_zone(run: Run, counted: Path) -> None:
    done = run("rates", "--by-day", *_SINCE, "--config", counted)
    assert [line.split() for line in done.out.splitlines()] == [
        ["day", "received", "made", "failed"],
        ["2026-11-28", "45", "2", "1"],
        ["2026-11-27", "0", "0", "3"],
    ]


def test_json_has_every_count(run: Run, counted: Path) -> None:
    items = run("rates", *_SINCE, "--json", "--config", counted).json["items"]
    assert len(items) == 7
    assert items[0] == {
        "hour": "2026-11-27T22:00:00+00:00",
        "name": "requests",
        "label": "FAILURE",
        "count": 3,
        "amount": 0.0,
    }


def test_without_counts_a_line_says_so(run: Run, counted: Path) -> None:
    done = run("rates", "--since", "2099-01-01T00:00+00:00", "--config", counted)
    assert done.code == 0
    assert done.out == ""
    assert done.err == "nothing was received or made\n"
