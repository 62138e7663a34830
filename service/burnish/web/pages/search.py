"""Surface: the search box of every page: it finds studies, requests and media."""

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from burnish import search as finder
from burnish.web.access import Permission, needs
from burnish.web.context import context_of

router = APIRouter()

_REQUEST = re.compile(r"[Rr]\d{1,12}")
_LONGEST = 200


@router.get("/search", dependencies=[needs(Permission.SEE_PATIENTS)])
def search(request: Request, q: str = "") -> Response:
    """The results of a search; a request that is named leads to its page."""
    context = context_of(request)
    text = q.strip()[:_LONGEST]
    with context.database.reading() as session:
        result = finder.search(session, text)
    if _REQUEST.fullmatch(text) and len(result.requests) == 1:
        return RedirectResponse(f"/requests/{result.requests[0].request.short_id}", 303)
    return context.rendering.page(request, "search.html", result=result, search_text=text)
