"""The size kept up to date while a volume is filled, against the size of the volume laid out."""

import pytest
from hypothesis import given

from burnish.image.formats import FORMATS
from burnish.media import SECTOR, FileSystem
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import group
from burnish.plan.size_estimate import Footprint
from burnish.plan.volumes import fixed_part, lay_out
from factories import candidate, header
from trees import few, instances

CD = FileSystem.ISO_9660_LEVEL_1
FIXED = fixed_part(10**9, CD)


def sealed(size: int) -> int:
    """As large as an envelope might be."""
    return size + 700 + size % 16


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "secure"])
@pytest.mark.parametrize("file_system", list(FORMATS), ids=lambda one: one.name)
@few
@given(candidates=instances(minimum=1, agreeing=True))
def test_it_is_the_size_of_the_volume(
    file_system: FileSystem, secure: bool, candidates: list[Candidate]
) -> None:
    fixed = fixed_part(10**9, file_system, sealed if secure else None)
    footprint = Footprint(fixed)
    taken = []
    for one in group(candidates):
        growth = footprint.growth([one])
        if growth is not None:
            predicted = footprint.size(growth)
            footprint.add(growth)
            taken.append(one)
            assert footprint.size() == predicted
            assert lay_out(taken, file_system, fixed.sealed).largest_size() == predicted


@few
@given(instances(minimum=1, agreeing=True))
def test_adding_all_at_once_comes_to_the_same(candidates: list[Candidate]) -> None:
    series = group(candidates)
    together, one_by_one = Footprint(FIXED), Footprint(FIXED)
    growth = together.growth(series)
    if growth is None:
        return
    together.add(growth)
    for one in series:
        step = one_by_one.growth([one])
        assert step is not None
        one_by_one.add(step)
    assert together.size() == one_by_one.size()


@few
@given(instances())
def test_looking_changes_nothing(candidates: list[Candidate]) -> None:
    footprint = Footprint(FIXED)
    before = footprint.size()
    footprint.growth(group(candidates))
    assert footprint.size() == before


@few
@given(instances(minimum=1))
def test_with_keys_that_differ_it_is_a_few_bytes_off(candidates: list[Candidate]) -> None:
    footprint = Footprint(FIXED)
    growth = footprint.growth(group(candidates))
    if growth is None:
        return
    footprint.add(growth)
    real = lay_out(group(candidates), CD).largest_size()
    assert abs(real - footprint.size()) <= 2 * SECTOR


def test_a_directory_of_many_files_grows_by_sectors() -> None:
    made = [
        candidate(n, header(uid=f"1.2.3.{n}", instance_number=n), 2048 * (n % 3) + 1)
        for n in range(1, 400)
    ]
    footprint = Footprint(FIXED)
    for n, one in enumerate(made, start=1):
        growth = footprint.growth(group([one]))
        assert growth is not None
        footprint.add(growth)
        if n % 37 == 0:
            assert footprint.size() == lay_out(group(made[:n]), CD).largest_size()


def test_a_file_larger_than_the_file_system_has_does_not_fit() -> None:
    large = group([candidate(1, header(), 5 * 10**9)])
    for file_system, fits in (
        (FileSystem.ISO_9660_UDF_BRIDGE, False),
        (FileSystem.FAT, False),
        (FileSystem.UDF_2_60, True),
        (FileSystem.ZIP, True),
    ):
        footprint = Footprint(fixed_part(10**10, file_system))
        growth = footprint.growth(large)
        assert growth is not None
        assert footprint.fits(growth) is fits
