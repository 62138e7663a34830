"""Ground: `[database]`, the database, which is also the queue."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from burnish.settings.value_types import Duration, SettingsTable


class DatabaseSettings(SettingsTable):
    """Where the database is and how long to wait for it."""

    #: A URL of SQLAlchemy, for SQLite or PostgreSQL. Empty: SQLite in the storage root.
    url: str = ""
    #: Maximum time to wait for the write lock. Then C-STORE fails with A700, the operations
    #: of Media Creation with 0213H, and background work is tried again later.
    wait: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(
        seconds=60
    )
