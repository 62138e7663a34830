"""Ground: brings the rows of received instances into the database, many at once.

The receivers, which follow their segments, the replay of segments, and the recovery of a database
all use this: so they agree about a SOP Instance UID that is there already.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, Dialect, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from burnish.db import instance_count, instance_rows, tallies
from burnish.db.known_studies import StudyRecorder
from burnish.db.new_rows import OWN_COLUMNS, SHARED_COLUMNS, NewRow, SharedValues, time_of
from burnish.db.session import Database, in_batches
from burnish.db.tables import Instance, Segment

log = structlog.get_logger(__name__)

#: Instances that are looked up by one statement.
_BATCH = 500
#: How many rows are inserted by one statement: as many as there are at least, or one.
_ROWS_OF_STATEMENTS = (50, 10, 1)
#: How often a group is tried again if another process inserts an instance of it at the same time.
_ATTEMPTS = 10

#: How many calling AE titles are counted by name; the others are counted together, since peers that
#: are not configured can invent them.
_MOST_TITLES = 200
OTHER_TITLES = "(others)"

Row = dict[str, Any]
#: Whether the file of an instance is complete, by its spool key and size.
IsWhole = Callable[[str, int], bool]


@dataclass(slots=True)
class RecordedRows:
    """The fate of rows.

    `unneeded`: spool key and size of contents that are here already, whose room can be given back.
    `refused`: rows of other content where the first content counts, with the row of that.
    `replacements`: earlier row and row that replaced it. `unstorable`: rows that the database
    cannot hold.
    """

    inserted: int = 0
    unneeded: list[tuple[str, int]] = field(default_factory=list)
    refused: list[tuple[Row, Row]] = field(default_factory=list)
    replacements: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)
    unstorable: list[Row] = field(default_factory=list)

    def add(self, other: "RecordedRows") -> None:
        """Add what became of other rows."""
        self.inserted += other.inserted
        self.unneeded += other.unneeded
        self.refused += other.refused
        self.replacements += other.replacements
        self.unstorable += other.unstorable

    def log(self) -> None:
        """Log what was replaced, and what the database cannot hold."""
        for earlier_row, row in self.replacements:
            _log_replacement(earlier_row, row)
        for row in self.unstorable:
            log_unstorable(row)


class RowRecorder:
    """Inserts the rows of received instances into one database; for one thread at a time.

    `same_uid` says which content of a SOP Instance UID counts: the "newest" or the "first".
    """

    def __init__(self, database: Database, same_uid: Literal["newest", "first"]) -> None:
        self._database = database
        self._newest_counts = same_uid == "newest"
        self._insertion: _Insertion | None = None
        self._studies = StudyRecorder()
        self._titles: set[str] = set()

    def record(
        self, rows: Sequence[NewRow], offsets: Mapping[str, int], is_whole: IsWhole
    ) -> RecordedRows:
        """Insert rows, in order, and note in the same transaction how far segments have rows.

        `offsets` has the new `indexed_offset` of segments by their names. The same content again
        counts as received now, and its file replaces one that was lost. Of two contents of a SOP
        Instance UID, the one that was received later replaces the other, whichever comes first.
        Raises OutOfResources.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._record(rows, offsets, is_whole)
            except IntegrityError:
                continue  # another process has inserted a row with the same UID meanwhile
        return self._record(rows, offsets, is_whole)

    def _record(
        self, rows: Sequence[NewRow], offsets: Mapping[str, int], is_whole: IsWhole
    ) -> RecordedRows:
        try:
            # in the usual case none of the instances has been here before
            with self._database.connection() as connection:
                if self._insertion is None:
                    self._insertion = _Insertion(connection.dialect)
                if self._insertion.insert(connection, rows) == len(rows):
                    self._note(connection, rows)
                    set_indexed_offsets(connection, offsets)
                    return RecordedRows(inserted=len(rows))
                connection.rollback()
            with self._database.connection() as connection:
                outcome = self.record_in(connection, [row.columns() for row in rows], is_whole)
                set_indexed_offsets(connection, offsets)
                return outcome
        except (ValueError, OverflowError, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, DataError):
                raise
        return self._record_each([row.columns() for row in rows], offsets, is_whole)

    def _record_each(
        self, rows: Sequence[Row], offsets: Mapping[str, int], is_whole: IsWhole
    ) -> RecordedRows:
        """Record rows one by one, since the database cannot hold one of them."""
        outcome = RecordedRows()
        for row in rows:
            try:
                with self._database.connection() as connection:
                    of_row = self.record_in(connection, [row], is_whole)
            except (ValueError, OverflowError, StatementError) as error:
                if isinstance(error, DBAPIError) and not isinstance(error, DataError):
                    raise
                outcome.unstorable.append(row)
                continue
            outcome.add(of_row)
        with self._database.connection() as connection:
            set_indexed_offsets(connection, offsets)
        return outcome

    def record_within(
        self, connection: Connection, rows: Sequence[Row], is_whole: IsWhole
    ) -> RecordedRows:
        """Insert rows as `record` does, but in a transaction of the caller."""
        if self._insertion is None:
            self._insertion = _Insertion(connection.dialect)
        savepoint = connection.begin_nested()
        try:
            new_rows = [NewRow.of(row) for row in rows]
            if self._insertion.insert(connection, new_rows) == len(rows):
                self._note(connection, new_rows)
                savepoint.commit()
                return RecordedRows(inserted=len(rows))
            savepoint.rollback()
            savepoint = connection.begin_nested()
            outcome = self.record_in(connection, rows, is_whole)
            savepoint.commit()
            return outcome
        except (ValueError, OverflowError, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, DataError):
                raise
            savepoint.rollback()
        if len(rows) == 1:
            return RecordedRows(unstorable=list(rows))
        outcome = RecordedRows()
        for row in rows:
            outcome.add(self.record_within(connection, [row], is_whole))
        return outcome

    def record_in(
        self, connection: Connection, rows: Sequence[Row], is_whole: IsWhole
    ) -> RecordedRows:
        """Insert rows of which some may have been here before, in a transaction of the caller."""
        outcome = RecordedRows()
        uids = {row["sop_instance_uid"] for row in rows}
        newest = _newest_contents(connection, uids)
        known_keys = {earlier_row["spool_key"] for earlier_row in newest.values()}
        replaced = _replaced_contents(connection, uids)
        known_keys |= {
            older_row["spool_key"] for rows_of_uid in replaced.values() for older_row in rows_of_uid
        }
        new_rows: list[Row] = []
        for row in rows:
            if row["spool_key"] in known_keys:
                continue  # the database was restored from a backup, or recovered
            known_keys.add(row["spool_key"])
            earlier_row = newest.get(row["sop_instance_uid"])
            copied_row = _copied(replaced.get(row["sop_instance_uid"], ()), row)
            if earlier_row is None:
                newest[row["sop_instance_uid"]] = row
                new_rows.append(row)
            elif instance_rows.has_same_content(earlier_row, row):
                if _keep_file_of(connection, earlier_row, row, is_whole):
                    outcome.unneeded.append((row["spool_key"], row["size"]))
            elif copied_row is not None:
                if _keep_file_of(connection, copied_row, row, is_whole):
                    outcome.unneeded.append((row["spool_key"], row["size"]))
            elif not self._newest_counts:
                outcome.refused.append((row, earlier_row))
            else:
                new_rows.append(row)
                if row["received_at"] < earlier_row["received_at"]:
                    row["replaced_at"] = datetime.now(UTC)
                    replaced.setdefault(row["sop_instance_uid"], []).append(row)
                    outcome.replacements.append((row, earlier_row))
                else:
                    _mark_as_replaced(connection, earlier_row)
                    replaced.setdefault(row["sop_instance_uid"], []).append(earlier_row)
                    newest[row["sop_instance_uid"]] = row
                    outcome.replacements.append((earlier_row, row))
        if new_rows:
            connection.execute(insert(Instance), new_rows)
            self._note(connection, [NewRow.of(row) for row in new_rows])
        outcome.inserted = len(new_rows)
        return outcome

    def _note(self, connection: Connection, rows: Sequence[NewRow]) -> None:
        """Note the studies of rows that were inserted, and count the rows."""
        groups: defaultdict[SharedValues, list[NewRow]] = defaultdict(list)
        for row in rows:
            groups[row.shared].append(row)
        self._studies.note(connection, [group[-1].columns() for group in groups.values()])
        received: dict[tuple[str, str], tuple[int, float]] = {}
        for shared, group in groups.items():
            title = shared.calling_ae_title
            if title not in self._titles:
                if len(self._titles) >= _MOST_TITLES:
                    title = OTHER_TITLES
                self._titles.add(title)
            count, size = received.get((tallies.RECEIVED, title), (0, 0.0))
            size += sum([row.size for row in group])
            received[tallies.RECEIVED, title] = (count + len(group), size)
        tallies.add_many(connection, received)
        instance_count.note_inserted(connection, len(rows))


def log_unstorable(row: Row) -> None:
    """Log that an instance has no row, because the database cannot hold a value of it."""
    log.error(
        "instance without a row",
        sop_instance_uid=row["sop_instance_uid"],
        calling_ae_title=row["calling_ae_title"],
        why="the database cannot hold a value of it",
        remedy="it is in the spool: get it with `burnish spool export`, correct it, send it again",
    )


class _Insertion:
    """The insertion of rows by the driver, without those whose SOP Instance UID is here already.

    SQLAlchemy would take twice as long: it looks at each value of each row.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._sql = ""
        self._sql_by_count: dict[int, str] = {}
        if dialect.name == "sqlite":
            self._sql_by_count = {count: _sql_for_sqlite(count) for count in _ROWS_OF_STATEMENTS}
            return
        # what a row that is new does not have is NULL, without being bound
        names = (*OWN_COLUMNS, *SHARED_COLUMNS)
        statement = postgresql.insert(Instance).on_conflict_do_nothing()
        self._sql = str(statement.compile(dialect=dialect, column_keys=names))

    def insert(self, connection: Connection, rows: Sequence[NewRow]) -> int:
        """Insert rows; how many were inserted."""
        if not rows:
            return 0
        if self._sql_by_count:
            return self._insert_into_sqlite(connection, rows)
        names = (*OWN_COLUMNS, *SHARED_COLUMNS)
        parameters = []
        for row in rows:
            values = dict(zip(names, (*row.own_values(), *row.shared.values), strict=True))
            values["received_at"] = time_of(row.received_us)
            parameters.append(values)
        return connection.exec_driver_sql(self._sql, parameters).rowcount

    def _insert_into_sqlite(self, connection: Connection, rows: Sequence[NewRow]) -> int:
        """Insert rows into SQLite; those of one series go together, by statements of many rows.

        Then the threads that receive need not wait for this one after each row: a row takes 2 us
        less. And what the rows share is bound once for all of them: again 1 to 2 us less.
        """
        groups: defaultdict[SharedValues, list[tuple[Any, ...]]] = defaultdict(list)
        for row in rows:
            groups[row.shared].append((*row.own_values()[:-1], _time_in_sqlite(row.received_us)))
        inserted = 0
        single_rows = []
        for shared, group in groups.items():
            start = 0
            for count in _ROWS_OF_STATEMENTS[:-1]:
                while start + count <= len(group):
                    own_values = chain.from_iterable(group[start : start + count])
                    result = connection.exec_driver_sql(
                        self._sql_by_count[count], (*shared.values, *own_values)
                    )
                    inserted += result.rowcount
                    start += count
            single_rows += [(*shared.values, *own) for own in group[start:]]
        if single_rows:
            inserted += connection.exec_driver_sql(self._sql_by_count[1], single_rows).rowcount
        return inserted


def _sql_for_sqlite(count: int) -> str:
    """A statement that inserts so many rows.

    Its parameters are the values of `SHARED_COLUMNS`, then those of `OWN_COLUMNS` for each row.
    """
    names = ", ".join((*SHARED_COLUMNS, *OWN_COLUMNS))
    shared = ", ".join("?" * len(SHARED_COLUMNS))
    own = f"({', '.join('?' * len(OWN_COLUMNS))})"
    rows = ", ".join([own] * count)
    return (
        f"INSERT INTO instance ({names}) SELECT {shared}, own.* FROM (VALUES {rows}) AS own "  # noqa: S608
        "WHERE true ON CONFLICT DO NOTHING"  # without WHERE, SQLite takes ON for that of a join
    )


def _time_in_sqlite(received_us: int) -> str:
    """A time as SQLAlchemy writes it into SQLite; its own way takes 3 us more."""
    seconds, microseconds = divmod(received_us, 1_000_000)
    return f"{_second_in_sqlite(seconds)}.{microseconds:06d}"


@lru_cache(maxsize=16)
def _second_in_sqlite(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _log_replacement(earlier_row: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Log that one content of an instance has replaced another."""
    log.info(
        "instance replaced",
        sop_instance_uid=row["sop_instance_uid"],
        calling_ae_title=row["calling_ae_title"],
        changed=instance_rows.differences(earlier_row, row),
        older_calling_ae_title=earlier_row["calling_ae_title"],
        older_received_at=earlier_row["received_at"].isoformat(),
    )


def set_indexed_offsets(connection: Connection, offsets: Mapping[str, int]) -> None:
    """Note how far the records of segments have their rows."""
    for name, offset in offsets.items():
        values = {"indexed_offset": offset}
        changed = connection.execute(update(Segment).where(Segment.name == name).values(values))
        if not changed.rowcount:
            connection.execute(insert(Segment).values(name=name, digest="", **values))


def set_sealed(
    connection: Connection, name: str, *, size: int, digest: str, sealed_at: datetime
) -> None:
    """Note that a segment, all of which has its rows, is sealed."""
    set_indexed_offsets(connection, {name: size})
    connection.execute(
        update(Segment)
        .where(Segment.name == name)
        .values(sealed_at=sealed_at, sealed_size=size, digest=digest)
    )


def _newest_contents(connection: Connection, uids: Collection[str]) -> dict[str, Any]:
    """The newest content of each SOP Instance UID, with the id of its row."""
    columns = {
        column.name: column
        for column in (
            Instance.id,
            Instance.spool_key,
            Instance.size,
            Instance.calling_ae_title,
            Instance.received_at,
            *instance_rows.CONTENT_COLUMNS,
            *instance_rows.COMPARED_COLUMNS,
        )
    }
    newest: dict[str, Any] = {}
    for batch in in_batches(list(uids), _BATCH):
        rows = connection.execute(
            select(*columns.values())
            .where(Instance.sop_instance_uid.in_(batch), Instance.is_newest())
            .with_for_update(of=Instance)
        )
        newest.update({row.sop_instance_uid: dict(row._mapping) for row in rows})
    return newest


def _replaced_contents(connection: Connection, uids: Collection[str]) -> dict[str, list[Row]]:
    """The replaced contents of each SOP Instance UID, also the released ones."""
    replaced: dict[str, list[Row]] = {}
    for batch in in_batches(list(uids), _BATCH):
        rows = connection.execute(
            select(
                Instance.id,
                Instance.sop_instance_uid,
                Instance.spool_key,
                Instance.size,
                Instance.received_at,
                Instance.released_at,
                *instance_rows.CONTENT_COLUMNS,
            ).where(Instance.sop_instance_uid.in_(batch), Instance.replaced_at.is_not(None))
        )
        for row in rows:
            replaced.setdefault(row.sop_instance_uid, []).append(dict(row._mapping))
    return replaced


def _copied(replaced: Collection[Row], row: Row) -> Row | None:
    """The replaced content of which this one is a copy, made when a segment was rewritten.

    The same content that is received later, after another one, is no copy.
    """
    for older_row in replaced:
        is_same = instance_rows.has_same_content(older_row, row)
        if is_same and row["received_at"] <= older_row["received_at"]:
            return older_row
    return None


def _keep_file_of(connection: Connection, earlier_row: Row, row: Row, is_whole: IsWhole) -> bool:
    """Mark the earlier row as received now; True if its file is complete and is kept.

    Otherwise the earlier row gets the file of this one.
    """
    received_at = max(earlier_row["received_at"], row["received_at"])
    values: Row = {"received_at": received_at}
    keeps = (
        "id" not in earlier_row
        or earlier_row.get("released_at") is not None
        or is_whole(earlier_row["spool_key"], earlier_row["size"])
    )
    if not keeps:
        values |= {name: row[name] for name in ("spool_key", "size", "data_set_offset")}
    earlier_row.update(values)
    if "id" in earlier_row:
        connection.execute(update(Instance).where(Instance.id == earlier_row["id"]).values(values))
    return keeps


def _mark_as_replaced(connection: Connection, earlier_row: Row) -> None:
    """Mark a row as no longer the newest content; its file stays until it is released."""
    now = datetime.now(UTC)
    earlier_row["replaced_at"] = now
    if "id" in earlier_row:  # otherwise it is about to be inserted
        connection.execute(
            update(Instance).where(Instance.id == earlier_row["id"]).values(replaced_at=now)
        )
