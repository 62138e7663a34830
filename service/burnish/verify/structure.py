"""Craft: checks how the records of a DICOMDIR are connected (PS3.3 F.3.2.2, F.4, F.5)."""

from collections.abc import Iterator, Mapping

from burnish import registered_uids
from burnish.dicomdir.reader import (
    FIRST_RECORD_OFFSET,
    IDENTITY_KEYS,
    LAST_RECORD_OFFSET,
    MRDR,
    MRDR_OFFSET,
    RECORD_TYPE,
    REFERENCED_FILE_ID,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_TRANSFER_SYNTAX_UID,
)
from burnish.directory_records import KEYS, ROOT_TYPES
from burnish.identifiers import (
    MAXIMUM_FILE_ID_COMPONENT_LENGTH,
    MAXIMUM_FILE_ID_COMPONENTS,
    has_file_id_characters,
    is_file_id,
    is_file_set_id,
)
from burnish.site_records import record_type
from burnish.verify.dicomdir_checks import CheckedDicomdir
from burnish.verify.faults import FaultCode, Faults, attribute, shown
from burnish.verify.file_meta_checks import FileMeta
from burnish.verify.record_checks import Record, records_above

#: The type of the record above each type, "" for the root; SERIES for every type that is not
#: listed (PS3.3 Table F.4-1).
_PARENTS = {"PATIENT": "", "STUDY": "PATIENT", "SERIES": "STUDY"} | dict.fromkeys(ROOT_TYPES, "")
#: The types of records that may reference files of any SOP Class.
_OF_ANY_FILE = ("PRIVATE", MRDR)
#: The types that have records below them and reference no file.
_DUPLICATE_ENTITY = {
    "PATIENT": FaultCode.DUPLICATE_PATIENT_ID,
    "STUDY": FaultCode.DUPLICATE_STUDY,
    "SERIES": FaultCode.DUPLICATE_SERIES,
}


def check_structure(dicomdir: CheckedDicomdir, volume_identifier: str, faults: Faults) -> None:
    """Adds the faults of a DICOMDIR that show without the files it references.

    Where a record leads to its file by a Multi-Referenced File Directory Record, it is given the
    reference of that one.
    """
    if not is_file_set_id(dicomdir.file_set_id):
        faults.add(
            FaultCode.FILE_SET_ID_INVALID,
            "DICOMDIR",
            "its File-set ID (0004,1130) is not at most 16 characters of A-Z, 0-9 and underscore",
        )
    if volume_identifier not in ("", dicomdir.file_set_id):
        faults.add(
            FaultCode.VOLUME_IDENTIFIER_WRONG,
            "volume",
            "its Volume Identifier is not the File-set ID of its DICOMDIR (PS3.12 F.1.1)",
        )
    by_offset = {record.offset: record for record in dicomdir.records}
    for record in dicomdir.records:
        _check_file_id(record, faults)
        if record.mrdr_offset:
            _resolve_reference(record, by_offset, faults)
    if dicomdir.complete:
        _follow_offsets(dicomdir, by_offset, faults)
        _check_duplicates(dicomdir, faults)


def _resolve_reference(record: Record, by_offset: Mapping[int, Record], faults: Faults) -> None:
    """Gives a record the reference to its file that a Multi-Referenced File Directory Record has.

    Source: PS3.3-2004 F.3.2.2; retired.
    """
    target = by_offset.get(record.mrdr_offset)
    if target is None or target.type != MRDR:
        name = attribute(MRDR_OFFSET)
        message = f"its {name} is {record.mrdr_offset}, where no record of type {MRDR} begins"
        faults.add(FaultCode.RECORD_OFFSET_WRONG, str(record), message)
        return
    target.reached = True
    record.file_id = target.file_id
    record.sop_class_uid = record.sop_class_uid or target.sop_class_uid
    record.sop_instance_uid = record.sop_instance_uid or target.sop_instance_uid
    record.transfer_syntax_uid = record.transfer_syntax_uid or target.transfer_syntax_uid


def _follow_offsets(
    dicomdir: CheckedDicomdir, by_offset: Mapping[int, Record], faults: Faults
) -> None:
    """Follows the offsets from the root (PS3.3 F.3.2.2) and marks the records it reaches."""
    if not dicomdir.first_record_offset:
        faults.add(FaultCode.DICOMDIR_EMPTY, "DICOMDIR", "it has no directory record in its root")
    elif dicomdir.first_record_offset not in by_offset:
        name, stated = attribute(FIRST_RECORD_OFFSET), dicomdir.first_record_offset
        message = f"its {name} is {stated}, which is not that of a record"
        faults.add(FaultCode.FIRST_RECORD_OFFSET_WRONG, "DICOMDIR", message)
    entities: list[tuple[int, Record | None]] = [(dicomdir.first_record_offset, None)]
    while entities:
        offset, parent = entities.pop()
        last_offset = _follow_entity(offset, parent, by_offset, entities, faults)
        if parent is None and dicomdir.last_record_offset != last_offset:
            name, stated = attribute(LAST_RECORD_OFFSET), dicomdir.last_record_offset
            message = f"its {name} is {stated}; that of the last root record is {last_offset}"
            faults.add(FaultCode.LAST_RECORD_OFFSET_WRONG, "DICOMDIR", message)
    for record in dicomdir.records:
        if not record.reached:
            message = "no offset leads to it from the root"
            faults.add(FaultCode.RECORD_ORPHANED, str(record), message)


def _follow_entity(
    offset: int,
    parent: Record | None,
    by_offset: Mapping[int, Record],
    entities: list[tuple[int, Record | None]],
    faults: Faults,
) -> int:
    """Follows a Directory Entity from its first record; returns the offset of its last.

    The entities below are added to `entities`.
    """
    previous, last_offset = parent, 0
    while offset:
        record = by_offset.get(offset)
        if record is None:
            if previous is not None:
                message = f"its offset of the next or lower record is {offset}, where none begins"
                faults.add(FaultCode.RECORD_OFFSET_WRONG, str(previous), message)
            break
        if record.reached:
            message = "offsets lead to it twice: the records form a loop"
            faults.add(FaultCode.RECORD_LOOP, str(record), message)
            break
        record.reached, record.parent = True, parent
        _check_place(record, faults)
        if record.lower:
            entities.append((record.lower, record))
        elif record.type in _DUPLICATE_ENTITY:
            message = "it has no record below it"
            faults.add(FaultCode.RECORD_CHILDLESS, str(record), message)
        previous, last_offset, offset = record, record.offset, record.next
    return last_offset


def _check_place(record: Record, faults: Faults) -> None:
    """Its type is allowed below that of its parent (PS3.3 Table F.4-1).

    What is below a record of a type that is not known is not judged.
    """
    if record.type not in KEYS or (record.parent and record.parent.type not in KEYS):
        return
    required_parent = _PARENTS.get(record.type, "SERIES")
    if (record.parent.type if record.parent else "") != required_parent:
        place = f"below {record.parent}" if record.parent else "in the root"
        required_place = (
            f"below a record of type {required_parent}" if required_parent else ("in the root")
        )
        message = f"it is {place}, where PS3.3 F.4 requires it {required_place}"
        faults.add(FaultCode.RECORD_MISPLACED, str(record), message)
    if not record.file_id and record.type not in _DUPLICATE_ENTITY:
        message = f"it references no file: it has no {attribute(REFERENCED_FILE_ID)}"
        faults.add(FaultCode.RECORD_WITHOUT_FILE, str(record), message)


def _check_file_id(record: Record, faults: Faults) -> None:
    """Its Referenced File ID is a File ID (PS3.10 8.2, 8.5)."""
    if not record.file_id or is_file_id(record.file_id):
        return
    components = record.file_id.split("\\")
    name = attribute(REFERENCED_FILE_ID)
    if len(components) > MAXIMUM_FILE_ID_COMPONENTS:
        message = f"its {name} has more than {MAXIMUM_FILE_ID_COMPONENTS} components"
        faults.add(FaultCode.FILE_ID_COMPONENTS, str(record), message)
    if max(map(len, components)) > MAXIMUM_FILE_ID_COMPONENT_LENGTH:
        message = (
            f"its {name} has a component of more than {MAXIMUM_FILE_ID_COMPONENT_LENGTH} characters"
        )
        faults.add(FaultCode.FILE_ID_COMPONENT_LENGTH, str(record), message)
    if not all(map(has_file_id_characters, components)):
        message = f"its {name} has characters other than A-Z, 0-9 and underscore"
        faults.add(FaultCode.FILE_ID_CHARACTERS, str(record), message)


def _check_duplicates(dicomdir: CheckedDicomdir, faults: Faults) -> None:
    """Patients, studies, series, instances and files appear once (PS3.3 F.3.2.2, F.5)."""
    first_records: dict[tuple[FaultCode, bytes | str], Record] = {}
    for record in dicomdir.records:
        for code, tag, value in _unique_values(record):
            first = first_records.setdefault((code, value), record)
            if first is not record:
                message = f"its {attribute(tag)} is also that of {first}"
                faults.add(code, str(record), message)


def _unique_values(record: Record) -> Iterator[tuple[FaultCode, int, bytes | str]]:
    """The values that only this record may have, with their tags and the fault if another does."""
    if record.identity and not _is_below_unknown(record):
        yield _DUPLICATE_ENTITY[record.type], IDENTITY_KEYS[record.type], record.identity
    if record.mrdr_offset:
        return  # several records may lead to one file in this way
    if record.sop_instance_uid:
        code = FaultCode.DUPLICATE_INSTANCE
        yield code, REFERENCED_SOP_INSTANCE_UID, record.sop_instance_uid
    if record.file_id:
        yield FaultCode.DUPLICATE_FILE_REFERENCE, REFERENCED_FILE_ID, record.file_id


def _is_below_unknown(record: Record) -> bool:
    """Whether any record above is of a type that is not known: a TOPIC repeats studies."""
    return any(above.type not in KEYS for above in records_above(record))


def check_reference(record: Record, name: str, meta: FileMeta, faults: Faults) -> None:
    """Compares a record with the File Meta Information of the file that it references."""
    # nearly always they agree
    if (
        record.sop_class_uid == meta.sop_class_uid
        and record.sop_instance_uid == meta.sop_instance_uid
        and record.transfer_syntax_uid == meta.transfer_syntax_uid
        and record.type == record_type(meta.sop_class_uid)
    ):
        return
    for code, tag, value, file_value in (
        (
            FaultCode.REFERENCED_SOP_CLASS_WRONG,
            REFERENCED_SOP_CLASS_UID,
            record.sop_class_uid,
            meta.sop_class_uid,
        ),
        (
            FaultCode.REFERENCED_SOP_INSTANCE_WRONG,
            REFERENCED_SOP_INSTANCE_UID,
            record.sop_instance_uid,
            meta.sop_instance_uid,
        ),
        (
            FaultCode.REFERENCED_TRANSFER_SYNTAX_WRONG,
            REFERENCED_TRANSFER_SYNTAX_UID,
            record.transfer_syntax_uid,
            meta.transfer_syntax_uid,
        ),
    ):
        if value and value != file_value:
            message = (
                f"its {attribute(tag)} is {shown(value)}; "
                f"that of the file {name} is {shown(file_value)}"
            )
            faults.add(code, str(record), message)
    required_type = record_type(meta.sop_class_uid)
    if record.type in (required_type, *_OF_ANY_FILE) or not required_type:
        return
    if meta.sop_class_uid in registered_uids.sop_classes():
        message = f"a file of its SOP Class requires a record of type {required_type} (PS3.3 F.4)"
        if record.type in KEYS:
            faults.add(FaultCode.RECORD_TYPE_WRONG, str(record), message)
            return
        # readers that pass over a record of a type that is not known do not find the instance
        message = f"its {attribute(RECORD_TYPE)} is not known: {message}"
        faults.add(FaultCode.RECORD_TYPE_UNKNOWN, str(record), message)
