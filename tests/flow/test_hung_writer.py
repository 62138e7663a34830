"""A writer or scheduler that no longer runs on is told wherever people and monitors look."""

import json
import os
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from burnish.cli.exits import NOT_WELL
from factories import instance
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_monitoring import storing
from flow.test_notices import headlines
from message_receivers import SECRET, WebReceiver, web_receiver
from ports import free_port
from waiting import wait_until

SCHEDULER_REASON = "the scheduler gives no sign of life: no request is admitted or planned"
REASON = "the writer of device outbox gives no sign of life"


@pytest.fixture
def told() -> Iterator[WebReceiver]:
    with web_receiver() as told:
        yield told


def writer(service: Service) -> psutil.Process:
    """The process that makes pieces: the second that the supervisor starts."""
    return service.roles()[1]


@contextmanager
def stopped(process: psutil.Process) -> Iterator[None]:
    """The process does not run on, as if it were stuck in a call of the system."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


def device(service: Service) -> dict[str, object]:
    (view,) = service.cli("device", "list")["items"]
    return dict(view)


def expect_silent_scheduler_told(service: Service, answer: Callable[[str], str]) -> None:
    """The scheduler is the first process that the supervisor starts."""
    status = " ".join(service.run("status").stdout.split())
    assert "scheduler runs" in status
    assert json.loads(answer("/readyz"))["checks"]["scheduler"] == "ok"
    assert "burnish_scheduler_silent 0.0" in answer("/metrics")
    assert "scheduler gives no sign" not in answer("/")
    with stopped(service.roles()[0]):
        silent = "burnish_scheduler_silent 1.0"
        wait_until(lambda: silent in answer("/metrics"), what="the measure")
        told = service.run("status")
        text = " ".join(told.stdout.split())
        assert told.returncode == NOT_WELL
        assert SCHEDULER_REASON in text
        assert "then restart `burnish serve`, or its role scheduler" in text
        ready = json.loads(answer("/readyz"))
        assert ready["ready"] is True
        assert SCHEDULER_REASON in ready["checks"]["scheduler"]
        findings = json.loads(answer("/api/v1/health"))["findings"]
        levels = {finding["part"]: finding["level"] for finding in findings}
        assert levels["scheduler"] == "not well"
        assert SCHEDULER_REASON in answer("/")
    wait_until(lambda: "burnish_scheduler_silent 0.0" in answer("/metrics"), what="its return")


def test_a_writer_that_is_stopped_is_told_until_it_goes_on(
    start_burnish: StartBurnish, tmp_path: Path, told: WebReceiver
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    port = free_port()
    hook = {"name": "hook", "kind": "webhook", "url": told.url, "secret_file": str(secret)}
    service = start_burnish(
        web={"enabled": True, "port": port},
        notify={"after": "0s", "silent_after": "3s", "receiver": [hook]},
    )
    token = service.run("token", "create", "monitor", "--role", "viewer").stdout.split()[-1]

    def answer(path: str) -> str:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
            return str(response.read().decode())

    wait_until(lambda: "burnish_device_works" in answer("/metrics"), what="the web process")
    assert service.run("status").returncode == 0
    with stopped(writer(service)):
        sample = instance()
        with storing(service.port) as store:
            assert store(sample) == 0
        service.cli(
            "request", "create", "--instance", sample.sop_instance_uid, "--initiate", json=False
        )
        wait_until(lambda: device(service)["reason"] == REASON, what="the reason at the device")
        view = device(service)
        assert view["state"] == "held up"
        assert "see that device outbox and its disk answer" in str(view["remedy"])
        status = service.run("status")
        assert status.returncode != 0
        assert REASON in " ".join(status.stdout.split())
        (shown,) = json.loads(answer("/api/v1/devices"))["items"]
        assert shown["reason"] == REASON
        assert "gives no sign of life" in answer("/")
        assert 'burnish_device_silent{device="outbox"} 1.0' in answer("/metrics")
        assert 'burnish_device_works{device="outbox"} 0.0' in answer("/metrics")
        wait_until(lambda: headlines(told) == ["Device outbox does not work"], what="a notice")
        assert any("writer silent" in line and REASON in line for line in service.lines())
        # receiving and planning go on
        with storing(service.port) as store:
            assert store(instance()) == 0
    wait_until(lambda: device(service)["state"] in ("ready", "working"), what="the end of it")
    wait_until(lambda: headlines(told)[-1] == "Device outbox works again", what="its notice")
    assert any("writer heard again" in line for line in service.lines())

    def is_done() -> bool:
        (request,) = service.cli("request", "list")["items"]
        return bool(request["execution_status"] == "DONE")

    wait_until(is_done, what="the request that waited")
    assert 'burnish_device_silent{device="outbox"} 0.0' in answer("/metrics")
    expect_silent_scheduler_told(service, answer)
