"""A PostgreSQL server of the tests: its own data directory, one Unix socket, no TCP port."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

#: The user who runs the server if the tests run as root, as which PostgreSQL refuses to run.
_SYSTEM_USER = "postgres"
_PROGRAMS = Path("/usr/lib/postgresql")
#: The server is lost with the tests, so it need not survive a power failure.
_SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=200")


class PostgreSQL:
    """A running server, whose databases are made by `create_database`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._data = directory / "data"
        self._run("initdb", "--auth=trust", f"--username={_SYSTEM_USER}", "--encoding=UTF8", "-N")
        self.start()

    def start(self) -> None:
        """Starts the server, and waits until it accepts connections."""
        options = " ".join(f"-c {setting}" for setting in _SETTINGS)
        self._run(
            "pg_ctl",
            "start",
            "--wait",
            f"--options={options} -k {self._directory}",
            f"--log={self._directory / 'log'}",
        )

    def stop(self) -> None:
        """Ends the server and all its connections."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def create_database(self) -> str:
        """Creates an empty database, and returns its URL for `database.url`."""
        name = f"burnish_{uuid4().hex}"
        self.run_sql(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{_SYSTEM_USER}@/{name}?host={self._directory}"

    def copy_database(self, url: str) -> str:
        """Saves a database with pg_dump, and restores it as another one; the URL of that."""
        copy = self.create_database()
        file = self._directory / "dump"
        connection = (f"--host={self._directory}", f"--username={_SYSTEM_USER}")
        self._output("pg_dump", *connection, "--format=custom", f"--file={file}", _name(url))
        self._output("pg_restore", *connection, f"--dbname={_name(copy)}", str(file))
        return copy

    def run_sql(self, statement: str, database: str = "postgres") -> str:
        """Runs a statement by psql, and returns what it prints, without headings."""
        options = ("--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
        connection = (f"--host={self._directory}", f"--username={_SYSTEM_USER}", database)
        return self._output("psql", *options, f"--command={statement}", *connection)

    def _run(self, program: str, *arguments: str) -> None:
        self._output(program, *arguments, f"--pgdata={self._data}")

    def _output(self, program: str, *arguments: str) -> str:
        # pg_ctl leaves the server its standard output: with a pipe, `run` would wait for it
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [_path(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                user=_SYSTEM_USER if os.geteuid() == 0 else None,
                check=False,
            )
            output.seek(0)
            text = output.read()
        if done.returncode != 0:
            pytest.fail(f"{program} ended with {done.returncode}\n{text}")
        return text.strip()


@contextmanager
def running() -> Iterator[PostgreSQL]:
    """A server that runs in this context."""
    # not a directory of pytest, which another user may not enter
    directory = Path(tempfile.mkdtemp(prefix="burnish-postgresql-"))
    if os.geteuid() == 0:
        shutil.chown(directory, _SYSTEM_USER)
    server = None
    try:
        server = PostgreSQL(directory)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(directory)


def _name(url: str) -> str:
    """The name of the database of a URL."""
    return url.partition("@/")[2].partition("?")[0]


def _path(program: str) -> str:
    """The path of a program of the newest PostgreSQL; fails the test if there is none."""
    path = shutil.which(program, path=str(_newest_programs())) or shutil.which(program)
    if path is None:
        pytest.fail(f"{program} is not installed: run tests/install")
    return path


def _newest_programs() -> Path:
    versions = [path for path in _PROGRAMS.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: float(path.parent.name), default=_PROGRAMS)
