"""Craft: for which keys a DICOMDIR has values that stand in for missing ones (see `records`)."""

from collections.abc import Sequence

from burnish.dicom_elements import scan
from burnish.dicomdir.keys import (
    MODALITY,
    PATIENT_ID,
    SERIES_NUMBER,
    STUDY_DATE,
    STUDY_TIME,
    SUBSTITUTE_DATES,
)
from burnish.values import InstanceHeader

_STUDY_ID = 0x00200010
_OF_STUDY = (PATIENT_ID, STUDY_DATE, STUDY_TIME, _STUDY_ID)
_OF_SERIES = (MODALITY, SERIES_NUMBER)


def stand_ins(headers: Sequence[InstanceHeader]) -> list[int]:
    """The tags of the Type 1 keys that all instances of a record lack, in ascending order."""
    missing = {tag for keys in {header.missing_keys for header in headers} for tag in keys}
    # the instances of a series usually share one object
    distinct = {id(header.entity_keys): header for header in headers}
    studies: dict[str, set[int]] = {}
    series: dict[str, set[int]] = {}
    for header in distinct.values():
        keys = header.entity_keys
        if not keys:
            continue
        present = {
            element.tag for element in scan(keys, 0, len(keys), explicit=True) if element.length
        }
        for date, time in SUBSTITUTE_DATES:
            if date in present:
                present |= {STUDY_DATE, STUDY_TIME} if time in present else {STUDY_DATE}
        studies.setdefault(header.study_instance_uid, set()).update(present)
        series.setdefault(header.series_instance_uid, set()).update(present)
    for present in studies.values():
        missing.update(tag for tag in _OF_STUDY if tag not in present)
    for present in series.values():
        missing.update(tag for tag in _OF_SERIES if tag not in present)
    return sorted(missing)
