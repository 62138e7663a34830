"""Points in time and days as people write them, also where daylight saving time begins and ends."""

from datetime import UTC, date, datetime, timedelta

import pytest
import typer

from burnish.cli import output, times

pytestmark = pytest.mark.usefixtures("berlin")


def local_day() -> date:
    return datetime.now().astimezone().date()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)),
        ("90 min", timedelta(minutes=90)),
        ("2 hours", timedelta(hours=2)),
        ("2 hours ago", timedelta(hours=2)),
        ("an hour ago", timedelta(hours=1)),
        ("3 Days", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_duration_is_that_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    moment = times.parse_since(text)
    assert before - ago <= moment <= datetime.now(UTC) - ago


def test_today_and_yesterday_begin_at_local_midnight() -> None:
    before = local_day()
    today = times.parse_since("today").astimezone()
    if local_day() == before:
        assert (today.date(), today.hour, today.minute) == (before, 0, 0)
        yesterday = times.parse_since("yesterday 17:30").astimezone()
        assert yesterday.date() == before - timedelta(days=1)
        assert (yesterday.hour, yesterday.minute) == (17, 30)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-31", datetime(2026, 1, 30, 23, tzinfo=UTC)),
        ("2026-07-31", datetime(2026, 7, 30, 22, tzinfo=UTC)),
        ("2026-01-31T08:00", datetime(2026, 1, 31, 7, tzinfo=UTC)),
        ("2026-01-31T08:00+00:00", datetime(2026, 1, 31, 8, tzinfo=UTC)),
        # 02:30 exists twice on this day: the earlier of both
        ("2026-10-25T02:30", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_offset_is_local(text: str, utc: datetime) -> None:
    assert times.parse_since(text) == utc


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "2026-10-25 02:30:00+02:00"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "2026-10-25 02:30:00+01:00"),
    ],
)
def test_the_offset_tells_the_two_hours_apart_at_the_end_of_summer_time(
    at: datetime, text: str
) -> None:
    assert output.format_time(at) == text


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("01/02/2026", "Write 2026-01-02 or 2026-02-01"),
        ("31.1.2026", "Write 2026-01-31"),
    ],
)
def test_a_date_of_two_meanings_is_asked_for(text: str, question: str) -> None:
    for parse in (times.parse_since, times.parse_day, times.parse_study_date):
        with pytest.raises(typer.BadParameter, match="which day is meant") as error:
            parse(text)
        assert question in str(error.value)


@pytest.mark.parametrize("text", ["soon", "5y", "2026-02-30", "25:00", "99999999w", ""])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is no time"):
        times.parse_since(text)


def test_study_dates_are_days_or_ranges() -> None:
    today = local_day().isoformat()
    assert times.parse_study_date("20260131") == "2026-01-31"
    assert times.parse_study_date("2026-01-01..2026-01-31") == "2026-01-01..2026-01-31"
    assert times.parse_study_date("2026-01-01..") == "2026-01-01.."
    assert times.parse_study_date("today") in (today, local_day().isoformat())
    with pytest.raises(typer.BadParameter, match="ends before it begins"):
        times.parse_study_date("2026-02-01..2026-01-31")
