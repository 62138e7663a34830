"""Craft: reads directory records, and checks each by itself (PS3.3 F.3.2.2, F.5).

The records of a series are alike but for values: how the elements of one lie tells how those of the
next do, wherever these have the same headers at the same places.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from burnish import dicom_elements
from burnish.application_profiles import icon
from burnish.application_profiles.icon import Icon
from burnish.dicom_elements import Element
from burnish.verify import key_checks
from burnish.verify.faults import FaultCode, Faults

_NEXT, _IN_USE, _LOWER, _TYPE = 0x00041400, 0x00041410, 0x00041420, 0x00041430
_FILE_ID, _SOP_CLASS, _SOP_INSTANCE = 0x00041500, 0x00041510, 0x00041511
_TRANSFER_SYNTAX = 0x00041512
_ICON = 0x00880200
_IDENTITIES = {"PATIENT": 0x00100020, "STUDY": 0x0020000D, "SERIES": 0x0020000E}
#: What is read of every record.
_READ = (
    *(_NEXT, _LOWER, _TYPE, _FILE_ID),
    *(_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX),
)
_ITEM_HEADER = 8
#: Of so many kinds it is remembered how they lie.
_KINDS = 64


@dataclass(slots=True)
class Record:
    """One directory record; offsets count from the first byte of the file (PS3.3 F.3.2.2).

    `identity` is what no other record of its type may have; `tags` are the elements it has
    with a value, `empty_tags` those without. `parent` and `reached` are found by walking the tree.
    """

    number: int
    offset: int
    next: int
    lower: int
    type: str
    file_id: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    identity: bytes
    tags: frozenset[int]
    empty_tags: frozenset[int] = frozenset()
    icon: Icon | None = None
    parent: "Record | None" = None
    reached: bool = False

    def __str__(self) -> str:
        return f"record {self.number} ({self.type})"


class RecordReader:
    """Reads the records of one DICOMDIR; what is wrong with them goes to `faults`."""

    def __init__(self, data: bytes, faults: Faults, *, explicit: bool) -> None:
        self._data, self._faults, self._explicit = data, faults, explicit
        self._tags: dict[frozenset[int], frozenset[int]] = {}
        self._kinds: dict[int, _Kind] = {}

    def read(self, begin: int, stop: int, number: int) -> Record:
        """The record whose item has its content there; raises Unreadable where there is none."""
        kind = self._kinds.get(stop - begin)
        record = kind.read(self._data, begin, number) if kind else None
        return record or self._examine(begin, stop, number)

    def _examine(self, begin: int, stop: int, number: int) -> Record:
        data, before = self._data, self._faults.count
        span = list(dicom_elements.scan(data, begin, stop, explicit=self._explicit))
        found = {element.tag: element for element in span}
        kind = _text(_value(data, found.get(_TYPE)))[:16]
        wanted = (*_READ, _IDENTITIES.get(kind, 0))
        values = [_value(data, found.get(tag)) for tag in wanted]
        tags = frozenset(tag for tag, element in found.items() if element.length)
        record = _record(
            *(values, begin, number),
            tags=self._tags.setdefault(tags, tags),
            empty_tags=self._tags.setdefault(frozenset(found) - tags, frozenset(found) - tags),
        )
        if _ICON in found:
            record.icon = _icon(data, found[_ICON], self._explicit)
        _check(data, record, found, self._faults)
        if self._faults.count == before and _ICON not in found and not _is_open(span):
            if len(self._kinds) == _KINDS:
                self._kinds.clear()
            self._kinds[stop - begin] = _Kind(data, begin, span, record, wanted)
        return record


class _Kind:
    """How the elements lie in records like one in which nothing is wrong."""

    def __init__(
        self, data: bytes, begin: int, span: list[Element], like: Record, wanted: Sequence[int]
    ) -> None:
        self._tags, self._empty_tags = like.tags, like.empty_tags
        layout = (f"{one.value - one.start}s{one.length}s" for one in span)
        self._layout = struct.Struct("".join(layout))
        fields = self._layout.unpack_from(data, begin)
        self._headers = fields[::2]
        place = {one.tag: number for number, one in enumerate(span)}
        # behind all values stands an empty one, for what is not there
        self._read = itemgetter(*(place.get(tag, len(span)) for tag in wanted))
        self._same = itemgetter(place[_TYPE], place[_IN_USE])
        self._as_it_was = self._same(fields[1::2])
        with_value, with_characters = key_checks.on_values(like.type, place)
        self._needed = [place[tag] for tag in with_value]
        self._coded = [place[tag] for tag in with_characters]

    def read(self, data: bytes, begin: int, number: int) -> Record | None:
        """The record, or None where it is of another kind or something may be wrong with it."""
        fields = self._layout.unpack_from(data, begin)
        values = (*fields[1::2], b"")
        if fields[::2] != self._headers or self._same(values) != self._as_it_was:
            return None
        blank = [place for place in self._needed if not values[place].strip(b"\0 ")]
        coded = [place for place in self._coded if not values[place].isascii()]
        if blank or coded:
            return None
        return _record(
            *(self._read(values), begin, number), tags=self._tags, empty_tags=self._empty_tags
        )


def _record(
    values: Sequence[bytes],
    begin: int,
    number: int,
    *,
    tags: frozenset[int],
    empty_tags: frozenset[int],
) -> Record:
    """One with the values of the elements `_READ`, and of that which is its identity."""
    following, lower, kind, file_id, sop_class, sop_instance, transfer_syntax, identity = values
    return Record(
        number=number,
        offset=begin - _ITEM_HEADER,
        next=_number(following),
        lower=_number(lower),
        type=_text(kind)[:16],
        file_id=_text(file_id),
        sop_class_uid=_text(sop_class),
        sop_instance_uid=_text(sop_instance),
        transfer_syntax_uid=_text(transfer_syntax),
        identity=identity.strip(b"\0 "),
        tags=tags,
        empty_tags=empty_tags,
    )


def _is_open(span: Sequence[Element]) -> bool:
    """Whether the length of an element is told by what stands in its value."""
    return any(element.undefined for element in span)


def _icon(data: bytes, element: Element, explicit: bool) -> Icon:
    """The icon of a record: the one item of its sequence (PS3.3 F.7)."""
    end = element.value + element.length
    found = list(dicom_elements.items(data, element.value, end, explicit=explicit))
    if len(found) != 1:
        return Icon(0, 0, 0, "", False)
    [(begin, stop)] = found
    return icon.read(data[begin:stop], explicit=explicit)


def _check(data: bytes, record: Record, found: dict[int, Element], faults: Faults) -> None:
    for tag in (_NEXT, _IN_USE, _LOWER, _TYPE):
        if tag not in found:
            faults.add(
                FaultCode.KEY_MISSING, str(record), f"it lacks {dicom_elements.describe(tag)}"
            )
    if _IN_USE in found and _number(_value(data, found[_IN_USE])) != 0xFFFF:
        faults.add(
            FaultCode.RECORD_IN_USE_FLAG,
            str(record),
            "Record In-use Flag (0004,1410) is not FFFFH: readers pass it over",
        )
    if record.icon and not record.icon.sound:
        message = "its Icon Image Sequence (0088,0200) does not hold one icon of PS3.3 F.7"
        faults.add(FaultCode.ICON_INVALID, str(record), message)
    key_checks.check_keys(data, found, record.type, str(record), faults)


def _value(data: bytes, element: Element | None) -> bytes:
    return data[element.value : element.value + element.length] if element else b""


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip("\0 ")


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], "little")
