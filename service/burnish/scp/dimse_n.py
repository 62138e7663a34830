"""Surface: what all DIMSE-N services share: the response to a request as a message (PS3.7 10)."""

from collections.abc import Callable, Container, Iterable

import structlog

from burnish.errors import BurnishError, Malformed
from burnish.scp import messages, statuses
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context

log = structlog.get_logger(__name__)


class Response:
    """The status of a response, its data set if any, and its Error Comment.

    `pieces` are those of the encoded data set, which are taken while they are sent; without any
    there is no data set. `sop_instance` is the Affected SOP Instance UID if the request does not
    have it.
    """

    def __init__(
        self,
        status: int,
        pieces: Iterable[bytes] = (),
        *,
        comment: str = "",
        sop_instance: str = "",
    ) -> None:
        self.status = status
        self.pieces = pieces
        self.comment = comment
        self.sop_instance = sop_instance


#: Carries out a request: association, presentation context, command set, encoded data set. Raises
#: BurnishError.
Operation = Callable[[Acceptance, Context, Command, bytes], Response]


def respond(
    operation: Operation,
    association: Acceptance,
    context_id: int,
    context: Context,
    command: Command,
    *,
    data: bytes,
) -> Iterable[bytes]:
    """Carries out a request; returns the response message as P-DATA-TF PDUs, some at a time."""
    try:
        response = operation(association, context, command, data)
    except BurnishError as error:
        response = Response(statuses.of(error).dimse_n, comment=str(error))
    if not statuses.is_success_or_warning(response.status):
        log.warning(
            "DIMSE-N failed",
            status=f"{response.status:04X}",
            why=response.comment,
            command=f"{command.number(messages.COMMAND_FIELD):04X}",
            calling_ae_title=association.calling_ae_title,
        )
    command_set = messages.response(
        command,
        response.status,
        comment=response.comment,
        has_data_set=bool(response.pieces),
        sop_instance=response.sop_instance,
    )
    maximum_length = association.maximum_length
    if not response.pieces:
        return (messages.p_data(context_id, command_set, b"", maximum_length),)
    return messages.p_data_of_pieces(context_id, command_set, response.pieces, maximum_length)


def check_operation(
    command: Command, sop_class_uid: str, command_fields: Container[int]
) -> Response | None:
    """The failure of a request that is not an operation of the SOP Class; else None."""
    if command.number(messages.COMMAND_FIELD) not in command_fields:
        return Response(
            statuses.UNRECOGNIZED_OPERATION, comment="not an operation of this SOP Class"
        )
    sop_class = command.text(messages.AFFECTED_SOP_CLASS_UID)
    if not sop_class:
        sop_class = command.text(messages.REQUESTED_SOP_CLASS_UID)
    if sop_class != sop_class_uid:
        return Response(
            statuses.NO_SUCH_SOP_CLASS,
            comment="SOP Class UID is not that of the presentation context",
        )
    return None


def action_type(command: Command) -> int:
    """The Action Type ID of an N-ACTION; raises Malformed."""
    try:
        return command.number(messages.ACTION_TYPE_ID)
    except Malformed:
        raise Malformed("N-ACTION without Action Type ID") from None
