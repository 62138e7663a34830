"""Stage: what can be asked of a Media Creation Request: create, initiate, cancel, hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from burnish.db.history import drop_pieces, move, note
from burnish.db.tables import FailedInstance, FileSet, MediaCreationRequest, ReferencedInstance
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
from burnish.identifiers import is_file_set_id, is_tolerable_uid, new_uid
from burnish.lifecycle import RequestEvent
from burnish.settings import RequestSettings
from burnish.vocabulary import DEVICE_HOLDS, ExecutionStatus, ExecutionStatusInfo, RequestPriority

_UNDER_WAY = (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
_WAITS = (*DEVICE_HOLDS, ExecutionStatusInfo.INSUFFIC_MEMORY)
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
    """What an N-CREATE asks for; `attributes` are column name → value, absent where left out."""

    references: Sequence[Reference]
    attributes: Mapping[str, str] = field(default_factory=dict)
    sop_instance_uid: str = ""


def create(
    session: Session,
    defaults: RequestSettings,
    order: NewRequest,
    *,
    origin: str,
    calling_ae_title: str = "",
    device: str = "",
) -> MediaCreationRequest:
    """A new request, IDLE (PS3.4 S.3.2.1). What the order leaves out is taken from `defaults`.

    Raises AlreadyExists, InvalidUID, InvalidValue, MissingValue. Whether the instances are here and
    the profiles possible is looked at later, where the answer can be read by N-GET.
    """
    _check(order)
    uid = order.sop_instance_uid or new_uid()
    if not is_tolerable_uid(uid):
        raise InvalidUID("Affected SOP Instance UID is not a UID")
    _free(session, uid)
    request = MediaCreationRequest(
        sop_instance_uid=uid,
        origin=origin,
        calling_ae_title=calling_ae_title,
        device=device,
        execution_status=ExecutionStatus.IDLE,
        execution_status_info=ExecutionStatusInfo.NORMAL,
        number_of_copies=defaults.number_of_copies,
        request_priority=defaults.request_priority,
        created_at=datetime.now(UTC),
        **{**_defaults(defaults), **order.attributes},
    )
    session.add(request)
    session.flush()
    references = _references(request.id, defaults, order)
    session.connection().execute(insert(ReferencedInstance), references)
    note(session, request.id, "CREATED", f"by {origin}, {len(order.references)} instances")
    return request


def _free(session: Session, uid: str) -> None:
    """Raises AlreadyExists where the UID is taken.

    A cancelled request is deleted (PS3.4 S.3.2.3.3), so its UID is free again; what is kept of it
    for people gets another.
    """
    taken = session.scalar(
        select(MediaCreationRequest).where(MediaCreationRequest.sop_instance_uid == uid)
    )
    if taken is None:
        return
    if taken.execution_status is not ExecutionStatus.DELETED:
        raise AlreadyExists("a Media Creation Request of that SOP Instance UID exists")
    taken.sop_instance_uid = new_uid()
    note(session, taken.id, "RENAMED", "its SOP Instance UID was given to a new request")
    session.flush()


def _references(
    request_id: int, defaults: RequestSettings, order: NewRequest
) -> list[dict[str, object]]:
    default_profile = defaults.requested_media_application_profile
    return [
        {
            "request_id": request_id,
            "ordinal": ordinal,
            "referenced_sop_class_uid": reference.sop_class_uid,
            "referenced_sop_instance_uid": reference.sop_instance_uid,
            "requested_media_application_profile": reference.profile or default_profile,
            "icon_image_sequence": reference.icon_image_sequence,
        }
        for ordinal, reference in enumerate(order.references)
    ]


def _check(order: NewRequest) -> None:
    if not order.references:
        raise MissingValue("Referenced SOP Sequence has no item")
    for reference in order.references:
        if not is_tolerable_uid(reference.sop_instance_uid):
            raise InvalidValue("Referenced SOP Instance UID is not a UID")
        if not is_tolerable_uid(reference.sop_class_uid):
            raise InvalidValue("Referenced SOP Class UID is not a UID")
    if not is_file_set_id(order.attributes.get("storage_media_file_set_id", "")):
        raise InvalidValue("Storage Media File-Set ID may have 16 of A-Z, 0-9 and _")
    file_set_uid = order.attributes.get("storage_media_file_set_uid", "")
    if file_set_uid and not is_tolerable_uid(file_set_uid):
        raise InvalidValue("Storage Media File-Set UID is not a UID")


def _defaults(defaults: RequestSettings) -> dict[str, str]:
    return {
        name: str(getattr(defaults, name))
        for name in (
            "label_using_information_extracted_from_instances",
            "allow_media_splitting",
            "allow_lossy_compression",
            "include_non_dicom_objects",
            "include_display_application",
            "preserve_composite_instances_after_media_creation",
        )
    }


def get_request(session: Session, sop_instance_uid: str) -> MediaCreationRequest:
    """The request of that SOP Instance UID; raises Unknown, also for one that was cancelled."""
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
) -> MediaCreationRequest:
    """Initiate Media Creation (PS3.4 S.3.2.2): IDLE → PENDING.

    Raises Unknown, AlreadyInitiated, InvalidArgument.
    """
    request = get_request(session, sop_instance_uid)
    if number_of_copies is not None:
        if not 1 <= number_of_copies <= defaults.maximum_copies:
            raise InvalidArgument(f"Number of Copies may be 1 to {defaults.maximum_copies}")
        request.number_of_copies = number_of_copies
    if request_priority is not None:
        request.request_priority = request_priority
    if request.execution_status is not ExecutionStatus.IDLE:
        raise AlreadyInitiated("Initiate Media Creation was received before")
    request.initiated_at = datetime.now(UTC)
    move(session, request, RequestEvent.INITIATED)
    return request


def cancel(session: Session, sop_instance_uid: str) -> None:
    """Cancel Media Creation (PS3.4 S.3.2.3): nothing more is made, and the request is gone.

    Pieces that are finished stay where they are. Raises Unknown, AlreadyCompleted.
    """
    request = get_request(session, sop_instance_uid)
    if request.execution_status in _ENDED:
        raise AlreadyCompleted("the request has ended")
    drop_pieces(session, request, why="the request was cancelled")
    move(session, request, RequestEvent.CANCELLED)


def retry(session: Session, sop_instance_uid: str) -> None:
    """An administrator's second try of a request that failed: FAILURE → PENDING, planned anew.

    One that waits for a device is tried at once. Raises Unknown, NotNow.
    """
    request = get_request(session, sop_instance_uid)
    if request.execution_status in _UNDER_WAY and request.execution_status_info in _WAITS:
        _try_at_once(session, request)
        return
    if request.execution_status is not ExecutionStatus.FAILURE:
        raise NotNow("only a request that failed, or waits for a device, can be retried")
    session.execute(delete(FailedInstance).where(FailedInstance.request_id == request.id))
    for file_set in list(request.file_sets):
        session.delete(file_set)
    request.admitted_at = request.retrieval_began_at = request.retrieval_ended_at = None
    request.initiated_at = request.initiated_at or datetime.now(UTC)
    session.flush()
    session.expire(request, ["file_sets", "failures"])
    move(session, request, RequestEvent.RETRIED, why="by an administrator")


def hold(session: Session, sop_instance_uid: str) -> None:
    """An administrator holds a request: nothing more of it is planned or begun until `release`.

    Raises Unknown, and NotNow where it has ended.
    """
    request = get_request(session, sop_instance_uid)
    if request.execution_status in _ENDED:
        raise NotNow("the request has ended")
    if request.held_at is None:
        request.held_at = datetime.now(UTC)
        note(session, request.id, "HELD", "by an administrator")


def release(session: Session, sop_instance_uid: str) -> None:
    """An administrator lets a request go on that was held; raises Unknown, NotNow."""
    request = get_request(session, sop_instance_uid)
    if request.held_at is None:
        raise NotNow("the request is not held")
    request.held_at = None
    note(session, request.id, "RELEASED", "by an administrator")


def _try_at_once(session: Session, request: MediaCreationRequest) -> None:
    for file_set in request.file_sets:
        for piece in file_set.pieces:
            piece.not_before = None
    note(session, request.id, "RETRIED", "by an administrator")


def file_sets(session: Session, request: MediaCreationRequest) -> Sequence[FileSet]:
    """The volumes of a request, in order."""
    return session.scalars(
        select(FileSet).where(FileSet.request_id == request.id).order_by(FileSet.volume_number)
    ).all()
