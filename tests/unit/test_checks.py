"""Checks of database and spool: asked for, run, and told with their time."""

from pathlib import Path

import pytest

from burnish import checks, recovery
from burnish.checks import CheckKind, CheckView
from burnish.values import Actor
from factories import Ground, instance

_ANNA = Actor("user", "anna")


def _views(ground: Ground) -> dict[CheckKind, CheckView]:
    with ground.database.reading() as session:
        return {view.kind: view for view in checks.views(session)}


def _ask_and_run(ground: Ground, *kinds: CheckKind) -> dict[CheckKind, CheckView]:
    with ground.database.writing() as session:
        for kind in kinds:
            checks.ask(session, kind, actor=_ANNA)
    assert all(_views(ground)[kind].asked_by == "user anna" for kind in kinds)
    checks.run_asked(
        ground.database,
        ground.settings,
        lambda: recovery.findings(ground.database, ground.spool),
    )
    return _views(ground)


def test_nothing_is_told_before_the_first_check(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        assert _views(ground) == {kind: CheckView(kind) for kind in CheckKind}


def test_checks_without_a_fault_tell_so(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        ground.store(instance())
        views = _ask_and_run(ground, *CheckKind)
    assert views[CheckKind.DATABASE].findings == ("the database is undamaged and of this version",)
    assert "every instance has its complete file" in views[CheckKind.SPOOL].findings
    for view in views.values():
        assert view.problem == ""
        assert view.ended_at is not None
        assert view.asked_at is None


def test_a_lost_file_is_told_with_its_remedy(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        ground.store(instance())
        for path in (tmp_path / "spool").rglob("*"):
            if path.is_file() and path.stat().st_size > 200:
                path.unlink()
        view = _ask_and_run(ground, CheckKind.SPOOL)[CheckKind.SPOOL]
    assert view.problem == "the file of 1 instance is missing or incomplete"
    assert "burnish db recover" in view.remedy


def test_checks_are_asked_for_at_night_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ground(tmp_path) as ground:
        monkeypatch.setattr(checks, "_NIGHT", ())
        checks.ask_at_night(ground.database)
        assert not any(view.asked_at for view in _views(ground).values())
        monkeypatch.setattr(checks, "_NIGHT", range(24))
        checks.ask_at_night(ground.database)
        assert all(view.asked_at for view in _views(ground).values())
        _ask_and_run(ground)
        checks.ask_at_night(ground.database)
        assert not any(view.asked_at for view in _views(ground).values())
