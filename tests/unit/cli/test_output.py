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
