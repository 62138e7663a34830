"""One association over a socket: fragments, violations, release, time-outs."""

import itertools
import random
import socket
import struct
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from burnish.access.peers import Caller
from burnish.errors import OutOfResources
from burnish.scp import messages, upper_layer
from burnish.scp.messages import Command, StoreForm
from burnish.scp.negotiation import Negotiator
from burnish.scp.upper_layer import Association, NotEstablishedError, StoreSink
from burnish.settings import DicomSettings, Settings
from burnish.vocabulary import VERIFICATION
from factories import CT
from peer import ABORT, EXPLICIT, IMPLICIT, RELEASE, associate_rq, command, context, p_data, pdv
from waiting import wait_until

ANY_PEER = Settings(dicom=DicomSettings(accept_unknown_peers=True))
TWO_CONTEXTS = associate_rq(context(1, VERIFICATION, IMPLICIT), context(3, CT, EXPLICIT))
UNRECOGNIZED, UNEXPECTED, INVALID = 1, 2, 6


class Sink:
    """Keeps the data set. With `room_size`, it gives room for so many bytes at a time."""

    room_size = 0

    def __init__(self, request: Command) -> None:
        self.request = request
        self.data = bytearray()
        self.abandoned = False
        self._room = memoryview(bytearray(self.room_size))

    def room(self) -> memoryview | None:
        return self._room or None

    def received(self, count: int) -> None:
        self.data += self._room[:count]

    def write(self, fragment: memoryview) -> None:
        self.data += fragment

    def finish(self) -> bytes:
        return messages.p_data(1, messages.response(self.request, 0), b"", 0)

    def abandon(self) -> None:
        self.abandoned = True


class Line:
    """Both ends of an association: that of Burnish in a thread, that of the peer in the test."""

    def __init__(self, *, acse: float = 300, idle: float = 300) -> None:
        ours, self.socket = socket.socketpair()
        listening = socket.create_server(("127.0.0.1", 0))
        self.socket.close()
        ours.close()
        self.socket = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        listening.close()
        self.socket.settimeout(300)
        self.sinks: list[Sink] = []
        self.outcome = ""
        self.error: BaseException | None = None
        self.association = Association(
            ours,
            Caller("127.0.0.1"),
            Negotiator(ANY_PEER).answer,
            self._dispatch,
            acse_timeout=acse,
            idle_timeout=idle,
        )
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _dispatch(self, _association: Any, _id: int, _context: Any, request: Command) -> Sink:
        self.sinks.append(Sink(request))
        return self.sinks[-1]

    def _serve(self) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pynetdicom warns about invalid UIDs
                self.outcome = self.association.serve()
        except NotEstablishedError as error:
            self.outcome = f"{error.event}: {error}"
        except BaseException as error:  # noqa: BLE001  `end` raises it in the test
            self.error = error

    def send(self, *data: bytes) -> None:
        for part in data:
            self.socket.sendall(part)

    def receive(self) -> tuple[int, bytes]:
        """The type and body of the next PDU; (0, b"") if the connection is closed."""
        head = self._exactly(6)
        if not head:
            return 0, b""
        kind, _, length = struct.unpack(">BBI", head)
        return kind, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                return b""
            data += part
        return data

    def establish(self, pdu: bytes = TWO_CONTEXTS) -> None:
        self.send(pdu)
        assert self.receive()[0] == 2

    def status(self) -> int:
        kind, body = self.receive()
        assert kind == 4
        return Command.decode(body[6:]).number(messages.STATUS)

    def aborted(self) -> int:
        """The reason of the A-ABORT that must be the next PDU."""
        kind, body = self.receive()
        assert kind == 7
        assert body[2] == 2
        return body[3]

    def end(self) -> str:
        self.socket.close()
        self._thread.join(300)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.outcome


@pytest.fixture
def open_line() -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(**options: float) -> Line:
        lines.append(Line(**options))
        return lines[-1]

    yield make
    for line in lines:
        line.end()


@pytest.fixture
def line(open_line: Callable[..., Line]) -> Line:
    return open_line()


def test_echo_and_release(line: Line) -> None:
    line.establish()
    for number in range(1, 4):
        line.send(p_data(pdv(1, 3, command(message_id=number))))
        assert line.status() == 0
    line.send(RELEASE)
    assert line.receive() == (6, bytes(4))
    assert line.end() == "released"
    assert line.association.messages == 3
    assert line.association.calling_ae_title == "PEER"


def test_all_pdus_may_arrive_in_one_segment(line: Line) -> None:
    line.send(TWO_CONTEXTS + p_data(pdv(1, 3, command())) * 3 + RELEASE)
    assert line.receive()[0] == 2
    assert [line.status() for _ in range(3)] == [0, 0, 0]
    assert line.receive()[0] == 6


def test_pdus_may_arrive_byte_by_byte(line: Line) -> None:
    data = TWO_CONTEXTS + p_data(pdv(1, 3, command()))
    line.send(*(data[at : at + 1] for at in range(len(data))))
    assert line.receive()[0] == 2
    assert line.status() == 0
    line.send(RELEASE)
    assert line.receive()[0] == 6


def test_a_release_is_answered_only_when_all_of_it_has_arrived(line: Line) -> None:
    """Closing a connection with unread bytes resets it, and the peer loses the response."""
    line.establish()
    line.send(RELEASE[:6])
    line._thread.join(0.3)
    assert line._thread.is_alive()
    line.send(RELEASE[6:])
    assert line.receive() == (6, bytes(4))
    assert line.end() == "released"


STORE = command(messages.C_STORE_RQ, CT, data_set=True)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(seed=st.integers(0, 1 << 32))
@pytest.mark.parametrize("room_size", [0, 70_001])
def test_a_message_may_arrive_in_any_fragments(
    open_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, room_size: int, seed: int
) -> None:
    """PDVs, PDUs and TCP segments end anywhere."""
    monkeypatch.setattr(Sink, "room_size", room_size)
    chance = random.Random(seed)
    data = random.Random(seed).randbytes(chance.choice((0, 1, 500, 300_000)))

    def cut(kind: int, content: bytes) -> list[bytes]:
        ends = sorted({0, len(content), *(chance.randint(0, len(content)) for _ in range(5))})
        parts = [content[a:b] for a, b in itertools.pairwise(ends)] or [b""]
        return [
            pdv(3, kind | (2 if n == len(parts) - 1 else 0), part) for n, part in enumerate(parts)
        ]

    pdvs = cut(1, STORE) + cut(0, data)
    pdus = []
    while pdvs:
        count = chance.randint(1, len(pdvs))
        pdus.append(p_data(*pdvs[:count]))
        pdvs = pdvs[count:]
    stream = b"".join(pdus)
    line = open_line()
    line.establish()
    while stream:
        count = chance.randint(1, max(1, len(stream)))
        line.send(stream[:count])
        stream = stream[count:]
    assert line.status() == 0
    assert line.sinks[0].data == data
    line.send(RELEASE)
    assert line.receive()[0] == 6
    assert line.end() == "released"


class Store(Sink, StoreSink):
    """Stands for all stores of one form: keeps their UIDs and data sets."""

    def __init__(self, request: Command) -> None:
        super().__init__(request)
        self.uid = request.get(messages.AFFECTED_SOP_INSTANCE_UID, b"")
        self.stored: list[tuple[bytes, bytes]] = []
        #: How many of them were here as a whole.
        self.whole = 0

    def begin(self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes) -> None:
        self.request = form.command(message_id, sop_instance_uid)
        self.uid = sop_instance_uid
        self.data.clear()

    def store(
        self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes, data_set: memoryview
    ) -> bytes:
        self.begin(form, message_id, sop_instance_uid)
        self.write(data_set)
        self.whole += 1
        return self.finish()

    def finish(self) -> bytes:
        self.stored.append((self.uid, bytes(self.data)))
        return super().finish()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(seed=st.integers(0, 1 << 32))
def test_stores_of_one_form_arrive_whole_however_they_are_fragmented(
    open_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Sink", Store)
    chance = random.Random(seed)
    stream = b""
    expected = []
    for number in range(6):
        data = chance.randbytes(chance.choice((0, 1, 500, 10_000, 31_000, 33_000, 300_000)))
        uid = f"1.2.3.{number:04d}".encode()
        expected.append((uid, data))
        more = {messages.AFFECTED_SOP_INSTANCE_UID: uid}
        request = command(messages.C_STORE_RQ, CT, data_set=True, message_id=number + 1, more=more)
        middle = chance.choice((0, 0, 0, len(data) // 2))
        stream += p_data(pdv(3, 3, request))
        if middle:
            stream += p_data(pdv(3, 0, data[:middle]))
        stream += p_data(pdv(3, 2, data[middle:]))
    line = open_line()
    line.establish()
    while stream:
        count = chance.choice((len(stream), chance.randint(1, len(stream))))
        line.send(stream[:count])
        stream = stream[count:]
    assert [line.status() for _ in expected] == [0] * 6
    (sink,) = line.sinks
    assert isinstance(sink, Store)
    assert sink.stored == expected
    assert line.association.messages == 6
    line.send(RELEASE)
    assert line.receive()[0] == 6
    assert line.end() == "released"


def test_a_store_like_the_one_before_is_stored_as_a_whole(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Sink", Store)
    more = {messages.AFFECTED_SOP_INSTANCE_UID: b"1.2.3.4."}
    request = p_data(pdv(3, 3, command(messages.C_STORE_RQ, CT, data_set=True, more=more)))
    line.establish()
    for number in range(3):
        line.send(request + p_data(pdv(3, 2, b"data")))
        assert line.status() == 0
        (sink,) = line.sinks
        assert isinstance(sink, Store)
        assert sink.whole == number
    # another message between the two, and a data set of which the peer sends half
    line.send(p_data(pdv(1, 3, command())))
    assert line.status() == 0
    line.send(request + p_data(pdv(3, 2, b"data"))[:-1])
    assert line.end() == "connection closed by the peer"
    assert sink.stored == [(b"1.2.3.4.", b"data")] * 3


def test_a_store_like_the_one_before_may_be_aborted_behind_its_command_set(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "Sink", Store)
    more = {messages.AFFECTED_SOP_INSTANCE_UID: b"1.2.3.4."}
    request = p_data(pdv(3, 3, command(messages.C_STORE_RQ, CT, data_set=True, more=more)))
    line.establish()
    for number in range(3):
        line.send(request)
        wait_until(lambda: line.association.busy)
        line.send(p_data(pdv(3, 2, b"data")))
        assert line.status() == 0
        (sink,) = line.sinks
        assert isinstance(sink, Store)
        assert sink.whole == number
    line.send(request)
    wait_until(lambda: line.association.busy)
    line.send(ABORT)
    line._thread.join(300)
    assert line.end() == "aborted by the peer"
    assert sink.abandoned


def p_data_of_length(length: int, body: bytes) -> bytes:
    return struct.pack(">BBI", 4, 0, length) + body


@pytest.mark.parametrize(
    ("pdu", "reason"),
    [
        (p_data(pdv(1, 1, command()[:20]), pdv(3, 3, command()[20:])), INVALID),
        (p_data(pdv(5, 3, command())), INVALID),
        (p_data(pdv(2, 3, command())), INVALID),
        (p_data(pdv(1, 0, b"data")), UNEXPECTED),
        (p_data(pdv(3, 3, STORE), pdv(1, 2, b"data")), UNEXPECTED),
        (p_data(pdv(3, 3, STORE), pdv(3, 3, STORE)), UNEXPECTED),
        (p_data(pdv(3, 3, STORE), pdv(1, 3, command())), UNEXPECTED),
        (p_data(pdv(1, 3, b"no command")), INVALID),
        (p_data(pdv(1, 3, b"")), INVALID),
        (p_data(pdv(1, 3, command(without=[messages.MESSAGE_ID]))), INVALID),
        (p_data(pdv(1, 3, command(without=[messages.COMMAND_DATA_SET_TYPE]))), INVALID),
        (p_data(pdv(1, 3, command(without=[messages.COMMAND_FIELD]))), INVALID),
        (p_data_of_length(5, bytes(5)), INVALID),
        (p_data_of_length(6, struct.pack(">IBB", 1, 1, 3)), INVALID),
        (p_data_of_length(6, struct.pack(">IBB", 0, 1, 3)), INVALID),
        (p_data_of_length(10, struct.pack(">IBB", 100, 1, 3) + bytes(4)), INVALID),
        (p_data_of_length(10, struct.pack(">IBB", 0xFFFFFFFF, 1, 3) + bytes(4)), INVALID),
        (p_data_of_length(12, struct.pack(">IBB", 4, 1, 1) + bytes(6)), INVALID),
        (associate_rq(), UNEXPECTED),
        (struct.pack(">BBI", 2, 0, 4) + bytes(4), UNEXPECTED),
        (struct.pack(">BBI", 6, 0, 4) + bytes(4), UNEXPECTED),
        (struct.pack(">BBI", 8, 0, 4) + bytes(4), UNRECOGNIZED),
        (struct.pack(">BBI", 0, 0, 0), UNRECOGNIZED),
        (struct.pack(">BBI", 255, 0, 0), UNRECOGNIZED),
        (p_data(*(pdv(1, 1, bytes(10_000)) for _ in range(8))), INVALID),
    ],
)
def test_a_violation_of_the_protocol_is_aborted(line: Line, pdu: bytes, reason: int) -> None:
    line.establish()
    line.send(pdu)
    assert line.aborted() == reason
    assert line.end().startswith("aborted by the service: ")
    assert all(sink.abandoned for sink in line.sinks)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (p_data(pdv(1, 3, command())), UNEXPECTED),
        (RELEASE, UNEXPECTED),
        (b"GET / HTTP/1.1\r\n\r\n", UNRECOGNIZED),
        (b"\x16\x03\x01\x02\0\x01\0", UNRECOGNIZED),
        (struct.pack(">BBI", 1, 0, 10) + bytes(10), INVALID),
        (struct.pack(">BBI", 1, 0, 0xFFFFFFFF), INVALID),
        (struct.pack(">BBI", 1, 0, 80) + bytes(80), INVALID),
    ],
)
def test_a_first_pdu_other_than_a_associate_rq_is_aborted(
    line: Line, first: bytes, reason: int
) -> None:
    line.send(first)
    assert line.aborted() == reason
    assert line.end().startswith("aborted by the service: ")


def test_a_rejection_names_what_was_called_and_what_would_be_right(line: Line) -> None:
    line.send(associate_rq(called=b"SOMEBODY"))
    assert line.receive() == (3, bytes((0, 1, 1, 7)))
    assert line.end() == (
        "association rejected: called AE title not recognized: "
        "SOMEBODY was called, this service is BURNISH (dicom.ae_title)"
    )


def test_an_abort_inside_a_data_set_abandons_it(line: Line) -> None:
    line.establish()
    line.send(p_data(pdv(3, 3, STORE), pdv(3, 0, b"half")), ABORT)
    assert line.end() == "aborted by the peer"
    assert line.sinks[0].abandoned


@pytest.mark.parametrize(
    "sent", [b"", TWO_CONTEXTS[:50], TWO_CONTEXTS, TWO_CONTEXTS + p_data(pdv(3, 3, STORE))[:-4]]
)
def test_a_connection_that_the_peer_closes_ends_the_association(line: Line, sent: bytes) -> None:
    line.send(sent)
    line.socket.shutdown(socket.SHUT_WR)
    assert "connection closed" in line.end() or line.outcome.startswith("connection lost")


def test_silence_before_the_association_ends_the_connection(open_line: Callable[..., Line]) -> None:
    line = open_line(acse=0.05)
    assert line.receive()[0] in (0, 7)
    assert line.end() == "the peer was silent for too long"


def test_a_request_that_arrives_slowly_has_no_more_time(open_line: Callable[..., Line]) -> None:
    line = open_line(acse=0.3)
    ticks = threading.Event()
    for at in range(len(TWO_CONTEXTS)):
        try:
            line.send(TWO_CONTEXTS[at : at + 1])
        except OSError:
            break
        if ticks.wait(0.02) or not line._thread.is_alive():
            break
    assert line.end() == "the peer was silent for too long"


def test_silence_in_an_association_aborts_it(open_line: Callable[..., Line]) -> None:
    line = open_line(idle=0.05)
    line.establish()
    assert line.receive()[0] == 7
    assert line.end() == "the peer was silent for too long"


def test_an_association_can_be_ended_from_another_thread(line: Line) -> None:
    line.establish()
    line.association.end()
    assert line.receive()[0] in (0, 7)
    line.end()


def test_unexpected_responses_and_cancels_are_ignored(line: Line) -> None:
    line.establish()
    line.send(p_data(pdv(1, 3, command(0x8030))), p_data(pdv(1, 3, command(messages.C_CANCEL_RQ))))
    line.send(p_data(pdv(1, 3, command())))
    assert line.status() == 0
    assert len(line.sinks) == 1


def test_empty_p_data_and_empty_fragments_are_allowed(line: Line) -> None:
    line.establish()
    line.send(p_data(), p_data(pdv(1, 1, b""), pdv(1, 3, command())))
    assert line.status() == 0


def test_a_collected_data_set_has_a_maximum_size() -> None:
    sink = upper_layer.CollectedDataSet(lambda data: data)
    for _ in range(64):
        sink.write(memoryview(bytes(1 << 20)))
    with pytest.raises(upper_layer.ProtocolViolationError):
        sink.write(memoryview(b"x"))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_pdus_end_the_association_and_do_no_other_harm(
    open_line: Callable[..., Line], seed: int
) -> None:
    chance = random.Random(seed)
    data = bytearray(
        TWO_CONTEXTS
        + p_data(pdv(3, 1, STORE[:30]), pdv(3, 3, STORE[30:]))
        + p_data(pdv(3, 2, bytes(50)))
    )
    for _ in range(chance.randint(1, 5)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    line = open_line()
    try:
        line.send(bytes(data))
        line.socket.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the service has already closed the connection
    assert line.end()


# --- responses in pieces -------------------------------------------------------------------------


class SinkInPieces(Sink):
    """Responds with PDUs of 64 KB, of which it counts those that were taken."""

    def __init__(self, request: Command, count: int, *, fails: bool = False) -> None:
        super().__init__(request)
        self.taken = 0
        self._count = count
        self._fails = fails

    def finish(self) -> Iterator[bytes]:  # type: ignore[override]
        for _ in range(self._count):
            self.taken += 1
            yield p_data(pdv(1, 0, bytes(1 << 16)))
        if self._fails:
            raise OutOfResources("the database does not answer")
        yield p_data(pdv(1, 2, b"end"))


def respond_in_pieces(line: Line, sink: Callable[[Command], Sink]) -> SinkInPieces:
    """Has a C-ECHO answered by a sink."""
    sinks: list[Any] = []

    def dispatch(_association: Any, _id: int, _context: Any, request: Command) -> Sink:
        sinks.append(sink(request))
        return sinks[0]

    line.association._dispatch = dispatch
    line.establish()
    line.send(p_data(pdv(1, 3, command())))
    wait_until(lambda: sinks, what="the message")
    return sinks[0]


def test_a_response_in_pieces_arrives_whole(line: Line) -> None:
    respond_in_pieces(line, lambda request: SinkInPieces(request, 3))
    assert [len(line.receive()[1]) for _ in range(4)] == [(1 << 16) + 6] * 3 + [9]


def test_a_response_that_cannot_be_completed_ends_in_an_abort(line: Line) -> None:
    respond_in_pieces(line, lambda request: SinkInPieces(request, 1, fails=True))
    assert line.receive()[0] == 4
    assert line.aborted() == 0
    assert "the database does not answer" in line.end()


def test_a_response_ends_when_its_peer_has_gone(line: Line) -> None:
    sink = respond_in_pieces(line, lambda request: SinkInPieces(request, 100_000))
    line.receive()
    line.end()
    assert sink.taken < 10_000
