"""Craft: File IDs by patient, study and series (PS3.10 8.2, 8.5)."""

import re
from collections.abc import Hashable, Iterable, Iterator

from burnish.errors import Conflict

#: Each component but the first has 8 characters, so that every File ID of a kind is equally long.
_MAXIMUM = 999_999
_NUMBERED = re.compile(r"DICOM\\(PA|RO)(\d{6})(\\.*)?")


def assign(
    paths: Iterable[tuple[Hashable, Hashable, Hashable]], taken: Iterable[str] = ()
) -> Iterator[str]:
    r"""The File ID of each instance, given its (patient, study, series) in directory order.

    `DICOM\PA000001\ST000001\SE000001\IM000001`, numbers starting anew in each parent;
    (None, None, None) stands for an instance of the Root Directory Entity: `DICOM\RO000001`.
    Where names are `taken`, the numbers of patients and of such instances follow theirs.
    """
    study = series = image = 0
    numbered = [found for found in map(_NUMBERED.fullmatch, taken) if found]
    patient, root = (
        max((int(found[2]) for found in numbered if found[1] == kind), default=0)
        for kind in ("PA", "RO")
    )
    known: tuple[Hashable, Hashable, Hashable] | None = None
    parent = ""
    for path in paths:
        if path == (None, None, None):
            root = _next(root)
            yield f"DICOM\\RO{root:06d}"
            continue
        if path != known:
            if known is None or path[0] != known[0]:
                patient, study, series = _next(patient), 1, 1
            elif path[1] != known[1]:
                study, series = _next(study), 1
            else:
                series = _next(series)
            known, image = path, 0
            parent = f"DICOM\\PA{patient:06d}\\ST{study:06d}\\SE{series:06d}\\IM"
        image = _next(image)
        yield f"{parent}{image:06d}"


def _next(number: int) -> int:
    if number == _MAXIMUM:
        raise Conflict(f"more than {_MAXIMUM} files or directories in one directory")
    return number + 1
