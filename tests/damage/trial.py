"""Gives damaged files to a reader, in a process with little memory, each with little time."""

import os
import resource
import signal
import struct
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from damage.readers import Reader

#: What a process may take beyond what it has, in bytes: of that a codec gets all, a reader half.
_MEMORY = 1 << 30
_BATCH = 200

Inputs = Sequence[tuple[str, bytes]]


class _Late(BaseException):
    """An input took too long."""


def _late(_number: int, _frame: types.FrameType | None) -> None:
    raise _Late


def attempt(reader: Reader, inputs: Inputs, folder: Path) -> list[str]:
    """What went wrong: an error that is none of the reader's, too much time or memory, a crash."""
    faults: list[str] = []
    at = 0
    while at < len(inputs):
        done, said = _in_child(reader, inputs[at : at + _BATCH], folder)
        faults += said
        at += done
    return faults


def _in_child(reader: Reader, inputs: Inputs, folder: Path) -> tuple[int, list[str]]:
    """How many were tried, and what went wrong."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        try:
            _confine(reader)
            for number, (name, data) in enumerate(inputs):
                os.write(sender, struct.pack("<II", number, 0))
                fault = _try(reader, data, folder / "input")
                if fault:
                    text = f"{name}: {fault}".encode()[:3000]
                    os.write(sender, struct.pack("<II", number, len(text)) + text)
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    reports = list(_reports(said))
    faults = [text for _, text in reports if text]
    last = reports[-1][0] if reports else 0
    if status != 0 and not reader.confined:
        faults.append(f"{inputs[last][0]}: the process died of {status}")
    return last + 1, faults


def _reports(said: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(said):
        number, length = struct.unpack_from("<II", said, at)
        yield number, said[at + 8 : at + 8 + length].decode(errors="replace")
        at += 8 + length


def _confine(reader: Reader) -> None:
    import logging
    import warnings

    logging.disable()
    warnings.simplefilter("ignore")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    with open("/proc/self/statm") as file:
        data = int(file.read().split()[5]) * resource.getpagesize()
    limit = data + (_MEMORY if reader.confined else _MEMORY // 2)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _late)


def _try(reader: Reader, data: bytes, path: Path) -> str:
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, reader.seconds)
    try:
        reader.read(path)
    except reader.errors:
        return ""
    except _Late:
        return f"not done in {reader.seconds} s of a processor\n{traceback.format_exc()[-1500:]}"
    except BaseException:  # noqa: BLE001  that is what is looked for
        return traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""
