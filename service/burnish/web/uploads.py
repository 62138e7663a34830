"""Surface: files that people and programs upload, received by the rules of C-STORE."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from burnish import file_meta
from burnish.access.storage_classes import STORAGE_TRANSFER_SYNTAXES, is_received
from burnish.db.session import Database
from burnish.dicom_elements import NeedMore
from burnish.errors import InvalidValue, Unreadable
from burnish.receive import Incoming, Receiver
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.values import WholeInstance

#: Uploaded instances have this as their calling AE title.
CALLING_AE_TITLE = "WEB"
#: The most bytes of a file before its data set.
_LONGEST_META = 64 * 1024
#: Seconds without an upload after which the segment of the spool is sealed.
_IDLE = 30.0


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """What was received. `size` is that of the data set in bytes."""

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
        self._timer: threading.Timer | None = None

    def begin(self) -> "Upload":
        """Begin an upload; `abandon` or `finish` ends it."""
        return Upload(self, self._settings)

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
        self._receiver: Receiver | None = None
        self._incoming: Incoming | None = None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the file. Raises Unreadable, InvalidValue, OutOfResources."""
        if self._incoming is not None:
            self._incoming.write(memoryview(chunk))
            return
        self._head += chunk
        try:
            identity = file_meta.identify(bytes(self._head[:_LONGEST_META]))
        except NeedMore:
            if len(self._head) >= _LONGEST_META:
                raise Unreadable("the File Meta Information is too long") from None
            return
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

    def finish(self) -> ReceivedUpload:
        """Receive the file: then it is in the spool, and has its row. Raises BurnishError."""
        if self._receiver is None or self._incoming is None:
            raise Unreadable("the file is not a whole DICOM file")
        incoming, self._incoming = self._incoming, None
        size = incoming.size
        self._receiver.accept(incoming)
        self._uploads.index(self._receiver)
        return ReceivedUpload(incoming.sop_instance_uid, incoming.sop_class_uid, size)

    def abandon(self) -> None:
        """Remove what was received of a file that did not arrive whole."""
        if self._incoming is not None:
            self._incoming.abandon()
            self._incoming = None
        if self._receiver is not None:
            self._receiver = None
            self._uploads.give_back()
