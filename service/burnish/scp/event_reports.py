"""Surface: sends the reports of Storage Commitment on associations of our own (PS3.4 J.3.3)."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog
from pynetdicom import AE, build_role
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from burnish import commitment
from burnish.access.outgoing_associations import KEEP_ANSWERS, why_none
from burnish.access.tls import client_context, shows
from burnish.commitment import Report
from burnish.db.session import Database
from burnish.errors import InvalidSettings, OutOfResources
from burnish.scp.storage_commitment import event_information, event_type, is_delivered
from burnish.settings import Settings
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
)

log = structlog.get_logger(__name__)
# what it says of an association that fails is said by us, once
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

#: Peers that are called at the same time: a silent one takes no time from the others.
_AT_ONCE = 4
#: Seconds for a connection, an answer to A-ASSOCIATE-RQ, and an answer to a report: all together
#: less than a claim lasts.
_CONNECT, _ASSOCIATE, _ANSWER = 10.0, 15.0, 30.0
#: Reports that go by one association.
_MOST = 50


class Reporter:
    """Delivers what is due, by one association for each peer; what fails is tried again."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="report")
        self._under_way: dict[tuple[str, str], Future[None]] = {}

    def tick(self) -> None:
        """Begins to deliver what is due, and returns."""
        for ends, future in list(self._under_way.items()):
            if future.done():
                del self._under_way[ends]
                error = future.exception()
                if isinstance(error, OutOfResources):
                    log.error("reports have to wait", peer=ends[0], why=str(error))
                elif error:
                    log.error("reports ended by a defect", peer=ends[0], exc_info=error)
        with self._database.reading() as session:
            due = commitment.due(session)
        for ends, ids in due.items():
            if ends not in self._under_way:
                self._under_way[ends] = self._pool.submit(self.deliver, *ends, ids[:_MOST])

    def wait(self) -> None:
        """Waits until the deliveries that were begun have ended."""
        wait(list(self._under_way.values()))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def deliver(self, calling: str, called: str, ids: Sequence[int]) -> None:
        """Reports transactions to one peer, and records the outcome of each.

        A report without an answer ends the association. The reports after it stay due and go by
        the next association, so that one report a peer fails on does not keep back the others.
        pynetdicom clears `is_established` only some milliseconds after it has told its caller that
        there is no answer. So that flag alone does not say whether the next report can be sent.
        """
        association, why = self._associate(calling, called)
        try:
            for message_id, commitment_id in enumerate(ids, start=1):
                if association is not None and not association.is_established:
                    return
                with self._database.writing() as session:
                    report = commitment.claim(session, commitment_id)
                if report is None:
                    continue
                is_answered = True
                if association is not None:
                    is_answered, why = _send(association, report, message_id)
                self._note(calling, report, why)
                if association is not None and not is_answered:
                    association.abort()
                    return
        finally:
            if association is not None:
                association.release()

    def _associate(self, peer_title: str, own_title: str) -> tuple[Association | None, str]:
        """An association in which we are the SCP, or why there is none."""
        peer = next((peer for peer in self._settings.peer if peer.ae_title == peer_title), None)
        if peer is None or not peer.host:
            return None, f"[[peer]] {peer_title} has no host: the report cannot be sent"
        try:
            tls = client_context(self._settings.tls) if peer.tls else None
        except InvalidSettings as error:
            return None, str(error)
        entity = AE(ae_title=own_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.connection_timeout = _CONNECT
        entity.acse_timeout = _ASSOCIATE
        entity.dimse_timeout = entity.network_timeout = _ANSWER
        entity.add_requested_context(
            StorageCommitmentPushModel, [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
        )
        association = entity.associate(
            peer.host,
            peer.port,
            ae_title=peer.ae_title,
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
            evt_handlers=[KEEP_ANSWERS],
            tls_args=(tls, peer.host) if tls else None,
        )
        if association.is_established:
            if shows(association.dul.socket and association.dul.socket.socket, peer.certificate):
                return association, ""
            association.abort()
            return None, "the peer does not show its certificate"
        return None, why_none(association)

    def _note(self, peer: str, report: Report, why: str) -> None:
        said = {"transaction_uid": report.transaction_uid, "peer": peer}
        with self._database.writing() as session:
            if not why:
                commitment.delivered(session, report.commitment_id)
                kept = True
            else:
                kept = commitment.not_delivered(session, self._settings, report.commitment_id, why)
        if not why:
            log.info("storage commitment reported", association="new", **said)
        elif kept:
            log.warning("storage commitment not reported, tried again later", why=why, **said)
        else:
            log.error("storage commitment not reported, given up", why=why, **said)


def _send(association: Association, report: Report, message_id: int) -> tuple[bool, str]:
    """Whether the association can go on, and why the report was not delivered ("" if it was)."""
    try:
        answer, _ = association.send_n_event_report(
            event_information(report),
            event_type(report),
            STORAGE_COMMITMENT_PUSH_MODEL,
            STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            msg_id=message_id,
        )
    except ValueError as error:  # pynetdicom cannot encode the report; nothing was sent
        return True, f"the report cannot be sent: {error}"
    except RuntimeError as error:  # the peer has just ended the association
        return False, f"the report cannot be sent: {error}"
    if "Status" not in answer:
        return False, "the peer did not answer the report"
    status = int(answer.Status)
    return True, "" if is_delivered(status) else f"the peer answered {status:04X}H"
