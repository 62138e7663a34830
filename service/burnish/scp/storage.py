"""Surface: C-STORE (PS3.4 B, PS3.7 9.1.1): streams each data set into the receive stage.

The status of the response is Success, or that of the error in `statuses.STATUSES`.
"""

from time import perf_counter

import structlog

from burnish.errors import BurnishError, Mismatch, NotAuthorized
from burnish.receive import Incoming, Origin, Receiver
from burnish.scp import messages, statuses
from burnish.scp.messages import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    Command,
    StoreForm,
)
from burnish.scp.negotiation import Acceptance, Context
from burnish.scp.traffic import Traffic
from burnish.scp.upper_layer import StoreSink

log = structlog.get_logger(__name__)


class StoreOperation(StoreSink):
    """One C-STORE: takes the fragments of its data set, then responds.

    After an error, the rest of the data set is read from the association and discarded. What holds
    for all instances of one kind in an association is checked once.
    """

    def __init__(
        self,
        receiver: Receiver,
        association: Acceptance,
        context_id: int,
        context: Context,
        command: Command,
        *,
        traffic: Traffic,
    ) -> None:
        self._receiver = receiver
        self._traffic = traffic
        self._context_id = context_id
        self._maximum_length = association.maximum_length
        self._origin = Origin(
            sop_class_uid=command.text(AFFECTED_SOP_CLASS_UID),
            transfer_syntax_uid=context.transfer_syntax,
            calling_ae_title=association.calling_ae_title,
            called_ae_title=association.called_ae_title,
        )
        self._refusal = _refusal(association, context, command)
        self._form: StoreForm | None = None
        self._message_id = b""
        self._command: Command | None = command
        self._incoming: Incoming | None = None
        self._open(command.get(AFFECTED_SOP_INSTANCE_UID, b""))

    def begin(self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes) -> None:
        self._form = form
        self._message_id = message_id
        self._command = None
        self._open(sop_instance_uid)

    def store(
        self, form: StoreForm, message_id: bytes, sop_instance_uid: bytes, data_set: memoryview
    ) -> bytes:
        began_at = perf_counter()
        self._form = form
        self._message_id = message_id
        self._command = None
        self._sop_instance_uid = sop_instance_uid
        error: BurnishError | None = self._refusal
        if error is None:
            try:
                uid = messages.text_of(sop_instance_uid)
                self._receiver.receive_from(self._origin, uid, data_set)
            except BurnishError as failure:
                error = failure
        return self._answer(error, began_at)

    def _open(self, sop_instance_uid: bytes) -> None:
        self._began_at = perf_counter()
        self._sop_instance_uid = sop_instance_uid
        self._error: BurnishError | None = self._refusal
        if self._error is not None:
            return
        origin = self._origin
        try:
            self._incoming = self._receiver.open(
                sop_class_uid=origin.sop_class_uid,
                sop_instance_uid=messages.text_of(sop_instance_uid),
                transfer_syntax_uid=origin.transfer_syntax_uid,
                calling_ae_title=origin.calling_ae_title,
                called_ae_title=origin.called_ae_title,
            )
        except BurnishError as error:
            self._error = error

    def write(self, fragment: memoryview) -> None:
        """Takes the next bytes of the data set."""
        if self._incoming is None:
            return
        try:
            self._incoming.write(fragment)
        except BurnishError as error:
            self._error = error
            self.abandon()

    def room(self) -> memoryview | None:
        """Where the next bytes of the data set can be received."""
        if self._incoming is None:
            return None
        try:
            return self._incoming.room()
        except BurnishError as error:
            self._error = error
            self.abandon()
            return None

    def received(self, count: int) -> None:
        """So many bytes have been put into `room`."""
        if self._incoming is not None:
            self._incoming.received(count)

    def finish(self) -> bytes:
        """The C-STORE-RSP, once the instance is durable or has failed."""
        if self._incoming is not None:
            incoming = self._incoming
            self._incoming = None
            try:
                self._receiver.accept(incoming)
            except BurnishError as error:
                self._error = error
        return self._answer(self._error, self._began_at)

    def _answer(self, error: BurnishError | None, began_at: float) -> bytes:
        """The C-STORE-RSP of an instance that is durable, or has failed."""
        calling_ae_title = self._origin.calling_ae_title
        if error is None:
            self._traffic.stored(calling_ae_title, statuses.SUCCESS, perf_counter() - began_at)
            if self._form is not None:
                return self._form.success(
                    self._message_id,
                    self._sop_instance_uid,
                    self._context_id,
                    self._maximum_length,
                )
            return self._respond(statuses.SUCCESS)
        status = statuses.of(error).c_store
        self._traffic.stored(calling_ae_title, status, 0.0)
        log.warning(
            "C-STORE failed",
            status=f"{status:04X}",
            why=str(error),
            sop_instance_uid=messages.text_of(self._sop_instance_uid),
            calling_ae_title=calling_ae_title,
        )
        return self._respond(status, str(error))

    def _respond(self, status: int, comment: str = "") -> bytes:
        command = self._command
        if command is None:
            assert self._form is not None  # noqa: S101
            command = self._form.command(self._message_id, self._sop_instance_uid)
        response = messages.response(command, status, comment=comment)
        return messages.p_data(self._context_id, response, b"", self._maximum_length)

    def abandon(self) -> None:
        """Removes what was received, if the data set does not arrive whole."""
        if self._incoming is not None:
            self._incoming.abandon()
            self._incoming = None


def _refusal(
    association: Acceptance, context: Context, command: Command
) -> NotAuthorized | Mismatch | None:
    """Why no C-STORE-RQ like this one is accepted; None if it is."""
    if "store" not in association.may:
        ae_title = association.calling_ae_title
        return NotAuthorized(f"AE {ae_title} is not permitted to store (peer.may)")
    if command.text(AFFECTED_SOP_CLASS_UID) != context.abstract_syntax:
        return Mismatch("SOP Class UID is not that of the presentation context")
    if not command.has_data_set:
        return Mismatch("C-STORE without a data set")
    return None
