"""Stage: receives one instance, durably or not at all.

An `Incoming` takes the data set's bytes as they pass, undecoded. `Receiver.accept` returns only
when its file and its row are safe; instances that arrive together are made safe together.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

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
from burnish.hashing import digest_text, new_hasher
from burnish.identifiers import is_tolerable_uid
from burnish.instance_header import header
from burnish.spool import Spool
from burnish.values import InstanceHeader

log = structlog.get_logger(__name__)

#: Bytes of the data set that are kept for the header index; the rest only passes.
_HEAD = 64 * 1024
#: The rest is written and hashed in multiples of this, however it is fragmented. BLAKE3 hashes 16
#: pieces of 1 KiB at once where they begin at a multiple of as much: fragments of 16 KiB, each by
#: itself, take three times as long.
_BLOCK = 32 * 1024
#: After so many bytes of one instance it is looked whether there is still room.
_LOOK = 64 * 1024 * 1024
#: The largest group that is made durable at once.
_GROUP = 256


class Incoming:
    """One instance that is arriving: a spool file, a running digest, and the first bytes."""

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
        self.key = spool.new_key()
        self.size = 0
        self._spool = spool
        self._looked = 0
        self._hasher = new_hasher()
        self._head = bytearray()
        self._held = bytearray()
        self._meta = file_meta.encode(
            sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae_title
        )
        self.data_set_offset = len(self._meta)
        try:
            self._descriptor = spool.create(self.key)
        except OSError as error:
            raise _unwritten(error) from None

    def write(self, data: memoryview) -> None:
        """Takes the next bytes of the data set; raises OutOfResources."""
        self.size += len(data)
        if self.size - self._looked >= _LOOK:
            self._looked = self.size
            self._spool.check_room()
        if len(self._head) < _HEAD:
            taken = _HEAD - len(self._head)
            self._head += data[:taken]
            if len(self._head) < _HEAD:
                return
            self._put(self._meta, self._head)
            data = data[taken:]
        if len(self._held) + len(data) < _BLOCK:
            self._held += data
            return
        taken = -len(self._held) % _BLOCK
        self._held += data[:taken]
        whole = len(data) - (len(data) - taken) % _BLOCK
        self._put(self._held, data[taken:whole])
        self._held = bytearray(data[whole:])

    def _put(self, *parts: bytes | bytearray | memoryview) -> None:
        """Writes all parts, and hashes those of the data set; raises OutOfResources."""
        left = sum(map(len, parts))
        for part in parts:
            if part is not self._meta:
                self._hasher.update(part)
        try:
            left -= os.writev(self._descriptor, parts)
            if left:
                rest = memoryview(b"".join(parts))[-left:]
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise _unwritten(error) from None

    def finish(self) -> tuple[InstanceHeader, str]:
        """Its header and digest, when all bytes are here."""
        if len(self._head) < _HEAD:
            self._put(self._meta, self._head)
        elif self._held:
            self._put(self._held)
        try:
            self._close()
            found = header.index(
                bytes(self._head), self.size, self.transfer_syntax_uid, self._data_set
            )
        except OSError as error:
            raise OutOfResources(f"the spool does not answer: {error.strerror}") from None
        return found, digest_text(self._hasher)

    def abandon(self) -> None:
        """Leaves nothing behind; what a failing disk keeps, retain sweeps."""
        with suppress(OSError):
            self._close()
        with suppress(OSError):
            self._spool.remove(self.key)

    def _close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)

    def _data_set(self) -> BinaryIO:
        file = self._spool.arriving(self.key).open("rb")
        file.seek(self.data_set_offset)
        return file


@dataclass(eq=False, slots=True)
class _Waiting:
    """An instance that waits to be made durable, and what came of it."""

    key: str
    row: dict[str, Any]
    #: Held until its thread is to go on; an Event would cost ten times as much.
    turn: "threading.Lock | None" = None
    leads: bool = False
    error: BurnishError | None = None


class Receiver:
    """The receive path of one process.

    Instances that wait at the same time are made durable together, by the thread of one of them:
    the first to come leads its group, and hands the lead to the next when it is done.
    """

    def __init__(self, database: Database, spool: Spool) -> None:
        self._database = database
        self._spool = spool
        self._inserter = database.row_inserter(cast(Table, Instance.__table__))
        self._waiting: list[_Waiting] = []
        self._led = False
        self._lock = threading.Lock()

    def open(self, **identity: str) -> Incoming:
        """Begins an instance; the keywords are those of Incoming.

        Raises InvalidUID (PS3.5 9.1) and OutOfResources (above high water, disk full).
        """
        for keyword, name in (("sop_class_uid", "Class"), ("sop_instance_uid", "Instance")):
            if not is_tolerable_uid(identity[keyword]):
                raise InvalidUID(f"Affected SOP {name} UID is not a UID")
        self._spool.check_room()
        return Incoming(self._spool, **identity)

    def accept(self, incoming: Incoming) -> None:
        """Returns when the instance is safe: its file and its row durable, in that order.

        Raises Unreadable, Mismatch, OtherContent, OutOfResources; then nothing of it is left.
        """
        try:
            found, digest = incoming.finish()
            _check_identity(incoming, found)
        except BurnishError:
            incoming.abandon()
            raise
        waiting = _Waiting(incoming.key, _row(incoming, found, digest))
        self._make_durable(waiting)
        if waiting.error is not None:
            raise waiting.error

    def _make_durable(self, waiting: _Waiting) -> None:
        with self._lock:
            self._waiting.append(waiting)
            waiting.leads = not self._led
            if self._led:
                waiting.turn = threading.Lock()
                waiting.turn.acquire()
            self._led = True
        if waiting.turn:
            waiting.turn.acquire()
        if not waiting.leads:
            return
        with self._lock:
            group = self._waiting[:_GROUP]
            del self._waiting[:_GROUP]
        try:
            self._commit(group)
        finally:
            with self._lock:
                self._led = bool(self._waiting)
                if self._led:
                    self._waiting[0].leads = True
                    if self._waiting[0].turn:
                        self._waiting[0].turn.release()

    def _commit(self, group: list[_Waiting]) -> None:
        """Files first, then rows, then the answers: until then each instance counts as refused."""
        for waiting in group:
            waiting.error = OutOfResources("not stored")
        unwanted = [waiting.key for waiting in group]
        try:
            self._spool.publish(unwanted)
            # from here on the files stay where it is not known whether their rows are committed;
            # retain removes what has no row
            unwanted = []
            unwanted = self._record(group)
        except Unwritten as error:
            unwanted = [waiting.key for waiting in group if waiting.error]
            log.error("instances not stored", instances=len(unwanted), why=str(error))
        except (OSError, SQLAlchemyError, OutOfResources) as error:
            log.error("instances not stored", instances=len(group), why=str(error))
        finally:
            for waiting in group:
                if waiting.turn:
                    waiting.turn.release()
        for key in unwanted:
            with suppress(OSError):
                self._spool.remove(key)

    def _record(self, group: Sequence[_Waiting]) -> list[str]:
        """Commits the rows of a group; returns the keys of files that no row needs."""
        refused, unwanted = dict[str, BurnishError](), list[str]()
        try:
            # the usual case: none of them was here before
            if not self._inserter.insert([waiting.row for waiting in group]):
                with self._database.connection() as connection:
                    refused, unwanted = self._insert(connection, group)
        except (ValueError, OverflowError, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, DataError):
                raise
            # one row has what the database cannot hold, and must not take the others with it
            if len(group) == 1:
                group[0].error = Unreadable("a value of the data set cannot be stored")
                return [group[0].key]
            return [key for waiting in group for key in self._record([waiting])]
        for waiting in group:
            waiting.error = refused.get(waiting.key)
        return unwanted

    def _insert(
        self, connection: Connection, group: Sequence[_Waiting]
    ) -> tuple[dict[str, BurnishError], list[str]]:
        """Inserts the rows; returns what is refused, and the keys of files that no row needs.

        The same content again is a success and no second row (its file replaces a lost one, and
        it is kept as if it came now); other content under the same SOP Instance UID is refused.
        """
        known = self._known(connection, [waiting.row["sop_instance_uid"] for waiting in group])
        rows, refused, unwanted = [], dict[str, BurnishError](), []
        for waiting in group:
            row, before = waiting.row, known.get(waiting.row["sop_instance_uid"])
            if before is None:
                rows.append(row)
                known[row["sop_instance_uid"]] = row
            elif not _same_content(before, row):
                unwanted.append(waiting.key)
                refused[waiting.key] = OtherContent("SOP Instance UID is stored with other content")
            else:
                columns = {"received_at"}
                if self._is_whole(before):
                    unwanted.append(waiting.key)
                else:
                    columns |= {"spool_key", "size", "data_set_offset"}
                connection.execute(
                    update(Instance)
                    .where(Instance.spool_key == before["spool_key"])
                    .values({name: row[name] for name in columns})
                )
        if rows:
            connection.execute(insert(Instance), rows)
        return refused, unwanted

    def _known(self, connection: Connection, uids: Sequence[str]) -> dict[str, Any]:
        found = connection.execute(
            select(
                Instance.sop_instance_uid,
                Instance.sop_class_uid,
                Instance.transfer_syntax_uid,
                Instance.digest,
                Instance.spool_key,
                Instance.size,
            ).where(Instance.sop_instance_uid.in_(uids), Instance.released_at.is_(None))
        )
        return {row.sop_instance_uid: row._mapping for row in found}

    def _is_whole(self, row: Any) -> bool:
        try:
            return bool(self._spool.path(row["spool_key"]).stat().st_size == row["size"])
        except FileNotFoundError:
            return False


def _unwritten(error: OSError) -> OutOfResources:
    return OutOfResources(f"the spool cannot be written: {error.strerror}")


def _same_content(before: Any, row: dict[str, Any]) -> bool:
    return all(
        before[name] == row[name] for name in ("digest", "transfer_syntax_uid", "sop_class_uid")
    )


def _check_identity(incoming: Incoming, found: InstanceHeader) -> None:
    """PS3.4 B.2.3, A9xx: the data set is what the command says, and can be filed."""
    if found.sop_class_uid != incoming.sop_class_uid:
        raise Mismatch("SOP Class UID of the data set is not that of the command")
    if found.sop_instance_uid != incoming.sop_instance_uid:
        raise Mismatch("SOP Instance UID of the data set is not that of the command")
    if found.study_instance_uid or found.series_instance_uid or not _is_root_level(found):
        for name, uid in (
            ("Study", found.study_instance_uid),
            ("Series", found.series_instance_uid),
        ):
            if not is_tolerable_uid(uid):
                raise Mismatch(f"{name} Instance UID of the data set is missing or not a UID")


def _is_root_level(found: InstanceHeader) -> bool:
    return found.directory_record_type in ROOT_TYPES


def _row(incoming: Incoming, found: InstanceHeader, digest: str) -> dict[str, Any]:
    return {
        **instance_rows.header_values(found),
        "transfer_syntax_uid": incoming.transfer_syntax_uid,
        "spool_key": incoming.key,
        "size": incoming.data_set_offset + incoming.size,
        "data_set_offset": incoming.data_set_offset,
        "digest": digest,
        "calling_ae_title": incoming.calling_ae_title,
        "called_ae_title": incoming.called_ae_title,
        "received_at": datetime.now(UTC),
        "released_at": None,
    }
