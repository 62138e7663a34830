"""Waiting for facts, never for time to pass.

A deadline only bounds a test that fails. It allows for machines many times slower than this one.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")

_PAUSE = threading.Event()


def wait_until(condition: Callable[[], T], *, deadline: float = 300, what: str = "") -> T:
    """The first true value of `condition`; fails the test if there is none before `deadline`.

    `condition` may call `pytest.fail` itself if it can no longer become true.
    """
    end = time.monotonic() + deadline
    pause = 0.005
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {deadline} s without success for {what or condition}")
        _PAUSE.wait(pause)
        pause = min(pause * 1.5, 0.1)
    return value
