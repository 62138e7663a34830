"""Rates by hour and by day, as bars and as a table."""

from datetime import UTC, datetime, timedelta, timezone

from burnish.measures import CountedSeries, Rate, RateSpan
from burnish.web import rate_charts
from burnish.web.rate_charts import HEIGHT

_NOW = datetime(2026, 11, 28, 7, 20, tzinfo=UTC)


def _rate(hour: datetime, name: str, label: str, count: int) -> Rate:
    return Rate(hour, name, label, count, 0.0)


def test_each_hour_has_a_bar_in_proportion_to_its_count() -> None:
    hour = _NOW.replace(minute=0)
    rates = [
        _rate(hour, "received", "CT1", 30),
        _rate(hour, "received", "CT2", 10),
        _rate(hour - timedelta(hours=1), "received", "CT1", 10),
        _rate(hour - timedelta(hours=50), "received", "CT1", 999),
        _rate(hour, "pieces", "CREATED|outbox", 2),
        _rate(hour, "pieces", "SPOILED|outbox", 1),
        _rate(hour, "requests", "FAILURE", 3),
        _rate(hour, "requests", "DONE", 7),
    ]
    table = rate_charts.draw(rates, RateSpan.HOURS, _NOW)
    received, created, failed = table.charts
    assert (received.series, received.total, received.highest) == (CountedSeries.RECEIVED, 50, 40)
    assert [bar.height for bar in received.bars[-2:]] == [HEIGHT / 4, HEIGHT]
    assert (created.total, failed.total) == (2, 4)
    assert table.last == "2026-11-28 07:00"
    assert table.rows == (("2026-11-28 07:00", (40, 2, 4)), ("2026-11-28 06:00", (10, 0, 0)))


def test_days_are_those_of_the_time_zone() -> None:
    now = _NOW.astimezone(timezone(timedelta(hours=5)))
    rates = [
        _rate(datetime(2026, 11, 27, 18, tzinfo=UTC), "received", "CT1", 1),
        _rate(datetime(2026, 11, 27, 19, tzinfo=UTC), "received", "CT1", 2),
    ]
    table = rate_charts.draw(rates, RateSpan.DAYS, now)
    assert [row[:2] for row in table.rows] == [
        ("2026-11-28", (2, 0, 0)),
        ("2026-11-27", (1, 0, 0)),
    ]
    assert len(table.charts[0].bars) == 396


def test_without_counts_there_are_bars_without_height() -> None:
    table = rate_charts.draw([], RateSpan.HOURS, _NOW)
    assert not table.rows
    assert {bar.height for chart in table.charts for bar in chart.bars} == {0.0}
