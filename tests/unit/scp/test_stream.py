"""The bytes of one connection: what is received together with a fragment is not lost."""

import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.scp import stream as streams
from burnish.scp.stream import PeerEndedError, Stream

READ_AHEAD = streams._READ_AHEAD


class Ends:
    """The stream under test, and the socket of its peer."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.peer = socket.create_connection(listening.getsockname())
            self._ours, _ = listening.accept()
        self.stream = Stream(self._ours)
        self.stream.set_timeout(300)

    def close(self) -> None:
        self.peer.close()
        self.stream.close()

    def send(self, data: bytes) -> None:
        """Sends bytes, and returns when all of them can be received at once."""
        self.peer.sendall(data)
        arrived = b""
        while len(arrived) < len(data):
            arrived = self._ours.recv(len(data), socket.MSG_PEEK | socket.MSG_WAITALL)


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.close()


def test_the_header_behind_a_fragment_is_received_together_with_it(ends: Ends) -> None:
    fragment, header = bytes(50_000), struct.pack(">BBI", 4, 0, 1000)
    ends.send(fragment + header)
    target = memoryview(bytearray(len(fragment)))
    assert ends.stream.receive_fragment(target) == len(fragment)
    assert target == fragment
    assert ends.stream.end - ends.stream.start == len(header)
    ends.peer.close()  # nothing more comes: what follows is here already
    assert ends.stream.read(len(header)) == header


def test_a_fragment_that_arrives_in_part_leaves_the_buffer_empty(ends: Ends) -> None:
    ends.send(b"first")
    target = memoryview(bytearray(50_000))
    assert ends.stream.receive_fragment(target) == 5
    assert target[:5] == b"first"
    assert ends.stream.start == ends.stream.end


def test_all_that_is_left_of_a_fragment_is_received_by_one_call(ends: Ends) -> None:
    target = memoryview(bytearray(50_000))
    ends.send(b"first")
    assert ends.stream.receive_fragment(target) == 5
    pieces = [bytes([number]) * 9999 for number in range(1, 6)]
    sender = threading.Thread(target=lambda: [ends.peer.sendall(piece) for piece in pieces])
    sender.start()
    assert ends.stream.receive_fragment(target[5:]) == 49_995
    sender.join()
    assert target == b"first" + b"".join(pieces)


def test_what_arrives_of_a_fragment_before_the_time_out_is_received(ends: Ends) -> None:
    """A peer that sends slowly is not a silent one."""
    ends.stream.set_timeout(0.2)
    target = memoryview(bytearray(50_000))
    for part in (b"first", b"second", b"third"):
        ends.send(part)
        assert ends.stream.receive_fragment(target) == len(part)
        assert target[: len(part)] == part
    with pytest.raises(PeerEndedError, match="silent for too long"):
        ends.stream.receive_fragment(target)


def test_no_more_is_received_ahead_than_a_few_headers_need(ends: Ends) -> None:
    """The rest of the data set goes straight into the memory of the instance."""
    fragment, following = bytes(40_000), random.Random(1).randbytes(2 * READ_AHEAD)
    ends.send(fragment + following)
    ends.stream.receive_fragment(memoryview(bytearray(len(fragment))))
    assert ends.stream.end - ends.stream.start == READ_AHEAD
    assert ends.stream.read(len(following)) == following


def test_a_call_that_is_filled_is_not_followed_by_a_request_to_acknowledge(ends: Ends) -> None:
    """Only a call that has to wait needs one: without it, a peer with Nagle's algorithm waits."""
    ends.send(bytes(40_000 + READ_AHEAD))
    ends.stream.receive_fragment(memoryview(bytearray(40_000)))
    assert not ends.stream._is_drained
    ends.send(bytes(100))
    ends.stream.start = ends.stream.end
    ends.stream.receive_fragment(memoryview(bytearray(40_000)))
    assert ends.stream._is_drained


def test_a_peer_that_closes_inside_a_fragment_has_ended(ends: Ends) -> None:
    ends.peer.close()
    with pytest.raises(PeerEndedError):
        ends.stream.receive_fragment(memoryview(bytearray(50_000)))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1 << 32))
def test_fragments_and_headers_arrive_in_order_whatever_is_received_together(seed: int) -> None:
    """Lengths around those at which a call is filled, in pieces of any length."""
    chance = random.Random(seed)
    ends = Ends()
    try:
        lengths = [
            chance.choice((1, 100, 5000, 40_000))
            + chance.choice((0, READ_AHEAD - 6, READ_AHEAD, READ_AHEAD + 6))
            for _ in range(6)
        ]
        fragments = [chance.randbytes(length) for length in lengths]
        sent = b"".join(struct.pack(">I", len(fragment)) + fragment for fragment in fragments)
        pieces = []
        while sent:
            length = chance.randint(1, 60_000)
            pieces.append(sent[:length])
            sent = sent[length:]
        sender = threading.Thread(target=lambda: [ends.peer.sendall(piece) for piece in pieces])
        sender.start()
        for fragment in fragments:
            received = bytearray()
            while len(received) < 4 + len(fragment):
                wanted = 4 - len(received)
                if wanted > 0:
                    received += ends.stream.take(wanted)
                elif ends.stream.start < ends.stream.end:
                    received += ends.stream.take(4 + len(fragment) - len(received))
                else:
                    target = memoryview(bytearray(4 + len(fragment) - len(received)))
                    received += target[: ends.stream.receive_fragment(target)]
            assert received == struct.pack(">I", len(fragment)) + fragment
        assert ends.stream.start == ends.stream.end
        sender.join()
    finally:
        ends.close()
