"""Composition root: settings in, running roles out."""

import ctypes
import fcntl
import itertools
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from burnish.access.association_limits import AssociationLimits
from burnish.access.tls import client_context, server_context
from burnish.access.users import Users
from burnish.db import backup, schema
from burnish.db.session import Database
from burnish.db.wakeup import LOOK, Bell, Commits, rest
from burnish.errors import OperatorError
from burnish.memory import collect_seldom
from burnish.settings import Settings
from burnish.spool import Spool

if TYPE_CHECKING:
    from burnish.scp.ae import Listener

log = structlog.get_logger(__name__)

ROLES = ("receiver", "scheduler", "writer")
#: So many looks whether anything was committed for one whether a process has ended.
_LOOKS = 4
#: A process that ends by itself is started again, not more often than this, in seconds.
_RESTART_PAUSE = 1.0
_PR_SET_PDEATHSIG = 1
_LOST = (
    "check storage.root and database.url; or put a backup in its place with `burnish db restore"
    " FILE`; or have `burnish db recover` make a new one of the instances in the spool"
)


def configure_logging(settings: Settings) -> None:
    """Log lines go to standard error, as text or as one JSON object each."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.log.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.log.level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def keep_values_out_of_the_log() -> None:
    """Warnings of libraries show values of data sets, which may be a patient's."""
    warnings.simplefilter("ignore")
    sys.warnoptions.append("ignore")  # for the processes that are not forked


def keep_files_from_others() -> None:
    """What this process and its children write is for their user and group: it names patients."""
    os.umask(os.umask(0o077) | 0o007)


def prepare(settings: Settings) -> None:
    """Makes the storage root and brings the database up to date; raises OperatorError.

    A database that is damaged, or that is gone while the spool is not, is never silently begun
    anew.
    """
    try:
        settings.storage.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"storage.root {settings.storage.root}: {error.strerror}",
            hint="give the service a directory it can write to",
        ) from None
    check_database_file(settings)
    schema.upgrade(settings.database_url)


def check_database_file(settings: Settings) -> None:
    """Raises OperatorError where the database is damaged, or gone while the spool is not."""
    url = settings.database_url
    path = backup.file_of(url)
    if path is None:
        return
    if not backup.is_lost(url):
        backup.examine(path)
    elif next(open_spool(settings).published_keys(), None) is not None:
        raise OperatorError(f"the spool has instances, but there is no database {path}", hint=_LOST)


def open_database(settings: Settings) -> Database:
    durable = settings.storage.durability == "full"
    wait = settings.database.wait.total_seconds()
    return Database(settings.database_url, durable=durable, wait=wait)


def open_spool(settings: Settings) -> Spool:
    return Spool(
        settings.storage.root / "spool",
        durable=settings.storage.durability == "full",
        high_water=settings.storage.high_water,
        low_water=settings.storage.low_water,
    )


def check_network(settings: Settings) -> None:
    """Raises InvalidSettings where a certificate, a key or a passcode cannot be used."""
    Users(settings)
    if settings.tls.listens:
        server_context(settings.tls)
    if settings.tls.ca:
        client_context(settings.tls)


def lock(settings: Settings, name: str) -> int:
    """Takes a lock in the storage root for as long as the process lives; raises OperatorError."""
    settings.storage.root.mkdir(parents=True, exist_ok=True)
    path = settings.storage.root / f".{name}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OperatorError(
            f"another Burnish holds {path}", hint="stop it first, or use another storage.root"
        ) from None
    return descriptor


def run_receiver(
    settings: Settings,
    listeners: "tuple[Listener, ...]" = (),
    association_limits: AssociationLimits | None = None,
    number: int = 0,
) -> None:
    """The receiver role: the application entity on its ports, the one of that number of several."""
    from burnish.receive import Receiver
    from burnish.scp.ae import ApplicationEntity, listen

    database = open_database(settings)
    schema.check(database)
    spool = open_spool(settings)
    receiver = Receiver(database, spool)
    association_limits = association_limits or AssociationLimits(settings)
    association_limits.begin(number)
    own = listeners or listen(settings)
    entity = ApplicationEntity(
        settings, own, receiver, database, spool, association_limits=association_limits
    )
    _on_stop(entity.stop_accepting)
    signal.signal(signal.SIGHUP, lambda *_: entity.reload())
    entity.serve()
    for listener in own:
        listener.socket.close()
    entity.drain()
    database.close()


def run_scheduler(settings: Settings, bell: Bell | None = None) -> None:
    """The scheduler role: checks, planning, standing orders, reports, retention.

    `bell` rings when something was committed.
    """
    from burnish.schedule import Schedule
    from burnish.scp.event_reports import Reporter

    database = open_database(settings)
    schema.check(database)
    reporter = Reporter(settings, database)
    schedule = Schedule(settings, database, open_spool(settings), reporter.tick, bell)
    _on_stop(schedule.stopping.set, bell)
    schedule.run()
    reporter.close()
    database.close()


def run_writer(settings: Settings, device_name: str, bell: Bell | None = None) -> None:
    """The writer role of one device; `bell` rings when something was committed."""
    from burnish.write.worker import Worker

    devices = {device.name: device for device in settings.devices}
    if device_name not in devices:
        raise OperatorError(
            f"no device {device_name!r}", hint=f"configured are {', '.join(devices)}"
        )
    held = lock(settings, f"writer-{device_name}")
    database = open_database(settings)
    schema.check(database)
    worker = Worker(settings, devices[device_name], database, open_spool(settings))
    _on_stop(worker.stopping.set, bell)
    worker.run(bell)
    database.close()
    os.close(held)


def _on_stop(stop: Callable[[], None], bell: Bell | None = None) -> None:
    """SIGTERM and SIGINT stop a role, which may wait for `bell`; the supervisor sends them on."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()
        if bell is not None:
            bell.ring()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN if multiprocessing.parent_process() else handler)


@dataclass(eq=False, slots=True)
class _Child:
    """A role in a process of its own."""

    name: str
    run: Callable[[], None]
    bell: Bell | None = None
    process: BaseProcess | None = None
    started: float = field(default=0.0)


class Supervisor:
    """All roles on one machine: starts them, starts again what dies, stops them in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
        self._told = Bell()
        self._commits = Commits(settings.database_url)
        self._context = multiprocessing.get_context("fork")

    def run(self, ready: Callable[[int], None] | None = None) -> None:
        """Serves until SIGTERM or SIGINT. `ready` is told the port once it accepts associations."""
        # imported once here, the roles are there in every process that is forked
        import burnish.schedule
        import burnish.write.worker  # noqa: F401
        from burnish.scp.ae import listen

        held = lock(self._settings, "serve")
        spool = open_spool(self._settings)
        for leftover in spool.incoming.iterdir():
            leftover.unlink()
        check_network(self._settings)
        listeners = listen(self._settings)

        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping.set()
            self._told.ring()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        children = self._children(listeners)
        signal.signal(signal.SIGHUP, lambda *_: self._pass_on_reload(children))
        collect_seldom()
        for child in children:
            self._start(child)
        ports = {"tls_port" if each.tls else "port": each.port for each in listeners}
        log.info("ready", **ports, ae_title=self._settings.dicom.ae_title, pid=os.getpid())
        _notify("READY=1")
        if ready is not None:
            ready(listeners[0].port)
        self._look_after(children)
        _notify("STOPPING=1")
        for listener in listeners:
            listener.socket.close()
        self._stop(children)
        os.close(held)
        log.info("stopped")

    def _look_after(self, children: list[_Child]) -> None:
        """Until told to stop: starts again what died, and wakes who waits for a commit."""
        for look in itertools.cycle(range(_LOOKS)):
            rest(self._told, self._stopping, LOOK)
            if self._stopping.is_set():
                return
            if self._commits.changed():
                for child in children:
                    if child.bell is not None:
                        child.bell.ring()
            if not look:
                for child in children:
                    self._revive(child)

    def _children(self, listeners: "tuple[Listener, ...]") -> list[_Child]:
        settings = self._settings
        receivers = settings.dicom.receivers or os.cpu_count() or 1
        association_limits = AssociationLimits(settings, receivers)
        bells = [Bell() if self._commits.can_be_seen else None for _ in (0, *settings.devices)]
        return [
            _Child("scheduler", lambda: run_scheduler(settings, bells[0]), bells[0]),
            *(
                _Child(
                    f"writer {device.name}",
                    lambda name=device.name, bell=bell: run_writer(settings, name, bell),  # type: ignore[misc]
                    bell,
                )
                for device, bell in zip(settings.devices, bells[1:], strict=True)
            ),
            *(
                _Child(
                    f"receiver {number + 1}",
                    lambda number=number: run_receiver(
                        settings, listeners, association_limits, number
                    ),  # type: ignore[misc]
                )
                for number in range(receivers)
            ),
        ]

    def _start(self, child: _Child) -> None:
        child.process = self._context.Process(target=_become, args=(child,), name=child.name)
        stops = {signal.SIGTERM, signal.SIGINT}
        # until the child has handlers of its own, it must not take a signal for its supervisor's
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        try:
            child.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, stops)
        child.started = time.monotonic()

    def _revive(self, child: _Child) -> None:
        process = child.process
        if process is None or process.is_alive():
            return
        if time.monotonic() - child.started < _RESTART_PAUSE:
            return
        log.error("a process ended by itself", role=child.name, exit_code=process.exitcode)
        self._start(child)

    def _pass_on_reload(self, children: list[_Child]) -> None:
        for child in children:
            process = child.process
            if child.name.startswith("receiver ") and process and process.pid:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGHUP)

    def _stop(self, children: list[_Child]) -> None:
        """Receivers drain first in effect: all are told at once, and each ends its own work."""
        for child in children:
            if child.process is not None and child.process.is_alive():
                child.process.terminate()
        deadline = time.monotonic() + self._settings.dicom.drain_timeout.total_seconds() + 60
        for child in children:
            if child.process is None:
                continue
            child.process.join(max(0.0, deadline - time.monotonic()))
            if child.process.is_alive():
                log.error("a process does not stop and is killed", role=child.name)
                child.process.kill()
                child.process.join()


def _become(child: _Child) -> None:
    """What a new process does first: it ends with its supervisor, however that one ends."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return
    threading.current_thread().name = child.name
    try:
        child.run()
    except OperatorError as error:
        log.error("cannot run", role=child.name, why=str(error), remedy=error.hint)
        sys.exit(1)


def _notify(state: str) -> None:
    """Tells systemd, where it started us with Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        notify.sendall(state.encode())
