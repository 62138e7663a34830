"""Volumes as drawings."""

import math

import pytest

from burnish.web.disc_drawing import BEGIN, END, DiscDrawing, Share, draw


def area(drawing: DiscDrawing, number: int) -> float:
    ring = drawing.rings[number]
    return 2 * math.pi * ring.radius * ring.width


def test_the_area_of_a_series_is_in_proportion_to_its_bytes() -> None:
    drawing = draw([Share("CT", 300), Share("MR", 100)], 1000)
    assert area(drawing, 0) == pytest.approx(3 * area(drawing, 1), rel=0.001)
    assert area(drawing, 0) == pytest.approx(0.3 * math.pi * (END**2 - BEGIN**2), rel=0.001)
    assert drawing.used == 40


def test_other_files_are_the_last_ring_without_a_colour_of_a_series() -> None:
    drawing = draw([Share("CT", 300)], 1000, 500)
    assert [(ring.colour, ring.size) for ring in drawing.rings] == [(1, 300), (0, 200)]
    assert drawing.used == 50


def test_a_full_disc_ends_at_its_edge() -> None:
    drawing = draw([Share("CT", 2000)], 1000)
    last = drawing.rings[-1]
    assert last.radius + last.width / 2 == pytest.approx(END)
    assert drawing.used == 100


def test_many_small_series_are_drawn_as_one() -> None:
    drawing = draw([Share(f"series {size}", size) for size in range(1, 101)], 10_000)
    assert len(drawing.rings) == 24
    assert drawing.rings[-1].title == ""
    assert sum(ring.size for ring in drawing.rings) == 5050
