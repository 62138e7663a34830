"""Surface: `/api/v1/instances`: received instances: list, show, upload, correct, remove."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.requests import ClientDisconnect

from burnish import __version__, correction, removal
from burnish.correction import Correction
from burnish.db import instance_events
from burnish.db.instance_events import InstanceEventLine
from burnish.db.instance_rows import Selection
from burnish.errors import MissingValue
from burnish.receive.receiver import receiving_corrections
from burnish.removal import Removal
from burnish.request import instance_listing
from burnish.request.instance_listing import InstanceFilter, InstanceLine, MediumLine
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented, page, with_zone
from burnish.web.api.shapes import object_of, page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of
from burnish.web.uploads import CLIENT_GONE, receive_body

router = APIRouter(prefix="/api/v1/instances", tags=["instances"])

_UID = Annotated[str, Query(max_length=64)]
_Name = Annotated[str, Field(min_length=1, max_length=64)]


class SelectionBody(Body):
    """All instances of these studies, series and patients, and these instances."""

    studies: list[_Name] = Field(default=[], max_length=1000, description="Study Instance UIDs.")
    series: list[_Name] = Field(default=[], max_length=1000, description="Series Instance UIDs.")
    patient_ids: list[_Name] = Field(default=[], max_length=100, description="Patient IDs.")
    instances: list[_Name] = Field(default=[], max_length=10_000, description="SOP Instance UIDs.")

    def selection(self) -> Selection:
        """The instances that are selected; raises MissingValue if the body names nothing."""
        if not (self.studies or self.series or self.patient_ids or self.instances):
            raise MissingValue("name studies, series, patient_ids or instances")
        return Selection(self.instances, self.series, self.studies, self.patient_ids)


class RemovalBody(SelectionBody):
    """The instances to remove."""

    even_if_needed: bool = Field(
        default=False,
        description="Also instances that an open request needs, or that a peer was promised.",
    )


class CorrectionBody(SelectionBody):
    """The instances to correct, and what is right; what is left out stays as it is."""

    patient_id: str = Field(default="", max_length=64)
    patient_name: str = Field(default="", max_length=200, description="Family^Given.")
    birth_date: str = Field(default="", max_length=8, description="YYYYMMDD.")
    sex: str = Field(default="", max_length=1, description="M, F or O.")

    def values(self) -> dict[str, str]:
        """The right values by keyword; raises MissingValue if the body has none."""
        values = {
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "PatientBirthDate": self.birth_date,
            "PatientSex": self.sex,
        }
        values = {keyword: value for keyword, value in values.items() if value}
        if not values:
            raise MissingValue("name what is right: patient_id, patient_name, birth_date or sex")
        return values


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List instances, newest first",
    responses=documented(page_of(InstanceLine), text="One page of instances."),
)
def list_instances(
    request: Request,
    *,
    study_instance_uid: _UID = "",
    series_instance_uid: _UID = "",
    patient: Annotated[str, Query(max_length=200, description="Patient ID or name.")] = "",
    accession: Annotated[str, Query(max_length=64, description="Accession Number.")] = "",
    study_date: Annotated[
        str, Query(max_length=40, description="A date or a range: 2026-11-01..2026-11-30.")
    ] = "",
    since: datetime | None = None,
    limit: Limit = 50,
    before: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the page before.")] = 0,
) -> Response:
    """The instances that are here and match all that is given.

    A filter by patient, Accession Number or study date needs the permission to see patients.
    """
    if patient or accession or study_date:
        needs(Permission.SEE_PATIENTS).dependency(request)
    wanted = InstanceFilter(
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=with_zone(since),
    )
    with context_of(request).database.reading() as session:
        lines = instance_listing.instances(session, wanted, limit=limit + 1, before=before)
    return page(request, lines, limit, lambda line: line.id)


@router.get(
    "/{sop_instance_uid}",
    dependencies=[needs(Permission.SEE)],
    summary="Show one instance",
    responses=documented(
        object_of(instance=InstanceLine, media=list[MediumLine], events=list[InstanceEventLine]),
        404,
        text="The instance.",
    ),
)
def show_instance(request: Request, sop_instance_uid: str) -> Response:
    """Its newest content, what that replaced, the media that it is on, and who uploaded it."""
    with context_of(request).database.reading() as session:
        facts = {
            "instance": instance_listing.find_instance(session, sop_instance_uid),
            "media": instance_listing.media_of_instance(session, sop_instance_uid),
            "events": instance_events.events(session, sop_instance_uid),
        }
    return answer(request, facts)


@router.put(
    "",
    dependencies=[needs(Permission.RECEIVE)],
    summary="Upload one DICOM file",
    responses=documented(
        {
            "type": "object",
            "properties": {
                "sop_instance_uid": {"type": "string"},
                "sop_class_uid": {"type": "string"},
                "size": {"type": "integer"},
            },
            "required": ["sop_instance_uid", "sop_class_uid", "size"],
        },
        409,
        413,
        text="The instance is here, durably, and has its row.",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/dicom": {"schema": {"type": "string", "format": "binary"}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def upload_instance(request: Request) -> Response:
    """Receive a DICOM File (PS3.10) by the rules of C-STORE; the same again changes nothing.

    `no-instance` at the end of `type` says of a refused file that it is no DICOM file, or a
    DICOMDIR: a program that sends a whole folder passes over those.
    """
    try:
        received = await receive_body(request, context_of(request).uploads, actor_of(request))
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    return answer(request, received)


@router.delete(
    "/{sop_instance_uid}",
    dependencies=[needs(Permission.REMOVE)],
    summary="Remove one instance",
    responses=documented(schema_of(Removal), 404, 409, text="What was removed."),
)
def remove_instance(
    request: Request, sop_instance_uid: str, even_if_needed: bool = False
) -> Response:
    """Remove an instance with all its contents. Media are not touched.

    An instance that an open request needs, or that a peer was promised, stays unless
    `even_if_needed`.
    """
    context = context_of(request)
    removed = removal.remove(
        context.database,
        context.spool,
        Selection([sop_instance_uid], (), (), ()),
        even_if_needed=even_if_needed,
        actor=actor_of(request),
    )
    return answer(request, removed)


@router.post(
    "/removal/preview",
    dependencies=[needs(Permission.REMOVE)],
    summary="Count what a removal would remove",
    responses=documented(schema_of(Removal), 404, text="What would be removed."),
)
def preview_removal(request: Request, body: RemovalBody) -> Response:
    """The number of instances, the open requests that need them, and how many were promised."""
    with context_of(request).database.reading() as session:
        planned = removal.describe(session, body.selection())
    return answer(request, planned)


@router.post(
    "/removal",
    dependencies=[needs(Permission.REMOVE)],
    summary="Remove instances",
    responses=documented(schema_of(Removal), 404, 409, text="What was removed."),
)
def remove_instances(request: Request, body: RemovalBody) -> Response:
    """Remove all selected instances with all their contents. Media are not touched.

    If an open request needs one of them, or a peer was promised one, all stay unless
    `even_if_needed`.
    """
    context = context_of(request)
    removed = removal.remove(
        context.database,
        context.spool,
        body.selection(),
        even_if_needed=body.even_if_needed,
        actor=actor_of(request),
    )
    return answer(request, removed)


@router.post(
    "/correction/preview",
    dependencies=[needs(Permission.CORRECT)],
    summary="Show what a correction would change",
    responses=documented(schema_of(Correction), 404, text="What would be changed."),
)
def preview_correction(request: Request, body: CorrectionBody) -> Response:
    """The present values and how many instances have them. Each selected instance is read."""
    context = context_of(request)
    planned = correction.describe(context.database, context.spool, body.selection(), body.values())
    return answer(request, planned)


@router.post(
    "/correction",
    dependencies=[needs(Permission.CORRECT)],
    summary="Correct what instances say of their patient",
    responses=documented(schema_of(Correction), 404, text="What was changed."),
)
def correct_instances(request: Request, body: CorrectionBody) -> Response:
    """Give the selected instances these values; later media have the correction.

    The corrected instances are newer content, with an Original Attributes Sequence that says what
    was changed, when, and by whom. An instance that cannot be corrected is in `failed`.
    """
    context = context_of(request)
    actor = actor_of(request)
    with receiving_corrections(context.database, context.spool) as keep:
        corrected = correction.correct(
            context.database,
            context.spool,
            body.selection(),
            body.values(),
            keep=keep,
            by=f"{actor.kind} {actor.name}, Burnish {__version__}",
        )
    return answer(request, corrected)
