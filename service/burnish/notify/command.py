"""Craft: gives a message to a command of the site: as JSON on standard input, and in variables."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress

from burnish.errors import OperatorError
from burnish.notify.message import OutgoingMessage
from burnish.settings import NoticeReceiverSettings

#: The most characters of the text in a variable: the system takes no more than 128 KiB in one.
_LONGEST_TEXT = 30_000


def run(receiver: NoticeReceiverSettings, message: OutgoingMessage) -> None:
    """Run the command; exit code 0 says that it took the message. Raises OperatorError.

    No shell is involved. What it prints goes nowhere. After the time limit the command and what it
    has started in its process group are killed.
    """
    path = program(receiver)
    if path is None:
        raise OperatorError(f"there is no program {receiver.command[0]}", hint="check command")
    seconds = receiver.timeout.total_seconds()
    try:
        process = subprocess.Popen(
            [path, *receiver.command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(message),
            start_new_session=True,
        )
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}", hint="check command") from None
    try:
        process.communicate(json.dumps(message.as_json()).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill_group(process)
        raise OperatorError(
            f"{path} has not ended in {seconds:g} s", hint="make it faster, or raise its timeout"
        ) from None
    if process.returncode:
        raise OperatorError(
            f"{path} ended with exit code {process.returncode}",
            hint="run it by hand; `burnish notify test` gives it a message",
        )


def program(receiver: NoticeReceiverSettings) -> str | None:
    """The path of the program; None if there is none that this user may execute."""
    return shutil.which(receiver.command[0])


def _environment(message: OutgoingMessage) -> dict[str, str]:
    """The variables of the service without its settings, which may be passwords, and the message.

    Variables of a single item are empty in a message with several.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BURNISH_")}
    item = message.items[0] if len(message.items) == 1 else None
    variables = {
        "NOTICE_ID": message.id,
        "NOTICE_COUNT": str(len(message.items)),
        "NOTICE_SUBJECT": message.subject,
        "NOTICE_TEXT": message.text[:_LONGEST_TEXT],
        "NOTICE_CAUSE": str(item.cause) if item else "",
        "NOTICE_PHASE": str(item.phase) if item else "",
        "NOTICE_REQUEST": item.request if item else "",
        "NOTICE_DEVICE": item.device if item else "",
        "NOTICE_URL": (item.url if item else "") or message.url,
    }
    return kept | {name: value.replace("\0", " ") for name, value in variables.items()}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and what it has started in its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()
