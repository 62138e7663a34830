"""Surface: points in time and days as people write them: "2 hours", "yesterday", 2026-01-31."""

import re
from datetime import UTC, date, datetime, time, timedelta

import typer

_UNITS = {
    "m": "minutes",
    "min": "minutes",
    "minute": "minutes",
    "h": "hours",
    "hour": "hours",
    "d": "days",
    "day": "days",
    "w": "weeks",
    "week": "weeks",
}
_AGO = re.compile(r"(?:(\d{1,6})\s*|an?\s+)([a-z]+)(?:\s+ago)?")
_DAYS_BEFORE = {"today": 0, "yesterday": 1}
_OTHER_DATE = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})")
_FORMS = '"2 hours", yesterday, "today 08:00", 2026-01-31 or 2026-01-31T08:00'
_DAY_FORMS = "2026-01-31, today or yesterday"


def parse_since(value: str) -> datetime:
    """A point in time: 2 hours, yesterday, today 08:00, 2026-01-31, 2026-01-31T08:00, 90m, 7d.

    Without an offset it is meant in the time zone of this machine.
    """
    text = " ".join(value.lower().split())
    duration = _duration(text)
    if duration is not None:
        return datetime.now(UTC) - duration
    day_text, _, time_text = text.partition(" ")
    if day_text in _DAYS_BEFORE:
        day = parse_day(day_text)
    elif re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text):
        day, time_text = parse_day("today"), text
    else:
        return _iso_time(value)
    moment = _at(day, time_text or "00:00", value)
    if moment > datetime.now(UTC):
        raise typer.BadParameter(f'{value!r} has not come yet: "yesterday {time_text}" is possible')
    return moment


def parse_day(value: str) -> date:
    """A day: 2026-01-31, 20260131, today, yesterday."""
    text = value.strip().lower()
    if text in _DAYS_BEFORE:
        return datetime.now().astimezone().date() - timedelta(days=_DAYS_BEFORE[text])
    try:
        return date.fromisoformat(text)
    except ValueError:
        _ask_for_order(value)
        raise typer.BadParameter(f"{value!r} is no day: {_DAY_FORMS}") from None


def parse_study_date(value: str) -> str:
    """A study date, or two of them with `..` between: what the search for studies understands."""
    if not value:
        return value
    first, dots, last = value.partition("..")
    days = [parse_day(text).isoformat() if text.strip() else "" for text in (first, last)]
    if days[0] and days[1] and days[0] > days[1]:
        raise typer.BadParameter(f"{value!r} ends before it begins")
    return f"{days[0]}..{days[1]}" if dots else days[0]


def start_of_day(day: date) -> datetime:
    """The midnight in local time with which a day begins."""
    return datetime.combine(day, time.min).astimezone(UTC)


def _duration(text: str) -> timedelta | None:
    """How long ago "90m", "2 hours" or "an hour ago" is; None if it is no such text."""
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    unit = _UNITS.get(match[2]) or _UNITS.get(match[2].removesuffix("s"))
    if unit is None:
        return None
    try:
        return timedelta(**{unit: int(match[1] or 1)})
    except OverflowError:
        return None


def _iso_time(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        _ask_for_order(value)
        raise typer.BadParameter(f"{value!r} is no time: {_FORMS}") from None


def _at(day: date, time_text: str, value: str) -> datetime:
    try:
        return datetime.combine(day, time.fromisoformat(time_text.zfill(5))).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(f"{value!r} is no time: {_FORMS}") from None


def _ask_for_order(value: str) -> None:
    """Ask for the order of year, month and day where a date is written as in some countries."""
    match = _OTHER_DATE.match(value.strip())
    if match is None:
        return
    first, second, year = (int(number) for number in match.groups())
    days = set()
    for month, day in ((first, second), (second, first)):
        try:
            days.add(date(year, month, day).isoformat())
        except ValueError:
            continue
    if days:
        choice = " or ".join(sorted(days))
        raise typer.BadParameter(f"{value!r}: which day is meant? Write {choice}")
