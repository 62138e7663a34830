"""Craft: checks how the records of a DICOMDIR hang together (PS3.3 F.3.2.2, F.4, F.5)."""

from collections.abc import Mapping, Sequence

from burnish.directory_records import KEYS, ROOT_TYPES, record_type
from burnish.identifiers import (
    MAXIMUM_FILE_ID_COMPONENT_LENGTH,
    MAXIMUM_FILE_ID_COMPONENTS,
    has_file_id_characters,
    is_file_id,
    is_file_set_id,
)
from burnish.verify.directory import Directory
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_meta_checks import FileMeta
from burnish.verify.record_checks import Record

_PARENTS = {"PATIENT": "", "STUDY": "PATIENT", "SERIES": "STUDY"} | dict.fromkeys(ROOT_TYPES, "")
_DUPLICATES = {
    "PATIENT": (FaultCode.DUPLICATE_PATIENT_ID, "Patient ID"),
    "STUDY": (FaultCode.DUPLICATE_STUDY, "Study Instance UID"),
    "SERIES": (FaultCode.DUPLICATE_SERIES, "Series Instance UID"),
}


def check_structure(directory: Directory, volume_identifier: str, faults: Faults) -> None:
    """Everything about a directory that can be told without the files."""
    if not is_file_set_id(directory.file_set_id):
        faults.add(
            FaultCode.FILE_SET_ID_INVALID,
            "DICOMDIR",
            "File-set ID (0004,1130) is not at most 16 of A-Z, 0-9 and underscore",
        )
    if volume_identifier not in ("", directory.file_set_id):
        faults.add(
            FaultCode.VOLUME_IDENTIFIER_WRONG,
            "volume",
            "the Volume Identifier is not the File-set ID (PS3.12 F.1.1)",
        )
    for record in directory.records:
        _check_file_id(record, faults)
    if directory.whole:
        _walk(directory, faults)
        _check_duplicates(directory, faults)


def _walk(directory: Directory, faults: Faults) -> None:
    """Follows the offsets from the root (PS3.3 F.3.2.2); each record is come to once."""
    at = {record.offset: record for record in directory.records}
    if not directory.first:
        faults.add(FaultCode.DICOMDIR_EMPTY, "DICOMDIR", "its root has no directory record")
    elif directory.first not in at:
        faults.add(
            FaultCode.FIRST_RECORD_OFFSET_WRONG,
            "DICOMDIR",
            "the offset of the first record (0004,1200) leads to no record",
        )
    entities: list[tuple[int, Record | None]] = [(directory.first, None)]
    while entities:
        offset, parent = entities.pop()
        last = _follow(offset, parent, at, entities, faults)
        if parent is None and directory.last != last:
            faults.add(
                FaultCode.LAST_RECORD_OFFSET_WRONG,
                "DICOMDIR",
                "the offset of the last record (0004,1202) is not that of the last in the root",
            )
    for record in directory.records:
        if not record.reached:
            faults.add(
                FaultCode.RECORD_ORPHANED, str(record), "no offset leads to it from the root"
            )


def _follow(
    offset: int,
    parent: Record | None,
    at: Mapping[int, Record],
    entities: list[tuple[int, Record | None]],
    faults: Faults,
) -> int:
    """Follows one Directory Entity from its first record; returns the offset of its last."""
    source, last = parent, 0
    while offset:
        record = at.get(offset)
        if record is None:
            if source is not None:
                message = "its offset of the next or lower record leads to no record"
                faults.add(FaultCode.RECORD_OFFSET_WRONG, str(source), message)
            break
        if record.reached:
            message = "offsets lead to it a second time: the records form a loop"
            faults.add(FaultCode.RECORD_LOOP, str(record), message)
            break
        record.reached, record.parent = True, parent
        _check_place(record, faults)
        if record.lower:
            entities.append((record.lower, record))
        elif record.type in _DUPLICATES:
            message = "it has no record below"
            faults.add(FaultCode.RECORD_CHILDLESS, str(record), message)
        source, last, offset = record, record.offset, record.next
    return last


def _check_place(record: Record, faults: Faults) -> None:
    """PS3.3 Table F.4-1."""
    above = record.parent.type if record.parent else ""
    if record.type in KEYS and above != _PARENTS.get(record.type, "SERIES"):
        faults.add(
            FaultCode.RECORD_MISPLACED,
            str(record),
            f"it stands {f'below {record.parent}' if above else 'in the root'}, "
            "where its type may not",
        )
    if record.type in KEYS and not record.file_id and record.type not in _DUPLICATES:
        faults.add(FaultCode.RECORD_WITHOUT_FILE, str(record), "it references no file")


def _check_file_id(record: Record, faults: Faults) -> None:
    """PS3.10 8.2, 8.5."""
    if not record.file_id or is_file_id(record.file_id):
        return
    components = record.file_id.split("\\")
    if len(components) > MAXIMUM_FILE_ID_COMPONENTS:
        message = "its Referenced File ID has more than 8 components"
        faults.add(FaultCode.FILE_ID_COMPONENTS, str(record), message)
    if max(map(len, components)) > MAXIMUM_FILE_ID_COMPONENT_LENGTH:
        message = "its Referenced File ID has a component of more than 8 characters"
        faults.add(FaultCode.FILE_ID_COMPONENT_LENGTH, str(record), message)
    if not all(map(has_file_id_characters, components)):
        message = "its Referenced File ID has other characters than A-Z, 0-9 and underscore"
        faults.add(FaultCode.FILE_ID_CHARACTERS, str(record), message)


def _check_duplicates(directory: Directory, faults: Faults) -> None:
    """PS3.3 F.3.2.2, F.5.1 to F.5.3: what may come but once in a DICOMDIR."""
    if not _has_duplicates(directory.records):
        return
    seen: dict[tuple[FaultCode, bytes | str], Record] = {}
    for record in directory.records:
        once: list[tuple[FaultCode, bytes | str, str]] = []
        if record.type in _DUPLICATES and record.identity:
            code, name = _DUPLICATES[record.type]
            once.append((code, record.identity, name))
        if record.sop_instance_uid:
            name = "Referenced SOP Instance UID"
            once.append((FaultCode.DUPLICATE_INSTANCE, record.sop_instance_uid, name))
        if record.file_id:
            name = "Referenced File ID"
            once.append((FaultCode.DUPLICATE_FILE_REFERENCE, record.file_id, name))
        for code, value, name in once:
            first = seen.setdefault((code, value), record)
            if first is not record:
                faults.add(code, str(record), f"its {name} is also that of {first}")


def _has_duplicates(records: Sequence[Record]) -> bool:
    """Whether anything comes twice that may come but once."""
    instances = [one.sop_instance_uid for one in records if one.sop_instance_uid]
    files = [one.file_id for one in records if one.file_id]
    entities = [
        (one.type, one.identity) for one in records if one.identity and one.type in _DUPLICATES
    ]
    return any(len({*values}) < len(values) for values in (instances, files, entities))


def check_reference(record: Record, name: str, meta: FileMeta, faults: Faults) -> None:
    """A record against the File Meta Information of the file that it references."""
    said = record.sop_class_uid, record.sop_instance_uid, record.transfer_syntax_uid
    if said != meta[: len(said)]:
        _reference_differs(record, name, meta, faults)
    proper = record_type(meta.sop_class_uid)
    if proper and record.type in KEYS and record.type != proper:
        faults.add(
            FaultCode.RECORD_TYPE_WRONG,
            str(record),
            f"a file of its SOP Class takes a record of type {proper} (PS3.3 F.4)",
        )


def _reference_differs(record: Record, name: str, meta: FileMeta, faults: Faults) -> None:
    for code, keyword, said, found in (
        (
            FaultCode.REFERENCED_SOP_CLASS_WRONG,
            "Referenced SOP Class UID",
            record.sop_class_uid,
            meta.sop_class_uid,
        ),
        (
            FaultCode.REFERENCED_SOP_INSTANCE_WRONG,
            "Referenced SOP Instance UID",
            record.sop_instance_uid,
            meta.sop_instance_uid,
        ),
        (
            FaultCode.REFERENCED_TRANSFER_SYNTAX_WRONG,
            "Referenced Transfer Syntax UID",
            record.transfer_syntax_uid,
            meta.transfer_syntax_uid,
        ),
    ):
        if said and said != found:
            faults.add(code, str(record), f"its {keyword} is not that of the file {name}")
