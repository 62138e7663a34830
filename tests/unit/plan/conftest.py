"""Log lines of the stages go nowhere: a traceback of a defect takes seconds to be drawn."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield
