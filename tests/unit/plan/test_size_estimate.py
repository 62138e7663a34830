"""The size kept up to date while a volume is filled, against the size of the volume laid out."""

import pytest
from hypothesis import given

from burnish.image.formats import FORMATS
from burnish.media import SECTOR, FileSystem
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import group_into_series
from burnish.plan.size_estimate import VolumeEstimate
from burnish.plan.volumes import fixed_part, lay_out_volume
from factories import candidate, header
from trees import few, instances

CD = FileSystem.ISO_9660_LEVEL_1
FIXED = fixed_part(10**9, CD)


def sealed(size: int) -> int:
    """As large as an envelope might be."""
    return size + 700 + size % 16


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
@pytest.mark.parametrize("file_system", list(FORMATS), ids=lambda file_system: file_system.name)
@few
@given(candidates=instances(minimum=1, agreeing=True))
def test_the_estimate_is_the_size_of_the_volume(
    file_system: FileSystem, secure: bool, candidates: list[Candidate]
) -> None:
    fixed = fixed_part(10**9, file_system, sealed if secure else None)
    estimate = VolumeEstimate(fixed)
    added = []
    for series in group_into_series(candidates):
        addition = estimate.addition([series])
        if addition is not None:
            predicted = estimate.size(addition)
            estimate.add(addition)
            added.append(series)
            assert estimate.size() == predicted
            assert lay_out_volume(added, file_system, fixed.sealed_size).largest_size() == predicted


@few
@given(instances(minimum=1, agreeing=True))
def test_adding_all_series_at_once_gives_the_same_size(candidates: list[Candidate]) -> None:
    series = group_into_series(candidates)
    together, one_by_one = VolumeEstimate(FIXED), VolumeEstimate(FIXED)
    addition = together.addition(series)
    if addition is None:
        return
    together.add(addition)
    for single_series in series:
        step = one_by_one.addition([single_series])
        assert step is not None
        one_by_one.add(step)
    assert together.size() == one_by_one.size()


@few
@given(instances())
def test_asking_for_an_addition_changes_nothing(candidates: list[Candidate]) -> None:
    estimate = VolumeEstimate(FIXED)
    before = estimate.size()
    estimate.addition(group_into_series(candidates))
    assert estimate.size() == before


@few
@given(instances(minimum=1))
def test_the_estimate_is_a_few_bytes_off_where_keys_differ(candidates: list[Candidate]) -> None:
    estimate = VolumeEstimate(FIXED)
    addition = estimate.addition(group_into_series(candidates))
    if addition is None:
        return
    estimate.add(addition)
    real = lay_out_volume(group_into_series(candidates), CD).largest_size()
    assert abs(real - estimate.size()) <= 2 * SECTOR


def test_a_directory_of_many_files_grows_by_sectors() -> None:
    candidates = [
        candidate(n, header(uid=f"1.2.3.{n}", instance_number=n), 2048 * (n % 3) + 1)
        for n in range(1, 400)
    ]
    estimate = VolumeEstimate(FIXED)
    for n, item in enumerate(candidates, start=1):
        addition = estimate.addition(group_into_series([item]))
        assert addition is not None
        estimate.add(addition)
        if n % 37 == 0:
            assert (
                estimate.size()
                == lay_out_volume(group_into_series(candidates[:n]), CD).largest_size()
            )


def test_a_file_larger_than_the_file_system_permits_does_not_fit() -> None:
    large = group_into_series([candidate(1, header(), 5 * 10**9)])
    for file_system, fits in (
        (FileSystem.ISO_9660_UDF_BRIDGE, False),
        (FileSystem.FAT, False),
        (FileSystem.UDF_2_60, True),
        (FileSystem.ZIP, True),
    ):
        estimate = VolumeEstimate(fixed_part(10**10, file_system))
        addition = estimate.addition(large)
        assert addition is not None
        assert estimate.fits(addition) is fits
