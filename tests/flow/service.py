"""A running `burnish serve` with its own storage root."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from flow import clients, recorded_burnish
from flow.recorded_burnish import RECORD
from waiting import wait_until

AE_TITLE = "BURNISH"
_PROGRAM = Path(recorded_burnish.__file__)
_READY = "ready"
_TAIL = 60

#: The log events that only a defect causes. An architecture test compares them with the package.
DEFECT_EVENTS = (
    "a process ended by itself",
    "association ended by a defect",
    "notices ended by a defect",
    "pages not updated, by a defect",
    "piece not made, by a defect",
    "piece not readable",
    "reports ended by a defect",
    "retrieval failed by a defect",
    "rows of instances not inserted",
    "task failed",
    "web request failed by a defect",
)

Tables = Mapping[str, Any]


class Service:
    """One `burnish serve` that a test starts, kills, restarts and asks.

    It listens on `port`. `root` is its storage root, `outbox` its folder device, `config` its
    configuration file, `log` its standard error with one JSON object per line, `record` what it has
    sent to other AEs.
    """

    def __init__(self, directory: Path, port: int, tables: Mapping[str, Any]) -> None:
        directory.mkdir(parents=True)
        self.port = port
        self.root = directory / "storage"
        self.outbox = self.root / "outbox"
        self.config = directory / "burnish.toml"
        self.log = directory / "burnish.log"
        self.output = directory / "burnish.out"
        self.record = directory / "sent.jsonl"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure(tables)

    def configure(self, tables: Mapping[str, Any]) -> None:
        """Writes the configuration: what tests usually need, overridden by `tables` key by key."""
        usual: dict[str, Any] = {
            "dicom": {
                "ae_title": AE_TITLE,
                "host": "127.0.0.1",
                "port": self.port,
                "accept_unknown_peers": True,
                "receivers": 2,
            },
            "storage": {"root": str(self.root), "durability": "full"},
            "request": {"wait_for_instances": "0s"},
            "content": {"pages": False},
            "web": {"enabled": False},
            "log": {"format": "json"},
        }
        for name, table in tables.items():
            if isinstance(table, Mapping):
                usual[name] = {**usual.get(name, {}), **table}
            else:
                usual[name] = table
        self.config.write_text(toml(usual), encoding="utf-8")

    def start(self, *, deadline: float = 300, calling: str = "PYNETDICOM") -> None:
        """Starts the service and waits until it logs that it is ready and answers a C-ECHO.

        `calling` is the AE title of the C-ECHO.
        """
        assert self._process is None, "the service runs already"
        before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log, self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM), "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                env=self._environment() | {RECORD: str(self.record)},
                cwd=self.config.parent,
                start_new_session=True,
            )

        def is_ready() -> bool:
            self._fail_if_ended("before it was ready")
            with self.log.open("rb") as log:
                log.seek(before)
                return _READY in log.read().decode("utf-8", "replace")

        def accepts() -> bool:
            self._fail_if_ended("before it accepted associations")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                    return False
            return clients.echo(self.port, calling=calling) == 0

        try:
            wait_until(is_ready, deadline=deadline, what=f"{_READY!r} in {self.log}")
            wait_until(accepts, deadline=deadline, what="a C-ECHO that succeeds")
        except pytest.fail.Exception as failure:
            self.kill()
            pytest.fail(f"{failure}\n{self.tail()}")

    def stop(self, *, deadline: float = 300) -> None:
        """Sends SIGTERM to the supervisor, which must end its children and exit with 0."""
        assert self._process is not None, "the service does not run"
        tree = self.processes()
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"SIGTERM did not end the service in {deadline} s\n{self.tail()}")
        _, left = psutil.wait_procs(tree, timeout=60)
        self._process = None
        for process in left:
            process.kill()
        assert code == 0, f"the service ended with {code} after SIGTERM\n{self.tail()}"
        assert not left, f"the service left processes behind: {left}\n{self.tail()}"

    def kill(self) -> None:
        """Sends SIGKILL to every process of the service, as far as possible at once."""
        assert self._process is not None, "the service does not run"
        tree = self.processes()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in tree:
            if process.is_running():
                process.kill()
        self._process.wait()
        _, left = psutil.wait_procs(tree, timeout=120)
        assert not left, f"SIGKILL did not end {left}"
        self._process = None

    def restart(self) -> None:
        """Stops the service if it runs, and starts it with the same storage and port."""
        if self._process is not None:
            self.stop()
        self.start()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def ended(self) -> bool:
        """Whether the test has ended it by `stop` or `kill`."""
        return self._process is None

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        assert self._process is not None, "the service does not run"
        return self._process.pid

    def processes(self) -> list[psutil.Process]:
        """The supervisor and all its descendants."""
        try:
            supervisor = psutil.Process(self.pid)
            return [supervisor, *supervisor.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def roles(self) -> list[psutil.Process]:
        """The scheduler, the writers and the receivers, in this order until one is restarted."""
        children = psutil.Process(self.pid).children()
        return sorted(children, key=lambda process: (process.create_time(), process.pid))

    def run(self, *arguments: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """`burnish ARGUMENTS` with this service's configuration, whatever its exit code."""
        return subprocess.run(
            [sys.executable, "-m", "burnish", *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=self._environment(),
            cwd=self.config.parent,
            timeout=timeout,
            check=False,
        )

    def cli(self, *arguments: str, json: bool = True) -> Any:
        """The parsed JSON that `burnish ARGUMENTS --json` prints; it must succeed."""
        done = self.run(*arguments, *(["--json"] if json else []))
        command = f"burnish {' '.join(arguments)}"
        assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stderr}"
        return _parsed(command, done.stdout) if json else done.stdout

    def lines(self) -> list[str]:
        """The lines of the log, without a last one that is not complete yet."""
        complete, _, _ = self.log.read_text(encoding="utf-8", errors="replace").rpartition("\n")
        return complete.splitlines()

    def defects(self) -> list[str]:
        """The lines of the log that report a defect."""
        return [line for line in self.lines() if any(event in line for event in DEFECT_EVENTS)]

    def tail(self, lines: int = _TAIL) -> str:
        """The end of the log."""
        if not self.log.exists():
            return "(no log)"
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return f"--- end of {self.log} ---\n" + "\n".join(text.splitlines()[-lines:])

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("BURNISH_")
        }
        return inherited | {"BURNISH_CONFIG": str(self.config), "PYTHONUNBUFFERED": "1"}

    def _fail_if_ended(self, when: str) -> None:
        assert self._process is not None
        code = self._process.poll()
        if code is not None:
            pytest.fail(f"the service ended with {code} {when}")


def _parsed(command: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pytest.fail(f"{command} --json printed no JSON but:\n{text}")


def toml(tables: Mapping[str, Any]) -> str:
    """TOML of tables of plain values, and of arrays of such tables."""
    lines: list[str] = []
    for name, table in tables.items():
        is_array = not isinstance(table, Mapping)
        header = f"[[{name}]]" if is_array else f"[{name}]"
        for row in table if is_array else [table]:
            inner = {key: value for key, value in row.items() if _is_array_of_tables(value)}
            lines.append(header)
            lines += [f"{key} = {_value(row[key])}" for key in row if key not in inner]
            lines.append("")
            lines.append(toml({f"{name}.{key}": value for key, value in inner.items()}))
    return "\n".join(lines)


def _is_array_of_tables(value: object) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(element) for element in value)}]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value)
    return json.dumps(str(value))
