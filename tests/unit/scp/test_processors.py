"""Which processors the threads of a receiver use."""

import os
import threading

import pytest

from burnish.scp import processors
from burnish.scp.processors import Processors


class Machine:
    """Two processors, and the time, for tests; the last choice for each thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, allowed: int = 2) -> None:
        self.now = 1000.0
        self.choices: dict[int, set[int]] = {}
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3, 3 + allowed)))
        monkeypatch.setattr(os, "sched_setaffinity", self.choices.__setitem__)
        monkeypatch.setattr(processors, "monotonic", lambda: self.now)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_all_threads_keep_to_one_processor_while_all_receivers_are_busy(machine: Machine) -> None:
    second = Processors(1, receivers=2)
    second.choose(1)
    assert not machine.choices
    second.choose(2)
    native_ids = {thread.native_id for thread in threading.enumerate()}
    assert native_ids == set(machine.choices)
    assert all(chosen == {4} for chosen in machine.choices.values())


def test_they_are_free_again_once_there_were_fewer_associations_for_a_while(
    machine: Machine,
) -> None:
    first = Processors(0, receivers=2)
    first.choose(8)
    first.choose(1)
    machine.now += 0.3
    first.choose(1)
    assert set(map(tuple, machine.choices.values())) == {(3,)}
    first.choose(2)  # the time begins again
    machine.now += 0.3
    first.choose(0)
    machine.now += 0.5
    first.choose(0)
    assert all(chosen == {3, 4} for chosen in machine.choices.values())


def test_more_receivers_than_processors_share_them(machine: Machine) -> None:
    third = Processors(2, receivers=3)
    third.choose(3)
    assert set(map(tuple, machine.choices.values())) == {(3,)}


@pytest.mark.parametrize(("receivers", "allowed"), [(1, 1), (1, 2), (2, 4), (2, 1)])
def test_the_operating_system_chooses_where_there_is_nothing_to_gain(
    monkeypatch: pytest.MonkeyPatch, receivers: int, allowed: int
) -> None:
    machine = Machine(monkeypatch, allowed=allowed)
    Processors(0, receivers).choose(100)
    assert not machine.choices


def test_nothing_happens_where_it_is_not_permitted(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refused)
    Processors(0, receivers=2).choose(2)
    assert not machine.choices
