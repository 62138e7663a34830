"""Runs a reader on damaged files, in a process with limited memory and CPU time per file."""

import os
import resource
import signal
import struct
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from damage.readers import Reader

#: The bytes of memory that a process may allocate: all for a confined codec, half for others.
_MEMORY = 1 << 30
_BATCH = 200

Inputs = Sequence[tuple[str, bytes]]


class _TimeOut(BaseException):
    """An input took too long."""


def _raise_time_out(_number: int, _frame: types.FrameType | None) -> None:
    raise _TimeOut


def attempt(reader: Reader, inputs: Inputs, folder: Path) -> list[str]:
    """The faults: errors that the reader must not raise, exceeded time or memory, crashes."""
    faults: list[str] = []
    at = 0
    while at < len(inputs):
        tried, batch_faults = _in_child(reader, inputs[at : at + _BATCH], folder)
        faults += batch_faults
        at += tried
    return faults


def _in_child(reader: Reader, inputs: Inputs, folder: Path) -> tuple[int, list[str]]:
    """The number of inputs that were tried, and the faults."""
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
        output = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    reports = list(_reports(output))
    faults = [text for _, text in reports if text]
    last = reports[-1][0] if reports else 0
    if status != 0 and not reader.confined:
        faults.append(f"{inputs[last][0]}: the process died of {status}")
    return last + 1, faults


def _reports(output: bytes) -> Iterator[tuple[int, str]]:
    at = 0
    while at < len(output):
        number, length = struct.unpack_from("<II", output, at)
        yield number, output[at + 8 : at + 8 + length].decode(errors="replace")
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
    signal.signal(signal.SIGPROF, _raise_time_out)


def _try(reader: Reader, data: bytes, path: Path) -> str:
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, reader.seconds)
    try:
        reader.read(path)
    except reader.errors:
        return ""
    except _TimeOut:
        return f"not finished in {reader.seconds} s of CPU time\n{traceback.format_exc()[-1500:]}"
    except BaseException:  # noqa: BLE001  the trial looks for any unexpected error
        return traceback.format_exc()[-1500:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return ""
