"""Stage: one instance while it arrives: in memory, or in a file of its own if it is large."""

import io
import mmap
import os
from contextlib import suppress
from typing import BinaryIO, NamedTuple

import structlog

from burnish import file_meta
from burnish.errors import OutOfResources
from burnish.hashing import Hasher, digest_bytes, new_hasher
from burnish.instance_header import header
from burnish.receive import buffers
from burnish.receive.buffers import Buffers
from burnish.receive.own_file import OwnFile
from burnish.spool import Spool
from burnish.values import InstanceHeader

log = structlog.get_logger(__name__)

#: While a large instance arrives, the room on the disk is checked each time after this many bytes.
_ROOM_CHECK = 64 * 1024 * 1024


class ReceivedDataSet(NamedTuple):
    """The header and the BLAKE3 digest of a data set, which are known once all of it is here."""

    header: InstanceHeader
    digest: bytes


class Incoming:
    """An instance that is arriving.

    Its data set is collected in a buffer. When the buffer is full, what is in it goes into a file
    of the spool, and its halves are filled again, one after the other: so such an instance is
    written and hashed in large pieces, however the peer fragments it.
    """

    def __init__(
        self,
        spool: Spool,
        buffers: Buffers,
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
        #: The key of the file of its own; "" as long as it has none.
        self.key = ""
        self.file_meta = file_meta.encode(
            sop_class_uid, sop_instance_uid, transfer_syntax_uid, calling_ae_title
        )
        self._spool = spool
        self._buffers = buffers
        self._buffer: mmap.mmap | None = buffers.take()
        #: The place in the buffer of the bytes that the file does not have yet. The buffer is
        #: filled up to `_limit` before they are handed over.
        self._start = self._end = 0
        self._limit = len(self._buffer)
        #: Bytes of the data set that have been handed over to the file.
        self._handed_over = 0
        self._size_at_room_check = 0
        #: The first bytes of the data set, once they are not in the buffer any more.
        self._head = b""
        self._own_file: OwnFile | None = None
        self._hasher: Hasher | None = None

    @property
    def size(self) -> int:
        """Bytes of the data set so far."""
        return self._handed_over + self._end - self._start

    @property
    def data_set(self) -> memoryview:
        """The data set of an instance without a file of its own; valid until `release`."""
        assert self._buffer is not None  # noqa: S101
        return memoryview(self._buffer)[: self._end]

    def write(self, data: memoryview) -> None:
        """Take the next bytes of the data set; raises OutOfResources."""
        buffer = self._buffer
        assert buffer is not None  # noqa: S101
        end = self._end + len(data)
        while end > self._limit:
            count = self._limit - self._end
            buffer[self._end : self._limit] = data[:count]
            self._end = self._limit
            self._hand_over()
            data = data[count:]
            end = self._end + len(data)
        buffer[self._end : end] = data
        self._end = end

    def room(self) -> memoryview:
        """Where the next bytes can be put instead; then call `received`. Raises OutOfResources."""
        assert self._buffer is not None  # noqa: S101
        if self._end == self._limit:
            self._hand_over()
        return memoryview(self._buffer)[self._end : self._limit]

    def received(self, count: int) -> None:
        """So many bytes were put into `room`."""
        self._end += count

    def finish(self) -> ReceivedDataSet:
        """Header and digest, once all bytes are here, and the data set is repaired if necessary.

        Raises Unreadable if the data set cannot be parsed, and OutOfResources.
        """
        try:
            if self.key:
                self._complete_file()
            size = self.size
            head = self._head or self.data_set[: header.HEAD]
            instance_header, repair = header.index_data_set(
                head, size, self.transfer_syntax_uid, self._open_data_set
            )
            if repair is not None:
                self._repair(repair)
        except OSError as error:
            raise OutOfResources(f"the spool does not answer: {error.strerror}") from None
        hasher = self._hasher
        digest = hasher.digest() if hasher is not None else digest_bytes(self.data_set)
        return ReceivedDataSet(instance_header, digest)

    def abandon(self) -> None:
        """Remove what has arrived. If a failing disk keeps a file, the hourly sweep removes it."""
        if self.key:
            with suppress(OSError):
                self._close()
            with suppress(OSError):
                self._spool.remove(self.key)
        self.release()

    def release(self) -> None:
        """Give the buffer back."""
        if self._buffer is not None:
            self._buffers.give_back(self._buffer)
            self._buffer = None

    # --- a file of its own ---

    def _hand_over(self) -> None:
        """Have what is in the buffer written to the file and hashed; raises OutOfResources."""
        buffer = self._buffer
        assert buffer is not None  # noqa: S101
        half = (len(buffer) + 1) // 2
        try:
            own_file = self._own_file or self._create_file(len(buffer))
            while self._start < self._end:
                end = min(self._end, self._start + half)
                own_file.append(memoryview(buffer)[self._start : end])
                self._handed_over += end - self._start
                self._start = end
        except OSError as error:
            raise _cannot_be_written(error) from None
        if self._end == len(buffer):
            self._start = self._end = 0
        self._limit = min(self._start + half, len(buffer))
        if self._handed_over - self._size_at_room_check >= _ROOM_CHECK:
            self._size_at_room_check = self._handed_over
            self._spool.check_room()

    def _create_file(self, buffer_size: int) -> OwnFile:
        self._head = bytes(self.data_set[: header.HEAD])
        self.key = self._spool.new_key()
        # many instances arrive beside one with a small buffer: they keep the processors busy
        may_use_thread = buffer_size == buffers.BUFFER_SIZE
        self._own_file = OwnFile(
            self._spool, self.key, self.file_meta, may_use_thread=may_use_thread
        )
        self._hasher = self._own_file.hasher
        return self._own_file

    def _complete_file(self) -> None:
        """Have all that is left written; raises OutOfResources."""
        self._hand_over()
        try:
            self._close()
        except OSError as error:
            raise _cannot_be_written(error) from None

    def _close(self) -> None:
        if self._own_file is not None:
            self._own_file.close()

    def _open_data_set(self) -> BinaryIO:
        if not self.key:
            return io.BytesIO(self.data_set)
        file = self._spool.arriving(self.key).open("rb")
        file.seek(len(self.file_meta))
        return file

    def _repair(self, repair: header.Repair) -> None:
        if self.key:
            self._repair_file(repair)
        else:
            size = self.size
            content = bytes(self.data_set)
            self._end = 0
            for piece in header.repaired(iter([content]), size, repair):
                self.write(memoryview(piece))
            if self.key:
                self._complete_file()
        log.warning(
            "data set repaired",
            sop_instance_uid=self.sop_instance_uid,
            calling_ae_title=self.calling_ae_title,
            why=str(repair),
        )

    def _repair_file(self, repair: header.Repair) -> None:
        """Repair the data set in its file, and hash it again."""
        self._handed_over -= repair.padding
        offset = len(self.file_meta)
        with self._spool.arriving(self.key).open("r+b") as file:
            file.truncate(offset + self._handed_over)
            if repair.odd_length is not None:
                place, even_length = repair.odd_length
                file.seek(offset + place)
                file.write(even_length)
                file.seek(0, os.SEEK_END)
                file.write(b"\0")
                self._handed_over += 1
            file.seek(offset)
            self._hasher = new_hasher()
            while block := file.read(1 << 20):
                self._hasher.update(block)


def _cannot_be_written(error: OSError) -> OutOfResources:
    return OutOfResources(f"the spool cannot be written: {error.strerror}")
