"""Holds the write lock of an SQLite database, as another program would."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path | str) -> Iterator[sqlite3.Connection]:
    """No other connection can write until the end, or until the yielded one is rolled back."""
    name = str(path).removeprefix("sqlite:///")
    with closing(
        sqlite3.connect(name, isolation_level=None, timeout=120, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        if other.in_transaction:
            other.execute("ROLLBACK")
