"""Surface: the service that the demo starts, with its own directory and process."""

import os
import shutil
import socket
import subprocess
import sys
import threading
from json import dumps
from pathlib import Path
from time import monotonic

from burnish.cli.demo.peer import DemoPeer
from burnish.errors import Conflict, OperatorError

#: The first line of the configuration, by which the demo recognizes its own directory.
_MARK = "# Made by `burnish demo`, which replaces the files in this directory when it runs again."
#: Seconds; a loaded machine may be slow.
_START_TIMEOUT = 300.0
_STOP_TIMEOUT = 180.0
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

[web]
port = {web_port}

[[device]]
name = "outbox"
kind = "folder"
capacity = {capacity}
"""


class DemoService:
    """`burnish serve` in `directory`, on a free port of this machine."""

    def __init__(self, directory: Path, volume_size: int) -> None:
        self.directory = directory
        self.config = directory / "burnish.toml"
        self.root = directory / "storage"
        self.outbox = self.root / "outbox"
        self.log = directory / "burnish.log"
        self.port = _free_port()
        self.web_port = _free_port()
        self._volume_size = volume_size
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Create the directory, or empty that of an earlier demo; raises Conflict for any other."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if any(self.directory.iterdir()):
            self._empty()
        self.config.write_text(
            _CONFIGURATION.format(
                mark=_MARK,
                port=self.port,
                web_port=self.web_port,
                root=dumps(str(self.root.resolve()), ensure_ascii=False),
                capacity=self._volume_size,
            ),
            encoding="utf-8",
        )

    def _empty(self) -> None:
        from burnish import roles, settings

        if not (self.config.is_file() and self.config.read_text("utf-8").startswith(_MARK)):
            raise Conflict(
                f"{self.directory} is not empty and was not made by an earlier demo",
                hint="name another directory: burnish demo DIR",
            )
        # raises OperatorError if the service of an earlier demo still runs
        lock = roles.lock(settings.read_settings(self.config), "serve")
        os.close(lock)
        shutil.rmtree(self.root, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def start(self, peer: DemoPeer) -> int:
        """Start the service, wait until it answers, and return its process id."""
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
        deadline = monotonic() + _START_TIMEOUT
        pause = threading.Event()
        while not (listens(self.port) and peer.echo() and listens(self.web_port)):
            if self._process.poll() is not None:
                raise OperatorError("the service ended before it was ready", hint=self.tail())
            if monotonic() > deadline:
                raise OperatorError("the service does not start", hint=self.tail())
            pause.wait(0.1)
        return self._process.pid

    def page_address(self) -> str:
        """The address of the page: as long as there is no administrator, of a one-time link."""
        from burnish import accounts, roles, settings

        configuration = settings.read_settings(self.config)
        address = configuration.web.address(self.web_port)
        database = roles.open_database(configuration)
        try:
            with database.writing() as session:
                if accounts.has_administrator(session):
                    return address
                return f"{address}/welcome/{accounts.new_link(session)}"
        finally:
            database.close()

    def wait(self) -> None:
        """Wait for the service to end."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int | None:
        """Stop the service with SIGTERM and return its exit code; None if it was not started."""
        if self._process is None:
            return None
        self._process.terminate()
        try:
            return self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def tail(self) -> str:
        """The last lines of the log, for an error message."""
        lines = self.log.read_text("utf-8", "replace").splitlines()[-5:]
        return "\n  ".join([f"the end of {self.log}:", *lines])


def listens(port: int) -> bool:
    """Whether a program of this machine listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
