"""Sizes and durations for people."""

from datetime import timedelta

import pytest

from burnish.cli import output


@pytest.mark.parametrize(
    ("duration", "told"),
    [
        (timedelta(), "0ms"),
        (timedelta(milliseconds=500), "500ms"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=7), "7d"),
    ],
)
def test_a_duration_is_told_as_it_is_configured(duration: timedelta, told: str) -> None:
    assert output.duration(duration) == told


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "0 kB"), (2048, "2.05 kB"), (735_232_000, "735 MB"), (4_700_372_992, "4.7 GB")],
)
def test_a_size_is_told_in_three_digits(size: int, told: str) -> None:
    assert output.megabytes(size) == told


@pytest.mark.parametrize(
    "rows",
    [
        [["R1", 5, ""], ["R000002", 12345, "held"]],
        [["é", 1, "größer"], ["漢字", 22, "wide letters"]],
        [["R1", 1, "two\nlines"]],
        [["R1", 1, "far too wide " * 40]],
    ],
    ids=["plain", "letters", "lines", "wide"],
)
def test_a_table_is_laid_out_as_it_would_be_where_it_wraps(
    rows: list[list[object]], capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("name", ">number", "remarks")
    output.table(columns, rows, empty="nothing")
    shown = capsys.readouterr().out
    output._wrapped_table(columns, [[str(value) for value in row] for row in rows])
    assert shown == capsys.readouterr().out


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name",), [], empty="nothing")
    assert capsys.readouterr() == ("", "nothing\n")
