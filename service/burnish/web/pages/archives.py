"""Surface: on the page Arrivals, the search at archives, and what is retrieved from them."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from burnish.request import archive_studies
from burnish.request.fetch_missing import archives
from burnish.settings import Settings
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.sessions import actor_of

router = APIRouter(dependencies=[needs(Permission.RECEIVE)])

#: What the name of the box of a study begins with; its UID follows.
_STUDY_FIELD = "study-"
_RetrievalID = Annotated[int, Path(ge=1, lt=1 << 62)]


def archive_names(settings: Settings) -> list[str]:
    """The AE titles of the archives that can be searched."""
    return [peer.ae_title for peer in archives(settings)]


@router.post("/arrivals/archive/search")
def search_archive(request: Request, form: Form) -> Response:
    """The studies that an archive has of a patient or an order."""
    context = context_of(request)
    answer = archive_studies.find_studies(
        context.settings,
        context.database,
        form.get("archive", ""),
        patient_id=form.get("patient_id", ""),
        accession_number=form.get("accession_number", ""),
    )
    return context.rendering.page(request, "archive_found.html", found=answer)


@router.post("/arrivals/archive/retrieve")
def retrieve(request: Request, form: Form) -> Response:
    """Have the archive send the studies that are ticked."""
    context = context_of(request)
    uids = [name.removeprefix(_STUDY_FIELD) for name in form if name.startswith(_STUDY_FIELD)]
    with context.database.writing() as session:
        view = archive_studies.ask(
            session, context.settings, form.get("archive", ""), uids, actor=actor_of(request)
        )
    return context.rendering.page(request, "archive_asked.html", view=view)


@router.post("/arrivals/retrievals/{number}/cancel")
def cancel(request: Request, number: _RetrievalID) -> Response:
    """Cancel a retrieval; the live page shows it."""
    with context_of(request).database.writing() as session:
        archive_studies.cancel(session, number)
    return Response(status_code=200)


@router.post("/arrivals/retrievals/{number}/retry")
def retry(request: Request, number: _RetrievalID) -> Response:
    """Begin a retrieval again; the live page shows it."""
    with context_of(request).database.writing() as session:
        archive_studies.retry(session, number)
    return Response(status_code=200)
