"""Storage Commitment: every status of N-ACTION, and reports on the same and on new associations."""

import ssl
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.dul import DULServiceProvider
from sqlalchemy import update

import certificates
from burnish import commitment
from burnish.commitment import CommitmentLine, Item
from burnish.db.tables import CommitmentTransaction
from burnish.scp import attributes, messages
from burnish.scp.event_reports import Reporter
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.scp.pending_reports import PendingReport, PendingReports
from burnish.scp.storage_commitment import StorageCommitmentSCP, event_information
from burnish.settings import PeerSettings, StorageCommitmentSettings, TLSSettings
from burnish.vocabulary import STORAGE_COMMITMENT_PUSH_MODEL as PUSH
from burnish.vocabulary import STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE as WELL_KNOWN
from factories import CT, Ground, instance
from peer import command
from ports import free_port

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
EVERYTHING = frozenset({"echo", "store", "media", "commit"})
OLD = datetime(2024, 1, 2, tzinfo=UTC)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    peers = (PeerSettings(ae_title="PACS", host="127.0.0.1", port=free_port()),)
    table = StorageCommitmentSettings(wait_for_instances=timedelta(0))
    with Ground(tmp_path, storage_commitment=table, peer=peers) as ground:
        yield ground


def n_action(*sop_instance_uids: str, uid: str | None = "1.2.3.4") -> Dataset:
    data_set = Dataset()
    if uid is not None:
        data_set.TransactionUID = uid
    data_set.ReferencedSOPSequence = []
    for sop_instance_uid in sop_instance_uids:
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = sop_instance_uid
        data_set.ReferencedSOPSequence.append(item)
    return data_set


@pytest.mark.parametrize("transfer_syntax_uid", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_a_large_report_takes_a_few_times_the_memory_of_its_bytes(
    transfer_syntax_uid: str,
) -> None:
    items = tuple(
        Item(CT, f"1.2.826.0.1.3680043.8.498.{10**30 + number}", number % 2 * 0x0112, "", "")
        for number in range(5000)
    )
    report = commitment.Report(1, "1.2.3.4", items)
    tracemalloc.start()
    try:
        data_set = event_information(report, transfer_syntax_uid)
        data = attributes.encode(data_set, transfer_syntax_uid)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(data)
    received = attributes.decode(data, transfer_syntax_uid)
    assert received.TransactionUID == "1.2.3.4"
    assert len(received.ReferencedSOPSequence) == 2500
    assert len(received.FailedSOPSequence) == 2500
    assert received.ReferencedSOPSequence[-1].ReferencedSOPInstanceUID == items[-2].sop_instance_uid
    assert received.FailedSOPSequence[-1].ReferencedSOPInstanceUID == items[-1].sop_instance_uid
    assert received.FailedSOPSequence[-1].FailureReason == 0x0112


def messages_in(pdus: bytes) -> tuple[Command, Dataset]:
    parts = {0: b"", 1: b""}
    while pdus:
        length = struct.unpack_from(">I", pdus, 2)[0]
        parts[pdus[11] & 1] += pdus[12 : 6 + length]
        pdus = pdus[6 + length :]
    data_set = attributes.decode(parts[0], EXPLICIT) if parts[0] else Dataset()
    return Command.decode(parts[1]), data_set


def send(
    ground: Ground,
    data: Dataset | bytes,
    *,
    field: int = messages.N_ACTION_RQ,
    sop_class: str = PUSH,
    requested: str = WELL_KNOWN,
    action: int | None = 1,
    may: frozenset[str] = EVERYTHING,
) -> tuple[int, PendingReport | None]:
    """Sends a request; returns the status of the response and the report that follows it."""
    more = {
        messages.REQUESTED_SOP_CLASS_UID: sop_class.encode(),
        messages.REQUESTED_SOP_INSTANCE_UID: requested.encode(),
    }
    if action is not None:
        more[messages.ACTION_TYPE_ID] = struct.pack("<H", action)
    without = [messages.AFFECTED_SOP_CLASS_UID]
    body = data if isinstance(data, bytes) else attributes.encode(data, EXPLICIT)
    answer, report = StorageCommitmentSCP(ground.settings, ground.database, ground.spool).answer(
        Acceptance("PACS", "BURNISH", 16384, {}, may, b""),
        1,
        Context(PUSH, EXPLICIT, storage=False),
        Command.decode(command(field, sop_class, data_set=bool(body), more=more, without=without)),
        body,
    )
    response, _ = messages_in(answer)
    status = response.number(messages.STATUS)
    failed = status != 0
    assert bool(response.text(messages.ERROR_COMMENT)) == failed
    assert (report is None) == failed
    return status, report


def response_to(message_id: int, status: int) -> Command:
    more = {messages.STATUS: struct.pack("<H", status)}
    field = messages.N_EVENT_REPORT_RQ | messages.RESPONSE
    return Command.decode(command(field, PUSH, message_id=message_id, more=more))


def newest(ground: Ground) -> CommitmentLine:
    """The newest transaction as it is listed."""
    with ground.database.reading() as session:
        return commitment.listing(session)[0]


@pytest.mark.parametrize(
    ("request_options", "status"),
    [
        ({"field": messages.N_GET_RQ}, 0x0211),
        ({"sop_class": CT}, 0x0118),
        ({"may": frozenset({"store"})}, 0x0124),
        ({"requested": "1.2.3"}, 0x0112),
        ({"requested": ""}, 0x0112),
        ({"action": 2}, 0x0123),
        ({"action": None}, 0x0212),
        ({"data": b"\x08\x00\x95\x11UI\xff\x001.2"}, 0x0212),
        ({"data": attributes.encode(n_action("1.2.3"), EXPLICIT)[:-1]}, 0x0212),
        ({"data": attributes.encode(n_action("1.2.3"), EXPLICIT) + b"\0\0"}, 0x0212),
        ({"data": b""}, 0x0115),
        ({"data": n_action("1.2.3", uid=None)}, 0x0115),
        ({"data": n_action("1.2.3", uid="")}, 0x0115),
        ({"data": n_action()}, 0x0115),
        ({"data": n_action("")}, 0x0115),
    ],
)
def test_an_invalid_request_fails_and_records_nothing(
    ground: Ground, request_options: dict[str, Any], status: int
) -> None:
    assert send(ground, **{"data": n_action("1.2.3"), **request_options})[0] == status
    assert ground.count(CommitmentTransaction) == 0


def test_a_report_follows_on_the_same_association(ground: Ground) -> None:
    stored = instance()
    ground.store(stored)
    status, report = send(ground, n_action(stored.sop_instance_uid, "1.2.99"))
    assert status == 0
    assert report
    reports = PendingReports()
    reports.add(report)
    assert reports.may_send
    request, data_set = messages_in(reports.next_message(7))
    assert request.number(messages.COMMAND_FIELD) == messages.N_EVENT_REPORT_RQ
    assert request.number(messages.MESSAGE_ID) == 7
    assert request.number(messages.EVENT_TYPE_ID) == 2
    assert request.text(messages.AFFECTED_SOP_INSTANCE_UID) == WELL_KNOWN
    assert data_set.TransactionUID == "1.2.3.4"
    (committed,), (failed,) = data_set.ReferencedSOPSequence, data_set.FailedSOPSequence
    assert committed.ReferencedSOPInstanceUID == stored.sop_instance_uid
    assert failed.ReferencedSOPInstanceUID == "1.2.99"
    assert failed.FailureReason == 0x0112
    assert not reports.may_send, "one report at a time"
    assert reports.receive_response(response_to(7, 0))
    assert not reports.receive_response(response_to(7, 0))
    reports.drop()
    assert newest(ground).state == "REPORTED"


def test_an_instance_that_is_listed_twice_is_answered_once(ground: Ground) -> None:
    stored = instance()
    ground.store(stored)
    uid = stored.sop_instance_uid
    status, report = send(ground, n_action(uid, "1.2.99", uid, "1.2.99"))
    assert status == 0
    assert report
    _, data_set = messages_in(report.message(1) or b"")
    assert [item.ReferencedSOPInstanceUID for item in data_set.ReferencedSOPSequence] == [uid]
    assert [item.ReferencedSOPInstanceUID for item in data_set.FailedSOPSequence] == ["1.2.99"]


def test_a_report_of_success_has_no_failed_sop_sequence(ground: Ground) -> None:
    stored = instance()
    ground.store(stored)
    _, report = send(ground, n_action(stored.sop_instance_uid))
    assert report
    request, data_set = messages_in(report.message(1) or b"")
    assert request.number(messages.EVENT_TYPE_ID) == 1
    assert [element.keyword for element in data_set] == ["TransactionUID", "ReferencedSOPSequence"]


def test_a_report_is_due_again_if_the_association_ends_without_a_response(ground: Ground) -> None:
    _, report = send(ground, n_action("1.2.99"))
    reports = PendingReports()
    assert report
    reports.add(report)
    assert reports.next_message(1)
    reports.drop()
    with ground.database.reading() as session:
        assert commitment.due(session) == {("PACS", "BURNISH"): [1]}


def test_a_report_that_the_peer_answers_with_a_failure_stays_due(ground: Ground) -> None:
    _, report = send(ground, n_action("1.2.99"))
    assert report
    assert report.message(1)
    report.receive_response(response_to(1, 0x0110))
    assert newest(ground).state == "TO REPORT"
    assert newest(ground).why == "the peer answered 0110H"


def test_a_report_waits_for_instances_that_may_still_arrive(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        stored = instance()
        _, report = send(ground, n_action(stored.sop_instance_uid))
        assert report
        assert report.message(1) == b""
        ground.store(stored)
        with ground.database.writing() as session:
            assert commitment.judge(session, ground.settings, ground.spool, 1)
        assert report.message(1)


# --- on new associations -------------------------------------------------------------------------


@contextmanager
def pacs(
    ground: Ground,
    status: int = 0,
    tls: ssl.SSLContext | None = None,
    *,
    aborts_over: str = "",
) -> Iterator[list[tuple[Any, ...]]]:
    """A PACS that receives reports; yields (calling, called, event type, data set) of each.

    `aborts_over` is the Transaction UID of the report over which it aborts the association.
    """
    received: list[tuple[Any, ...]] = []

    def receive(event: evt.Event) -> tuple[int, None]:
        requestor, acceptor = event.assoc.requestor, event.assoc.acceptor
        ae_titles = requestor.ae_title, requestor.primitive.called_ae_title
        assert event.assoc.accepted_contexts[0].as_scp is False, acceptor
        received.append((*ae_titles, event.event_type, event.event_information))
        if event.event_information.TransactionUID == aborts_over:
            event.assoc.abort()
        return status, None

    ae = AE("PACS")
    ae.add_supported_context(PUSH, scu_role=False, scp_role=True)
    address = ("127.0.0.1", ground.settings.peer[0].port)
    handlers = [(evt.EVT_N_EVENT_REPORT, receive)]
    server = ae.start_server(address, block=False, evt_handlers=handlers, ssl_context=tls)
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()


def request_and_report(ground: Ground, *uids: str) -> None:
    """Requests commitment of each instance in its own transaction, and delivers all reports."""
    for number, uid in enumerate(uids, start=1):
        assert send(ground, n_action(uid, uid=f"1.2.3.{number}"))[0] == 0
    report(ground)


def report(ground: Ground) -> None:
    """Makes all reports due and delivers them."""
    with ground.database.writing() as session:
        session.execute(update(CommitmentTransaction).values(not_before=OLD))
    reporter = Reporter(ground.settings, ground.database)
    reporter.tick()
    reporter.wait()
    reporter.tick()
    reporter.close()


def test_reports_on_a_new_association(ground: Ground) -> None:
    stored = instance()
    ground.store(stored)
    with pacs(ground) as received:
        request_and_report(ground, stored.sop_instance_uid, "1.2.99")
    assert [report[:3] for report in received] == [("BURNISH", "PACS", 1), ("BURNISH", "PACS", 2)]
    assert (
        received[0][3].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == stored.sop_instance_uid
    )
    assert newest(ground).state == "REPORTED"


def test_reports_are_tried_again_until_the_peer_takes_them(ground: Ground) -> None:
    request_and_report(ground, "1.2.99")
    assert newest(ground).why == "there is no connection with the peer"
    with pacs(ground, status=0x0112):
        report(ground)
    assert newest(ground).why == "the peer answered 0112H"
    ae = AE("PACS")
    ae.add_supported_context("1.2.840.10008.1.1")
    address = ("127.0.0.1", ground.settings.peer[0].port)
    server = ae.start_server(address, block=False)
    report(ground)
    assert newest(ground).why == "the peer accepts none of the presentation contexts"
    ae.require_calling_aet = ["OTHER"]
    report(ground)
    server.shutdown()
    server.server_close()
    assert "rejects the association: Calling AE title not recog" in newest(ground).why
    assert newest(ground).state == "TO REPORT"
    with pacs(ground) as received:
        report(ground)
    assert len(received) == 1
    assert newest(ground).state == "REPORTED"
    assert newest(ground).attempts == 5


def attempts_after_delivering(ground: Ground) -> list[int]:
    """Delivers what is due, and returns how often each transaction was tried, the newest first."""
    reporter = Reporter(ground.settings, ground.database)
    reporter.tick()
    reporter.wait()
    reporter.close()
    with ground.database.reading() as session:
        return [line.attempts for line in commitment.listing(session)]


def test_a_report_over_which_the_peer_aborts_does_not_stop_the_others(ground: Ground) -> None:
    make_two_reports_due(ground)
    with pacs(ground, aborts_over="1.2.3.1") as received:
        assert attempts_after_delivering(ground) == [0, 1], "the report not sent is not to blame"
        assert attempts_after_delivering(ground) == [1, 1]
    assert [report[3].TransactionUID for report in received] == ["1.2.3.1", "1.2.3.2"]
    assert newest(ground).state == "REPORTED"


def test_a_report_without_an_answer_ends_the_association(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while pynetdicom still calls the association established.

    The association's own thread is held where it has seen the abort of the peer and has not
    cleared `is_established` yet.
    """
    may_go_on = threading.Event()
    receive_pdu = DULServiceProvider.receive_pdu

    def receive_pdu_late(dul: DULServiceProvider, wait: bool = False, timeout: Any = None) -> Any:
        if threading.current_thread() is dul.assoc and dul.assoc.is_requestor and not wait:
            may_go_on.wait(10)  # for a reporter that would wait for this thread
        return receive_pdu(dul, wait, timeout)

    monkeypatch.setattr(DULServiceProvider, "receive_pdu", receive_pdu_late)
    make_two_reports_due(ground)
    with pacs(ground, aborts_over="1.2.3.1") as received:
        assert attempts_after_delivering(ground) == [0, 1]
        assert [report[3].TransactionUID for report in received] == ["1.2.3.1"]
        may_go_on.set()
        assert attempts_after_delivering(ground) == [1, 1]
    assert newest(ground).state == "REPORTED"


def make_two_reports_due(ground: Ground) -> None:
    """Those of the transactions 1.2.3.1 and 1.2.3.2."""
    for uid in ("1.2.3.1", "1.2.3.2"):
        assert send(ground, n_action("1.2.99", uid=uid))[0] == 0
    with ground.database.writing() as session:
        session.execute(update(CommitmentTransaction).values(not_before=OLD))


def test_a_report_to_a_peer_without_a_host_stays_due(tmp_path: Path) -> None:
    with Ground(
        tmp_path, storage_commitment=StorageCommitmentSettings(wait_for_instances=timedelta(0))
    ) as ground:
        request_and_report(ground, "1.2.99")
        assert "has no host" in newest(ground).why


@pytest.mark.parametrize(
    ("certificate", "state"), [("C=IT,CN=pacs", "REPORTED"), ("CN=x", "TO REPORT")]
)
def test_reports_over_tls_need_the_certificate_of_the_peer(
    tmp_path: Path, certificate: str, state: str
) -> None:
    ca = certificates.identity(tmp_path, "ca", authority=True, elliptic=True)
    ours = certificates.identity(tmp_path, "burnish", issuer=ca, elliptic=True)
    theirs = certificates.identity(tmp_path, "pacs", issuer=ca, elliptic=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca.certificate))
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.verify_mode = ssl.CERT_REQUIRED
    peer = PeerSettings(
        ae_title="PACS", host="127.0.0.1", port=free_port(), tls=True, certificate=certificate
    )
    with Ground(
        tmp_path / "ground",
        storage_commitment=StorageCommitmentSettings(wait_for_instances=timedelta(0)),
        peer=(peer,),
        tls=TLSSettings(certificate=ours.certificate, key=ours.key, ca=ca.certificate),
    ) as ground:
        with pacs(ground, tls=context) as received:
            request_and_report(ground, "1.2.99")
        assert newest(ground).state == state
        assert bool(received) == (state == "REPORTED")
