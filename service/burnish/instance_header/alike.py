"""Craft: indexes data sets that differ little from one before.

The images of a series agree in most of their header: in the elements that there are, in their
lengths, and in nearly all values from which the header index is made. Of such an image, only the
values that differ are read.
"""

import struct
from typing import NamedTuple

from burnish import site_records
from burnish.application_profiles.limits import LIMITED_ON_ARRIVAL
from burnish.dicom_elements import UNDEFINED_LENGTH, header, scan, uid_of
from burnish.dicomdir import keys
from burnish.directory_records import all_keys
from burnish.errors import Unreadable
from burnish.values import OWN_FIELDS, HeaderValues, InstanceHeader

_SOP_INSTANCE_UID, _INSTANCE_NUMBER = 0x00080018, 0x00200013
_SOP_CLASS_UID, _RELATED_GENERAL_SOP_CLASS_UID = 0x00080016, 0x0008001A
_RECORD_TYPE = "IMAGE"
_RECORD_KEYS = all_keys(_RECORD_TYPE)
#: Indexed values that may differ, since nothing but the directory record of the image has them.
_DIFFERING_KEYS = {
    key.tag: key.vr
    for key in _RECORD_KEYS
    if key.vr in (b"DA", b"TM", b"DT", b"IS", b"DS")
    and key.tag not in LIMITED_ON_ARRIVAL
    and key.tag not in keys.TAGS_OF_ENTITIES
}
#: All other values on which the header of an image depends.
_COMMON = (
    {_SOP_CLASS_UID, _RELATED_GENERAL_SOP_CLASS_UID, keys.SPECIFIC_CHARACTER_SET}
    | set(keys.TAGS_OF_ENTITIES)
    | LIMITED_ON_ARRIVAL
    | {key.tag for key in _RECORD_KEYS}
) - _DIFFERING_KEYS.keys()
_SUBSTITUTE_DATES = {tag for pair in keys.SUBSTITUTE_DATES for tag in pair}
#: Data sets with more bytes than this before their last element are not remembered.
_LONGEST_HEADER = 1 << 15
#: The most kinds of one size, which are compared one after the other, and the most sizes. A kind
#: takes some 5 KB. With only four kinds, five associations of which each sends a series of its own
#: let each other's kinds be forgotten: then 20 us more for each instance.
_MOST_OF_ONE_SIZE = 8
_MOST_SIZES = 64
#: The most series in which something was seen that was like nothing before.
_MOST_SEEN = 1024


class AlikeHeader(NamedTuple):
    """The header of a data set like one before: the fields of its own, and those that it shares.

    `shared` is one object for all data sets of a kind.
    """

    sop_instance_uid: str
    instance_number: int | None
    record_keys: bytes
    shared: tuple[object, ...]

    def whole(self) -> InstanceHeader:
        """The same as any other header."""
        return InstanceHeader._make((*self[:OWN_FIELDS], *self.shared))


class _DifferingKey(NamedTuple):
    """A key of the directory record whose value differs: the one at `place` of those.

    Its element is `position` among the pieces of the record.
    """

    position: int
    place: int
    tag: int
    vr: bytes


class _Kind(NamedTuple):
    """The bytes that data sets of one kind have in common, and where they differ.

    `common` unpacks the bytes that have to be `expected`. `differing` unpacks the other values that
    are indexed: `sop_instance_uid` and `instance_number` are their places among these, that of
    Instance Number is None if there is none. `record_keys` are the pieces of the directory record,
    in which those of `differing_keys` are replaced. `shared` are the fields of the header that all
    have.
    """

    common: struct.Struct
    expected: tuple[bytes, ...]
    differing: struct.Struct
    sop_instance_uid: int
    instance_number: int | None
    record_keys: tuple[bytes, ...]
    differing_keys: tuple[_DifferingKey, ...]
    shared: tuple[object, ...]

    def header(self, head: bytes | memoryview) -> AlikeHeader | None:
        """The header of a data set that begins with `head`; None if it is not of this kind."""
        try:
            if self.common.unpack_from(head) != self.expected:
                return None
        except struct.error:
            return None
        values = self.differing.unpack_from(head)
        pieces = list(self.record_keys)
        for position, place, tag, vr in self.differing_keys:
            pieces[position] = element = keys.remembered_element(tag, vr, values[place], b"")
            if not element:
                return None
        number = b"" if self.instance_number is None else values[self.instance_number]
        return AlikeHeader(
            uid_of(values[self.sop_instance_uid]),
            keys.integer(_INSTANCE_NUMBER, number),
            b"".join(pieces),
            self.shared,
        )


class AlikeDataSets:
    """Remembers data sets, and indexes others like them.

    That takes 7 us for 60 elements, where reading all of them takes 30. A kind is remembered when
    the second data set of one size and series comes that is like nothing before.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[int, str], tuple[_Kind, ...]] = {}
        self._seen: set[tuple[int, str, str]] = set()
        self._site = site_records.in_use()

    def index(
        self, head: bytes | memoryview, size: int, transfer_syntax_uid: str
    ) -> AlikeHeader | None:
        """The header of a data set like one before; None if there was none."""
        kind_and_header = self.find(head, size, transfer_syntax_uid)
        return None if kind_and_header is None else kind_and_header[1]

    def find(
        self, head: bytes | memoryview, size: int, transfer_syntax_uid: str
    ) -> tuple[_Kind, AlikeHeader] | None:
        """The kind of a data set like one before, and its header; None if there was none."""
        if self._site is not site_records.in_use():
            # the configuration was read again: the same class may have another record
            self._kinds.clear()
            self._site = site_records.in_use()
        for kind in self._kinds.get((size, transfer_syntax_uid), ()):
            alike_header = kind.header(head)
            if alike_header is not None:
                return kind, alike_header
        return None

    def remember(
        self,
        head: bytes,
        size: int,
        transfer_syntax_uid: str,
        header_values: HeaderValues,
        instance_header: InstanceHeader,
    ) -> None:
        """Note a data set that was like nothing before, and its header."""
        if site_records.in_use().keys:
            return  # the values of further keys may differ
        seen = (size, transfer_syntax_uid, instance_header.series_instance_uid)
        if seen not in self._seen:
            if len(self._seen) >= _MOST_SEEN:
                self._seen.clear()
            self._seen.add(seen)
            return
        self._seen.discard(seen)
        try:
            kind = _learn(head, size, header_values, instance_header)
        except (Unreadable, struct.error):
            return  # the head is cut off inside an element
        if kind is None:
            return
        alike_header = kind.header(head)
        if alike_header is None or alike_header.whole() != instance_header:
            return
        if len(self._kinds) >= _MOST_SIZES:
            self._kinds.clear()
        earlier = self._kinds.get(seen[:2], ())
        self._kinds[seen[:2]] = (kind, *earlier[: _MOST_OF_ONE_SIZE - 1])


class LastKind:
    """Indexes the data sets of one association, each of which as a rule is like the one before.

    That one is compared first, so that no other association matters.
    """

    def __init__(self) -> None:
        self._kind: _Kind | None = None
        self._size = -1
        self._site = site_records.in_use()

    def index(
        self, alike: AlikeDataSets, data_set: memoryview, transfer_syntax_uid: str
    ) -> AlikeHeader | None:
        """The header of a whole data set; None if it is not like any before."""
        kind = self._kind
        if kind is not None and len(data_set) == self._size:
            alike_header = kind.header(data_set)
            if alike_header is not None and self._site is site_records.in_use():
                return alike_header
        self._size = len(data_set)
        self._site = site_records.in_use()
        kind_and_header = alike.find(data_set, self._size, transfer_syntax_uid)
        if kind_and_header is None:
            self._kind = None
            return None
        self._kind, alike_header = kind_and_header
        return alike_header


def _learn(
    head: bytes, size: int, header_values: HeaderValues, instance_header: InstanceHeader
) -> _Kind | None:
    """The kind of an image in Explicit VR Little Endian whose elements are all of defined length.

    None for anything else, and if the last of its elements begins behind `head`.
    """
    if not _may_be_alike(header_values, instance_header):
        return None
    common_tags = _COMMON - _SUBSTITUTE_DATES if instance_header.study_date else _COMMON
    common, differing = _Format(), _Format()
    tags = []
    position = 0
    while position < size:
        if position + 12 > len(head) or position > _LONGEST_HEADER:
            return None
        tag, _, start, length = header(head, position, size, explicit=True)
        position = start + length
        is_too_long = tag in _DIFFERING_KEYS and length > keys.LONGEST_REMEMBERED
        if length == UNDEFINED_LENGTH or is_too_long:
            return None
        common.take(start - common.position)
        if tag in common_tags:
            common.take(length)
        elif tag == _SOP_INSTANCE_UID or tag in _DIFFERING_KEYS:
            differing.skip(start - differing.position)
            differing.take(length)
            tags.append(tag)
            common.skip(length)
        else:
            common.skip(length)
    if position != size or tags.count(_SOP_INSTANCE_UID) != 1:
        return None
    record_keys, differing_keys = _record_keys(instance_header.record_keys, tags)
    used = {key.tag for key in differing_keys}
    if not {_SOP_INSTANCE_UID, *used}.issuperset(tags):
        return None
    unpack_common = common.compile()
    return _Kind(
        unpack_common,
        unpack_common.unpack_from(head),
        differing.compile(),
        tags.index(_SOP_INSTANCE_UID),
        tags.index(_INSTANCE_NUMBER) if _INSTANCE_NUMBER in tags else None,
        record_keys,
        differing_keys,
        instance_header[OWN_FIELDS:],
    )


def _may_be_alike(header_values: HeaderValues, instance_header: InstanceHeader) -> bool:
    """Whether it is an image in Explicit VR Little Endian in which nothing is unusual."""
    return (
        instance_header.directory_record_type == _RECORD_TYPE
        and header_values.explicit
        and not header_values.implicit
        and not header_values.irregular
        and not header_values.padding
        and keys.SHARED_FUNCTIONAL_GROUPS not in header_values.values
    )


def _record_keys(
    record_keys: bytes, differing: list[int]
) -> tuple[tuple[bytes, ...], tuple[_DifferingKey, ...]]:
    """The pieces of a directory record, and those of them whose tags are among `differing`."""
    pieces: list[bytes] = []
    differing_keys: list[_DifferingKey] = []
    position = 0
    for element in scan(record_keys, 0, len(record_keys), explicit=True):
        tag = element.tag
        if tag in differing:
            pieces.append(record_keys[position : element.start])
            place = differing.index(tag)
            differing_keys.append(_DifferingKey(len(pieces), place, tag, _DIFFERING_KEYS[tag]))
            pieces.append(b"")
            position = element.end
    return (*pieces, record_keys[position:]), tuple(differing_keys)


class _Format:
    """The format of a struct, piece by piece: bytes that are taken, and bytes that are not."""

    def __init__(self) -> None:
        self.position = 0
        self._taken = 0
        self._pieces: list[str] = []

    def take(self, count: int) -> None:
        """Take the next bytes, as one value with those that were taken just before."""
        self._taken += count
        self.position += count

    def skip(self, count: int) -> None:
        """Leave out the next bytes."""
        self._end_value()
        self._pieces.append(f"{count}x")
        self.position += count

    def compile(self) -> struct.Struct:
        """The struct; it does not read what is left out at the end."""
        self._end_value()
        while self._pieces and self._pieces[-1].endswith("x"):
            self._pieces.pop()
        return struct.Struct("<" + "".join(self._pieces))

    def _end_value(self) -> None:
        if self._taken:
            self._pieces.append(f"{self._taken}s")
            self._taken = 0
