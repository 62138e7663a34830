"""Conversions that do, in the worker process, what the content of their source file says."""

import os
import shutil
from pathlib import Path

from burnish.errors import Unreadable
from burnish.file_slice import Slice
from burnish.transcode.frames import AttributesMissing, ValuesMissing
from burnish.transcode.lossless import NotCompressible, NotIdentical
from burnish.transcode.uncompressed import TranscodedFile


def convert(syntax: str, source: Slice, target: Path, source_ae_title: str) -> TranscodedFile:  # noqa: ARG001
    outcome = b"".join(source.pieces())
    if outcome == b"crash":
        os._exit(9)
    if outcome == b"crash once":
        Path(source.path).write_bytes(b"unreadable")
        os._exit(9)
    if outcome == b"unreadable":
        raise Unreadable("no data set")
    if outcome == b"missing":
        raise AttributesMissing("no Rows", attributes=(0x00280010,))
    if outcome == b"empty":
        raise ValuesMissing("no Rows", attributes=(0x00280010, 0x00280011))
    if outcome == b"too large":
        raise NotCompressible("would not get smaller")
    if outcome == b"other":
        raise NotIdentical("other pixel values")
    if outcome == b"os":
        raise FileNotFoundError(2, "No such file or directory")
    if outcome == b"full":
        raise OSError(28, "No space left on device")
    if outcome == b"memory":
        raise MemoryError
    shutil.copyfile(source.path, target)
    return TranscodedFile(len(outcome), 0, b"\0" * 32)
