"""Archives of others: Orthanc, and dcmqrscp of DCMTK."""

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flow import clients
from ports import free_port
from waiting import wait_until

HOST = "127.0.0.1"


class Orthanc:
    """An Orthanc in `directory` that knows one modality: BURNISH at `burnish_port`."""

    ae_title = "ORTHANC"

    def __init__(self, directory: Path, port: int, burnish_port: int) -> None:
        self.port = port
        self._http = free_port()
        directory.mkdir()
        configuration = {
            "Name": "tests",
            "StorageDirectory": str(directory / "storage"),
            "IndexDirectory": str(directory / "index"),
            "Plugins": [],
            "HttpPort": self._http,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAet": self.ae_title,
            "DicomPort": port,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowMove": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowGet": True,
            "DicomScuTimeout": 300,
            "DicomScpTimeout": 300,
            "DicomModalities": {
                "burnish": {"AET": "BURNISH", "Host": HOST, "Port": burnish_port},
                "retitled": {"AET": "BURN_QR", "Host": HOST, "Port": burnish_port},
            },
        }
        path = directory / "orthanc.json"
        path.write_text(json.dumps(configuration), encoding="utf-8")
        with (directory / "orthanc.log").open("wb") as log:
            self._process = subprocess.Popen(
                [clients.program("Orthanc"), str(path)], stdout=log, stderr=log
            )
        wait_until(self._answers, what="an Orthanc that answers")

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Orthanc ended"
        try:
            return bool(self.get("/system"))
        except OSError:
            return False

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{HOST}:{self._http}{path}", timeout=120) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes) -> Any:
        request = urllib.request.Request(f"http://{HOST}:{self._http}{path}", data=body)
        with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
            return json.load(answer)

    def store(self, paths: Iterable[Path]) -> list[str]:
        """Stores instances; their identifiers in Orthanc."""
        return [str(self.post("/instances", path.read_bytes())["ID"]) for path in paths]

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(300)


class Dcmqrscp:
    """A dcmqrscp in `directory` with the instances of `paths`; it knows BURNISH."""

    ae_title = "DCMQRSCP"

    def __init__(
        self, directory: Path, port: int, burnish_port: int, paths: Sequence[Path]
    ) -> None:
        self.port = port
        self.storage = storage = directory / "storage"
        storage.mkdir(parents=True)
        path = directory / "dcmqrscp.cfg"
        path.write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 8\n"
            f"HostTable BEGIN\nburnish = (BURNISH, {HOST}, {burnish_port})\nHostTable END\n"
            "VendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\n{self.ae_title} {storage} RW (200, 1024mb) ANY\nAETable END\n",
            encoding="ascii",
        )
        log = (directory / "dcmqrscp.log").open("wb")
        with log:
            self._process = subprocess.Popen(
                [clients.program("dcmqrscp"), "-c", str(path)], stdout=log, stderr=log
            )
        wait_until(self._listens, what="a dcmqrscp that listens")
        sent = clients.dcmsend(port, *paths, called=self.ae_title)
        assert sent.exit_code == 0

    def _listens(self) -> bool:
        assert self._process.poll() is None, "dcmqrscp ended"
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(300)
