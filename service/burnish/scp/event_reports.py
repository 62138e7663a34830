"""Surface: sends the reports of Storage Commitment on associations that Burnish requests
(PS3.4 J.3.3)."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import structlog
from pynetdicom import build_context, build_role
from pynetdicom.association import Association

from burnish import commitment
from burnish.access.outgoing_associations import NoAssociationError, request_association
from burnish.commitment import Report
from burnish.db.session import Database
from burnish.errors import OutOfResources
from burnish.scp import statuses
from burnish.scp.storage_commitment import event_information, event_type, log_failed_report
from burnish.settings import Settings
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
)

log = structlog.get_logger(__name__)

#: Peers that get reports at the same time. A peer that does not answer delays no other.
SIMULTANEOUS_PEERS = 4
#: Seconds for the answer to A-ASSOCIATE-RQ and for the response to a report. Both together, with
#: the time to connect, are less than the two minutes that `commitment.claim` reserves a report.
ACSE_TIMEOUT, DIMSE_TIMEOUT = 15.0, 30.0
REPORTS_PER_ASSOCIATION = 50


class _NoResponseError(Exception):
    """The peer did not respond to a report, or ended the association before it was sent."""


class Reporter:
    """Delivers the reports that are due, each peer's on one association.

    A report that fails stays due, and a later `tick` tries it again.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._pool = ThreadPoolExecutor(SIMULTANEOUS_PEERS, thread_name_prefix="report")
        #: By calling and called AE title of the associations that asked for commitment.
        self._deliveries: dict[tuple[str, str], Future[None]] = {}

    def tick(self) -> None:
        """Starts to deliver what is due, and returns without waiting for it."""
        self._remove_finished_deliveries()
        with self._database.reading() as session:
            due = commitment.due(session)
        for (peer_title, own_title), commitment_ids in due.items():
            if (peer_title, own_title) not in self._deliveries:
                self._deliveries[peer_title, own_title] = self._pool.submit(
                    self.deliver, peer_title, own_title, commitment_ids[:REPORTS_PER_ASSOCIATION]
                )

    def _remove_finished_deliveries(self) -> None:
        for ae_titles, delivery in list(self._deliveries.items()):
            if not delivery.done():
                continue
            del self._deliveries[ae_titles]
            error = delivery.exception()
            if isinstance(error, OutOfResources):
                log.error("reports postponed", peer=ae_titles[0], why=str(error))
            elif error:
                log.error("reports ended by a defect", peer=ae_titles[0], exc_info=error)

    def wait(self) -> None:
        """Waits until the deliveries that were started have ended."""
        wait(list(self._deliveries.values()))

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def deliver(self, peer_title: str, own_title: str, commitment_ids: Sequence[int]) -> None:
        """Sends reports to one peer and records the outcome of each."""
        try:
            association = self._associate(peer_title, own_title)
        except NoAssociationError as error:
            for commitment_id in commitment_ids:
                report = self._claim(commitment_id)
                if report is not None:
                    self._record_failure(peer_title, report, str(error))
            return
        try:
            self._send_reports(association, peer_title, commitment_ids)
        finally:
            association.release()

    def _send_reports(
        self, association: Association, peer_title: str, commitment_ids: Sequence[int]
    ) -> None:
        """Sends reports until one has no response, which ends the association.

        The reports after that one stay due and go by the next association, so that one report
        which a peer fails on does not keep back the others.

        pynetdicom clears `is_established` some milliseconds after it has told its caller that there
        is no response. So that flag alone does not say whether the next report can be sent.
        """
        for message_id, commitment_id in enumerate(commitment_ids, start=1):
            if not association.is_established:
                return
            report = self._claim(commitment_id)
            if report is None:
                continue
            try:
                failure = _send(association, report, message_id)
            except _NoResponseError as error:
                self._record_failure(peer_title, report, str(error))
                association.abort()
                return
            if failure:
                self._record_failure(peer_title, report, failure)
            else:
                self._record_delivery(peer_title, report)

    def _associate(self, peer_title: str, own_title: str) -> Association:
        """An association in which Burnish is the SCP; raises NoAssociationError."""
        peer = next((peer for peer in self._settings.peer if peer.ae_title == peer_title), None)
        if peer is None or not peer.host:
            raise NoAssociationError(
                f"the report cannot be sent: [[peer]] {peer_title} has no host"
            )
        transfer_syntaxes = [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN]
        return request_association(
            self._settings,
            peer,
            calling_ae_title=own_title,
            contexts=[build_context(STORAGE_COMMITMENT_PUSH_MODEL, transfer_syntaxes)],
            negotiation_items=[build_role(STORAGE_COMMITMENT_PUSH_MODEL, scp_role=True)],
            acse_timeout=ACSE_TIMEOUT,
            dimse_timeout=DIMSE_TIMEOUT,
        )

    def _claim(self, commitment_id: int) -> Report | None:
        with self._database.writing() as session:
            return commitment.claim(session, commitment_id)

    def _record_delivery(self, peer_title: str, report: Report) -> None:
        with self._database.writing() as session:
            commitment.delivered(session, report.commitment_id)
        log.info(
            "storage commitment reported",
            association="new",
            transaction_uid=report.transaction_uid,
            peer=peer_title,
        )

    def _record_failure(self, peer_title: str, report: Report, reason: str) -> None:
        with self._database.writing() as session:
            is_tried_again = commitment.not_delivered(
                session, self._settings, report.commitment_id, reason
            )
        log_failed_report(
            reason,
            is_tried_again=is_tried_again,
            transaction_uid=report.transaction_uid,
            peer=peer_title,
        )


def _send(association: Association, report: Report, message_id: int) -> str:
    """Sends one report; returns "", or why the peer has not taken it.

    Raises _NoResponseError.
    """
    (context,) = association.accepted_contexts
    (transfer_syntax,) = context.transfer_syntax
    try:
        response, _ = association.send_n_event_report(
            event_information(report, transfer_syntax),
            event_type(report),
            STORAGE_COMMITMENT_PUSH_MODEL,
            STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            msg_id=message_id,
        )
    except ValueError as error:  # pynetdicom cannot encode the report; nothing was sent
        return f"the report cannot be sent: {error}"
    except RuntimeError as error:  # the association has just ended
        raise _NoResponseError(f"the report cannot be sent: {error}") from None
    if "Status" not in response:
        raise _NoResponseError("the peer did not answer the report")
    status = int(response.Status)
    return "" if statuses.is_success_or_warning(status) else f"the peer answered {status:04X}H"
