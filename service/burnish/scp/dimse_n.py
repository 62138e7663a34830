"""Surface: what all DIMSE-N services share: an operation's answer as a message (PS3.7 10)."""

from collections.abc import Callable, Container

import structlog
from pydicom.dataset import Dataset

from burnish.errors import BurnishError, Malformed
from burnish.scp import attributes, messages, statuses
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context

log = structlog.get_logger(__name__)


class Answer:
    """A response: its status, and a data set or none; it may be `encoded` already."""

    def __init__(
        self,
        status: int,
        data_set: Dataset | None = None,
        *,
        encoded: bytes = b"",
        comment: str = "",
        **uids: str,
    ) -> None:
        self.status = status
        self.data_set = data_set
        self.encoded = encoded
        self.comment = comment
        self.uids = uids


Serve = Callable[[Acceptance, Context, Command, bytes], Answer]


def respond(
    serve: Serve,
    association: Acceptance,
    context_id: int,
    context: Context,
    command: Command,
    *,
    data: bytes,
) -> bytes:
    """The response message to one request, as P-DATA-TF PDUs; an error has its status."""
    try:
        answer = serve(association, context, command, data)
    except BurnishError as error:
        answer = Answer(statuses.of(error).dimse_n, comment=str(error))
    if answer.status:
        log.warning(
            "DIMSE-N refused",
            status=f"{answer.status:04X}",
            why=answer.comment,
            command=f"{command.number(messages.COMMAND_FIELD):04X}",
            calling_ae_title=association.calling_ae_title,
        )
    body = answer.encoded
    if answer.data_set is not None:
        body = attributes.encode(answer.data_set, context.transfer_syntax)
    response = messages.response(
        command, answer.status, comment=answer.comment, data_set=bool(body), **answer.uids
    )
    return messages.p_data(context_id, response, body, association.maximum_length)


def sop_class(command: Command) -> str:
    """The SOP Class that a request is about."""
    return command.text(messages.AFFECTED_SOP_CLASS_UID) or command.text(
        messages.REQUESTED_SOP_CLASS_UID
    )


def unserved(command: Command, wanted: str, commands: Container[int]) -> Answer | None:
    """The answer to what is no operation of a SOP Class, or is about another; else None."""
    if command.number(messages.COMMAND_FIELD) not in commands:
        return Answer(statuses.UNRECOGNIZED_OPERATION, comment="not an operation of this SOP Class")
    if sop_class(command) != wanted:
        return Answer(statuses.NO_SUCH_SOP_CLASS, comment="no such SOP Class")
    return None


def action_type(command: Command) -> int:
    """The Action Type ID of an N-ACTION; raises Malformed."""
    try:
        return command.number(messages.ACTION_TYPE_ID)
    except Malformed:
        raise Malformed("N-ACTION without Action Type ID") from None
