"""Kills a life at each of its steps, lets another go on, and looks what holds."""

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from burnish.errors import BurnishError
from crash.invariants import Root, open_references
from crash.life import (
    CANCELLED,
    HOPELESS,
    IDLE,
    MEDIA,
    Diary,
    Life,
    in_one_process,
    material,
    newer_content,
)
from crash.power import Disk, Tree, lay_out, moments
from crash.steps import Op, Steps
from digesting import digest_of


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
    """Lives on copies of one `template` root, in `folder`, under `steps`."""

    def __init__(self, folder: Path, template: Path, steps: Steps) -> None:
        self._template, self._steps = template, steps
        self.root = folder / "root"
        self.diary = Diary(folder / "diary")

    def fresh(self) -> None:
        """A new root, and a client that has done nothing yet."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root, copy_function=shutil.copy)
        self.diary.path.unlink(missing_ok=True)

    def one_life(self, *, cleans: bool = True) -> None:
        """From the start to the end of everything that a client wants."""
        with in_one_process():
            life = Life(self.root, self.diary)
            life.begin()
            life.flow()
            if cleans:
                life.clean()
            life.end()

    def count(self, *, reads: bool = False) -> int:
        """The number of steps of an undisturbed life, which must be without fault."""
        counted = self.root.with_name(f"{self._template.name}.steps{'-reads' if reads else ''}")
        if counted.exists():
            return int(counted.read_text())
        self.fresh()
        self._steps.watch(self.root, reads=reads)
        code, output = in_child(self.one_life)
        assert code == 0, output
        steps = self._steps.count
        counted.write_text(str(steps))
        self._steps.watch(self.root)
        self.examine()
        return steps

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
        self.fresh()
        self._steps.watch(self.root, reads=reads)
        self._steps.fail(error, first=step, last=step if once else 1 << 62)
        code, output = in_child(self._failing_life)
        failed = self._steps.failed
        self._steps.watch(self.root)
        assert code == 0, output
        self.examine()
        return failed

    def _failing_life(self) -> None:
        with in_one_process():
            life = Life(self.root, self.diary)
            while not self._begins(life):
                self._steps.heal()
            life.flow()
            self._steps.heal()  # who looks reads as well
            assert_no_faults(Root(self.root).faults(self._stored(), rows_may_follow=True))
            life.flow()
            life.go_on()
            self.settled()
            facts = set(self.diary.facts())
            missing = [uid for uid in material() if ("stored", uid) not in facts]
            assert not missing, f"never stored: {missing}"
            for uid in (MEDIA, CANCELLED, HOPELESS):
                assert ("initiated", uid) in facts, f"never initiated: {uid}"
            life.clean()
            life.end()

    def _begins(self, life: Life) -> bool:
        """Whether the service could begin; one that cannot reports it and is started again."""
        try:
            life.begin()
        except (BurnishError, OSError):
            return False
        return True

    def losses(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Each moment at which the power may fail, and each state of the disk that may follow."""
        self.fresh()
        disk = Disk(self.root)
        self._steps.watch(self.root, log=True)
        self.diary.also = self._steps.note
        code, output = in_child(self.one_life)
        assert code == 0, output
        self.diary.also = None
        self._steps.watch(self.root)
        records = self._steps.log()
        done = 0
        for moment in moments(records):
            for record in records[done:moment]:
                disk.do(record)
            done = moment
            facts = [record.path for record in records[:moment] if record.op is Op.NOTE]
            name = f"record {moment}"
            yield f"{name}, least", partial(self._lose, facts, disk.least)
            yield f"{name}, hollow", partial(self._lose, facts, disk.hollow)
            yield f"{name}, by chance", partial(self._lose, facts, partial(disk.by_chance, moment))

    def _lose(self, facts: Sequence[str], tree: Callable[[], Tree]) -> None:
        lay_out(tree(), self.root)
        self.diary.path.write_text("".join(f"{fact}\n" for fact in facts))
        self.examine()

    def examine(self) -> None:
        """Check the root as it is, after another life, and after that life has cleaned up."""
        code, output = in_child(self._examine)
        assert code == 0, output

    def _examine(self) -> None:
        assert_no_faults(Root(self.root).faults(self._stored(), rows_may_follow=True))
        with in_one_process():
            life = Life(self.root, self.diary)
            life.begin()
            life.go_on()
            assert not life.deaths + life.failed_tasks, life.deaths + life.failed_tasks
            self.settled()
            life.clean()
            life.end()
        assert_no_faults(Root(self.root).faults(self._stored()), Root(self.root).orphans())

    def settled(self) -> None:
        """Check that nothing is under way: each request has ended as it must, or was not begun."""
        root = Root(self.root)
        assert_no_faults(root.faults(self._stored()), root.unsettled())
        status = {
            row["sop_instance_uid"]: (row["execution_status"], row["execution_status_info"])
            for row in root.rows("SELECT * FROM media_creation_request")
        }
        facts = set(self.diary.facts())
        ends = {
            MEDIA: {("DONE", "NORMAL")},
            CANCELLED: {("DONE", "NORMAL"), ("DELETED", "NORMAL")},
            HOPELESS: {("FAILURE", "NO_INSTANCE")},
            IDLE: {("IDLE", "NORMAL")},
        }
        for uid, expected in ends.items():
            assert uid in status or ("created", uid) not in facts, f"{uid} is gone"
            if ("initiated", uid) in facts or uid == IDLE:
                assert status.get(uid, ("IDLE", "NORMAL")) in expected, (uid, status.get(uid))
        newest = {
            row["sop_instance_uid"]: row["digest"]
            for row in root.rows(
                "SELECT * FROM instance WHERE released_at IS NULL AND replaced_at IS NULL"
            )
        }
        for fact, uid in facts:
            if fact == "newer" and uid in newest:
                assert newest[uid] == digest_of(newer_content(uid).data_set)
        if ("cancelled", CANCELLED) in facts:
            assert status[CANCELLED][0] == "DELETED"

    def _stored(self) -> dict[str, bytes]:
        """The acknowledged instances; after retention has run, only those that are still needed."""
        facts = self.diary.facts()
        stored = {uid for fact, uid in facts if fact == "stored"}
        if ("cleaning", "") in facts:
            stored &= open_references(Root(self.root))
        return {uid: material()[uid].data_set for uid in stored}


def assert_no_faults(*checks: Iterator[str]) -> None:
    faults = [fault for check in checks for fault in check]
    assert not faults, faults
