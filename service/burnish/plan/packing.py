"""Stage: packs series onto the fewest volumes, together where possible, always alike (pure)."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series
from burnish.plan.size_estimate import FixedPart, VolumeEstimate
from burnish.values import ContentShare

#: Series that should stay together, in directory order.
Unit = tuple[Series, ...]


class TooLarge(Exception):
    """An instance does not fit on a volume of its own."""


def _patient(series: Series) -> Hashable:
    return series.patient


def _study(series: Series) -> Hashable:
    return series.patient, series.study


def _series(series: Series) -> Hashable:
    return series.patient, series.study, series.series


#: What is kept together: whole patients, else whole studies, else whole series.
_LEVELS: tuple[Callable[[Series], Hashable], ...] = (_patient, _study, _series)


@dataclass(slots=True)
class _OpenVolume:
    """A volume that is being filled."""

    estimate: VolumeEstimate
    series: list[Series] = field(default_factory=list)

    def room(self) -> int:
        """The most bytes that further files could have."""
        return self.estimate.fixed.capacity - self.estimate.bytes

    def add_if_it_fits(self, unit: Unit) -> bool:
        """Add a unit if it fits. Returns True if it did."""
        addition = self.estimate.addition(unit)
        if addition is None or not self.estimate.fits(addition):
            return False
        self.estimate.add(addition)
        self.series.extend(unit)
        return True


def oversized_instances(series: Iterable[Series], fixed: FixedPart) -> list[Candidate]:
    """The instances that do not fit even on a volume of their own (PS3.3 C.22.1.4, 0205H)."""
    empty = VolumeEstimate(fixed)

    def fits(of_series: Series, candidate: Candidate) -> bool:
        addition = empty.addition([replace(of_series, candidates=(candidate,))])
        return addition is not None and empty.fits(addition)

    oversized = []
    for one_series in series:
        # most series have no such instance, which one look at the largest sizes tells
        if not fits(one_series, _largest(one_series.candidates)):
            oversized += [
                candidate for candidate in one_series.candidates if not fits(one_series, candidate)
            ]
    return oversized


def _largest(candidates: Sequence[Candidate]) -> Candidate:
    """A made-up instance that takes as much of everything as any of these."""
    return candidates[0]._replace(
        size=max(candidate.size for candidate in candidates),
        patient_length=max(candidate.patient_length for candidate in candidates),
        study_length=max(candidate.study_length for candidate in candidates),
        series_length=max(candidate.series_length for candidate in candidates),
        record_length=max(candidate.record_length for candidate in candidates),
        content=max((candidate.content for candidate in candidates), key=_bytes_of_content),
    )


def _bytes_of_content(share: ContentShare) -> int:
    return sum(share.sizes) + share.text + share.packed


def fits_one_volume(series: Sequence[Series], fixed: FixedPart) -> bool:
    """Whether one volume can hold all of it."""
    return _OpenVolume(VolumeEstimate(fixed)).add_if_it_fits(tuple(series))


def pack_series(series: Sequence[Series], fixed: FixedPart) -> list[list[Series]]:
    """The volumes, each with the series (or parts of them) on it in directory order.

    A series that fits on a volume is never split; a study or patient only where that saves a
    volume, or where it does not fit. Of the ways to the fewest volumes, the one that keeps most
    together is taken, and of those the one that keeps the order. Raises TooLarge where an
    instance does not fit on a volume of its own.
    """
    if fits_one_volume(series, fixed):
        return [list(_rejoined(series))]
    best: list[_OpenVolume] | None = None
    previous_units: list[Unit] = []
    for level in range(len(_LEVELS)):
        units = list(_units(series, level, fixed))
        if units == previous_units:
            continue
        previous_units = units
        for fill in (_next_fit, _first_fit_decreasing):
            volumes = fill(units, fixed)
            if best is None or len(volumes) < len(best):
                best = volumes
    positions = {id(candidate): n for n, candidate in enumerate(_all_candidates(series))}

    def position(one_series: Series) -> int:
        return positions[id(one_series.candidates[0])]

    packed = [list(_rejoined(sorted(volume.series, key=position))) for volume in best or ()]
    return sorted(packed, key=lambda volume: position(volume[0]))


def _all_candidates(series: Iterable[Series]) -> Iterator[Candidate]:
    for one_series in series:
        yield from one_series.candidates


def _units(series: Iterable[Series], level: int, fixed: FixedPart) -> Iterator[Unit]:
    """The units that stay together at a level; one too large for a volume is taken apart."""
    for _, members in groupby(series, _LEVELS[level]):
        unit = tuple(members)
        if fits_one_volume(unit, fixed):
            yield unit
        elif level + 1 < len(_LEVELS):
            yield from _units(unit, level + 1, fixed)
        else:
            yield from _parts(unit[0], fixed)


def _parts(series: Series, fixed: FixedPart) -> Iterator[Unit]:
    """A series that is too large for a volume, cut wherever a volume is full."""
    candidates = series.candidates
    start = 0
    while start < len(candidates):
        estimate = VolumeEstimate(fixed)
        end = start
        while end < len(candidates):
            addition = estimate.addition([replace(series, candidates=(candidates[end],))])
            if addition is None or not estimate.fits(addition):
                break
            estimate.add(addition)
            end += 1
        if end == start:
            raise TooLarge("an instance is larger than the medium")
        yield (replace(series, candidates=candidates[start:end]),)
        start = end


def _next_fit(units: Iterable[Unit], fixed: FixedPart) -> list[_OpenVolume]:
    volumes: list[_OpenVolume] = []
    for unit in units:
        if not volumes or not volumes[-1].add_if_it_fits(unit):
            volumes.append(_new_volume(unit, fixed))
    return volumes


def _first_fit_decreasing(units: Iterable[Unit], fixed: FixedPart) -> list[_OpenVolume]:
    volumes: list[_OpenVolume] = []
    for unit in sorted(units, key=_size, reverse=True):
        size = _size(unit)
        for volume in volumes:
            if size <= volume.room() and volume.add_if_it_fits(unit):
                break
        else:
            volumes.append(_new_volume(unit, fixed))
    return volumes


def _new_volume(unit: Unit, fixed: FixedPart) -> _OpenVolume:
    volume = _OpenVolume(VolumeEstimate(fixed))
    if not volume.add_if_it_fits(unit):
        raise TooLarge("a unit is larger than the medium")
    return volume


def _size(unit: Unit) -> int:
    return sum(
        candidate.size + _bytes_of_content(candidate.content) for candidate in _all_candidates(unit)
    )


def _rejoined(series: Iterable[Series]) -> Iterator[Series]:
    """Parts of a series that came onto the same volume, as one series again."""
    for _, members in groupby(series, _series):
        parts = list(members)
        if len(parts) == 1:
            yield parts[0]
        else:
            yield replace(parts[0], candidates=tuple(_all_candidates(parts)))
