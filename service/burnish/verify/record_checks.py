"""Craft: checks each directory record by itself (PS3.3 F.3.2.2, F.5)."""

from dataclasses import dataclass

from burnish import dicom_elements
from burnish.application_profiles import icon
from burnish.application_profiles.icon import Icon
from burnish.dicomdir.reader import (
    IDENTITY_KEYS,
    LOWER_LEVEL_OFFSET,
    NEXT_RECORD_OFFSET,
    RECORD_IN_USE_FLAG,
    RECORD_TYPE,
    REFERENCED_FILE_ID,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_TRANSFER_SYNTAX_UID,
    Elements,
    StoredRecord,
)
from burnish.verify import key_checks
from burnish.verify.faults import FaultCode, Faults

#: What every directory record has, whatever its type (PS3.3 Table F.3-3).
_REQUIRED = (NEXT_RECORD_OFFSET, RECORD_IN_USE_FLAG, LOWER_LEVEL_OFFSET, RECORD_TYPE)
_IN_USE = 0xFFFF
_ICON_IMAGE_SEQUENCE = 0x00880200
#: The most characters of a Directory Record Type (PS3.5 6.2, CS).
_LONGEST_TYPE = 16


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


class RecordChecks:
    """Checks the records of one DICOMDIR; what is wrong with them goes to `faults`."""

    def __init__(self, faults: Faults, *, explicit: bool) -> None:
        self._faults, self._explicit = faults, explicit
        #: Most records have the same tags as others: each set of tags is held once.
        self._tag_sets: dict[frozenset[int], frozenset[int]] = {}

    def check(self, stored: StoredRecord, number: int) -> Record:
        """The record, after its own faults were added; `number` counts from 1."""
        elements = stored.elements
        by_tag = elements.by_tag
        record_type = elements.code(RECORD_TYPE)[:_LONGEST_TYPE]
        tags = frozenset([tag for tag, element in by_tag.items() if element.length])
        record = Record(
            number=number,
            offset=stored.offset,
            next=elements.number(NEXT_RECORD_OFFSET),
            lower=elements.number(LOWER_LEVEL_OFFSET),
            type=record_type,
            file_id=elements.code(REFERENCED_FILE_ID),
            sop_class_uid=elements.code(REFERENCED_SOP_CLASS_UID),
            sop_instance_uid=elements.code(REFERENCED_SOP_INSTANCE_UID),
            transfer_syntax_uid=elements.code(REFERENCED_TRANSFER_SYNTAX_UID),
            identity=elements.value(IDENTITY_KEYS.get(record_type, 0)).strip(b"\0 "),
            tags=self._tag_sets.setdefault(tags, tags),
        )
        if len(tags) < len(by_tag):
            empty_tags = frozenset(by_tag) - tags
            record.empty_tags = self._tag_sets.setdefault(empty_tags, empty_tags)
        if _ICON_IMAGE_SEQUENCE in elements:
            record.icon = _icon(elements, self._explicit)
        _check(record, elements, self._faults)
        return record


def _icon(elements: Elements, explicit: bool) -> Icon:
    """The icon of a record: the one item of its sequence (PS3.3 F.7)."""
    data, sequence = elements.data, elements.by_tag[_ICON_IMAGE_SEQUENCE]
    end = sequence.value + sequence.length
    bounds = list(dicom_elements.items(data, sequence.value, end, explicit=explicit))
    if len(bounds) != 1:
        return Icon(0, 0, 0, "", False)
    [(begin, stop)] = bounds
    return icon.read(data[begin:stop], explicit=explicit)


def _check(record: Record, elements: Elements, faults: Faults) -> None:
    for tag in _REQUIRED:
        if tag not in elements:
            faults.add(
                FaultCode.KEY_MISSING, str(record), f"it lacks {dicom_elements.describe(tag)}"
            )
    if RECORD_IN_USE_FLAG in elements and elements.number(RECORD_IN_USE_FLAG) != _IN_USE:
        faults.add(
            FaultCode.RECORD_IN_USE_FLAG,
            str(record),
            "Record In-use Flag (0004,1410) is not FFFFH: readers pass it over",
        )
    if record.icon and not record.icon.sound:
        message = "its Icon Image Sequence (0088,0200) does not hold one icon of PS3.3 F.7"
        faults.add(FaultCode.ICON_INVALID, str(record), message)
    key_checks.check_keys(elements.data, elements.by_tag, record.type, str(record), faults)
