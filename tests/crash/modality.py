"""A client that remembers what it was told, whatever becomes of the service."""

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from factories import CT, instance
from flow import clients
from flow.clients import MediaCreation
from raw_dicom import EXPLICIT, Raw

T = TypeVar("T")
#: What becomes of a client whose service dies.
GONE = (OSError, AssertionError, RuntimeError, pytest.fail.Exception)


class Modality:
    """Stores made images and asks for media of them. What was acknowledged is in the attributes:
    `stored` UID → data set, `asked` UID of a request → its number of copies, `cancelled` UIDs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.stored: dict[str, bytes] = {}
        self.asked: dict[str, int] = {}
        self.cancelled: set[str] = set()
        self.refused = 0
        self._lock = threading.Lock()

    def store(
        self, count: int, *, size: int = 20_000, study: str = "", called: str = ""
    ) -> list[str]:
        """Stores so many images of one new study; the UIDs of those that were acknowledged."""
        study = study or str(generate_uid())
        series = str(generate_uid(entropy_srcs=[study]))
        done = []
        with Raw(
            self.port, [(CT, [EXPLICIT])], called=(called or "BURNISH").encode().ljust(16)
        ) as raw:
            for number in range(count):
                sample = instance(
                    patient_id=study[-12:],
                    study=study,
                    series=series,
                    instance_number=number,
                    size=size,
                )
                status, _ = raw.store(CT, sample.sop_instance_uid, sample.data_set, fragment=16_000)
                if status == 0:
                    done.append(sample.sop_instance_uid)
                    with self._lock:
                        self.stored[sample.sop_instance_uid] = sample.data_set
                else:
                    self.refused += 1
            raw.release()
        return done

    def ask(self, uids: Sequence[str], copies: int = 1, *, then_cancel: bool = False) -> str:
        """Creates and initiates a request; its UID."""
        references = []
        for uid in uids:
            item = Dataset()
            item.SOPClassUID, item.SOPInstanceUID = CT, uid
            references.append(item)
        with MediaCreation(self.port) as scu:
            status, _ = scu.create(clients.references(references))
            assert status == 0, status
            uid = scu.sop_instance_uid
            status, _ = scu.initiate(uid, copies=copies)
            assert status == 0, status
            with self._lock:
                self.asked[uid] = copies
            if then_cancel and scu.cancel(uid)[0] == 0:
                with self._lock:
                    self.cancelled.add(uid)
        return uid

    def status(self, uid: str) -> tuple[str, str]:
        with MediaCreation(self.port) as scu:
            status, attributes = scu.get(uid, "ExecutionStatus", "ExecutionStatusInfo")
        assert status == 0, status
        return str(attributes.ExecutionStatus), str(attributes.ExecutionStatusInfo)

    def insist(self, call: Callable[[], T], times: int = 400) -> T:
        """Again and again while the service is gone."""
        for _ in range(times - 1):
            try:
                return call()
            except GONE:
                threading.Event().wait(0.5)
        return call()
