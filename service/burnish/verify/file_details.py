"""Craft: what a file says of its patient that a DICOMDIR need not have.

Whether Patient's Birth Date, Patient's Sex and Institution Name are in the DICOMDIR depends on the
Application Profile of the volume (PS3.11).
"""

from io import BytesIO

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag

from burnish.errors import Unreadable
from burnish.values import ReadableVolume

#: What is read; the last of them ends the reading.
_KEYWORDS = ("InstitutionName", "PatientBirthDate", "PatientSex")
_PATIENT_SEX = 0x00100040
#: The bytes of a file that are read: these attributes are among its first ones.
_BEGINNING = 1 << 16


def file_details(volume: ReadableVolume, file_id: str) -> dict[str, str]:
    """The values by keyword, as far as the file has them; none if it cannot be read."""
    names = {name.upper(): name for name in volume.files()}
    name = names.get(file_id.upper())
    if name is None:
        return {}
    try:
        beginning = volume.read(name, 0, min(volume.files()[name], _BEGINNING))
        data_set = read_partial(BytesIO(beginning), stop_when=_is_behind)
    except (Unreadable, InvalidDicomError, AttributeError, ValueError, EOFError):
        return {}
    values = {keyword: str(data_set.get(keyword, "") or "").strip() for keyword in _KEYWORDS}
    return {keyword: value for keyword, value in values.items() if value}


def _is_behind(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > _PATIENT_SEX
