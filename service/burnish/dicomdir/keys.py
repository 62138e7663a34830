"""Craft: the keys of directory records, taken from what an instance says of itself.

Blobs of keys are Data Elements in Explicit VR Little Endian (PS3.10 8.6), ascending, as
InstanceHeader describes them.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

from burnish import character_sets
from burnish.application_profiles import limits
from burnish.dicom_elements import Element, encode, encode_item, items, scan, uid
from burnish.dicomdir.key_shapes import (
    CONTENT_SEQUENCE,
    ENTITY_KEYS,
    ENTITY_TAGS,
    FALLBACKS,
    IN_FUNCTIONAL_GROUPS,
    ISSUER,
    SHARED_FUNCTIONAL_GROUPS,
    TEXTS,
    VERIFICATION_DATE_TIME,
    Leaf,
    shape,
)
from burnish.dicomdir.key_values import fit
from burnish.directory_records import ROOT_TYPES
from burnish.explicit_little_endian import Converter, Layout
from burnish.values import HeaderValues

SPECIFIC_CHARACTER_SET = 0x00080005
RELATED_GENERAL_SOP_CLASS_UID = 0x0004151A
_RELATED_IN_INSTANCE = 0x0008001A
_STUDY_DATE = 0x00080020
_VERIFYING_OBSERVER = 0x0040A073
_VERIFICATION_FLAG = 0x0040A493
_RELATIONSHIP_TYPE = 0x0040A010

_IMPLICIT = Layout(explicit=False, big_endian=False)
#: Values longer than this in sum are not worth remembering.
_MEMORABLE = 1 << 12
#: Nor is one value longer than this.
_SHORT_VALUE = 256


class Entities(NamedTuple):
    """Patient, study and series of an instance, as InstanceHeader has them."""

    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    issuer_of_patient_id: str
    patient_name: str
    study_date: str
    study_time: str
    modality: str
    series_number: int | None
    keys: bytes


class RecordKeys:
    """The keys of one instance's records. `character_set` is what its texts are to be read by."""

    def __init__(self, found: HeaderValues, record_type: str) -> None:
        self._found = found
        self._values = found.values
        self._record_type = record_type
        self._shape = shape(
            *(tuple(found.values), record_type),
            sequences=found.explicit and not found.implicit,
        )
        declared = self._values.get(SPECIFIC_CHARACTER_SET, b"").rstrip(b" \0")
        self.character_set = declared if character_sets.codecs(declared) else b""

    def entities(self) -> Entities:
        """Patient, study and series; a series has them alike, so they are remembered."""
        raw = self._shape.entity_values(self._values)
        build = _entities if _short(raw) else _entities.__wrapped__
        with_keys = self._record_type not in ROOT_TYPES
        return build(self._shape.entity_tags, raw, self.character_set, with_keys=with_keys)

    def record(self) -> tuple[bytes, tuple[int, ...]]:
        """Keys of the instance's own record, and which Type 1 keys it lacks."""
        leaves, unusual = self._with_usual_elements()
        if not unusual:
            nested = bool(self._shape.sequence_tags)
            blob = _with_character_set(leaves, b"", self.character_set, nested=nested)
            return self._related() + blob, self._shape.missing
        elements = []
        missing = list(self._shape.missing)
        special = b""
        nested = any(map(self._values.get, self._shape.sequence_tags))
        character_set = self.character_set
        for leaf in leaves:
            if isinstance(leaf, bytes):
                elements.append(leaf)
                continue
            tag, vr, kind, is_text, in_functional_groups = leaf
            if vr == b"SQ":
                content = self._sequence(tag)
                if not content and in_functional_groups:
                    content = self._from_functional_groups(tag)
                nested = nested or not character_sets.is_plain(content)
                element = encode(tag, vr, content) if content else b""
            elif tag == VERIFICATION_DATE_TIME:
                element = self._verified()
            else:
                value = self._values.get(tag, b"")
                element = _fit(tag, vr, value, character_set) if value else b""
                if not element and in_functional_groups:
                    value = self._from_functional_groups(tag)
                    element = _fit(tag, vr, value, character_set) if value else b""
                if is_text and not character_sets.is_plain(value):
                    special += value
            if element:
                elements.append(element)
            elif kind == "2":
                elements.append(encode(tag, vr, b""))
            elif kind == "1":
                missing.append(tag)
        blob = _with_character_set(elements, special, character_set, nested=nested)
        return self._related() + blob, tuple(sorted(missing))

    def _with_usual_elements(self) -> tuple[Sequence[Any], bool]:
        """The leaves, with elements in place of those whose values are short, plain and there.

        Of these it is remembered what becomes of them, since many images have them alike. Also
        whether there are others.
        """
        known = self._shape
        raw = known.usual_values(self._values)
        if raw and max(map(len, raw)) > _SHORT_VALUE:
            return known.leaves, True
        elements = tuple(
            map(_plain_element, known.usual_tags, known.usual_vrs, raw, repeat(self.character_set))
        )
        leaves: list[Leaf | bytes] = list(known.leaves)
        for place, element in zip(known.usual_places, elements, strict=True):
            if element:
                leaves[place] = element
        return leaves, known.has_unusual or not all(elements)

    def limited(self) -> bytes:
        """What Application Profiles limit; images of a series have it alike."""
        raw = self._shape.limited_values(self._values)
        pack = _limited if _short(raw) else _limited.__wrapped__
        explicit = self._found.is_explicit(limits.US_REGIONS)
        return pack(self._shape.limited_tags, raw, explicit)

    def number(self, tag: int) -> int | None:
        """An integer, None where there is none."""
        return _number(fit(tag, b"IS", self._values.get(tag, b""), b""))

    def _related(self) -> bytes:
        """Related General SOP Class UID, which a record has under a tag of its own."""
        general = self._values.get(_RELATED_IN_INSTANCE)
        if not general:
            return b""
        uids = (fit(RELATED_GENERAL_SOP_CLASS_UID, b"UI", u, b"") for u in general.split(b"\\"))
        related = b"\\".join(uids)
        if not related.strip(b"\\"):
            return b""
        return encode(RELATED_GENERAL_SOP_CLASS_UID, b"UI", related)

    def _sequence(self, tag: int) -> bytes:
        """The items of a sequence in Explicit VR, with undefined length where they had it."""
        value = self._values.get(tag)
        if not value:
            return b""
        if not self._found.is_explicit(tag):
            value = _explicit(value)
        return _modifiers(value) if tag == CONTENT_SEQUENCE else value

    def _from_functional_groups(self, tag: int) -> bytes:
        groups = self._sequence(SHARED_FUNCTIONAL_GROUPS)
        inner = IN_FUNCTIONAL_GROUPS[tag]
        for item in _elements_of_items(groups):
            holder = item if not inner else next(_elements_of_items(item.get(inner, b"")), {})
            return holder.get(tag, b"")
        return b""

    def _verified(self) -> bytes:
        """The latest Verification DateTime of the observers (PS3.3 F.5.25)."""
        if self._values.get(_VERIFICATION_FLAG, b"").strip(b" \0") != b"VERIFIED":
            return b""
        observers = _elements_of_items(self._sequence(_VERIFYING_OBSERVER))
        times = [
            fit(VERIFICATION_DATE_TIME, b"DT", observer.get(VERIFICATION_DATE_TIME, b""), b"")
            for observer in observers
        ]
        latest = max(times, default=b"")
        return encode(VERIFICATION_DATE_TIME, b"DT", latest) if latest else b""


def _fit(tag: int, vr: bytes, value: bytes, character_set: bytes) -> bytes:
    """The element for a record, b"" where it would have no value."""
    fitted = fit(tag, vr, value, character_set)
    return encode(tag, vr, fitted) if fitted else b""


@lru_cache(maxsize=1 << 12)
def _plain_element(tag: int, vr: bytes, value: bytes, character_set: bytes) -> bytes:
    """As `_fit`; b"" also for text that does not go without a Specific Character Set."""
    if not value or (vr in TEXTS and not character_sets.is_plain(value)):
        return b""
    return encode(tag, vr, value) if vr == b"SQ" else _fit(tag, vr, value, character_set)


def _short(raw: tuple[bytes, ...]) -> bool:
    return sum(map(len, raw)) < _MEMORABLE


@lru_cache(maxsize=256)
def _limited(tags: tuple[int, ...], raw: tuple[bytes, ...], regions_explicit: bool) -> bytes:
    return limits.pack(dict(zip(tags, raw, strict=True)), regions_explicit=regions_explicit)


@lru_cache(maxsize=256)
def _entities(
    tags: tuple[int, ...], raw: tuple[bytes, ...], character_set: bytes, *, with_keys: bool
) -> Entities:
    values = dict.fromkeys(ENTITY_TAGS, b"") | dict(zip(tags, raw, strict=True))
    fitted = {
        tag: value
        for tag, vr, _ in ENTITY_KEYS
        if (value := fit(tag, vr, values[tag], character_set))
    }

    def said(tag: int) -> str:
        return character_sets.decode(values[tag], character_set)

    def plain(tag: int) -> str:
        return fitted.get(tag, b"").decode("ascii")

    return Entities(
        study_instance_uid=uid(values, 0x0020000D),
        series_instance_uid=uid(values, 0x0020000E),
        patient_id=said(0x00100020),
        issuer_of_patient_id=said(ISSUER),
        patient_name=said(0x00100010),
        study_date=plain(_STUDY_DATE),
        study_time=plain(0x00080030),
        modality=plain(0x00080060),
        series_number=_number(fitted.get(0x00200011, b"")),
        keys=_entity_keys(values, fitted, character_set) if with_keys else b"",
    )


def _entity_keys(values: dict[int, bytes], fitted: dict[int, bytes], character_set: bytes) -> bytes:
    """Keys of the PATIENT, STUDY and SERIES records that have a value.

    Where there is no Study Date, the first other date of the instance follows with its time,
    for the STUDY record to be given instead.
    """
    vrs = {tag: vr for tag, vr, _ in ENTITY_KEYS}
    if _STUDY_DATE not in fitted:
        for date, time in FALLBACKS:
            value = fit(date, b"DA", values[date], b"")
            if value:
                vrs |= {date: b"DA", time: b"TM"}
                fitted = {
                    **fitted,
                    date: value,
                    time: fit(time, b"TM", values[time], b"") or b"000000",
                }
                break
    special = b"".join(
        v for t, v in fitted.items() if vrs[t] in TEXTS and not character_sets.is_plain(v)
    )
    elements = [encode(tag, vrs[tag], fitted[tag]) for tag in sorted(fitted)]
    return _with_character_set(elements, special, character_set, nested=False)


def _with_character_set(
    elements: Sequence[bytes], special: bytes, character_set: bytes, *, nested: bool
) -> bytes:
    """Elements, with Specific Character Set first where `special` texts or sequences need it."""
    if special or (nested and character_set):
        if not character_set or (character_set == b"ISO_IR 6" and special):
            character_set = character_sets.guess(special)
        return encode(SPECIFIC_CHARACTER_SET, b"CS", character_set) + b"".join(elements)
    return b"".join(elements)


def _number(value: bytes) -> int | None:
    return int(value) if value else None


def _explicit(value: bytes) -> bytes:
    """Items in Implicit VR as items in Explicit VR."""
    # A sequence's value alone is not a data set: convert it as the one sequence of one.
    whole = b"\x08\x00\x40\x11" + len(value).to_bytes(4, "little") + value
    converted = b"".join(Converter(whole, 0, len(whole), _IMPLICIT).convert())
    element = next(scan(converted, 0, len(converted), explicit=True))
    return converted[element.value : element.value + element.length]


def _elements_of_items(value: bytes) -> Iterator[dict[int, bytes]]:
    """The values in each item of a sequence in Explicit VR, by tag."""
    for start, end in items(value, 0, len(value), explicit=True):
        yield {
            element.tag: _value(value, element)
            for element in scan(value, start, end, explicit=True)
        }


def _value(buffer: bytes, element: Element) -> bytes:
    value = buffer[element.value : element.value + element.length]
    # Sequences are all that is asked for here of what UN may hide.
    return _explicit(value) if element.vr == b"UN" and element.undefined else value


def _modifiers(value: bytes) -> bytes:
    """Of a Content Sequence, the concept modifiers of its root (PS3.3 F.5.25, F.5.26)."""
    kept = []
    for start, end in items(value, 0, len(value), explicit=True):
        for element in scan(value, start, end, explicit=True, stop=_RELATIONSHIP_TYPE + 1):
            if element.tag == _RELATIONSHIP_TYPE:
                relationship = value[element.value : element.value + element.length]
                if relationship.strip(b" \0") == b"HAS CONCEPT MOD":
                    kept.append(encode_item(value[start:end]))
    return b"".join(kept)
