"""Surface: the application entity: its port, its associations, and which service answers what."""

import socket
import threading
from contextlib import suppress
from time import monotonic

import structlog

from burnish.db.session import Database
from burnish.receive import Receiver
from burnish.scp import messages, statuses
from burnish.scp.media_creation import MediaCreation
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context, Negotiator, Rejection
from burnish.scp.storage import StoreOperation
from burnish.scp.storage_commitment import StorageCommitment
from burnish.scp.upper_layer import Association, Collected, DataSetSink
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import (
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    VERIFICATION,
)

log = structlog.get_logger(__name__)

_BACKLOG = 1024
#: At a shutdown, an association that has been silent for so long is ended, in seconds.
_QUIET = 1.0
_BUSY = Rejection(2, 3, 2, "local limit exceeded")


def _refuse(connection: socket.socket) -> None:
    """Rejects, and reads what the peer has sent: closing with bytes unread would take it back."""
    with connection, suppress(OSError):
        connection.settimeout(1.0)
        connection.sendall(_BUSY.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that several processes may share."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(_BACKLOG)
    return listening


class ApplicationEntity:
    """SCP of Verification, Storage, Media Creation and Storage Commitment under one AE title."""

    def __init__(
        self,
        settings: Settings,
        listening: socket.socket,
        receiver: Receiver,
        database: Database,
        spool: Spool,
    ) -> None:
        self._settings = settings.dicom
        self._listening = listening
        self._receiver = receiver
        self._media_creation = MediaCreation(settings, database)
        self._storage_commitment = StorageCommitment(settings, database, spool)
        self._negotiator = Negotiator(settings)
        self._associations: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()

    def serve(self) -> None:
        """Accepts associations until `drain` is called from another thread or a signal handler."""
        self._listening.settimeout(0.5)
        while not self._draining.is_set():
            try:
                connection, _address = self._listening.accept()
            except TimeoutError:
                continue
            except OSError as error:
                if self._draining.is_set():
                    break
                log.error("cannot accept a connection", error=error.strerror)
                self._draining.wait(0.1)
                continue
            connection.setblocking(True)
            self._begin(connection)

    def stop_accepting(self) -> None:
        self._draining.set()

    def drain(self) -> None:
        """Lets the associations end: silent ones at once, busy ones within the drain time-out."""
        deadline = monotonic() + self._settings.drain_timeout.total_seconds()
        while threads := self._running():
            now = monotonic()
            for association in threads:
                silent = not association.busy and now - association.last_heard > _QUIET
                if silent or now > deadline:
                    association.end()
            next(iter(threads.values())).join(timeout=0.1)
            if now > deadline + 5:
                break

    def _running(self) -> dict[Association, threading.Thread]:
        with self._lock:
            return dict(self._associations)

    def _begin(self, connection: socket.socket) -> None:
        with self._lock:
            full = len(self._associations) >= self._settings.maximum_associations
        if full:
            log.warning("association refused", why=_BUSY.why)
            threading.Thread(target=_refuse, args=(connection,), daemon=True).start()
            return
        association = Association(
            connection,
            self._negotiator,
            self._dispatch,
            acse_timeout=self._settings.acse_timeout.total_seconds(),
            idle_timeout=self._settings.idle_timeout.total_seconds(),
        )
        thread = threading.Thread(target=self._run, args=(association,), daemon=True)
        with self._lock:
            self._associations[association] = thread
        thread.start()

    def _run(self, association: Association) -> None:
        outcome = "failed"
        try:
            outcome = association.serve()
        except Exception:
            log.exception("an association ended by a defect")
        finally:
            with self._lock:
                self._associations.pop(association, None)
            log.info(
                "association ended",
                how=outcome,
                calling_ae_title=association.calling_ae_title,
                messages=association.messages,
            )

    def _dispatch(
        self, association: Acceptance, context_id: int, context: Context, command: Command
    ) -> DataSetSink:
        kind = command.number(messages.COMMAND_FIELD)
        if kind == messages.C_STORE_RQ and context.storage:
            return StoreOperation(self._receiver, association, context_id, context, command)
        if context.abstract_syntax == MEDIA_CREATION_MANAGEMENT and kind != messages.C_STORE_RQ:
            return Collected(
                lambda data: self._media_creation.answer(
                    association, context_id, context, command, data
                )
            )
        if context.abstract_syntax == STORAGE_COMMITMENT_PUSH_MODEL and kind != messages.C_STORE_RQ:
            return self._committing(association, context_id, context, command)
        status = statuses.UNRECOGNIZED_OPERATION
        if kind == messages.C_ECHO_RQ and context.abstract_syntax == VERIFICATION:
            status = statuses.SUCCESS
        answer = messages.response(command, status)
        return Collected(
            lambda _data: messages.p_data(context_id, answer, b"", association.maximum_length)
        )

    def _committing(
        self, association: Acceptance, context_id: int, context: Context, command: Command
    ) -> Collected:
        def answer(data: bytes) -> bytes:
            response, sink.follow_up = self._storage_commitment.answer(
                association, context_id, context, command, data
            )
            return response

        sink = Collected(answer)
        return sink
