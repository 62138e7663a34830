"""A C-STORE SCU that needs very little CPU, so that the SCP is measured.

The PDUs of a few instances are laid out once; each further instance is one of them with some
bytes patched in the command set and in the data set. One process per association.

    python benchmarks/sender.py 127.0.0.1:11112 W1 --count 500 --associations 4
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from workloads import EXPLICIT_VR_LITTLE_ENDIAN, WORKLOADS, Instance, Workload, instances

CALLED = "BURNISH"
CALLING = "BENCHMARK"
_PENDING_WARNINGS = 0xB000
#: How many buffers one sendmsg takes; the kernel's limit is 1024.
_BUFFERS = 512
#: How many bytes of a response are received at a time: as a rule, all of it by one call.
_LONGEST_RESPONSE = 4096
#: The header of Status (0000,0900), which every response has.
_STATUS_ELEMENT = struct.pack("<HHI", 0, 0x0900, 2)
#: The largest PDU to a peer that sets no limit.
_UNLIMITED = 131072


class PeerError(Exception):
    """The peer rejected or ended the association."""


# --- upper layer (PS3.8 9.3) ---------------------------------------------------------------------


def associate_rq(
    contexts: Sequence[tuple[str, Sequence[str]]], calling: str = CALLING, maximum: int = 16384
) -> bytes:
    """A-ASSOCIATE-RQ for (abstract syntax, transfer syntaxes); the n-th has context id 2n + 1."""
    items = _item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, (abstract, syntaxes) in enumerate(contexts):
        offered = b"".join(_item(0x40, syntax.encode()) for syntax in syntaxes)
        identified = bytes((2 * number + 1, 0, 0, 0))
        items += _item(0x20, identified + _item(0x30, abstract.encode()) + offered)
    user = _item(0x51, struct.pack(">I", maximum)) + _item(0x52, b"2.25.1") + _item(0x55, b"BENCH")
    body = struct.pack(">HH16s16s32x", 1, 0, CALLED.ljust(16).encode(), calling.ljust(16).encode())
    body += items + _item(0x50, user)
    return struct.pack(">BBI", 1, 0, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(value)) + value


def _accepted(body: bytes) -> tuple[set[int], int]:
    """The accepted context ids and the peer's maximum length of an A-ASSOCIATE-AC."""
    accepted, maximum, at = set(), 0, 68
    while at < len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        value = body[at + 4 : at + 4 + length]
        if kind == 0x21 and value[2] == 0:
            accepted.add(value[0])
        if kind == 0x50 and value[:1] == b"\x51":
            maximum = struct.unpack_from(">I", value, 4)[0]
        at += 4 + length
    return accepted, maximum


@dataclass(slots=True)
class Connection:
    """An association as requestor."""

    socket: socket.socket
    accepted: set[int]
    maximum: int

    @classmethod
    def open(
        cls, port: int, request: bytes, *, nagle: bool = False, tls: bool = False
    ) -> Connection:
        connection = socket.create_connection(("127.0.0.1", port), timeout=120)
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0 if nagle else 1)
        if tls:
            connection = _trusting().wrap_socket(connection)
        connection.sendall(request)
        try:
            kind, body = _read_pdu(connection)
        except PeerError:
            connection.close()
            raise
        if kind != 2:
            connection.close()
            raise PeerError(f"not accepted: PDU {kind} {body.hex()}")
        return cls(connection, *_accepted(body))

    def status(self) -> int:
        """The Status of the next message without a data set, such as a C-STORE-RSP."""
        pdu = self.socket.recv(_LONGEST_RESPONSE)
        while len(pdu) < 6 or len(pdu) < 6 + int.from_bytes(pdu[2:6], "big"):
            part = self.socket.recv(_LONGEST_RESPONSE)
            if not part:
                raise PeerError("closed by the peer")
            pdu += part
        if pdu[0] != 4:
            raise PeerError(f"PDU {pdu[0]} instead of an answer")
        # the last one: a Message ID can look like it together with the bytes around
        at = pdu.rfind(_STATUS_ELEMENT) + len(_STATUS_ELEMENT)
        return int.from_bytes(pdu[at : at + 2], "little")

    def message(self) -> tuple[int, bytes]:
        """The Status and the data set of the next message, in any number of fragments."""
        parts = {0: b"", 1: b""}
        while True:
            kind, body = _read_pdu(self.socket)
            if kind != 4:
                raise PeerError(f"PDU {kind} instead of an answer")
            at = 0
            while at < len(body):
                length, _, control = struct.unpack_from(">IBB", body, at)
                parts[control & 1] += body[at + 6 : at + 4 + length]
                at += 4 + length
                if control & 2:
                    elements = command_set(parts[1])
                    if not control & 1 or elements[0x0800] == b"\x01\x01":
                        return _status(elements), parts[0]

    def release(self) -> None:
        self.socket.sendall(struct.pack(">BBII", 5, 0, 4, 0))
        _read_pdu(self.socket)
        self.socket.close()


def _trusting() -> ssl.SSLContext:
    """TLS without checking the certificate of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    header = _read(connection, 6)
    return header[0], _read(connection, int.from_bytes(header[2:6], "big"))


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise PeerError("closed by the peer")
        data += part
    return data


# --- DIMSE (PS3.7 6.3, 9.3.1) --------------------------------------------------------------------


def command_set(data: bytes) -> dict[int, bytes]:
    """A command set as element number → value."""
    elements, at = {}, 0
    while at + 8 <= len(data):
        _, element, length = struct.unpack_from("<HHI", data, at)
        elements[element] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def _status(elements: dict[int, bytes]) -> int:
    return int.from_bytes(elements.get(0x0900, b"\xff\xff"), "little")


def command(elements: dict[int, bytes]) -> bytes:
    """The bytes of a command set."""
    body = b"".join(
        struct.pack("<HHI", 0, element, len(value) + len(value) % 2)
        + value
        + b"\0" * (len(value) % 2)
        for element, value in sorted(elements.items())
    )
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def p_data(context_id: int, control: int, length: int) -> bytes:
    """The header of a P-DATA-TF PDU with one fragment of `length` bytes."""
    return struct.pack(">BBIIBB", 4, 0, length + 6, length + 2, context_id, control)


@dataclass(slots=True)
class Message:
    """The C-STORE-RQ of one instance as buffers to send; `become` patches them in place."""

    instance: Instance
    buffers: list[bytes | bytearray | memoryview]
    _command: bytearray
    _message_id: int
    _uid: int

    @classmethod
    def of(cls, instance: Instance, maximum: int) -> Message:
        """The fragments respect the peer's `maximum` length (PS3.8 D.1)."""
        limit = (maximum or _UNLIMITED) - 6
        own = instance.become(0, 0).encode()
        encoded = bytearray(
            command(
                {
                    0x0002: instance.workload.sop_class_uid.encode(),
                    0x0100: b"\x01\0",
                    0x0110: b"\xff\xff",
                    0x0700: b"\x02\0",
                    0x0800: b"\x01\0",
                    0x1000: own,
                }
            )
        )
        buffers: list[bytes | bytearray | memoryview] = [p_data(1, 3, len(encoded)), encoded]
        remaining, at = instance.size, 0
        while remaining:
            length = min(remaining, limit)
            remaining -= length
            buffers.append(p_data(1, 0 if remaining else 2, length))
            buffers += _slices(instance, at, at + length)
            at += length
        message_id = encoded.index(b"\x10\x01\x02\0\0\0\xff\xff") + 6
        return cls(instance, buffers, encoded, message_id, encoded.index(own))

    @classmethod
    def plain(cls, instance: Instance) -> Message:
        """For receiver.c: eight bytes of length, then the bytes."""
        length = bytearray(struct.pack(">Q", instance.size))
        return cls(instance, [length, *_slices(instance, 0, instance.size)], bytearray(32), 0, 0)

    def become(self, run: int, number: int) -> None:
        own = self.instance.become(run, number).encode()
        self._command[self._message_id : self._message_id + 2] = struct.pack("<H", number & 0xFFFF)
        self._command[self._uid : self._uid + len(own)] = own

    def send(self, connection: socket.socket, *, nagle: bool) -> None:
        """With Nagle, header and body of each PDU are written separately, as DCMTK does."""
        if isinstance(connection, ssl.SSLSocket):
            for buffer in self.buffers:
                connection.sendall(buffer)
            return
        step = 1 if nagle else _BUFFERS
        for first in range(0, len(self.buffers), step):
            some = self.buffers[first : first + step]
            sent = connection.sendmsg(some)
            for buffer in some:
                if sent < len(buffer):
                    connection.sendall(memoryview(buffer)[max(0, sent) :])
                sent -= len(buffer)


def _slices(instance: Instance, start: int, end: int) -> list[memoryview]:
    """A range of bytes of the data set, without a copy."""
    border = len(instance.header)
    parts = []
    if start < border:
        parts.append(memoryview(instance.header)[start : min(end, border)])
    if end > border:
        parts.append(instance.pixels[max(0, start - border) : end - border])
    return parts


# --- the run -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """The results of a run, over all its associations."""

    sent: int
    failed: int
    bytes: int
    seconds: float
    cpu_seconds: float
    latencies: tuple[float, ...] = field(repr=False)
    error: str = ""

    @property
    def rate(self) -> float:
        """Instances per second."""
        return self.sent / self.seconds

    def percentile(self, share: float) -> float:
        """Seconds from the first byte of a request to its answer."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def send(
    port: int,
    workload: Workload,
    count: int,
    *,
    associations: int = 1,
    run: int = 1,
    first: int = 0,
    nagle: bool = False,
    plain: bool = False,
    tls: bool = False,
    longest_pdu: int = _UNLIMITED,
) -> Sent:
    """Send instances `first` to `first + count` of `run`, spread over the associations."""
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(associations)
    results: multiprocessing.Queue[tuple[float, float, int, int, float, list[float], str]]
    results = context.Queue()
    several = 2 if workload.pixel_bytes > 1 << 24 else max(1, min(32, count))
    prepared = instances(workload, several)

    def serve(numbers: range) -> None:
        outcome = _one_association(
            *(port, prepared, numbers, run, barrier),
            nagle=nagle,
            plain=plain,
            tls=tls,
            longest=longest_pdu,
        )
        results.put(outcome)

    parts = [range(first + n, first + count, associations) for n in range(associations)]
    processes = [context.Process(target=serve, args=(part,)) for part in parts]
    for process in processes:
        process.start()
    outcomes = [results.get() for _ in processes]
    for process in processes:
        process.join()
    sent = sum(outcome[2] for outcome in outcomes)
    return Sent(
        sent=sent,
        failed=count - sent,
        bytes=sent * prepared[0].size,
        seconds=max(o[1] for o in outcomes) - min(o[0] for o in outcomes),
        cpu_seconds=sum(o[4] for o in outcomes),
        latencies=tuple(latency for o in outcomes for latency in o[5]),
        error=next((o[6] for o in outcomes if o[6]), ""),
    )


def _one_association(
    port: int,
    prepared: Sequence[Instance],
    numbers: Iterable[int],
    run: int,
    barrier: multiprocessing.synchronize.Barrier,
    *,
    nagle: bool,
    plain: bool,
    tls: bool,
    longest: int,
) -> tuple[float, float, int, int, float, list[float], str]:
    good = bad = 0
    latencies: list[float] = []
    error = ""
    barrier.wait()
    started = time.monotonic()
    cpu = _cpu()
    try:
        if plain:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            messages = [Message.plain(instance) for instance in prepared]
        else:
            abstract = prepared[0].workload.sop_class_uid
            request = associate_rq([(abstract, [EXPLICIT_VR_LITTLE_ENDIAN])])
            association = Connection.open(port, request, nagle=nagle, tls=tls)
            if 1 not in association.accepted:
                raise PeerError("the presentation context is not accepted")
            connection = association.socket
            maximum = min(association.maximum or longest, longest)
            messages = [Message.of(instance, maximum) for instance in prepared]
        for number in numbers:
            message = messages[number % len(messages)]
            message.become(run, number)
            begun = time.monotonic()
            message.send(connection, nagle=nagle)
            status = (0 if connection.recv(1) else -1) if plain else association.status()
            latencies.append(time.monotonic() - begun)
            if status == 0 or status & 0xF000 == _PENDING_WARNINGS:
                good += 1
            else:
                bad += 1
                error = f"status {status:04X}"
        ended = time.monotonic()
        if plain:
            connection.close()
        else:
            association.release()
    except (OSError, PeerError) as failure:
        ended = time.monotonic()
        error = repr(failure)
    return started, ended, good, bad, _cpu() - cpu, latencies, error


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("peer", metavar="[HOST:]PORT")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--count", type=int, help="default: the number of the workload")
    parser.add_argument("--associations", type=int, default=1)
    parser.add_argument("--run", type=int, help="part of the UIDs; default: random")
    parser.add_argument("--nagle", action="store_true", help="leave Nagle's algorithm on")
    parser.add_argument("--pdu", type=int, default=_UNLIMITED, help="largest PDU to send")
    arguments = parser.parse_args()
    workload = WORKLOADS[arguments.workload]
    sent = send(
        int(arguments.peer.rpartition(":")[2]),
        workload,
        arguments.count or workload.count,
        associations=arguments.associations,
        run=arguments.run if arguments.run is not None else os.getpid(),
        nagle=arguments.nagle,
        longest_pdu=arguments.pdu,
    )
    print(
        f"{sent.sent} sent, {sent.failed} failed in {sent.seconds:.2f} s: {sent.rate:.0f}/s, "
        f"{sent.bytes / sent.seconds / 1e6:.0f} MB/s, sender {sent.cpu_seconds * 1e3:.0f} ms CPU"
        + (f", {sent.error}" if sent.error else "")
    )


if __name__ == "__main__":
    main()
