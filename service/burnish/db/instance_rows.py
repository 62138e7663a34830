"""Ground: how the header of an instance goes into the columns of its row, and comes back."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from sqlalchemy import ColumnElement, Result, Row, exists, or_, select
from sqlalchemy.orm import Session, aliased

from burnish import site_records
from burnish.db.session import in_batches
from burnish.db.tables import FileSetEntry, Instance, TranscodedInstance
from burnish.directory_records import KEYS
from burnish.values import OWN_FIELDS, InstanceHeader

#: The columns of `instance` that hold a header, for a SELECT that begins with them.
HEADER_COLUMNS = tuple(getattr(Instance, name) for name in InstanceHeader._fields)
#: What is compared to tell people how two contents of a SOP Instance UID differ, with the name.
_COMPARED = {
    "patient_name": "Patient's Name",
    "patient_id": "Patient ID",
    "issuer_of_patient_id": "Issuer of Patient ID",
    "study_instance_uid": "Study Instance UID",
    "series_instance_uid": "Series Instance UID",
    "sop_class_uid": "SOP Class UID",
    "study_date": "Study Date",
    "study_time": "Study Time",
    "modality": "Modality",
    "series_number": "Series Number",
    "instance_number": "Instance Number",
    "transfer_syntax_uid": "transfer syntax",
    "entity_keys": "keys of patient, study or series",
    "record_keys": "keys of the instance",
}
#: The columns that `differences` compares.
COMPARED_COLUMNS = (Instance.sop_instance_uid, *(getattr(Instance, name) for name in _COMPARED))
#: The columns that `has_same_content` compares.
CONTENT_COLUMNS = (Instance.digest, Instance.transfer_syntax_uid, Instance.sop_class_uid)
#: Columns whose values are those of several attributes, some of which are compared by themselves.
_SUMMARIES = {"entity_keys", "record_keys"}
#: Where these are among the fields that instances share.
_SOP_CLASS = InstanceHeader._fields.index("sop_class_uid") - OWN_FIELDS
_RECORD_TYPE = InstanceHeader._fields.index("directory_record_type") - OWN_FIELDS
#: Rows that are fetched from the database at a time, and values in one IN condition.
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances: those that match any of the values."""

    sop_instance_uids: Sequence[str] = ()
    series_instance_uids: Sequence[str] = ()
    study_instance_uids: Sequence[str] = ()
    patient_ids: Sequence[str] = ()

    def condition(self) -> ColumnElement[bool]:
        """The condition for the rows that match."""
        return or_(
            Instance.sop_instance_uid.in_(self.sop_instance_uids),
            Instance.series_instance_uid.in_(self.series_instance_uids),
            Instance.study_instance_uid.in_(self.study_instance_uids),
            Instance.patient_id.in_(self.patient_ids),
        )


def header_values(header: InstanceHeader) -> dict[str, Any]:
    """The value of each header column, by the name of the column."""
    values = dict(zip(InstanceHeader._fields, header, strict=True))
    values["missing_keys"] = " ".join([f"{tag:08X}" for tag in header.missing_keys])
    return values


def has_same_content(older: Any, newer: Any) -> bool:
    """Whether two rows of a SOP Instance UID have the same bytes in the same encoding."""
    return all(older[column.name] == newer[column.name] for column in CONTENT_COLUMNS)


def differences(older: Any, newer: Any) -> str:
    """The names of the attributes in which two contents of an instance differ, without values.

    Both have a value for each of `COMPARED_COLUMNS`.
    """
    differing = [name for name in _COMPARED if older[name] != newer[name]]
    attributes = [name for name in differing if name not in _SUMMARIES]
    named = [_COMPARED[name] for name in attributes or differing]
    return ", ".join(named) or "other attributes, or pixel data"


class HeaderReader:
    """Makes headers from rows, and keeps values that many instances share in memory only once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._values: tuple[Any, ...] = ()
        self._shared: tuple[Any, ...] = ()

    def header(self, row: Sequence[Any]) -> InstanceHeader:
        """The header from a row that begins with `HEADER_COLUMNS`."""
        values = tuple(row[OWN_FIELDS : len(HEADER_COLUMNS)])
        if values != self._values:  # most rows are of the same series as the row before
            *others, missing_keys = self._values = values
            shared = (*others, tuple(int(tag, 16) for tag in missing_keys.split()))
            if not others[_RECORD_TYPE]:
                shared = _with_configured_record(shared)
            self._shared = self._known.setdefault(values, shared)
        return InstanceHeader._make((*row[:OWN_FIELDS], *self._shared))


def _with_configured_record(shared: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shared fields of an instance whose SOP Class had no directory record when it arrived.

    The configuration may have one for it since; its keys were not indexed.
    """
    record_type = site_records.record_type(shared[_SOP_CLASS])
    if not record_type:
        return shared
    required = tuple(key.tag for key in KEYS.get(record_type, ()) if key.type == "1")
    return (*shared[:_RECORD_TYPE], record_type, *shared[_RECORD_TYPE + 1 : -1], required)


def newest_contents(session: Session, sop_instance_uids: Sequence[str]) -> dict[str, Instance]:
    """The rows of the newest contents of instances, by SOP Instance UID."""
    newest: dict[str, Instance] = {}
    for uids in in_batches(list(dict.fromkeys(sop_instance_uids)), _CHUNK):
        rows = session.scalars(
            select(Instance).where(Instance.sop_instance_uid.in_(uids), Instance.is_newest())
        )
        newest.update({row.sop_instance_uid: row for row in rows})
    return newest


def older_contents(session: Session, sop_instance_uids: Sequence[str]) -> dict[str, list[Instance]]:
    """The rows of the replaced contents of instances, by SOP Instance UID, latest first."""
    older: dict[str, list[Instance]] = {}
    for uids in in_batches(list(dict.fromkeys(sop_instance_uids)), _CHUNK):
        rows = session.scalars(
            select(Instance)
            .where(Instance.sop_instance_uid.in_(uids), Instance.replaced_at.is_not(None))
            .order_by(Instance.replaced_at.desc(), Instance.id.desc())
        )
        for row in rows:
            older.setdefault(row.sop_instance_uid, []).append(row)
    return older


def files_of(session: Session, ids: Sequence[int]) -> list[tuple[str, int]]:
    """Spool key and size of what these instances have in the spool, with their conversions."""
    transcoded = TranscodedInstance
    files: list[tuple[str, int]] = []
    for batch in in_batches(ids, _CHUNK):
        for statement in (
            select(Instance.spool_key, Instance.size).where(Instance.id.in_(batch)),
            select(transcoded.spool_key, transcoded.size).where(transcoded.instance_id.in_(batch)),
        ):
            files += [(row.spool_key, row.size) for row in session.execute(statement)]
    return files


@dataclass(slots=True)
class RowsInSegment:
    """The rows of the instances in one segment.

    `ids` and `offsets` are those of live instances, `released_offsets` those of released ones.
    Arrays take little memory: there may be millions of rows.
    """

    ids: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    released_offsets: "array[int]" = field(default_factory=lambda: array("q"))
    live_size: int = 0


def rows_in_segments(
    session: Session, place_of: Callable[[str], tuple[str, int]]
) -> dict[str, RowsInSegment]:
    """The rows of all instances in segments, by the name of the segment, in one pass.

    `place_of` gives the name of the segment and the offset for a spool key.
    """
    segments: defaultdict[str, RowsInSegment] = defaultdict(RowsInSegment)
    statement = select(
        Instance.id, Instance.spool_key, Instance.size, Instance.released_at.is_(None)
    ).where(Instance.spool_key.contains("@"))
    for instance_id, key, size, is_live in session.execute(
        statement.execution_options(yield_per=10_000)
    ):
        name, offset = place_of(key)
        rows = segments[name]
        if is_live:
            rows.ids.append(instance_id)
            rows.offsets.append(offset)
            rows.live_size += size
        else:
            rows.released_offsets.append(offset)
    return dict(segments)


def is_deletable() -> list[ColumnElement[bool]]:
    """Conditions for rows of released instances that are not needed for their history.

    A row stays while a File-set names it, and the rows of older contents stay as long as the newest
    content of the same SOP Instance UID is here.
    """
    newest = aliased(Instance)
    is_on_media = exists().where(FileSetEntry.instance_id == Instance.id)
    is_history = Instance.replaced_at.is_not(None) & exists().where(
        newest.sop_instance_uid == Instance.sop_instance_uid, newest.is_newest()
    )
    return [Instance.released_at.is_not(None), ~is_on_media, ~is_history]


def in_chunks(rows: Result[Any]) -> Iterator[Row[Any]]:
    """All rows of a result, fetched a few at a time so that only a few are in memory."""
    return chain.from_iterable(rows.partitions(_CHUNK))
