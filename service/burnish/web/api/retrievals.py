"""Surface: `/api/v1/archives` and `/retrievals`: what archives have, and having it sent here."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from burnish.request import archive_studies
from burnish.request.archive_studies import MOST_STUDIES, FoundStudies, RetrievalView
from burnish.request.fetch_missing import archives
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented, page
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of

router = APIRouter(prefix="/api/v1", tags=["retrievals"])

_RetrievalID = Annotated[int, Path(ge=1, lt=1 << 62)]


class StudySearch(Body):
    """The keys of a search in an archive: a complete Patient ID, an Accession Number, or both."""

    patient_id: Annotated[str, Field(max_length=64)] = ""
    accession_number: Annotated[str, Field(max_length=16)] = ""


class NewRetrieval(Body):
    """Studies of an archive."""

    archive: Annotated[str, Field(max_length=16)]
    studies: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=MOST_STUDIES)
    ]


@router.get(
    "/archives",
    dependencies=[needs(Permission.RECEIVE)],
    summary="List the archives that studies can be retrieved from",
    responses=documented(
        {
            "type": "object",
            "properties": {"items": {"type": "array", "items": {"type": "string"}}},
            "required": ["items"],
        },
        text="Their AE titles.",
    ),
)
def list_archives(request: Request) -> Response:
    """The peers with "retrieve" in `may`."""
    settings = context_of(request).settings
    return answer(request, {"items": [peer.ae_title for peer in archives(settings)]})


@router.post(
    "/archives/{ae_title}/search",
    dependencies=[needs(Permission.RECEIVE)],
    summary="Ask an archive for studies",
    responses=documented(schema_of(FoundStudies), 404, 502, text="What the archive has."),
)
def search_archive(request: Request, ae_title: str, body: StudySearch) -> Response:
    """The studies of a patient or an order, and how many instances of each are here already."""
    context = context_of(request)
    studies = archive_studies.find_studies(
        context.settings,
        context.database,
        ae_title,
        patient_id=body.patient_id,
        accession_number=body.accession_number,
    )
    return answer(request, studies)


@router.get(
    "/retrievals",
    dependencies=[needs(Permission.RECEIVE)],
    summary="List retrievals, newest first",
    responses=documented(page_of(RetrievalView), text="One page of retrievals."),
)
def list_retrievals(
    request: Request,
    limit: Limit = 50,
    before: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the page before.")] = 0,
) -> Response:
    """Those that are under way, and those that ended within a week."""
    with context_of(request).database.reading() as session:
        views = archive_studies.retrievals(session, limit=limit + 1, before=before)
    return page(request, views, limit, lambda line: line.id)


@router.post(
    "/retrievals",
    dependencies=[needs(Permission.RECEIVE)],
    status_code=201,
    summary="Have studies sent here",
    responses=documented(schema_of(RetrievalView), 404, status=201, text="The retrieval."),
)
def create_retrieval(request: Request, body: NewRetrieval) -> Response:
    """It begins within a second or two; what is here already is not retrieved again."""
    context = context_of(request)
    with context.database.writing() as session:
        view = archive_studies.ask(
            session, context.settings, body.archive, body.studies, actor=actor_of(request)
        )
    return answer(request, view, status=201, location=f"/api/v1/retrievals/{view.id}")


@router.get(
    "/retrievals/{number}",
    dependencies=[needs(Permission.RECEIVE)],
    summary="Show a retrieval",
    responses=documented(schema_of(RetrievalView), 404, text="The retrieval."),
)
def show_retrieval(request: Request, number: _RetrievalID) -> Response:
    """How much has arrived, and why not all if it failed."""
    with context_of(request).database.reading() as session:
        return answer(request, archive_studies.find_retrieval(session, number))


@router.post(
    "/retrievals/{number}/cancel",
    dependencies=[needs(Permission.RECEIVE)],
    summary="Cancel a retrieval",
    responses=documented(schema_of(RetrievalView), 404, 409, text="The retrieval."),
)
def cancel_retrieval(request: Request, number: _RetrievalID) -> Response:
    """Instances that have arrived stay."""
    with context_of(request).database.writing() as session:
        return answer(request, archive_studies.cancel(session, number))


@router.post(
    "/retrievals/{number}/retry",
    dependencies=[needs(Permission.RECEIVE)],
    summary="Begin a retrieval again",
    responses=documented(schema_of(RetrievalView), 404, 409, text="The retrieval."),
)
def retry_retrieval(request: Request, number: _RetrievalID) -> Response:
    """One that failed or was cancelled; only what is missing is retrieved."""
    with context_of(request).database.writing() as session:
        return answer(request, archive_studies.retry(session, number))
