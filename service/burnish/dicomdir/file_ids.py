"""Craft: gives instances File IDs by patient, study and series (PS3.10 8.2, 8.5)."""

import re
from collections.abc import Hashable, Iterable, Iterator

from burnish.errors import Conflict

#: The largest number with six digits. All components except the first have 8 characters, so that
#: the File IDs of instances in series have one length, and those in the root another.
_MAXIMUM = 999_999
_NUMBERED = re.compile(r"DICOM\\(PA|RO)(\d{6})(\\.*)?")


def assign(
    paths: Iterable[tuple[Hashable, Hashable, Hashable]], taken: Iterable[str] = ()
) -> Iterator[str]:
    r"""The File ID of each instance, given its (patient, study, series) in directory order.

    `DICOM\PA000001\ST000001\SE000001\IM000001`: numbers start from 1 in each directory.
    (None, None, None) is an instance in the Root Directory Entity: `DICOM\RO000001`. The numbers
    of patients and of such instances continue after those in the File IDs `taken`.
    """
    study = series = image = 0
    patient, root = _last_numbers(taken)
    previous: tuple[Hashable, Hashable, Hashable] | None = None
    parent = ""
    for path in paths:
        if path == (None, None, None):
            root = _next(root)
            yield f"DICOM\\RO{root:06d}"
            continue
        if path != previous:
            if previous is None or path[0] != previous[0]:
                patient, study, series = _next(patient), 1, 1
            elif path[1] != previous[1]:
                study, series = _next(study), 1
            else:
                series = _next(series)
            previous, image = path, 0
            parent = f"DICOM\\PA{patient:06d}\\ST{study:06d}\\SE{series:06d}\\IM"
        image = _next(image)
        yield f"{parent}{image:06d}"


def _last_numbers(taken: Iterable[str]) -> tuple[int, int]:
    """The largest numbers of a patient and of an instance in the root among these File IDs."""
    largest = {"PA": 0, "RO": 0}
    for file_id in taken:
        match = _NUMBERED.fullmatch(file_id)
        if match:
            largest[match[1]] = max(largest[match[1]], int(match[2]))
    return largest["PA"], largest["RO"]


def _next(number: int) -> int:
    if number == _MAXIMUM:
        raise Conflict(f"more than {_MAXIMUM} files or directories in one directory")
    return number + 1
