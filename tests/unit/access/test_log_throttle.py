"""Each warning about a peer is logged, and a flood of them is shortened."""

import pytest
from structlog.testing import capture_logs

from burnish.access import log_throttle
from burnish.access.log_throttle import LogThrottle


def test_each_warning_is_logged_and_a_flood_is_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(log_throttle, "monotonic", lambda: now[0])
    throttle = LogThrottle()

    def reject(calling_ae_title: str, why: str = "unknown") -> None:
        throttle.warn(
            "association rejected", why=why, calling_ae_title=calling_ae_title, address="1"
        )

    with capture_logs() as lines:
        for _ in range(500):
            reject("A")
        reject("B")
        for number in range(5000):
            reject(f"{number}", why="x")
        now[0] = 61
        reject("A")
    assert len([line for line in lines if line["calling_ae_title"] == "A"]) == 11
    assert len([line for line in lines if line["calling_ae_title"] == "B"]) == 1
    assert len(lines) < 1100
    assert sum(line.get("others_not_shown", 0) for line in lines) == 5502 - len(lines)


def test_an_ae_title_cannot_imitate_another_line_of_the_log() -> None:
    with capture_logs() as lines:
        LogThrottle().warn("rejected", why="unknown", calling_ae_title="A\nlevel=info\x1b[0m" * 9)
    assert lines[0]["calling_ae_title"].startswith("A?level=info?[0mA?")
    assert len(lines[0]["calling_ae_title"]) == 64
