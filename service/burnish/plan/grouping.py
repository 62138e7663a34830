"""Stage: puts instances in directory order: patients, studies, series, instances (pure)."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

from burnish.directory_records import ROOT_TYPES, group_by_study
from burnish.plan.candidates import Candidate

#: Sorts behind every number.
_AFTER_ALL_NUMBERS = 1 << 62


@dataclass(frozen=True, slots=True)
class Series:
    """Instances of one series, in order, with the keys of the directories that they lie in.

    A File-set may hold each of the `claims` for one owner only (PS3.3 F.5.1 to F.5.3): a Patient
    ID for one patient, a Study Instance UID for one patient, a Series Instance UID for one study.
    The keys are None for instances of the Root Directory Entity, which belong to no patient.
    """

    patient: Hashable
    study: Hashable
    series: Hashable
    candidates: tuple[Candidate, ...]
    claims: tuple[tuple[Hashable, Hashable], ...] = ()


def group_into_series(candidates: Sequence[Candidate]) -> list[Series]:
    """All series in directory order.

    Patients are ordered by ID and name, studies by date, series and instances by number; UIDs
    decide where numbers do not. Instances of the Root Directory Entity come last.
    """
    alike: dict[tuple[object, ...], list[Candidate]] = {}
    for candidate in candidates:
        alike.setdefault(candidate.header.shared, []).append(candidate)
    in_root: list[Candidate] = []
    in_series: list[list[Candidate]] = []
    for members in alike.values():
        if members[0].header.directory_record_type in ROOT_TYPES:
            in_root += members
        else:
            in_series.append(members)
    by_series: dict[tuple[Hashable, str, str], list[Candidate]] = {}
    patients = _patients(members[0] for members in in_series)
    for members, patient in zip(in_series, patients, strict=True):
        header = members[0].header
        key = (patient, header.study_instance_uid, header.series_instance_uid)
        by_series.setdefault(key, []).extend(members)
    ordered = _in_order(
        [_series(key, sorted(members, key=_instance_order)) for key, members in by_series.items()]
    )
    if in_root:
        ordered.append(Series(None, None, None, tuple(sorted(in_root, key=_instance_order))))
    return ordered


def _patients(candidates: Iterable[Candidate]) -> list[Hashable]:
    """The patient of each candidate; without Patient ID, one for each study and name."""
    headers = (candidate.header for candidate in candidates)
    return group_by_study(
        (
            header.patient_id,
            header.issuer_of_patient_id,
            header.patient_name,
            header.study_instance_uid,
        )
        for header in headers
    )


def _series(key: tuple[Hashable, str, str], candidates: Sequence[Candidate]) -> Series:
    patient, study, series = key
    patient_ids = {candidate.header.patient_id for candidate in candidates} - {""}
    claims: list[tuple[Hashable, Hashable]] = [
        (("Patient ID", patient_id), patient) for patient_id in sorted(patient_ids)
    ]
    claims.append((("Study Instance UID", study), patient))
    claims.append((("Series Instance UID", series), (patient, study)))
    return Series(patient, study, series, tuple(candidates), tuple(claims))


def _in_order(series: list[Series]) -> list[Series]:
    """Series in directory order.

    The place of a patient or study is that of the least header in it: so none is torn apart.
    """
    places: dict[Hashable, tuple[str, ...]] = {}
    for one_series in series:
        header = one_series.candidates[0].header
        patient_place = (
            header.patient_id,
            header.patient_name,
            header.issuer_of_patient_id,
            header.study_instance_uid,
        )
        study_place = (header.study_date, header.study_time, header.study_instance_uid)
        for key, place in (
            (one_series.patient, patient_place),
            ((one_series.patient, one_series.study), study_place),
        ):
            places[key] = min(places.get(key, place), place)
    return sorted(
        series,
        key=lambda one_series: (
            places[one_series.patient],
            places[one_series.patient, one_series.study],
            _number(one_series.candidates[0].header.series_number),
            str(one_series.series),
        ),
    )


def _instance_order(candidate: Candidate) -> tuple[int, str]:
    return _number(candidate.header.instance_number), candidate.header.sop_instance_uid


def _number(value: int | None) -> int:
    """An instance or series without a number comes after those with one."""
    return _AFTER_ALL_NUMBERS if value is None else value
