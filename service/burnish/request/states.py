"""Stage: the state of a request in words: its group, the reason, the remedy, and since when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_

from burnish.db.tables import MediaCreationRequest, short_id
from burnish.request.views import RequestGroup, WorkProgress
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, FailureReason, PieceState
from burnish.wording import quantity

#: Execution Status Info of requests that go on only after somebody has done something.
NEEDS_PERSON = (
    ExecutionStatusInfo.CHECK_MCD_OP,
    ExecutionStatusInfo.CHECK_MCD_SRV,
    ExecutionStatusInfo.OUT_OF_SUPPLIES,
    ExecutionStatusInfo.INSUFFIC_MEMORY,
)
_GOES_ON = (ExecutionStatusInfo.NORMAL, ExecutionStatusInfo.QUEUED)
_IN_WORK = (ExecutionStatus.PENDING, ExecutionStatus.CREATING)
_GROUPS = {
    ExecutionStatus.IDLE: RequestGroup.NOT_STARTED,
    ExecutionStatus.PENDING: RequestGroup.WAITING,
    ExecutionStatus.CREATING: RequestGroup.MAKING,
    ExecutionStatus.DONE: RequestGroup.DONE,
    ExecutionStatus.FAILURE: RequestGroup.FAILED,
    ExecutionStatus.DELETED: RequestGroup.CANCELLED,
}
#: What a writer is doing with a piece that it holds.
_STEPS = {
    PieceState.IMAGING: "building the image",
    PieceState.WRITING: "writing",
    PieceState.VERIFYING: "reading back",
}
#: Why the instances of a Failed SOP Sequence failed, and what to do (PS3.3 C.22.1.4).
FAILURES = {
    FailureReason.PROCESSING_FAILURE: (
        "the instance is damaged, contradicts others, or could not be processed",
        "see the reason of the request; as a rule, the modality or archive has to send it again",
    ),
    FailureReason.NO_SUCH_OBJECT_INSTANCE: (
        "the instance has not been received",
        "send it, then retry the request",
    ),
    FailureReason.CLASS_INSTANCE_CONFLICT: (
        "the instance is of another SOP Class than the request says",
        "make a new request with the right SOP Class",
    ),
    FailureReason.MISSING_ATTRIBUTE: (
        "the instance lacks an attribute that the directory or its pixels need",
        "correct the instance at its source and send it again",
    ),
    FailureReason.MISSING_ATTRIBUTE_VALUE: (
        "an attribute that the directory or the pixels need has no value",
        "correct the instance at its source and send it again",
    ),
    FailureReason.SOP_CLASS_NOT_SUPPORTED: (
        "instances of this SOP Class cannot be put on media",
        "make a request without it",
    ),
    FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT: (
        "the requested Application Profiles cannot share a medium",
        "make a request for each Application Profile",
    ),
    FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT: (
        "the Application Profile does not permit this instance",
        "make a request with another profile, or without naming one",
    ),
    FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT: (
        "the Application Profile does not permit the compression of this instance",
        "make a request with another profile, or without naming one",
    ),
    FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED: (
        "the requested Application Profile is not supported",
        "make a request with another profile; `burnish conformance` lists them",
    ),
    FailureReason.INSTANCE_SIZE_EXCEEDED: (
        "the instance is larger than the medium",
        "make a request for a larger medium",
    ),
}


@dataclass(slots=True)
class PieceCounts:
    """The pieces of a request by state, and what is being done with them now."""

    counts: dict[PieceState, int] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    volumes: int = 0

    @property
    def total(self) -> int:
        """The pieces that are to be made: spoiled and dropped ones do not count."""
        given_up = (PieceState.SPOILED, PieceState.DROPPED)
        return sum(count for state, count in self.counts.items() if state not in given_up)

    @property
    def created(self) -> int:
        return self.counts.get(PieceState.CREATED, 0)

    @property
    def ruined(self) -> int:
        return self.counts.get(PieceState.SPOILED, 0)


@dataclass(frozen=True, slots=True)
class State:
    """The state of a request in words."""

    group: RequestGroup
    reason: str
    remedy: str
    since: datetime
    progress: WorkProgress


def group_of(status: ExecutionStatus, info: ExecutionStatusInfo, *, is_held: bool) -> RequestGroup:
    """The group of a request."""
    if status in _IN_WORK and (is_held or info in NEEDS_PERSON):
        return RequestGroup.NEEDS_PERSON
    return _GROUPS[status]


def is_in_group(group: RequestGroup) -> ColumnElement[bool]:
    """The condition for the requests of a group."""
    request = MediaCreationRequest
    needs_person = request.execution_status.in_(_IN_WORK) & or_(
        request.held_at.is_not(None), request.execution_status_info.in_(NEEDS_PERSON)
    )
    if group is RequestGroup.NEEDS_PERSON:
        return needs_person
    statuses = [status for status, of_status in _GROUPS.items() if of_status is group]
    if not statuses:
        return false()
    return and_(request.execution_status == statuses[0], ~needs_person)


def describe(row: Any, events: Sequence[Any], pieces: PieceCounts) -> State:
    """The state of the request `row`, from its `events` (without those of pieces) and pieces."""
    group = group_of(
        row.execution_status, row.execution_status_info, is_held=row.held_at is not None
    )
    last = {event.event: event for event in events}
    reason, remedy = _reason(row, group, last, pieces)
    return State(
        group=group,
        reason=reason,
        remedy=remedy,
        since=_since(row, group, events, last),
        progress=_progress(row, group, pieces),
    )


def _reason(
    row: Any, group: RequestGroup, last: Mapping[str, Any], pieces: PieceCounts
) -> tuple[str, str]:
    """Why a request is in its state, as a sentence, and what to do about it."""
    name = short_id(row.id)
    remedy = row.remedy
    if group is RequestGroup.DONE:
        reason = _done(pieces)
    elif group is RequestGroup.CANCELLED:
        reason = _by("It was cancelled", last.get("CANCELLED"))
    elif group is RequestGroup.FAILED:
        why = _why(last.get("FAILED")) or f"Execution Status Info {row.execution_status_info}"
        reason, remedy = _sentence(why), remedy or f"burnish request retry {name}"
    elif group is RequestGroup.NOT_STARTED:
        reason = "It was created, but nobody has started it."
        remedy = f"burnish request initiate {name}"
    elif row.held_at is not None:
        reason, remedy = _by("It is held", last.get("HELD")), f"burnish request release {name}"
    elif row.execution_status_info not in _GOES_ON:
        info = row.execution_status_info
        reason = _sentence(_why(last.get(info)) or f"Execution Status Info {info}")
    elif pieces.devices:
        devices = " and ".join(pieces.devices)
        number = min(pieces.created + 1, pieces.total)
        reason = f"Piece {number} of {pieces.total} is being made by {devices}."
    else:
        reason = _waits(row, pieces)
    return reason, remedy


def _waits(row: Any, pieces: PieceCounts) -> str:
    """The reason why a request waits, if nobody has to do anything about it."""
    if row.admitted_at is None:
        if row.retrieval_began_at is not None:
            return "Missing instances are being retrieved from archives."
        return "It waits for instances that have not been received."
    if not pieces.total:
        return "Its media are being planned."
    if row.device:
        return f"It waits until device {row.device} is free."
    return "It waits until a device is free."


def _done(pieces: PieceCounts) -> str:
    if not pieces.created:
        return "All pieces were created and read back."
    were = "was" if pieces.created == 1 else "were"
    return f"{quantity(pieces.created, 'piece')} {were} created and read back without a fault."


def _why(event: Any) -> str:
    return "" if event is None else str(event.why)


def _by(text: str, event: Any) -> str:
    """A sentence with the actor of an event, and the reason that it gives."""
    if event is None:
        return f"{text}."
    sentence = f"{text} by {event.actor}" if event.actor else text
    return f"{sentence}: {event.why}." if event.why else f"{sentence}."


def _sentence(text: str) -> str:
    """A text as a sentence: it begins with a capital letter, unless that is a name, and ends."""
    first_word = text.split(" ", 1)[0]
    if first_word.islower() and first_word.isalpha():
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _since(
    row: Any, group: RequestGroup, events: Sequence[Any], last: Mapping[str, Any]
) -> datetime:
    """When the state of a request began."""
    began: datetime | None = row.ended_at
    if began is None and group is RequestGroup.NEEDS_PERSON:
        event = last.get(row.execution_status_info)
        began = row.held_at or (event.at if event else None)
    if began is None:
        changes = [event.at for event in events if event.after]
        began = changes[-1] if changes else row.initiated_at or row.created_at
    return began


def _progress(row: Any, group: RequestGroup, pieces: PieceCounts) -> WorkProgress:
    if group is RequestGroup.DONE:
        return WorkProgress("done", 1.0)
    if group in (RequestGroup.CANCELLED, RequestGroup.FAILED, RequestGroup.NOT_STARTED):
        return WorkProgress(str(group))
    if not pieces.total:
        return WorkProgress("waiting for instances" if row.admitted_at is None else "planning")
    fraction = round(pieces.created / pieces.total, 4)
    for state, step in _STEPS.items():
        if pieces.counts.get(state):
            return WorkProgress(step, fraction)
    return WorkProgress("waiting for a device", fraction)
