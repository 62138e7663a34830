"""A short fuzz run, always the same dice: `make fuzz` has longer ones."""

from pathlib import Path

from fuzz.run import run


def test_hostile_peers_harm_nobody(tmp_path: Path) -> None:
    report = run(tmp_path, 3, seed=1, attacks=10)
    assert report.is_clean, "\n".join(report.lines())
    assert report.tried.total() > 10
    assert any(at > report.attacked_at for at, _ in report.told.stores)
    assert report.told.media
