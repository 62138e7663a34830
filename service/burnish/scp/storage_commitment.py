"""Surface: Storage Commitment Push Model: N-ACTION, and the N-EVENT-REPORT that answers it on the
same association (PS3.4 J.3)."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import structlog
from pydicom.dataset import Dataset

from burnish import commitment
from burnish.commitment import Item, Reference, Report
from burnish.db.session import Database
from burnish.errors import BurnishError, InvalidArgument, NotAuthorized, Unknown
from burnish.scp import attributes, dimse_n, messages, references, statuses
from burnish.scp.dimse_n import Answer
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.scp.pending_reports import FollowUp
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import (
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
)

log = structlog.get_logger(__name__)

_REQUEST_STORAGE_COMMITMENT = 1
#: Event Type IDs (PS3.4 J.3.3.1).
SUCCESSFUL, FAILURES_EXIST = 1, 2


class StorageCommitment:
    """The SCP of Storage Commitment over the commitment stage."""

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
    ) -> tuple[bytes, FollowUp | None]:
        """The response to one request as P-DATA-TF PDUs, and the report that follows it."""
        commitment_id = 0

        def serve(
            association: Acceptance, context: Context, command: Command, data: bytes
        ) -> Answer:
            nonlocal commitment_id
            answer, commitment_id = self._serve(association, context, command, data)
            return answer

        response = dimse_n.respond(serve, association, context_id, context, command, data=data)
        if not commitment_id:
            return response, None
        line = _Line(context_id, context.transfer_syntax, association.maximum_length)
        return response, OwnReport(self._settings, self._database, commitment_id, line)

    def _serve(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> tuple[Answer, int]:
        """Records an N-ACTION durably: its answer, and the id of the transaction."""
        operations = (messages.N_ACTION_RQ,)
        unserved = dimse_n.unserved(command, STORAGE_COMMITMENT_PUSH_MODEL, operations)
        if unserved is not None:
            return unserved, 0
        if "commit" not in association.may:
            raise NotAuthorized("this AE may not ask for storage commitment")
        instance = command.text(messages.REQUESTED_SOP_INSTANCE_UID)
        if instance != STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE:
            raise Unknown("not the well-known SOP Instance of Storage Commitment")
        if dimse_n.action_type(command) != _REQUEST_STORAGE_COMMITMENT:
            return Answer(statuses.NO_SUCH_ACTION, comment="no such Action Type"), 0
        uid, asked = _asked(data, context.transfer_syntax)
        with self._database.writing() as session:
            commitment_id = commitment.request(
                session,
                uid,
                asked,
                calling_ae_title=association.calling_ae_title,
                called_ae_title=association.called_ae_title,
            )
            commitment.judge(session, self._settings, self._spool, commitment_id)
        log.info(
            "storage commitment asked for",
            transaction_uid=uid,
            instances=len(asked),
            calling_ae_title=association.calling_ae_title,
        )
        return Answer(statuses.SUCCESS), commitment_id


def _asked(data: bytes, transfer_syntax_uid: str) -> tuple[str, list[Reference]]:
    """Transaction UID and references of an N-ACTION (PS3.4 Table J.3-1).

    Raises Unreadable, InvalidArgument.
    """
    usual, rest = references.taken_out(data, transfer_syntax_uid) or ((), data)
    data_set = attributes.decode(rest, transfer_syntax_uid)
    try:
        uid = str(data_set.get("TransactionUID") or "").strip("\0 ")
        if usual:
            return uid, [(each.sop_class_uid, each.sop_instance_uid) for each in usual]
        items = data_set.get("ReferencedSOPSequence") or ()
        return uid, [
            (
                str(item.get("ReferencedSOPClassUID") or "").strip("\0 "),
                str(item.get("ReferencedSOPInstanceUID") or "").strip("\0 "),
            )
            for item in items
        ]
    except attributes.PARSER_ERRORS as error:
        raise InvalidArgument(f"an attribute cannot be read: {type(error).__name__}") from None


def event_type(report: Report) -> int:
    """Storage Commitment Request Successful, or Complete - Failures Exist."""
    return FAILURES_EXIST if report.failed else SUCCESSFUL


def event_information(report: Report) -> Dataset:
    """The data set of an N-EVENT-REPORT (PS3.4 Table J.3-2)."""
    data_set = Dataset()
    data_set.TransactionUID = report.transaction_uid
    if report.committed:
        data_set.ReferencedSOPSequence = list(_items(report.committed))
    if report.failed:
        data_set.FailedSOPSequence = list(_items(report.failed))
    return data_set


def _items(items: Sequence[Item]) -> Iterator[Dataset]:
    for item in items:
        one = Dataset()
        one.ReferencedSOPClassUID = item.sop_class_uid
        one.ReferencedSOPInstanceUID = item.sop_instance_uid
        if item.failure_reason:
            one.FailureReason = item.failure_reason
        elif item.file_set_uid:
            one.StorageMediaFileSetID = item.file_set_id
            one.StorageMediaFileSetUID = item.file_set_uid
        yield one


def is_delivered(status: int) -> bool:
    """Whether a status says that the peer has taken the report: Success, or a Warning."""
    return status in (0x0000, 0x0001, 0x0107, 0x0116) or status & 0xF000 == 0xB000


class _Line(NamedTuple):
    """How a message reaches the peer of an association."""

    context_id: int
    transfer_syntax: str
    maximum_length: int


class OwnReport:
    """The report of one transaction on the association that asked for it.

    Where that does not come about, the transaction is handed back for a new association.
    """

    def __init__(
        self, settings: Settings, database: Database, commitment_id: int, line: _Line
    ) -> None:
        self._settings = settings
        self._database = database
        self._commitment_id = commitment_id
        self._line = line

    def message(self, message_id: int) -> bytes | None:
        """The N-EVENT-REPORT-RQ; b"" while the answer is not known, None where it went elsewhere.

        What the database cannot say now is left to a new association.
        """
        try:
            with self._database.reading() as session:
                if not commitment.is_judged(session, self._commitment_id):
                    return b""
            with self._database.writing() as session:
                report = commitment.claim(session, self._commitment_id, early=True)
        except BurnishError as error:
            log.error("a report cannot be made", why=str(error))
            return None
        if report is None:
            return None
        request = messages.event_report(
            STORAGE_COMMITMENT_PUSH_MODEL,
            STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            message_id,
            event_type(report),
        )
        data = attributes.encode(event_information(report), self._line.transfer_syntax)
        return messages.p_data(self._line.context_id, request, data, self._line.maximum_length)

    def answered(self, response: Command) -> None:
        """The peer's N-EVENT-REPORT-RSP."""
        status = response.number(messages.STATUS)
        with self._database.writing() as session:
            if is_delivered(status):
                commitment.delivered(session, self._commitment_id)
            else:
                why = f"the peer answered {status:04X}H"
                commitment.not_delivered(session, self._settings, self._commitment_id, why)
        log.info("storage commitment reported", status=f"{status:04X}", association="same")

    def dropped(self) -> None:
        """The association ended first."""
        with self._database.writing() as session:
            commitment.hand_back(session, self._commitment_id)
