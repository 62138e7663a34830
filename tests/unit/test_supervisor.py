"""The supervisor reports its state to systemd, and stops its children."""

import os
import re
import signal
import socket
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from burnish import supervisor
from burnish.settings import DeviceSettings, DicomSettings, Settings, StorageSettings
from waiting import wait_until


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@burnish-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name[1:] if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        supervisor.notify_systemd("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setattr(socket, "socket", None)
    supervisor.notify_systemd("READY=1")


def test_a_writer_that_burns_is_not_killed_when_the_service_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends by itself; a child that could be killed without loss is, once its time is up."""
    monkeypatch.setattr(supervisor, "_STOP_MARGIN", 0.0)
    monkeypatch.setattr(supervisor, "_CHECK", 0.01)
    storage = StorageSettings(root=tmp_path)
    dicom = DicomSettings(drain_timeout=timedelta(seconds=0.1))
    service = supervisor.Supervisor(Settings(storage=storage, dicom=dicom))
    ready, finish, result = (tmp_path / name for name in ("ready", "finish", "result"))

    def burn() -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        ready.write_text("ready")
        while not finish.exists():
            time.sleep(0.01)
        result.write_text("burnt")

    def hang() -> None:
        signal.signal(signal.SIGTERM, lambda *_: None)
        ready.with_suffix(".hang").write_text("ready")
        while True:
            time.sleep(10)

    writer = supervisor._Child("writer drive", burn, burns=True)
    hanging = supervisor._Child("scheduler", hang)
    for child in (writer, hanging):
        service._start(child)
    wait_until(lambda: ready.exists() and ready.with_suffix(".hang").exists())

    def is_killed() -> bool:
        assert hanging.process
        return hanging.process.exitcode == -signal.SIGKILL

    stopping = threading.Thread(target=service._stop, args=([writer, hanging],))
    stopping.start()
    wait_until(is_killed)
    finish.write_text("now")
    stopping.join()
    assert writer.process
    assert writer.process.exitcode == 0
    assert result.read_text() == "burnt"


def test_only_writers_whose_discs_would_be_ruined_are_waited_for(tmp_path: Path) -> None:
    kinds = {
        "folder": DeviceSettings(name="folder"),
        "mounted": DeviceSettings(name="mounted", kind="mounted", directory=tmp_path),
        "optical": DeviceSettings(name="optical", kind="optical", drive="/dev/sr0"),
    }
    settings = Settings(storage=StorageSettings(root=tmp_path), device=tuple(kinds.values()))
    children = supervisor.Supervisor(settings)._children(())
    assert [child.name for child in children if child.burns] == ["writer optical"]


def test_systemd_and_compose_wait_longer_than_the_service_needs_to_stop() -> None:
    top = Path(__file__).parents[2]
    drain = DicomSettings().drain_timeout.total_seconds() + supervisor._STOP_MARGIN
    longest = supervisor._LONGEST_PIECE + drain
    unit = (top / "systemd" / "burnish.service").read_text()
    compose = (top / "docker" / "compose.yaml").read_text()
    for text, pattern in (
        (unit, r"^TimeoutStopSec=(\d+)s$"),
        (compose, r"stop_grace_period: (\d+)s$"),
    ):
        match = re.search(pattern, text, re.MULTILINE)
        assert match
        assert int(match[1]) > longest
    pages = unit + compose + (top / "docs" / "devices.md").read_text()
    assert pages.count(f"{supervisor._LONGEST_PIECE / 3600:.0f} hours") == 3
    assert pages.count(f"{drain:.0f} s") == 3
