"""Surface: Storage Commitment Push Model (PS3.4 J.3): N-ACTION, and the N-EVENT-REPORT that follows
it on the same association."""

import structlog
from pydicom.charset import default_encoding
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from burnish import commitment
from burnish.commitment import Reference, Report
from burnish.db.session import Database
from burnish.errors import BurnishError, InvalidArgument, NotAuthorized, Unknown
from burnish.receive.following import rows_are_complete
from burnish.scp import attributes, dimse_n, messages, references, statuses
from burnish.scp.dimse_n import Response
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.scp.pending_reports import PendingReport
from burnish.scp.request_attributes import ItemEncoder
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import (
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
)

log = structlog.get_logger(__name__)

_REQUEST_STORAGE_COMMITMENT = 1
#: Event Type IDs (PS3.4 J.3.3.1): Storage Commitment Request Successful, and Storage Commitment
#: Request Complete - Failures Exist.
_SUCCESSFUL, _FAILURES_EXIST = 1, 2
_FAILED_SOP_SEQUENCE, _REFERENCED_SOP_SEQUENCE = 0x00081198, 0x00081199
#: Seconds that a request waits for the rows of instances that were just received.
_WAIT_FOR_ROWS = 0.5


class StorageCommitmentSCP:
    """The SCP of the Storage Commitment Push Model over the commitment stage."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool

    def answer(
        self,
        association: Acceptance,
        context_id: int,
        context: Context,
        command: Command,
        data: bytes,
    ) -> tuple[bytes, PendingReport | None]:
        """The response to one request as P-DATA-TF PDUs, and the report that follows it, if any."""
        commitment_id = 0

        def serve(
            association: Acceptance, context: Context, command: Command, data: bytes
        ) -> Response:
            nonlocal commitment_id
            failure = self._check(association, command)
            if failure is not None:
                return failure
            commitment_id = self._record(association, context, data)
            return Response(statuses.SUCCESS)

        pdus = dimse_n.respond(serve, association, context_id, context, command, data=data)
        response = b"".join(pdus)
        if not commitment_id:
            return response, None
        report = SameAssociationReport(
            self._settings,
            self._database,
            commitment_id,
            context_id=context_id,
            transfer_syntax_uid=context.transfer_syntax,
            maximum_length=association.maximum_length,
        )
        return response, report

    def _check(self, association: Acceptance, command: Command) -> Response | None:
        """The failure of a request that does not ask for commitment; raises BurnishError."""
        failure = dimse_n.check_operation(
            command, STORAGE_COMMITMENT_PUSH_MODEL, (messages.N_ACTION_RQ,)
        )
        if failure is not None:
            return failure
        if "commit" not in association.may:
            ae_title = association.calling_ae_title
            raise NotAuthorized(f"AE {ae_title} is not permitted to request commitment (peer.may)")
        instance_uid = command.text(messages.REQUESTED_SOP_INSTANCE_UID)
        if instance_uid != STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE:
            raise Unknown("not the well-known SOP Instance of Storage Commitment")
        action_type = dimse_n.action_type(command)
        if action_type != _REQUEST_STORAGE_COMMITMENT:
            return Response(statuses.NO_SUCH_ACTION, comment=f"no action type {action_type}")
        return None

    def _record(self, association: Acceptance, context: Context, data: bytes) -> int:
        """Records the transaction of an N-ACTION durably; returns its id."""
        transaction_uid, requested = _decode_action(data, context.transfer_syntax)
        rows_complete = rows_are_complete(self._database, self._spool, _WAIT_FOR_ROWS)
        with self._database.writing() as session:
            commitment_id = commitment.request(
                session,
                transaction_uid,
                requested,
                calling_ae_title=association.calling_ae_title,
                called_ae_title=association.called_ae_title,
            )
            commitment.judge(
                session,
                self._settings,
                self._spool,
                commitment_id,
                rows_complete=rows_complete,
            )
        log.info(
            "storage commitment requested",
            transaction_uid=transaction_uid,
            instances=len(requested),
            calling_ae_title=association.calling_ae_title,
        )
        return commitment_id


def _decode_action(data: bytes, transfer_syntax_uid: str) -> tuple[str, list[Reference]]:
    """Transaction UID and references of an N-ACTION (PS3.4 Table J.3-1).

    Raises Unreadable, InvalidArgument.
    """
    references_and_rest = references.split_references(data, transfer_syntax_uid)
    usual_references, rest = references_and_rest or ((), data)
    data_set = attributes.decode(rest, transfer_syntax_uid)
    try:
        transaction_uid = _uid(data_set, "TransactionUID")
        if usual_references:
            return transaction_uid, [
                (reference.sop_class_uid, reference.sop_instance_uid)
                for reference in usual_references
            ]
        return transaction_uid, [
            (_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))
            for item in data_set.get("ReferencedSOPSequence") or ()
        ]
    except attributes.PARSER_ERRORS as error:
        raise InvalidArgument(f"an attribute cannot be read: {type(error).__name__}") from None


def _uid(data_set: Dataset, keyword: str) -> str:
    return str(data_set.get(keyword) or "").strip("\0 ")


def event_type(report: Report) -> int:
    """The Event Type ID of a report."""
    return _FAILURES_EXIST if report.failed else _SUCCESSFUL


def event_information(report: Report, transfer_syntax_uid: str) -> Dataset:
    """The data set of an N-EVENT-REPORT (PS3.4 Table J.3-2), to be sent in this transfer syntax.

    The items of its sequences are encoded already: as data sets of pydicom they take a hundred
    times as much memory.
    """
    encoder = ItemEncoder(transfer_syntax_uid)
    committed = [
        encoder.committed(
            item.sop_class_uid, item.sop_instance_uid, item.file_set_id, item.file_set_uid
        )
        for item in report.committed
    ]
    failed = [
        encoder.failure(item.sop_class_uid, item.sop_instance_uid, "", item.failure_reason, "")
        for item in report.failed
    ]
    data_set = Dataset()
    data_set.TransactionUID = report.transaction_uid
    transfer_syntax = UID(transfer_syntax_uid)
    is_implicit = transfer_syntax.is_implicit_VR
    is_little_endian = transfer_syntax.is_little_endian
    for tag, items in ((_FAILED_SOP_SEQUENCE, failed), (_REFERENCED_SOP_SEQUENCE, committed)):
        if items:
            content = b"".join(items)
            data_set[tag] = RawDataElement(
                Tag(tag), "SQ", len(content), content, 0, is_implicit, is_little_endian
            )
    # pydicom writes encoded values as they are if the encoding is the one in which they were read
    data_set.set_original_encoding(is_implicit, is_little_endian, default_encoding)
    return data_set


def log_failed_report(reason: str, *, is_tried_again: bool, **details: str) -> None:
    """Logs that a report was not delivered, and whether it is tried again later."""
    if is_tried_again:
        log.warning("storage commitment report postponed", why=reason, **details)
    else:
        log.error("storage commitment report abandoned", why=reason, **details)


class SameAssociationReport:
    """The report of one transaction on the association that requested it.

    If it cannot be delivered there, the transaction stays due for a new association.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        commitment_id: int,
        *,
        context_id: int,
        transfer_syntax_uid: str,
        maximum_length: int,
    ) -> None:
        self._settings = settings
        self._database = database
        self._commitment_id = commitment_id
        self._context_id = context_id
        self._transfer_syntax_uid = transfer_syntax_uid
        self._maximum_length = maximum_length

    def message(self, message_id: int) -> bytes | None:
        """The N-EVENT-REPORT-RQ; b"" while some instances may still arrive.

        None if a new association reports the transaction, or the database does not answer now.
        """
        try:
            with self._database.reading() as session:
                if not commitment.is_judged(session, self._commitment_id):
                    return b""
            with self._database.writing() as session:
                report = commitment.claim(session, self._commitment_id, early=True)
        except BurnishError as error:
            log.error("storage commitment report postponed", why=str(error))
            return None
        if report is None:
            return None
        request = messages.event_report(
            STORAGE_COMMITMENT_PUSH_MODEL,
            STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            message_id,
            event_type(report),
        )
        information = event_information(report, self._transfer_syntax_uid)
        data = attributes.encode(information, self._transfer_syntax_uid)
        return messages.p_data(self._context_id, request, data, self._maximum_length)

    def receive_response(self, response: Command) -> None:
        """Records how the peer has answered the report."""
        status = response.number(messages.STATUS)
        if statuses.is_success_or_warning(status):
            with self._database.writing() as session:
                commitment.delivered(session, self._commitment_id)
            log.info("storage commitment reported", status=f"{status:04X}", association="same")
            return
        reason = f"the peer answered {status:04X}H"
        with self._database.writing() as session:
            is_tried_again = commitment.not_delivered(
                session, self._settings, self._commitment_id, reason
            )
        log_failed_report(reason, is_tried_again=is_tried_again, association="same")

    def drop(self) -> None:
        """The association has ended without a response: a new one may report at once."""
        with self._database.writing() as session:
            commitment.hand_back(session, self._commitment_id)
