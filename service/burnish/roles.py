"""What each role of the service runs, and what must be ready before it can run."""

import fcntl
import logging
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

import structlog

from burnish.access.association_limits import AssociationLimits
from burnish.access.tls import client_context, server_context
from burnish.access.users import Users
from burnish.db import backup, schema
from burnish.db.session import Database
from burnish.errors import OperatorError
from burnish.settings import Settings
from burnish.spool import Spool

if TYPE_CHECKING:
    from burnish.scp.ae import Listener

_DATABASE_LOST = (
    "check storage.root and database.url; or restore a backup with `burnish db restore FILE`;"
    " or rebuild the database from the instances in the spool with `burnish db recover`"
)


def configure_logging(settings: Settings) -> None:
    """Log to standard error, as text or as one JSON object for each line."""
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


def hide_library_warnings() -> None:
    """Suppress the warnings of libraries: they quote values of data sets, and so patient data."""
    warnings.simplefilter("ignore")
    sys.warnoptions.append("ignore")  # for child processes that are not forked


def restrict_file_permissions() -> None:
    """Let only the service's user and group read the files of this process and its children."""
    os.umask(os.umask(0o077) | 0o007)


def prepare(settings: Settings) -> None:
    """Make the storage root and bring the database up to date; raises OperatorError.

    A damaged database is not replaced, nor is a missing one while the spool has instances: an
    operator has to decide what to do.
    """
    try:
        settings.storage.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"storage.root {settings.storage.root}: {error.strerror}",
            hint="give the service a directory that it can write to",
        ) from None
    check_database_file(settings)
    schema.upgrade(settings.database_url)


def check_database_file(settings: Settings) -> None:
    """Raise OperatorError if the database is damaged, or missing while the spool has instances."""
    url = settings.database_url
    path = backup.file_of(url)
    if path is None:
        return
    if not backup.is_lost(url):
        backup.check_pages(path)
    elif next(open_spool(settings).published_keys(), None) is not None:
        raise OperatorError(
            f"the spool has instances, but there is no database {path}", hint=_DATABASE_LOST
        )


def open_database(settings: Settings) -> Database:
    """The database as the settings describe it."""
    return Database(
        settings.database_url,
        durable=settings.storage.durability == "full",
        wait=settings.database.wait.total_seconds(),
    )


def open_spool(settings: Settings) -> Spool:
    """The spool as the settings describe it."""
    return Spool(
        settings.storage.root / "spool",
        durable=settings.storage.durability == "full",
        high_water=settings.storage.high_water,
        low_water=settings.storage.low_water,
    )


def check_network(settings: Settings) -> None:
    """Raise InvalidSettings if a certificate, a key or a passcode cannot be used."""
    Users(settings)
    if settings.tls.listens:
        server_context(settings.tls)
    if settings.tls.ca:
        client_context(settings.tls)


def lock(settings: Settings, name: str) -> int:
    """Lock `.NAME.lock` in the storage root for as long as the returned descriptor is open.

    Raises OperatorError if another process holds the lock.
    """
    settings.storage.root.mkdir(parents=True, exist_ok=True)
    path = settings.storage.root / f".{name}.lock"
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OperatorError(
            f"another Burnish process holds {path}",
            hint="stop it first, or use another storage.root",
        ) from None
    return descriptor


def run_receiver(
    settings: Settings,
    listeners: "tuple[Listener, ...]" = (),
    association_limits: AssociationLimits | None = None,
    number: int = 0,
) -> None:
    """The receiver role: accept associations until told to stop.

    The supervisor runs several, which share its listeners and limits; each has its own `number`.
    """
    from burnish.receive import Receiver
    from burnish.scp.ae import ApplicationEntity, listen

    database = open_database(settings)
    schema.check(database)
    spool = open_spool(settings)
    receiver = Receiver(database, spool, same_uid=settings.storage.same_uid)
    association_limits = association_limits or AssociationLimits(settings)
    association_limits.begin(number)
    listeners = listeners or listen(settings)
    entity = ApplicationEntity(
        settings, listeners, receiver, database, spool, association_limits=association_limits
    )
    _on_stop(entity.stop_accepting)
    signal.signal(signal.SIGHUP, lambda *_: entity.reload())
    entity.serve()
    for listener in listeners:
        listener.socket.close()
    entity.drain()
    database.close()


def run_scheduler(settings: Settings) -> None:
    """The scheduler role: admission, planning, standing orders, reports and retention."""
    from burnish.schedule import Schedule
    from burnish.scp.event_reports import Reporter

    database = open_database(settings)
    schema.check(database)
    reporter = Reporter(settings, database)
    schedule = Schedule(settings, database, open_spool(settings), reporter.tick)
    _on_stop(schedule.stopping.set)
    schedule.run()
    reporter.close()
    database.close()


def run_writer(settings: Settings, device_name: str) -> None:
    """The writer role: make the media of one device; raises OperatorError if it has a writer."""
    from burnish.write.worker import Worker

    devices = {device.name: device for device in settings.devices}
    if device_name not in devices:
        raise OperatorError(
            f"no device {device_name!r}", hint=f"configured are {', '.join(devices)}"
        )
    lock_descriptor = lock(settings, f"writer-{device_name}")
    database = open_database(settings)
    schema.check(database)
    worker = Worker(settings, devices[device_name], database, open_spool(settings))
    _on_stop(worker.stopping.set)
    worker.run()
    database.close()
    os.close(lock_descriptor)


def _on_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT call `stop`.

    A child of the supervisor ignores SIGINT, which a terminal sends to all processes at once: the
    supervisor then sends SIGTERM to each child.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN if multiprocessing.parent_process() else handler)
