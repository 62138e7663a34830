"""Surface: answers A-ASSOCIATE-RQ: rejects peers, or accepts presentation contexts one by one
(PS3.7 D.3, PS3.8 7.1)."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from burnish.access.peers import Caller, PeerAccess
from burnish.access.storage_classes import (
    STORAGE_TRANSFER_SYNTAXES,
    configured_storage_sop_classes,
    may_be_storage,
)
from burnish.access.users import Users
from burnish.scp.associate_pdus import (
    COMMON_EXTENDED,
    EXTENDED,
    IMPLEMENTATION_CLASS,
    IMPLEMENTATION_VERSION,
    MAXIMUM_LENGTH,
    ROLE_SELECTION,
    AssociateRequest,
    ProposedContext,
    decode_associate_rq,
    decode_uid,
    encode_associate_ac,
    read_field,
)
from burnish.scp.user_identity import IdentityRejectedError, identify_user
from burnish.settings import Settings
from burnish.settings.storage import ANY
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    IMPLICIT_VR_LITTLE_ENDIAN,
    MEDIA_CREATION_MANAGEMENT,
    NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_SERVICE_CLASS,
    VERIFICATION,
)

_STORAGE_SERVICE_CLASSES = (STORAGE_SERVICE_CLASS, NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS)
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: Extended negotiation of Storage (PS3.4 B.3.1): Level 2, digital signature level 3 (bits
#: preserved), no coercion.
STORAGE_EXTENDED_INFORMATION = b"\x02\x00\x03\x00\x00\x00"

DIMSE_N_TRANSFER_SYNTAXES = frozenset(
    {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
)
#: Chosen only if the context offers no other transfer syntax that is supported, in this order.
LAST_CHOICES = (
    IMPLICIT_VR_LITTLE_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)

#: The operation of `peer.may` that permits a SOP Class. Those of Storage need "store".
#: Verification needs none: every peer that may associate may use it (PS3.2 7.1).
OPERATIONS = {
    VERIFICATION: "",
    MEDIA_CREATION_MANAGEMENT: "media",
    STORAGE_COMMITMENT_PUSH_MODEL: "commit",
}

# Results of presentation contexts (PS3.8 Table 9-18).
_ACCEPTANCE = 0
_USER_REJECTION = 1
_ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
_TRANSFER_SYNTAXES_NOT_SUPPORTED = 4
_REASONS = {
    _USER_REJECTION: "not permitted (peer.may)",
    _ABSTRACT_SYNTAX_NOT_SUPPORTED: "SOP Class not supported",
    _TRANSFER_SYNTAXES_NOT_SUPPORTED: "transfer syntaxes not supported",
}
#: How many SOP Classes without a context one log line names.
_SOP_CLASSES_IN_LOG = 3
#: A peer's maximum length below this is treated as this: no message is cut into smaller fragments.
LEAST_MAXIMUM_LENGTH = 64

#: The bit of the only protocol version that there is (PS3.8 9.3.2).
_PROTOCOL_VERSION_1 = 1
# Sources and reasons of A-ASSOCIATE-RJ (PS3.8 Table 9-21).
_PERMANENT, _TRANSIENT = 1, 2
_SERVICE_USER, _ACSE, _PRESENTATION = 1, 2, 3
_REJECTION_NAMES = {
    (_SERVICE_USER, 2): "application context name not supported",
    (_SERVICE_USER, 3): "calling AE title not recognized",
    (_SERVICE_USER, 7): "called AE title not recognized",
    (_ACSE, 2): "protocol version not supported",
    (_PRESENTATION, 1): "temporary congestion",
    (_PRESENTATION, 2): "local limit exceeded",
}


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str
    storage: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """A-ASSOCIATE-RJ: result, source and reason (PS3.8 Table 9-21), and the reason in words."""

    result: int
    source: int
    reason: int
    why: str

    @property
    def name(self) -> str:
        """The reason as PS3.8 Table 9-21 names it."""
        return _REJECTION_NAMES.get((self.source, self.reason), "no reason given")

    def encode(self) -> bytes:
        return struct.pack(">BBIBBBB", 3, 0, 4, 0, self.result, self.source, self.reason)

    @classmethod
    def of_congestion(cls, why: str) -> "Rejection":
        """Transient: temporary congestion."""
        return cls(_TRANSIENT, _PRESENTATION, 1, f"temporary congestion: {why}")

    @classmethod
    def of_limit(cls, why: str) -> "Rejection":
        """Transient: local limit exceeded."""
        return cls(_TRANSIENT, _PRESENTATION, 2, f"local limit exceeded: {why}")


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted association; `pdu` is the A-ASSOCIATE-AC.

    `may` are the operations that the peer is permitted (`peer.may`). `user` is the user that the
    peer has named and authenticated by User Identity Negotiation, or "". `address` is the network
    address of the peer. `not_accepted` names SOP Classes without a presentation context
    and the reason of each, for the log.
    """

    calling_ae_title: str
    called_ae_title: str
    maximum_length: int
    contexts: dict[int, Context]
    may: frozenset[str]
    pdu: bytes = field(repr=False)
    user: str = ""
    address: str = ""
    not_accepted: str = ""


class _RejectedError(Exception):
    def __init__(self, source: int, reason: int, why: str) -> None:
        super().__init__(why)
        self.rejection = Rejection(_PERMANENT, source, reason, why)


class Negotiator:
    """Answers A-ASSOCIATE-RQ PDUs.

    Raises InvalidSettings if the passcode file of a user cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._peer_access = PeerAccess(settings)
        self._users = Users(settings)
        self._storage_sop_classes = configured_storage_sop_classes(settings.storage)

    def answer(self, body: bytes, caller: Caller) -> Acceptance | Rejection:
        """The answer to an A-ASSOCIATE-RQ; `body` is the PDU without its header.

        Raises Malformed.
        """
        request = decode_associate_rq(body)
        try:
            return self._accept(request, body, caller)
        except _RejectedError as rejected:
            return rejected.rejection

    def _accept(self, request: AssociateRequest, body: bytes, caller: Caller) -> Acceptance:
        may = self._check_peer(request, caller)
        user, user_identity_items = self._check_user(request)
        storage_sop_classes = self._storage_sop_classes.union(
            _announced_storage_sop_classes(request), self._any_storage_sop_classes(request)
        )
        results: list[tuple[int, int, str]] = []
        contexts: dict[int, Context] = {}
        reasons: dict[str, str] = {}
        for proposed in request.contexts:
            result, transfer_syntax = _negotiate_context(proposed, storage_sop_classes, may)
            results.append((proposed.context_id, result, transfer_syntax))
            abstract_syntax = proposed.abstract_syntax
            if result == _ACCEPTANCE:
                contexts[proposed.context_id] = Context(
                    abstract_syntax, transfer_syntax, abstract_syntax in storage_sop_classes
                )
            else:
                reasons[abstract_syntax] = _REASONS[result]
        accepted = {context.abstract_syntax for context in contexts.values()}
        user_items = [
            (MAXIMUM_LENGTH, struct.pack(">I", self._settings.dicom.maximum_pdu_size)),
            (IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode()),
            (IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode()),
            *_negotiation_items(request, accepted & storage_sop_classes),
            *user_identity_items,
        ]
        return Acceptance(
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            maximum_length=_maximum_length(request),
            contexts=contexts,
            may=may,
            pdu=encode_associate_ac(body, APPLICATION_CONTEXT, results, user_items),
            user=user,
            address=caller.address,
            not_accepted=_describe_not_accepted(
                {uid: reason for uid, reason in reasons.items() if uid not in accepted}
            ),
        )

    def _check_peer(self, request: AssociateRequest, caller: Caller) -> frozenset[str]:
        """The operations that the peer is permitted; raises _RejectedError."""
        if not request.protocol_version & _PROTOCOL_VERSION_1:
            raise _RejectedError(_ACSE, 2, "protocol version not supported: bit 0 is not set")
        if request.application_context_name != APPLICATION_CONTEXT:
            raise _RejectedError(_SERVICE_USER, 2, "application context name not supported")
        own_ae_titles = self._settings.called_ae_titles
        called = request.called_ae_title
        if self._settings.dicom.check_called_ae_title and called not in own_ae_titles:
            raise _RejectedError(
                _SERVICE_USER,
                7,
                f"called AE title not recognized: {called or 'an empty title'} was called, "
                f"this service is {' or '.join(sorted(own_ae_titles))} (dicom.ae_title)",
            )
        permission = self._peer_access.permission(request.calling_ae_title, caller)
        if permission.denial:
            raise _RejectedError(
                _SERVICE_USER, 3, f"calling AE title not recognized: {permission.denial}"
            )
        return permission.may

    def _any_storage_sop_classes(self, request: AssociateRequest) -> Iterator[str]:
        """The proposed SOP Classes that "any" in storage.sop_classes counts as Storage."""
        if ANY in self._settings.storage.sop_classes:
            for proposed in request.contexts:
                if may_be_storage(proposed.abstract_syntax):
                    yield proposed.abstract_syntax

    def _check_user(self, request: AssociateRequest) -> tuple[str, list[tuple[int, bytes]]]:
        """The user that the peer names, and the items of the answer; raises _RejectedError."""
        try:
            return identify_user(request.user_items, self._users)
        except IdentityRejectedError as error:
            raise _RejectedError(_ACSE, 1, str(error)) from None


def _describe_not_accepted(reasons: Mapping[str, str]) -> str:
    """The first of the SOP Classes without a context, with the reason of each."""
    named = [f"{uid[:64]}: {reason}" for uid, reason in list(reasons.items())[:_SOP_CLASSES_IN_LOG]]
    more = len(reasons) - len(named)
    if more:
        named.append(f"and {more} more")
    return "; ".join(named)


def _announced_storage_sop_classes(request: AssociateRequest) -> Iterator[str]:
    """SOP Classes that Common Extended Negotiation assigns to Storage (PS3.4 B.4.1.2)."""
    for item_type, value in request.user_items:
        if item_type == COMMON_EXTENDED:
            sop_class, end = read_field(value, 0)
            service_class, _ = read_field(value, end)
            if decode_uid(service_class) in _STORAGE_SERVICE_CLASSES:
                yield decode_uid(sop_class)


def _negotiate_context(
    proposed: ProposedContext, storage_sop_classes: frozenset[str], may: frozenset[str]
) -> tuple[int, str]:
    """The result of a context and its transfer syntax, a placeholder if it is not accepted."""
    abstract_syntax = proposed.abstract_syntax
    offered = proposed.transfer_syntaxes
    placeholder = offered[0] if offered else IMPLICIT_VR_LITTLE_ENDIAN
    operation = OPERATIONS.get(abstract_syntax)
    supported = DIMSE_N_TRANSFER_SYNTAXES
    if operation is None:
        if abstract_syntax not in storage_sop_classes:
            return _ABSTRACT_SYNTAX_NOT_SUPPORTED, placeholder
        operation = "store"
        supported = STORAGE_TRANSFER_SYNTAXES
    if operation and operation not in may:
        return _USER_REJECTION, placeholder
    candidates = [uid for uid in offered if uid in supported]
    if not candidates:
        return _TRANSFER_SYNTAXES_NOT_SUPPORTED, placeholder
    return _ACCEPTANCE, min(candidates, key=_preference)


def _preference(transfer_syntax_uid: str) -> int:
    """Lower is better: what needs no transcoding, then the peer's order, then the last choices."""
    if transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return 0
    if transfer_syntax_uid in LAST_CHOICES:
        return 2 + LAST_CHOICES.index(transfer_syntax_uid)
    return 1


def _maximum_length(request: AssociateRequest) -> int:
    """The maximum length that the peer receives, 0 for no limit."""
    for item_type, value in request.user_items:
        if item_type == MAXIMUM_LENGTH:
            maximum_length = int.from_bytes(value, "big")
            return max(maximum_length, LEAST_MAXIMUM_LENGTH) if maximum_length else 0
    return 0


def _negotiation_items(
    request: AssociateRequest, accepted_storage: set[str]
) -> Iterable[tuple[int, bytes]]:
    """The answers to role selection (Burnish is the SCP) and to extended negotiation."""
    for item_type, value in request.user_items:
        if item_type == ROLE_SELECTION:
            _, end = read_field(value, 0)
            proposes_scu_role = value[end : end + 1] == b"\1"
            if proposes_scu_role:
                yield item_type, value[:end] + b"\1\0"
        elif item_type == EXTENDED:
            sop_class, end = read_field(value, 0)
            if decode_uid(sop_class) in accepted_storage:
                yield item_type, value[:end] + STORAGE_EXTENDED_INFORMATION
