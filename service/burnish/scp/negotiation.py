"""Surface: answers A-ASSOCIATE-RQ: which peers, which contexts (PS3.7 D.3, PS3.8 7.1)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    NonPatientObjectPresentationContexts,
)

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
    STORAGE_SERVICE_CLASS,
    VERIFICATION,
)

_STORAGE_SERVICE_CLASSES = (STORAGE_SERVICE_CLASS, NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS)
_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
#: PS3.4 B.3.1: Level 2, digital signature level 3 (bits preserved), no coercion.
_STORAGE_EXTENDED = b"\x02\x00\x03\x00\x00\x00"

#: Storage (PS3.4 B.5) and Non-Patient Object Storage (PS3.4 GG.3).
STORAGE_SOP_CLASSES: frozenset[str] = frozenset(
    str(context.abstract_syntax)
    for context in (*AllStoragePresentationContexts, *NonPatientObjectPresentationContexts)
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

# Presentation context results (PS3.8 Table 9-18).
_ACCEPTANCE, _NO_ABSTRACT_SYNTAX, _NO_TRANSFER_SYNTAX = 0, 3, 4


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
    """An association as accepted. `may` are the operations the peer is permitted."""

    calling_ae_title: str
    called_ae_title: str
    maximum_length: int
    contexts: dict[int, Context]
    may: frozenset[str]
    pdu: bytes = field(repr=False)


class Negotiator:
    """Answers A-ASSOCIATE-RQ PDUs; what one peer asked before is not worked out again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.answer = lru_cache(maxsize=256)(self._answer)

    def _answer(self, pdu: bytes) -> "Acceptance | Rejection":
        """The answer to one PDU; raises Malformed where it cannot be read."""
        return negotiate(pdu, self._settings)


def negotiate(pdu: bytes, settings: Settings) -> Acceptance | Rejection:
    """The answer to one A-ASSOCIATE-RQ PDU; raises Malformed where it cannot be read."""
    request = decode_rq(pdu[6:])
    calling, called = request.calling_ae_title, request.called_ae_title
    may = _permissions(calling, settings)
    if request.application_context_name != _APPLICATION_CONTEXT:
        return Rejection(1, 1, 2, "application context name not supported")
    if called not in settings.called_ae_titles:
        return Rejection(1, 1, 7, "called AE title not recognized")
    if not may:
        return Rejection(1, 1, 3, "calling AE title not recognized")
    storage = STORAGE_SOP_CLASSES.union(_announced(request))
    results, contexts = [], {}
    for proposed in request.contexts:
        result, syntax = _answer(proposed, storage)
        results.append((proposed.context_id, result, syntax))
        if result == _ACCEPTANCE:
            abstract = proposed.abstract_syntax
            contexts[proposed.context_id] = Context(abstract, syntax, abstract in storage)
    accepted = {context.abstract_syntax for context in contexts.values() if context.storage}
    user_items = [
        (MAXIMUM_LENGTH, struct.pack(">I", settings.dicom.maximum_pdu_size)),
        (IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode()),
        (IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode()),
        *_negotiated(request, accepted),
    ]
    answer = encode_ac(pdu[6:], _APPLICATION_CONTEXT, results, user_items)
    return Acceptance(calling, called, _maximum_length(request), contexts, may, answer)


def _permissions(calling: str, settings: Settings) -> frozenset[str]:
    for peer in settings.peer:
        if peer.ae_title == calling:
            return frozenset(peer.may)
    if settings.dicom.accept_unknown_peers:
        return frozenset({"echo", "store", "media", "commit"})
    return frozenset()


def _announced(request: AssociateRequest) -> Iterable[str]:
    """SOP classes said to be Storage by Common Extended Negotiation (PS3.4 B.4.1.2)."""
    for kind, value in request.user_items:
        if kind == COMMON_EXTENDED:
            sop_class, behind = counted(value, 0)
            service_class, _ = counted(value, behind)
            if uid(service_class) in _STORAGE_SERVICE_CLASSES:
                yield uid(sop_class)


def _answer(proposed: Proposed, storage: frozenset[str]) -> tuple[int, str]:
    """The result for a context, and its transfer syntax."""
    abstract, offered = proposed.abstract_syntax, proposed.transfer_syntaxes
    first = offered[0] if offered else IMPLICIT_VR_LITTLE_ENDIAN
    if abstract in storage:
        known = STORAGE_TRANSFER_SYNTAXES
    elif abstract in (VERIFICATION, MEDIA_CREATION_MANAGEMENT):
        known = _N_TRANSFER_SYNTAXES
    else:
        return _NO_ABSTRACT_SYNTAX, first
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
