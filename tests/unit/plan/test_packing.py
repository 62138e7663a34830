"""Volumes: nothing lost, nothing twice, nothing too large, and no more of them than needed."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.contradictions import find_contradictions
from burnish.directory_records import group_patients
from burnish.media import FileSystem
from burnish.plan import packing
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series, group_into_series
from burnish.plan.size_estimate import FixedPart, VolumeEstimate
from burnish.plan.volumes import fixed_part, lay_out_volume
from factories import candidate, header
from trees import few, instances, shuffled

CD = FileSystem.ISO_9660_LEVEL_1
Volumes = list[list[Series]]


def alone(series: Series, fixed: FixedPart) -> bool:
    """Whether a series fits on a volume of its own."""
    estimate = VolumeEstimate(fixed)
    addition = estimate.addition([series])
    return addition is not None and estimate.fits(addition)


def least(candidates: Sequence[Candidate]) -> int:
    """The capacity that holds the largest of them alone."""
    return max(
        lay_out_volume(group_into_series([single]), CD).largest_size() for single in candidates
    )


def ids(volume: Sequence[Series]) -> list[int]:
    return [c.instance_id for series in volume for c in series.candidates]


@st.composite
def packed(
    draw: st.DrawFn, *, agreeing: bool = False
) -> tuple[list[Candidate], FixedPart, Volumes]:
    candidates = draw(instances(minimum=1, agreeing=agreeing))
    smallest = least(candidates)
    fixed = fixed_part(smallest + 2048 * draw(st.integers(0, 600)), CD)
    return candidates, fixed, packing.pack_series(group_into_series(candidates), fixed)


@few
@given(packed())
def test_every_instance_is_on_one_volume(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    candidates, _, volumes = case
    assert Counter(i for volume in volumes for i in ids(volume)) == Counter(
        item.instance_id for item in candidates
    )
    assert all(volumes)


@few
@given(packed(agreeing=True))
def test_every_volume_fits_by_its_real_size(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    _, fixed, volumes = case
    for volume in volumes:
        assert lay_out_volume(volume, CD).largest_size() <= fixed.capacity


@few
@given(packed())
def test_a_series_that_fits_a_volume_is_not_split(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    candidates, fixed, volumes = case
    place = {i: number for number, volume in enumerate(volumes) for i in ids(volume)}
    for series in group_into_series(candidates):
        if alone(series, fixed):
            assert len({place[c.instance_id] for c in series.candidates}) == 1


@few
@given(packed())
def test_packing_takes_no_more_volumes_than_filling_them_in_order(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    candidates, fixed, volumes = case
    estimate: VolumeEstimate | None = None
    naive = 0
    for series in group_into_series(candidates):
        for part in [series] if alone(series, fixed) else _parts(series, fixed):
            addition = estimate.addition([part]) if estimate else None
            if estimate is None or addition is None or not estimate.fits(addition):
                naive, estimate = naive + 1, VolumeEstimate(fixed)
                addition = estimate.addition([part])
            assert addition is not None
            estimate.add(addition)
    assert len(volumes) <= naive


def _parts(series: Series, fixed: FixedPart) -> list[Series]:
    parts: list[Series] = []
    for item in series.candidates:
        if parts:
            longer = replace(parts[-1], candidates=(*parts[-1].candidates, item))
            if alone(longer, fixed):
                parts[-1] = longer
                continue
        parts.append(replace(series, candidates=(item,)))
    return parts


@few
@given(instances(minimum=1), st.integers(0, 400), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(
    candidates: list[Candidate], more: int, random_: random.Random
) -> None:
    fixed = fixed_part(least(candidates) + 2048 * more, CD)

    def volumes(candidates: list[Candidate]) -> list[list[int]]:
        return [ids(volume) for volume in packing.pack_series(group_into_series(candidates), fixed)]

    assert volumes(shuffled(candidates, random_)) == volumes(candidates)


@few
@given(packed())
def test_a_volume_is_in_directory_order_and_can_be_written(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    candidates, _, volumes = case
    place = {c.instance_id: n for n, c in enumerate(_all(group_into_series(candidates)))}
    for volume in volumes:
        order = [place[i] for i in ids(volume)]
        assert order == sorted(order)
        lay_out_volume(volume, CD).largest_size()  # dicomdir refuses a File-set that cannot be


@few
@given(packed())
def test_two_patients_of_one_id_are_never_on_one_volume(
    case: tuple[list[Candidate], FixedPart, Volumes],
) -> None:
    _, _, volumes = case
    for volume in volumes:
        headers = [c.header for c in _all(volume) if c.header.study_instance_uid]
        persons = group_patients(
            (h.patient_id, h.issuer_of_patient_id, h.patient_name) for h in headers
        )
        owners: dict[tuple[str, str], set[object]] = {}
        for instance_header, person in zip(headers, persons, strict=True):
            if instance_header.patient_id:
                owners.setdefault(("Patient ID", instance_header.patient_id), set()).add(person)
            owners.setdefault(("study", instance_header.study_instance_uid), set()).add(
                (instance_header.patient_id, person)
            )
            owners.setdefault(("series", instance_header.series_instance_uid), set()).add(
                instance_header.study_instance_uid
            )
        assert all(len(who) == 1 for who in owners.values())


def _all(volume: Sequence[Series]) -> list[Candidate]:
    return [c for series in volume for c in series.candidates]


@few
@given(instances(minimum=1, agreeing=True), st.integers(0, 3))
def test_a_set_that_fits_one_volume_is_put_on_one(candidates: list[Candidate], more: int) -> None:
    """Judged by the size of the volume itself, and by the directory that can list them."""
    series = group_into_series(candidates)
    if find_contradictions(candidate.header for candidate in candidates):
        return
    capacity = lay_out_volume(series, CD).largest_size() + 2048 * more
    packed_series = packing.pack_series(series, fixed_part(capacity, CD))
    assert [ids(volume) for volume in packed_series] == [ids(series)]


def of_series(*sizes: int, series: int = 1) -> list[Candidate]:
    """Instances of one series with these sizes in MB."""
    return [
        candidate(
            100 * series + n,
            header(
                patient_id=f"P{series}",
                study=f"1.2.{series}",
                series=f"1.3.{series}",
                uid=f"1.4.{series}.{n}",
                instance_number=n,
            ),
            size * 10**6,
        )
        for n, size in enumerate(sizes)
    ]


def test_several_patients_that_fit_one_volume_are_put_on_one() -> None:
    candidates = [sample for number in range(1, 6) for sample in of_series(1, 2, series=number)]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(20_000_000, CD))
    assert [sorted(ids(volume)) for volume in volumes] == [
        sorted(sample.instance_id for sample in candidates)
    ]


def test_series_are_kept_whole_though_parts_of_them_would_fill_volumes_better() -> None:
    """Each of three series takes 3 of 4 MB: cut into parts they would take no volume less."""
    candidates = [sample for number in (1, 2, 3) for sample in of_series(1, 1, 1, series=number)]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(4_300_000, CD))
    assert [{i // 100 for i in ids(volume)} for volume in volumes] == [{1}, {2}, {3}]


def test_namesakes_of_one_patient_id_are_on_separate_volumes() -> None:
    """Judged by the names that are on each volume."""
    candidates = [
        candidate(n, header(name=name, study=f"1.2.{n}", series=f"1.3.{n}", uid=f"1.4.{n}"), 10_000)
        for n, name in enumerate(("Doe^Jane", "Roe^Richard", "DOE^JANE", "Roe^Richard"))
    ]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(10**9, CD))
    names = [
        {sample.header.patient_name.casefold() for sample in _all(volume)} for volume in volumes
    ]
    assert sorted(map(sorted, names)) == [["doe^jane"], ["roe^richard"]]


@few
@given(instances(minimum=1, agreeing=True), st.integers(-3, 3))
def test_oversized_instances_fit_no_volume_of_their_own(
    candidates: list[Candidate], sectors: int
) -> None:
    capacity = least(candidates) + 2048 * sectors
    oversized = packing.oversized_instances(group_into_series(candidates), fixed_part(capacity, CD))
    assert {item.instance_id for item in oversized} == {
        item.instance_id
        for item in candidates
        if lay_out_volume(group_into_series([item]), CD).largest_size() > capacity
    }


def test_an_instance_larger_than_the_medium_cannot_be_packed() -> None:
    with pytest.raises(packing.TooLarge, match="larger than the medium"):
        packing.pack_series(
            group_into_series([candidate(1, header(), 10**6)]), fixed_part(10**6, CD)
        )


def test_a_study_is_kept_together_where_that_costs_no_volume() -> None:
    # 3 + 5 + 3 + 5 of 8: in order 3+5 and 3+5, and so are the studies
    candidates = [
        candidate(
            n,
            header(study=f"1.2.{n // 2}", series=f"1.3.{n}", uid=f"1.4.{n}", series_number=n),
            size * 10**6,
        )
        for n, size in enumerate((3, 5, 3, 5))
    ]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(8_200_000, CD))
    assert [ids(volume) for volume in volumes] == [[0, 1], [2, 3]]


def test_a_patient_is_kept_together_though_parts_would_fill_the_volumes_in_order() -> None:
    """5, then 2 and 4 of one patient, then 2: in order, 5 + 2 would leave 4 + 2."""
    candidates = [
        *of_series(5, series=1),
        *of_series(2, series=2),
        *(
            sample._replace(
                header=sample.header._replace(patient_id="P2", study_instance_uid="1.2.2")
            )
            for sample in of_series(4, series=3)
        ),
        *of_series(2, series=4),
    ]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(8_200_000, CD))
    assert [{i // 100 for i in ids(volume)} for volume in volumes] == [{1}, {2, 3, 4}]


def test_a_study_is_split_where_that_saves_a_volume() -> None:
    candidates = [
        candidate(
            n,
            header(study=f"1.2.{n // 2}", series=f"1.3.{n}", uid=f"1.4.{n}", series_number=n),
            size * 10**6,
        )
        for n, size in enumerate((4, 1, 4, 1, 4, 1))
    ]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(8_200_000, CD))
    assert len(volumes) == 2


def test_parts_of_a_series_on_one_volume_are_one_series() -> None:
    candidates = [candidate(n, header(uid=f"1.4.{n}", instance_number=n), 10**6) for n in range(20)]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(5_100_000, CD))
    assert [len(volume) for volume in volumes] == [1] * len(volumes)
    assert [i for volume in volumes for i in ids(volume)] == list(range(20))


def test_many_instances_can_be_packed() -> None:
    candidates = [
        candidate(
            n,
            header(
                patient_id=f"P{n // 500}",
                study=f"1.2.{n // 250}",
                series=f"1.3.{n // 50}",
                uid=f"1.4.{n}",
                series_number=n // 50,
                instance_number=n,
            ),
            500_000 + n % 7,
        )
        for n in range(3000)
    ]
    volumes = packing.pack_series(group_into_series(candidates), fixed_part(359_000 * 2048, CD))
    assert sum(len(ids(volume)) for volume in volumes) == len(candidates)
    assert len(volumes) <= 3
