"""Conversions that do what the file says, in the worker process: for tests of `plan.conversion`."""

import os
import shutil
from pathlib import Path

from burnish.errors import Unreadable
from burnish.transcode.frames import AttributesMissing, ValuesMissing
from burnish.transcode.lossless import NotCompressible, NotIdentical
from burnish.transcode.uncompressed import TranscodedFile


def convert(syntax: str, source: Path, target: Path, source_ae_title: str) -> TranscodedFile:  # noqa: ARG001
    order = source.read_bytes()
    if order == b"crash":
        os._exit(9)
    if order == b"crash once":
        source.write_bytes(b"unreadable")
        os._exit(9)
    if order == b"unreadable":
        raise Unreadable("no data set")
    if order == b"missing":
        raise AttributesMissing("no Rows", attributes=(0x00280010,))
    if order == b"empty":
        raise ValuesMissing("no Rows", attributes=(0x00280010, 0x00280011))
    if order == b"too large":
        raise NotCompressible("would not get smaller")
    if order == b"other":
        raise NotIdentical("other pixel values")
    if order == b"os":
        raise FileNotFoundError(2, "No such file or directory")
    if order == b"full":
        raise OSError(28, "No space left on device")
    if order == b"memory":
        raise MemoryError
    shutil.copyfile(source, target)
    return TranscodedFile(len(order), 0, b"\0" * 32)
