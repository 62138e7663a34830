"""Fixtures of the tests of the web application."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from web_client import WebGround


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebGround]:
    """A database with a spool, and the application on it."""
    with WebGround(tmp_path) as web:
        yield web


@pytest.fixture(scope="module")
def shared_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebGround]:
    """The same for all tests of a module, which leave its users as they are."""
    with WebGround(tmp_path_factory.mktemp("web")) as web:
        yield web
