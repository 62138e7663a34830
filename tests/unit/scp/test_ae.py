"""The application entity: limits on connections and associations, and its shutdown."""

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


class RunningEntity:
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
def running(tmp_path: Path) -> Iterator[RunningEntity]:
    dicom = DicomSettings(host="127.0.0.1", port=0, maximum_half_open=5, accept_unknown_peers=True)
    peer = PeerSettings(ae_title="CT1", maximum_associations=2)
    with Ground(tmp_path, dicom=dicom, peer=(peer,)) as ground:
        entity = RunningEntity(ground)
        yield entity
        entity.close()


def is_accepted(running: RunningEntity, calling: bytes = b"ANY") -> bool:
    with Raw(running.port, calling=calling.ljust(16)) as raw:
        return raw.answer is not None and raw.answer.kind == A_ASSOCIATE_AC


def was_closed(raw: Raw) -> bool:
    """Whether the service has closed the connection, perhaps after an A-ABORT."""
    return raw.receive() is None or raw.receive() is None


def test_the_oldest_half_open_connection_of_the_busiest_address_is_evicted(
    running: RunningEntity,
) -> None:
    silent = Raw(running.port, silent=True)
    many = [Raw(running.port, silent=True, source="127.0.0.2") for _ in range(4)]
    assert is_accepted(running), "the address with most connections loses one"
    assert was_closed(many[0])
    more = [Raw(running.port, silent=True, source="127.0.0.3") for _ in range(20)]
    assert was_closed(more[0])
    assert is_accepted(running)
    with structlog.testing.capture_logs() as lines:
        more += [Raw(running.port, silent=True, source="127.0.0.4") for _ in range(9)]
        wait_until(lambda: len([x for x in lines if x.get("address") == "127.0.0.4"]) >= 3)
    why = {line["why"] for line in lines if line["event"] == "connection without an association"}
    assert why == {"too many connections without an association"}
    for raw in (silent, *many, *more):
        raw.__exit__(None, None, None)


def test_associations_do_not_count_as_half_open(running: RunningEntity) -> None:
    held = [Raw(running.port) for _ in range(12)]
    assert all(raw.answer and raw.answer.kind == A_ASSOCIATE_AC for raw in held)
    assert running.association_limits.in_use == 12
    for raw in held:
        raw.release()
        raw.__exit__(None, None, None)
    wait_until(lambda: running.association_limits.in_use == 0, what="associations released")


def test_a_peer_is_accepted_again_when_one_of_its_associations_has_ended(
    running: RunningEntity,
) -> None:
    first, second = (Raw(running.port, calling=b"CT1".ljust(16)) for _ in range(2))
    with Raw(running.port, calling=b"CT1".ljust(16)) as third:
        assert third.answer is not None
        assert third.answer.rejection == (2, 3, 2)
    assert is_accepted(running, b"ANY")
    first.__exit__(None, None, None)  # without a release
    wait_until(lambda: is_accepted(running, b"CT1"), what="an association of CT1")
    second.release()
    second.__exit__(None, None, None)


def test_unknown_aes_at_one_address_cannot_take_all_associations(tmp_path: Path) -> None:
    dicom = DicomSettings(
        host="127.0.0.1", port=0, maximum_associations=20, accept_unknown_peers=True
    )
    with Ground(tmp_path, dicom=dicom, peer=(PeerSettings(ae_title="CT1"),)) as ground:
        running = RunningEntity(ground)
        held = [Raw(running.port, calling=f"ANY{n}".encode().ljust(16)) for n in range(2)]
        with Raw(running.port, calling=b"ANY5".ljust(16)) as refused:
            assert refused.answer is not None
            assert refused.answer.rejection == (2, 3, 2)
        assert is_accepted(running, b"CT1")
        with Raw(running.port, calling=b"ANY6".ljust(16), source="127.0.0.2") as other:
            assert other.answer is not None
            assert other.answer.kind == A_ASSOCIATE_AC
        held.pop().__exit__(None, None, None)
        wait_until(lambda: is_accepted(running, b"ANY6"), what="an association that is free again")
        for raw in held:
            raw.__exit__(None, None, None)
        running.close()


def test_a_limit_is_free_when_the_release_is_answered(running: RunningEntity) -> None:
    """A peer may request its next association before it closes the connection of the last one."""
    first, second = (Raw(running.port, calling=b"CT1".ljust(16)) for _ in range(2))
    for raw in (first, second):
        raw.release()
    third, fourth = (Raw(running.port, calling=b"CT1".ljust(16)) for _ in range(2))
    for raw in (third, fourth):
        assert raw.answer is not None
        assert raw.answer.kind == A_ASSOCIATE_AC
    for raw in (first, second, third, fourth):
        raw.__exit__(None, None, None)
    wait_until(
        lambda: running.association_limits.in_use == 0, what="associations released, each once"
    )


def test_an_association_during_shutdown_is_rejected_as_transient(running: RunningEntity) -> None:
    waiting = Raw(running.port, silent=True)
    assert is_accepted(running), "then the connection before has been accepted too"
    running.entity.stop_accepting()
    verification = [("1.2.840.10008.1.1", [IMPLICIT])]
    waiting.send(associate_rq(verification, called=b"BURNISH".ljust(16), calling=b"ANY".ljust(16)))
    answer = waiting.receive()
    assert answer is not None
    assert answer.rejection == (2, 3, 1)
    waiting.__exit__(None, None, None)


def test_silent_peers_do_not_delay_the_shutdown(running: RunningEntity) -> None:
    waiting = Raw(running.port, silent=True)
    idle = Raw(running.port)
    running.close()
    assert running.association_limits.in_use == 0
    for raw in (waiting, idle):
        raw.__exit__(None, None, None)
