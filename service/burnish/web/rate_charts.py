"""Surface: what was received, made and failed by hour or by day, as drawings of bars."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from burnish.measures import CountedSeries, Rate, RateSpan, sum_rates

#: The height of a drawing; each bar has the width 10.
HEIGHT = 100
BAR = 10
_DAYS_SHOWN, _HOURS_SHOWN = 396, 48


@dataclass(frozen=True, slots=True)
class RateBar:
    """One hour or day: its time in words, its count, and its place in the drawing."""

    title: str
    count: int
    x: int
    height: float


@dataclass(frozen=True, slots=True)
class RateChart:
    """One series: `total` of all bars, `highest` of one."""

    series: CountedSeries
    bars: tuple[RateBar, ...]
    total: int
    highest: int

    @property
    def width(self) -> int:
        return BAR * len(self.bars)


@dataclass(frozen=True, slots=True)
class RateTable:
    """The charts, and the same as a table: the hours or days in which anything was counted."""

    span: RateSpan
    first: str
    last: str
    charts: tuple[RateChart, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def beginning(span: RateSpan, now: datetime) -> datetime:
    """When the drawing begins, in the time zone of `now`."""
    if span is RateSpan.HOURS:
        return now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=_HOURS_SHOWN - 1)
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=_DAYS_SHOWN - 1)


def draw(rates: Iterable[Rate], span: RateSpan, now: datetime) -> RateTable:
    """The charts of rates; days are those of the time zone of `now`."""
    titles = _titles(span, now)
    counts = {series: dict.fromkeys(titles, 0) for series in CountedSeries}
    for title, sums in sum_rates(rates, _title_of(span, now)).items():
        for series, count in sums.items():
            if title in counts[series]:
                counts[series][title] = count
    rows = tuple(
        (title, tuple(counts[series][title] for series in CountedSeries))
        for title in reversed(titles)
        if any(counts[series][title] for series in CountedSeries)
    )
    charts = tuple(_chart(series, counts[series]) for series in CountedSeries)
    return RateTable(span, titles[0], titles[-1], charts, rows)


def _titles(span: RateSpan, now: datetime) -> Sequence[str]:
    start = beginning(span, now)
    if span is RateSpan.DAYS:
        first = start.date()
        return [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(_DAYS_SHOWN)]
    title_of = _title_of(span, now)
    return [title_of(start + timedelta(hours=number)) for number in range(_HOURS_SHOWN)]


def _title_of(span: RateSpan, now: datetime) -> Callable[[datetime], str]:
    pattern = "%Y-%m-%d" if span is RateSpan.DAYS else "%Y-%m-%d %H:00"
    return lambda moment: moment.astimezone(now.tzinfo or UTC).strftime(pattern)


def _chart(series: CountedSeries, counts: dict[str, int]) -> RateChart:
    highest = max(counts.values())
    bars = tuple(
        RateBar(title, count, BAR * number, round(HEIGHT * count / highest, 2) if highest else 0.0)
        for number, (title, count) in enumerate(counts.items())
    )
    return RateChart(series, bars, sum(counts.values()), highest)
