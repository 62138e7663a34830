"""Surface: files that people and programs upload, received by the rules of C-STORE."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from burnish import file_meta
from burnish.access.storage_classes import STORAGE_TRANSFER_SYNTAXES, is_received
from burnish.db import instance_events
from burnish.db.session import Database
from burnish.dicom_elements import NeedMore
from burnish.errors import (
    BurnishError,
    InvalidValue,
    LimitExceeded,
    NoInstance,
    OutOfResources,
    Unreadable,
)
from burnish.receive import Incoming, Receiver
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.values import Actor, WholeInstance
from burnish.vocabulary import MEDIA_STORAGE_DIRECTORY_STORAGE

#: Uploaded instances have this as their calling AE title.
CALLING_AE_TITLE = "WEB"
#: The status that a log gives a request whose sender has gone away.
CLIENT_GONE = 499
#: The most bytes of a file before its data set.
_LONGEST_META = 64 * 1024
#: The most files that arrive at the same time; a browser sends four of them.
_AT_ONCE = 24
_PREAMBLE = 128
#: Seconds without an upload after which the segment of the spool is sealed.
_IDLE = 30.0


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """A received instance. `size` is that of the data set in bytes."""

    sop_instance_uid: str
    sop_class_uid: str
    size: int


class Uploads:
    """The receive path of the web process. It begins with the first upload."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool
        self._lock = threading.Lock()
        self._receiver: Receiver | None = None
        self._users = 0
        self._arriving = 0
        self._timer: threading.Timer | None = None

    @contextmanager
    def arriving(self) -> Iterator["Upload"]:
        """One file while it arrives; raises OutOfResources if too many do at the same time.

        What was not finished at the end is removed.
        """
        with self._lock:
            if self._arriving >= _AT_ONCE:
                raise OutOfResources(
                    "too many files are being uploaded", hint="send this one again later"
                )
            self._arriving += 1
        upload = Upload(self, self._settings)
        try:
            yield upload
        finally:
            with self._lock:
                self._arriving -= 1
            upload.abandon()

    @property
    def longest(self) -> int:
        """The most bytes that a file may have."""
        return self._settings.web.longest_upload

    def note(self, sop_instance_uid: str, actor: Actor) -> None:
        """Note who has uploaded an instance; raises OutOfResources."""
        with self._database.writing() as session:
            instance_events.note(session, sop_instance_uid, instance_events.UPLOADED, actor)

    def receive(self, instances: Sequence[WholeInstance]) -> None:
        """Receive instances that are here as a whole; raises as `Receiver.receive`."""
        receiver = self.take()
        try:
            for instance in instances:
                receiver.receive(instance)
            self.index(receiver)
        finally:
            self.give_back()

    def take(self) -> Receiver:
        """The receiver, for one upload; then call `give_back`."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._receiver is None:
                same_uid = self._settings.storage.same_uid
                self._receiver = Receiver(self._database, self._spool, same_uid=same_uid)
            self._users += 1
            return self._receiver

    def give_back(self) -> None:
        """An upload has ended."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._timer = threading.Timer(_IDLE, self._close_if_idle)
                self._timer.daemon = True
                self._timer.start()

    def index(self, receiver: Receiver) -> None:
        """Have what was received get its rows; raises OutOfResources."""
        with self._lock:
            receiver.index()

    def close(self) -> None:
        """Seal the segment."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._receiver is not None:
                self._receiver.close()
                self._receiver = None

    def _close_if_idle(self) -> None:
        with self._lock:
            if self._users == 0 and self._receiver is not None:
                self._receiver.close()
                self._receiver = None


class Upload:
    """One file while it arrives."""

    def __init__(self, uploads: Uploads, settings: Settings) -> None:
        self._uploads = uploads
        self._settings = settings
        self._head = bytearray()
        self._received = 0
        self._receiver: Receiver | None = None
        self._incoming: Incoming | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file.

        Raises NoInstance, Unreadable, InvalidValue, LimitExceeded, OutOfResources.
        """
        self._received += len(chunk)
        if self._received > self._uploads.longest:
            raise too_large(self._uploads.longest)
        if self._incoming is not None:
            self._incoming.write(memoryview(chunk))
            return
        self._head += chunk
        if len(self._head) >= _PREAMBLE + 4:
            _check_prefix(self._head)
        try:
            identity = file_meta.identify(bytes(self._head[:_LONGEST_META]))
        except NeedMore:
            if len(self._head) >= _LONGEST_META:
                raise Unreadable("the File Meta Information is too long") from None
            return
        if identity.sop_class_uid == MEDIA_STORAGE_DIRECTORY_STORAGE:
            raise NoInstance("the file is a DICOMDIR, which lists instances and is none")
        if not is_received(self._settings.storage, identity.sop_class_uid):
            raise InvalidValue("the SOP Class of the file is none that is received")
        if identity.transfer_syntax_uid not in STORAGE_TRANSFER_SYNTAXES:
            raise InvalidValue("the transfer syntax of the file is none that media can have")
        self._receiver = self._uploads.take()
        self._incoming = self._receiver.open(
            sop_class_uid=identity.sop_class_uid,
            sop_instance_uid=identity.sop_instance_uid,
            transfer_syntax_uid=identity.transfer_syntax_uid,
            calling_ae_title=CALLING_AE_TITLE,
            called_ae_title=self._settings.dicom.ae_title,
        )
        self._incoming.write(memoryview(bytes(self._head[identity.data_set_offset :])))
        self._head.clear()

    def finish(self, actor: Actor) -> ReceivedUpload:
        """Receive the file: then it is in the spool, and has its row. Raises BurnishError.

        `actor` is who has uploaded it.
        """
        if self._receiver is None or self._incoming is None:
            _check_prefix(self._head)
            raise Unreadable("the file ends within its File Meta Information")
        incoming, self._incoming = self._incoming, None
        size = incoming.size
        self._receiver.accept(incoming)
        self._uploads.index(self._receiver)
        self._uploads.note(incoming.sop_instance_uid, actor)
        return ReceivedUpload(incoming.sop_instance_uid, incoming.sop_class_uid, size)

    def abandon(self) -> None:
        """Remove what was received of a file that did not arrive whole."""
        if self._incoming is not None:
            self._incoming.abandon()
            self._incoming = None
        if self._receiver is not None:
            self._receiver = None
            self._uploads.give_back()


async def receive_body(request: Request, uploads: Uploads, actor: Actor) -> ReceivedUpload:
    """Receive the file that is the body of a request; raises BurnishError.

    Raises ClientDisconnect if the sender goes away: then nothing of the file is kept. The rest of a
    file that is refused is read all the same: a browser shows an answer only after that.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > uploads.longest:
        raise too_large(uploads.longest)
    refusal: BurnishError | None = None
    with uploads.arriving() as upload:
        async for chunk in request.stream():
            if refusal is not None:
                continue
            try:
                await run_in_threadpool(upload.write, chunk)
            except LimitExceeded:
                raise
            except BurnishError as error:
                refusal = error
                await run_in_threadpool(upload.abandon)
        if refusal is not None:
            raise refusal
        return await run_in_threadpool(upload.finish, actor)


def too_large(longest: int) -> LimitExceeded:
    """The refusal of a file that is larger than the configuration permits."""
    return LimitExceeded(
        f"the file is larger than {longest / 10**9:g} GB",
        hint="send it by C-STORE, or have an administrator raise web.longest_upload",
    )


def _check_prefix(head: bytes | bytearray) -> None:
    if head[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        raise NoInstance("the file is not a DICOM file")
