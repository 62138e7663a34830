"""Surface: Media Creation Management: N-CREATE, N-ACTION and N-GET (PS3.4 S.3.2)."""

import struct
from collections.abc import Callable

import structlog
from pydicom.dataset import Dataset

from burnish.db.session import Database
from burnish.errors import InvalidArgument, MissingAttribute, NotAuthorized, Unknown
from burnish.request import operations
from burnish.request.brief_status import brief_status
from burnish.scp import attributes, dimse_n, messages, status_answer, statuses
from burnish.scp.dimse_n import Answer
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.settings import Settings
from burnish.vocabulary import MEDIA_CREATION_MANAGEMENT, RequestPriority

log = structlog.get_logger(__name__)

_INITIATE, _CANCEL = 1, 2


class MediaCreation:
    """The SCP of Media Creation Management over the request stage."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._defaults = settings.request
        self._database = database
        self._operations: dict[int, Callable[[Acceptance, Context, Command, bytes], Answer]] = {
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
    ) -> bytes:
        """The response message to one request, as P-DATA-TF PDUs."""
        return dimse_n.respond(self._serve, association, context_id, context, command, data=data)

    def _serve(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Answer:
        unserved = dimse_n.unserved(command, MEDIA_CREATION_MANAGEMENT, self._operations)
        if unserved is not None:
            return unserved
        if "media" not in association.may:
            raise NotAuthorized("this AE may not request media")
        operation = self._operations[command.number(messages.COMMAND_FIELD)]
        return operation(association, context, command, data)

    def _create(
        self, association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Answer:
        order = attributes.decode_order(
            data, context.transfer_syntax, command.text(messages.AFFECTED_SOP_INSTANCE_UID)
        )
        with self._database.writing() as session:
            request = operations.create(
                session,
                self._defaults,
                order,
                origin="peer",
                calling_ae_title=association.calling_ae_title,
            )
            uid = request.sop_instance_uid
        log.info("request created", sop_instance_uid=uid)
        return Answer(statuses.SUCCESS, sop_instance=uid)

    def _action(
        self, _association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Answer:
        data_set = attributes.decode(data, context.transfer_syntax)
        uid = self._requested(command)
        action = dimse_n.action_type(command)
        with self._database.writing() as session:
            if action == _INITIATE:
                operations.initiate(
                    session,
                    self._defaults,
                    uid,
                    number_of_copies=_number_of_copies(data_set),
                    request_priority=_priority(data_set),
                )
            elif action == _CANCEL:
                operations.cancel(session, uid)
            else:
                operations.get_request(session, uid)
                return Answer(statuses.NO_SUCH_ACTION, comment="no such Action Type")
        log.info("request acted on", action=action, sop_instance_uid=uid)
        return Answer(statuses.SUCCESS)

    def _get(
        self, _association: Acceptance, context: Context, command: Command, data: bytes
    ) -> Answer:
        attributes.decode(data, context.transfer_syntax)
        uid = self._requested(command)
        tags = _attribute_identifiers(command)
        if tags and status_answer.TAGS.issuperset(tags):
            with self._database.reading() as session:
                status = brief_status(session, uid)
            encoded = status_answer.encode(status, tags, context.transfer_syntax)
            return Answer(statuses.SUCCESS, encoded=encoded)
        with self._database.reading() as session:
            everything = attributes.present(operations.get_request(session, uid), tags)
        chosen, supported = attributes.select(everything, tags)
        if supported:
            return Answer(statuses.SUCCESS, chosen)
        return Answer(
            statuses.ATTRIBUTE_LIST_UNSUPPORTED,
            chosen,
            comment="an attribute asked for is not supported",
        )

    def _requested(self, command: Command) -> str:
        uid = command.text(messages.REQUESTED_SOP_INSTANCE_UID)
        if not uid:
            raise Unknown("no Requested SOP Instance UID")
        return uid


def _number_of_copies(data_set: Dataset) -> int | None:
    try:
        element = data_set.get("NumberOfCopies")
        if element is None or element == "":
            return None
        return int(element)
    except attributes.PARSER_ERRORS:
        raise InvalidArgument("Number of Copies is not a number") from None


def _priority(data_set: Dataset) -> RequestPriority | None:
    try:
        value = str(data_set.get("RequestPriority") or "").strip()
        return RequestPriority(value) if value else None
    except attributes.PARSER_ERRORS:
        raise InvalidArgument("Request Priority is HIGH, MED or LOW") from None


def _attribute_identifiers(command: Command) -> list[int]:
    data = command.get(messages.ATTRIBUTE_IDENTIFIER_LIST, b"")
    if len(data) % 4:
        raise MissingAttribute("Attribute Identifier List is not a list of tags")
    pairs = struct.unpack(f"<{len(data) // 2}H", data)
    return [group << 16 | element for group, element in zip(pairs[::2], pairs[1::2], strict=True)]
