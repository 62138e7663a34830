"""Ground: backups of the SQLite database: copy it while it is in use, check it, replace it."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from burnish import file_access
from burnish.durable_files import sync
from burnish.errors import AlreadyExists, OperatorError, OutOfResources

#: The database file, its write-ahead log, the index of the log, and an unfinished change.
_SUFFIXES = ("", "-wal", "-shm", "-journal")
#: The lock of `burnish.db.write_lock`.
_LOCK = "-turn"
_REMEDY = (
    "restore a backup with `burnish db restore FILE`; or move the file elsewhere and rebuild the"
    " database from the instances in the spool with `burnish db recover`"
)
#: Errors of SQLite that tell of the installation, not of damage to the file.
_NO_DAMAGE = (
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_AUTH,
)


def files_of(url: str) -> list[Path]:
    """Every file that an SQLite database may have: itself, its logs and its lock."""
    path = file_of(url)
    if path is None:
        return []
    return [path.with_name(path.name + suffix) for suffix in (*_SUFFIXES, _LOCK)]


def file_of(url: str) -> Path | None:
    """The file of an SQLite database; None for another database."""
    path = make_url(url).database if url.startswith("sqlite") else None
    return Path(path) if path else None


def is_lost(url: str) -> bool:
    """Whether the file of an SQLite database is missing or empty.

    Raises AccessDenied if this user may not look: the file may well be there.
    """
    path = file_of(url)
    if path is None:
        return False
    try:
        return path.stat().st_size == 0
    except (FileNotFoundError, NotADirectoryError):
        return True
    except PermissionError:
        file_access.check(path)
        raise


def check_access(path: Path) -> None:
    """Raise AccessDenied if this user may not use the database file as SQLite needs it.

    SQLite writes to the folder of a database, too, and to the files beside it, even to read.
    """
    file_access.check(path, os.R_OK | os.W_OK)
    file_access.check(path.parent, os.R_OK | os.W_OK | os.X_OK)
    for suffix in (*_SUFFIXES[1:], _LOCK):
        file_access.check(path.with_name(path.name + suffix), os.R_OK | os.W_OK)


def check_pages(path: Path) -> None:
    """Read every page of a database.

    Raises OperatorError if it is damaged, AccessDenied if this user may not read it, and
    OutOfResources if it cannot be read at this moment.
    """
    file_access.check(path)
    try:
        with closing(_open_unchanged(path)) as database:
            ((outcome,),) = database.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        if _is_no_damage(error):
            check_access(path)
            raise OutOfResources(f"the database {path} cannot be read: {error}") from None
        outcome = str(error)
    if outcome != "ok":
        raise OperatorError(f"the database {path} is damaged: {outcome}", hint=_REMEDY)


def save(url: str, target: Path) -> None:
    """Copy the database as it is at one moment, durably or not at all; it may be in use.

    The copy holds patient data: only the user who makes it can read it. Raises AlreadyExists if
    `target` exists, and OperatorError if the copy cannot be made.
    """
    path = _sqlite_file(url)
    if target.exists():
        raise AlreadyExists(f"{target} exists already")
    part = target.with_name(f"{target.name}.part")
    try:
        _copy_checked(path, part)
        part.rename(target)
        abandon_replacement(part)  # before the sync: a power failure brings nothing of it back
        sync(target.parent)
    finally:
        abandon_replacement(part)


def begin_replacement(url: str, source: Path | None) -> Path:
    """A copy of `source` (None: a new database) that is to become the database.

    It lies beside the database, and only the user of this process can read it. Nothing is replaced
    yet. Raises OperatorError if the source is damaged.
    """
    path = _sqlite_file(url)
    part = path.with_name(f"{path.name}.new")
    abandon_replacement(part)
    if source is not None:
        check_pages(source)
        _copy_checked(source, part)
    else:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return part


def abandon_replacement(part: Path) -> None:
    """Remove a replacement or a copy that was begun, and what SQLite left beside it."""
    for suffix in (*_SUFFIXES, _LOCK):
        part.with_name(part.name + suffix).unlink(missing_ok=True)


def complete_replacement(url: str, part: Path, *, owner: Path) -> Path | None:
    """Replace the database, which no process may have open, by `part`.

    It belongs to the owner of the directory `owner`, and has the mode of the previous database.
    Killed at any moment, this leaves the previous database, the new one, or none, with which the
    service refuses to start. Returns the name under which the previous database is kept, None if
    there was none.
    """
    path = _sqlite_file(url)
    try:
        with closing(sqlite3.connect(part)) as database:
            database.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise OutOfResources(f"the new database cannot be completed: {error}") from None
    check_pages(part)
    os.chmod(part, path.stat().st_mode & 0o777 if path.exists() else 0o640)
    file_access.give_to_owner(owner, part)
    sync(part)
    kept = _keep_previous(path)
    part.replace(path)
    sync(path.parent)
    return kept


def _keep_previous(path: Path) -> Path | None:
    """Rename the database and the files beside it; the new name of the database."""
    if not any(path.with_name(path.name + suffix).exists() for suffix in _SUFFIXES):
        return None
    kept = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
    # The log has commits that are not in the file yet: it must not be applied to another file. The
    # database goes first: without it, the service does not start.
    for suffix in _SUFFIXES:
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(kept.with_name(kept.name + suffix))
            sync(path.parent)
    return kept


def _copy_checked(source: Path, target: Path) -> None:
    """Copy a database that may be in use; the copy is whole, durable, and has mode 0600."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    file_access.check(source)
    try:
        with (
            closing(_open_unchanged(source)) as database,
            closing(sqlite3.connect(target)) as copy,
        ):
            database.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if _is_no_damage(error):
            check_access(source)
        raise OperatorError(f"the database cannot be copied: {error}") from None
    check_pages(target)
    sync(target)


def _open_unchanged(path: Path) -> sqlite3.Connection:
    """A connection that only reads, except that it undoes a change which a kill has cut off."""
    is_cut_off = path.with_name(f"{path.name}-journal").exists()
    mode = "rw" if is_cut_off else "ro"
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True)


def _is_no_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _NO_DAMAGE


def _sqlite_file(url: str) -> Path:
    path = file_of(url)
    if path is None:
        raise OperatorError(
            "database.url names no SQLite database",
            hint="save and restore it with pg_dump and pg_restore; after a restore, run"
            " `burnish db recover`",
        )
    return path
