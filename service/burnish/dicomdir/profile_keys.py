"""Craft: which keys the Application Profiles of a File-set put into its DICOMDIR (PS3.11).

The header index takes every key of every profile for which an instance has a value. The DICOMDIR
has those of the record type (PS3.3 F.5) and of the profiles of its File-set, no others.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from burnish import site_records
from burnish.application_profiles import PROFILES, ApplicationProfile
from burnish.application_profiles.icon import IconRule, acceptable
from burnish.dicom_elements import encode, encode_item, scan
from burnish.directory_records import KEYS, Key
from burnish.site_records import PRIVATE_RECORD, SiteRecords
from burnish.values import InstanceHeader

_ICON_IMAGE_SEQUENCE = 0x00880200
#: What any record may have: Specific Character Set, Related General SOP Class UID.
_OF_EVERY_RECORD = frozenset({0x00080005, 0x0004151A})
#: Where the Types of a key differ, the first of these applies.
_STRICTEST_FIRST = ("1", "2", "1C", "3")


@dataclass(frozen=True, slots=True, eq=False)
class RecordKeys:
    """The keys of the directory records of a File-set.

    `by_record` has those of each type of record, in ascending order of their tags. `added` are the
    ones of Type 2 that the profiles add, `tags` those of all keys.
    """

    by_record: Mapping[str, tuple[Key, ...]]
    added: Mapping[str, tuple[Key, ...]]
    tags: Mapping[str, frozenset[int]]


def record_keys(profiles: str) -> RecordKeys:
    """The keys of a File-set of these Application Profiles, whose labels are joined by `+`.

    Without a known profile, they are those of every profile.
    """
    return _record_keys(
        tuple(PROFILES[label] for label in profiles.split("+") if label in PROFILES),
        site_records.in_use(),
    )


@lru_cache(maxsize=256)
def _record_keys(profiles: tuple[ApplicationProfile, ...], site: SiteRecords) -> RecordKeys:
    by_record, added, tags = {}, {}, {}
    for record_type in (*KEYS, PRIVATE_RECORD):
        basic_keys = KEYS.get(record_type, ())
        indexed_keys = site_records.indexed_keys(record_type)
        keys = {key.tag: key for key in (basic_keys if profiles else indexed_keys)}
        further = [key for profile in profiles for key in profile.keys.get(record_type, ())]
        for key in (*further, *site.of_every_profile.get(record_type, ())):
            keys[key.tag] = _stricter(keys.get(key.tag, key), key)
        by_record[record_type] = tuple(keys[tag] for tag in sorted(keys))
        basic_tags = {key.tag for key in basic_keys}
        added[record_type] = tuple(
            key for key in by_record[record_type] if key.type == "2" and key.tag not in basic_tags
        )
        tags[record_type] = frozenset(keys)
    return RecordKeys(by_record, added, tags)


def _stricter(key: Key, other: Key) -> Key:
    return min(key, other, key=lambda candidate: _STRICTEST_FIRST.index(candidate.type))


def icon_rule(label: str) -> IconRule | None:
    """The rule of the profiles of `label` for icons; None if there is none."""
    for name in label.split("+"):
        if name in PROFILES and PROFILES[name].icon:
            return PROFILES[name].icon
    return None


def choose_icon(
    record_type: str, supplied: bytes | None, computed: bytes, rule: IconRule | None
) -> bytes:
    """The item for a record, b"" for none: that of the SCU if permitted (PS3.4 S.3.2.1.1.3)."""
    if record_type != "IMAGE":
        return b""
    return supplied if supplied and acceptable(supplied, rule) else computed


def header_on_media(
    header: InstanceHeader,
    label: str,
    *,
    derived_sop_instance_uid: str | None = "",
    derived_record_keys: bytes | None = b"",
    supplied_icon: bytes | None = None,
    made_icon: bytes = b"",
) -> InstanceHeader:
    """The header of an instance with the keys that its record on a medium has.

    Planning and writing both call this function: the size that was planned and the DICOMDIR
    that is written agree to the byte because nothing else assembles a header. The keys of patient,
    study and series stay as they are, since labels and README.TXT show them; the encoder of the
    DICOMDIR chooses among them.

    `label` names the Application Profiles of the File-set, which decide on the keys.
    `derived_sop_instance_uid` and `derived_record_keys` are those of the SOP Instance that
    compression with loss made of the instance; empty where the instance stays the same. Of the
    two icons, both encoded items, `supplied_icon` of the SCU is used where the profile permits
    it (PS3.4 S.3.2.1.1.3).
    """
    if derived_sop_instance_uid:
        header = header._replace(
            sop_instance_uid=derived_sop_instance_uid, record_keys=derived_record_keys or b""
        )
    record_type = header.directory_record_type
    icon = b""
    if supplied_icon or made_icon:
        icon = choose_icon(record_type, supplied_icon, made_icon, icon_rule(label))
    keys = record_keys(label)
    added = keys.added.get(record_type, ())
    tags = keys.tags.get(record_type, frozenset())
    missing_keys = header.missing_keys
    if not tags.issuperset(missing_keys):
        missing_keys = tuple(tag for tag in missing_keys if tag in tags)
    return header._replace(
        record_keys=_chosen_keys(header.record_keys, tags, added, icon),
        missing_keys=missing_keys,
    )


def _chosen_keys(encoded: bytes, tags: frozenset[int], added: Iterable[Key], icon: bytes) -> bytes:
    """Those of the encoded keys that have one of the `tags`, with those `added` and an icon."""
    elements = {
        element.tag: encoded[element.start : element.end]
        for element in scan(encoded, 0, len(encoded), explicit=True)
    }
    site_records.drop_other_creators(elements)
    chosen = {
        tag: element for tag, element in elements.items() if tag in tags or tag in _OF_EVERY_RECORD
    }
    for tag, vr, _ in added:
        chosen.setdefault(tag, encode(tag, vr, b""))
    if icon:
        chosen[_ICON_IMAGE_SEQUENCE] = encode(_ICON_IMAGE_SEQUENCE, b"SQ", encode_item(icon))
    return in_order(chosen)


def in_order(elements: dict[int, bytes]) -> bytes:
    """Encoded elements in ascending order, those that are private after that of their creator."""
    creators = site_records.in_use().creators
    if creators:
        private = {tag for tag in elements if site_records.is_private(tag)} - creators.keys()
        for tag, creator in creators.items():
            elements.pop(tag, None)
            if any(site_records.creator_tag(element) == tag for element in private):
                elements[tag] = encode(tag, b"LO", creator.encode("latin-1"))
    return b"".join(elements[tag] for tag in sorted(elements))
