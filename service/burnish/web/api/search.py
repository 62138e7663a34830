"""Surface: `/api/v1/search`, `/arrivals` and `/priors`: what is here, by whatever people have."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from burnish import search as finder
from burnish.request import arrivals
from burnish.request.arrivals import ArrivedStudy
from burnish.request.study_listing import StudyHit
from burnish.request.views import ListPage
from burnish.search import SearchResult
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Limit, answer, documented, page
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of

router = APIRouter(prefix="/api/v1", dependencies=[needs(Permission.SEE_PATIENTS)])


@router.get(
    "/search",
    tags=["search"],
    summary="Search studies, requests and media",
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
def list_arrivals(
    request: Request,
    limit: Limit = 50,
    before: Annotated[str, Query(max_length=64, description="`next` of the page before.")] = "",
) -> Response:
    """The studies that are not on media, with the standing order that will take each, and when."""
    context = context_of(request)
    with context.database.reading() as session:
        studies = arrivals.arrivals(
            session, context.settings.standing_order, limit=limit + 1, before=before
        )
    return page(request, studies, limit, arrivals.cursor)


@router.get(
    "/priors",
    tags=["search"],
    summary="List other studies of the patients of some studies",
    responses=documented(page_of(StudyHit), 404, text="The priors, newest first."),
)
def list_priors(
    request: Request,
    study: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=64)]],
        Query(min_length=1, max_length=200, description="A Study Instance UID; may be repeated."),
    ],
) -> Response:
    """Further studies of the same patients, as they are offered when a disc is ordered."""
    with context_of(request).database.reading() as session:
        studies = arrivals.studies_with_uids(session, study)
        hits = arrivals.priors(session, [hit.id for hit in studies])
    return answer(request, ListPage(tuple(hits)))
