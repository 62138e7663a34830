"""Composition root: settings in, running roles out."""

import ctypes
import fcntl
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from burnish.db import backup, schema
from burnish.db.session import Database
from burnish.errors import OperatorError
from burnish.settings import Settings
from burnish.spool import Spool

log = structlog.get_logger(__name__)

ROLES = ("receiver", "scheduler", "writer")
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
    return Database(settings.database_url, durable=settings.storage.durability == "full")


def open_spool(settings: Settings) -> Spool:
    return Spool(
        settings.storage.root / "spool",
        durable=settings.storage.durability == "full",
        high_water=settings.storage.high_water,
        low_water=settings.storage.low_water,
    )


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


def run_receiver(settings: Settings, listening: socket.socket | None = None) -> None:
    """The receiver role: the application entity on its port."""
    from burnish.receive import Receiver
    from burnish.scp.ae import ApplicationEntity, listen

    database = open_database(settings)
    schema.check(database)
    receiver = Receiver(database, open_spool(settings))
    own = listening or listen(settings.dicom.host, settings.dicom.port)
    entity = ApplicationEntity(settings, own, receiver, database)
    _on_stop(entity.stop_accepting)
    entity.serve()
    own.close()
    entity.drain()
    database.close()


def run_scheduler(settings: Settings) -> None:
    """The scheduler role: checks, planning, standing orders, retention."""
    from burnish.schedule import Schedule

    database = open_database(settings)
    schema.check(database)
    schedule = Schedule(settings, database, open_spool(settings))
    _on_stop(schedule.stopping.set)
    schedule.run()
    database.close()


def run_writer(settings: Settings, device_name: str) -> None:
    """The writer role of one device."""
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
    _on_stop(worker.stopping.set)
    worker.run()
    database.close()
    os.close(held)


def _on_stop(stop: Callable[[], None]) -> None:
    """SIGTERM and SIGINT stop a role; the supervisor sends them on."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN if multiprocessing.parent_process() else handler)


@dataclass(eq=False, slots=True)
class _Child:
    """A role in a process of its own."""

    name: str
    run: Callable[[], None]
    process: BaseProcess | None = None
    started: float = field(default=0.0)


class Supervisor:
    """All roles on one machine: starts them, starts again what dies, stops them in order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = threading.Event()
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
        try:
            listening = listen(self._settings.dicom.host, self._settings.dicom.port)
        except OSError as error:
            raise OperatorError(
                f"dicom.port {self._settings.dicom.port} cannot be used: {error.strerror}",
                hint="stop what listens there, or choose another dicom.host or dicom.port",
            ) from None
        port = int(listening.getsockname()[1])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        children = self._children(listening)
        # what is here stays, and need not be copied to be looked at by each process's collector,
        # which would go through a large request's rows again and again while they are read
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        for child in children:
            self._start(child)
        log.info("ready", port=port, ae_title=self._settings.dicom.ae_title, pid=os.getpid())
        _notify("READY=1")
        if ready is not None:
            ready(port)
        while not self._stopping.wait(0.2):
            for child in children:
                self._revive(child)
        _notify("STOPPING=1")
        listening.close()
        self._stop(children)
        os.close(held)
        log.info("stopped")

    def _children(self, listening: socket.socket) -> list[_Child]:
        settings = self._settings
        receivers = settings.dicom.receivers or os.cpu_count() or 1
        return [
            _Child("scheduler", lambda: run_scheduler(settings)),
            *(
                _Child(f"writer {device.name}", lambda name=device.name: run_writer(settings, name))  # type: ignore[misc]
                for device in settings.devices
            ),
            *(
                _Child(f"receiver {number}", lambda: run_receiver(settings, listening))
                for number in range(1, receivers + 1)
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
