"""Surface: removal of studies from the page Arrivals: how much it is first, then a confirmation."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from burnish import removal
from burnish.db.instance_rows import Selection
from burnish.errors import InvalidValue
from burnish.request import arrivals
from burnish.request.study_listing import StudyHit
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form
from burnish.web.sessions import actor_of

router = APIRouter(dependencies=[needs(Permission.REMOVE)])

#: The most studies that are removed at once.
_MOST_STUDIES = 200
_StudyIDs = Annotated[list[Annotated[int, Query(ge=1, lt=2**63)]], Query(max_length=_MOST_STUDIES)]


@router.get("/arrivals/removal")
def show_removal(request: Request, study: _StudyIDs) -> Response:
    """The chosen studies, how much of them would be removed, and what needs them."""
    context = context_of(request)
    with context.database.reading() as session:
        studies = arrivals.chosen_studies(session, study)
        planned = removal.describe(session, _selection(studies))
    return context.rendering.page(
        request, "arrivals_removal.html", studies=studies, removal=planned
    )


@router.post("/arrivals/removal")
def remove(request: Request, form: Form) -> Response:
    """Remove all instances of the studies that are here, and go back to the page."""
    context = context_of(request)
    with context.database.reading() as session:
        studies = arrivals.chosen_studies(session, _study_ids(form.get("studies", "")))
    removal.remove(
        context.database,
        context.spool,
        _selection(studies),
        even_if_needed="even_if_needed" in form,
        actor=actor_of(request),
    )
    return Response(status_code=200, headers={"HX-Redirect": "/arrivals"})


def _selection(studies: Sequence[StudyHit]) -> Selection:
    return Selection((), (), sorted({study.study_instance_uid for study in studies}), ())


def _study_ids(text: str) -> list[int]:
    """The ids of the studies that the form names; raises InvalidValue."""
    numbers = text.split()
    is_readable = all(part.isascii() and part.isdigit() and len(part) < 19 for part in numbers)
    if not numbers or not is_readable or len(numbers) > _MOST_STUDIES:
        raise InvalidValue("the form cannot be read")
    return [int(part) for part in numbers]
