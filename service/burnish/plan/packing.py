"""Stage: packs series onto the fewest volumes, together where they can be, always the same way."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from burnish.plan.candidates import Candidate
from burnish.plan.grouping import Series
from burnish.plan.size_estimate import Fixed, Footprint

#: Series that should stay together, in directory order.
Unit = tuple[Series, ...]
_Key = Callable[[Series], Hashable]


def _patient(series: Series) -> Hashable:
    return series.patient


def _study(series: Series) -> Hashable:
    return series.patient, series.study


def _one(series: Series) -> Hashable:
    return series.patient, series.study, series.series


#: What is kept together, most first.
_LEVELS: tuple[_Key, ...] = (_patient, _study, _one)


@dataclass(slots=True)
class _Volume:
    footprint: Footprint
    series: list[Series] = field(default_factory=list)

    def room(self) -> int:
        """Bytes that more files could have at the most."""
        return self.footprint.fixed.capacity - self.footprint.bytes

    def take(self, unit: Unit) -> bool:
        """Adds a unit if it fits; whether it did."""
        growth = self.footprint.growth(unit)
        if growth is None or not self.footprint.fits(growth):
            return False
        self.footprint.add(growth)
        self.series.extend(unit)
        return True


def oversized(series: Iterable[Series], fixed: Fixed) -> list[Candidate]:
    """The instances that do not even fit on a volume of their own (PS3.3 C.22.1.4, 0205H)."""
    found = []
    empty = Footprint(fixed)

    def fits(one: Series, candidate: Candidate) -> bool:
        growth = empty.growth([replace(one, candidates=(candidate,))])
        return growth is not None and empty.fits(growth)

    for one in series:
        if not fits(one, _largest(one.candidates)):
            found += [candidate for candidate in one.candidates if not fits(one, candidate)]
    return found


def _largest(candidates: Sequence[Candidate]) -> Candidate:
    """An instance that is in nothing smaller than any of them."""
    first = candidates[0]
    return first._replace(
        size=max(c.size for c in candidates),
        patient_length=max(c.patient_length for c in candidates),
        study_length=max(c.study_length for c in candidates),
        series_length=max(c.series_length for c in candidates),
        record_length=max(c.record_length for c in candidates),
    )


def single(series: Sequence[Series], fixed: Fixed) -> bool:
    """Whether one volume can hold all of it."""
    return _Volume(Footprint(fixed)).take(tuple(series))


def pack(series: Sequence[Series], fixed: Fixed) -> list[list[Series]]:
    """The volumes, each the series (or parts of them) on it in directory order.

    A series that fits on a volume is never torn; a study or patient only where that saves a
    volume, or does not fit. Of the ways to the fewest volumes the one that keeps most together is
    taken, and of those the one that keeps the order. No instance may be oversized.
    """
    if single(series, fixed):
        return [list(_joined(series))]
    best: list[_Volume] | None = None
    before: list[Unit] = []
    for level in range(len(_LEVELS)):
        units = list(_units(series, level, fixed))
        if units == before:
            continue
        before = units
        for fill in (_next_fit, _first_fit_decreasing):
            volumes = fill(units, fixed)
            if best is None or len(volumes) < len(best):
                best = volumes
    place = {id(candidate): n for n, candidate in enumerate(_candidates(series))}

    def first(one: Series) -> int:
        return place[id(one.candidates[0])]

    packed = [sorted(volume.series, key=first) for volume in best or ()]
    return sorted((list(_joined(volume)) for volume in packed), key=lambda v: first(v[0]))


def _candidates(series: Iterable[Series]) -> Iterator[Candidate]:
    for one in series:
        yield from one.candidates


def _units(series: Iterable[Series], level: int, fixed: Fixed) -> Iterator[Unit]:
    """What is to be kept together at `level`; what is too large for a volume is taken apart."""
    for _, members in groupby(series, _LEVELS[level]):
        unit = tuple(members)
        if _Volume(Footprint(fixed)).take(unit):
            yield unit
        elif level + 1 < len(_LEVELS):
            yield from _units(unit, level + 1, fixed)
        else:
            yield from _parts(unit[0], fixed)


def _parts(series: Series, fixed: Fixed) -> Iterator[Unit]:
    """A series too large for a volume, cut where each volume is full."""
    start = 0
    candidates = series.candidates
    while start < len(candidates):
        footprint = Footprint(fixed)
        end = start
        while end < len(candidates):
            growth = footprint.growth([replace(series, candidates=(candidates[end],))])
            if growth is None or not footprint.fits(growth):
                break
            footprint.add(growth)
            end += 1
        if end == start:
            raise ValueError("an instance is larger than the medium")
        yield (replace(series, candidates=candidates[start:end]),)
        start = end


def _next_fit(units: Iterable[Unit], fixed: Fixed) -> list[_Volume]:
    volumes: list[_Volume] = []
    for unit in units:
        if not volumes or not volumes[-1].take(unit):
            volumes.append(_only(unit, fixed))
    return volumes


def _first_fit_decreasing(units: Iterable[Unit], fixed: Fixed) -> list[_Volume]:
    volumes: list[_Volume] = []
    for size, unit in sorted(((_bytes(u), u) for u in units), key=lambda p: p[0], reverse=True):
        if not any(size <= volume.room() and volume.take(unit) for volume in volumes):
            volumes.append(_only(unit, fixed))
    return volumes


def _only(unit: Unit, fixed: Fixed) -> _Volume:
    volume = _Volume(Footprint(fixed))
    if not volume.take(unit):
        raise ValueError("a unit is larger than the medium")
    return volume


def _bytes(unit: Unit) -> int:
    return sum(candidate.size for one in unit for candidate in one.candidates)


def _joined(series: Iterable[Series]) -> Iterator[Series]:
    """Parts of one series that came onto the same volume, as one."""
    for _, members in groupby(series, _one):
        first, *others = members
        yield replace(first, candidates=tuple(_candidates((first, *others)))) if others else first
