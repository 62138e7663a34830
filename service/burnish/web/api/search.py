"""Surface: `/api/v1/search` and `/api/v1/arrivals`: what is here, by whatever people have."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from burnish.request import arrivals
from burnish.request import search as finder
from burnish.request.arrivals import ArrivedStudy
from burnish.request.search import SearchResult
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Limit, answer, documented
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of

router = APIRouter(prefix="/api/v1", dependencies=[needs(Permission.SEE_PATIENTS)])


@router.get(
    "/search",
    tags=["search"],
    summary="Search studies and requests",
    responses=documented(schema_of(SearchResult), text="What was found, newest first."),
)
def search(
    request: Request, q: Annotated[str, Query(max_length=200)], limit: Limit = 20
) -> Response:
    """Search by name, Patient ID, Accession Number, study date, UID, request, File-set ID,
    bar code or AE title."""
    with context_of(request).database.reading() as session:
        result = finder.search(session, q, limit=limit)
    return answer(request, result)


@router.get(
    "/arrivals",
    tags=["search"],
    summary="List studies that nobody has requested media for",
    responses=documented(page_of(ArrivedStudy), text="One page of studies."),
)
def list_arrivals(request: Request, limit: Limit = 50, before: datetime | None = None) -> Response:
    """What has come and is not on media, with the standing order that will take it, and when."""
    context = context_of(request)
    if before is not None and before.tzinfo is None:
        before = before.replace(tzinfo=UTC)
    with context.database.reading() as session:
        studies = arrivals.arrivals(
            session, context.settings.standing_order, limit=limit + 1, before=before
        )
    shown = studies[:limit]
    cursor = shown[-1].study.last_received_at.isoformat() if len(studies) > limit else None
    return answer(request, {"items": shown, "next": cursor})
