"""Surface: the application entity: its ports, its associations, and the service of each message."""

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
from burnish.memory import release_memory
from burnish.receive import Receiver
from burnish.scp import messages, statuses
from burnish.scp.media_creation import MediaCreationSCP
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context, Negotiator, Rejection
from burnish.scp.processors import Processors
from burnish.scp.storage import StoreOperation
from burnish.scp.storage_commitment import StorageCommitmentSCP
from burnish.scp.traffic import Traffic
from burnish.scp.upper_layer import (
    ASSOCIATION_REJECTED,
    Association,
    CollectedDataSet,
    DataSetSink,
    NotEstablishedError,
)
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.vocabulary import (
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    VERIFICATION,
)

log = structlog.get_logger(__name__)

_BACKLOG = 1024
#: Seconds for which a receiver leaves a connection to those that have fewer. Whoever sees it first
#: would take it: of eight associations, one of two receivers had six in a fifth of all cases.
_OTHERS_FIRST = 0.002
#: At shutdown, an idle association is ended after this many seconds of silence.
_SILENCE_AT_SHUTDOWN = 1.0
#: Seconds that associations have to end after the drain time-out has ended them.
_AFTER_DRAIN_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, which several receiver processes may share."""

    socket: socket.socket
    tls: bool

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])


def listen(settings: Settings) -> tuple[Listener, ...]:
    """Listens on the configured ports, without TLS and with it; raises OperatorError."""
    ports = []
    if not settings.tls.only:
        ports.append(("dicom.port", settings.dicom.port, False))
    if settings.tls.listens:
        ports.append(("tls.port", settings.tls.port, True))
    listeners: list[Listener] = []
    for key, port, tls in ports:
        try:
            listeners.append(Listener(_listen(settings.dicom.host, port), tls))
        except OSError as error:
            for listener in listeners:
                listener.socket.close()
            raise OperatorError(
                f"{key} {port} cannot be used: {error.strerror}",
                hint="stop the program that listens there, or change dicom.host or the port",
            ) from None
    return tuple(listeners)


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
    """The SCP of Verification, Storage, Media Creation Management and Storage Commitment."""

    def __init__(
        self,
        settings: Settings,
        listeners: tuple[Listener, ...],
        receiver: Receiver,
        database: Database,
        spool: Spool,
        *,
        association_limits: AssociationLimits,
        traffic: Traffic | None = None,
        processors: Processors | None = None,
    ) -> None:
        self._settings = settings
        self._processors = processors
        self._traffic = traffic or Traffic(settings)
        self._listeners = listeners
        self._receiver = receiver
        self._media_creation = MediaCreationSCP(settings, database)
        self._storage_commitment = StorageCommitmentSCP(settings, database, spool)
        self._negotiator = Negotiator(settings)
        self._association_limits = association_limits
        self._tls = server_context(settings.tls) if settings.tls.listens else None
        self._log_throttle = LogThrottle()
        self._associations: dict[Association, threading.Thread] = {}
        self._lock = threading.Lock()
        self._draining = threading.Event()

    def serve(self) -> None:
        """Accepts connections until `stop_accepting` is called."""
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener.socket, selectors.EVENT_READ, listener)
            while not self._draining.is_set():
                for key, _ in selector.select(0.5):
                    self._accept(key.data)
                self._choose_processors()
                release_memory()

    def stop_accepting(self) -> None:
        """Makes `serve` return. May be called by a signal handler."""
        self._draining.set()

    def reload(self) -> None:
        """Reads the TLS files again, for new associations. If they are bad, nothing changes."""
        if self._tls is None:
            return
        try:
            self._tls = server_context(self._settings.tls)
            log.info("TLS certificates reloaded")
        except InvalidSettings as error:
            log.error("TLS certificates not reloaded", why=str(error), remedy=error.hint)

    def drain(self) -> None:
        """Waits for the associations to end: idle ones at once, others until the drain time-out."""
        deadline = monotonic() + self._settings.dicom.drain_timeout.total_seconds()
        while threads := self._running():
            now = monotonic()
            for association in threads:
                is_idle = association.is_half_open or not association.busy
                is_silent = now - association.last_heard > _SILENCE_AT_SHUTDOWN
                if (is_idle and is_silent) or now > deadline:
                    association.end()
            next(iter(threads.values())).join(timeout=0.1)
            if now > deadline + _AFTER_DRAIN_TIMEOUT:
                break

    def _running(self) -> dict[Association, threading.Thread]:
        with self._lock:
            return dict(self._associations)

    # --- connections ---

    def _accept(self, listener: Listener) -> None:
        if self._association_limits.has_more_connections:
            self._draining.wait(_OTHERS_FIRST)
        try:
            connection, address = listener.socket.accept()
        except BlockingIOError:
            return  # another receiver was quicker
        except OSError as error:
            reason = error.strerror or str(error)
            self._log_throttle.warn("connection not accepted", why=reason)
            self._draining.wait(0.1)
            return
        connection.setblocking(True)
        try:
            self._start_association(connection, Caller(address[0], tls=listener.tls))
        except (OSError, RuntimeError) as error:  # no thread, or the peer has gone already
            self._log_throttle.warn("connection not accepted", why=str(error), address=address[0])
            connection.close()

    def _start_association(self, connection: socket.socket, caller: Caller) -> None:
        dicom = self._settings.dicom
        association = Association(
            connection,
            caller,
            self._negotiate,
            self._dispatch,
            acse_timeout=dicom.acse_timeout.total_seconds(),
            idle_timeout=dicom.idle_timeout.total_seconds(),
            tls=self._tls if caller.tls else None,
        )
        thread = threading.Thread(target=self._serve, args=(association,), daemon=True)
        self._evict_half_open()
        with self._lock:
            self._associations[association] = thread
        self._association_limits.count_connection(1)
        try:
            thread.start()
        except RuntimeError:
            self._association_limits.count_connection(-1)
            with self._lock:
                del self._associations[association]
            raise

    def _evict_half_open(self) -> None:
        """Above the limit, evicts the oldest half-open connection of the busiest address.

        So an address that opens many connections loses its own, not those of others.
        """
        maximum = self._settings.dicom.maximum_half_open
        with self._lock:
            if len(self._associations) < maximum:
                return
            half_open = [
                association for association in self._associations if association.is_half_open
            ]
        if len(half_open) < maximum:
            return
        counts = Counter(association.caller.address for association in half_open)
        busiest_address, _ = counts.most_common(1)[0]
        for association in half_open:  # the oldest comes first
            if association.caller.address == busiest_address:
                association.end("too many connections without an association")
                return

    # --- associations ---

    def _negotiate(self, body: bytes, caller: Caller) -> Acceptance | Rejection:
        answer = self._admit(body, caller)
        if isinstance(answer, Rejection):
            self._traffic.rejected(answer, body, caller)
        else:
            self._traffic.accepted(answer, caller)
        return answer

    def _admit(self, body: bytes, caller: Caller) -> Acceptance | Rejection:
        answer = self._negotiator.answer(body, caller)
        if isinstance(answer, Rejection):
            return answer
        if self._draining.is_set():
            return Rejection.of_congestion("the service is stopping")
        exceeded_limit = self._association_limits.acquire(answer.calling_ae_title, caller.address)
        if exceeded_limit:
            return Rejection.of_limit(exceeded_limit)
        self._choose_processors()
        return answer

    def _choose_processors(self) -> None:
        if self._processors is not None:
            self._processors.choose(self._association_limits.in_use)

    def _serve(self, association: Association) -> None:
        """Serves one association in its thread."""
        is_counted = True

        def release_limit() -> None:
            nonlocal is_counted
            if is_counted and association.accepted is not None:
                is_counted = False
                self._association_limits.release(
                    association.accepted.calling_ae_title, association.caller.address
                )

        association.before_release = release_limit
        outcome = "failed"
        try:
            outcome = association.serve()
        except NotEstablishedError as error:
            self._warn(error.event, str(error), association)
            if error.event != ASSOCIATION_REJECTED:
                self._note_failure(association, str(error))
        except Exception:
            log.exception("association ended by a defect")
        finally:
            try:
                release_limit()
                self._log_end(association, outcome)
            finally:
                self._association_limits.count_connection(-1)
                self._choose_processors()
                # Last: `drain` waits for this, and then the process ends.
                with self._lock:
                    self._associations.pop(association, None)

    def _log_end(self, association: Association, outcome: str) -> None:
        accepted = association.accepted
        if accepted is None:
            if outcome != "failed":
                self._warn("connection without an association", outcome, association)
                self._note_failure(association, outcome)
            return
        self._traffic.ended(accepted, association.caller, outcome, association.messages)
        details = {"user": accepted.user, "not_accepted": accepted.not_accepted}
        log.info(
            "association ended",
            how=outcome,
            calling_ae_title=association.calling_ae_title,
            address=association.caller.address,
            messages=association.messages,
            **{key: value for key, value in details.items() if value},
        )

    def _note_failure(self, association: Association, why: str) -> None:
        self._traffic.not_established(association.calling_ae_title, association.caller, why)

    def _warn(self, event: str, why: str, association: Association) -> None:
        caller = association.caller
        peer = {"address": caller.address, "calling_ae_title": association.calling_ae_title}
        if caller.certificate is not None:
            peer["certificate"] = caller.certificate.subject
        self._log_throttle.warn(event, why=why, **peer)

    # --- messages ---

    def _dispatch(
        self, association: Acceptance, context_id: int, context: Context, command: Command
    ) -> DataSetSink:
        """The sink of a request, which responds to it."""
        command_field = command.number(messages.COMMAND_FIELD)
        if command_field == messages.C_STORE_RQ and context.storage:
            return StoreOperation(
                self._receiver, association, context_id, context, command, traffic=self._traffic
            )
        if command_field != messages.C_STORE_RQ:
            if context.abstract_syntax == MEDIA_CREATION_MANAGEMENT:
                return CollectedDataSet(
                    lambda data: self._media_creation.answer(
                        association, context_id, context, command, data
                    )
                )
            if context.abstract_syntax == STORAGE_COMMITMENT_PUSH_MODEL:
                return self._commit(association, context_id, context, command)
        is_echo = command_field == messages.C_ECHO_RQ and context.abstract_syntax == VERIFICATION
        status = statuses.SUCCESS if is_echo else statuses.UNRECOGNIZED_OPERATION
        response = messages.response(command, status)
        return CollectedDataSet(
            lambda _data: messages.p_data(context_id, response, b"", association.maximum_length)
        )

    def _commit(
        self, association: Acceptance, context_id: int, context: Context, command: Command
    ) -> CollectedDataSet:
        def respond(data: bytes) -> bytes:
            response, sink.pending_report = self._storage_commitment.answer(
                association, context_id, context, command, data
            )
            return response

        sink = CollectedDataSet(respond)
        return sink
