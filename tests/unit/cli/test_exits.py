"""Exit codes: every error has one, and every code is documented."""

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
def test_every_error_has_an_exit_code_with_a_meaning(kind: type[errors.BurnishError]) -> None:
    assert exits.EXITS[kind] in exits.MEANINGS
    assert exits.exit_code(kind("")) == exits.EXITS[kind]


CODES = {
    errors.BurnishError: 1,
    errors.Malformed: 3,
    errors.InvalidValue: 3,
    errors.MissingAttribute: 3,
    errors.MissingValue: 3,
    errors.InvalidUID: 3,
    errors.InvalidArgument: 3,
    errors.Unreadable: 3,
    errors.NoInstance: 3,
    errors.LimitExceeded: 3,
    errors.DamagedVolume: 3,
    errors.Mismatch: 3,
    errors.Unknown: 4,
    errors.Conflict: 5,
    errors.AlreadyExists: 5,
    errors.OtherContent: 5,
    errors.AlreadyInitiated: 6,
    errors.AlreadyCompleted: 6,
    errors.NotInterruptible: 6,
    errors.NotNow: 6,
    errors.NotAuthorized: 7,
    errors.TooManyAttempts: 7,
    errors.OutOfResources: 8,
    errors.StaleLease: 9,
    errors.PeerFailed: 10,
    errors.OperatorError: 10,
    errors.AccessDenied: 10,
    errors.InvalidSettings: 11,
    errors.SchemaMismatch: 12,
    errors.WrongKey: 13,
}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_scripts_can_rely_on_the_exit_code_of_an_error(kind: type[errors.BurnishError]) -> None:
    assert exits.exit_code(kind("")) == CODES[kind]


def test_no_error_has_the_code_of_success_or_wrong_usage() -> None:
    assert not {exits.SUCCESS, exits.USAGE} & set(exits.EXITS.values())


def test_codes_stay_below_those_of_signals() -> None:
    assert all(code < 128 for code in exits.MEANINGS if code != exits.INTERRUPTED)


def test_the_help_and_the_readme_list_every_code(run: Run) -> None:
    help_text = run("--help").out
    readme = README.read_text(encoding="utf-8")
    for code, meaning in exits.MEANINGS.items():
        assert f"{code:>5}  {meaning}\n" in help_text
        assert f"| {code} | {meaning} |\n" in readme
