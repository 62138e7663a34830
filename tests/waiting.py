"""Waiting for facts, never for time to pass.

Deadlines bound what fails, and are for machines many times slower than one's own.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_PAUSE = threading.Event()


def wait_until(condition: Callable[[], T], *, deadline: float = 300, what: str = "") -> T:
    """The first true value of `condition`; fails the test where there is none before `deadline`.

    `condition` may itself call `pytest.fail` when what is waited for can no longer happen.
    """
    end = time.monotonic() + deadline
    pause = 0.005
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline} s in vain for {what or condition}")
        _PAUSE.wait(pause)
        pause = min(pause * 1.5, 0.1)
    return value
