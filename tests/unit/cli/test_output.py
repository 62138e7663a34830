"""Formats of sizes, durations and tables."""

from datetime import timedelta

import pytest

from burnish import wording
from burnish.cli import output


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0ms"),
        (timedelta(milliseconds=500), "500ms"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=5), "5m"),
        (timedelta(hours=36), "36h"),
        (timedelta(days=7), "7d"),
    ],
)
def test_a_duration_is_written_as_in_the_configuration(duration: timedelta, text: str) -> None:
    assert wording.format_duration(duration) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 kB"), (2048, "2.05 kB"), (735_232_000, "735 MB"), (4_700_372_992, "4.7 GB")],
)
def test_a_size_has_three_digits(size: int, text: str) -> None:
    assert output.format_size(size) == text


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
def test_a_table_looks_the_same_whether_or_not_it_could_wrap(
    rows: list[list[object]], capsys: pytest.CaptureFixture[str]
) -> None:
    columns = ("name", ">number", "remarks")
    output.print_table(columns, rows, empty="nothing")
    printed = capsys.readouterr().out
    output.print_wrapped_table(columns, [[str(value) for value in row] for row in rows])
    assert printed == capsys.readouterr().out


def test_a_table_without_rows_prints_a_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(("name",), [], empty="nothing")
    assert capsys.readouterr() == ("", "nothing\n")
