"""Stage: what people and peers can do with a request: create, initiate, cancel, retry, hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from burnish.db import known_studies
from burnish.db.history import discard_plan, drop_pieces, move, note
from burnish.db.tables import MediaCreationRequest, ReferencedInstance
from burnish.errors import (
    AlreadyCompleted,
    AlreadyExists,
    AlreadyInitiated,
    InvalidArgument,
    InvalidUID,
    InvalidValue,
    MissingValue,
    NotNow,
    Unknown,
)
from burnish.identifiers import is_code_string, is_file_set_id, is_tolerable_uid, is_uid, new_uid
from burnish.lifecycle import RequestEvent
from burnish.settings import RequestSettings
from burnish.values import SERVICE, Actor
from burnish.vocabulary import DEVICE_HOLDS, ExecutionStatus, ExecutionStatusInfo, RequestPriority
from burnish.wording import quantity

_IN_PROGRESS = (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
_WAITING_FOR_DEVICE = (*DEVICE_HOLDS, ExecutionStatusInfo.INSUFFIC_MEMORY)
_ENDED = (ExecutionStatus.DONE, ExecutionStatus.FAILURE)


@dataclass(frozen=True, slots=True)
class Reference:
    """One item of the Referenced SOP Sequence (0008,1199)."""

    sop_class_uid: str
    sop_instance_uid: str
    profile: str = ""
    icon_image_sequence: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewRequest:
    """The media that an N-CREATE or a person asks for.

    `attributes` has the values that were given, by column name. Without `sop_instance_uid` the
    request gets a new UID.
    """

    references: Sequence[Reference]
    attributes: Mapping[str, str] = field(default_factory=dict)
    sop_instance_uid: str = ""


def create(
    session: Session,
    defaults: RequestSettings,
    new_request: NewRequest,
    *,
    origin: str,
    calling_ae_title: str = "",
    device: str = "",
    actor: Actor = SERVICE,
) -> MediaCreationRequest:
    """Creates a request; it is IDLE (PS3.4 S.3.2.1). `defaults` fill in what was left out.

    Whether the instances have been received and fit their profiles is checked later, so that the
    requester reads the result by N-GET. Raises AlreadyExists, InvalidUID, InvalidValue,
    MissingValue.
    """
    _check(new_request)
    uid = new_request.sop_instance_uid or new_uid()
    if not is_tolerable_uid(uid):
        raise InvalidUID("Affected SOP Instance UID is not a UID")
    _make_uid_available(session, uid)
    request = MediaCreationRequest(
        sop_instance_uid=uid,
        origin=origin,
        calling_ae_title=calling_ae_title,
        requested_by=str(actor) or origin,
        device=device,
        execution_status=ExecutionStatus.IDLE,
        execution_status_info=ExecutionStatusInfo.NORMAL,
        number_of_copies=defaults.number_of_copies,
        request_priority=defaults.request_priority,
        created_at=datetime.now(UTC),
        **(_default_attributes(defaults) | dict(new_request.attributes)),
    )
    session.add(request)
    session.flush()
    add_references(
        session,
        request,
        new_request.references,
        default_profile=defaults.requested_media_application_profile,
    )
    known_studies.link_request(session, request.id)
    count = quantity(len(new_request.references), "instance")
    note(session, request.id, "CREATED", count, actor=actor)
    return request


def check_label(style: str, barcode_symbology: str) -> None:
    """Raise InvalidValue if the style of a label, or the symbology of its bar code, cannot be one.

    Both are Code Strings, and may be empty. An N-CREATE was checked when it was read.
    """
    for name, value in (("style", style), ("bar code symbology", barcode_symbology)):
        if not is_code_string(value):
            raise InvalidValue(
                f"the {name} of the label is not at most 16 of A-Z, 0-9, _ and spaces"
            )


def add_references(
    session: Session,
    request: MediaCreationRequest,
    references: Sequence[Reference],
    *,
    default_profile: str,
    first_ordinal: int = 0,
) -> None:
    """Adds references to a request, numbered from `first_ordinal` on."""
    rows = [
        {
            "request_id": request.id,
            "ordinal": ordinal,
            "referenced_sop_class_uid": reference.sop_class_uid,
            "referenced_sop_instance_uid": reference.sop_instance_uid,
            "requested_media_application_profile": reference.profile or default_profile,
            "icon_image_sequence": reference.icon_image_sequence,
        }
        for ordinal, reference in enumerate(references, start=first_ordinal)
    ]
    session.connection().execute(insert(ReferencedInstance), rows)


def _make_uid_available(session: Session, uid: str) -> None:
    """Raises AlreadyExists if a request has the UID.

    A cancelled request is deleted (PS3.4 S.3.2.3.3), so its UID can be used again: its row, which
    is kept for people, gets another UID.
    """
    earlier = session.scalar(
        select(MediaCreationRequest).where(MediaCreationRequest.sop_instance_uid == uid)
    )
    if earlier is None:
        return
    if earlier.execution_status is not ExecutionStatus.DELETED:
        raise AlreadyExists("a Media Creation Request of that SOP Instance UID exists")
    earlier.sop_instance_uid = new_uid()
    note(session, earlier.id, "RENAMED", "its SOP Instance UID was given to a new request")
    session.flush()


def _check(new_request: NewRequest) -> None:
    if not new_request.references:
        raise MissingValue("Referenced SOP Sequence has no item")
    for reference in new_request.references:
        if not is_tolerable_uid(reference.sop_instance_uid):
            raise InvalidValue("Referenced SOP Instance UID is not a UID")
        if not is_tolerable_uid(reference.sop_class_uid):
            raise InvalidValue("Referenced SOP Class UID is not a UID")
    if not is_file_set_id(new_request.attributes.get("storage_media_file_set_id", "")):
        raise InvalidValue(
            "Storage Media File-Set ID is not at most 16 characters of A-Z, 0-9 and underscore"
        )
    file_set_uid = new_request.attributes.get("storage_media_file_set_uid", "")
    if file_set_uid and not is_uid(file_set_uid):
        raise InvalidValue("Storage Media File-Set UID is not a UID")


def _default_attributes(defaults: RequestSettings) -> dict[str, str]:
    names = (
        "label_using_information_extracted_from_instances",
        "allow_media_splitting",
        "allow_lossy_compression",
        "include_non_dicom_objects",
        "include_display_application",
        "preserve_composite_instances_after_media_creation",
    )
    return {name: str(getattr(defaults, name)) for name in names}


def get_request(session: Session, sop_instance_uid: str) -> MediaCreationRequest:
    """The request of a SOP Instance UID; raises Unknown, also if the request was cancelled."""
    request = session.scalar(
        select(MediaCreationRequest).where(
            MediaCreationRequest.sop_instance_uid == sop_instance_uid,
            MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
        )
    )
    if request is None:
        raise Unknown("no such Media Creation Request")
    return request


def initiate(
    session: Session,
    defaults: RequestSettings,
    sop_instance_uid: str,
    *,
    number_of_copies: int | None = None,
    request_priority: RequestPriority | None = None,
    actor: Actor = SERVICE,
) -> MediaCreationRequest:
    """Initiate Media Creation (PS3.4 S.3.2.2): IDLE → PENDING.

    Raises Unknown, AlreadyInitiated, InvalidArgument.
    """
    request = get_request(session, sop_instance_uid)
    if number_of_copies is not None:
        if not 1 <= number_of_copies <= defaults.maximum_copies:
            raise InvalidArgument(f"Number of Copies is not 1 to {defaults.maximum_copies}")
        request.number_of_copies = number_of_copies
    if request_priority is not None:
        request.request_priority = request_priority
    if request.execution_status is not ExecutionStatus.IDLE:
        raise AlreadyInitiated("Initiate Media Creation was received before")
    request.initiated_at = datetime.now(UTC)
    move(session, request, RequestEvent.INITIATED, actor=actor)
    return request


def cancel(session: Session, sop_instance_uid: str, *, actor: Actor = SERVICE) -> None:
    """Cancel Media Creation (PS3.4 S.3.2.3): no more media are made, and the request is deleted.

    Finished pieces stay where they are. Raises Unknown, AlreadyCompleted.
    """
    request = get_request(session, sop_instance_uid)
    if request.execution_status in _ENDED:
        raise AlreadyCompleted("the request has ended")
    drop_pieces(session, request, why="the request was cancelled", actor=actor)
    move(session, request, RequestEvent.CANCELLED, actor=actor)
    known_studies.reopen(session, request.id)


def retry(
    session: Session, sop_instance_uid: str, *, why: str = "", actor: Actor = SERVICE
) -> None:
    """Somebody has a failed request planned again: FAILURE → PENDING.

    A request that waits for a device is tried again at once. Raises Unknown, NotNow.
    """
    request = get_request(session, sop_instance_uid)
    if (
        request.execution_status in _IN_PROGRESS
        and request.execution_status_info in _WAITING_FOR_DEVICE
    ):
        _try_at_once(session, request, actor)
        return
    if request.execution_status is not ExecutionStatus.FAILURE:
        raise NotNow("only a request that has failed or waits for a device can be retried")
    discard_plan(session, request)
    request.admitted_at = None
    request.retrieval_began_at = None
    request.retrieval_ended_at = None
    request.initiated_at = request.initiated_at or datetime.now(UTC)
    move(session, request, RequestEvent.RETRIED, why=why, actor=actor)


def hold(session: Session, sop_instance_uid: str, *, actor: Actor = SERVICE) -> None:
    """Hold a request: it is not planned, and no piece is begun, until `release`.

    Raises Unknown, and NotNow if the request has ended.
    """
    request = get_request(session, sop_instance_uid)
    if request.execution_status in _ENDED:
        raise NotNow("the request has ended")
    if request.held_at is None:
        request.held_at = datetime.now(UTC)
        note(session, request.id, "HELD", "", actor=actor)


def release(session: Session, sop_instance_uid: str, *, actor: Actor = SERVICE) -> None:
    """Let a held request go on; raises Unknown, NotNow."""
    request = get_request(session, sop_instance_uid)
    if request.held_at is None:
        raise NotNow("the request is not held")
    request.held_at = None
    note(session, request.id, "RELEASED", "", actor=actor)


def _try_at_once(session: Session, request: MediaCreationRequest, actor: Actor) -> None:
    for file_set in request.file_sets:
        for piece in file_set.pieces:
            piece.not_before = None
    note(session, request.id, "RETRIED", "", actor=actor)
