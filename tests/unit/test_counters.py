"""Counters in files: exact for all threads and processes, whatever ends them."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from burnish.counters import Counters, read_counters

KEY = ("store", "CT1", "0000")
_CHILD = """
import sys
from pathlib import Path
from burnish.counters import Counters
counters = Counters(Path(sys.argv[1]), "receiver-0")
for _ in range(int(sys.argv[2])):
    counters.add(("store", "CT1", "0000"), 0.5)
print("counted", flush=True)
sys.stdin.read()
"""


def test_counts_and_sums_are_those_of_all_threads(tmp_path: Path) -> None:
    counters = Counters(tmp_path, "receiver-0")

    def count() -> None:
        for number in range(5000):
            counters.add(KEY, 0.25)
            counters.add(("store", "CT1", f"{number % 7:04X}"))
            counters.add_two(("store", "MR1", "0000"), ("receive", f"{number % 3}"), 0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counters.close()
    totals = read_counters(tmp_path)
    assert sum(number for number, _ in totals.values()) == 80_000
    assert totals["store", "MR1", "0000"] == (20_000, 0.0)
    assert sum(amount for key, (_, amount) in totals.items() if key[0] == "receive") == 10_000.0
    assert totals[KEY][1] == 5000.0


def test_a_killed_process_leaves_its_counts_to_its_successor(tmp_path: Path) -> None:
    for run in range(1, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), "1000"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"counted\n"
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert read_counters(tmp_path) == {KEY: (1000 * run, 500.0 * run)}
    assert len(list(tmp_path.iterdir())) == 1


def test_two_processes_of_one_name_do_not_share_a_file(tmp_path: Path) -> None:
    first, second = Counters(tmp_path, "receiver-0"), Counters(tmp_path, "receiver-0")
    first.add(KEY)
    second.add(KEY)
    assert read_counters(tmp_path) == {KEY: (2, 0.0)}
    first.close()
    second.close()


def test_there_is_a_bound_for_counters_and_names(tmp_path: Path) -> None:
    counters = Counters(tmp_path, "receiver-0")
    for number in range(10_000):
        counters.add(("store", f"AE{number}"))
    counters.add(("store", "x" * 500))
    counters.close()
    assert len(read_counters(tmp_path)) < 4096


def test_a_file_of_something_else_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "receiver-0.counts").write_bytes(b"something else")
    (tmp_path / "receiver-1.counts").write_bytes(b"")
    assert read_counters(tmp_path) == {}
    counters = Counters(tmp_path, "receiver-0")
    counters.add(KEY)
    counters.close()
    assert read_counters(tmp_path) == {KEY: (1, 0.0)}
