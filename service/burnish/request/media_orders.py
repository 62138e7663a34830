"""Stage: what a person or a program wants media of, and how many patients share them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from burnish.application_profiles import PROFILES, canonical_label
from burnish.contradictions import count_patients, find_contradictions
from burnish.errors import Conflict, InvalidValue, MissingValue
from burnish.request import instance_listing
from burnish.request.operations import Reference
from burnish.values import InstanceHeader
from burnish.vocabulary import RequestPriority, YesNo


@dataclass(frozen=True, slots=True)
class MediaOrder:
    """Media of everything that is named here: studies, series, patients, single instances.

    `attributes` are those of the request that are given, by column; the configuration has the
    others. `several_patients`: they may share media. `copies` and `priority` need `initiate`.
    """

    studies: Sequence[str] = ()
    series: Sequence[str] = ()
    patient_ids: Sequence[str] = ()
    accession_numbers: Sequence[str] = ()
    instances: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    profile: str = ""
    device: str = ""
    several_patients: bool = False
    initiate: bool = True
    copies: int | None = None
    priority: RequestPriority | None = None

    @property
    def names_content(self) -> bool:
        """Whether anything is named that goes on the media."""
        named = (self.studies, self.series, self.patient_ids, self.accession_numbers)
        return any(named) or bool(self.instances)


def references(session: Session, order: MediaOrder) -> list[Reference]:
    """The instances that an order names, each once.

    Raises MissingValue, InvalidValue; Unknown for what is not here; Conflict for an instance that
    is named twice.
    """
    if not order.names_content:
        raise MissingValue("name what goes on the media: studies, series, patients or instances")
    selections = (order.studies, order.series, order.patient_ids, order.accession_numbers)
    if not all(value.strip() for selection in selections for value in selection):
        # an empty value would select the instances of everybody
        raise MissingValue("an empty Patient ID, Accession Number or UID selects nothing")
    profile = canonical_label(order.profile)
    if profile and profile not in PROFILES:
        raise InvalidValue(f"no Application Profile {profile}")
    pairs: list[tuple[str, str]] = []
    for study in order.studies:
        pairs += instance_listing.references_of_study(session, study)
    where = instance_listing.references_of_studies_where
    for series in order.series:
        pairs += where(session, series_instance_uid=series)
    for patient_id in order.patient_ids:
        pairs += where(session, patient_id=patient_id)
    for number in order.accession_numbers:
        pairs += where(session, accession_number=number)
    if order.instances:
        pairs += instance_listing.references_of_instances(session, order.instances)
    return [
        Reference(sop_class, sop_instance, profile)
        for sop_class, sop_instance in dict.fromkeys(pairs)
    ]


def headers(session: Session, items: Sequence[Reference]) -> list[InstanceHeader]:
    """Headers of the instances: one for each difference in their patients and studies."""
    return instance_listing.distinct_headers(session, [item.sop_instance_uid for item in items])


def count_patients_of(session: Session, items: Sequence[Reference]) -> int:
    """The number of patients that the instances are of, by the rules that planning goes by."""
    return count_patients(headers(session, items))


def contradictions_of(session: Session, items: Sequence[Reference]) -> list[str]:
    """Where the instances contradict each other about patient or study, without patient data."""
    return [contradiction.text for contradiction in find_contradictions(headers(session, items))]


def check_patients(session: Session, order: MediaOrder, items: Sequence[Reference]) -> None:
    """Raise Conflict if the instances are of several patients and nobody has permitted that."""
    if order.several_patients:
        return
    patients = count_patients_of(session, items)
    if patients > 1:
        raise Conflict(
            f"the instances are of {patients} patients",
            hint="say that several patients may share media: `several_patients`",
        )


def attributes(texts: Mapping[str, Any], flags: Mapping[str, bool | None]) -> dict[str, str]:
    """Attributes of a request by column: texts that are not empty, and flags that are given."""
    given = {column: str(text) for column, text in texts.items() if text}
    for column, flag in flags.items():
        if flag is not None:
            given[column] = str(YesNo.YES if flag else YesNo.NO)
    return given
