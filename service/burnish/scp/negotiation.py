"""Surface: answers A-ASSOCIATE-RQ: which peers, which contexts (PS3.7 D.3, PS3.8 7.1)."""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    NonPatientObjectPresentationContexts,
)

from burnish.access.peers import Access, Caller
from burnish.access.users import Users
from burnish.scp.associate_pdus import (
    COMMON_EXTENDED,
    EXTENDED,
    IMPLEMENTATION_CLASS,
    IMPLEMENTATION_VERSION,
    MAXIMUM_LENGTH,
    ROLE_SELECTION,
    AssociateRequest,
    Proposed,
    counted,
    decode_rq,
    encode_ac,
    uid,
)
from burnish.scp.user_identity import IdentityRefusedError, identify
from burnish.settings import Settings
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
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: PS3.4 B.3.1: Level 2, digital signature level 3 (bits preserved), no coercion.
_STORAGE_EXTENDED = b"\x02\x00\x03\x00\x00\x00"

#: Images of retired SOP Classes, which old devices send: ultrasound, nuclear medicine, biplane
#: angiography, visible light.
_RETIRED = tuple(
    f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("3", "5", "6", "12.3", "77.1", "77.2")
)
#: Storage (PS3.4 B.5), Non-Patient Object Storage (PS3.4 GG.3), and what was retired of Storage.
STORAGE_SOP_CLASSES: frozenset[str] = frozenset(
    (
        *(
            str(context.abstract_syntax)
            for context in (*AllStoragePresentationContexts, *NonPatientObjectPresentationContexts)
        ),
        *_RETIRED,
    )
)
#: JPIP and SMPTE ST 2110 leave the pixels elsewhere; MIME, XML and Papyrus 3 are no data sets of
#: PS3.5: none of them is anything to put on a medium.
_NOT_STORED = (
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.6.1",
    "1.2.840.10008.1.2.6.2",
    "1.2.840.10008.1.2.7.1",
    "1.2.840.10008.1.2.7.2",
    "1.2.840.10008.1.2.7.3",
    "1.2.840.10008.1.20",
)
#: Those of the standard that are newer than a dictionary may be: JPEG XL, compressed frames.
_NEW = (
    "1.2.840.10008.1.2.1.98",
    "1.2.840.10008.1.2.4.110",
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.8.1",
)
#: Every transfer syntax of the standard, retired ones too.
STORAGE_TRANSFER_SYNTAXES: frozenset[str] = frozenset(
    uid
    for uid in (
        *(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"),
        *_NEW,
    )
    if uid not in _NOT_STORED
)
#: Of several in one context: what needs no transcoding, then the peer's own order, then these.
_LAST = (IMPLICIT_VR_LITTLE_ENDIAN, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
_N_TRANSFER_SYNTAXES = frozenset(
    {EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
)

#: What a peer must be permitted for the services besides Storage.
_OPERATIONS = {
    VERIFICATION: "echo",
    MEDIA_CREATION_MANAGEMENT: "media",
    STORAGE_COMMITMENT_PUSH_MODEL: "commit",
}

# Presentation context results (PS3.8 Table 9-18).
_ACCEPTANCE, _USER_REJECTION, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 1, 3, 4
_WHY_NOT = {
    _USER_REJECTION: "this AE may not",
    _NO_ABSTRACT_SYNTAX: "unknown SOP Class",
    _NO_TRANSFER_SYNTAX: "no known transfer syntax",
}
#: So many SOP Classes that got no context are named in the log.
_NAMED = 3
#: A longer A-ASSOCIATE-RQ is answered anew each time, so that nobody fills the memory with them.
_REMEMBERED = 1 << 14


@dataclass(frozen=True, slots=True)
class Context:
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax: str
    storage: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """A-ASSOCIATE-RJ: result, source, reason (PS3.8 Table 9-21), and why in words."""

    result: int
    source: int
    reason: int
    why: str

    def encode(self) -> bytes:
        return struct.pack(">BBIBBBB", 3, 0, 4, 0, self.result, self.source, self.reason)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An association as accepted. `may` are the operations the peer is permitted.

    `user` is who the peer said it is, and proved to be, by User Identity Negotiation.
    `not_accepted` says which SOP Classes got no presentation context, and why.
    """

    calling_ae_title: str
    called_ae_title: str
    maximum_length: int
    contexts: dict[int, Context]
    may: frozenset[str]
    pdu: bytes = field(repr=False)
    user: str = ""
    not_accepted: str = ""


class _RefusedError(Exception):
    """Carries a rejection past the memory of what was accepted."""

    def __init__(self, rejection: Rejection) -> None:
        super().__init__(rejection.why)
        self.rejection = rejection


class Negotiator:
    """Answers A-ASSOCIATE-RQ PDUs; what was accepted before is not worked out again.

    Raises InvalidSettings where the passcode of a user cannot be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._access = Access(settings)
        self._users = Users(settings)
        self._accepted = lru_cache(maxsize=256)(self._accept)

    def answer(self, pdu: bytes, caller: Caller) -> Acceptance | Rejection:
        """The answer to one PDU; raises Malformed where it cannot be read."""
        accept = self._accepted if len(pdu) <= _REMEMBERED else self._accept
        try:
            return accept(pdu, caller)
        except _RefusedError as refused:
            return refused.rejection

    def _accept(self, pdu: bytes, caller: Caller) -> Acceptance:
        request = decode_rq(pdu[6:])
        may, user, user_items = self._admit(request, caller)
        storage = STORAGE_SOP_CLASSES.union(_announced(request))
        results, contexts, why_not = [], {}, dict[str, str]()
        for proposed in request.contexts:
            result, syntax = _answer(proposed, storage, may)
            results.append((proposed.context_id, result, syntax))
            if result == _ACCEPTANCE:
                abstract = proposed.abstract_syntax
                contexts[proposed.context_id] = Context(abstract, syntax, abstract in storage)
            else:
                why_not[proposed.abstract_syntax] = _WHY_NOT[result]
        accepted = {context.abstract_syntax for context in contexts.values()}
        answer = encode_ac(
            pdu[6:],
            _APPLICATION_CONTEXT,
            results,
            [
                (MAXIMUM_LENGTH, struct.pack(">I", self._settings.dicom.maximum_pdu_size)),
                (IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode()),
                (IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode()),
                *_negotiated(request, accepted & storage),
                *user_items,
            ],
        )
        return Acceptance(
            request.calling_ae_title,
            request.called_ae_title,
            _maximum_length(request),
            contexts,
            may,
            answer,
            user,
            _said({uid: why for uid, why in why_not.items() if uid not in accepted}),
        )

    def _admit(
        self, request: AssociateRequest, caller: Caller
    ) -> tuple[frozenset[str], str, list[tuple[int, bytes]]]:
        """What the peer may do, its user, and the items that answer for that user."""
        if request.application_context_name != _APPLICATION_CONTEXT:
            raise _refused(1, 2, "application context name not supported")
        settings = self._settings
        if (
            settings.dicom.check_called_ae_title
            and request.called_ae_title not in settings.called_ae_titles
        ):
            raise _refused(1, 7, "called AE title not recognized")
        permit = self._access.permit(request.calling_ae_title, caller)
        if permit.why_not:
            raise _refused(1, 3, f"calling AE title not recognized: {permit.why_not}")
        try:
            user, user_items = identify(request.user_items, self._users)
        except IdentityRefusedError as error:
            raise _refused(2, 1, str(error)) from None
        return permit.may, user, user_items


def _refused(source: int, reason: int, why: str) -> _RefusedError:
    """A permanent rejection (PS3.8 9.3.4)."""
    return _RefusedError(Rejection(1, source, reason, why))


def _said(why_not: Mapping[str, str]) -> str:
    """The first of the SOP Classes that got no context, with the reason of each."""
    said = [f"{uid[:64]}: {why}" for uid, why in list(why_not.items())[:_NAMED]]
    more = len(why_not) - len(said)
    return "; ".join(said) + (f"; and {more} more" if more else "")


def _announced(request: AssociateRequest) -> Iterable[str]:
    """SOP classes said to be Storage by Common Extended Negotiation (PS3.4 B.4.1.2)."""
    for kind, value in request.user_items:
        if kind == COMMON_EXTENDED:
            sop_class, behind = counted(value, 0)
            service_class, _ = counted(value, behind)
            if uid(service_class) in _STORAGE_SERVICE_CLASSES:
                yield uid(sop_class)


def _answer(proposed: Proposed, storage: frozenset[str], may: frozenset[str]) -> tuple[int, str]:
    """The result for a context, and its transfer syntax."""
    abstract, offered = proposed.abstract_syntax, proposed.transfer_syntaxes
    first = offered[0] if offered else IMPLICIT_VR_LITTLE_ENDIAN
    operation = _OPERATIONS.get(abstract) or ("store" if abstract in storage else "")
    if not operation:
        return _NO_ABSTRACT_SYNTAX, first
    if operation not in may:
        return _USER_REJECTION, first
    known = STORAGE_TRANSFER_SYNTAXES if operation == "store" else _N_TRANSFER_SYNTAXES
    possible = [syntax for syntax in offered if syntax in known]
    if not possible:
        return _NO_TRANSFER_SYNTAX, first
    return _ACCEPTANCE, min(possible, key=_preference)


def _preference(uid: str) -> int:
    if uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return 0
    return 2 + _LAST.index(uid) if uid in _LAST else 1


def _maximum_length(request: AssociateRequest) -> int:
    lengths = (value for kind, value in request.user_items if kind == MAXIMUM_LENGTH)
    length = int.from_bytes(next(lengths, b""), "big")
    return length if length == 0 or length > 64 else 64


def _negotiated(request: AssociateRequest, storage: set[str]) -> Iterable[tuple[int, bytes]]:
    for kind, value in request.user_items:
        if kind not in (ROLE_SELECTION, EXTENDED):
            continue
        sop_class, behind = counted(value, 0)
        if kind == ROLE_SELECTION:
            if value[behind : behind + 1] == b"\1":
                yield kind, value[:behind] + b"\1\0"
        elif uid(sop_class) in storage:
            yield kind, value[:behind] + _STORAGE_EXTENDED
