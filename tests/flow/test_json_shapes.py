"""`--json` of the command line and the answers of REST are the same, noun by noun."""

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

import pytest

from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until

#: What two looks at the same thing may differ in: time goes on, and the disk is shared.
_CHANGES = {"disk_used", "disk_free", "level", "text", "seconds", "seconds_left", "used_at"}
#: A command, and the address that answers the same.
CASES = {
    "request list": ("request list", "/requests?limit=100"),
    "a page of requests": ("request list --limit 1", "/requests?limit=1"),
    "requests with a status": ("request list --status DONE", "/requests?status=DONE&limit=100"),
    "request show": ("request show R000001", "/requests/R000001"),
    "instance list": ("instance list", "/instances?limit=100"),
    "a page of instances": ("instance list --limit 2", "/instances?limit=2"),
    "instance show": ("instance show {instance}", "/instances/{instance}"),
    "search": ("search BURNISH-TEST", "/search?q=BURNISH-TEST"),
    "arrivals": ("arrivals", "/arrivals?limit=20"),
    "archive list": ("archive list", "/archives"),
    "archive retrievals": ("archive retrievals", "/retrievals"),
    "media list": ("media list", "/register"),
    "media show": ("media show M000001", "/register/M000001"),
    "device list": ("device list", "/devices"),
    "device show": ("device show outbox", "/devices/outbox"),
    "peer list": ("peer list", "/peers"),
    "commitment list": ("commitment list", "/commitments"),
    "notify list": ("notify list", "/notices?limit=20"),
    "notify receivers": ("notify receivers", "/notices/receivers"),
    "spool show": ("spool show", "/spool"),
    "status": ("status", "/health"),
    "rates": ("rates", "/rates"),
    "token list": ("token list", "/tokens"),
    "user list": ("user list", "/users"),
    "config show": ("config show", "/configuration"),
}


@dataclass(frozen=True)
class Both:
    """One installation, asked by the command line and by REST."""

    service: Service
    address: str
    token: str
    instance: str

    def command(self, arguments: str) -> Any:
        done = self.service.run(*arguments.format(instance=self.instance).split(), "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def rest(self, path: str, method: str = "GET", body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        address = f"{self.address}/api/v1{path.format(instance=self.instance)}"
        request = Request(address, data, headers, method=method)  # noqa: S310
        with urlopen(request) as answer:  # noqa: S310
            return json.load(answer)


@pytest.fixture(scope="module")
def both(start_shared: Any) -> Both:
    start: StartBurnish = start_shared
    service = start(
        web={"enabled": True, "port": 0},
        peer=[
            {"ae_title": "PACS", "host": "127.0.0.1", "port": 9, "may": ["echo", "store"]},
            {"ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 9, "may": ["retrieve"]},
        ],
    )
    addresses: list[str] = []

    def is_told() -> bool:
        addresses.extend(re.findall(r'"address": ?"(http[^"]+)"', service.log.read_text()))
        return bool(addresses)

    wait_until(is_told, deadline=120, what="the address of the page")
    token = service.cli("token", "create", "program", "--role", "administrator")["token"]
    service.cli("user", "add", "anna")
    request = service.cli("device", "test", "outbox")["short_id"]
    done = service.run("request", "watch", request)
    assert done.returncode == 0, done.stderr
    service.cli("media", "note", "M000001", "--given-out-to", "Dr. Chen")
    (line,) = service.cli("instance", "list", "--limit", "1")["items"]
    return Both(service, addresses[0], token, line["sop_instance_uid"])


def _without_changes(value: Any) -> Any:
    """A value with the types of what may change in place of it."""
    if isinstance(value, dict):
        return {
            key: type(item).__name__ if key in _CHANGES else _without_changes(item)
            for key, item in value.items()
            if key != "supplies"
        }
    return [_without_changes(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", CASES)
def test_command_line_and_rest_answer_the_same(both: Both, name: str) -> None:
    command, path = CASES[name]
    assert _without_changes(both.command(command)) == _without_changes(both.rest(path))


def _keys(value: Any) -> Any:
    """The fields of a value, of those within it too."""
    if isinstance(value, dict):
        return {key: _keys(item) for key, item in value.items() if key != "supplies"}
    return [_keys(item) for item in value[:1]] if isinstance(value, list) else ""


def test_actions_answer_the_same(both: Both) -> None:
    # while the device is paused, no request ends
    pairs: tuple[tuple[str, str, Any], ...] = (
        ("device pause outbox", "/devices/outbox/pause", {}),
        ("request repeat R000001", "/requests/R000001/repeat", None),
        ("request hold R000002", "/requests/R000003/hold", None),
        ("request release R000002", "/requests/R000003/release", None),
        ("request cancel R000002", "/requests/R000003/cancel", None),
        ("device resume outbox", "/devices/outbox/resume", None),
        (
            "media note M000001 --remark seen",
            "/register/M000001/notes",
            {"kind": "remark", "text": "seen"},
        ),
        ("peer echo PACS", "/peers/PACS/echo", None),
        (
            "archive retrieve --study 1.2.3 --no-wait",
            "/retrievals",
            {"archive": "ARCHIVE", "studies": ["1.2.3"]},
        ),
        ("token create first --role desk", "/tokens", {"name": "second", "role": "desk"}),
        ("user add berta", "/users", {"name": "carla"}),
    )
    for command, path, body in pairs:
        assert _keys(both.command(command)) == _keys(both.rest(path, "POST", body)), command


def test_watching_prints_the_events_of_the_stream(both: Both) -> None:
    done = both.service.run("request", "watch", "R000001", "--json")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    headers = {"Authorization": f"Bearer {both.token}", "Last-Event-ID": "0"}
    streamed = []
    request = Request(f"{both.address}/api/v1/events", headers=headers)  # noqa: S310
    with urlopen(request) as stream:  # noqa: S310
        for line in stream:
            if line.startswith(b"data: "):
                event = json.loads(line.removeprefix(b"data: "))
                if event["request"] == "R000001":
                    streamed.append(event)
            if len(streamed) == len(events):
                break
    assert streamed == events
    assert events[-1]["execution_status"] == "DONE"
