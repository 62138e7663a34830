"""Craft: reads the header of a SOP Instance from its data set, once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from burnish import character_sets
from burnish.application_profiles import limits
from burnish.dicom_elements import UNDEFINED_LENGTH, uid
from burnish.dicomdir.keys import KeyBuilder
from burnish.errors import Unreadable
from burnish.file_meta import locate
from burnish.file_slice import Slice
from burnish.instance_header import instance_faults
from burnish.instance_header.alike import AlikeDataSets, AlikeHeader, LastKind
from burnish.instance_header.instance_faults import UNEXAMINED, in_words
from burnish.instance_header.pixel_data import pixel_faults
from burnish.instance_header.scan import find_values
from burnish.site_records import record_type
from burnish.values import HeaderValues, InstanceHeader
from burnish.wording import quantity

#: How many first bytes of a data set are passed as `head`: in most, all that is indexed.
HEAD = 1 << 16
#: Behind very long File Meta Information, the head of the data set is read by itself.
_SHORTEST_HEAD = 1 << 15
_alike = AlikeDataSets()


class Repair(NamedTuple):
    """How a data set is to be repaired, where the standard leaves no doubt.

    `padding` zeros behind it are no part of it. `odd_length` is the offset of the odd length of its
    last element, and the even length that replaces it: the element gets one zero more.
    """

    padding: int = 0
    odd_length: tuple[int, bytes] | None = None

    def __str__(self) -> str:
        repairs = []
        if self.padding:
            repairs.append(f"{quantity(self.padding, 'zero byte')} behind the data set removed")
        if self.odd_length is not None:
            repairs.append("the odd length of the last element made even by a zero byte")
        return "; ".join(repairs)


class IndexedDataSet(NamedTuple):
    """The header of a data set, and how to repair the data set; None for not at all."""

    header: InstanceHeader
    repair: Repair | None


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A DICOM file on disk: its header, its transfer syntax, and where its data set begins."""

    header: InstanceHeader
    transfer_syntax_uid: str
    data_set_offset: int
    repair: Repair | None = None


def index(
    head: bytes | memoryview, size: int, transfer_syntax_uid: str, reopen: Callable[[], BinaryIO]
) -> InstanceHeader:
    """The header alone, as `index_data_set` gives it."""
    return index_data_set(head, size, transfer_syntax_uid, reopen).header


def index_alike(
    data_set: memoryview, transfer_syntax_uid: str, last: LastKind
) -> AlikeHeader | None:
    """The header of a whole data set that is like one before; None if it has to be read.

    `last` remembers of what kind the data set before it was.
    """
    return last.index(_alike, data_set, transfer_syntax_uid)


def index_data_set(
    head: bytes | memoryview, size: int, transfer_syntax_uid: str, reopen: Callable[[], BinaryIO]
) -> IndexedDataSet:
    """The header of a data set of `size` bytes that begins with `head`.

    `reopen` returns a file positioned at the first byte of the data set; it is called if `head`
    does not hold everything. Raises Unreadable if the data set cannot be parsed or is truncated.
    """
    alike_header = _alike.index(head, size, transfer_syntax_uid)
    if alike_header is not None:
        return IndexedDataSet(alike_header.whole(), None)
    head = bytes(head)
    header_values = find_values(head, size, transfer_syntax_uid, reopen)
    values = header_values.values
    sop_class_uid = uid(values, 0x00080016)
    directory_record_type = record_type(sop_class_uid)
    keys = KeyBuilder(header_values, directory_record_type)
    entities = keys.entities()
    record_keys, missing_keys = keys.record()
    limited_attributes = limits.pack(
        values, regions_explicit=header_values.is_explicit(limits.US_REGIONS)
    )
    fault = _fault(
        header_values, directory_record_type, limited_attributes, transfer_syntax_uid, sop_class_uid
    )
    undecodable = entities.undecodable or keys.undecodable
    if undecodable or character_sets.unknown_terms(keys.character_set):
        fault = instance_faults.with_text_fault(keys.character_set, undecodable, fault)
    instance_header = InstanceHeader(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=uid(values, 0x00080018),
        study_instance_uid=entities.study_instance_uid,
        series_instance_uid=entities.series_instance_uid,
        patient_id=entities.patient_id,
        issuer_of_patient_id=entities.issuer_of_patient_id,
        patient_name=entities.patient_name,
        study_date=entities.study_date,
        study_time=entities.study_time,
        modality=entities.modality,
        series_number=entities.series_number,
        instance_number=keys.number(0x00200013),
        directory_record_type=directory_record_type,
        entity_keys=entities.keys,
        record_keys=record_keys,
        missing_keys=missing_keys,
        limited_attributes=limited_attributes,
        fault=fault,
    )
    _alike.remember(head, size, transfer_syntax_uid, header_values, instance_header)
    return IndexedDataSet(instance_header, _repair(header_values))


def _repair(header_values: HeaderValues) -> Repair | None:
    if header_values.padding or header_values.odd_length is not None:
        return Repair(header_values.padding, header_values.odd_length)
    return None


def _fault(
    header_values: HeaderValues,
    directory_record_type: str,
    limited_attributes: bytes,
    transfer_syntax_uid: str,
    sop_class_uid: str,
) -> str:
    """The faults of the instance, in words (see `instance_faults`)."""
    faults = [header_values.fault] if header_values.fault else []
    length = header_values.pixel_data_length
    has_pixels = directory_record_type and length is not None
    if directory_record_type == "IMAGE" or has_pixels:
        faults += pixel_faults(length, limited_attributes, transfer_syntax_uid, sop_class_uid)
    is_unexamined = length == UNDEFINED_LENGTH or header_values.has_sequences
    if is_unexamined and not any(map(instance_faults.prevents_media, faults)):
        faults.append(UNEXAMINED)
    if faults or header_values.tolerable_fault:
        return in_words(header_values.tolerable_fault, faults)
    return ""


def index_file(path: Path) -> IndexedFile:
    """The header of any DICOM file, even one without File Meta Information or preamble.

    Raises Unreadable for a file that is not a DICOM file or holds no SOP Instance (a DICOMDIR).
    """
    return index_slice(Slice.of_file(path))


def index_slice(source: Slice, beginning: bytes | None = None) -> IndexedFile:
    """The header of a DICOM file in the spool; raises as `index_file` does.

    `beginning` are its first bytes, if they have been read already.
    """
    size = source.size
    if beginning is None:
        beginning = source.read(0, HEAD)
    offset, transfer_syntax_uid = locate(beginning)
    if offset >= size:
        raise Unreadable("the file has no data set")
    head = beginning[offset:]
    if len(head) < _SHORTEST_HEAD:
        head = source.read(offset, HEAD)
    header, repair = index_data_set(
        head, size - offset, transfer_syntax_uid, partial(_open_at, source, offset)
    )
    if not (header.sop_class_uid or header.sop_instance_uid or header.study_instance_uid):
        raise Unreadable("the file holds no SOP Instance")
    return IndexedFile(header, transfer_syntax_uid, offset, repair)


def _open_at(source: Slice, offset: int) -> BinaryIO:
    file = source.open()
    file.seek(offset)
    return file


def repaired(chunks: Iterator[bytes], size: int, repair: Repair | None) -> Iterator[bytes]:
    """The bytes of a data set of `size` bytes, which come in `chunks`, after its repair."""
    if repair is None:
        yield from chunks
        return
    left = size - repair.padding
    position = 0
    for chunk in chunks:
        part = chunk[: left - position]
        if repair.odd_length is not None:
            part = _with_even_length(part, position, *repair.odd_length)
        position += len(part)
        yield part
    if repair.odd_length is not None:
        yield b"\0"


def _with_even_length(chunk: bytes, position: int, offset: int, even: bytes) -> bytes:
    """A chunk that begins at `position`, with the part of the bytes `even` that belongs into it."""
    start = max(offset, position)
    end = min(offset + len(even), position + len(chunk))
    if start >= end:
        return chunk
    part = even[start - offset : end - offset]
    return chunk[: start - position] + part + chunk[end - position :]
