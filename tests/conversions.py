"""Conversions that do what the file says, in the worker process: for tests of `plan.conversion`."""

import os
import shutil
from pathlib import Path

from burnish.errors import Unreadable
from burnish.fileset.transcode import Transcoded


def convert(source: Path, target: Path, source_ae_title: str) -> Transcoded:  # noqa: ARG001
    order = source.read_bytes()
    if order == b"crash":
        os._exit(9)
    if order == b"crash once":
        source.write_bytes(b"unreadable")
        os._exit(9)
    if order == b"unreadable":
        raise Unreadable("no data set")
    if order == b"os":
        raise OSError(28, "No space left on device")
    if order == b"memory":
        raise MemoryError
    shutil.copyfile(source, target)
    return Transcoded(len(order), 0, b"\0" * 32)
