"""Surface: `/api/v1/health`, `/system`, `/checks`, `/rates`, `/spool`, `/commitments`, and more."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request, Response

from burnish import __version__, checks, commitment, compaction, measures
from burnish.checks import CheckKind, CheckView
from burnish.commitment import CommitmentLine
from burnish.compaction import SpoolRoom
from burnish.db import schema
from burnish.measures import Rate
from burnish.request import listing
from burnish.request.health import Health, health
from burnish.request.views import ListPage
from burnish.settings.effective import json_tables
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Limit, answer, documented, with_zone
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of

router = APIRouter(prefix="/api/v1", tags=["system"])

_TEXT, _NUMBER = {"type": "string"}, {"type": "number"}
_SYSTEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "version": _TEXT,
        "schema": _TEXT,
        "storage_root": _TEXT,
        "high_water": _NUMBER,
        "low_water": _NUMBER,
        "spool": schema_of(SpoolRoom),
        "requests": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
    "required": [
        "version",
        "schema",
        "storage_root",
        "high_water",
        "low_water",
        "spool",
        "requests",
    ],
}


@router.get(
    "/health",
    dependencies=[needs(Permission.SEE)],
    summary="Is everything well?",
    responses=documented(schema_of(Health), text="The state of all parts, as of `burnish status`."),
)
def show_health(request: Request) -> Response:
    """Service, disk, devices and requests, each with what to do about it."""
    context = context_of(request)
    with context.database.reading() as session:
        present = health(session, context.settings)
    return answer(request, present)


@router.get(
    "/spool",
    dependencies=[needs(Permission.SEE)],
    summary="Show the room of the spool",
    responses=documented(schema_of(SpoolRoom), text="The room, in bytes."),
)
def show_spool(request: Request) -> Response:
    """The room that the spool takes on disk, and how much of that is wanted."""
    context = context_of(request)
    return answer(request, compaction.room(context.database, context.spool))


@router.get(
    "/commitments",
    dependencies=[needs(Permission.SEE)],
    tags=["peers"],
    summary="List Storage Commitment transactions, newest first",
    responses=documented(page_of(CommitmentLine), text="The newest transactions."),
)
def list_commitments(request: Request, limit: Limit = 100) -> Response:
    """The promises of Storage Commitment to peers, and the result of the report."""
    with context_of(request).database.reading() as session:
        lines = commitment.listing(session, limit=limit)
    return answer(request, ListPage(tuple(lines)))


@router.get(
    "/configuration",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Show the settings in effect",
    responses=documented(
        {"type": "object", "additionalProperties": True}, text="All tables, without passwords."
    ),
)
def show_configuration(request: Request) -> Response:
    """The settings of the file, the environment and the defaults."""
    return answer(request, json_tables(context_of(request).settings))


@router.get(
    "/system",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Show the installation",
    responses=documented(_SYSTEM, text="Versions, disk, spool, and requests by group."),
)
def show_system(request: Request) -> Response:
    """The content of the page System, without the configuration."""
    context = context_of(request)
    storage = context.settings.storage
    with context.database.reading() as session:
        counts = listing.counts(session)
    facts = {
        "version": __version__,
        "schema": schema.revision(context.database),
        "storage_root": str(storage.root.absolute()),
        "high_water": storage.high_water,
        "low_water": storage.low_water,
        "spool": compaction.room(context.database, context.spool),
        "requests": {str(group): number for group, number in counts.items()},
    }
    return answer(request, facts)


@router.get(
    "/checks",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Show what the checks of database and spool have found",
    responses=documented(page_of(CheckView), text="The last check of each kind."),
)
def list_checks(request: Request) -> Response:
    """The findings of `burnish db check` and `burnish spool check`, which also run each night."""
    with context_of(request).database.reading() as session:
        views = checks.views(session)
    return answer(request, ListPage(tuple(views)))


@router.post(
    "/checks/{kind}",
    dependencies=[needs(Permission.ADMINISTER)],
    status_code=202,
    summary="Have the database or the spool checked",
    responses=documented(schema_of(CheckView), status=202, text="The check that is asked for."),
)
def ask_for_check(request: Request, kind: CheckKind) -> Response:
    """The check begins within seconds; `/checks` says what it finds once `asked_at` is null."""
    with context_of(request).database.writing() as session:
        view = checks.ask(session, kind, actor=actor_of(request))
    return answer(request, view, status=202)


@router.get(
    "/rates",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Show what was counted in each hour",
    responses=documented(page_of(Rate), text="Counts by hour, name and label, oldest first."),
)
def list_rates(request: Request, since: datetime | None = None) -> Response:
    """Instances received, media made and all else that is counted, by hour.

    Without `since`, those of the last 24 hours; they are kept for 13 months.
    """
    since = with_zone(since) or datetime.now(UTC) - timedelta(hours=24)
    with context_of(request).database.reading() as session:
        rates = measures.rates(session, since=since)
    return answer(request, ListPage(tuple(rates)))
