"""Surface: `/api/v1/requests`: lists, shows, creates and steers media creation requests."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from burnish.request import listing, media_orders
from burnish.request.listing import RequestFilter
from burnish.request.media_orders import MediaOrder
from burnish.request.repeated_calls import RepeatedCall
from burnish.request.views import ListPage, RequestGroup, RequestLine, RequestView
from burnish.vocabulary import ExecutionStatus, IncludeNonDICOMObjects, RequestPriority
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented, page, with_zone
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.disc_pages import page_response
from burnish.web.sessions import actions_of, actor_of

router = APIRouter(prefix="/api/v1/requests", tags=["requests"])

_UID = Annotated[str, Field(min_length=1, max_length=64)]
_CODE = Annotated[str, Field(pattern=r"^[A-Z0-9 _]{0,16}$")]
_LINE, _VIEW = schema_of(RequestLine), schema_of(RequestView)
_MAKE = [needs(Permission.MAKE)]
_LABEL_TYPES = {
    "pdf": "application/pdf",
    "png": "image/png",
    "jpg": "image/jpeg",
    "bmp": "image/bmp",
}


class LabelBody(Body):
    """The texts of the labels of a request; those that are left out stay as they are."""

    text: Annotated[str, Field(max_length=10_240)] | None = None
    style: _CODE | None = None
    barcode_value: Annotated[str, Field(max_length=64)] | None = None
    barcode_symbology: _CODE | None = None


class NewRequestBody(Body):
    """A new request: all instances of these studies, series and patients, and these instances."""

    studies: list[_UID] = Field(default=[], max_length=1000, description="Study Instance UIDs.")
    series: list[_UID] = Field(default=[], max_length=1000, description="Series Instance UIDs.")
    patient_ids: list[_UID] = Field(default=[], max_length=100, description="Patient IDs.")
    accession_numbers: list[_UID] = Field(
        default=[], max_length=100, description="Accession Numbers."
    )
    instances: list[_UID] = Field(default=[], max_length=100_000, description="SOP Instance UIDs.")
    several_patients: bool = Field(
        default=False, description="The media may have instances of more than one patient."
    )
    initiate: bool = Field(default=True, description="Make the media at once.")
    profile: str = Field(default="", description="Media Application Profile; empty: the default.")
    copies: int | None = Field(default=None, ge=1, le=9999)
    priority: RequestPriority | None = None
    device: str = Field(default="", description="Only this device makes the media.")
    label: LabelBody = Field(default_factory=LabelBody)
    media_disposition: str = Field(default="", max_length=10_240)
    file_set_id: str = Field(default="", pattern=r"^[A-Z0-9_]{0,16}$")
    split: bool | None = Field(default=None, description="Whether several volumes may be made.")
    lossy: bool | None = Field(default=None, description="Whether images may lose by compression.")
    content: IncludeNonDICOMObjects | None = Field(
        default=None, description="Whom the media are for; NO: DICOM files alone."
    )
    viewer: bool | None = Field(default=None, description="Whether the media have the viewer.")


class InitiateBody(Body):
    """How to start a request; without values, as it was created."""

    copies: int | None = Field(default=None, ge=1, le=9999)
    priority: RequestPriority | None = None


class PriorityBody(Body):
    """A priority."""

    priority: RequestPriority


class DeviceBody(Body):
    """The name of a device; empty: any device."""

    device: str


class CopiesBody(Body):
    """How many more copies."""

    copies: int = Field(ge=1, le=9999)


class RepeatBody(Body):
    """The differences of the new request."""

    copies: int | None = Field(default=None, ge=1, le=9999)
    priority: RequestPriority | None = None
    device: str | None = None
    even_if_missing: bool = Field(
        default=False, description="Also if instances are no longer here: an archive has them."
    )


@router.get(
    "",
    dependencies=[needs(Permission.SEE)],
    summary="List requests, newest first",
    responses=documented(page_of(RequestLine), text="One page of requests."),
)
def list_requests(
    request: Request,
    *,
    status: ExecutionStatus | None = None,
    group: RequestGroup | None = None,
    patient: Annotated[str, Query(max_length=200, description="Patient ID or name.")] = "",
    accession: Annotated[str, Query(max_length=64, description="Accession Number.")] = "",
    study_date: Annotated[
        str, Query(max_length=40, description="A date or a range: 2026-11-01..2026-11-30.")
    ] = "",
    since: datetime | None = None,
    device: Annotated[str, Query(max_length=64)] = "",
    calling_ae_title: Annotated[str, Query(max_length=16)] = "",
    standing_order: Annotated[str, Query(max_length=64)] = "",
    limit: Limit = 50,
    before: Annotated[str, Query(max_length=64, description="`next` of the page before.")] = "",
) -> Response:
    """Requests that match all that is given. Cancelled ones are listed only if asked for.

    A filter by patient, Accession Number or study date needs the permission to see patients.
    """
    if patient or accession or study_date:
        needs(Permission.SEE_PATIENTS).dependency(request)
    wanted = RequestFilter(
        status=status,
        group=group,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=with_zone(since),
        device=device,
        calling_ae_title=calling_ae_title,
        standing_order=standing_order,
    )
    with context_of(request).database.reading() as session:
        lines = listing.requests(session, wanted, limit=limit + 1, before=before)
    return page(request, lines, limit, lambda line: line.short_id)


@router.post(
    "",
    dependencies=_MAKE,
    status_code=201,
    summary="Create a request",
    responses={
        **documented(_LINE, 404, 409, status=201, text="The new request."),
        200: {
            "description": "The request that was created with this Idempotency-Key before.",
            "content": {"application/json": {"schema": _LINE}},
        },
    },
)
def create_request(
    request: Request,
    body: NewRequestBody,
    idempotency_key: Annotated[str, Header(max_length=255, pattern=r"^[\x21-\x7e]*$")] = "",
) -> Response:
    """Request media for instances that are here, and have them made at once.

    With the header Idempotency-Key, the same call again within seven days answers with the request
    that was created first.
    """
    call = None
    if idempotency_key:
        actor = actor_of(request)
        caller = f"{actor.kind} {actor.name}"
        call = RepeatedCall(caller, idempotency_key, body.model_dump_json().encode())
    created = actions_of(request).create(_order(body), call)
    if not created.is_new:
        return answer(request, created.line)
    address = _address(created.line.short_id)
    return answer(request, created.line, status=201, location=address)


@router.get(
    "/{name}",
    dependencies=[needs(Permission.SEE)],
    summary="Show one request",
    responses=documented(_VIEW, 404, text="Everything about the request."),
)
def show_request(request: Request, name: str) -> Response:
    """A request by its name (R000012) or SOP Instance UID: state, volumes, pieces, events."""
    with context_of(request).database.reading() as session:
        view = listing.show(session, name)
    return answer(request, view)


def _named_action(action: str, summary: str, text: str) -> Callable[..., Response]:
    """Add the route of an action that needs nothing but the name of the request."""

    @router.post(
        f"/{{name}}/{action}",
        dependencies=_MAKE,
        summary=summary,
        description=text,
        operation_id=f"{action}_request",
        responses=documented(_LINE, 404, 409, text="The request as it is now."),
    )
    def act(request: Request, name: str) -> Response:
        return answer(request, actions_of(request).do(action, name))

    return act


cancel_request = _named_action(
    "cancel", "Cancel a request", "Nothing more is made; finished media stay."
)
retry_request = _named_action(
    "retry",
    "Retry a request",
    "A failed request is made again; a waiting device is tried at once.",
)
hold_request = _named_action(
    "hold", "Hold a request", "Nothing more of it is begun until it is released."
)
release_request = _named_action("release", "Release a request", "A request that was held goes on.")


@router.post(
    "/{name}/initiate",
    dependencies=_MAKE,
    summary="Start a request that was only created",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def initiate_request(request: Request, name: str, body: InitiateBody | None = None) -> Response:
    """Have the media of a request made."""
    body = body or InitiateBody()
    line = actions_of(request).initiate(name, copies=body.copies, priority=body.priority)
    return answer(request, line)


@router.post(
    "/{name}/priority",
    dependencies=_MAKE,
    summary="Change the priority of a request",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def set_priority(request: Request, name: str, body: PriorityBody) -> Response:
    """Have a request made sooner or later than others."""
    return answer(request, actions_of(request).set_priority(name, body.priority))


@router.post(
    "/{name}/device",
    dependencies=_MAKE,
    summary="Move a request to another device",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def move_to_device(request: Request, name: str, body: DeviceBody) -> Response:
    """Have another device make what is left of a request."""
    return answer(request, actions_of(request).move_to_device(name, body.device))


@router.post(
    "/{name}/label",
    dependencies=_MAKE,
    summary="Change the label of a request",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def set_label(request: Request, name: str, body: LabelBody) -> Response:
    """Change what the labels say, before a piece is begun."""
    return answer(request, actions_of(request).set_label(name, **body.model_dump()))


@router.post(
    "/{name}/copies",
    dependencies=_MAKE,
    summary="Make more copies",
    responses=documented(_LINE, 404, 409, text="The request that makes the copies."),
)
def add_copies(request: Request, name: str, body: CopiesBody) -> Response:
    """More copies of the media: by the request itself, or by a new one if it has ended."""
    return answer(request, actions_of(request).add_copies(name, body.copies))


@router.post(
    "/{name}/repeat",
    dependencies=_MAKE,
    status_code=201,
    summary="Make the media of a request again",
    responses=documented(_LINE, 404, 409, status=201, text="The new request."),
)
def repeat_request(request: Request, name: str, body: RepeatBody | None = None) -> Response:
    """A new request for the same content, with the newest content of each instance."""
    body = body or RepeatBody()
    line = actions_of(request).repeat(name, **body.model_dump())
    return answer(request, line, status=201, location=_address(line.short_id))


@router.post(
    "/{name}/split",
    dependencies=_MAKE,
    status_code=201,
    summary="Split a request by patient",
    responses=documented(page_of(RequestLine), 404, 409, status=201, text="The new requests."),
)
def split_request(request: Request, name: str) -> Response:
    """A request for each patient in place of one for several."""
    lines = actions_of(request).split(name)
    return answer(request, ListPage(tuple(lines)), status=201)


# --- downloads


@router.get(
    "/{name}/volumes/{number}/image",
    dependencies=[needs(Permission.DOWNLOAD)],
    summary="Download the image of a volume",
    response_class=FileResponse,
    responses=documented(
        {"type": "string", "format": "binary"},
        404,
        text="The image: ISO 9660, UDF, FAT or ZIP.",
        media_types=("application/octet-stream",),
    ),
)
def download_image(request: Request, name: str, number: int) -> Response:
    """The image or ZIP that a folder device has published."""
    path, file_name = context_of(request).downloads.image(name, number)
    return FileResponse(path, filename=file_name, media_type="application/octet-stream")


@router.get(
    "/{name}/volumes/{number}/zip",
    dependencies=[needs(Permission.DOWNLOAD)],
    summary="Download the files of a volume as a ZIP file",
    response_class=StreamingResponse,
    responses=documented(
        {"type": "string", "format": "binary"},
        404,
        text="The files of the volume, as they are on it.",
        media_types=("application/zip",),
    ),
)
def download_zip(request: Request, name: str, number: int) -> Response:
    """Of a published image, or made from the instances that are here."""
    pieces, file_name = context_of(request).downloads.zip_file(name, number)
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(pieces, media_type="application/zip", headers=headers)


@router.get(
    "/{name}/volumes/{number}/label",
    dependencies=[needs(Permission.DOWNLOAD)],
    summary="Download the label of a volume",
    response_class=Response,
    responses=documented(
        {"type": "string", "format": "binary"},
        404,
        409,
        text="The label.",
        media_types=tuple(_LABEL_TYPES.values()),
    ),
)
def download_label(
    request: Request, name: str, number: int, form: Literal["pdf", "png", "jpg", "bmp"] = "pdf"
) -> Response:
    """The label, which all copies of a volume share."""
    label = context_of(request).downloads.label(name, number, form)
    return Response(label, media_type=_LABEL_TYPES[form])


@router.get(
    "/{name}/volumes/{number}/front",
    dependencies=[needs(Permission.DOWNLOAD)],
    summary="Show the first page of a volume",
    response_class=Response,
    responses=documented(
        {"type": "string"},
        404,
        text="INDEX.HTM, as a browser shows it when the medium is put in.",
        media_types=("text/html",),
    ),
)
def show_front_page(request: Request, name: str, number: int) -> Response:
    """The page that greets whoever puts the medium in; also before the medium is made."""
    return page_response(context_of(request).downloads.front_page(name, number))


# --- parts


def _order(body: NewRequestBody) -> MediaOrder:
    """The media that a program asks for; the configuration has what is left out."""
    texts = {
        "label_text": body.label.text,
        "label_style_selection": body.label.style,
        "barcode_value": body.label.barcode_value,
        "barcode_symbology": body.label.barcode_symbology,
        "media_disposition": body.media_disposition,
        "storage_media_file_set_id": body.file_set_id,
        "include_non_dicom_objects": body.content,
    }
    flags = {
        "allow_media_splitting": body.split,
        "allow_lossy_compression": body.lossy,
        "include_display_application": body.viewer,
    }
    return MediaOrder(
        studies=body.studies,
        series=body.series,
        patient_ids=body.patient_ids,
        accession_numbers=body.accession_numbers,
        instances=body.instances,
        attributes=media_orders.attributes(texts, flags),
        profile=body.profile,
        device=body.device,
        several_patients=body.several_patients,
        initiate=body.initiate,
        copies=body.copies,
        priority=body.priority,
    )


def _address(name: str) -> str:
    return f"/api/v1/requests/{name}"
