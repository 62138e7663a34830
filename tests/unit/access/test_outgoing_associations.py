"""Answers that reach the one who waits for them, however the threads are scheduled."""

import threading

from pynetdicom import AE, build_context
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification

from burnish.access.outgoing_associations import KEEP_ANSWERS, Rest


def _association() -> Association:
    return Association(AE("TEST"), "requestor")


def test_a_rest_begun_anew_before_the_thread_wakes_is_one_rest() -> None:
    association = _association()
    rest = Rest(association)
    left: list[bool] = []
    rest.clear()
    thread = threading.Thread(target=lambda: left.append(rest.wait()), daemon=True)
    association._is_paused = True
    thread.start()
    while not rest._ends._waiters:  # type: ignore[attr-defined]
        assert thread.is_alive()
    with rest._ends:  # the thread cannot wake up between the two
        rest.set()
        rest.clear()
    # the thread was notified and rests on; the flag is still true, and is the truth
    thread.join(0.05)
    assert association._is_paused
    assert not left
    rest.set()
    thread.join()
    assert left == [True]
    assert not association._is_paused


def test_a_thread_that_need_not_rest_passes_by() -> None:
    association = _association()
    association._is_paused = True
    rest = Rest(association)
    assert rest.is_set()
    assert rest.wait(0)
    assert not association._is_paused
    rest.clear()
    assert not rest.wait(0)


def test_it_takes_the_place_of_the_one_of_pynetdicom() -> None:
    listener = AE("ANY")
    listener.add_supported_context(Verification)
    server = listener.start_server(("127.0.0.1", 0), block=False)
    try:
        association = AE("TEST").associate(
            "127.0.0.1",
            server.server_address[1],
            contexts=[build_context(Verification)],
            evt_handlers=[KEEP_ANSWERS],
        )
        assert isinstance(association._reactor_checkpoint, Rest)
        for _ in range(20):
            assert association.send_c_echo().Status == 0
        association.release()
        assert association.is_released
    finally:
        server.shutdown()
