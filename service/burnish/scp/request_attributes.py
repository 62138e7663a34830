"""Surface: the attributes of a request for N-GET (PS3.4 Table S.3.2.4.1-1), encoded in pieces.

A request may have 100,000 references. Their items are read and encoded some at a time, so that the
memory for an answer has a bound, and work ends when the peer has gone. Encoded items are kept for a
while, so that they are encoded once for all peers that ask at the same time. An answer with 20,000
references takes 0.07 s of processor time in this way, and 1.9 s if pydicom encodes the items.
"""

import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence

from burnish.db.session import Database
from burnish.dicom_elements import ITEM, SEQUENCE_DELIMITATION_ITEM, UNDEFINED_LENGTH
from burnish.errors import Conflict
from burnish.request import operations, stored_attributes
from burnish.request.stored_attributes import FAILURES, REFERENCES, ItemKind, StoredRequest
from burnish.scp import attributes
from burnish.scp.attributes import ATTRIBUTES, Attribute
from burnish.vocabulary import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)

#: Items that are read and encoded at a time. A sequence with more has undefined length.
_ITEMS_AT_A_TIME = 1000
#: The encoded items that one receiver keeps, in bytes: those of about 250,000 references.
_KEPT_BYTES = 32 << 20

_REFERENCED_SOP_CLASS_UID = 0x00081150
_REFERENCED_SOP_INSTANCE_UID = 0x00081155
_FAILURE_REASON = 0x00081197
_FAILED_SOP_SEQUENCE = 0x00081198
_REFERENCED_SOP_SEQUENCE = 0x00081199
_STORAGE_MEDIA_FILE_SET_ID = 0x00880130
_STORAGE_MEDIA_FILE_SET_UID = 0x00880140
_ICON_IMAGE_SEQUENCE = 0x00880200
_REQUESTED_MEDIA_APPLICATION_PROFILE = 0x2200000C
_FAILURE_ATTRIBUTES = 0x2200000E


class RequestAttributes:
    """Reads and encodes the attributes of requests, for all associations of one receiver."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept_items = _KeptItems(_KEPT_BYTES)

    def encoded(
        self, sop_instance_uid: str, transfer_syntax_uid: str, tags: Collection[int] = ()
    ) -> Iterable[bytes]:
        """The attributes of `tags`, or all, as pieces of an encoded data set; none if it is empty.

        Only what `tags` name is read from the database: a PACS asks for the Execution Status a
        hundred times for each disc. A sequence is returned whole (PS3.4 S.3.2.4). Raises Unknown.
        Taking the pieces raises BurnishError if the rest cannot be read.
        """
        encoder = ItemEncoder(transfer_syntax_uid)
        sequences: list[Iterable[bytes]] = []
        has_long_sequence = False
        with self._database.reading() as session:
            request = StoredRequest(session, operations.get_request(session, sop_instance_uid))
            data_set = _short_attributes(request, tags)
            for tag, kind in _SEQUENCES.items():
                if tags and tag not in tags:
                    continue
                count = request.count(kind)
                if count > _ITEMS_AT_A_TIME:
                    has_long_sequence = True
                    items = _ItemList(kind, request.row.id, request.row.ended_at, count)
                    sequences.append(self._long_sequence(tag, items, encoder))
                else:
                    rows = stored_attributes.items(
                        session, kind, request.row.id, after=-1, limit=count
                    )
                    sequences.append((encoder.sequence(tag, encoder.items(kind, rows)),))
        # Specific Character Set is the only attribute before the sequences.
        beginning = Dataset()
        if "SpecificCharacterSet" in data_set:
            beginning.SpecificCharacterSet = data_set.SpecificCharacterSet
        first = attributes.encode(beginning, transfer_syntax_uid)
        last = attributes.encode(data_set, transfer_syntax_uid)[len(first) :]
        pieces = chain((first,), *sequences, (last,))
        if has_long_sequence:
            return pieces
        data = b"".join(pieces)
        return (data,) if data else ()

    def _long_sequence(
        self, tag: int, items: "_ItemList", encoder: "ItemEncoder"
    ) -> Iterator[bytes]:
        """A sequence of undefined length: how long it is would be known only at its end.

        No session stays open while the peer takes its time.
        """
        yield encoder.open_sequence(tag)
        sent, last_ordinal = 0, -1
        while sent < items.count:
            content, count, last_ordinal = self._kept_items.get(
                (items, encoder.transfer_syntax_uid, sent),
                partial(self._read, items, encoder, last_ordinal, sent),
            )
            if not count:
                raise Conflict("the request was deleted while it was read")
            yield content
            sent += count
        yield encoder.close_sequence()

    def _read(
        self, items: "_ItemList", encoder: "ItemEncoder", after: int, sent: int
    ) -> "_EncodedItems":
        limit = min(_ITEMS_AT_A_TIME, items.count - sent)
        with self._database.reading() as session:
            rows = stored_attributes.items(
                session, items.kind, items.request_id, after=after, limit=limit
            )
        return encoder.items(items.kind, rows), len(rows), rows[-1][0] if rows else after


#: Encoded items, their number, and the ordinal of the last one.
_EncodedItems = tuple[bytes, int, int]


class _KeptItems:
    """The encoded items that were needed last, up to a number of bytes."""

    def __init__(self, maximum_bytes: int) -> None:
        self._maximum_bytes = maximum_bytes
        self._bytes = 0
        self._items: OrderedDict[object, _EncodedItems] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, encode: Callable[[], _EncodedItems]) -> _EncodedItems:
        """The items of a key. They are encoded if they are not kept; others wait for that."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key]
            encoded = self._items[key] = encode()
            self._bytes += len(encoded[0])
            while self._bytes > self._maximum_bytes:
                _, (content, _, _) = self._items.popitem(last=False)
                self._bytes -= len(content)
            return encoded


# --- items ---

#: The sequences that can be long, in the order of their tags.
_SEQUENCES = {_FAILED_SOP_SEQUENCE: FAILURES, _REFERENCED_SOP_SEQUENCE: REFERENCES}


@dataclass(frozen=True)
class _ItemList:
    """All items of one sequence of a request.

    Items do not change as long as `count` and `ended_at` are the same: references are only added,
    and failures are replaced when the request ends again.
    """

    kind: ItemKind
    request_id: int
    ended_at: datetime | None
    count: int


class ItemEncoder:
    """Encodes the items of the sequences of a request in a transfer syntax (PS3.5 7.1, 7.5)."""

    def __init__(self, transfer_syntax_uid: str) -> None:
        self.transfer_syntax_uid = transfer_syntax_uid
        self._order = ">" if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN else "<"
        self._is_implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
        self._tag_and_length = struct.Struct(f"{self._order}HHL")
        self._short_header = struct.Struct(f"{self._order}HH2sH")
        self._sequence_header = struct.Struct(f"{self._order}HH2sHL")
        #: Elements whose value many items share.
        self._shared: dict[tuple[int, str], bytes] = {}

    def items(self, kind: ItemKind, rows: Sequence[Any]) -> bytes:
        """The items of a sequence, from rows of `stored_attributes.items`."""
        encode = self.failure if kind is FAILURES else self.reference
        return b"".join([encode(*columns) for _, *columns in rows])

    def reference(
        self, sop_class_uid: str, sop_instance_uid: str, profile: str, icon: bytes | None
    ) -> bytes:
        """An item of the Referenced SOP Sequence."""
        elements = [
            self._shared_element(_REFERENCED_SOP_CLASS_UID, b"UI", sop_class_uid),
            self._text(_REFERENCED_SOP_INSTANCE_UID, b"UI", sop_instance_uid),
        ]
        if icon:
            elements.append(self._icon(icon))
        if profile:
            elements.append(
                self._shared_element(_REQUESTED_MEDIA_APPLICATION_PROFILE, b"LO", profile)
            )
        return self._item(b"".join(elements))

    def committed(
        self, sop_class_uid: str, sop_instance_uid: str, file_set_id: str, file_set_uid: str
    ) -> bytes:
        """An item of the Referenced SOP Sequence of a Storage Commitment report."""
        elements = [
            self._shared_element(_REFERENCED_SOP_CLASS_UID, b"UI", sop_class_uid),
            self._text(_REFERENCED_SOP_INSTANCE_UID, b"UI", sop_instance_uid),
        ]
        if file_set_uid:
            elements.append(self._shared_element(_STORAGE_MEDIA_FILE_SET_ID, b"SH", file_set_id))
            elements.append(self._shared_element(_STORAGE_MEDIA_FILE_SET_UID, b"UI", file_set_uid))
        return self._item(b"".join(elements))

    def failure(
        self, sop_class_uid: str, sop_instance_uid: str, profile: str, reason: int, tags: str
    ) -> bytes:
        """An item of the Failed SOP Sequence; `tags` are those of Failure Attributes."""
        elements = [
            self._shared_element(_REFERENCED_SOP_CLASS_UID, b"UI", sop_class_uid),
            self._text(_REFERENCED_SOP_INSTANCE_UID, b"UI", sop_instance_uid),
            self._element(_FAILURE_REASON, b"US", struct.pack(f"{self._order}H", reason)),
        ]
        if profile:
            elements.append(
                self._shared_element(_REQUESTED_MEDIA_APPLICATION_PROFILE, b"LO", profile)
            )
        if tags:
            numbers = [int(tag, 16) for tag in tags.split()]
            values = [struct.pack(f"{self._order}HH", n >> 16, n & 0xFFFF) for n in numbers]
            elements.append(self._element(_FAILURE_ATTRIBUTES, b"AT", b"".join(values)))
        return self._item(b"".join(elements))

    def sequence(self, tag: int, items: bytes) -> bytes:
        """A sequence of defined length."""
        return self._header_of_sequence(tag, len(items)) + items

    def open_sequence(self, tag: int) -> bytes:
        """The header of a sequence of undefined length."""
        return self._header_of_sequence(tag, UNDEFINED_LENGTH)

    def close_sequence(self) -> bytes:
        """The end of a sequence of undefined length."""
        tag = SEQUENCE_DELIMITATION_ITEM
        return self._tag_and_length.pack(tag >> 16, tag & 0xFFFF, 0)

    def _header_of_sequence(self, tag: int, length: int) -> bytes:
        if self._is_implicit:
            return self._tag_and_length.pack(tag >> 16, tag & 0xFFFF, length)
        return self._sequence_header.pack(tag >> 16, tag & 0xFFFF, b"SQ", 0, length)

    def _item(self, content: bytes) -> bytes:
        return self._tag_and_length.pack(ITEM >> 16, ITEM & 0xFFFF, len(content)) + content

    def _icon(self, item: bytes) -> bytes:
        """An Icon Image Sequence; its item is stored in Explicit VR Little Endian."""
        if self.transfer_syntax_uid != EXPLICIT_VR_LITTLE_ENDIAN:
            data_set = attributes.decode(item, EXPLICIT_VR_LITTLE_ENDIAN)
            item = attributes.encode(data_set, self.transfer_syntax_uid)
        content = self._item(item)
        return self._header_of_sequence(_ICON_IMAGE_SEQUENCE, len(content)) + content

    def _shared_element(self, tag: int, vr: bytes, text: str) -> bytes:
        element = self._shared.get((tag, text))
        if element is None:
            element = self._shared[tag, text] = self._text(tag, vr, text)
        return element

    def _text(self, tag: int, vr: bytes, text: str) -> bytes:
        value = text.encode("ascii", "replace")
        if len(value) % 2:
            value += b"\0" if vr == b"UI" else b" "
        return self._element(tag, vr, value)

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        group, number = tag >> 16, tag & 0xFFFF
        if self._is_implicit:
            return self._tag_and_length.pack(group, number, len(value)) + value
        return self._short_header.pack(group, number, vr, len(value)) + value


# --- attributes without the two sequences that can be long ---


def _short_attributes(request: StoredRequest, tags: Collection[int]) -> Dataset:
    """The attributes of `tags`, or all, except the sequences that can be long."""
    data_set = Dataset()
    if request.row.specific_character_set:
        data_set.SpecificCharacterSet = request.row.specific_character_set.split("\\")
    for keyword, read_value in _READERS.items():
        if tags and _TAGS[keyword] not in tags:
            continue
        value = read_value(request)
        if value is not None:
            setattr(data_set, keyword, value)
    _set_character_set(data_set)
    return data_set


def _referenced_storage_media(request: StoredRequest) -> ItemSequence:
    """An item for each volume of which a piece was created."""
    items = []
    for file_set_id, file_set_uid in request.created_file_sets():
        item = Dataset()
        item.StorageMediaFileSetID = file_set_id
        item.StorageMediaFileSetUID = file_set_uid
        items.append(item)
    return ItemSequence(items)


def _number_of_copies(request: StoredRequest) -> int | None:
    return request.row.number_of_copies if request.row.initiated_at is not None else None


def _request_priority(request: StoredRequest) -> str | None:
    return str(request.row.request_priority) if request.row.initiated_at is not None else None


def _read_column(attribute: Attribute) -> "_Reader":
    return lambda request: getattr(request.row, attribute.column) or None


def _set_character_set(data_set: Dataset) -> None:
    """Specific Character Set is there if the data set has text (PS3.3 C.12.1.1.2).

    Text keeps the character set of the N-CREATE, or goes out as UTF-8 if that lacks a letter.
    """
    texts = [str(data_set[keyword].value) for keyword in _TEXTS if keyword in data_set]
    if not texts:
        data_set.pop("SpecificCharacterSet", None)
        return
    letters = {letter for text in texts for letter in text if not letter.isascii()}
    if not letters:
        return
    terms = data_set.get("SpecificCharacterSet")
    codecs = convert_encodings(terms) if terms else []
    if not all(any(_can_encode(codec, letter) for codec in codecs) for letter in letters):
        data_set.SpecificCharacterSet = "ISO_IR 192"


def _can_encode(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


_Reader = Callable[[StoredRequest], object]
#: Reads an attribute of a request, by keyword; None if the request does not have it. Number of
#: Copies and Request Priority are arguments of N-ACTION Initiate.
_READERS: dict[str, _Reader] = {
    "ExecutionStatus": lambda request: str(request.row.execution_status),
    "ExecutionStatusInfo": lambda request: str(request.row.execution_status_info),
    "TotalNumberOfPiecesOfMediaCreated": StoredRequest.pieces_created,
    "ReferencedStorageMediaSequence": _referenced_storage_media,
    "NumberOfCopies": _number_of_copies,
    "RequestPriority": _request_priority,
    **{attribute.keyword: _read_column(attribute) for attribute in ATTRIBUTES},
}
#: The attributes whose text is in the Specific Character Set (PS3.5 6.1.2.2).
_TEXTS = tuple(
    attribute.keyword
    for attribute in ATTRIBUTES
    if dictionary_VR(attribute.keyword) in ("LO", "LT", "SH", "ST", "UC", "UT")
)
_TAGS = {
    keyword: int(tag_for_keyword(keyword) or 0) for keyword in ("SpecificCharacterSet", *_READERS)
}
#: Every attribute that N-GET supports. Another one is answered with the warning 0001H.
SUPPORTED_TAGS = frozenset(_TAGS.values()) | _SEQUENCES.keys()


def are_supported(tags: Iterable[int]) -> bool:
    """Whether Burnish supports all attributes of an Attribute Identifier List."""
    return SUPPORTED_TAGS.issuperset(tags)
