"""Surface: the page Arrivals: what nobody has requested media for, a form for a disc, uploads."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from burnish.application_profiles import OFFERED
from burnish.db.session import Database
from burnish.errors import BurnishError, InvalidValue, NoInstance, OutOfResources
from burnish.request import archive_studies, event_feed, media_orders
from burnish.request import arrivals as stage
from burnish.request.media_orders import MediaOrder
from burnish.request.views import list_page
from burnish.settings import Settings
from burnish.vocabulary import RequestPriority
from burnish.web.access import Permission, needs
from burnish.web.context import context_of
from burnish.web.forms import Form, copies_of, priority_of
from burnish.web.live import Topic
from burnish.web.pages import archives
from burnish.web.problems import problem_of
from burnish.web.sessions import actions_of, actor_of
from burnish.web.uploads import CLIENT_GONE, receive_body

router = APIRouter()

_PAGE = 50
#: The most studies of one disc that are chosen on the page.
_MOST_STUDIES = 200
#: What the name of the box of a study begins with; its id follows.
_STUDY_FIELD = "study-"
_StudyIDs = Annotated[list[Annotated[int, Query(ge=1, lt=2**63)]], Query(max_length=_MOST_STUDIES)]


@router.get("/arrivals", dependencies=[needs(Permission.SEE_PATIENTS)])
def show_arrivals(request: Request, before: str = "") -> Response:
    """The studies that arrived last and that nobody has requested media for."""
    context = context_of(request)
    values = _values(context.settings, context.database, before)
    return context.rendering.page(
        request,
        "arrivals.html",
        is_live=not before,
        longest_upload=context.uploads.longest,
        archives=archives.archive_names(context.settings),
        **values,
    )


@router.get("/live/arrivals", dependencies=[needs(Permission.SEE_PATIENTS)])
async def live_arrivals(request: Request, last_event_id: str = Header("")) -> StreamingResponse:
    """The content of the page, again after each change."""
    context = context_of(request)
    topic = Topic(
        "arrivals_content.html",
        _fingerprint,
        lambda database, _sees_patients: _values(context.settings, database),
        longest_rest=10.0,
    )
    return context.live.response(request, "arrivals", topic, last_event_id)


@router.put("/arrivals/files", dependencies=[needs(Permission.RECEIVE)])
async def upload_file(request: Request) -> Response:
    """Receive the file that is the body, and tell the page's script what became of it, in words.

    `outcome` is received, passed over (no instance), refused, or failed (it may be sent again).
    """
    context = context_of(request)
    texts = context.rendering.texts(request)
    try:
        received = await receive_body(request, context.uploads, actor_of(request))
    except ClientDisconnect:
        return Response(status_code=CLIENT_GONE)
    except BurnishError as error:
        facts = {
            "outcome": _upload_outcome(error),
            "reason": texts.sentence(str(error)),
            "remedy": texts.sentence(error.hint),
        }
        return JSONResponse(facts, status_code=problem_of(error).kind.status)
    return JSONResponse({"outcome": "received", "size": received.size})


def _upload_outcome(error: BurnishError) -> str:
    if isinstance(error, NoInstance):
        return "passed over"
    return "failed" if isinstance(error, OutOfResources) else "refused"


@router.get("/arrivals/disc", dependencies=[needs(Permission.MAKE)])
def show_disc_form(request: Request, study: _StudyIDs) -> Response:
    """The form for a disc of the chosen studies, with other studies of their patients."""
    request_settings = context_of(request).settings.request
    values = {
        **_chosen(request, study),
        "copies": request_settings.number_of_copies,
        "priority": request_settings.request_priority,
        "device": "",
        "profile": "",
        "label_text": "",
        "is_asked": False,
    }
    return _disc_form(request, "arrivals_disc.html", values)


@router.post("/arrivals/disc", dependencies=[needs(Permission.MAKE)])
def make_disc(request: Request, form: Form) -> Response:
    """Request the disc and start it; if patients differ, ask first whether they may share it."""
    chosen = _chosen(request, _ticked(form))
    label_text, device = form.get("label_text", ""), form.get("device", "")
    profile = form.get("profile", "")
    order = MediaOrder(
        studies=[study.study_instance_uid for study in chosen["studies"]],
        attributes=media_orders.attributes({"label_text": label_text.strip()}, {}),
        profile=profile,
        device=device,
        several_patients="several_patients" in form,
        copies=copies_of(form),
        priority=priority_of(form),
    )
    if chosen["patient_count"] > 1 and not order.several_patients:
        values = {
            **chosen,
            "copies": order.copies,
            "priority": order.priority,
            "device": device,
            "profile": profile,
            "label_text": label_text,
            "is_asked": True,
        }
        return _disc_form(request, "arrivals_disc_form.html", values)
    name = actions_of(request).create(order).line.short_id
    return Response(status_code=200, headers={"HX-Redirect": f"/requests/{name}"})


def _chosen(request: Request, study_ids: Sequence[int]) -> dict[str, Any]:
    """The chosen studies, the number of their patients, and their other studies."""
    with context_of(request).database.reading() as session:
        studies = stage.chosen_studies(session, study_ids)
        order = MediaOrder(studies=[study.study_instance_uid for study in studies])
        items = media_orders.references(session, order)
        return {
            "studies": studies,
            "priors": stage.priors(session, study_ids),
            "patient_count": media_orders.count_patients_of(session, items),
            "contradictions": media_orders.contradictions_of(session, items),
            "ticked": set(study_ids),
        }


def _disc_form(request: Request, template: str, values: Mapping[str, Any]) -> Response:
    context = context_of(request)
    return context.rendering.page(
        request,
        template,
        device_names=[device.name for device in context.settings.devices],
        profiles=_profiles(context.settings),
        configured_profile=context.settings.request.requested_media_application_profile,
        maximum_copies=context.settings.request.maximum_copies,
        priorities=list(RequestPriority),
        **values,
    )


def _profiles(settings: Settings) -> list[str]:
    """The Application Profiles that the devices can make, secure ones if they have recipients."""
    media = {medium for device in settings.devices for medium in device.media}
    security = settings.security
    has_recipients = bool(
        security.recipients or security.password_file or security.password.get_secret_value()
    )
    return [
        label
        for label, profile in OFFERED.items()
        if media & set(profile.written_media) and (has_recipients or not profile.secure)
    ]


def _fingerprint(database: Database) -> Hashable:
    with database.reading() as session:
        return (
            event_feed.newest_event(session),
            *stage.fingerprint(session),
            *archive_studies.fingerprint(session),
        )


def _values(settings: Settings, database: Database, before: str = "") -> Mapping[str, Any]:
    with database.reading() as session:
        arrived = stage.arrivals(session, settings.standing_order, limit=_PAGE + 1, before=before)
        retrievals = [] if before else archive_studies.recent_retrievals(session)
    page = list_page(arrived, _PAGE, stage.cursor)
    return {
        "retrievals": retrievals,
        "arrived": page.items,
        "before": page.next or "",
        "ae_title": settings.dicom.ae_title,
        "dicom_port": settings.dicom.port,
    }


def _ticked(form: Form) -> list[int]:
    """The ids of the studies whose boxes are ticked; raises InvalidValue."""
    numbers = [name.removeprefix(_STUDY_FIELD) for name in form if name.startswith(_STUDY_FIELD)]
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in numbers):
        raise InvalidValue("the form cannot be read")
    if len(numbers) > _MOST_STUDIES:
        raise InvalidValue(f"more than {_MOST_STUDIES} studies are chosen")
    return [int(text) for text in numbers]
