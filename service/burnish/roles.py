"""Process: receiver, scheduler, writers and web: what each runs, after which checks."""

import fcntl
import logging
import math
import multiprocessing
import os
import signal
import ssl
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import structlog

from burnish import (
    accounts,
    compaction,
    file_access,
    notify,
    recovery,
    retention,
    service_lock,
    storage_register,
)
from burnish.access.association_limits import AssociationLimits
from burnish.access.tls import client_context, server_context
from burnish.access.users import Users
from burnish.burn.burner import BurnResult
from burnish.burn.presence import missing
from burnish.counters import COUNTERS_FOLDER, Counters
from burnish.db import backup, identity, instance_count, schema, signs_of_life
from burnish.db.session import Database
from burnish.errors import BurnishError, InvalidSettings, OperatorError
from burnish.receive import Receiver
from burnish.secure_files.protection import load_protection
from burnish.settings import DeviceSettings, NoticeReceiverSettings, SecuritySettings, Settings
from burnish.spool import Spool
from burnish.spool.appender import SEGMENT_SIZE
from burnish.spool.segments_ahead import SegmentsAhead
from burnish.values import WholeInstance

if TYPE_CHECKING:
    from burnish.scp.ae import Listener

log = structlog.get_logger(__name__)

#: Characters for which structlog's console renderer quotes a value.
_QUOTED = frozenset(" \t=\r\n\"'")
_DATABASE_LOST = (
    "check storage.root and database.url; or restore a backup with `burnish db restore FILE`;"
    " or rebuild the database from the instances in the spool with `burnish db recover`"
)
_POSTGRESQL_LOST = (
    "check storage.root and database.url; or restore the database with the tools of PostgreSQL if"
    " there is a backup, then make it agree with the spool with `burnish db recover`"
)
_SPOOL_LOST = (
    "a database belongs to one storage root: check storage.root, database.url, and whether the disk"
    " is mounted; if the spool is lost, `burnish db recover` releases the instances, so that they"
    " can be sent again"
)


def configure_logging(settings: Settings, *, least_level: int = 0) -> None:
    """Log to standard error, as text or as one JSON object for each line.

    What is below `least_level` is left out, whatever the settings say.
    """
    level = max(logging.getLevelNamesMapping()[settings.log.level.upper()], least_level)
    if settings.log.format == "json":
        renderers: list[structlog.typing.Processor] = [structlog.processors.JSONRenderer()]
    else:
        console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        renderers = [_escape_control_characters, console]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _escape_control_characters(
    _logger: object, _method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escapes what could imitate another line of the log, or control the terminal that shows it.

    A traceback, which has lines, stays as it is. The renderer quotes the values with a character of
    `_QUOTED`, and then escapes them itself.
    """
    for key, value in line.items():
        if not isinstance(value, str) or key == "exception":
            continue
        if key == "event" or not _QUOTED.intersection(value):
            line[key] = "".join(
                letter
                if letter.isprintable()
                else letter.encode("unicode_escape", "replace").decode()
                for letter in value
            )
    return line


def hide_library_warnings() -> None:
    """Suppress the warnings of libraries: they quote values of data sets, and so patient data."""
    warnings.simplefilter("ignore")
    sys.warnoptions.append("ignore")  # for child processes that are not forked


def restrict_file_permissions() -> None:
    """Let only the service's user and group read the files of this process and its children."""
    os.umask(os.umask(0o077) | 0o007)


def prepare(settings: Settings) -> None:
    """Make the storage root and bring the database up to date; raises OperatorError.

    A damaged database is not replaced, nor is a missing or new one accepted while the spool has
    instances: an operator has to decide what to do.
    """
    root = settings.storage.root
    make_storage_root(settings)
    file_access.check(root, os.R_OK | os.W_OK | os.X_OK)
    check_database_file(settings)
    schema.upgrade(settings.database_url)
    database = open_database(settings)
    try:
        check_database_belongs_to_spool(settings, database)
        with database.writing() as session:
            if not instance_count.is_known(session):
                instance_count.set_to_present(session)
            signs_of_life.give(session)  # the scheduler is about to begin
        _continue_request_numbers(settings, database)
    finally:
        database.close()


def remove_leftovers(settings: Settings) -> None:
    """Insert missing rows, and remove files without a row, both of which a kill has left.

    Rows that the database has lost are restored first, so that nothing of their instances is
    removed.

    No other process may use the spool.
    """
    from burnish.receive.replay import replay

    spool = open_spool(settings)
    for unfinished in spool.incoming.iterdir():
        unfinished.unlink()
    database = open_database(settings)
    try:
        replay(database, spool, settings.storage.same_uid)
        recovery.restore_lost_rows(
            database,
            spool,
            called_ae_title=settings.dicom.ae_title,
            same_uid=settings.storage.same_uid,
        )
        retention.sweep(database, spool, settings, orphan_age=-math.inf)
        compaction.delete_unwanted(database, spool)
    finally:
        database.close()


def check_runs_as_owner(settings: Settings) -> None:
    """Raise OperatorError if root runs the service on the database of another user.

    The service could not use the files of root when it is started as usual again.
    """
    path = backup.file_of(settings.database_url)
    if os.geteuid() == 0 and path is not None and path.exists():
        user, _ = file_access.owner_of(path)
        if user != 0:
            raise OperatorError(
                f"{path} belongs to {file_access.user_name(user)}, and the service runs as root",
                hint=f"start the service as {file_access.user_name(user)}",
            )


def make_storage_root(settings: Settings) -> None:
    """Make the directory `storage.root`; raises OperatorError."""
    try:
        settings.storage.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"storage.root {file_access.explain(error, settings.storage.root)}",
            hint="give the service a directory that it can write to",
        ) from None


def check_database_file(settings: Settings) -> None:
    """Raise OperatorError if the database is damaged, or missing while the spool has instances.

    Raises AccessDenied if this user may not use it.
    """
    url = settings.database_url
    path = backup.file_of(url)
    if path is None:
        return
    if not backup.is_lost(url):
        backup.check_access(path)
        backup.check_pages(path)
    elif open_spool(settings).has_instances():
        raise OperatorError(
            f"the spool has instances, but there is no database {path}", hint=_DATABASE_LOST
        )


def check_database_belongs_to_spool(settings: Settings, database: Database) -> None:
    """Raise OperatorError if the database does not belong to the spool.

    An empty database does not, nor one of another storage root, nor one that has lost the rows of
    all instances, nor one that lacks requests which the register knows. What such a database does
    not know of the spool would be removed. A database that is seen with its spool for the first
    time gets an identity, which the register keeps.
    """
    root = settings.storage.root
    known = storage_register.read(root)
    registered = known.database_identity
    with database.reading() as session:
        present = identity.identity(session)
        is_empty = identity.is_empty(session)
        has_live_instances = identity.has_live_instances(session)
        last_request = identity.last_request(session)
    # with durability "os", a power failure may take requests that the register knows, or instances
    is_durable = settings.storage.durability == "full"
    is_older = is_durable and last_request < known.last_request
    spool = open_spool(settings)
    if is_durable and has_live_instances and not spool.has_instances():
        raise OperatorError(
            f"the database {_database_name(settings)} has instances, but the spool in {root} has"
            " none of them",
            hint=_SPOOL_LOST,
        )
    has_lost_rows = False
    if present and present == registered and not is_older:
        has_lost_rows = recovery.all_rows_are_lost(database, spool)
        if not has_lost_rows:
            return
    if spool.has_instances() and (is_empty or registered):
        if has_lost_rows:
            what = "has lost the rows of its instances"
        elif is_empty:
            what = "is new or empty"
        elif present == registered:
            what = "is older than the spool, like a backup that was copied to its place"
        else:
            what = "is not the one that was used with this spool"
        raise OperatorError(
            f"the spool has instances, but the database {_database_name(settings)} {what}",
            hint=_DATABASE_LOST if backup.file_of(settings.database_url) else _POSTGRESQL_LOST,
        )
    if not present:
        with database.writing() as session:
            present = identity.set_identity(session)
    storage_register.set_database_identity(root, present)


def rebuild_database(
    settings: Settings, source: Path | None
) -> tuple[recovery.Recovery, Path | None]:
    """Make the database agree with the spool; the service must be stopped.

    The database is first replaced by the backup `source`, or by a new one if there is no source and
    the database is lost. Whenever this is killed, the database is as before, or complete, or
    missing. Returns what was done, and the name under which the previous database is kept. Raises
    OperatorError.
    """
    url = settings.database_url
    if source is None and not backup.is_lost(url):
        check_database_file(settings)
        schema.upgrade(url)
        outcome, kept = _recover(settings, url), None
    else:
        part = backup.begin_replacement(url, source)
        try:
            part_url = f"sqlite:///{part.absolute()}"
            schema.upgrade(part_url)
            outcome = _recover(settings, part_url)
            kept = backup.complete_replacement(url, part, owner=settings.storage.root)
        finally:
            backup.abandon_replacement(part)
    _register_database(settings)
    open_spool(settings).erase_durably(outcome.unneeded)
    return outcome, kept


def give_storage_to_owner(settings: Settings) -> None:
    """Give what root has created to the owner of the storage root: the service has to use it."""
    root = settings.storage.root
    paths = [root / storage_register.NAME, service_lock.path_of(root, service_lock.SERVE)]
    paths += backup.files_of(settings.database_url)
    if (root / "spool").is_dir():
        paths += open_spool(settings).folders()
    file_access.give_to_owner(root, *paths)


def _recover(settings: Settings, url: str) -> recovery.Recovery:
    database = open_database(settings, url)
    try:
        outcome = recovery.recover(
            database,
            open_spool(settings),
            called_ae_title=settings.dicom.ae_title,
            same_uid=settings.storage.same_uid,
            identity=storage_register.read(settings.storage.root).database_identity,
        )
        _continue_request_numbers(settings, database)
    finally:
        database.close()
    return outcome


def _register_database(settings: Settings) -> None:
    """Note in the register that the present database is the one of the spool."""
    database = open_database(settings)
    try:
        with database.reading() as session:
            storage_register.set_database_identity(
                settings.storage.root, identity.identity(session)
            )
    finally:
        database.close()


def _continue_request_numbers(settings: Settings, database: Database) -> None:
    """Continue request numbers above those in the register and on media in outboxes."""
    directories = [path for device in settings.devices for path in device.directories]
    recovery.continue_request_numbers(
        database,
        max(
            storage_register.read(settings.storage.root).last_request,
            storage_register.last_request_in(directories),
        ),
    )


def _database_name(settings: Settings) -> str:
    return str(backup.file_of(settings.database_url) or "of database.url")


def open_database(settings: Settings, url: str = "", *, durable: bool = True) -> Database:
    """The database as the settings describe it; another one if `url` is given.

    Without `durable`, commits need not be on disk, whatever the settings say.
    """
    return Database(
        url or settings.database_url,
        durable=durable and settings.storage.durability == "full",
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


def segments_ahead(settings: Settings) -> SegmentsAhead | None:
    """Segments that a process of their own creates; None if they are created as they are needed."""
    if settings.storage.durability == "full":
        return None
    return SegmentsAhead(open_spool(settings).incoming)


@contextmanager
def receiving(settings: Settings, database: Database) -> Iterator[Receiver]:
    """Receives what a person brings to this machine, by the rules for what peers send."""
    receiver = Receiver(database, open_spool(settings), same_uid=settings.storage.same_uid)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.close()


def receive_file(settings: Settings, receiver: Receiver, path: Path) -> str:
    """Receive a DICOM file of this machine; returns its SOP Instance UID. Raises BurnishError."""
    from burnish.instance_header.header import index_file

    indexed = index_file(path)
    header = indexed.header
    with path.open("rb") as file:
        file.seek(indexed.data_set_offset)
        data_set = file.read()
    receiver.receive(
        WholeInstance(
            header.sop_class_uid,
            header.sop_instance_uid,
            indexed.transfer_syntax_uid,
            settings.dicom.ae_title,
            settings.dicom.ae_title,
            data_set,
        )
    )
    return header.sop_instance_uid


def check_network(settings: Settings) -> None:
    """Raise InvalidSettings if a certificate, a key or a passcode cannot be used."""
    Users(settings)
    if settings.tls.listens:
        server_context(settings.tls)
    if settings.tls.ca:
        client_context(settings.tls)


def check_storage(settings: Settings) -> None:
    """Raise OperatorError if this user could not run the service on its storage and database.

    Nothing is created.
    """
    root = settings.storage.root.absolute()
    existing = next(place for place in (root, *root.parents) if place.exists())
    file_access.check(existing, os.R_OK | os.W_OK | os.X_OK)
    for folder in (root / "spool" / "incoming", root / "spool" / "instances", root / "images"):
        file_access.check(folder, os.R_OK | os.W_OK | os.X_OK)
    for file in (root / storage_register.NAME, service_lock.path_of(root, service_lock.SERVE)):
        file_access.check(file, os.R_OK | os.W_OK)
    path = backup.file_of(settings.database_url)
    if path is not None:
        backup.check_access(path)
        return
    database = open_database(settings)
    try:
        schema.revision(database)
    finally:
        database.close()


def check_security(settings: Settings) -> None:
    """Raise InvalidSettings if a certificate, key or password of secure media cannot be used.

    With the defaults alone, no secure media are meant.
    """
    if settings.security != SecuritySettings():
        load_protection(settings.security)


def check_labels(settings: Settings) -> None:
    """Raise InvalidSettings if the fonts or templates of labels cannot be used."""
    if settings.label.model_fields_set:
        from burnish.write.labels import label_maker

        label_maker(settings.label).check()


def check_device(settings: Settings, device: DeviceSettings) -> None:
    """Raise OperatorError if a folder or the drive of a device is missing, or may not be used."""
    problem = device_problem(settings, device)
    if problem is not None:
        raise OperatorError(problem.detail, hint=problem.remedy)


def device_problem(settings: Settings, device: DeviceSettings) -> BurnResult | None:
    """The problem of a device whose folder is missing, unless the writer itself makes it."""
    directories = [
        path
        for path in device.directories
        if path.exists() or not path.is_relative_to(settings.storage.root)
    ]
    return missing(device.name, directories=directories, drive=device.drive)


def problems(
    settings: Settings, checks: Iterable[Callable[[Settings], None]]
) -> Iterator[BurnishError]:
    """Everything that these checks find, in their order."""
    for check in checks:
        try:
            check(settings)
        except BurnishError as error:
            yield error


def lock(settings: Settings, name: str, *, shared: bool = False) -> int:
    """Lock `.NAME.lock` in the storage root for as long as the returned descriptor is open.

    Several processes may hold it `shared`. Raises OperatorError if another process holds the lock.
    """
    make_storage_root(settings)
    path = service_lock.path_of(settings.storage.root, name)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise OperatorError(
            f"the lock cannot be taken: {file_access.explain(error, path)}",
            hint=file_access.remedy(path),
        ) from None
    file_access.give_to_owner(settings.storage.root, path)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
    ahead: SegmentsAhead | None = None,
) -> None:
    """The receiver role: accept associations until told to stop.

    The supervisor runs several, which share what it gives them; each has its own `number`.
    """
    from burnish.contacts import ContactRecorder
    from burnish.receive import Receiver
    from burnish.scp.ae import ApplicationEntity, listen
    from burnish.scp.processors import Processors
    from burnish.scp.traffic import Traffic

    database = _open_checked_database(settings)
    # rows of instances need not be durable: what a power failure takes is replayed from the spool
    rows_database = open_database(settings, durable=False)
    spool = open_spool(settings)
    receiver = Receiver(rows_database, spool, same_uid=settings.storage.same_uid, ahead=ahead)
    receiver.start()
    association_limits = association_limits or AssociationLimits(settings)
    association_limits.begin(number)
    listeners = listeners or listen(settings)
    contacts = ContactRecorder(rows_database)
    contacts.start()
    counters = Counters(settings.storage.root / COUNTERS_FOLDER, f"receiver-{number}")
    entity = ApplicationEntity(
        settings,
        listeners,
        receiver,
        database,
        spool,
        association_limits=association_limits,
        traffic=Traffic(settings, counters, contacts),
        processors=Processors(number, association_limits.receivers),
    )
    _on_stop(entity.stop_accepting)
    signal.signal(signal.SIGHUP, lambda *_: entity.reload())
    entity.serve()
    for listener in listeners:
        listener.socket.close()
    entity.drain()
    receiver.close()
    contacts.close()
    counters.close()
    rows_database.close()
    database.close()


def run_segments(settings: Settings, segments_ahead: SegmentsAhead, receivers: int) -> None:
    """The segments role: create the segments that the receivers take next. A signal ends it."""
    spool = open_spool(settings)
    segments_ahead.create(SEGMENT_SIZE, receivers + 1, spool.has_room_ahead)


def run_scheduler(settings: Settings) -> None:
    """The scheduler role: admission, planning, standing orders, reports and retention."""
    from burnish.schedule import Schedule
    from burnish.scp.event_reports import Reporter

    database = _open_checked_database(settings)
    reporter = Reporter(settings, database)
    schedule = Schedule(settings, database, open_spool(settings), reporter.tick)
    _on_stop(schedule.stopping.set)
    schedule.run()
    reporter.close()
    database.close()


def run_writer(settings: Settings, device_name: str) -> None:
    """The writer role: make the media of one device.

    Raises OperatorError if another process is already the writer of that device.
    """
    from burnish.write.worker import Worker

    devices = {device.name: device for device in settings.devices}
    if device_name not in devices:
        raise OperatorError(
            f"no device {device_name!r}", hint=f"configured are {', '.join(devices)}"
        )
    lock_descriptor = lock(settings, f"writer-{device_name}")
    database = _open_checked_database(settings)
    worker = Worker(settings, devices[device_name], database, open_spool(settings))
    _on_stop(worker.stopping.set)
    worker.run()
    database.close()
    os.close(lock_descriptor)


def run_web(settings: Settings) -> None:
    """The web role: the page for people, and the interface for programs."""
    from burnish.web.app import create_app
    from burnish.web.server import WebServer

    database = _open_checked_database(settings)
    app = create_app(settings, database, open_spool(settings))
    server = WebServer(app, settings.web, lambda address: _invite_administrator(database, address))
    _on_stop(server.stop)
    server.run()
    database.close()


def _invite_administrator(database: Database, address: str) -> None:
    """While there is no administrator, log the link by which the first one sets a password."""
    with database.writing() as session:
        if accounts.has_administrator(session):
            return
        secret = accounts.new_link(session)
    log.info("no administrator of the web page yet", set_password_at=f"{address}/welcome/{secret}")


def check_web(settings: Settings) -> None:
    """Raise InvalidSettings if the certificate or key of the page cannot be used."""
    web = settings.web
    if web.certificate is None or web.key is None:
        return
    for path in (web.certificate, web.key):
        file_access.check(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(web.certificate, web.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings(
            f"web.certificate {web.certificate} and web.key {web.key} cannot be used: {error}",
            hint="both are PEM files, and the key belongs to the first certificate",
        ) from None


def check_notify(settings: Settings) -> None:
    """Raise InvalidSettings if a file or program of a receiver of notices cannot be used."""
    for receiver in settings.notify.receiver:
        check_receiver(settings, receiver)


def check_receiver(_settings: Settings, receiver: NoticeReceiverSettings) -> None:
    """Raise InvalidSettings if a file or the program of one receiver cannot be used."""
    notify.check(receiver)


def _open_checked_database(settings: Settings) -> Database:
    """The database, of this version and of this spool; raises OperatorError."""
    database = open_database(settings)
    schema.check(database)
    check_database_belongs_to_spool(settings, database)
    return database


def _on_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT call `stop`.

    A child of the supervisor ignores SIGINT, which a terminal sends to all processes at once: the
    supervisor then sends SIGTERM to each child.
    """

    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN if multiprocessing.parent_process() else handler)
