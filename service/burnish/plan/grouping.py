"""Stage: puts instances in directory order: patients, studies, series, instances."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from burnish.directory_records import ROOT_TYPES, group_by_study
from burnish.plan.candidates import Candidate


@dataclass(frozen=True, slots=True)
class Series:
    """Instances that belong together, in order, with the keys of the directories they lie in.

    `claims` are what a File-set may hold for one owner only (PS3.3 F.5.1 to F.5.3): a Patient ID
    for one patient, a Study Instance UID for one patient, a Series Instance UID for one study.
    The keys are None for instances of the Root Directory Entity, which belong to no patient.
    """

    patient: Hashable
    study: Hashable
    series: Hashable
    candidates: tuple[Candidate, ...]
    claims: tuple[tuple[Hashable, Hashable], ...] = ()


def group(candidates: Sequence[Candidate]) -> list[Series]:
    """All the series in directory order: patients by ID and name, studies by date, series and
    instances by number; UIDs decide where numbers do not. Root-level instances come last."""
    alike: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        alike.setdefault(candidate.header.shared, []).append(candidate)
    root: list[Candidate] = []
    filed: list[list[Candidate]] = []
    for found in alike.values():
        if found[0].header.directory_record_type in ROOT_TYPES:
            root += found
        else:
            filed.append(found)
    members: dict[tuple[Hashable, str, str], list[Candidate]] = {}
    for found, patient in zip(filed, _patients(found[0] for found in filed), strict=True):
        header = found[0].header
        key = (patient, header.study_instance_uid, header.series_instance_uid)
        members.setdefault(key, []).extend(found)
    groups = [_series(key, sorted(found, key=_instance_order)) for key, found in members.items()]
    ordered = _order(groups)
    if root:
        ordered.append(Series(None, None, None, tuple(sorted(root, key=_instance_order))))
    return ordered


def _patients(candidates: Iterable[Candidate]) -> list[Hashable]:
    """Each candidate's patient; without Patient ID, one patient for each study and name."""
    headers = (candidate.header for candidate in candidates)
    return group_by_study(
        (one.patient_id, one.issuer_of_patient_id, one.patient_name, one.study_instance_uid)
        for one in headers
    )


def _series(key: tuple[Hashable, str, str], candidates: Sequence[Candidate]) -> Series:
    patient, study, series = key
    identifiers = {candidate.header.patient_id for candidate in candidates} - {""}
    claims: list[tuple[Hashable, Hashable]] = [
        *((("Patient ID", identifier), patient) for identifier in sorted(identifiers)),
        (("Study Instance UID", study), patient),
        (("Series Instance UID", series), (patient, study)),
    ]
    return Series(patient, study, series, tuple(candidates), tuple(claims))


def _order(groups: list[Series]) -> list[Series]:
    """A patient's place is that of its least header, and so for studies, so none is torn apart."""
    places: dict[Hashable, tuple[str, ...]] = {}
    for group_ in groups:
        header = group_.candidates[0].header
        person = (header.patient_id, header.patient_name, header.issuer_of_patient_id)
        for key, place in (
            (group_.patient, (*person, header.study_instance_uid)),
            (
                (group_.patient, group_.study),
                (header.study_date, header.study_time, header.study_instance_uid),
            ),
        ):
            places[key] = min(places.get(key, place), place)
    return sorted(
        groups,
        key=lambda g: (
            places[g.patient],
            places[g.patient, g.study],
            _number(g.candidates[0].header.series_number),
            str(g.series),
        ),
    )


def _instance_order(candidate: Candidate) -> tuple[int, str]:
    uid, number, *_ = candidate.header
    return _number(number), uid


def _number(value: int | None) -> int:
    """What has no number comes after what has one."""
    return 1 << 62 if value is None else value
