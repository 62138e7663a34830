"""The whole service tells a web server and a command, while it is killed and restarted."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flow.conftest import StartBurnish
from flow.service import Service
from message_receivers import SECRET, WebReceiver, web_receiver
from ports import free_port
from waiting import wait_until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "notices.md"
GONE, BACK = "Device stick does not work", "Device stick works again"
#: Appends the subject to the file of its first argument. While the file of its second argument has
#: a word, it kills the scheduler, its parent: "before" it has taken the message, or "after".
COMMAND = """\
import json, os, signal, sys, time
taken, moment = sys.argv[1:]
message = json.load(sys.stdin)
when = open(moment).read()
def kill():
    open(moment, "w").close()
    os.kill(os.getppid(), signal.SIGKILL)
if when == "before":
    kill()
    sys.exit()
with open(taken, "a") as file:
    file.write(json.dumps([message["id"], [n["headline"] for n in message["notices"]]]) + "\\n")
if when == "after":
    kill()
"""


@pytest.fixture
def told() -> Iterator[WebReceiver]:
    with web_receiver() as told:
        yield told


def headlines(told: WebReceiver) -> list[str]:
    return [notice["headline"] for message in told.messages for notice in message["notices"]]


def tables(tmp_path: Path, told: WebReceiver, folder: Path) -> dict[str, Any]:
    """The configuration of a service with a device that a test takes away."""
    secret, program = tmp_path / "secret", tmp_path / "command.py"
    secret.write_text(SECRET)
    program.write_text(COMMAND)
    (tmp_path / "moment").write_text("")
    command = [sys.executable, str(program), str(tmp_path / "taken"), str(tmp_path / "moment")]
    hook = {"name": "hook", "kind": "webhook", "url": told.url, "secret_file": str(secret)}
    pager = {"name": "pager", "kind": "command", "command": command, "timeout": "20s"}
    return {
        "device": [
            {"name": "outbox"},
            {"name": "stick", "kind": "mounted", "directory": str(folder)},
        ],
        "notify": {"after": "0s", "retry_after": "1s", "receiver": [hook, pager]},
    }


def taken(tmp_path: Path) -> list[tuple[str, list[str]]]:
    """The ids and headlines that the command has taken."""
    path = tmp_path / "taken"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(json.loads(line)) for line in lines]


def ids_with(told: WebReceiver, headline: str) -> set[str]:
    """The ids of the messages that have a notice with this headline."""
    return {
        message["id"]
        for message in told.messages
        if headline in [notice["headline"] for notice in message["notices"]]
    }


def scheduler(service: Service) -> psutil.Process:
    return service.roles()[0]


def test_a_device_that_vanishes_and_comes_back_is_told_once_each_whatever_is_killed(
    start_burnish: StartBurnish,
    tmp_path: Path,
    told: WebReceiver,
) -> None:
    folder = tmp_path / "stick"
    folder.mkdir()
    service = start_burnish(**tables(tmp_path, told, folder))
    away = folder.rename(tmp_path / "away")
    wait_until(lambda: headlines(told) == [GONE], what="the message that the device is gone")
    wait_until(lambda: len(taken(tmp_path)) == 1, what="the command")

    service.restart()  # what is told stays told
    (tmp_path / "moment").write_text("after")
    killed = scheduler(service)
    away.rename(folder)
    wait_until(lambda: GONE in headlines(told) and BACK in headlines(told), what="its end")
    wait_until(lambda: not killed.is_running(), what="the command that kills the scheduler")
    wait_until(lambda: len(taken(tmp_path)) == 3, what="the same message to the command again")
    first, second, again = taken(tmp_path)
    assert first[1] == [GONE]
    assert second[1] == [BACK]
    assert again == second  # with the same id: the kill was after it was taken

    (tmp_path / "moment").write_text("before")
    folder.rename(away)
    wait_until(lambda: len(taken(tmp_path)) == 4, what="the message that no kill has lost")
    assert taken(tmp_path)[3][1] == [GONE]
    # by id: a message may come once more for each kill
    wait_until(lambda: len(ids_with(told, GONE)) == 2, what="the second time")
    ids = [message["id"] for message in told.messages]
    sent = {message["id"]: message for message in told.messages}
    assert [sorted(n["headline"] for n in message["notices"]) for message in sent.values()] == [
        [GONE],
        [BACK],
        [GONE],
    ]
    assert len(ids) - len(sent) <= 2  # at most once more for each kill
    listed = service.cli("notify", "list")["items"]
    assert [(notice["cause"], notice["device"]) for notice in listed] == [("device", "stick")] * 2
    assert [notice["ended_at"] is None for notice in listed] == [True, False]
    defects = [line for line in service.defects() if "a process ended by itself" not in line]
    assert defects == []


def test_the_example_of_the_documentation_checks_the_signature(
    tmp_path: Path, start_burnish: StartBurnish
) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    secret, port = tmp_path / "secret", free_port()
    secret.write_text(SECRET)
    program = tmp_path / "receiver.py"
    program.write_text(source)
    receiver = {
        "name": "example",
        "kind": "webhook",
        "url": f"http://127.0.0.1:{port}/",
        "secret_file": str(secret),
    }
    service = start_burnish(notify={"receiver": [receiver]})
    with subprocess.Popen(
        [sys.executable, str(program), str(secret), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as example:
        try:
            done = wait_until(
                lambda: (run := service.run("notify", "test", "example")).returncode == 0 and run
            )
            assert "example has taken message" in done.stdout
            assert example.stdout is not None
            assert example.stdout.readline() == "[Burnish BURNISH] Test message\n"
            secret.write_text("whsec_" + "A" * 44)
            refused = service.run("notify", "test")
            assert refused.returncode == 10
            assert "answers 401" in refused.stderr
        finally:
            example.send_signal(signal.SIGTERM)
