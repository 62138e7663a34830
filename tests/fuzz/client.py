"""The well-behaved client: stores instances, requests media, and measures the time of both."""

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
#: Seconds from one media request to the next, and until its media must be created.
_MEDIA_INTERVAL = 15.0
_MEDIA_DEADLINE = 600.0


@dataclass
class Observations:
    """The start (monotonic clock) and duration of each operation in seconds, and all faults."""

    stores: list[tuple[float, float]] = field(default_factory=list)
    media: list[tuple[float, float]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def run(
    port: int, stopping: Event, rounds: "Synchronized[int]", result: "Connection[Observations, Any]"
) -> None:
    """Stores and requests until `stopping`, in its own process; sends its observations.

    `rounds` counts how many rounds it has started.
    """
    observed = Observations()
    data = oracles.data_set_bytes(material.real_studies().file("CT_small.dcm"))[1]
    last_request = -_MEDIA_INTERVAL
    while True:
        rounds.value += 1
        uids = [str(generate_uid()) for _ in range(3)]
        try:
            observed.stores += [_store(port, data, uid) for uid in uids]
            if time.monotonic() - last_request > _MEDIA_INTERVAL:
                last_request = time.monotonic()
                observed.media.append(_media(port, uids))
        except (OSError, AssertionError, pytest.fail.Exception) as error:
            observed.faults.append(f"{type(error).__name__}: {error}")
        if stopping.wait(0.05):
            break
    result.send(observed)


def _store(port: int, data: bytes, uid: str) -> tuple[float, float]:
    started = time.monotonic()
    with Raw(port, [(CT, [EXPLICIT])], calling=AE_TITLE.encode().ljust(16)) as raw:
        status = raw.store(CT, uid, _with_uid(data, uid), fragment=16000)
        assert status == (0, ""), status
        raw.release()
    return started, time.monotonic() - started


def _media(port: int, uids: list[str]) -> tuple[float, float]:
    """Requests media and waits until they are created."""
    started = time.monotonic()
    references = Dataset()
    references.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = uid
        references.ReferencedSOPSequence.append(item)
    with clients.MediaCreation(port, calling=AE_TITLE) as scu:
        status, _ = scu.create(references)
        assert status == 0, status
        request = scu.sop_instance_uid
        assert scu.initiate(request)[0] == 0
    pause = threading.Event()
    while True:
        with clients.MediaCreation(port, calling=AE_TITLE) as scu:
            status, attributes = scu.get(request)
        assert status == 0, status
        if attributes.ExecutionStatus == "DONE":
            return started, time.monotonic() - started
        assert attributes.ExecutionStatus != "FAILURE", attributes.ExecutionStatusInfo
        assert time.monotonic() - started < _MEDIA_DEADLINE, "the media are created in time"
        pause.wait(0.5)


def _with_uid(data: bytes, uid: str) -> bytes:
    """The image with another SOP Instance UID."""
    old = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322\0"
    new = uid.encode() + b"\0" * (len(uid) % 2)
    header = b"\x08\x00\x18\x00UI"
    before = header + struct.pack("<H", len(old)) + old
    assert before in data
    return data.replace(before, header + struct.pack("<H", len(new)) + new)
