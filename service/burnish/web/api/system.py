"""Surface: `/api/v1/system` and `/api/v1/health`: versions, disk, spool, requests; all well?"""

from typing import Any

from fastapi import APIRouter, Request, Response

from burnish import __version__, compaction, measures
from burnish.db import schema
from burnish.measures import Readiness
from burnish.request import listing
from burnish.web.access import Permission, needs
from burnish.web.api.answers import answer, documented
from burnish.web.api.shapes import schema_of
from burnish.web.context import context_of

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
        "spool": schema_of(compaction.SpoolRoom),
        "requests": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


@router.get(
    "/health",
    dependencies=[needs(Permission.SEE)],
    summary="Is everything well?",
    responses=documented(
        {
            "type": "object",
            "properties": {
                "is_well": {"type": "boolean"},
                "conditions": {"type": "array", "items": schema_of(Readiness)},
            },
            "required": ["is_well", "conditions"],
        },
        text="The conditions for taking part in the work.",
    ),
)
def show_health(request: Request) -> Response:
    """Database, storage and disk; `problem` says what is wrong with a condition."""
    context = context_of(request)
    conditions = measures.readiness(context.database, context.settings)
    is_well = not any(condition.problem for condition in conditions)
    return answer(request, {"is_well": is_well, "conditions": conditions})


@router.get(
    "/system",
    dependencies=[needs(Permission.ADMINISTER)],
    summary="Show the installation",
    responses=documented(_SYSTEM, text="Versions, disk, spool, and requests by group."),
)
def show_system(request: Request) -> Response:
    """What the page System shows, without the configuration."""
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
