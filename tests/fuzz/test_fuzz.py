"""A short fuzz run with a fixed seed. `make fuzz` runs longer ones."""

from pathlib import Path

from fuzz.run import run


def test_hostile_peers_do_no_harm(tmp_path: Path) -> None:
    report = run(tmp_path, 3, seed=1, attacks=10)
    assert report.is_clean, "\n".join(report.lines())
    assert report.attacks.total() > 10
    assert any(at > report.attacked_at for at, _ in report.observed.stores)
    assert report.observed.media
