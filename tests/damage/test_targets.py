"""The seeds of coverage-guided fuzzing, and each input that has shown a defect."""

import warnings

import pytest

from damage.cover import FINDINGS
from damage.targets import TARGETS, attempt


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings_get_the_right_answer(name: str) -> None:
    findings = sorted((FINDINGS / name).glob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn of damaged data
        for data in [*TARGETS[name].seeds(), *(path.read_bytes() for path in findings), b""]:
            attempt(TARGETS[name], data)


def test_every_finding_has_a_target() -> None:
    assert {path.name for path in FINDINGS.iterdir()} <= TARGETS.keys()
