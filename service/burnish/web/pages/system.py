"""Surface: the page System: disk, spool, backlog, rates, checks, versions, settings in effect."""

import shutil
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from burnish import __version__, checks, compaction, measures
from burnish.checks import CheckKind, CheckView
from burnish.db import backup, schema
from burnish.db.session import Database
from burnish.measures import RateSpan
from burnish.request import listing
from burnish.settings.effective import effective_tables, toml_lines
from burnish.web import rate_charts
from burnish.web.access import Permission, needs
from burnish.web.context import WebContext, context_of
from burnish.web.live import Topic
from burnish.web.pages import notices
from burnish.web.rate_charts import RateTable
from burnish.web.sessions import actor_of

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
        rates=_rates(context, RateSpan.HOURS),
        checks=_check_views(context.database),
        database=_database_facts(context),
        root=str(settings.storage.root.absolute()),
        burnish_version=__version__,
        python_version=".".join(map(str, sys.version_info[:3])),
        open_pages=context.live.open_pages,
        settings_text="\n".join(toml_lines(effective_tables(settings))),
    )


@router.get("/system/rates")
def show_rates(request: Request, span: RateSpan = RateSpan.HOURS) -> Response:
    """The drawings of rates by hour or by day."""
    context = context_of(request)
    return context.rendering.page(request, "system_rates.html", rates=_rates(context, span))


@router.get("/live/system/checks")
async def live_checks(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The results of the checks, again after each change."""
    topic = Topic(
        "system_checks.html", _check_views, lambda database, _: {"checks": _check_views(database)}
    )
    return context_of(request).live.response(request, "checks", topic, last_event_id)


@router.post("/system/checks/{kind}")
def check(request: Request, kind: CheckKind) -> Response:
    """Have the scheduler check the database or the spool; the live page shows what it finds."""
    with context_of(request).database.writing() as session:
        checks.ask(session, kind, actor=actor_of(request))
    return Response(status_code=200)


def _check_views(database: Database) -> tuple[CheckView, ...]:
    with database.reading() as session:
        return tuple(checks.views(session))


def _rates(context: WebContext, span: RateSpan) -> RateTable:
    now = datetime.now().astimezone()
    with context.database.reading() as session:
        rates = measures.rates(session, since=rate_charts.beginning(span, now))
    return rate_charts.draw(rates, span, now)


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
