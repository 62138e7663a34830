"""Fixtures for tests in real browsers: one of each kind for a whole module."""

from collections.abc import Iterator

import pytest

from browsers import CHROMIUM, FIREFOX, Browser


@pytest.fixture(scope="module", params=[CHROMIUM, FIREFOX])
def browser(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A browser; tests with it run in Chromium and in Firefox."""
    with Browser(request.param) as running:
        running.resize(1280, 800)
        yield running
