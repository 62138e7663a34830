"""The exit codes against the tree of errors, and against what is told of them."""

from pathlib import Path

import pytest

from burnish import errors
from burnish.cli import exits
from unit.cli.conftest import Run

ERRORS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.BurnishError)
]
README = Path(__file__).resolve().parents[3] / "README.md"


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row_with_a_meaning(kind: type[errors.BurnishError]) -> None:
    assert exits.EXITS[kind] in exits.MEANINGS
    assert exits.of(kind("")) == exits.EXITS[kind]


def test_no_error_looks_like_success_or_wrong_usage() -> None:
    assert not {exits.GOOD, exits.USAGE} & set(exits.EXITS.values())


def test_codes_leave_room_for_signals() -> None:
    assert all(code < 128 for code in exits.MEANINGS if code != exits.INTERRUPTED)


def test_every_code_is_in_the_help_and_in_the_readme(run: Run) -> None:
    told, readme = run("--help").out, README.read_text(encoding="utf-8")
    for code, meaning in exits.MEANINGS.items():
        assert f"{code:>5}  {meaning}\n" in told
        assert f"| {code} | {meaning} |\n" in readme
