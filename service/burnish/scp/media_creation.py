"""Surface: Media Creation Management: N-CREATE, N-ACTION and N-GET (PS3.4 S.3.2)."""

import re
import struct
from collections.abc import Iterable

from pydicom.dataset import Dataset

from burnish.db.session import Database
from burnish.errors import InvalidArgument, InvalidValue, MissingAttribute, NotAuthorized, Unknown
from burnish.request import operations
from burnish.scp import attributes, dimse_n, messages, request_attributes, statuses
from burnish.scp.dimse_n import Response
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.scp.request_attributes import RequestAttributes
from burnish.settings import Settings
from burnish.values import Actor
from burnish.vocabulary import MEDIA_CREATION_MANAGEMENT, RequestPriority

#: Action Type IDs (PS3.4 S.3.2.2 and S.3.2.3).
_INITIATE_MEDIA_CREATION, _CANCEL_MEDIA_CREATION = 1, 2

#: An Integer String (PS3.5 6.2).
_INTEGER_STRING = re.compile(rb"[+-]?[0-9]{1,12}")


class MediaCreationSCP:
    """The SCP of Media Creation Management over the request stage."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._defaults = settings.request
        self._database = database
        self._request_attributes = RequestAttributes(database)
        self._operations: dict[int, dimse_n.Operation] = {
            messages.N_CREATE_RQ: self._create,
            messages.N_ACTION_RQ: self._action,
            messages.N_GET_RQ: self._get,
        }

    def answer(
        self,
        association: Acceptance,
        context_id: int,
        context: Context,
        command: Command,
        data: bytes,
    ) -> Iterable[bytes]:
        """The response message to one request, as P-DATA-TF PDUs, some at a time."""
        return dimse_n.respond(self._serve, association, context_id, context, command, data=data)

    def _serve(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Response:
        failure = dimse_n.check_operation(command, MEDIA_CREATION_MANAGEMENT, self._operations)
        if failure is not None:
            return failure
        if "media" not in association.may:
            ae_title = association.calling_ae_title
            raise NotAuthorized(f"AE {ae_title} is not permitted to request media (peer.may)")
        operation = self._operations[command.number(messages.COMMAND_FIELD)]
        return operation(association, context, command, data)

    def _create(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Response:
        new_request = attributes.decode_new_request(
            data, context.transfer_syntax, command.text(messages.AFFECTED_SOP_INSTANCE_UID)
        )
        with self._database.writing() as session:
            request = operations.create(
                session,
                self._defaults,
                new_request,
                origin="peer",
                calling_ae_title=association.calling_ae_title,
                actor=_actor(association),
            )
            uid = request.sop_instance_uid
        return Response(statuses.SUCCESS, sop_instance=uid)

    def _action(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Response:
        data_set = attributes.decode(data, context.transfer_syntax)
        _check_character_set(data_set)
        uid = _requested_sop_instance_uid(command)
        action_type = dimse_n.action_type(command)
        with self._database.writing() as session:
            if action_type == _INITIATE_MEDIA_CREATION:
                operations.initiate(
                    session,
                    self._defaults,
                    uid,
                    number_of_copies=_number_of_copies(data_set),
                    request_priority=_request_priority(data_set),
                    actor=_actor(association),
                )
            elif action_type == _CANCEL_MEDIA_CREATION:
                operations.cancel(session, uid, actor=_actor(association))
            else:
                operations.get_request(session, uid)  # an unknown request is the first error
                return Response(statuses.NO_SUCH_ACTION, comment=f"no action type {action_type}")
        return Response(statuses.SUCCESS)

    def _get(
        self, _association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Response:
        attributes.decode(data, context.transfer_syntax)
        uid = _requested_sop_instance_uid(command)
        tags = _attribute_identifiers(command)
        pieces = self._request_attributes.encoded(uid, context.transfer_syntax, tags)
        if request_attributes.are_supported(tags):
            return Response(statuses.SUCCESS, pieces)
        return Response(
            statuses.ATTRIBUTE_LIST_UNSUPPORTED,
            pieces,
            comment="an attribute of the list is not supported",
        )


def _actor(association: Acceptance) -> Actor:
    return Actor("ae", association.calling_ae_title, association.address)


def _requested_sop_instance_uid(command: Command) -> str:
    uid = command.text(messages.REQUESTED_SOP_INSTANCE_UID)
    if not uid:
        raise Unknown("Requested SOP Instance UID is missing")
    return uid


def _check_character_set(data_set: Dataset) -> None:
    """Raises InvalidArgument if the Specific Character Set of an action is not known."""
    try:
        attributes.specific_character_set(data_set)
    except InvalidValue as error:
        raise InvalidArgument(str(error)) from None


def _number_of_copies(data_set: Dataset) -> int | None:
    """Number of Copies (2000,0010), None if it is absent or empty; raises InvalidArgument.

    The value is read as it was sent: pydicom takes 1.0 and 1e1 for an Integer String, too.
    """
    if "NumberOfCopies" not in data_set:
        return None
    element = data_set.get_item("NumberOfCopies")
    if element.VR not in ("IS", "UN", None) or not isinstance(element.value, bytes | None):
        raise InvalidArgument("Number of Copies is not an Integer String")
    value = (element.value or b"").strip(b" ").rstrip(b"\0 ")
    if not value:
        return None
    if _INTEGER_STRING.fullmatch(value) is None:
        raise InvalidArgument("Number of Copies is not an Integer String")
    return int(value)


def _request_priority(data_set: Dataset) -> RequestPriority | None:
    try:
        value = str(data_set.get("RequestPriority") or "").strip()
        return RequestPriority(value) if value else None
    except attributes.PARSER_ERRORS:
        raise InvalidArgument("Request Priority is not HIGH, MED or LOW") from None


def _attribute_identifiers(command: Command) -> list[int]:
    """The tags of an Attribute Identifier List (0000,1005), empty if it is absent."""
    data = command.get(messages.ATTRIBUTE_IDENTIFIER_LIST, b"")
    if len(data) % 4:
        raise MissingAttribute("Attribute Identifier List is not a list of tags")
    return [group << 16 | element for group, element in struct.iter_unpack("<HH", data)]
