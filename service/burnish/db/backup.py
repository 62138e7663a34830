"""Ground: backups of the SQLite database: copy it while it is in use, check it, restore it."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from burnish.errors import AlreadyExists, OperatorError

#: The database file, its write-ahead log and the index of the log.
_SUFFIXES = ("", "-wal", "-shm")
_REMEDY = (
    "restore a backup with `burnish db restore FILE`; or move the file elsewhere and rebuild the"
    " database from the instances in the spool with `burnish db recover`"
)


def file_of(url: str) -> Path | None:
    """The file of an SQLite database; None for another database."""
    path = make_url(url).database if url.startswith("sqlite") else None
    return Path(path) if path else None


def is_lost(url: str) -> bool:
    """Whether the file of an SQLite database is missing or empty."""
    path = file_of(url)
    return path is not None and (not path.is_file() or path.stat().st_size == 0)


def check_pages(path: Path) -> None:
    """Read every page of a database; raises OperatorError if it is damaged."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            ((outcome,),) = database.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        outcome = str(error)
    if outcome != "ok":
        raise OperatorError(f"the database {path} is damaged: {outcome}", hint=_REMEDY)


def save(url: str, target: Path) -> None:
    """Copy the database as it is at one moment, durably or not at all; it may be in use.

    Raises AlreadyExists if `target` exists, and OperatorError if the copy cannot be made.
    """
    path = _sqlite_file(url)
    if target.exists():
        raise AlreadyExists(f"{target} exists already")
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database,
            closing(sqlite3.connect(part)) as copy,
        ):
            database.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        check_pages(part)
        _sync(part)
        part.rename(target)
        _sync(target.parent)
    except sqlite3.Error as error:
        raise OperatorError(f"the database cannot be copied: {error}") from None
    finally:
        part.unlink(missing_ok=True)


def restore(url: str, source: Path) -> Path | None:
    """Replace the database, which no process may have open, by a backup.

    Returns the name under which the previous database is kept, None if there was none. Raises
    OperatorError if the backup is damaged.
    """
    path = _sqlite_file(url)
    check_pages(source)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(source.read_bytes())
    _sync(part)
    kept = None
    if any(path.with_name(path.name + suffix).exists() for suffix in _SUFFIXES):
        kept = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
        # the log has commits that are not in the old file yet: it must not be applied to the backup
        for suffix in reversed(_SUFFIXES):
            old = path.with_name(path.name + suffix)
            if old.exists():
                old.rename(kept.with_name(kept.name + suffix))
    part.rename(path)
    _sync(path.parent)
    return kept


def _sqlite_file(url: str) -> Path:
    path = file_of(url)
    if path is None:
        raise OperatorError(
            "database.url names no SQLite database",
            hint="use the tools of that database, as pg_dump",
        )
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
