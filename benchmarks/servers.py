"""The servers that are compared; each is started anew on a free port with empty storage.

python benchmarks/servers.py            # lists them, and whether each can run here
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from sender import Connection, PeerError, associate_rq
from workloads import CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN, cache_directory

_HERE = Path(__file__).resolve().parent
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 60.0
_TOUCHED_ANYWAY = 512 << 20


@dataclass(frozen=True, slots=True)
class Start:
    """Starts a server on a port, with a new directory for everything that it stores."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """One server in one configuration. A `plain` one receives lengths and bytes, not DICOM.

    `tls` speaks DICOM over TLS, and asks nobody for a certificate.
    """

    name: str
    what: str
    start: Callable[[int, Path], Start]
    program: str = ""
    plain: bool = False
    tls: bool = False

    def available(self) -> bool:
        return not self.program or shutil.which(self.program) is not None


# --- Burnish -------------------------------------------------------------------------------------


def burnish(
    durability: str = "os", receivers: int = 0, source: Path | None = None, **tables: Any
) -> Callable[[int, Path], Start]:
    """`burnish serve`; `source` is the directory of another version to compare with."""

    def start(port: int, directory: Path) -> Start:
        settings: dict[str, Any] = {
            "dicom": {
                "host": "127.0.0.1",
                "port": port,
                "receivers": receivers,
                "accept_unknown_peers": True,
                "maximum_associations": 2000,
                "maximum_unknown_associations": 2000,
            },
            "storage": {"root": str(directory / "storage"), "durability": durability},
            "content": {"pages": False},
            "request": {"wait_for_instances": "0s"},
            "log": {"level": "warning", "format": "json"},
        }
        for name, table in tables.items():
            whole = isinstance(table, list) or name not in settings
            settings[name] = table if whole else {**settings[name], **table}
        configuration = directory / "burnish.toml"
        configuration.write_text(_toml(settings), encoding="utf-8")
        environment = {"PYTHONPATH": str(source)} if source else {}
        return Start(
            [sys.executable, "-m", "burnish", "serve", "--config", str(configuration)], environment
        )

    return start


def burnish_tls(port: int, directory: Path) -> Start:
    """Like `burnish("os")`, over TLS only."""
    certificate, key = _certificate()
    tls = {"port": port, "only": True, "client_certificate": "optional"}
    tls |= {"certificate": str(certificate), "key": str(key)}
    return burnish("os", tls=tls)(port, directory)


def _certificate() -> tuple[Path, Path]:
    """A self-signed certificate and its key; made once."""
    certificate, key = (cache_directory() / f"tls.{kind}.pem" for kind in ("crt", "key"))
    if not certificate.exists():
        options = [
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=benchmark",
        ]
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(["openssl", "req", *options, *files], check=True, capture_output=True)
    return certificate, key


def _toml(tables: Mapping[str, object]) -> str:
    """TOML of tables, and lists of tables, of plain values."""
    lines = []
    for name, table in tables.items():
        several = table if isinstance(table, list) else [table]
        title = f"[[{name}]]" if isinstance(table, list) else f"[{name}]"
        for content in several:
            lines.append(title)
            lines += [f"{key} = {json.dumps(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"


# --- peers ---------------------------------------------------------------------------------------

#: DCMTK, which Orthanc also uses, turns Nagle's algorithm off only if this is set.
_NODELAY = {"TCP_NODELAY": "1"}


def storescp(*options: str, nodelay: bool = True) -> Callable[[int, Path], Start]:
    """DCMTK's storescp; `nodelay`, with its largest PDU, is its best case."""

    def start(port: int, directory: Path) -> Start:
        best = ("-pdu", "131072") if nodelay else ()
        return Start(
            ["storescp", *best, *options, "-od", str(directory), str(port)],
            _NODELAY if nodelay else {},
        )

    return start


def storescp_tls(port: int, directory: Path) -> Start:
    """Like `storescp("+B")`, over TLS."""
    certificate, key = _certificate()
    return storescp("+B", "+tls", str(key), str(certificate), "-ic")(port, directory)


def orthanc(*, nodelay: bool = True, **extra: object) -> Callable[[int, Path], Start]:
    """Orthanc with its SQLite index in the same directory."""

    def start(port: int, directory: Path) -> Start:
        configuration = directory / "orthanc.json"
        configuration.write_text(
            json.dumps(
                {
                    "Name": "benchmark",
                    "StorageDirectory": str(directory / "storage"),
                    "IndexDirectory": str(directory / "storage"),
                    "DicomAet": "BURNISH",
                    "DicomPort": port,
                    "HttpPort": free_port(),
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomAlwaysAllowStore": True,
                    "DicomCheckCalledAet": False,
                    "Plugins": [],
                    **extra,
                }
            )
        )
        return Start(["Orthanc", str(configuration)], _NODELAY if nodelay else {})

    return start


def pynetdicom_app(port: int, directory: Path) -> Start:
    """The storescp that comes with pynetdicom."""
    command = [sys.executable, "-m", "pynetdicom", "storescp"]
    return Start([*command, str(port), "-od", str(directory), "-q"])


def c_receiver(durability: str) -> Callable[[int, Path], Start]:
    """receiver.c, compiled once."""

    def start(port: int, directory: Path) -> Start:
        program = cache_directory() / "receiver"
        source = _HERE / "receiver.c"
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["gcc", "-O2", "-pthread", "-o", str(program), str(source)], check=True)
        return Start([str(program), str(port), str(directory), durability])

    return start


def python_receiver(what: str) -> Callable[[int, Path], Start]:
    """receiver.py, which does not parse either."""

    def start(port: int, directory: Path) -> Start:
        return Start([sys.executable, str(_HERE / "receiver.py"), str(port), str(directory), what])

    return start


KINDS = {
    kind.name: kind
    for kind in (
        Kind("burnish", "Burnish, durability os", burnish("os")),
        Kind("burnish-full", "Burnish, durability full", burnish("full")),
        Kind("burnish-1", "Burnish, durability os, one receiver", burnish("os", 1)),
        Kind("burnish-full-1", "Burnish, durability full, one receiver", burnish("full", 1)),
        Kind("burnish-tls", "Burnish, durability os, TLS", burnish_tls, tls=True),
        Kind("storescp-b", "DCMTK storescp +B", storescp("+B"), "storescp"),
        Kind("storescp-b-tls", "DCMTK storescp +B, TLS", storescp_tls, "storescp", tls=True),
        Kind(
            "storescp-b-fork",
            "DCMTK storescp +B --fork",
            storescp("+B", "--fork"),
            "storescp",
        ),
        Kind("storescp", "DCMTK storescp (parses)", storescp("--fork"), "storescp"),
        Kind("orthanc", "Orthanc", orthanc(), "Orthanc"),
        Kind(
            "orthanc-nosync",
            "Orthanc, SyncStorageArea=false",
            orthanc(SyncStorageArea=False),
            "Orthanc",
        ),
        Kind("pynetdicom", "pynetdicom storescp app", pynetdicom_app),
        Kind(
            "storescp-default",
            "DCMTK storescp out of the box",
            storescp(nodelay=False),
            "storescp",
        ),
        Kind("orthanc-default", "Orthanc out of the box", orthanc(nodelay=False), "Orthanc"),
        Kind("c", "receiver.c", c_receiver("os"), "gcc", plain=True),
        Kind("c-full", "receiver.c, syncfs", c_receiver("full"), "gcc", plain=True),
        Kind("c-log", "receiver.c, one segment", c_receiver("log"), "gcc", plain=True),
        Kind("python", "receiver.py", python_receiver("files"), plain=True),
        Kind("python-log", "receiver.py, one file", python_receiver("log"), plain=True),
        Kind("python-sync", "receiver.py, one segment", python_receiver("sync"), plain=True),
    )
}


# --- running one ---------------------------------------------------------------------------------


def free_port() -> int:
    """A free TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server: its port, its directory, its CPU time and memory."""

    def __init__(self, kind: Kind, port: int, directory: Path, process: psutil.Popen) -> None:
        self.kind = kind
        self.port = port
        self.directory = directory
        self.process = process

    def processes(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def cpu(self) -> float:
        """Seconds of CPU so far, of the process tree and of its children that have ended."""
        used = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                used += times.user + times.system + times.children_user + times.children_system
        return used

    def memory(self) -> int:
        """Bytes of memory of the process tree; shared pages count once (PSS)."""
        used = 0
        for process in self.processes():
            with contextlib.suppress(psutil.Error, FileNotFoundError):
                used += process.memory_full_info().pss
        return used

    @contextlib.contextmanager
    def watching_memory(self, every: float = 0.05) -> Iterator[Callable[[], int]]:
        """Samples the memory; the function returns the maximum so far."""
        done = threading.Event()
        highest = [self.memory()]

        def look() -> None:
            while not done.wait(every):
                highest[0] = max(highest[0], self.memory())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield lambda: highest[0]
        finally:
            done.set()
            thread.join()


def touch_memory(needed: int) -> None:
    """Use as much free memory as is needed, and some more, and give it back.

    A virtual machine may give free memory back to its host. To get it again takes several times as
    long as to clear it: the server that is measured first would pay for that, or the one whose
    start takes longest.
    """
    size = min(needed + _TOUCHED_ANYWAY, psutil.virtual_memory().available // 2)
    mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


@contextlib.contextmanager
def running(kind: Kind, storage: Path) -> Iterator[Server]:
    """A server with a new directory below `storage`, which is removed afterwards."""
    storage.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=storage))
    port = free_port()
    start = kind.start(port, directory)
    log = directory / "server.log"
    with log.open("wb") as output:
        process = psutil.Popen(
            list(start.arguments),
            env={**os.environ, **start.environment},
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = Server(kind, port, directory, process)
    try:
        _wait_until_ready(server, log)
        _settle(server)
        yield server
    finally:
        _stop(server)
        shutil.rmtree(directory, ignore_errors=True)
        os.sync()  # or the syncs of the next server would wait until these files are removed


def _wait_until_ready(server: Server, log: Path) -> None:
    request = associate_rq([(CT_IMAGE_STORAGE, [EXPLICIT_VR_LITTLE_ENDIAN])])
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if server.kind.plain:
                socket.create_connection(("127.0.0.1", server.port)).close()
            else:
                Connection.open(server.port, request, tls=server.kind.tls).release()
            return
        except (OSError, PeerError):
            time.sleep(0.05)
    raise RuntimeError(f"{server.kind.name} does not start:\n{log.read_text()[-2000:]}")


def _settle(server: Server) -> None:
    """Wait until all processes have started, or for ten seconds."""
    for _ in range(20):
        before = server.cpu()
        time.sleep(0.5)
        if server.cpu() - before < 0.05:
            return


def _stop(server: Server) -> None:
    tree = server.processes()
    with contextlib.suppress(psutil.NoSuchProcess):
        server.process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(tree, timeout=_STOP_TIMEOUT)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    server.process.wait()


def main() -> None:
    for kind in KINDS.values():
        print(f"{kind.name:20}{kind.what}{'' if kind.available() else '  (not installed)'}")


if __name__ == "__main__":
    main()
