"""Ground: appends received instances to the segments of one process, all that wait at once.

The first thread that has an instance to append leads a group of all that wait at that moment: it
writes all of them by one call, makes the segment durable by one sync, and then wakes the threads of
the others. Nothing else on the disk is synced.

If a write or a sync fails, nothing of the group counts as appended. What the kernel then has of the
segment is not known, so the segment is cut off behind the last group that was appended, and the
next group begins a new one.
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from burnish.durable_files import sync
from burnish.errors import OutOfResources
from burnish.hashing import digest_text, new_hasher
from burnish.spool import segment
from burnish.spool.segments_ahead import SegmentsAhead

log = structlog.get_logger(__name__)

#: A segment is sealed once it has this many bytes. They are allocated when it is created, so that a
#: sync has no more to do than to write bytes.
SEGMENT_SIZE = 64 << 20
#: The most instances, and about the most bytes, that are appended together.
_LARGEST_GROUP = 128
_LARGEST_WRITE = 64 << 20
#: Behind groups of fewer bytes than this, these zeros are written in advance.
_SMALL_GROUP = 256 << 10
_ZEROS = bytes(1 << 20)
#: The headers of so many records are hashed together: BLAKE3 takes a fifth of the time for them,
#: and the interpreter is given up less often. That is 1 us for an instance of 10 KB.
_HEADERS_HASHED = 32


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A segment to which nothing is appended any more; `digest` is that of its record headers.

    Whoever has recorded this closes `descriptor`, which holds the lock of the segment: until then
    nobody else takes it for one whose owner has died.
    """

    name: str
    size: int
    digest: str
    descriptor: int


class PendingRecord:
    """The record of one instance, and its place: at `payload` of the segment `name`.

    `parts` are the bytes of the record; the first of them is its header. `context` is what the
    caller wants to know of it later. `end` is where the next record begins.
    """

    name = ""
    payload = 0
    end = 0
    #: Why it was not appended; "" once it was.
    error = "the spool cannot be written"
    leads = False
    #: What the thread waits for if it does not lead: held until the record is durable or the thread
    #: has to lead. An Event would cost ten times as much.
    released: "threading.Lock | None" = None

    def __init__(self, parts: Sequence[Any], size: int, context: Any = None) -> None:
        self.parts = parts
        self.size = size
        self.context = context


#: What happened, in the order in which it happened.
Notice = Callable[[Sequence[PendingRecord | SealedSegment]], None]


class Appender:
    """Appends to segments in `folder`, for all threads of a process; it owns one segment at a time.

    With `durable`, what was appended is on disk. `notify` gets everything that was appended or
    sealed, in order; it has to be quick and must not raise. Segments that were created `ahead` are
    used first.
    """

    def __init__(
        self, folder: Path, notify: Notice, *, durable: bool, ahead: SegmentsAhead | None = None
    ) -> None:
        self._folder = folder
        self._ahead = ahead
        self._notify = notify
        self._durable = durable
        self._pending: list[PendingRecord] = []
        self._has_leader = False
        self._lock = threading.Lock()
        # of the leader alone
        self._descriptor = -1
        self._name = ""
        self._end = 0
        self._zeroed = 0
        self._began_at = 0.0
        #: Hashes the headers of the records; `_headers` are those that follow.
        self._headers_hasher = new_hasher()
        self._headers: list[bytes] = []

    def append(self, pending: PendingRecord) -> None:
        """Returns when the record is appended; raises OutOfResources."""
        with self._lock:
            leads = not self._has_leader
            if leads:
                self._has_leader = True
            else:
                pending.released = threading.Lock()
                pending.released.acquire()
                self._pending.append(pending)
        if leads:
            self._lead([pending])  # nobody was waiting
        elif pending.released is not None:
            pending.released.acquire()
            if pending.leads:
                with self._lock:
                    group = self._take_group()
                self._lead(group)
        if pending.error:
            raise OutOfResources(pending.error)

    def seal(self) -> None:
        """Seal the present segment, if there is one: the next record begins another."""
        self._wait_for_lead()
        try:
            self._seal()
        finally:
            self._hand_over_lead()

    @property
    def age(self) -> float:
        """Seconds since the present segment was created; 0 if there is none."""
        began_at = self._began_at
        return monotonic() - began_at if began_at else 0.0

    # --- the leader ---

    def _wait_for_lead(self) -> None:
        nothing = PendingRecord((), 0)
        with self._lock:
            if not self._has_leader:
                self._has_leader = True
                return
            nothing.released = threading.Lock()
            nothing.released.acquire()
            self._pending.append(nothing)
        nothing.released.acquire()
        with self._lock:
            self._pending.remove(nothing)

    def _lead(self, group: Sequence[PendingRecord]) -> None:
        try:
            self._append_group(group)
        except OSError as error:
            why = f"the spool cannot be written: {error.strerror}"
            log.error("instances not stored", instances=len(group), why=why)
            for pending in group:
                pending.error = why
        finally:
            self._hand_over_lead()
            for pending in group:
                if pending.released:
                    pending.released.release()

    def _take_group(self) -> list[PendingRecord]:
        """The waiting records, up to a number and a size; a `seal` that waits ends the group."""
        size = count = 0
        for pending in self._pending[:_LARGEST_GROUP]:
            size += pending.size
            if count and (size > _LARGEST_WRITE or not pending.parts):
                break
            count += 1
        group = self._pending[:count]
        del self._pending[:count]
        return group

    def _hand_over_lead(self) -> None:
        with self._lock:
            self._has_leader = bool(self._pending)
            if self._has_leader:
                next_leader = self._pending[0]
                next_leader.leads = True
                if next_leader.released:
                    next_leader.released.release()

    def _append_group(self, group: Sequence[PendingRecord]) -> None:
        if self._descriptor < 0:
            self._begin_segment()
        parts: list[Any] = []
        end = self._end
        name = self._name
        for pending in group:
            parts += pending.parts
            pending.name = name
            pending.payload = end + len(pending.parts[0])
            end += pending.size
            filler = segment.padding(end)
            if filler:
                parts.append(filler)
                end += len(filler)
            pending.end = end
        try:
            _write(self._descriptor, parts, self._end, end - self._end)
            if self._durable:
                self._zero_ahead(end)
                os.fdatasync(self._descriptor)
        except OSError:
            self._seal()
            raise
        self._end = end
        headers = self._headers
        for pending in group:
            headers.append(pending.parts[0])
            pending.parts = ()
            pending.error = ""
        self._notify(group)
        if len(headers) >= _HEADERS_HASHED:
            self._hash_headers()
        if end >= SEGMENT_SIZE:
            self._seal()

    def _hash_headers(self) -> None:
        self._headers_hasher.update(b"".join(self._headers))
        self._headers.clear()

    def _zero_ahead(self, end: int) -> None:
        """Write zeros behind small groups, which the next of them replace.

        To sync bytes that are written for the first time, even where room was allocated, the file
        system has to write its journal or the inode as well.
        """
        if end > self._zeroed and end - self._end <= _SMALL_GROUP:
            self._zeroed = end + len(_ZEROS)
            _write(self._descriptor, [_ZEROS], end, len(_ZEROS))

    def _begin_segment(self) -> None:
        taken = self._ahead.take(self._folder) if self._ahead is not None else None
        self._name, self._descriptor = taken or self._create()
        self._end = segment.HEADER_SIZE
        self._zeroed = 0
        self._began_at = monotonic()
        self._headers_hasher = new_hasher()
        self._headers.clear()

    def _create(self) -> tuple[str, int]:
        """Create a segment; it gets its name once it is locked, or it could be taken for left."""
        name = segment.new_name()
        path = segment.unfinished_path(self._folder, name)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o640)
        try:
            segment.lock(descriptor)
            if self._durable:  # otherwise the file system has time to find room
                _allocate(descriptor)
            header = segment.encode_header(name)
            _write(descriptor, [header], 0, len(header))
            if self._durable:
                os.fsync(descriptor)
            path.rename(segment.path(self._folder, name))
            path = segment.path(self._folder, name)
            if self._durable:
                sync(self._folder)
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        return name, descriptor

    def _seal(self) -> None:
        """Cut the segment off behind the last group. If that fails, replay ends it there or later.

        What follows was refused: then it is complete and known, or it is not there.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        self._began_at = 0.0
        with suppress(OSError):
            os.ftruncate(descriptor, self._end)
        if self._end == segment.HEADER_SIZE:
            with suppress(OSError):
                segment.path(self._folder, self._name).unlink()
            os.close(descriptor)
            return
        self._hash_headers()
        digest = digest_text(self._headers_hasher)
        self._notify([SealedSegment(self._name, self._end, digest, descriptor)])


def _allocate(descriptor: int) -> None:
    """Allocate the room of a segment. Where there is not enough, single instances may still fit."""
    try:
        os.posix_fallocate(descriptor, 0, SEGMENT_SIZE)
    except OSError:
        os.ftruncate(descriptor, 0)  # a part may have been allocated


def _write(descriptor: int, parts: Sequence[Any], offset: int, length: int) -> None:
    """Write all parts; raises OSError."""
    done = os.pwritev(descriptor, parts, offset)
    if done < length:
        remainder = memoryview(b"".join(parts))[done:]
        while remainder:
            count = os.pwrite(descriptor, remainder, offset + done)
            done += count
            remainder = remainder[count:]
