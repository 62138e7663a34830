"""Ground: the row of a received instance as bytes, for its record in a segment.

The encoding, version 1: a fixed part, then the texts in UTF-8 and the binary values, one after the
other, in the order of `_VALUES`. All numbers are little-endian. The fixed part has the version of
the encoding and that of the header index (16 bits each); the time of receipt in microseconds since
1970 (UTC), the size of the instance's file, Series Number and Instance Number (64 bits each, the
two numbers are `_NO_NUMBER` if there is none); the offset of the data set, and the length of each
value (32 bits each).

A record in which the version of the header index is another one has the header of an earlier or
later Burnish: its header has to be read again from the instance.
"""

import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from burnish.db.new_rows import SHARED_COLUMNS, NewRow, SharedValues
from burnish.errors import Unreadable

#: The version of the header index (`instance_header`, and the columns that it fills). To be raised
#: if the same instance gets another header than before.
HEADER_INDEX_VERSION = 1
#: The columns with texts and those with binary values, in the order of the encoding.
_TEXTS = (
    "sop_instance_uid",
    "sop_class_uid",
    "study_instance_uid",
    "series_instance_uid",
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "study_date",
    "study_time",
    "modality",
    "directory_record_type",
    "fault",
    "missing_keys",
    "transfer_syntax_uid",
    "calling_ae_title",
    "called_ae_title",
    "spool_key",
)
_BINARIES = ("record_keys", "entity_keys", "limited_attributes")
_VALUES = (*_TEXTS, *_BINARIES)
#: What the instances of a series have in common if they come from one peer.
_SHARED_TEXTS = _TEXTS[1:-1]
_SHARED_BINARIES = _BINARIES[1:]
_shared_texts_of = itemgetter(*map(SHARED_COLUMNS.index, _SHARED_TEXTS))
_shared_binaries_of = itemgetter(*map(SHARED_COLUMNS.index, _SHARED_BINARIES))
_SERIES_NUMBER = SHARED_COLUMNS.index("series_number")
_VERSION = 1
_FIXED = struct.Struct(f"<HHqQqqI{len(_VALUES)}I")
# the same in pieces: what differs from instance to instance, and what as a rule does not
_SIZES = struct.Struct("<Qq")
_LENGTHS = struct.Struct(f"<I{len(_VALUES)}I")
_PIECES = struct.Struct(f"<HHq{_SIZES.size}sq{_LENGTHS.size}s")
_NO_NUMBER = -(1 << 63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode(row: NewRow, *, holds_nul: bool = True) -> bytes:
    """The encoded row.

    `spool_key` is "" unless the instance has a file of its own: it follows from where the record
    is, and the digest from its header. Raises ValueError for a text that the database cannot hold
    (`holds_nul`: it may have the character NUL), and struct.error for such a number.
    """
    uid, key = row.sop_instance_uid.encode(), row.spool_key.encode()
    instance_number, record_keys = row.instance_number, row.record_keys
    sizes, lengths, texts, binaries = _common(
        row.shared, row.size, row.data_set_offset, (len(uid), len(key), len(record_keys))
    )
    if not holds_nul and b"\0" in uid + texts:
        raise ValueError("a text has the character NUL")
    fixed = _PIECES.pack(
        _VERSION,
        HEADER_INDEX_VERSION,
        row.received_us,
        sizes,
        _NO_NUMBER if instance_number is None else instance_number,
        lengths,
    )
    return b"".join((fixed, uid, texts, key, record_keys, binaries))


#: Of the instances of one series and size, all this is the same: to make it once takes 1 us less.
@lru_cache(maxsize=256)
def _common(
    shared: SharedValues, size: int, data_set_offset: int, own_lengths: tuple[int, int, int]
) -> tuple[bytes, bytes, bytes, bytes]:
    """Of an encoded row: the sizes and lengths, and the shared texts and binary values."""
    encoded = _encoded(shared)
    uid_length, key_length, record_keys_length = own_lengths
    lengths = _LENGTHS.pack(
        data_set_offset,
        uid_length,
        *encoded.text_lengths,
        key_length,
        record_keys_length,
        *encoded.binary_lengths,
    )
    sizes = _SIZES.pack(size, encoded.series_number)
    return sizes, lengths, encoded.texts, encoded.binaries


class _EncodedValues(NamedTuple):
    """What the encoded rows of a series have in common: values one after the other, and lengths."""

    series_number: int
    texts: bytes
    text_lengths: tuple[int, ...]
    binaries: bytes
    binary_lengths: tuple[int, ...]


@lru_cache(maxsize=64)
def _encoded(shared: SharedValues) -> _EncodedValues:
    texts = [text.encode() for text in _shared_texts_of(shared.values)]
    binaries = _shared_binaries_of(shared.values)
    series_number: Any = shared.values[_SERIES_NUMBER]
    return _EncodedValues(
        _NO_NUMBER if series_number is None else series_number,
        b"".join(texts),
        tuple(map(len, texts)),
        b"".join(binaries),
        tuple(map(len, binaries)),
    )


def decode(row: bytes, spool_key: str, digest: str) -> dict[str, Any]:
    """The values of the columns of the row that was encoded.

    Of an instance with a file of its own, the spool key is that of the file. Raises Unreadable for
    another encoding.
    """
    try:
        fixed = _FIXED.unpack_from(row)
    except struct.error as error:
        raise Unreadable("a row in a segment is too short") from error
    version, _, received_at, size, series_number, instance_number, data_set_offset, *lengths = fixed
    if version != _VERSION:
        raise Unreadable(f"a row in a segment has the format {version}, which is not known")
    values: dict[str, Any] = {}
    position = _FIXED.size
    for name, length in zip(_VALUES, lengths, strict=True):
        values[name] = row[position : position + length]
        position += length
    for name in _TEXTS:
        values[name] = values[name].decode()
    return {
        **values,
        "series_number": None if series_number == _NO_NUMBER else series_number,
        "instance_number": None if instance_number == _NO_NUMBER else instance_number,
        "spool_key": values["spool_key"] or spool_key,
        "size": size,
        "data_set_offset": data_set_offset,
        "digest": digest,
        "received_at": _EPOCH + received_at * _MICROSECOND,
        "released_at": None,
        "replaced_at": None,
    }


def has_this_header_index(row: bytes) -> bool:
    """Whether the header in an encoded row is as this version of Burnish reads it."""
    return int.from_bytes(row[2:4], "little") == HEADER_INDEX_VERSION
