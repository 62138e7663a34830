"""The seeds of coverage-guided fuzzing, and every input with which it found a defect."""

import warnings

import pytest

from damage.cover import FINDINGS
from damage.targets import TARGETS, attempt


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_findings_get_the_right_answer(name: str) -> None:
    found = sorted((FINDINGS / name).glob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, about what is wrong with what is read
        for data in [*TARGETS[name].seeds(), *(path.read_bytes() for path in found), b""]:
            attempt(TARGETS[name], data)


def test_every_finding_has_its_target() -> None:
    assert {path.name for path in FINDINGS.iterdir()} <= TARGETS.keys()
