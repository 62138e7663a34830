"""Valid associations, PDU by PDU, from which the attackers make invalid ones."""

import ssl
import struct
from contextlib import suppress

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from burnish.scp import messages
from burnish.vocabulary import MEDIA_CREATION_MANAGEMENT, VERIFICATION
from factories import CT
from peer import (
    ABORT,
    EXPLICIT,
    IMPLICIT,
    RELEASE,
    associate_rq,
    command,
    context,
    item,
    p_data,
    pdv,
    role,
)

#: The AE title of the attackers. It is configured, so that their associations are accepted.
HOSTILE = b"HOSTILE"

_CONTEXTS = (
    context(1, VERIFICATION, IMPLICIT),
    context(3, CT, IMPLICIT, EXPLICIT),
    context(5, MEDIA_CREATION_MANAGEMENT, EXPLICIT),
)
_UID = {messages.AFFECTED_SOP_INSTANCE_UID: b"1.2.3.4.5"}


def associate(*contexts: bytes, **options: object) -> bytes:
    return associate_rq(*(contexts or _CONTEXTS), calling=HOSTILE, **options)  # type: ignore[arg-type]


def _encode(**attributes: object) -> bytes:
    data_set = Dataset()
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = False
    buffer.is_little_endian = True
    write_dataset(buffer, data_set)
    return bytes(buffer.getvalue())


def _image(size: int) -> bytes:
    return (
        _encode(
            SOPClassUID=CT,
            SOPInstanceUID="1.2.3.4.5",
            PatientName="Fuzz^Peer",
            PatientID="FUZZ",
            StudyInstanceUID="1.2.3",
            SeriesInstanceUID="1.2.3.4",
            Modality="CT",
            BitsAllocated=8,
        )
        + struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, size)
        + bytes(size)
    )


def _n_create() -> bytes:
    reference = Dataset()
    reference.ReferencedSOPClassUID = CT
    reference.ReferencedSOPInstanceUID = "1.2.3.4.5"
    return _encode(ReferencedSOPSequence=[reference], LabelText="none", AllowMediaSplitting="YES")


def _nested(depth: int) -> bytes:
    """Nested sequences of undefined length."""
    header = struct.pack("<HH2sHI", 0x0008, 0x1199, b"SQ", 0, 0xFFFFFFFF)
    return (header + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)) * depth


def _message(
    context_id: int, field: int, sop_class: str, data: bytes = b"", fragment_size: int = 0
) -> list[bytes]:
    command_set = command(field, sop_class, data_set=bool(data), more=_UID)
    if not data:
        return [p_data(pdv(context_id, 3, command_set))]
    size = fragment_size or len(data)
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    last = len(parts) - 1
    return [
        p_data(pdv(context_id, 1, command_set[:30]), pdv(context_id, 3, command_set[30:])),
        *(p_data(pdv(context_id, 2 if at == last else 0, part)) for at, part in enumerate(parts)),
    ]


def conversations() -> dict[str, list[bytes]]:
    """The PDUs of each conversation by its name. The first PDU is an A-ASSOCIATE-RQ."""
    store, create = messages.C_STORE_RQ, messages.N_CREATE_RQ
    get, action = messages.N_GET_RQ, messages.N_ACTION_RQ
    echo = p_data(pdv(1, 3, command()))
    many = tuple(
        context(n, CT, IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.4.50") for n in range(1, 256, 2)
    )
    identity = item(0x58, b"\2\1" + struct.pack(">H", 4) + b"user" + struct.pack(">H", 4) + b"pass")
    extended = item(0x56, struct.pack(">H", len(CT)) + CT.encode() + b"\2\0\3\0\0\0")
    media = MEDIA_CREATION_MANAGEMENT
    return {
        "echo": [associate(), echo, echo, RELEASE],
        "store": [associate(), *_message(3, store, CT, _image(3000), 1000), RELEASE],
        "store in one PDU": [
            associate(),
            p_data(pdv(3, 3, command(store, CT, data_set=True, more=_UID)), pdv(3, 2, _image(100))),
            RELEASE,
        ],
        "store, then abort": [associate(), *_message(3, store, CT, _image(3000), 500)[:-2], ABORT],
        "create": [associate(), *_message(5, create, media, _n_create()), RELEASE],
        "create and act": [
            associate(),
            *_message(5, create, media, _n_create(), 17),
            *_message(5, action, media),
            *_message(5, get, media),
            RELEASE,
        ],
        "nested": [associate(), *_message(5, create, media, _nested(3000)), RELEASE],
        "nested image": [associate(), *_message(3, store, CT, _nested(3000)), RELEASE],
        "many contexts": [associate(*many), RELEASE],
        "all user items": [associate(more=role(CT, 1, 1) + extended + identity), echo, RELEASE],
        "unlimited": [associate(maximum_length=0), echo, RELEASE],
    }


def client_hello() -> bytes:
    """The first message of a TLS handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context_ = ssl.create_default_context()
    context_.check_hostname = False
    with suppress(ssl.SSLWantReadError):
        context_.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()
