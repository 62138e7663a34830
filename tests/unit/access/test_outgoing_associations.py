"""Every response reaches the caller that waits for it, however the threads are scheduled."""

import threading

import pytest
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from burnish.access.outgoing_associations import (
    RELIABLE_CHECKPOINT,
    NoAssociationError,
    ReactorCheckpoint,
    request_association,
)
from burnish.settings import DicomSettings, PeerSettings, Settings


def _association() -> Association:
    return Association(AE("TEST"), "requestor")


def test_a_pause_asked_for_again_before_the_thread_wakes_up_is_one_pause() -> None:
    association = _association()
    checkpoint = ReactorCheckpoint(association)
    returned: list[bool] = []
    checkpoint.clear()
    thread = threading.Thread(target=lambda: returned.append(checkpoint.wait()), daemon=True)
    association._is_paused = True
    thread.start()
    while not checkpoint._changed._waiters:  # type: ignore[attr-defined]
        assert thread.is_alive()
    with checkpoint._changed:  # the thread cannot wake up between the two
        checkpoint.set()
        checkpoint.clear()
    # The thread was notified and stays paused. The flag is still true, and right.
    thread.join(0.05)
    assert association._is_paused
    assert not returned
    checkpoint.set()
    thread.join()
    assert returned == [True]
    assert not association._is_paused


def test_a_thread_that_may_run_does_not_pause() -> None:
    association = _association()
    association._is_paused = True
    checkpoint = ReactorCheckpoint(association)
    assert checkpoint.is_set()
    assert checkpoint.wait(0)
    assert not association._is_paused
    checkpoint.clear()
    assert not checkpoint.wait(0)


def test_the_checkpoint_replaces_that_of_pynetdicom() -> None:
    acceptor = AE("ANY")
    acceptor.add_supported_context(Verification)
    server = acceptor.start_server(("127.0.0.1", 0), block=False)
    try:
        association = AE("TEST").associate(
            "127.0.0.1",
            server.server_address[1],
            contexts=[build_context(Verification)],
            evt_handlers=[RELIABLE_CHECKPOINT],
        )
        assert isinstance(association._reactor_checkpoint, ReactorCheckpoint)
        for _ in range(20):
            assert association.send_c_echo().Status == 0
        association.release()
        assert association.is_released
    finally:
        server.shutdown()


def test_a_requested_association_has_the_configured_maximum_length() -> None:
    acceptor = AE("ANY")
    acceptor.add_supported_context(Verification)
    server = acceptor.start_server(("127.0.0.1", 0), block=False)
    try:
        peer = PeerSettings(ae_title="ANY", host="127.0.0.1", port=server.server_address[1])
        association = request_association(
            Settings(dicom=DicomSettings(maximum_pdu_size=65536)),
            peer,
            calling_ae_title="BURNISH",
            contexts=[build_context(Verification)],
            acse_timeout=30,
            dimse_timeout=30,
        )
        assert association.requestor.maximum_length == 65536
        association.release()
    finally:
        server.shutdown()


def test_a_rejection_is_told_however_late_the_requestor_looks() -> None:
    acceptor = AE("ANY")
    acceptor.add_supported_context(Verification)
    acceptor.require_calling_aet = ["OTHER"]
    server = acceptor.start_server(("127.0.0.1", 0), block=False)
    closed = threading.Event()
    try:
        with pytest.raises(NoAssociationError, match="rejects the association: Calling AE title"):
            request_association(
                Settings(),
                PeerSettings(ae_title="ANY", host="127.0.0.1", port=server.server_address[1]),
                calling_ae_title="BURNISH",
                contexts=[build_context(Verification)],
                event_handlers=[
                    # The thread of the caller goes on when all is over.
                    (evt.EVT_REQUESTED, lambda _event: closed.wait(30)),
                    (evt.EVT_CONN_CLOSE, lambda _event: closed.set()),
                ],
                acse_timeout=30,
                dimse_timeout=30,
            )
        assert closed.is_set()
    finally:
        server.shutdown()
