"""Surface: `/api/v1/requests`: lists, shows, creates and steers media creation requests."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import Field

from burnish.application_profiles import PROFILES
from burnish.contradictions import count_patients
from burnish.db.tables import short_id
from burnish.errors import Conflict, InvalidValue, MissingValue, Unknown
from burnish.label import LABEL_FORMATS
from burnish.request import changes, instance_listing, listing, operations, repeated_calls
from burnish.request.listing import RequestFilter
from burnish.request.operations import NewRequest, Reference
from burnish.request.views import RequestGroup, RequestLine, RequestView
from burnish.vocabulary import ExecutionStatus, IncludeNonDICOMObjects, RequestPriority, YesNo
from burnish.web import volume_previews
from burnish.web.access import Permission, needs
from burnish.web.api.answers import Body, Limit, answer, documented, page
from burnish.web.api.shapes import page_of, schema_of
from burnish.web.context import context_of
from burnish.web.sessions import actor_of
from burnish.write.job import PieceJob, volume_jobs
from burnish.write.labels import PieceLabels

router = APIRouter(prefix="/api/v1/requests", tags=["requests"])

_UID = Annotated[str, Field(min_length=1, max_length=64)]
_CODE = Annotated[str, Field(pattern=r"^[A-Z0-9 _]{0,16}$")]
_LINE, _VIEW = schema_of(RequestLine), schema_of(RequestView)
_MAKE = [needs(Permission.MAKE)]
_LABEL_TYPES = {"pdf": "application/pdf", "png": "image/png", "jpg": "image/jpeg"}


class LabelBody(Body):
    """What the labels of a request say; what is left out stays as it is."""

    text: Annotated[str, Field(max_length=10_240)] | None = None
    style: _CODE | None = None
    barcode_value: Annotated[str, Field(max_length=64)] | None = None
    barcode_symbology: _CODE | None = None


class NewRequestBody(Body):
    """A new request: all instances of these studies, and these instances."""

    studies: list[_UID] = Field(default=[], max_length=1000, description="Study Instance UIDs.")
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
    """What is different in the new request."""

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
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    wanted = RequestFilter(
        status=status,
        group=group,
        patient=patient,
        accession_number=accession,
        study_date=study_date,
        since=since,
        device=device,
        calling_ae_title=calling_ae_title,
        standing_order=standing_order,
    )
    with context_of(request).database.reading() as session:
        lines = listing.requests(session, wanted, limit=limit + 1, before=before)
    return page(request, lines, limit, "short_id")


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
    context = context_of(request)
    actor = actor_of(request)
    content = body.model_dump_json().encode()
    with context.database.writing() as session:
        if idempotency_key:
            uid = repeated_calls.earlier_request(session, str(actor), idempotency_key, content)
            if uid is not None:
                return answer(request, listing.find_request(session, uid))
        new_request = NewRequest(_references(session, body), _attributes(body))
        if body.device and body.device not in _device_names(request):
            raise Unknown(f"no device {body.device}")
        created = operations.create(
            session,
            context.settings.request,
            new_request,
            origin="administrator",
            device=body.device,
            actor=actor,
        )
        if body.initiate:
            operations.initiate(
                session,
                context.settings.request,
                created.sop_instance_uid,
                number_of_copies=body.copies,
                request_priority=body.priority,
                actor=actor,
            )
        if idempotency_key:
            repeated_calls.remember(session, str(actor), idempotency_key, content, created.id)
        line = listing.find_request(session, created.sop_instance_uid)
    return answer(request, line, status=201, location=_address(line.short_id))


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


def _action(
    path: str, operation: Callable[..., Any], summary: str, text: str
) -> Callable[..., Response]:
    """Add the route of an action that needs nothing but the name of the request."""

    @router.post(
        f"/{{name}}/{path}",
        dependencies=_MAKE,
        summary=summary,
        description=text,
        operation_id=f"{path}_request",
        responses=documented(_LINE, 404, 409, text="The request as it is now."),
    )
    def act(request: Request, name: str) -> Response:
        def change(session: Any, uid: str) -> None:
            operation(session, uid, actor=actor_of(request))

        return _changed(request, name, change)

    return act


cancel_request = _action(
    "cancel", operations.cancel, "Cancel a request", "Nothing more is made; finished media stay."
)
retry_request = _action(
    "retry",
    operations.retry,
    "Retry a request",
    "A failed request is made again; a waiting device is tried at once.",
)
hold_request = _action(
    "hold", operations.hold, "Hold a request", "Nothing more of it is begun until it is released."
)
release_request = _action(
    "release", operations.release, "Release a request", "A request that was held goes on."
)


@router.post(
    "/{name}/initiate",
    dependencies=_MAKE,
    summary="Start a request that was only created",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def initiate_request(request: Request, name: str, body: InitiateBody | None = None) -> Response:
    """Have the media of a request made."""
    body = body or InitiateBody()

    def change(session: Any, uid: str) -> None:
        operations.initiate(
            session,
            context_of(request).settings.request,
            uid,
            number_of_copies=body.copies,
            request_priority=body.priority,
            actor=actor_of(request),
        )

    return _changed(request, name, change)


@router.post(
    "/{name}/priority",
    dependencies=_MAKE,
    summary="Change the priority of a request",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def set_priority(request: Request, name: str, body: PriorityBody) -> Response:
    """Have a request made sooner or later than others."""

    def change(session: Any, uid: str) -> None:
        changes.set_priority(session, uid, body.priority, actor=actor_of(request))

    return _changed(request, name, change)


@router.post(
    "/{name}/device",
    dependencies=_MAKE,
    summary="Move a request to another device",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def move_to_device(request: Request, name: str, body: DeviceBody) -> Response:
    """Have another device make what is left of a request."""

    def change(session: Any, uid: str) -> None:
        changes.move_to_device(
            session,
            uid,
            body.device,
            context_of(request).settings.devices,
            actor=actor_of(request),
        )

    return _changed(request, name, change)


@router.post(
    "/{name}/label",
    dependencies=_MAKE,
    summary="Change the label of a request",
    responses=documented(_LINE, 404, 409, text="The request as it is now."),
)
def set_label(request: Request, name: str, body: LabelBody) -> Response:
    """Change what the labels say, before a piece is begun."""

    def change(session: Any, uid: str) -> None:
        changes.set_label(session, uid, **body.model_dump(), actor=actor_of(request))

    return _changed(request, name, change)


@router.post(
    "/{name}/copies",
    dependencies=_MAKE,
    summary="Make more copies",
    responses=documented(_LINE, 404, 409, text="The request that makes the copies."),
)
def add_copies(request: Request, name: str, body: CopiesBody) -> Response:
    """More copies of the media: by the request itself, or by a new one if it has ended."""
    context = context_of(request)
    with context.database.writing() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        maker = changes.add_copies(
            session, context.settings.request, uid, body.copies, actor=actor_of(request)
        )
        line = listing.find_request(session, maker.sop_instance_uid)
    return answer(request, line)


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
    context = context_of(request)
    if body.device and body.device not in _device_names(request):
        raise Unknown(f"no device {body.device}")
    with context.database.writing() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        again = changes.repeat(
            session, context.settings.request, uid, **body.model_dump(), actor=actor_of(request)
        )
        line = listing.find_request(session, again.sop_instance_uid)
    return answer(request, line, status=201, location=_address(line.short_id))


@router.post(
    "/{name}/split",
    dependencies=_MAKE,
    status_code=201,
    summary="Split a request by patient",
    responses=documented(
        {"type": "array", "items": _LINE}, 404, 409, status=201, text="The new requests."
    ),
)
def split_request(request: Request, name: str) -> Response:
    """A request for each patient in place of one for several."""
    context = context_of(request)
    with context.database.writing() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        parts = changes.split_by_patient(
            session, context.settings.request, uid, actor=actor_of(request)
        )
        lines = [listing.find_request(session, short_id(part.id)) for part in parts]
    return answer(request, lines, status=201)


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
        media_type="application/octet-stream",
    ),
)
def download_image(request: Request, name: str, number: int) -> Response:
    """The image or ZIP that a folder device has published."""
    context = context_of(request)
    with context.database.reading() as session:
        line = listing.find_request(session, name)
    path = volume_previews.downloadable_image(context.settings, line.short_id, number)
    return FileResponse(
        path, filename=f"{line.short_id}-{path.name}", media_type="application/octet-stream"
    )


@router.get(
    "/{name}/volumes/{number}/label",
    dependencies=[needs(Permission.DOWNLOAD)],
    summary="Download the label of a volume",
    response_class=Response,
    responses=documented(
        {"type": "string", "format": "binary"}, 404, text="The label.", media_type="application/pdf"
    ),
)
def download_label(
    request: Request, name: str, number: int, form: Literal["pdf", "png", "jpg", "bmp"] = "pdf"
) -> Response:
    """The label, which all copies of a volume share."""
    if form not in LABEL_FORMATS:
        raise InvalidValue(f"a label is one of {', '.join(LABEL_FORMATS)}")
    job = _volume_job(request, name, number)
    label = next(
        iter(PieceLabels(context_of(request).settings.label, form).of_volume(job).values())
    )
    return Response(
        io.BytesIO(label.data).getvalue(), media_type=_LABEL_TYPES.get(form, "image/bmp")
    )


# --- parts


def _changed(request: Request, name: str, change: Callable[[Any, str], None]) -> Response:
    """Change a request in one transaction, and answer with what it is then."""
    with context_of(request).database.writing() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        change(session, uid)
        line = listing.find_request(session, uid)
    return answer(request, line)


def _references(session: Any, body: NewRequestBody) -> list[Reference]:
    """The instances that go on the media. Raises Unknown, Conflict, MissingValue, InvalidValue."""
    if not (body.studies or body.instances):
        raise MissingValue("name what goes on the media: studies or instances")
    if body.profile and body.profile not in PROFILES:
        raise InvalidValue(f"no Application Profile {body.profile}")
    pairs: dict[str, str] = {}
    for study in body.studies:
        for sop_class, uid in instance_listing.references_of_study(session, study):
            pairs[uid] = sop_class
    for sop_class, uid in instance_listing.references_of_instances(session, body.instances):
        pairs[uid] = sop_class
    headers = instance_listing.distinct_headers(session, list(pairs))
    patients = count_patients(headers)
    if patients > 1 and not body.several_patients:
        raise Conflict(
            f"the instances are of {patients} patients",
            hint='send "several_patients": true if they may share media',
        )
    return [Reference(sop_class, uid, body.profile) for uid, sop_class in pairs.items()]


def _attributes(body: NewRequestBody) -> dict[str, str]:
    """The attributes that were given, by column; the defaults apply to the others."""
    flags = {
        "allow_media_splitting": body.split,
        "allow_lossy_compression": body.lossy,
        "include_display_application": body.viewer,
    }
    attributes = {
        name: str(YesNo.YES if flag else YesNo.NO)
        for name, flag in flags.items()
        if flag is not None
    }
    texts = {
        "label_text": body.label.text,
        "label_style_selection": body.label.style,
        "barcode_value": body.label.barcode_value,
        "barcode_symbology": body.label.barcode_symbology,
        "media_disposition": body.media_disposition,
        "storage_media_file_set_id": body.file_set_id,
        "include_non_dicom_objects": body.content,
    }
    return {**attributes, **{name: str(text) for name, text in texts.items() if text}}


def _volume_job(request: Request, name: str, number: int) -> PieceJob:
    """What a writer would get to make a volume of a request; raises Unknown."""
    context = context_of(request)
    root = context.settings.storage.root
    with context.database.reading() as session:
        uid = listing.find_request(session, name).sop_instance_uid
        jobs = volume_jobs(session, uid, context.spool, root / "images", root / "content")
    for job in jobs:
        if job.burn_job.volume_number == number:
            return job
    raise Unknown(f"no volume {number} is planned", hint="once it is planned, its request shows it")


def _device_names(request: Request) -> list[str]:
    return [device.name for device in context_of(request).settings.devices]


def _address(name: str) -> str:
    return f"/api/v1/requests/{name}"
