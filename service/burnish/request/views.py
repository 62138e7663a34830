"""Stage: requests, studies and instances as people see them: frozen values, and their JSON."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import PurePath
from typing import Any, NamedTuple

#: Fields that may tell of a patient: their values are left out for people who must not see them.
PATIENT_FIELDS = frozenset(
    {
        "patient_name",
        "patient_id",
        "issuer_of_patient_id",
        "birth_date",
        "patient_birth_date",
        "sex",
        "patient_sex",
        "accession_number",
        "study_description",
        "study_date",
        "study_time",
        "label_text",
        "barcode_value",
        "media_disposition",
        "storage_media_file_set_id",
        # a request may ask for it, and name the patient by it
        "file_set_id",
        "whereabouts",
        "note",
    }
)


class RequestGroup(StrEnum):
    """The groups in which people look for requests. Each request is in one of them."""

    NOT_STARTED = "not started"
    WAITING = "waiting"
    NEEDS_PERSON = "needs a person"
    MAKING = "being made"
    FAILED = "failed"
    DONE = "done"
    CANCELLED = "cancelled"


class ActionKind(StrEnum):
    """The actions for many requests at once."""

    INITIATE = "initiate"
    CANCEL = "cancel"
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    PRIORITY = "priority"
    DEVICE = "device"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class StudyLine:
    """One study of a patient. Dates and times are as in DICOM (PS3.5 6.2)."""

    study_instance_uid: str
    study_date: str
    study_time: str
    study_description: str
    accession_number: str
    modalities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PatientLine:
    """One patient with studies. `patient_name` has all its component groups (PS3.5 6.2.1)."""

    patient_name: str
    patient_id: str
    issuer_of_patient_id: str
    birth_date: str
    sex: str
    studies: tuple[StudyLine, ...]


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """How far the media of a request are.

    `fraction` is None as long as nobody knows how many pieces there will be. `seconds_left` is None
    unless the device has made pieces before, from which the time can be estimated.
    """

    step: str
    fraction: float | None = None
    seconds_left: int | None = None


class RequestLine(NamedTuple):
    """One request in a list; people and folder devices name it by its `short_id`.

    `requested_by` is the person, peer or standing order that asked for it. `reason` is a sentence
    that says why it is in its state, `remedy` what to do about it, and `since` when the state
    began. `patients` are some patients at most; `patient_count` is their number. `devices` are
    those that are making pieces now.
    """

    short_id: str
    sop_instance_uid: str
    execution_status: str
    execution_status_info: str
    group: RequestGroup
    reason: str
    remedy: str
    since: datetime
    progress: WorkProgress
    patients: tuple[PatientLine, ...]
    patient_count: int
    study_count: int
    modalities: tuple[str, ...]
    requested_by: str
    origin: str
    calling_ae_title: str
    standing_order: str
    instances: int
    volume_count: int
    number_of_copies: int
    request_priority: str
    pieces: int
    pieces_created: int
    pieces_ruined: int
    created_at: datetime
    initiated_at: datetime | None
    ended_at: datetime | None
    device: str
    devices: tuple[str, ...]
    held_at: datetime | None
    supplements: str
    supplemented_by: tuple[str, ...]
    told: tuple[str, ...] = ()

    @property
    def remarks(self) -> str:
        """Whether it is held, what it supplements, and what people should know, in words."""
        remarks = []
        if self.held_at:
            remarks.append("held")
        if self.supplements:
            remarks.append(f"supplements {self.supplements}")
        remarks += [f"supplemented by {request}" for request in self.supplemented_by]
        return ", ".join([*remarks, *self.told])


@dataclass(frozen=True, slots=True)
class PieceLine:
    """One piece of media of a request; events refer to it by its `id`.

    `register_name` is its name in the register of media (M000012), "" before it was made or
    spoiled. `whereabouts` is the last of what the register knows of where it is: "made", "given out
    to …", "destroyed" or "". `verified` says how it was read back.
    """

    id: int
    volume_number: int
    volume_count: int
    copy_number: int
    state: str
    device: str
    attempts: int
    file_set_id: str
    file_set_uid: str
    media_application_profile: str
    medium: str
    size: int
    instances: int
    created_at: datetime | None
    register_name: str = ""
    verified: str = ""
    whereabouts: str = ""


@dataclass(frozen=True, slots=True)
class SeriesShare:
    """The part of a volume that one series takes, in bytes."""

    series_instance_uid: str
    study_instance_uid: str
    modality: str
    instances: int
    size: int


@dataclass(frozen=True, slots=True)
class VolumeView:
    """One planned volume, how full it is, and with what. Sizes are in bytes."""

    volume_number: int
    volume_count: int
    file_set_id: str
    file_set_uid: str
    medium: str
    media_application_profile: str
    capacity: int
    size: int
    instances: int
    series: tuple[SeriesShare, ...]


@dataclass(frozen=True, slots=True)
class FailureLine:
    """One item of a Failed SOP Sequence."""

    referenced_sop_class_uid: str
    referenced_sop_instance_uid: str
    failure_reason: str


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failed instances with one reason: code (hexadecimal), meaning, remedy, and some UIDs."""

    failure_reason: str
    meaning: str
    remedy: str
    instances: int
    sop_instance_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event of a request; `actor` is the person or peer that caused it, "" for Burnish."""

    id: int
    at: datetime
    event: str
    before: str
    after: str
    why: str
    piece_id: int | None
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Replacement:
    """One instance on the media of a request that has newer content.

    `changed` names the attributes that differ, without values; "" if the newest content is no
    longer here.
    """

    sop_instance_uid: str
    replaced_at: datetime
    calling_ae_title: str
    changed: str
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class RequestView:
    """Everything about one request. `line.patients` are all its patients here.

    `unplanned` are its series before there are volumes. `missing` is the number of its instances
    that are not here. `replaced` are instances on its media that have newer content. `failures`
    are the failed instances, and `failure_groups` the same by reason. In JSON, the fields of `line`
    are beside the others.
    """

    line: RequestLine
    label_text: str
    label_style_selection: str
    barcode_value: str
    barcode_symbology: str
    media_disposition: str
    missing: int
    volumes: tuple[VolumeView, ...]
    unplanned: tuple[SeriesShare, ...]
    pieces: tuple[PieceLine, ...]
    failures: tuple[FailureLine, ...]
    failure_groups: tuple[FailureGroup, ...]
    events: tuple[EventLine, ...]
    replaced: tuple[Replacement, ...]


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a list. `next` is the value of `before` for the next page, None on the last."""

    items: tuple[Any, ...]
    next: str | None = None


def list_page(items: Sequence[Any], limit: int, cursor: Callable[[Any], object]) -> ListPage:
    """The page of a list that was asked for one item more than `limit`.

    `cursor` tells of its last item where the next page begins.
    """
    shown = tuple(items[:limit])
    return ListPage(shown, str(cursor(shown[-1])) if len(items) > limit else None)


def to_json(view: object, *, patients: bool = True) -> Any:
    """A view as values that `json.dumps` knows; what may tell of a patient is null if asked.

    Times are ISO 8601 with offset, enumerations are their words, durations are seconds.
    """
    if isinstance(view, RequestView):
        values = _fields(view)
        values = {**values.pop("line")._asdict(), **values}
    elif isinstance(view, tuple) and hasattr(view, "_asdict"):
        values = view._asdict()
    elif is_dataclass(view) and not isinstance(view, type):
        values = _fields(view)
    elif isinstance(view, Mapping):
        values = dict(view)
    elif isinstance(view, list | tuple | set | frozenset):
        return [to_json(item, patients=patients) for item in view]
    else:
        return _scalar(view)
    return {
        name: None if not patients and name in PATIENT_FIELDS else to_json(value, patients=patients)
        for name, value in values.items()
    }


def _scalar(value: object) -> object:
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, PurePath) else value


def _fields(view: Any) -> dict[str, Any]:
    return {field.name: getattr(view, field.name) for field in fields(view)}
