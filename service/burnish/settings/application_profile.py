"""Ground: `[[application_profile]]`, `[[sop_class]]` and directory keys: what a site adds.

PS3.2 7.4 has the rules: an Augmented profile (AUG-...) only adds Standard SOP Classes and directory
keys to a Standard one, on the same media; a Private profile (PRI-...) may differ in all of that.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from burnish.application_profiles import STANDARD_PROFILES, ApplicationProfile, canonical_label
from burnish.application_profiles.profile import Rule
from burnish.directory_records import KEYS, Key
from burnish.identifiers import is_uid
from burnish.media import MEDIA
from burnish.settings.value_types import SettingsTable
from burnish.site_records import (
    PRIVATE_RECORD,
    FurtherKey,
    PrivateClass,
    SiteRecords,
    is_private,
)
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

#: UIDs of the standard begin with this; all others are of private SOP Classes.
_ROOT_OF_STANDARD = "1.2.840.10008."
_LABEL = re.compile(r"(AUG|PRI)(-[A-Z0-9_]+){2,}")
_LONGEST_LABEL = 64  # VR LO
_FIRST_BLOCK = 0x10
_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),? ?([0-9A-Fa-f]{4})\)?")
#: VRs of values that a key may have; others are too long, or not readable without their data set.
_KEY_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "SQ", "ST", "TM", "UI"}
    | {"UL", "US"}
)
#: Elements that records have in any case, or that a DICOMDIR cannot have.
_NOT_AS_KEYS = {0x00080005, 0x00880200}


def _parse_tag(value: object) -> object:
    """A tag as (0010,0030), from that or from the keyword of an attribute of the standard."""
    text = str(value)
    if match := _TAG.fullmatch(text):
        return f"({match[1]},{match[2]})".upper()
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(text)
    if tag is None:
        raise ValueError(
            f"{text!r} is neither a tag such as (0010,0030) nor a keyword such as PatientBirthDate"
        )
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _check_uid(value: object) -> object:
    if not isinstance(value, str) or not is_uid(value):
        raise ValueError(f"{value!r} is not a UID")
    return value


Tag = Annotated[str, BeforeValidator(_parse_tag)]
UID = Annotated[str, BeforeValidator(_check_uid)]


class DirectoryKeySettings(SettingsTable):
    """A key that directory records get in addition to those of the standard.

    It has the value that the instances have. Of a private attribute, the tag names any block of its
    creator; only the last two digits of the element count.
    """

    #: The type of record: PATIENT, STUDY, SERIES, IMAGE or another one of PS3.3 F.4, or PRIVATE.
    record: str
    #: The attribute: (0010,0030) or PatientBirthDate.
    attribute: Tag
    #: "3": where an instance has a value; "2": also without a value.
    type: Literal["2", "3"] = "3"
    #: The VR; needed for private attributes alone.
    vr: str = ""
    #: The private creator, as it stands in the instances.
    creator: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _check(self) -> "DirectoryKeySettings":
        name = self.attribute
        if self.record not in KEYS and self.record != PRIVATE_RECORD:
            types = ", ".join([*KEYS, PRIVATE_RECORD])
            raise ValueError(f"there is no record {self.record}; there are {types}")
        if self.tag >> 16 <= 4 or self.tag in _NOT_AS_KEYS:
            raise ValueError(f"{name} cannot be a directory key: leave it out")
        if is_private(self.tag) and not (self.creator and self.vr):
            raise ValueError(f"{name} is private: give its creator and its vr")
        if not is_private(self.tag) and self.creator:
            raise ValueError(f"{name} is not private: leave out creator")
        if is_private(self.tag) and self.tag & 0xFFFF < 0x1000:
            raise ValueError(f"{name} is no private attribute: its element begins at 1000")
        vr = self.vr or _vr_of_standard(self.tag)
        if vr not in _KEY_VRS or (self.creator and vr == "SQ"):
            permitted = ", ".join(sorted(_KEY_VRS))
            raise ValueError(f"{name}: an attribute with VR {vr} cannot be a key, only {permitted}")
        return self

    @property
    def tag(self) -> int:
        return int(self.attribute[1:5] + self.attribute[6:10], 16)

    @property
    def value_representation(self) -> bytes:
        return (self.vr or _vr_of_standard(self.tag)).encode("ascii")


def _vr_of_standard(tag: int) -> str:
    from pydicom.datadict import dictionary_VR

    try:
        return dictionary_VR(tag)
    except KeyError:
        raise ValueError(
            f"({tag >> 16:04X},{tag & 0xFFFF:04X}) is not in the standard: give its vr"
        ) from None


class SOPClassSettings(SettingsTable):
    """A private SOP Class whose instances may go on media of a Private profile (PS3.2 7.4.3)."""

    uid: UID
    #: The name, for the Conformance Statement.
    name: str = Field(default="Private SOP Class", max_length=64)
    #: The type of its directory record: "PRIVATE", or one of PS3.3 F.4, such as "IMAGE".
    record: str = PRIVATE_RECORD
    #: Private Record UID (0004,1432) of a record "PRIVATE". Empty: that of Burnish.
    private_record_uid: Annotated[str, Field(pattern=r"^[0-9.]{0,64}$")] = ""

    @model_validator(mode="after")
    def _check(self) -> "SOPClassSettings":
        if self.uid.startswith(_ROOT_OF_STANDARD):
            raise ValueError(
                f"{self.uid} is a UID of the standard: [[sop_class]] is for private ones"
            )
        permitted = [name for name in KEYS if name not in ("PATIENT", "STUDY", "SERIES")]
        if self.record not in (PRIVATE_RECORD, *permitted):
            types = ", ".join([PRIVATE_RECORD, *permitted])
            raise ValueError(f"there is no record {self.record} for instances; there are {types}")
        return self


class ApplicationProfileSettings(SettingsTable):
    """An Augmented or Private Media Storage Application Profile (PS3.11 8, PS3.2 7.4).

    Where a Private profile leaves something out, it is as in its base.
    """

    #: AUG-... or PRI-..., with two or more parts of A-Z, 0-9 and _, such as PRI-ACME-CD.
    name: str
    #: The Standard profile that it is derived from. A Private one needs none.
    base: str = ""
    #: SOP Classes in addition to those of the base. In a Private profile, also private ones.
    sop_classes: tuple[UID, ...] = ()
    #: Private profiles only: the transfer syntaxes of all instances.
    transfer_syntaxes: tuple[UID, ...] = ()
    #: Private profiles only: the media.
    media: tuple[str, ...] = ()
    #: Keys of directory records in addition to those of the base.
    directory_keys: tuple[DirectoryKeySettings, ...] = ()
    #: True: a File-set is of the base if that permits all its instances.
    restrict_to_base: bool = False

    @model_validator(mode="after")
    def _check(self) -> "ApplicationProfileSettings":
        if not _LABEL.fullmatch(self.name) or len(self.name) > _LONGEST_LABEL:
            raise ValueError(
                f"{self.name!r} is no name of a profile: it begins with AUG- or PRI- and has two or"
                " more parts of A-Z, 0-9 and _, for example PRI-ACME-CD, at most 64 characters"
            )
        base = STANDARD_PROFILES.get(canonical_label(self.base))
        if self.base and base is None:
            raise ValueError(f"{self.name}: base is {self.base}, which PS3.11 does not have")
        if self.is_augmented:
            self._check_augmented(base)
        else:
            self._check_private(base)
        if base is None and self.restrict_to_base:
            raise ValueError(f"{self.name}: restrict_to_base needs a base")
        return self

    def _check_augmented(self, base: ApplicationProfile | None) -> None:
        """PS3.2 7.4.2: it adds Standard SOP Classes and directory keys, nothing else."""
        if base is None:
            raise ValueError(f"{self.name}: an Augmented profile needs a base such as STD-GEN-CD")
        for key in ("transfer_syntaxes", "media"):
            if getattr(self, key):
                raise ValueError(
                    f"{self.name}: an Augmented profile has the {key} of its base (PS3.2 7.4.2):"
                    f" leave out {key}, or make it a Private profile (PRI-...)"
                )
        for uid in self.sop_classes:
            if not uid.startswith(_ROOT_OF_STANDARD):
                raise ValueError(
                    f"{self.name}: {uid} is private, which an Augmented profile must not have"
                    " (PS3.2 7.4.2): make it a Private profile (PRI-...)"
                )
        new_classes = [
            uid for uid in self.sop_classes if not any(rule.covers(uid) for rule in base.rules)
        ]
        if not new_classes and not self.directory_keys:
            raise ValueError(f"{self.name}: it adds nothing to {base.label}: request that profile")
        _check_media(self.name, base.media)

    def _check_private(self, base: ApplicationProfile | None) -> None:
        """PS3.2 7.4.3: it is on one kind of media of PS3.12."""
        if base is None:
            for key in ("sop_classes", "transfer_syntaxes", "media"):
                if not getattr(self, key):
                    raise ValueError(f"{self.name}: without a base it needs {key}")
        _check_media(self.name, self.media or (base.media if base else ()))

    @property
    def is_augmented(self) -> bool:
        return self.name.startswith("AUG-")

    def profile(self, blocks: "Blocks") -> ApplicationProfile:
        """The profile as checks, planning, DICOMDIR and verification use it."""
        base = STANDARD_PROFILES.get(canonical_label(self.base))
        section = f"Augmented, of {base.label}" if base else "Private"
        if base and not self.is_augmented:
            section = f"Private, after {base.label}"
        rules = base.rules if base else ()
        syntaxes = frozenset(self.transfer_syntaxes)
        if syntaxes:
            rules = tuple(replace(rule, transfer_syntaxes=syntaxes) for rule in rules)
        elif base:
            # what is no image cannot be in a transfer syntax of compressed pixels
            syntaxes = base.transfer_syntaxes | {EXPLICIT_VR_LITTLE_ENDIAN}
        if self.sop_classes:
            rules = (*rules, Rule(syntaxes, frozenset(self.sop_classes)))
        keys = {} if base is None else dict(base.keys)
        for record, added in keys_by_record(self.directory_keys, blocks).items():
            keys[record] = (*keys.get(record, ()), *added)
        if base is None:
            return ApplicationProfile(self.name, section, self.media, rules, keys)
        return replace(
            base,
            label=self.name,
            section=section,
            media=self.media or base.media,
            rules=rules,
            keys=keys,
            base=base.label,
            restrict_to_base=self.restrict_to_base,
        )


def _check_media(name: str, media: Iterable[str]) -> None:
    media = tuple(media)
    for medium in media:
        if medium not in MEDIA:
            raise ValueError(f"{name}: no device makes {medium}; there are {', '.join(MEDIA)}")
    if len({MEDIA[medium].file_system for medium in media}) > 1:
        raise ValueError(
            f"{name}: its media have different formats, and a profile has one (PS3.2 7.4.3):"
            " make a profile for each"
        )


#: The block that each private creator has in a group of directory records.
Blocks = Mapping[tuple[int, str], int]


def assign_blocks(keys: Iterable[DirectoryKeySettings]) -> Blocks:
    """The blocks of all private keys: in each group the creators in alphabetical order."""
    creators = sorted({(key.tag >> 16, key.creator) for key in keys if key.creator})
    blocks: dict[tuple[int, str], int] = {}
    for group, creator in creators:
        taken = sum(other == group for other, _ in blocks)
        blocks[group, creator] = _FIRST_BLOCK + taken
    return blocks


def keys_by_record(
    keys: Iterable[DirectoryKeySettings], blocks: Blocks
) -> dict[str, tuple[Key, ...]]:
    """Configured keys as the tables of directory records have them."""
    by_record: dict[str, tuple[Key, ...]] = {}
    for settings in keys:
        key = _key(settings, blocks)
        by_record[settings.record] = tuple(sorted({*by_record.get(settings.record, ()), key}))
    return by_record


def _key(settings: DirectoryKeySettings, blocks: Blocks) -> Key:
    tag = settings.tag
    if settings.creator:
        block = blocks[tag >> 16, settings.creator]
        tag = tag & 0xFFFF0000 | block << 8 | tag & 0xFF
    return Key(tag, settings.value_representation, settings.type)


def site_records(
    profiles: Iterable[ApplicationProfileSettings],
    sop_classes: Iterable[SOPClassSettings],
    of_every_profile: Iterable[DirectoryKeySettings],
) -> tuple[SiteRecords, tuple[ApplicationProfile, ...]]:
    """The additions of a configuration to directory records, and its profiles."""
    profiles, of_every_profile = tuple(profiles), tuple(of_every_profile)
    all_keys = [key for profile in profiles for key in profile.directory_keys]
    all_keys += of_every_profile
    blocks = assign_blocks(all_keys)
    further: dict[str, dict[int, FurtherKey]] = {}
    for settings in all_keys:
        key = _key(settings, blocks)
        further.setdefault(settings.record, {})[key.tag] = FurtherKey(key, settings.creator)
    classes = {
        settings.uid: PrivateClass(settings.record, settings.private_record_uid, settings.name)
        for settings in sop_classes
    }
    for uid in (uid for profile in profiles for uid in profile.sop_classes):
        if not uid.startswith(_ROOT_OF_STANDARD):
            classes.setdefault(uid, PrivateClass(PRIVATE_RECORD, "", "Private SOP Class"))
    records = SiteRecords(
        classes=classes,
        keys={record: tuple(keys.values()) for record, keys in further.items()},
        of_every_profile=keys_by_record(of_every_profile, blocks),
    )
    return records, tuple(profile.profile(blocks) for profile in profiles)
