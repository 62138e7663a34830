"""The well-behaved client: stores instances and asks for media, and tells how long that took."""

import struct
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import material
import oracles
from factories import CT
from flow import clients
from raw_dicom import EXPLICIT, Raw

AE_TITLE = "FRIEND"
#: Seconds from one media request to the next.
_BETWEEN_MEDIA = 15.0
_MEDIA_WITHIN = 600.0


@dataclass
class Told:
    """What the client has seen: when each thing began (monotonic clock), and how long it took."""

    stores: list[tuple[float, float]] = field(default_factory=list)
    media: list[tuple[float, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def run(
    port: int, stopping: Event, rounds: "Synchronized[int]", result: "Connection[Told, Any]"
) -> None:
    """Stores and asks until told to stop, in a process of its own; sends what it saw.

    `rounds` is how often it has begun to.
    """
    told = Told()
    data = oracles.data_set_bytes(material.real_studies().file("CT_small.dcm"))[1]
    last = -_BETWEEN_MEDIA
    while True:
        rounds.value += 1
        uids = [str(generate_uid()) for _ in range(3)]
        try:
            told.stores += [_store(port, data, uid) for uid in uids]
            if time.monotonic() - last > _BETWEEN_MEDIA:
                last = time.monotonic()
                told.media.append(_media(port, uids))
        except (OSError, AssertionError, pytest.fail.Exception) as error:
            told.faults.append(f"{type(error).__name__}: {error}")
        if stopping.wait(0.05):
            break
    result.send(told)


def _store(port: int, data: bytes, uid: str) -> tuple[float, float]:
    started = time.monotonic()
    with Raw(port, [(CT, [EXPLICIT])], calling=AE_TITLE.encode().ljust(16)) as raw:
        status = raw.store(CT, uid, _named(data, uid), fragment=16000)
        assert status == (0, ""), status
        raw.release()
    return started, time.monotonic() - started


def _media(port: int, uids: list[str]) -> tuple[float, float]:
    """From N-CREATE until the media are made."""
    started = time.monotonic()
    references = Dataset()
    references.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CT, uid
        references.ReferencedSOPSequence.append(item)
    with clients.MediaCreation(port, calling=AE_TITLE) as asking:
        status, _ = asking.create(references)
        assert status == 0, status
        request = asking.sop_instance_uid
        assert asking.initiate(request)[0] == 0
    pause = threading.Event()
    while True:
        with clients.MediaCreation(port, calling=AE_TITLE) as asking:
            status, found = asking.get(request)
        assert status == 0, status
        if found.ExecutionStatus == "DONE":
            return started, time.monotonic() - started
        assert found.ExecutionStatus != "FAILURE", found.ExecutionStatusInfo
        assert time.monotonic() - started < _MEDIA_WITHIN, "the media are not made"
        pause.wait(0.5)


def _named(data: bytes, uid: str) -> bytes:
    """The image under another SOP Instance UID."""
    old = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322\0"
    new = uid.encode() + b"\0" * (len(uid) % 2)
    header = b"\x08\x00\x18\x00UI"
    before = header + struct.pack("<H", len(old)) + old
    assert before in data
    return data.replace(before, header + struct.pack("<H", len(new)) + new)
