"""Surface: the page System: disk, database, spool, backlog, versions, settings in effect."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response

from burnish import __version__, compaction
from burnish.db import backup, schema
from burnish.errors import BurnishError
from burnish.request import listing
from burnish.settings.effective import effective_tables, toml_lines
from burnish.web.access import Permission, needs
from burnish.web.context import WebContext, context_of
from burnish.web.pages import notices

router = APIRouter(dependencies=[needs(Permission.ADMINISTER)])


@dataclass(frozen=True, slots=True)
class DiskUse:
    """The disk of the storage root, in bytes. `is_full`: instances are refused."""

    total: int
    free: int
    share: float
    high_water: float
    low_water: float

    @property
    def is_full(self) -> bool:
        return self.share >= self.high_water


@router.get("/system")
def system(request: Request) -> Response:
    """The page."""
    context = context_of(request)
    settings = context.settings
    with context.database.reading() as session:
        counts = listing.counts(session)
    return context.rendering.page(
        request,
        "system.html",
        **notices.values(context),
        disk=_disk(context),
        room=compaction.room(context.database, context.spool),
        counts=counts,
        database=_database_facts(context),
        root=str(settings.storage.root.absolute()),
        burnish_version=__version__,
        python_version=".".join(map(str, sys.version_info[:3])),
        open_pages=context.live.open_pages,
        settings_text="\n".join(toml_lines(effective_tables(settings))),
    )


@router.post("/system/check")
def check(request: Request) -> Response:
    """Read the whole database and compare it with what it should be."""
    context = context_of(request)
    problem = ""
    remedy = ""
    try:
        schema.check(context.database)
        path = backup.file_of(context.settings.database_url)
        if path is not None:
            backup.check_pages(path)
    except BurnishError as error:
        problem, remedy = str(error), error.hint
    return context.rendering.page(request, "system_check.html", problem=problem, remedy=remedy)


def _disk(context: WebContext) -> DiskUse:
    usage = shutil.disk_usage(context.settings.storage.root)
    storage = context.settings.storage
    return DiskUse(
        usage.total, usage.free, usage.used / usage.total, storage.high_water, storage.low_water
    )


def _database_facts(context: WebContext) -> dict[str, Any]:
    path = backup.file_of(context.settings.database_url)
    return {
        "kind": "SQLite" if path else "PostgreSQL",
        "path": str(path or ""),
        "size": _size(path) if path else 0,
        "revision": schema.revision(context.database),
    }


def _size(path: Path) -> int:
    """The bytes of an SQLite database with its log."""
    files = (path, path.with_name(f"{path.name}-wal"))
    return sum(file.stat().st_size for file in files if file.exists())
