"""The application entity at its door: who may wait, how many come in, who comes too late."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from burnish.access.association_limits import AssociationLimits
from burnish.receive import Receiver
from burnish.scp.ae import ApplicationEntity, listen
from burnish.settings import DicomSettings, PeerSettings
from factories import Ground
from raw_dicom import A_ASSOCIATE_AC, IMPLICIT, Raw, associate_rq
from waiting import wait_until


class Door:
    """An application entity that serves in a thread."""

    def __init__(self, ground: Ground) -> None:
        settings = ground.settings
        self.listeners = listen(settings)
        self.port = self.listeners[0].port
        self.association_limits = AssociationLimits(settings)
        receiver = Receiver(ground.database, ground.spool)
        self.entity = ApplicationEntity(
            settings,
            self.listeners,
            receiver,
            ground.database,
            ground.spool,
            association_limits=self.association_limits,
        )
        self._thread = threading.Thread(target=self.entity.serve)
        self._thread.start()

    def close(self) -> None:
        self.entity.stop_accepting()
        self._thread.join()
        for listener in self.listeners:
            listener.socket.close()
        self.entity.drain()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    dicom = DicomSettings(host="127.0.0.1", port=0, maximum_half_open=5, accept_unknown_peers=True)
    peer = PeerSettings(ae_title="CT1", maximum_associations=2)
    with Ground(tmp_path, dicom=dicom, peer=(peer,)) as ground:
        opened = Door(ground)
        yield opened
        opened.close()


def is_welcome(door: Door, calling: bytes = b"ANY") -> bool:
    with Raw(door.port, calling=calling.ljust(16)) as raw:
        return raw.answer is not None and raw.answer.kind == A_ASSOCIATE_AC


def was_closed(raw: Raw) -> bool:
    """Perhaps after an A-ABORT."""
    return raw.receive() is None or raw.receive() is None


def test_where_too_many_wait_the_oldest_of_the_busiest_address_goes(door: Door) -> None:
    patient = Raw(door.port, silent=True)
    many = [Raw(door.port, silent=True, source="127.0.0.2") for _ in range(4)]
    assert is_welcome(door), "the one too many came from elsewhere"
    assert was_closed(many[0])
    more = [Raw(door.port, silent=True, source="127.0.0.3") for _ in range(20)]
    assert was_closed(more[0])
    assert is_welcome(door)
    with structlog.testing.capture_logs() as lines:
        more += [Raw(door.port, silent=True, source="127.0.0.4") for _ in range(9)]
        wait_until(lambda: len([x for x in lines if x.get("address") == "127.0.0.4"]) >= 3)
    why = {line["why"] for line in lines if line["event"] == "connection without an association"}
    assert why == {"too many connections without an association"}
    for raw in (patient, *many, *more):
        raw.__exit__(None, None, None)


def test_associations_do_not_count_as_waiting(door: Door) -> None:
    held = [Raw(door.port) for _ in range(12)]
    assert all(raw.answer and raw.answer.kind == A_ASSOCIATE_AC for raw in held)
    assert door.association_limits.in_use == 12
    for raw in held:
        raw.release()
        raw.__exit__(None, None, None)
    wait_until(lambda: door.association_limits.in_use == 0, what="associations released")


def test_a_peer_has_its_own_limit_and_gets_its_seats_back(door: Door) -> None:
    first, second = (Raw(door.port, calling=b"CT1".ljust(16)) for _ in range(2))
    with Raw(door.port, calling=b"CT1".ljust(16)) as third:
        assert third.answer is not None
        assert third.answer.rejection == (2, 3, 2)
    assert is_welcome(door, b"ANY")
    first.__exit__(None, None, None)  # without a word
    wait_until(lambda: is_welcome(door, b"CT1"), what="a seat of CT1")
    second.release()
    second.__exit__(None, None, None)


def test_a_seat_is_free_when_the_release_is_answered(door: Door) -> None:
    """Who asks for the next association before it closes the connection of the last is let in."""
    first, second = (Raw(door.port, calling=b"CT1".ljust(16)) for _ in range(2))
    for raw in (first, second):
        raw.release()
    third, fourth = (Raw(door.port, calling=b"CT1".ljust(16)) for _ in range(2))
    for raw in (third, fourth):
        assert raw.answer is not None
        assert raw.answer.kind == A_ASSOCIATE_AC
    for raw in (first, second, third, fourth):
        raw.__exit__(None, None, None)
    wait_until(lambda: door.association_limits.in_use == 0, what="associations released, each once")


def test_who_comes_while_it_stops_is_told_to_come_again(door: Door) -> None:
    waiting = Raw(door.port, silent=True)
    assert is_welcome(door), "then the one before has been accepted too"
    door.entity.stop_accepting()
    verification = [("1.2.840.10008.1.1", [IMPLICIT])]
    waiting.send(associate_rq(verification, called=b"BURNISH".ljust(16), calling=b"ANY".ljust(16)))
    answer = waiting.receive()
    assert answer is not None
    assert answer.rejection == (2, 3, 1)
    waiting.__exit__(None, None, None)


def test_who_says_nothing_does_not_keep_it_from_stopping(door: Door) -> None:
    waiting = Raw(door.port, silent=True)
    idle = Raw(door.port)
    door.close()
    assert door.association_limits.in_use == 0
    for raw in (waiting, idle):
        raw.__exit__(None, None, None)
