"""Surface: answers A-ASSOCIATE-RQ: which peers, which contexts (PS3.7 D.3, PS3.8 7.1)."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
)
from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    NonPatientObjectPresentationContexts,
    PresentationContext,
)

from burnish.errors import Malformed
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

#: What malformed items make pynetdicom's decoder raise.
_DECODER_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AssertionError,
    AttributeError,
    NotImplementedError,
    struct.error,
)


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
    request = _decode(pdu)
    calling, called = str(request.calling_ae_title), str(request.called_ae_title)
    may = _permissions(calling, settings)
    if request.application_context_name != _APPLICATION_CONTEXT:
        return Rejection(1, 1, 2, "application context name not supported")
    if called not in settings.called_ae_titles:
        return Rejection(1, 1, 7, "called AE title not recognized")
    if not may:
        return Rejection(1, 1, 3, "calling AE title not recognized")
    storage = STORAGE_SOP_CLASSES | set(_announced(request))
    results, contexts = [], {}
    for proposed in request.presentation_context_definition_list:
        result = _answer(proposed, storage)
        results.append(result)
        if result.result == _ACCEPTANCE:
            abstract = str(proposed.abstract_syntax)
            contexts[int(result.context_id or 0)] = Context(
                abstract, str(result.transfer_syntax[0]), abstract in storage
            )
    accepted = {context.abstract_syntax for context in contexts.values() if context.storage}
    return Acceptance(
        calling,
        called,
        _maximum_length(request),
        contexts,
        may,
        _accept(request, results, accepted, settings.dicom.maximum_pdu_size),
    )


def _decode(pdu: bytes) -> Any:
    """Some devices pad AE titles with NUL where PS3.8 9.3.2 has spaces."""
    titles = pdu[10:42].replace(b"\0", b" ")
    request = A_ASSOCIATE_RQ()
    try:
        request.decode(pdu[:10] + titles + pdu[42:])
        primitive = request.to_primitive()
        if not primitive.presentation_context_definition_list:
            raise Malformed("A-ASSOCIATE-RQ without presentation contexts")
    except _DECODER_ERRORS as error:
        raise Malformed(f"A-ASSOCIATE-RQ cannot be read: {type(error).__name__}") from None
    return primitive


def _permissions(calling: str, settings: Settings) -> frozenset[str]:
    for peer in settings.peer:
        if peer.ae_title == calling:
            return frozenset(peer.may)
    if settings.dicom.accept_unknown_peers:
        return frozenset({"echo", "store", "request"})
    return frozenset()


def _announced(request: Any) -> Iterable[str]:
    """SOP classes said to be Storage by Common Extended Negotiation (PS3.4 B.4.1.2)."""
    for item in request.user_information:
        if (
            isinstance(item, SOPClassCommonExtendedNegotiation)
            and item.service_class_uid in _STORAGE_SERVICE_CLASSES
        ):
            yield str(item.sop_class_uid)


def _answer(proposed: PresentationContext, storage: frozenset[str]) -> PresentationContext:
    answer = PresentationContext()
    answer.context_id = proposed.context_id
    abstract = str(proposed.abstract_syntax)
    offered = [str(uid) for uid in proposed.transfer_syntax]
    if abstract in storage:
        possible = [uid for uid in offered if uid in STORAGE_TRANSFER_SYNTAXES]
    elif abstract in (VERIFICATION, MEDIA_CREATION_MANAGEMENT):
        possible = [uid for uid in offered if uid in _N_TRANSFER_SYNTAXES]
    else:
        possible = []
        answer.result = _NO_ABSTRACT_SYNTAX
    if possible:
        answer.result = _ACCEPTANCE
        answer.transfer_syntax = [UID(min(possible, key=_preference))]
    else:
        if answer.result is None:
            answer.result = _NO_TRANSFER_SYNTAX
        answer.transfer_syntax = [UID(offered[0] if offered else IMPLICIT_VR_LITTLE_ENDIAN)]
    return answer


def _preference(uid: str) -> int:
    if uid == EXPLICIT_VR_LITTLE_ENDIAN:
        return 0
    return 2 + _LAST.index(uid) if uid in _LAST else 1


def _maximum_length(request: Any) -> int:
    length = int(request.maximum_length_received or 0)
    return length if length == 0 or length > 64 else 64


def _accept(
    request: Any, results: list[PresentationContext], storage: set[str], maximum_length: int
) -> bytes:
    answer = A_ASSOCIATE()
    answer.application_context_name = request.application_context_name
    answer.calling_ae_title = request.calling_ae_title
    answer.called_ae_title = request.called_ae_title
    answer.result = 0x00
    answer.result_source = 0x01
    answer.presentation_context_definition_results_list = results
    length = MaximumLengthNotification()
    length.maximum_length_received = maximum_length
    class_uid = ImplementationClassUIDNotification()
    class_uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    answer.user_information = [length, class_uid, version, *_negotiated(request, storage)]
    pdu = A_ASSOCIATE_AC()
    pdu.from_primitive(answer)
    return bytes(pdu.encode())


def _negotiated(request: Any, storage: set[str]) -> Iterable[Any]:
    for item in request.user_information:
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation) and item.scu_role:
            role = SCP_SCU_RoleSelectionNegotiation()
            role.sop_class_uid = item.sop_class_uid
            role.scu_role = True
            role.scp_role = False
            yield role
        elif isinstance(item, SOPClassExtendedNegotiation) and str(item.sop_class_uid) in storage:
            extended = SOPClassExtendedNegotiation()
            extended.sop_class_uid = item.sop_class_uid
            extended.service_class_application_information = _STORAGE_EXTENDED
            yield extended
