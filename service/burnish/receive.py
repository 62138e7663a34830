"""Stage: receives one instance, durably or not at all.

The bytes of a data set are written and hashed as they arrive, undecoded; only the header index is
read from them. Padding behind the data set and an odd last length are repaired afterwards.
`Receiver.accept` returns when the file and the row of the instance are safe.
Instances that arrive at the same time are made safe together, since one sync for many files costs
no more than one sync for one file.

A SOP Instance UID may be received again. The same content again succeeds and adds
nothing. Other content replaces the older content, or is refused (`storage.same_uid`).

This stage knows no requests: `request/admission.py` and `request/standing_orders.py` find what it
stored.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, Literal, cast

import structlog
from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError, StatementError

from burnish import file_meta
from burnish.db import instance_rows
from burnish.db.session import Database
from burnish.db.tables import Instance
from burnish.directory_records import ROOT_TYPES
from burnish.errors import (
    BurnishError,
    InvalidUID,
    Mismatch,
    OtherContent,
    OutOfResources,
    Unreadable,
    Unwritten,
)
from burnish.file_slice import Slice
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid
from burnish.instance_header import header, instance_faults
from burnish.instance_header.equality import are_equal_as_data
from burnish.spool import Spool
from burnish.values import InstanceHeader

log = structlog.get_logger(__name__)

#: The first bytes of a data set are kept in memory for the header index.
_HEAD_SIZE = 64 * 1024
#: What follows is written and hashed in multiples of this, however the peer fragments it. BLAKE3
#: hashes 16 chunks of 1 KiB at once, if they begin at a multiple of 16 KiB: fragments of 16 KiB, as
#: they come, would take it three times as long.
_BLOCK_SIZE = 32 * 1024
#: While a large instance arrives, the room on the disk is checked each time after this many bytes.
_ROOM_CHECK = 64 * 1024 * 1024
#: The most instances that are made durable together.
_LARGEST_GROUP = 256


class Incoming:
    """An instance that is arriving: its spool file, running digest and first bytes."""

    def __init__(
        self,
        spool: Spool,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
        called_ae_title: str,
    ) -> None:
        self.sop_class_uid = sop_class_uid
        self.sop_instance_uid = sop_instance_uid
        self.transfer_syntax_uid = transfer_syntax_uid
        self.calling_ae_title = calling_ae_title
        self.called_ae_title = called_ae_title
        #: The name of the spool file.
        self.key = spool.new_key()
        #: Bytes of the data set so far.
        self.size = 0
        self._spool = spool
        self._size_at_room_check = 0
        self._hasher = new_hasher()
        self._head = bytearray()
        #: Bytes after the head that do not fill a block yet.
        self._partial_block = bytearray()
        self._file_meta = file_meta.encode(
            sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae_title
        )
        #: Where the data set begins in the file.
        self.data_set_offset = len(self._file_meta)
        try:
            self._descriptor = spool.create(self.key)
        except OSError as error:
            raise _spool_error(error) from None

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the data set; raises OutOfResources."""
        self.size += len(data)
        if self.size - self._size_at_room_check >= _ROOM_CHECK:
            self._size_at_room_check = self.size
            self._spool.check_room()
        if len(self._head) < _HEAD_SIZE:
            missing = _HEAD_SIZE - len(self._head)
            self._head += data[:missing]
            if len(self._head) < _HEAD_SIZE:
                return
            self._put(self._file_meta, self._head)
            data = data[missing:]
        if len(self._partial_block) + len(data) < _BLOCK_SIZE:
            self._partial_block += data
            return
        missing = -len(self._partial_block) % _BLOCK_SIZE
        self._partial_block += data[:missing]
        remainder = (len(data) - missing) % _BLOCK_SIZE
        end_of_blocks = len(data) - remainder
        self._put(self._partial_block, data[missing:end_of_blocks])
        self._partial_block = bytearray(data[end_of_blocks:])

    def finish(self) -> tuple[InstanceHeader, str]:
        """The header and the digest, once all bytes are here.

        Raises Unreadable if the data set cannot be parsed, and OutOfResources.
        """
        if len(self._head) < _HEAD_SIZE:
            self._put(self._file_meta, self._head)
        elif self._partial_block:
            self._put(self._partial_block)
        try:
            self._close()
            instance_header, repair = header.index_data_set(
                bytes(self._head),
                self.size,
                self.transfer_syntax_uid,
                self._open_data_set,
            )
            if repair is not None:
                self._repair(repair)
        except OSError as error:
            raise OutOfResources(f"the spool does not answer: {error.strerror}") from None
        return instance_header, digest_text(self._hasher)

    def abandon(self) -> None:
        """Remove the file. If a failing disk prevents that, the hourly sweep removes it later."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._spool.remove(self.key)

    def _repair(self, repair: header.Repair) -> None:
        """Repair the data set in its file."""
        self.size -= repair.padding
        with self._spool.arriving(self.key).open("r+b") as file:
            file.truncate(self.data_set_offset + self.size)
            if repair.odd_length is not None:
                offset, even_length = repair.odd_length
                file.seek(self.data_set_offset + offset)
                file.write(even_length)
                file.seek(0, os.SEEK_END)
                file.write(b"\0")
                self.size += 1
            file.seek(self.data_set_offset)
            self._hasher = new_hasher()
            while block := file.read(1 << 20):
                self._hasher.update(block)
        log.warning(
            "data set repaired",
            sop_instance_uid=self.sop_instance_uid,
            calling_ae_title=self.calling_ae_title,
            why=str(repair),
        )

    def _put(self, *parts: bytes | bytearray | memoryview) -> None:
        """Write all parts, and hash those of the data set; raises OutOfResources."""
        left = sum(map(len, parts))
        for part in parts:
            if part is not self._file_meta:
                self._hasher.update(part)
        try:
            left -= os.writev(self._descriptor, parts)
            if left:
                unwritten = memoryview(b"".join(parts))[-left:]
                while unwritten:
                    unwritten = unwritten[os.write(self._descriptor, unwritten) :]
        except OSError as error:
            raise _spool_error(error) from None

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _open_data_set(self) -> BinaryIO:
        file = self._spool.arriving(self.key).open("rb")
        file.seek(self.data_set_offset)
        return file


@dataclass(eq=False, slots=True)
class _Pending:
    """An instance that waits to be made durable, and the outcome."""

    key: str
    row: dict[str, Any]
    #: What the thread of the instance waits for, if it does not lead: held until the instance is
    #: durable or the thread has to lead. An Event would cost ten times as much.
    released: "threading.Lock | None" = None
    leads: bool = False
    error: BurnishError | None = None
    #: The file of the first content, if the instance is refused because of it.
    first: Slice | None = None


class Receiver:
    """The receive path of one process, for all its associations.

    Each association has a thread. The first thread that has an instance to make durable leads a
    group of all that wait at that moment; the threads of the others sleep meanwhile. When the group
    is durable, the leader hands the lead to the first instance that has come since.

    `same_uid` says which content of a SOP Instance UID counts: the "newest" or the "first".
    """

    def __init__(
        self, database: Database, spool: Spool, *, same_uid: Literal["newest", "first"] = "newest"
    ) -> None:
        self._database = database
        self._spool = spool
        self._newest_replaces = same_uid == "newest"
        self._inserter = database.row_inserter(cast(Table, Instance.__table__))
        self._pending: list[_Pending] = []
        self._has_leader = False
        self._lock = threading.Lock()

    def open(self, **identity: str) -> Incoming:
        """Begin an instance; the keywords are those of `Incoming`.

        Raises InvalidUID (PS3.5 9.1) and OutOfResources (disk full or above high water).
        """
        for keyword, name in (("sop_class_uid", "Class"), ("sop_instance_uid", "Instance")):
            if not is_tolerable_uid(identity[keyword]):
                raise InvalidUID(f"Affected SOP {name} UID is not a UID")
        self._spool.check_room()
        return Incoming(self._spool, **identity)

    def accept(self, incoming: Incoming) -> None:
        """Make an instance durable: when this returns, its file and its row are safe.

        Raises Unreadable, Mismatch, OtherContent or OutOfResources; then nothing of it is kept.
        """
        try:
            instance_header, digest = incoming.finish()
            _check_identity(incoming, instance_header)
        except BurnishError:
            incoming.abandon()
            raise
        pending = _Pending(incoming.key, _row(incoming, instance_header, digest))
        self._make_durable(pending)
        if pending.first is not None:
            self._compare_with_first(pending)
        if pending.error is not None:
            raise pending.error

    def _compare_with_first(self, pending: _Pending) -> None:
        """Accept a refused instance after all if its data are those of the first content.

        The two may be encoded differently.
        """
        try:
            arrived = self._spool.slice(pending.key, pending.row["size"])
            if pending.first is None or not are_equal_as_data(pending.first, arrived):
                return
            with self._database.connection() as connection:
                connection.execute(
                    update(Instance)
                    .where(
                        Instance.sop_instance_uid == pending.row["sop_instance_uid"],
                        Instance.is_newest(),
                    )
                    .values(received_at=pending.row["received_at"])
                )
            pending.error = None
        except (SQLAlchemyError, OutOfResources) as error:
            pending.error = OutOfResources("not stored")
            log.error("instances not stored", instances=1, why=str(error))
        finally:
            with suppress(OSError):
                self._spool.remove(pending.key)

    def _make_durable(self, pending: _Pending) -> None:
        """Wait until a leader has made the instance durable, or lead a group that has it."""
        with self._lock:
            self._pending.append(pending)
            pending.leads = not self._has_leader
            if self._has_leader:
                pending.released = threading.Lock()
                pending.released.acquire()
            self._has_leader = True
        if pending.released:
            pending.released.acquire()
        if not pending.leads:
            return
        with self._lock:
            group = self._pending[:_LARGEST_GROUP]
            del self._pending[:_LARGEST_GROUP]
        try:
            self._commit(group)
        finally:
            self._hand_over_lead()

    def _hand_over_lead(self) -> None:
        with self._lock:
            self._has_leader = bool(self._pending)
            if self._has_leader:
                next_leader = self._pending[0]
                next_leader.leads = True
                if next_leader.released:
                    next_leader.released.release()

    def _commit(self, group: list[_Pending]) -> None:
        """Publish the files of a group, then commit the rows, then release the threads.

        Until its row is committed, each instance counts as refused.
        """
        for pending in group:
            pending.error = OutOfResources("not stored")
        unneeded_files = [pending.key for pending in group]
        try:
            self._spool.publish(unneeded_files)
            # If it is not known whether a row was committed, its file has to stay. The hourly sweep
            # removes files without a row.
            unneeded_files = []
            unneeded_files = self._record(group)
        except Unwritten as error:
            unneeded_files = [pending.key for pending in group if pending.error]
            log.error("instances not stored", instances=len(unneeded_files), why=str(error))
        except (OSError, SQLAlchemyError, OutOfResources) as error:
            log.error("instances not stored", instances=len(group), why=str(error))
        finally:
            for pending in group:
                if pending.released:
                    pending.released.release()
        for key in unneeded_files:
            with suppress(OSError):
                self._spool.remove(key)

    def _record(self, group: Sequence[_Pending]) -> list[str]:
        """Commit the rows of a group; returns the keys of files that no row needs."""
        unneeded_files: list[str] = []
        replacements: list[tuple[Any, dict[str, Any]]] = []
        refused: dict[str, BurnishError] = {}
        try:
            # in the usual case none of the instances has been here before
            if not self._inserter.insert([pending.row for pending in group]):
                with self._database.connection() as connection:
                    unneeded_files = self._insert_one_by_one(
                        connection, group, replacements, refused
                    )
        except (ValueError, OverflowError, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, DataError):
                raise
            # one instance has a value that the database cannot hold: the others are to be stored
            if len(group) == 1:
                group[0].error = Unreadable("a value of the data set cannot be stored")
                return [group[0].key]
            return [key for pending in group for key in self._record([pending])]
        for pending in group:
            pending.error = refused.get(pending.key)
        for earlier_row, row in replacements:
            _log_replacement(earlier_row, row)
        for pending in group:
            if instance_faults.known(pending.row["fault"]) and not pending.error:
                _log_fault(pending.row)
        return unneeded_files

    def _insert_one_by_one(
        self,
        connection: Connection,
        group: Sequence[_Pending],
        replacements: list[tuple[Any, dict[str, Any]]],
        refused: dict[str, BurnishError],
    ) -> list[str]:
        """Insert the rows of a group in which an instance has been here before.

        Returns the keys of files that no row needs. The same content again is a success and no
        second row: it counts as received now, and its file replaces one that was lost. Other
        content goes to `replacements`, with the row of the content that it replaces, or is
        `refused`.
        """
        uids = [pending.row["sop_instance_uid"] for pending in group]
        newest = self._newest_contents(connection, uids)
        new_rows: list[dict[str, Any]] = []
        unneeded_files: list[str] = []
        for pending in group:
            row = pending.row
            earlier_row = newest.get(row["sop_instance_uid"])
            if earlier_row is not None and instance_rows.has_same_content(earlier_row, row):
                if self._keep_file_of(connection, earlier_row, row):
                    unneeded_files.append(pending.key)
                continue
            if earlier_row is not None and not self._newest_replaces:
                pending.first = self._spool.slice(earlier_row["spool_key"], earlier_row["size"])
                refused[pending.key] = OtherContent("SOP Instance UID is stored with other content")
                continue
            if earlier_row is not None:
                _mark_as_replaced(connection, earlier_row)
                replacements.append((earlier_row, row))
            new_rows.append(row)
            newest[row["sop_instance_uid"]] = row
        if new_rows:
            connection.execute(insert(Instance), new_rows)
        return unneeded_files

    def _keep_file_of(self, connection: Connection, earlier_row: Any, row: dict[str, Any]) -> bool:
        """Mark the earlier row as received now. Returns True if its file is complete and is kept.

        If that file was lost, the row gets the file that has arrived now.
        """
        columns = {"received_at"}
        is_whole = self._has_whole_file(earlier_row)
        if not is_whole:
            columns |= {"spool_key", "size", "data_set_offset"}
        if "id" in earlier_row:  # else it arrived in the same group, and has no row yet
            connection.execute(
                update(Instance)
                .where(Instance.id == earlier_row["id"])
                .values({name: row[name] for name in columns})
            )
        return is_whole

    def _newest_contents(self, connection: Connection, uids: Sequence[str]) -> dict[str, Any]:
        """The columns of the newest content of each instance, by SOP Instance UID."""
        rows = connection.execute(
            select(
                Instance.id,
                Instance.digest,
                Instance.spool_key,
                Instance.size,
                Instance.calling_ae_title,
                Instance.received_at,
                *instance_rows.COMPARED_COLUMNS,
            ).where(Instance.sop_instance_uid.in_(uids), Instance.is_newest())
        )
        return {row.sop_instance_uid: row._mapping for row in rows}

    def _has_whole_file(self, row: Any) -> bool:
        return self._spool.slice(row["spool_key"], row["size"]).is_whole()


def _spool_error(error: OSError) -> OutOfResources:
    return OutOfResources(f"the spool cannot be written: {error.strerror}")


def _mark_as_replaced(connection: Connection, earlier_row: Any) -> None:
    """Mark the earlier row as no longer the newest content; its file stays until released."""
    now = datetime.now(UTC)
    if "id" in earlier_row:
        connection.execute(
            update(Instance).where(Instance.id == earlier_row["id"]).values(replaced_at=now)
        )
    else:  # it arrived in the same group, and its row is about to be inserted
        earlier_row["replaced_at"] = now


def _log_replacement(earlier_row: Any, row: dict[str, Any]) -> None:
    log.info(
        "instance replaced",
        sop_instance_uid=row["sop_instance_uid"],
        calling_ae_title=row["calling_ae_title"],
        changed=instance_rows.differences(earlier_row, row),
        older_calling_ae_title=earlier_row["calling_ae_title"],
        older_received_at=earlier_row["received_at"].isoformat(),
    )


def _log_fault(row: dict[str, Any]) -> None:
    log.warning(
        "instance is damaged",
        sop_instance_uid=row["sop_instance_uid"],
        calling_ae_title=row["calling_ae_title"],
        why=instance_faults.known(row["fault"]),
        hint="correct the instance and send it again",
    )


def _check_identity(incoming: Incoming, instance_header: InstanceHeader) -> None:
    """Raise Mismatch if the data set is not what the command announced (PS3.4 B.2.3, A9xxH).

    An instance of a patient also needs a study and a series.
    """
    if instance_header.sop_class_uid != incoming.sop_class_uid:
        raise Mismatch("SOP Class UID of the data set is not that of the command")
    if instance_header.sop_instance_uid != incoming.sop_instance_uid:
        raise Mismatch("SOP Instance UID of the data set is not that of the command")
    study = instance_header.study_instance_uid
    series = instance_header.series_instance_uid
    if instance_header.directory_record_type in ROOT_TYPES and not study and not series:
        return
    if not is_tolerable_uid(study):
        raise Mismatch("Study Instance UID of the data set is missing or not a UID")
    if not is_tolerable_uid(series):
        raise Mismatch("Series Instance UID of the data set is missing or not a UID")


def _row(incoming: Incoming, instance_header: InstanceHeader, digest: str) -> dict[str, Any]:
    """The values of the instance's row."""
    return {
        **instance_rows.header_values(instance_header),
        "transfer_syntax_uid": incoming.transfer_syntax_uid,
        "spool_key": incoming.key,
        "size": incoming.data_set_offset + incoming.size,
        "data_set_offset": incoming.data_set_offset,
        "digest": digest,
        "calling_ae_title": incoming.calling_ae_title,
        "called_ae_title": incoming.called_ae_title,
        "received_at": datetime.now(UTC),
        "released_at": None,
        "replaced_at": None,
    }
