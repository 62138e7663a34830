"""Surface: `burnish rates`: how much was received, made and failed, by hour or by day."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json, Since
from burnish.request.views import ListPage


def rates(
    since: Since = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="Sum up each day.")] = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Show what was received, made and failed in each hour, the latest first; kept for 13 months.

    Without --since: the last 24 hours. --json has every count, as the metrics name them.
    """
    from burnish import measures

    since = since or datetime.now(UTC) - timedelta(hours=24)
    with open_database(config) as (_, database), database.reading() as session:
        counted = measures.rates(session, since=since)
    if json:
        output.print_views(ListPage(tuple(counted)))
        return
    sums = measures.sum_rates(counted, _title_of("%Y-%m-%d" if by_day else "%Y-%m-%d %H:00 %z"))
    output.print_table(
        ("day" if by_day else "hour", *(f">{series}" for series in measures.CountedSeries)),
        [(title, *counts.values()) for title, counts in reversed(sums.items())],
        empty="nothing was received or made",
    )


def _title_of(pattern: str) -> Callable[[datetime], str]:
    """The time of an hour in the time zone of this machine."""
    return lambda hour: hour.astimezone().strftime(pattern)
