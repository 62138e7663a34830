"""Surface: the application entity: its ports, its associations, and which service answers what."""

import selectors
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from time import monotonic

import structlog

from burnish.access.association_limits import AssociationLimits
from burnish.access.log_throttle import LogThrottle
from burnish.access.peers import Caller
from burnish.access.tls import server_context
from burnish.db.session import Database
from burnish.errors import InvalidSettings, OperatorError
from burnish.memory import give_back
from burnish.receive import Receiver
from burnish.scp import messages, statuses
from burnish.scp.media_creation import MediaCreation
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context, Negotiator, Rejection
from burnish.scp.storage import StoreOperation
from burnish.scp.storage_commitment import StorageCommitment
from burnish.scp.upper_layer import Association, Collected, DataSetSink, RefusedError
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


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket that several processes may share."""

    socket: socket.socket
    tls: bool

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


def listen(settings: Settings) -> tuple[Listener, ...]:
    """The plain port and that of TLS, as configured; raises OperatorError."""
    wanted = []
    if not settings.tls.only:
        wanted.append(("dicom.port", settings.dicom.port, False))
    if settings.tls.listens:
        wanted.append(("tls.port", settings.tls.port, True))
    found: list[Listener] = []
    for key, port, tls in wanted:
        try:
            found.append(Listener(_listen(settings.dicom.host, port), tls))
        except OSError as error:
            for listener in found:
                listener.socket.close()
            raise OperatorError(
                f"{key} {port} cannot be used: {error.strerror}",
                hint="stop what listens there, or choose another dicom.host or port",
            ) from None
    return tuple(found)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


class ApplicationEntity:
    """SCP of Verification, Storage, Media Creation and Storage Commitment under one AE title."""

    def __init__(
        self,
        settings: Settings,
        listeners: tuple[Listener, ...],
        receiver: Receiver,
        database: Database,
        spool: Spool,
        *,
        association_limits: AssociationLimits,
    ) -> None:
        self._settings = settings
        self._listeners = listeners
        self._receiver = receiver
        self._media_creation = MediaCreation(settings, database)
        self._storage_commitment = StorageCommitment(settings, database, spool)
        self._negotiator = Negotiator(settings)
        self._association_limits = association_limits
        self._tls = server_context(settings.tls) if settings.tls.listens else None
        self._log_throttle = LogThrottle()
        self._associations: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()

    def serve(self) -> None:
        """Accepts associations until `stop_accepting` is called, by a signal handler perhaps."""
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            while not self._draining.is_set():
                for key, _ in selector.select(0.5):
                    self._accept(key.data)
                give_back()

    def stop_accepting(self) -> None:
        self._draining.set()

    def reload(self) -> None:
        """Reads the files of TLS again, for the associations to come; bad ones change nothing."""
        if self._tls is None:
            return
        try:
            self._tls = server_context(self._settings.tls)
            log.info("certificates read again")
        except InvalidSettings as error:
            log.error("certificates stay as they were", why=str(error), remedy=error.hint)

    def drain(self) -> None:
        """Lets the associations end: silent ones at once, busy ones within the drain time-out."""
        deadline = monotonic() + self._settings.dicom.drain_timeout.total_seconds()
        while threads := self._running():
            now = monotonic()
            for association in threads:
                idle = association.is_half_open or not association.busy
                if (idle and now - association.last_heard > _QUIET) or now > deadline:
                    association.end()
            next(iter(threads.values())).join(timeout=0.1)
            if now > deadline + 5:
                break

    def _running(self) -> dict[Association, threading.Thread]:
        with self._lock:
            return dict(self._associations)

    def _accept(self, listener: Listener) -> None:
        try:
            connection, address = listener.socket.accept()
        except BlockingIOError:
            return  # another receiver was quicker
        except OSError as error:
            self._log_throttle.warn("cannot accept a connection", why=error.strerror or str(error))
            self._draining.wait(0.1)
            return
        connection.setblocking(True)
        try:
            self._begin(connection, Caller(address[0], tls=listener.tls))
        except (OSError, RuntimeError) as error:  # no thread, or the peer is gone already
            self._log_throttle.warn("connection refused", why=str(error), address=address[0])
            connection.close()

    def _begin(self, connection: socket.socket, caller: Caller) -> None:
        dicom = self._settings.dicom
        association = Association(
            connection,
            caller,
            self._answer,
            self._dispatch,
            acse_timeout=dicom.acse_timeout.total_seconds(),
            idle_timeout=dicom.idle_timeout.total_seconds(),
            tls=self._tls if caller.tls else None,
        )
        thread = threading.Thread(target=self._run, args=(association,), daemon=True)
        self._make_room()
        with self._lock:
            self._associations[association] = thread
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._associations[association]
            raise

    def _make_room(self) -> None:
        """Closes the oldest connection without an association, where there are too many of them.

        It is one of the address that has most: who opens many and says nothing closes its own.
        """
        with self._lock:
            if len(self._associations) < self._settings.dicom.maximum_half_open:
                return
            waiting = [each for each in self._associations if each.is_half_open]
        if len(waiting) < self._settings.dicom.maximum_half_open:
            return
        [(address, _)] = Counter(each.caller.address for each in waiting).most_common(1)
        oldest = next(each for each in waiting if each.caller.address == address)
        oldest.end("too many connections that have no association yet")

    def _answer(self, pdu: bytes, caller: Caller) -> Acceptance | Rejection:
        answer = self._negotiator.answer(pdu, caller)
        if isinstance(answer, Acceptance) and self._draining.is_set():
            return Rejection(2, 3, 1, "temporary congestion: the service is stopping")
        if isinstance(answer, Acceptance) and (
            full := self._association_limits.acquire(answer.calling_ae_title)
        ):
            return Rejection(2, 3, 2, f"local limit exceeded: {full}")
        return answer

    def _run(self, association: Association) -> None:
        outcome, seated = "failed", True

        def stand_up() -> None:
            nonlocal seated
            if seated and association.accepted is not None:
                seated = False
                self._association_limits.release(association.accepted.calling_ae_title)

        association.before_release = stand_up
        try:
            outcome = association.serve()
        except RefusedError as refused:
            self._tell_refusal("association refused", str(refused), association)
        except Exception:
            log.exception("an association ended by a defect")
        finally:
            try:
                stand_up()
                self._tell_how(association, outcome)
            finally:  # last of all: who drains waits for what is in here, then the process ends
                with self._lock:
                    self._associations.pop(association, None)

    def _tell_how(self, association: Association, outcome: str) -> None:
        if association.accepted is not None:
            self._tell_end(association, outcome)
        elif outcome != "failed":
            self._tell_refusal("connection without an association", outcome, association)

    def _tell_refusal(self, event: str, why: str, association: Association) -> None:
        caller = association.caller
        who = {"address": caller.address, "calling_ae_title": association.calling_ae_title}
        if caller.certificate is not None:
            who["certificate"] = caller.certificate.subject
        self._log_throttle.warn(event, why=why, **who)

    def _tell_end(self, association: Association, outcome: str) -> None:
        got = association.accepted
        assert got is not None  # noqa: S101
        said = {"user": got.user, "not_accepted": got.not_accepted}
        log.info(
            "association ended",
            how=outcome,
            calling_ae_title=association.calling_ae_title,
            address=association.caller.address,
            messages=association.messages,
            **{name: text for name, text in said.items() if text},
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
