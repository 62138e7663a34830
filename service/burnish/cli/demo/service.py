"""Surface: the demo's service: a directory of its own, a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from json import dumps
from pathlib import Path
from time import monotonic

from burnish.cli.demo.peer import Peer
from burnish.errors import Conflict, OperatorError

_MARK = "# Made by `burnish demo`, which replaces what is in this directory when it runs again."
_READY_WITHIN = 300.0
_STOPPED_WITHIN = 180.0
_CONFIGURATION = """\
{mark}

[dicom]
host = "127.0.0.1"
port = {port}
receivers = 2
accept_unknown_peers = true

[storage]
root = {root}
durability = "full"

[request]
wait_for_instances = "1s"

[[device]]
name = "outbox"
kind = "folder"
capacity = {capacity}
"""


class Service:
    """`burnish serve` in `directory`, on a free port of this machine."""

    def __init__(self, directory: Path, volume_size: int) -> None:
        self.directory = directory
        self.config = directory / "burnish.toml"
        self.root = directory / "storage"
        self.outbox = self.root / "outbox"
        self.log = directory / "burnish.log"
        self.port = _free_port()
        self._volume_size = volume_size
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Makes the directory, or empties that of an earlier demo; raises Conflict for another."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(self.directory.iterdir()):
            self._empty()
        self.config.write_text(
            _CONFIGURATION.format(
                mark=_MARK,
                port=self.port,
                root=dumps(str(self.root.resolve()), ensure_ascii=False),
                capacity=self._volume_size,
            ),
            encoding="utf-8",
        )

    def _empty(self) -> None:
        from burnish import roles, settings

        if not (self.config.is_file() and self.config.read_text("utf-8").startswith(_MARK)):
            raise Conflict(
                f"{self.directory} is not empty and not from an earlier demo",
                hint="name another directory: burnish demo DIR",
            )
        os.close(
            roles.lock(settings.read_settings(self.config), "serve")
        )  # none of its services runs
        shutil.rmtree(self.root, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def start(self, peer: Peer) -> int:
        """Starts the service and waits until it answers; its process id."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("BURNISH_")
        }
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "burnish", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment | {"PYTHONUNBUFFERED": "1"},
            )
        end, pause = monotonic() + _READY_WITHIN, threading.Event()
        while not (self._listens() and peer.echo()):
            if self._process.poll() is not None:
                raise OperatorError("the service ended before it was ready", hint=self.tail())
            if monotonic() > end:
                raise OperatorError("the service does not get ready", hint=self.tail())
            pause.wait(0.1)
        return self._process.pid

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait(self) -> None:
        """Waits for the service to end."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int | None:
        """SIGTERM; the exit code, None where it did not run."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(_STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def tail(self) -> str:
        """The end of the log, for an error."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-5:]
        return "\n  ".join([f"the end of {self.log}:", *lines])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
