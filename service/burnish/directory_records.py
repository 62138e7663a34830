"""Ground: the types of directory records and their keys as data (PS3.3 F, PS3.11).

To add a record type, add its rows here. Keys are in ascending order of their tags. The module also
decides which patients are the same.
"""

import re
import unicodedata
from collections.abc import Hashable, Iterable
from functools import lru_cache
from typing import NamedTuple


class Key(NamedTuple):
    """One key of a directory record: its Type is "1", "1C" or "2" (PS3.5 7.4)."""

    tag: int
    vr: bytes
    type: str


#: Types of record that are in the Root Directory Entity without a patient (PS3.3 F.4).
ROOT_TYPES = frozenset(
    {"HANGING PROTOCOL", "PALETTE", "IMPLANT", "IMPLANT ASSY", "IMPLANT GROUP", "INVENTORY"}
)

#: Types of record of earlier editions (PS3.3 F.4), which old media have.
RETIRED_TYPES = frozenset(
    {
        "CURVE",
        "FILM BOX",
        "FILM SESSION",
        "IMAGE BOX",
        "INTERPRETATION",
        "MODALITY LUT",
        "MRDR",
        "OVERLAY",
        "PRINT QUEUE",
        "RESULTS",
        "STORED PRINT",
        "STUDY COMPONENT",
        "TOPIC",
        "VISIT",
        "VOI LUT",
    }
)

_STORAGE = "1.2.840.10008.5.1.4.1.1."

#: Record type by SOP Class UID below 1.2.840.10008.5.1.4.1.1, unless it is IMAGE; "" if there is
#: none: for protocols, retired standalone objects, and classes that are not for media.
_EXCEPTIONS = tuple(
    (re.compile(pattern), record_type)
    for pattern, record_type in (
        (r"9\.[1-8](\..+)?", "WAVEFORM"),
        (r"9\.100\.[12]", "WF PRESENTATION"),
        (r"11\.([1-9]|1[0-2])|131", "PRESENTATION"),
        (r"66", "RAW DATA"),
        (r"66\.[13]", "REGISTRATION"),
        (r"66\.2", "FIDUCIAL"),
        (r"66\.5", "SURFACE"),
        (r"66\.6", "TRACT"),
        (r"67", "VALUE MAP"),
        (r"68\.[12]", "SURFACE SCAN"),
        (r"77\.1\.5\.3", "STEREOMETRIC"),
        (r"78\.[1-578]|80\.1", "MEASUREMENT"),
        (r"88\.59", "KEY OBJECT DOC"),
        (r"78\.6|79\.1|88\..+", "SR DOCUMENT"),
        (r"90\.1", "ASSESSMENT"),
        (r"91\.1", "ANNOTATION"),
        (r"104\.[1-5]", "ENCAP DOC"),
        (r"4\.2", "SPECTROSCOPY"),
        (r"481\.2", "RT DOSE"),
        (r"481\.3", "RT STRUCTURE SET"),
        (r"481\.[58]", "RT PLAN"),
        (r"481\.[4679]", "RT TREAT RECORD"),
        (r"481\.(1[0-9]|2[0-5])", "RADIOTHERAPY"),
        (r"201\.1", "INVENTORY"),
        (r"(8|9|10|11|27|129)|(200|201|501|601)\..+", ""),
    )
)
_ELSEWHERE = {
    "1.2.840.10008.5.1.4.34.7": "PLAN",
    "1.2.840.10008.5.1.4.34.10": "PLAN",
    "1.2.840.10008.5.1.4.38.1": "HANGING PROTOCOL",
    "1.2.840.10008.5.1.4.39.1": "PALETTE",
    "1.2.840.10008.5.1.4.43.1": "IMPLANT",
    "1.2.840.10008.5.1.4.44.1": "IMPLANT ASSY",
    "1.2.840.10008.5.1.4.45.1": "IMPLANT GROUP",
}


@lru_cache(maxsize=1024)
def record_type(sop_class_uid: str) -> str:
    """Directory Record Type (0004,1430) of an instance, "" if there is none (PS3.3 F.4, PS3.4 I.4).

    An unknown Storage SOP Class is taken for an image, as most are.
    """
    if not sop_class_uid.startswith(_STORAGE):
        return _ELSEWHERE.get(sop_class_uid, "")
    tail = sop_class_uid.removeprefix(_STORAGE)
    if re.fullmatch(r"[0-9]+(\.[0-9]+)*", tail) is None:
        return ""
    for pattern, name in _EXCEPTIONS:
        if pattern.fullmatch(tail):
            return name
    return "IMAGE"


def _keys(rows: str) -> tuple[Key, ...]:
    """Keys from rows of tag, VR and Type, separated by semicolons."""
    fields = (row.split() for row in rows.split(";"))
    keys = (Key(int(tag, 16), vr.encode(), type_) for tag, vr, type_ in fields)
    return tuple(sorted(keys))


_CONTENT_DATE_TIME = "00080023 DA 1; 00080033 TM 1"
#: Content Creator's Name is Type 2 up to 2025 and removed in 2026: to write it is right in both.
_CONTENT_IDENTIFICATION = "00200013 IS 1; 00700080 CS 1; 00700081 LO 2; 00700084 PN 2"
_IDENTIFIED = f"{_CONTENT_DATE_TIME}; {_CONTENT_IDENTIFICATION}"
_PRESENTED = f"00700082 DA 1; 00700083 TM 1; {_CONTENT_IDENTIFICATION}; 00081115 SQ 1C"

#: The keys of each record type that is not retired, except Specific Character Set (PS3.3 F.5).
KEYS: dict[str, tuple[Key, ...]] = {
    "PATIENT": _keys("00100010 PN 2; 00100020 LO 1"),
    "STUDY": _keys(
        "00080020 DA 1; 00080030 TM 1; 00080050 SH 2; 00081030 LO 2; 0020000D UI 1; 00200010 SH 1"
    ),
    "SERIES": _keys("00080060 CS 1; 0020000E UI 1; 00200011 IS 1"),
    "IMAGE": _keys("00200013 IS 1"),
    "RT DOSE": _keys("00200013 IS 1; 3004000A CS 1"),
    "RT STRUCTURE SET": _keys("00200013 IS 1; 30060002 SH 1; 30060008 DA 2; 30060009 TM 2"),
    "RT PLAN": _keys("00200013 IS 1; 300A0002 SH 1; 300A0006 DA 2; 300A0007 TM 2"),
    "RT TREAT RECORD": _keys("00200013 IS 1; 30080250 DA 2; 30080251 TM 2"),
    "PRESENTATION": _keys(f"{_PRESENTED}; 00700402 SQ 1C"),
    "WAVEFORM": _keys(f"{_CONTENT_DATE_TIME}; 00200013 IS 1"),
    "SR DOCUMENT": _keys(
        f"{_CONTENT_DATE_TIME}; 00200013 IS 1; 0040A030 DT 1C; 0040A043 SQ 1; 0040A491 CS 1;"
        "0040A493 CS 1; 0040A730 SQ 1C"
    ),
    "KEY OBJECT DOC": _keys(f"{_CONTENT_DATE_TIME}; 00200013 IS 1; 0040A043 SQ 1; 0040A730 SQ 1C"),
    "SPECTROSCOPY": _keys(
        f"{_CONTENT_DATE_TIME}; 00080008 CS 1; 00089092 SQ 1C; 00200013 IS 1; 00280008 IS 1;"
        "00280010 US 1; 00280011 US 1; 00289001 UL 1; 00289002 UL 1"
    ),
    "RAW DATA": _keys(f"{_CONTENT_DATE_TIME}; 00200013 IS 2"),
    "REGISTRATION": _keys(_IDENTIFIED),
    "FIDUCIAL": _keys(_IDENTIFIED),
    "VALUE MAP": _keys(_IDENTIFIED),
    "MEASUREMENT": _keys(_IDENTIFIED),
    "SURFACE": _keys(_IDENTIFIED),
    "TRACT": _keys(_IDENTIFIED),
    "ANNOTATION": _keys(_IDENTIFIED),
    "HANGING PROTOCOL": _keys(
        "00720002 SH 1; 00720004 LO 1; 00720006 CS 1; 00720008 LO 1; 0072000A DT 1;"
        "0072000C SQ 1; 0072000E SQ 2; 00720014 US 1"
    ),
    "ENCAP DOC": _keys(
        "00080023 DA 2; 00080033 TM 2; 00200013 IS 1; 0040A043 SQ 2; 0040E001 ST 1C;"
        "00420010 ST 2; 00420012 LO 1"
    ),
    "STEREOMETRIC": (),
    "PLAN": (),
    "PALETTE": _keys("00700080 CS 1; 00700081 LO 2"),
    "IMPLANT": _keys("00080070 LO 1; 00221095 LO 1; 00221097 LO 1; 00686210 LO 1C"),
    "IMPLANT ASSY": _keys("00080070 LO 1; 00760001 LO 1; 00760020 SQ 1"),
    "IMPLANT GROUP": _keys("00780001 LO 1; 00780020 LO 1"),
    "SURFACE SCAN": _keys(_CONTENT_DATE_TIME),
    "ASSESSMENT": _keys("00080012 DA 1; 00080013 TM 2; 00200013 IS 1"),
    "RADIOTHERAPY": _keys(
        "00200013 IS 1; 00700081 LO 2; 00700084 PN 2; 30100033 SH 1C; 30100034 LO 1C"
    ),
    "INVENTORY": _keys(
        f"{_CONTENT_DATE_TIME}; 00080400 SQ 2; 00080401 LT 2; 00080403 CS 1; 00080426 CS 1;"
        "00080427 UL 1"
    ),
    "WF PRESENTATION": _keys(_PRESENTED),
}

_D_IMAGE = "00080008 CS 1C; 00081140 SQ 1C"
_H_IMAGE = (
    f"{_D_IMAGE}; 0008002A DT 1C; 00181800 CS 1C; 00200032 DS 1C; 00200037 DS 1C; 00200052 UI 1C;"
    "00200200 UI 1C; 00280008 IS 1C; 00280010 US 1; 00280011 US 1; 00280030 DS 1C"
)
#: Attributes for the place of pixels in space: position, orientation, Frame of Reference, spacing.
_IN_SPACE = frozenset({0x00200032, 0x00200037, 0x00200052, 0x00280030})
#: Keys that the STD-GEN-CD, -DVD-RAM and -BD profiles add (PS3.11 Table D.3-2).
CD_KEYS: dict[str, tuple[Key, ...]] = {"IMAGE": _keys(_D_IMAGE)}
#: Keys that the profiles with compression on DVD, BD and flash media add (PS3.11 Table H.3-2).
DVD_KEYS: dict[str, tuple[Key, ...]] = {
    "PATIENT": _keys("00100030 DA 1C; 00100040 CS 1C"),
    "SERIES": _keys("00080080 LO 1C; 00080081 ST 1C; 00081050 PN 1C"),
    "IMAGE": _keys(f"{_H_IMAGE}; 00500004 CS 1C; 00282112 DS 1C"),
    "SPECTROSCOPY": _keys(_H_IMAGE),
}
#: Keys that the MPEG-2 profile on DVD adds: those of Table H.3-2 without the place of pixels in
#: space (PS3.11 Table I.3-2).
MPEG2_KEYS: dict[str, tuple[Key, ...]] = {
    record: tuple(key for key in keys if key.tag not in _IN_SPACE)
    for record, keys in DVD_KEYS.items()
}
_A_IMAGE = "00080008 CS 1; 00081140 SQ 1C; 00500004 CS 2"
#: Keys that the X-ray angiography profiles add, apart from an icon (PS3.11 Tables A.3-2, B.3-2).
ANGIOGRAPHY_KEYS: dict[str, tuple[Key, ...]] = {
    "PATIENT": _keys("00100030 DA 2; 00100040 CS 2"),
    "SERIES": _keys("00080080 LO 2; 00080081 ST 2; 00081050 PN 2"),
    "IMAGE": _keys(_A_IMAGE),
}
#: The same where lossy JPEG is permitted (PS3.11 Table B.3-2).
ANGIOGRAPHY_LOSSY_KEYS: dict[str, tuple[Key, ...]] = {
    **ANGIOGRAPHY_KEYS,
    "IMAGE": _keys(f"{_A_IMAGE}; 00282112 DS 1C"),
}
#: Keys that the CT and MR profiles add (PS3.11 Table E.3-2).
CT_MR_KEYS: dict[str, tuple[Key, ...]] = {
    "IMAGE": _keys(
        "00081140 SQ 1C; 00200032 DS 1C; 00200037 DS 1C; 00200052 UI 1C; 00280010 US 1;"
        "00280011 US 1; 00280030 DS 1C"
    )
}


def all_keys(record: str) -> tuple[Key, ...]:
    """The keys of a record type with those that CD_KEYS and DVD_KEYS add, each once.

    Where they differ in Type, that of the record type applies.
    """
    merged: dict[int, Key] = {}
    for table in (KEYS, CD_KEYS, DVD_KEYS):
        for key in table.get(record, ()):
            merged.setdefault(key.tag, key)
    return tuple(merged[tag] for tag in sorted(merged))


def spoken_names(name: str) -> tuple[str, ...]:
    """The component groups of a Person Name as they sound: alphabetic, ideographic, phonetic.

    Case, accents, width, padding and the kind of separator are removed (PS3.5 6.2.1); an absent
    group is "".
    """
    groups = []
    for group in name.split("=")[:3]:
        plain = group.casefold()
        if not plain.isascii():
            decomposed = unicodedata.normalize("NFKD", plain)
            plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
        groups.append(" ".join(word for word in re.split(r"[\^,.\s]+", plain) if word))
    return tuple(groups)


def patient_key(patient_id: str, issuer: str, name: str) -> tuple[str, str, str]:
    """The values that distinguish patients: Patient ID, its issuer, and the name as it sounds.

    Of the name, the first component group that is present counts, usually the alphabetic one.
    """
    spoken = next((group for group in spoken_names(name) if group), "")
    return patient_id.strip(), issuer.strip(), spoken


def group_patients(patients: Iterable[tuple[str, str, str]]) -> list[int]:
    """For each (Patient ID, Issuer of Patient ID, Patient's Name) the number of its patient.

    Numbers count from 0 in order of first appearance. An absent issuer or name is taken to be
    the other one that occurs with that Patient ID, if there is exactly one. A name without
    alphabetic group is that of the patient with the same ideographic or phonetic group, if there
    is exactly one. Without Patient ID, equal names make one patient: see `group_by_study`.
    """
    patients = list(patients)
    keys = [patient_key(*patient) for patient in patients]
    issuers: dict[str, set[str]] = {}
    for patient_id, issuer, _ in keys:
        issuers.setdefault(patient_id, set()).add(issuer)
    completed = []
    for patient_id, issuer, name in keys:
        if patient_id and not issuer:
            issuer = _only(issuers[patient_id])  # noqa: PLW2901
        completed.append((patient_id, issuer, name))
    completed = _one_spelling_each(completed, [name for _, _, name in patients])
    names: dict[tuple[str, str], set[str]] = {}
    for patient_id, issuer, name in completed:
        names.setdefault((patient_id, issuer), set()).add(name)
    numbers: dict[tuple[str, str, str], int] = {}
    groups = []
    for patient_id, issuer, name in completed:
        chosen = name or (_only(names[patient_id, issuer]) if patient_id else "")
        groups.append(numbers.setdefault((patient_id, issuer, chosen), len(numbers)))
    return groups


def group_by_study(patients: Iterable[tuple[str, str, str, str]]) -> list[Hashable]:
    """For each (Patient ID, Issuer, Patient's Name, Study Instance UID) the key of its patient.

    As `group_patients`, but without Patient ID each study has a patient of its own: people who
    have the same name, or none, are not taken for one another.
    """
    patients = list(patients)
    numbers = group_patients((identifier, issuer, name) for identifier, issuer, name, _ in patients)
    return [
        number if identifier else (number, study)
        for number, (identifier, _, _, study) in zip(numbers, patients, strict=True)
    ]


def _one_spelling_each(
    keys: list[tuple[str, str, str]], names: list[str]
) -> list[tuple[str, str, str]]:
    """The keys with one spelling of each name: `Yamada^Tarou=...` and `=...` are one name if they
    agree in a component group other than the first."""
    if not any("=" in name for name in names):
        return keys
    spellings: dict[tuple[str, str, str], set[str]] = {}
    for (patient_id, issuer, spelling), name in zip(keys, names, strict=True):
        for group in spoken_names(name):
            if group and group != spelling:
                spellings.setdefault((patient_id, issuer, group), set()).add(spelling)
    return [
        (patient_id, issuer, _only(spellings.get((patient_id, issuer, name), set())) or name)
        for patient_id, issuer, name in keys
    ]


def _only(values: set[str]) -> str:
    """The single value that is not empty; "" if there is none or more than one."""
    present = values - {""}
    return present.pop() if len(present) == 1 else ""
