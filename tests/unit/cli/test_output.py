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


def test_columns_of_a_table_are_aligned_by_the_cells_of_wide_letters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = [["漢字", 5, "a"], ["Nguye\u0302\u0303n", 12345, "b\u3000c"], ["R1", 1, "\x1b[2J\nx"]]
    output.print_table(("name", ">number", "remarks"), rows, empty="nothing")
    assert capsys.readouterr().out.splitlines() == [
        "name    number  remarks",
        "漢字         5  a",
        "Nguye\u0302\u0303n   12345  b c",
        "R1           1  \ufffd[2J x",
    ]


def test_a_table_that_is_too_wide_becomes_lines_that_break_no_word(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    rows = [["outbox", 2, "", "/srv/burnish/outbox/one"], ["robot", 0, "robots 漢字漢字", "x"]]
    output.print_table(("device", ">made", "kind", "at"), rows, empty="nothing")
    assert capsys.readouterr().out.splitlines() == [
        "outbox  made 2",
        "  at /srv/burnish/outbox/one",
        "robot  made 0",
        "  kind robots 漢字漢字  at x",
    ]


def test_a_long_value_is_broken_between_words_and_a_long_number_has_its_own_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    output.print_fields((("name", "one two three four five six"), ("a UID", "")))
    output.print_fields((("SOP Instance UID", "1.2.840.10008.5.1.4.1.1"), ("n", 1)))
    assert capsys.readouterr().out.splitlines() == [
        "name   one two three four five",
        "       six",
        "a UID",
        "SOP Instance UID",
        "  1.2.840.10008.5.1.4.1.1",
        "n                 1",
    ]


def test_a_name_longer_than_the_line_is_broken_between_its_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.print_items(("R000001", "山田 太郎 やまだ たろう", "ID 4711"), hanging=2)
    assert capsys.readouterr().out.splitlines() == [
        "R000001",
        "  山田 太郎 やまだ",
        "  たろう  ID 4711",
    ]


def test_a_table_without_rows_prints_a_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.print_table(("name",), [], empty="nothing")
    assert capsys.readouterr() == ("", "nothing\n")
