"""Stage: what people change about a request: its priority, device, copies and label; or its like.

What the state machine forbids after the end of a request is a new request for the same content.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from burnish.db.history import note
from burnish.db.tables import (
    Instance,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
    short_id,
)
from burnish.errors import Conflict, InvalidArgument, NotNow, Unknown
from burnish.request import operations
from burnish.request.operations import NewRequest, Reference
from burnish.settings import DeviceSettings, RequestSettings
from burnish.values import SERVICE, Actor
from burnish.vocabulary import OPEN_STATES, ExecutionStatus, PieceState, RequestPriority
from burnish.wording import quantity

#: The attributes that a new request for the same content has from the first one.
_REPEATED = (
    "specific_character_set",
    "storage_media_file_set_id",
    "label_using_information_extracted_from_instances",
    "label_text",
    "label_style_selection",
    "barcode_value",
    "barcode_symbology",
    "media_disposition",
    "recipients",
    "password_file",
    "allow_media_splitting",
    "allow_lossy_compression",
    "include_non_dicom_objects",
    "include_display_application",
    "preserve_composite_instances_after_media_creation",
)


def set_priority(
    session: Session, sop_instance_uid: str, priority: RequestPriority, *, actor: Actor = SERVICE
) -> None:
    """Have a request made sooner or later than others; raises Unknown, NotNow if it has ended."""
    request = _open_request(session, sop_instance_uid)
    if request.request_priority is not priority:
        why = f"{priority}, it was {request.request_priority}"
        request.request_priority = priority
        note(session, request.id, "PRIORITY", why, actor=actor)


def move_to_device(
    session: Session,
    sop_instance_uid: str,
    device: str,
    devices: Sequence[DeviceSettings],
    *,
    actor: Actor = SERVICE,
) -> None:
    """Have another device make a request; "" for any. `devices` are those of the configuration.

    If none of its pieces was begun it is planned again for that device. Otherwise the device takes
    the pieces that are left. Raises Unknown, NotNow, and Conflict if it cannot make such media.
    """
    request = _open_request(session, sop_instance_uid)
    by_name = {settings.name: settings for settings in devices}
    if device and device not in by_name:
        raise Unknown(f"no device {device}", hint="`burnish device list` shows the devices")
    if request.device == device:
        return
    media = {file_set.medium for file_set in request.file_sets}
    if request.file_sets and _is_begun(request):
        if device and not media <= set(by_name[device].media):
            raise Conflict(
                f"device {device} cannot make {', '.join(sorted(media))}",
                hint=f"burnish request repeat {short_id(request.id)} --device {device}",
            )
        for piece in _queued_pieces(request):
            piece.not_before, piece.device = None, ""
    else:
        _discard_plan(session, request)
    request.device = device
    note(session, request.id, "DEVICE", f"moved to {device or 'any device'}", actor=actor)


def set_label(
    session: Session,
    sop_instance_uid: str,
    *,
    text: str | None = None,
    style: str | None = None,
    barcode_value: str | None = None,
    barcode_symbology: str | None = None,
    actor: Actor = SERVICE,
) -> None:
    """Change what the labels of a request say, before one is printed; None: as it is.

    The text is on the media, too: a request that is planned is planned again. Raises Unknown,
    InvalidValue, and NotNow if a piece was begun.
    """
    request = _open_request(session, sop_instance_uid)
    operations.check_label(style or "", barcode_symbology or "")
    if _is_begun(request):
        raise NotNow(
            "a piece of the request was begun, its label may be printed",
            hint=f"burnish request repeat {short_id(request.id)}",
        )
    columns = {
        "label_text": text,
        "label_style_selection": style,
        "barcode_value": barcode_value,
        "barcode_symbology": barcode_symbology,
    }
    changed = {
        column: value
        for column, value in columns.items()
        if value is not None and value != getattr(request, column)
    }
    if not changed:
        return
    _discard_plan(session, request)
    for column, value in changed.items():
        setattr(request, column, value)
    names = ", ".join(sorted(column.replace("_", " ") for column in changed))
    note(session, request.id, "LABEL CHANGED", names, actor=actor)


def add_copies(
    session: Session,
    defaults: RequestSettings,
    sop_instance_uid: str,
    copies: int,
    *,
    actor: Actor = SERVICE,
) -> MediaCreationRequest:
    """Make more copies of the media of a request; returns the request that makes them.

    That is the request itself while it is open. A request that has ended stays as it is, and a new
    request makes the copies. Raises Unknown, InvalidArgument, NotNow.
    """
    request = operations.get_request(session, sop_instance_uid)
    if request.execution_status not in OPEN_STATES:
        _check_copies(defaults, copies)
        return repeat(session, defaults, sop_instance_uid, copies=copies, actor=actor)
    total = request.number_of_copies + copies
    if copies < 1:
        raise InvalidArgument("the number of additional copies is not 1 or more")
    _check_copies(defaults, total)
    for file_set in request.file_sets:
        for number in range(request.number_of_copies + 1, total + 1):
            session.add(Piece(file_set_id=file_set.id, copy_number=number, state=PieceState.QUEUED))
    request.number_of_copies = total
    more = "1 more copy" if copies == 1 else f"{copies} more copies"
    note(session, request.id, "COPIES", more, actor=actor)
    session.flush()
    session.expire(request, ["file_sets"])
    return request


def repeat(
    session: Session,
    defaults: RequestSettings,
    sop_instance_uid: str,
    *,
    copies: int | None = None,
    priority: RequestPriority | None = None,
    device: str | None = None,
    even_if_missing: bool = False,
    actor: Actor = SERVICE,
) -> MediaCreationRequest:
    """Make the media of a request again: a new request for the same content, which is initiated.

    The media are planned anew, with the newest content of each instance. Raises Unknown, and NotNow
    if instances are no longer here, unless `even_if_missing`: archives may have them.
    """
    first = operations.get_request(session, sop_instance_uid)
    missing = _missing(session, first.id)
    if missing and not even_if_missing:
        are = "is" if missing == 1 else "are"
        raise NotNow(
            f"{quantity(missing, 'instance')} of {short_id(first.id)} {are} no longer here",
            hint="send them again; or use --even-if-missing if an archive has them",
        )
    again = _copy_of(session, defaults, first, _references(session, first.id), actor)
    again.device = first.device if device is None else device
    operations.initiate(
        session,
        defaults,
        again.sop_instance_uid,
        number_of_copies=first.number_of_copies if copies is None else copies,
        request_priority=priority or first.request_priority,
        actor=actor,
    )
    note(session, again.id, "REPEATS", short_id(first.id), actor=actor)
    note(session, first.id, "MADE AGAIN", f"by {short_id(again.id)}", actor=actor)
    return again


def split_by_patient(
    session: Session, defaults: RequestSettings, sop_instance_uid: str, *, actor: Actor = SERVICE
) -> list[MediaCreationRequest]:
    """Replace a request by one for each of its patients; returns these.

    A request that was not begun is cancelled; one that has failed stays. Raises Unknown, and NotNow
    if a piece was begun, an instance is missing, or all are of one patient.
    """
    request = operations.get_request(session, sop_instance_uid)
    if request.execution_status is ExecutionStatus.DONE or _is_begun(request):
        raise NotNow("the media of the request were begun")
    missing = _missing(session, request.id)
    if missing:
        raise NotNow(f"the patient of {quantity(missing, 'instance')} is not known yet")
    groups = _references_by_patient(session, request.id)
    if len(groups) < 2:
        raise NotNow("all instances of the request are of one patient")
    parts = [_copy_of(session, defaults, request, group, actor) for group in groups]
    names = ", ".join(short_id(part.id) for part in parts)
    for part in parts:
        part.device = request.device
        if request.initiated_at is not None:
            operations.initiate(
                session,
                defaults,
                part.sop_instance_uid,
                number_of_copies=request.number_of_copies,
                request_priority=request.request_priority,
                actor=actor,
            )
        part.held_at = request.held_at
        note(session, part.id, "SPLIT", f"one patient of {short_id(request.id)}", actor=actor)
    note(session, request.id, "SPLIT", f"by patient into {names}", actor=actor)
    if request.execution_status in OPEN_STATES:
        operations.cancel(session, sop_instance_uid, actor=actor)
    return parts


# --- parts ---


def _open_request(session: Session, sop_instance_uid: str) -> MediaCreationRequest:
    request = operations.get_request(session, sop_instance_uid)
    if request.execution_status not in OPEN_STATES:
        raise NotNow("the request has ended", hint=f"burnish request repeat {short_id(request.id)}")
    return request


def _is_begun(request: MediaCreationRequest) -> bool:
    """Whether a piece of the request was ever begun."""
    return any(
        piece.state is not PieceState.QUEUED or piece.attempts
        for file_set in request.file_sets
        for piece in file_set.pieces
    )


def _queued_pieces(request: MediaCreationRequest) -> list[Piece]:
    """The pieces that no device has taken."""
    return [
        piece
        for file_set in request.file_sets
        for piece in file_set.pieces
        if piece.state is PieceState.QUEUED and not piece.device_job
    ]


def _discard_plan(session: Session, request: MediaCreationRequest) -> None:
    """Have a request, none of whose pieces was begun, planned again."""
    for file_set in list(request.file_sets):
        session.delete(file_set)
    # a plan that is being made now is discarded, too
    request.admitted_at = None
    session.flush()
    session.expire(request, ["file_sets"])


def _check_copies(defaults: RequestSettings, copies: int) -> None:
    if not 1 <= copies <= defaults.maximum_copies:
        raise InvalidArgument(f"Number of Copies is not 1 to {defaults.maximum_copies}")


def _missing(session: Session, request_id: int) -> int:
    """The number of instances of a request that are not here."""
    uid = ReferencedInstance.referenced_sop_instance_uid
    is_here = exists().where(Instance.sop_instance_uid == uid, Instance.is_newest())
    query = select(func.count(uid.distinct()))
    return session.scalar(query.where(ReferencedInstance.request_id == request_id, ~is_here)) or 0


def _references(session: Session, request_id: int) -> list[Reference]:
    rows = session.scalars(
        select(ReferencedInstance)
        .where(ReferencedInstance.request_id == request_id)
        .order_by(ReferencedInstance.ordinal)
    )
    return [_reference(row) for row in rows]


def _reference(row: ReferencedInstance) -> Reference:
    return Reference(
        row.referenced_sop_class_uid,
        row.referenced_sop_instance_uid,
        row.requested_media_application_profile,
        row.icon_image_sequence,
    )


def _references_by_patient(session: Session, request_id: int) -> list[list[Reference]]:
    """The references of a request, those of each patient together.

    Patients are told apart by Patient ID and issuer, or by name if they have no ID.
    """
    rows = session.execute(
        select(
            ReferencedInstance,
            Instance.patient_id,
            Instance.issuer_of_patient_id,
            Instance.patient_name,
        )
        .join(Instance, Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid)
        .where(ReferencedInstance.request_id == request_id, Instance.is_newest())
        .order_by(ReferencedInstance.ordinal)
    )
    groups: dict[Any, list[Reference]] = {}
    for row, patient_id, issuer, name in rows:
        patient = (patient_id, issuer) if patient_id else ("", name)
        groups.setdefault(patient, []).append(_reference(row))
    return list(groups.values())


def _copy_of(
    session: Session,
    defaults: RequestSettings,
    request: MediaCreationRequest,
    references: Sequence[Reference],
    actor: Actor,
) -> MediaCreationRequest:
    """A new request with the attributes of another one."""
    attributes = {name: getattr(request, name) for name in _REPEATED}
    return operations.create(
        session, defaults, NewRequest(references, attributes), origin="administrator", actor=actor
    )
