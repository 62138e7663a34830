"""Surface: `/api/v1/register`: every piece of media that was ever made, and what became of it."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from burnish import register
from burnish.register import NoteKind, RegisterEntry, RegisterFilter
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented, page, with_zone
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of

router = APIRouter(prefix="/api/v1/register", tags=["register"])

_Text = Annotated[str, Query(max_length=200)]


class NoteBody(Body):
    """A note: to whom a piece was given, that it was destroyed, or a remark."""

    kind: NoteKind
    text: str = Field(default="", max_length=1000)


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List pieces of media, newest first",
    responses=documented(page_of(RegisterEntry), text="One page of the register."),
)
def list_register(
    request: Request,
    *,
    text: _Text = "",
    patient: _Text = "",
    barcode: _Text = "",
    file_set: _Text = "",
    study_instance_uid: _Text = "",
    device: _Text = "",
    outcome: Literal["", "created", "spoiled"] = "",
    since: datetime | None = None,
    until: datetime | None = None,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=0, lt=1 << 62)] = None,
) -> Response:
    """Pieces that match all that is given.

    A search by words, patient, bar code, File-set ID or study needs the permission to see patients.
    """
    if text or patient or barcode or file_set or study_instance_uid:
        needs(Permission.SEE_PATIENTS).dependency(request)
    criteria = RegisterFilter(
        text=text,
        patient=patient,
        barcode=barcode,
        file_set=file_set,
        study_instance_uid=study_instance_uid,
        device=device,
        outcome=outcome,
        since=with_zone(since),
        until=with_zone(until),
    )
    with context_of(request).database.reading() as session:
        pieces = register.entries(session, criteria, limit=limit + 1, before=before)
    return page(request, pieces, limit, lambda piece: piece.id)


@router.get(
    "/{name}",
    dependencies=[needs(Permission.SEE)],
    summary="Show one piece of media",
    responses=documented(schema_of(RegisterEntry), 404, 409, text="The piece."),
)
def show_piece(request: Request, name: str) -> Response:
    """A piece by its name (M000012), the bar code of its label, or its File-set ID or UID.

    By other than its name, it needs the permission to see patients: a bar code or a File-set ID may
    be the number of one.
    """
    if not register.is_entry_name(name):
        needs(Permission.SEE_PATIENTS).dependency(request)
    with context_of(request).database.reading() as session:
        piece = register.entry(session, name)
    return answer(request, piece)


@router.post(
    "/{name}/notes",
    dependencies=[needs(Permission.MAKE)],
    status_code=201,
    summary="Add a note to a piece of media",
    responses=documented(
        schema_of(RegisterEntry), 404, 409, status=201, text="The piece with its notes."
    ),
)
def add_note(request: Request, name: str, body: NoteBody) -> Response:
    """Note what became of a piece."""
    with context_of(request).database.writing() as session:
        register.add_note(session, name, body.kind, body.text, actor=actor_of(request))
        session.flush()
        piece = register.entry(session, name)
    return answer(request, piece, status=201)
