"""Renditions of large requests are made some at a time."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from burnish.content.rendition import RenditionOptions
from burnish.plan import planned_renditions
from burnish.plan.planned_renditions import PlannedRenditions


class Cache:
    """A pool that makes renditions at once, and counts those that it is asked for."""

    folder = Path("content")

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.asked = 0

    def missing(self, tasks: Sequence[Any]) -> list[Any]:
        self.asked += len(tasks)
        return [task for task in tasks if task.key not in self.present]

    def make(self, tasks: Sequence[Any], _: RenditionOptions) -> None:
        self.present |= {task.key for task in tasks}


def test_what_is_there_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,000 instances, the calls for the first parts do not count those of the last again."""
    monkeypatch.setattr(planned_renditions.rendition, "read_rendition", lambda _, key: key)
    cache = Cache()
    cache.present = {RenditionOptions().key(f"sha256:{number}") for number in range(600)}
    spool = SimpleNamespace(slice=lambda *_: None)
    renditions = PlannedRenditions(cast(Any, cache), cast(Any, spool))
    received = SimpleNamespace(spool_key="", size=0)
    instances = [
        SimpleNamespace(instance_id=number, digest=f"sha256:{number}", received=received)
        for number in range(1000)
    ]
    calls = 1
    while renditions.renditions(cast(Any, instances), RenditionOptions()) is None:
        calls += 1
    assert calls == 4
    assert len(cache.present) == 1000
    # all once, and then only those that were missing: 272, 144 and 16
    assert cache.asked == 1000 + 272 + 144 + 16
