"""Ground: the SQLite database as a file: copied while in use, looked through, put back."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from burnish.errors import AlreadyExists, OperatorError

_BESIDE = ("", "-wal", "-shm")
REMEDY = (
    "put a backup in its place with `burnish db restore FILE`; or move it elsewhere, and have"
    " `burnish db recover` make a new one of the instances in the spool"
)


def file_of(url: str) -> Path | None:
    """The file of an SQLite database; None of another one."""
    path = make_url(url).database if url.startswith("sqlite") else None
    return Path(path) if path else None


def is_lost(url: str) -> bool:
    """Whether there is no database file, or an empty one."""
    path = file_of(url)
    return path is not None and (not path.is_file() or path.stat().st_size == 0)


def check_pages(path: Path) -> None:
    """Looks at every page of a database; raises OperatorError where it is damaged."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            ((found,),) = database.execute("PRAGMA quick_check(1)")
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise OperatorError(f"the database {path} is damaged: {found}", hint=REMEDY)


def save(url: str, target: Path) -> None:
    """Copies the database as it is at one moment, also while it is in use; durably or not at all.

    Raises AlreadyExists where `target` is there, OperatorError where the copy cannot be made.
    """
    path = _sqlite_file(url)
    if target.exists():
        raise AlreadyExists(f"{target} is there already")
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
    """Puts a backup in the place of the database, which nobody may have open.

    What was there is kept beside it under the name that is returned. Raises OperatorError.
    """
    path = _sqlite_file(url)
    check_pages(source)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(source.read_bytes())
    _sync(part)
    kept = None
    if any(path.with_name(path.name + suffix).exists() for suffix in _BESIDE):
        kept = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}")
        # the log of what is not in the file yet goes with it, and never to the backup
        for suffix in reversed(_BESIDE):
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
