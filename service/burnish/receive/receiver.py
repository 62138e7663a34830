"""Stage: the receive path of one process: an instance counts once it is in the spool.

The bytes of a data set are kept as they arrive, undecoded; only the header index is read from them.
Padding behind the data set and an odd last length are repaired. `Receiver.accept` returns when the
instance is in a segment of the spool, durably if that is configured. Instances that wait at the
same time are made durable together. Their rows follow (see `indexer`).

A SOP Instance UID may be received again. The same content again succeeds and adds nothing. Other
content replaces the older content, or is refused (`storage.same_uid`).

This stage knows no requests: `request/admission.py` and `request/standing_orders.py` find what it
stored.
"""

import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import time_ns
from typing import Any, Literal

import structlog
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from burnish import file_meta
from burnish.db import instance_records
from burnish.db.new_rows import NewRow, shared_values
from burnish.db.session import Database
from burnish.db.tables import Instance
from burnish.errors import (
    BurnishError,
    InvalidUID,
    Mismatch,
    OtherContent,
    OutOfResources,
    Unreadable,
)
from burnish.hashing import digest_as_text, digest_bytes
from burnish.identifiers import is_tolerable_uid
from burnish.instance_header import header, instance_faults
from burnish.instance_header.equality import are_equal_as_data
from burnish.receive import buffers
from burnish.receive.buffers import Buffers
from burnish.receive.incoming import Incoming
from burnish.receive.indexer import Arrival, Indexer
from burnish.receive.origin import Origin, check_identity, is_known_uid
from burnish.spool import Spool, segment
from burnish.spool.appender import PendingRecord
from burnish.spool.segments_ahead import SegmentsAhead
from burnish.values import InstanceHeader, WholeInstance

log = structlog.get_logger(__name__)

#: A segment is sealed after this many seconds, even if it has room left.
_LONGEST_OPEN = 3600.0
_OTHER_INSTANCE = "SOP Instance UID of the data set is not the announced one"
#: Seconds that an instance waits for its row where the first content of a SOP Instance UID counts,
#: beyond the time that a writer waits for the database.
_VERDICT_MARGIN = 5.0
#: The most series that are remembered because their text is in doubt.
_MOST_TOLD = 1024


class Receiver:
    """The receive path of one process, for all its associations.

    Each association has a thread. `same_uid` says which content of a SOP Instance UID counts: the
    "newest" or the "first". Rows follow by themselves between `start` and `close`; without `start`,
    call `index`.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        *,
        same_uid: Literal["newest", "first"] = "newest",
        ahead: SegmentsAhead | None = None,
    ) -> None:
        self._database = database
        self._spool = spool
        self._first_counts = same_uid == "first"
        self._indexer = Indexer(database, spool, same_uid=same_uid)
        self._appender = spool.appender(self._indexer.add, ahead)
        self._buffers = Buffers()
        self._stopping = threading.Event()
        #: Series whose text is in doubt, and why: it is logged once for each.
        self._told_of_text: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._last_received_us = 0

    def start(self) -> None:
        """Have the rows of instances follow from now on."""
        self._indexer.runs = True
        self._thread = threading.Thread(target=self._follow, name="rows of instances", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Insert the rows that are left, if the database answers, and seal the segment.

        Otherwise `replay` does both later. Nothing may be received any more.
        """
        self._appender.seal()
        if self._thread is None:
            with suppress(OutOfResources):
                self._indexer.index()
            return
        self._stopping.set()
        self._indexer.wake()
        self._thread.join()
        self._thread = None

    def index(self) -> None:
        """Insert the rows of everything that was received until now; raises OutOfResources."""
        self._indexer.index()

    def open(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        calling_ae_title: str,
        called_ae_title: str,
    ) -> Incoming:
        """Begin an instance.

        Raises InvalidUID (PS3.5 9.1) and OutOfResources (disk full or above high water, or too many
        instances wait for their rows).
        """
        self._check_announced(sop_class_uid, sop_instance_uid)
        return Incoming(
            self._spool,
            self._buffers,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            calling_ae_title=calling_ae_title,
            called_ae_title=called_ae_title,
        )

    def receive(self, instance: WholeInstance) -> None:
        """Receive an instance that is here as a whole; raises as `open` and `accept` do."""
        origin = Origin(
            sop_class_uid=instance.sop_class_uid,
            transfer_syntax_uid=instance.transfer_syntax_uid,
            calling_ae_title=instance.calling_ae_title,
            called_ae_title=instance.called_ae_title,
        )
        self.receive_from(origin, instance.sop_instance_uid, memoryview(instance.data_set))

    def receive_from(self, origin: Origin, sop_instance_uid: str, data_set: memoryview) -> None:
        """Receive an instance that is here as a whole; raises as `open` and `accept` do.

        `data_set` has to be valid until this returns. If it is like one before, it is appended from
        where it is.
        """
        alike_header = None
        if len(data_set) <= buffers.BUFFER_SIZE and not self._first_counts:
            alike_header = header.index_alike(
                data_set, origin.transfer_syntax_uid, origin.last_kind
            )
        if alike_header is None:
            self._receive_unlike(origin, sop_instance_uid, data_set)
            return
        self._check_announced(origin.sop_class_uid, sop_instance_uid)
        own_uid, instance_number, record_keys, shared_fields = alike_header
        shared = origin.shared_values(shared_fields)
        if own_uid != sop_instance_uid:
            raise Mismatch(_OTHER_INSTANCE)
        meta = file_meta.encode(
            origin.sop_class_uid,
            sop_instance_uid,
            origin.transfer_syntax_uid,
            origin.calling_ae_title,
        )
        digest = digest_bytes(data_set)
        offset = len(meta)
        row = NewRow(
            sop_instance_uid,
            instance_number,
            bytearray(record_keys),
            "",
            offset + len(data_set),
            offset,
            digest_as_text(digest),
            self._receipt(),
            shared,
        )
        self._appender.append(self._record(Arrival(row), meta, data_set, digest))
        if origin.fault:
            self._log_fault(row.columns(), origin.fault)

    def _receive_unlike(self, origin: Origin, sop_instance_uid: str, data_set: memoryview) -> None:
        incoming = self.open(
            sop_class_uid=origin.sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=origin.transfer_syntax_uid,
            calling_ae_title=origin.calling_ae_title,
            called_ae_title=origin.called_ae_title,
        )
        try:
            incoming.write(data_set)
        except BurnishError:
            incoming.abandon()
            raise
        self.accept(incoming)

    def accept(self, incoming: Incoming) -> None:
        """Make an instance durable: when this returns, it is in the spool, and its row will follow.

        Raises Unreadable, Mismatch, OtherContent or OutOfResources. Then nothing of it is kept,
        unless it is not known whether that has reached the disk.
        """
        try:
            instance_header, digest = incoming.finish()
            _check_identity(incoming, instance_header)
            arrival = Arrival(self._row(incoming, instance_header, digest))
            if self._first_counts:
                arrival.indexed = threading.Event()
            if incoming.key:
                record = self._record_of_file(arrival, incoming, digest)
                self._publish(incoming.key)
            else:
                record = self._record(arrival, incoming.file_meta, incoming.data_set, digest)
            self._appender.append(record)
        except BurnishError:
            incoming.abandon()
            raise
        incoming.release()
        if self._first_counts:
            self._wait_for_verdict(arrival)
        if fault := instance_faults.known(arrival.row.shared.fault):
            self._log_fault(arrival.row.columns(), fault)

    def _check_announced(self, sop_class_uid: str, sop_instance_uid: str) -> None:
        """Raise InvalidUID, or OutOfResources if nothing can be received now."""
        if not is_known_uid(sop_class_uid):
            raise InvalidUID("Affected SOP Class UID is not a UID")
        if not is_tolerable_uid(sop_instance_uid):
            raise InvalidUID("Affected SOP Instance UID is not a UID")
        self._spool.check_room()
        if self._indexer.is_full:
            self._indexer.wait_for_room(self._database.wait)

    def _log_fault(self, row: dict[str, Any], fault: str) -> None:
        fields = {
            "sop_instance_uid": row["sop_instance_uid"],
            "calling_ae_title": row["calling_ae_title"],
            "why": fault,
        }
        if not _is_doubtful_text_alone(fault):
            hint = "correct the instance and send it again"
            log.warning("instance is damaged", **fields, hint=hint)
            return
        told = (row["series_instance_uid"], fault)
        if told in self._told_of_text:
            return
        if len(self._told_of_text) >= _MOST_TOLD:
            self._told_of_text.clear()
        self._told_of_text.add(told)
        hint = (
            "set the right Specific Character Set at the device; further instances are not logged"
        )
        log.warning("text of a series is in doubt", **fields, hint=hint)

    def _follow(self) -> None:
        def seal_old_segment() -> None:
            if self._appender.age > _LONGEST_OPEN:
                self._appender.seal()

        self._indexer.run(self._stopping, seal_old_segment)

    def _receipt(self) -> int:
        """The time of receipt, in microseconds since 1970 (UTC).

        What arrives later counts as the newer content, also if the clock is set back meanwhile.
        """
        self._last_received_us = received_us = max(time_ns() // 1000, self._last_received_us)
        return received_us

    def _row(self, incoming: Incoming, instance_header: InstanceHeader, digest: bytes) -> NewRow:
        """The instance's row; its `spool_key` is "" if it follows from the record."""
        offset = len(incoming.file_meta)
        return NewRow(
            instance_header.sop_instance_uid,
            instance_header.instance_number,
            bytearray(instance_header.record_keys),
            incoming.key,
            offset + incoming.size,
            offset,
            digest_as_text(digest),
            self._receipt(),
            shared_values(
                instance_header.shared,
                incoming.transfer_syntax_uid,
                incoming.calling_ae_title,
                incoming.called_ae_title,
            ),
        )

    def _record(
        self, arrival: Arrival, meta: bytes, data_set: memoryview, digest: bytes
    ) -> PendingRecord:
        """The record to append; raises Unreadable if the database could not hold the row."""
        row = self._encoded(arrival.row)
        size = len(data_set)
        record_header = segment.encode_record_header(row, meta, size, digest)
        size += len(record_header) + len(meta)
        return PendingRecord((record_header, meta, data_set), size, arrival)

    def _record_of_file(self, arrival: Arrival, incoming: Incoming, digest: bytes) -> PendingRecord:
        """The record of an instance with a file of its own; raises as `_record` does."""
        record_header = segment.encode_record_header(
            self._encoded(arrival.row),
            incoming.file_meta,
            incoming.size,
            digest,
            has_own_file=True,
        )
        return PendingRecord((record_header,), len(record_header), arrival)

    def _encoded(self, row: NewRow) -> bytes:
        try:
            return instance_records.encode(row, holds_nul=self._database.holds_nul)
        except (ValueError, struct.error):
            raise Unreadable("a value of the data set cannot be stored") from None

    def _publish(self, key: str) -> None:
        """Make the file of an instance durable under its final name; raises OutOfResources."""
        try:
            self._spool.publish([key])
        except OSError as error:
            why = f"the spool cannot be written: {error.strerror}"
            log.error("instances not stored", instances=1, why=why)
            raise OutOfResources(why) from None

    # --- where the first content counts ---

    def _wait_for_verdict(self, arrival: Arrival) -> None:
        """Wait until the instance has its row; raises OtherContent if it is refused.

        Raises OutOfResources if the database does not answer.
        """
        assert arrival.indexed is not None  # noqa: S101
        if not self._indexer.runs:
            self._indexer.index()
        if not arrival.indexed.wait(self._database.wait + _VERDICT_MARGIN):
            raise OutOfResources("the database does not answer: the instance has no row yet")
        if arrival.is_unstorable:
            raise Unreadable("a value of the data set cannot be stored")
        if arrival.first_row is not None:
            self._compare_with_first(arrival.row.columns(), arrival.first_row)

    def _compare_with_first(self, row: dict[str, Any], first_row: dict[str, Any]) -> None:
        """Accept a refused instance after all if its data are those of the first content.

        The two may be encoded differently. Raises OtherContent, OutOfResources.
        """
        arrived = self._spool.slice(row["spool_key"], row["size"])
        first = self._spool.slice(first_row["spool_key"], first_row["size"])
        try:
            if not are_equal_as_data(first, arrived):
                raise OtherContent("SOP Instance UID is stored with other content")
            with self._database.connection() as connection:
                connection.execute(
                    update(Instance)
                    .where(
                        Instance.sop_instance_uid == row["sop_instance_uid"], Instance.is_newest()
                    )
                    .values(received_at=row["received_at"])
                )
        except (SQLAlchemyError, OutOfResources) as error:
            log.error("instances not stored", instances=1, why=str(error))
            raise OutOfResources("not stored") from error
        finally:
            with suppress(OSError):
                self._spool.erase(row["spool_key"], row["size"])


def _is_doubtful_text_alone(fault: str) -> bool:
    texts = fault.split("; ")
    return len(texts) == 1 and instance_faults.has_doubtful_text(fault)


def _check_identity(incoming: Incoming, instance_header: InstanceHeader) -> None:
    """Raise Mismatch if the data set is not what the command announced (PS3.4 B.2.3, A9xxH)."""
    check_identity(incoming.sop_class_uid, instance_header)
    if instance_header.sop_instance_uid != incoming.sop_instance_uid:
        raise Mismatch(_OTHER_INSTANCE)


@contextmanager
def receiving_corrections(
    database: Database, spool: Spool
) -> Iterator[Callable[[WholeInstance], None]]:
    """Receives corrected instances, whatever `storage.same_uid` says of those that peers send."""
    receiver = Receiver(database, spool)

    def keep(instance: WholeInstance) -> None:
        receiver.receive(instance)
        receiver.index()

    try:
        yield keep
    finally:
        receiver.close()
