"""Processes in which codecs run end with the process that has started them."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from waiting import wait_until

_OWNER = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from burnish.codec_process import confine_codec_process

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(
        1, mp_context=context, initializer=confine_codec_process, initargs=(1,)
    )
    pool.submit(int).result()
    (worker,) = pool._processes
    from multiprocessing.forkserver import _forkserver
    print(worker, _forkserver._forkserver_pid, flush=True)
    time.sleep(600)
"""


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_workers_and_their_server_end_when_their_owner_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "owner.py"
    script.write_text(_OWNER)
    owner = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_running, pids))
        os.kill(owner.pid, signal.SIGKILL)
        owner.wait()
    wait_until(lambda: not any(map(is_running, pids)), what="the end of the workers")
