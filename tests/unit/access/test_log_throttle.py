"""What is refused is told once each, and a flood of it in short."""

import pytest
from structlog.testing import capture_logs

from burnish.access import log_throttle
from burnish.access.log_throttle import Refusals


def test_each_is_told_and_a_flood_in_short(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(log_throttle, "monotonic", lambda: now[0])
    told = Refusals()
    with capture_logs() as lines:
        for _ in range(500):
            told.tell("association refused", why="unknown", calling_ae_title="A", address="1")
        told.tell("association refused", why="unknown", calling_ae_title="B", address="1")
        for number in range(5000):
            told.tell("association refused", why="x", calling_ae_title=f"{number}", address="1")
        now[0] = 61
        told.tell("association refused", why="unknown", calling_ae_title="A", address="1")
    assert len([line for line in lines if line["calling_ae_title"] == "A"]) == 11
    assert len([line for line in lines if line["calling_ae_title"] == "B"]) == 1
    assert len(lines) < 1100
    assert sum(line.get("others_not_shown", 0) for line in lines) == 5502 - len(lines)


def test_a_name_cannot_pass_for_another_line() -> None:
    with capture_logs() as lines:
        Refusals().tell("refused", why="unknown", calling_ae_title="A\nlevel=info\x1b[0m" * 9)
    assert lines[0]["calling_ae_title"].startswith("A?level=info?[0mA?")
    assert len(lines[0]["calling_ae_title"]) == 64
