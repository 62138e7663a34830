"""Kills a life at each of its steps, lets another go on, and looks what holds."""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from burnish.errors import BurnishError
from crash.life import Diary, Life, in_one_process
from crash.power import Disk, Tree, lay_out, moments
from crash.steps import Op, Record, Steps


@dataclass(frozen=True)
class Point:
    """A point of a campaign: what is tried there, and by which name it is repeated.

    `place`: the step of the code that is disturbed, and how. The points of one place do not differ
    in the code that is running, only in the data.
    """

    name: str
    attempt: Callable[[], object]
    place: str = ""


def in_child(work: Callable[[], None]) -> tuple[int, str]:
    """Runs `work` in a fork of this process; its exit code, or minus the signal, and what it says.

    The code is 0 where all went well, 1 where it raised.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            work()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:  # noqa: BLE001  the parent is told
            os.write(writer, traceback.format_exc()[-1200:].encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode()
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), text


class Sweep:
    """Lives on copies of one `template` root, in `folder`, under `steps`.

    `kind` makes a life on a root. The diary of the life that made the template lies beside it.
    """

    def __init__(
        self, folder: Path, template: Path, steps: Steps, kind: Callable[[Path, Diary], Life] = Life
    ) -> None:
        self._template, self._steps = template, steps
        self.root = folder / "root"
        self.diary = Diary(folder / "diary")
        self.life = kind(self.root, self.diary)

    def fresh(self, *, reads_fail: bool = False) -> None:
        """A new root, and a client that has done nothing yet."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root, copy_function=shutil.copy)
        self.diary.path.unlink(missing_ok=True)
        begun = self._template.with_name(f"{self._template.name}.diary")
        if begun.exists():
            shutil.copy(begun, self.diary.path)
        self.life.reset(reads_fail=reads_fail)

    def one_life(self, *, cleans: bool = True) -> None:
        """From the start to the end of everything that a client wants."""
        life = self.life
        with in_one_process():
            life.begin()
            life.flow()
            if cleans:
                life.clean()
            life.end()

    def places(self, *, reads: bool = False) -> list[str]:
        """The place of each step of an undisturbed life, which must be without fault."""
        written = self.root.with_name(f"{self._template.name}.places{'-reads' if reads else ''}")
        if written.exists():
            return written.read_text().splitlines()
        self.fresh()
        self._steps.watch(self.root, reads=reads, places=True)
        code, output = in_child(self.one_life)
        assert code == 0, output
        places = self._steps.places()
        assert len(places) == self._steps.count
        self._steps.watch(self.root)
        self.examine()
        assert_no_faults(self.life.refused())
        written.write_text("".join(f"{place}\n" for place in places))
        return places

    def kill_at(self, step: int, *, half: bool = False) -> bool:
        """Kill a life at this step and check the root; whether it got as far as that."""
        self.fresh()
        self._steps.watch(self.root)
        self._steps.kill_at(step, half=half)
        code, output = in_child(self.one_life)
        self._steps.watch(self.root)
        assert code in (0, -signal.SIGKILL), output
        self.examine()
        return code != 0

    def fail_at(self, step: int, error: int, *, once: bool, reads: bool = False) -> int:
        """Have the disk fail once at this step, or from there until the client gives up.

        The same life then goes on, and the client repeats what was refused; afterwards the root is
        checked. Returns how many steps failed.
        """
        self.fresh(reads_fail=reads)
        self._steps.watch(self.life.on_disk, reads=reads)
        self._steps.fail(error, first=step, last=step if once else 1 << 62)
        code, output = in_child(self._failing_life)
        failed = self._steps.failed
        self._steps.watch(self.root)
        assert code == 0, output
        self.examine()
        return failed

    def _failing_life(self) -> None:
        life = self.life
        with in_one_process():
            while not self._begins(life):
                self._steps.heal()
            life.flow()
            self._steps.heal()  # the checks read as well
            assert_no_faults(life.faults(rows_may_follow=True))
            life.flow()
            life.go_on()
            assert_no_faults(life.faults(), life.unsettled(), life.refused())
            life.clean()
            life.end()

    def _begins(self, life: Life) -> bool:
        """Whether the service could begin; one that cannot reports it and is started again."""
        try:
            life.begin()
        except (BurnishError, OSError):
            return False
        return True

    def losses(self) -> Iterator[Point]:
        """Each moment at which the power may fail, and each state of the disk that may follow."""
        self.fresh()
        template = Disk(self.life.on_disk)
        self._steps.watch(self.life.on_disk, log=True, places=True)
        self.diary.also = self._steps.note
        begun = [json.dumps(fact) for fact in self.diary.facts()]
        code, output = in_child(self.one_life)
        assert code == 0, output
        self.diary.also = None
        self._steps.watch(self.life.on_disk)
        self.life.remember()
        replay = Replay(template, self._steps.log(), self._steps.places())
        states: dict[str, Callable[[Disk], Tree]] = {
            "least": Disk.least,
            "hollow": Disk.hollow,
        }
        for moment in moments(replay.records):
            name = f"record {moment}"
            states["by chance"] = partial(Disk.by_chance, seed=moment)
            for state, tree in states.items():
                lose = partial(self._lose, begun, replay, moment, tree)
                yield Point(f"{name}, {state}", lose, f"{state}: {replay.place(moment)}")

    def _lose(
        self, begun: Sequence[str], replay: "Replay", moment: int, tree: Callable[[Disk], Tree]
    ) -> None:
        disk, records = replay.at(moment), replay.records[:moment]
        facts = [*begun, *(record.path for record in records if record.op is Op.NOTE)]
        if records and records[-1].op is Op.NOTE:
            for folder in self.life.handed_out(*json.loads(records[-1].path)):
                assert not disk.unsynced(folder), f"handed out, not synced: {disk.unsynced(folder)}"
        lay_out(tree(disk), self.life.on_disk)
        self.diary.path.write_text("".join(f"{fact}\n" for fact in facts))
        self.life.restore(self.diary.facts())
        self.examine()

    def examine(self) -> None:
        """Check the root as it is, after another life, and after that life has cleaned up."""
        code, output = in_child(self._examine)
        assert code == 0, output

    def _examine(self) -> None:
        life = self.life
        assert_no_faults(life.faults(rows_may_follow=True))
        with in_one_process():
            life.begin()
            life.go_on()
            assert not life.deaths + life.failed_tasks, life.deaths + life.failed_tasks
            assert_no_faults(life.faults(), life.unsettled())
            life.clean()
            life.end()
        assert_no_faults(life.faults(), life.orphans())


@dataclass
class Replay:
    """A disk on which recorded steps are done again."""

    template: Disk
    records: Sequence[Record]
    places: Sequence[str]
    _disk: Disk | None = None
    _done: int = 0

    def at(self, moment: int) -> Disk:
        """The disk after so many records."""
        if self._disk is None or moment < self._done:
            self._disk, self._done = self.template.copy(), 0
        for record in self.records[self._done : moment]:
            self._disk.do(record)
        self._done = moment
        return self._disk

    def place(self, moment: int) -> str:
        """What was about to be done after so many records, or which promise had been given."""
        before = self.records[moment - 1] if moment else None
        if before is not None and before.op is Op.NOTE:
            fact, _ = json.loads(before.path)
            return f"{fact} after {self._place_of(before)}"
        if moment == len(self.records):
            return "the end"
        return self._place_of(self.records[moment])

    def _place_of(self, record: Record) -> str:
        return self.places[record.step - 1] if record.step else "the start"


def assert_no_faults(*checks: Iterator[str]) -> None:
    faults = [fault for check in checks for fault in check]
    assert not faults, faults
