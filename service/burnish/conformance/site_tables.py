"""Surface: tables of a statement on what the configuration adds: profiles, SOP Classes, keys."""

from collections.abc import Iterable

from burnish.access import storage_classes
from burnish.application_profiles import (
    STANDARD_PROFILES,
    ApplicationProfile,
    canonical_label,
)
from burnish.application_profiles.profile import Rule
from burnish.conformance.document import StatementTable
from burnish.conformance.names import attribute_name, numeric_order, uid_name
from burnish.settings import ApplicationProfileSettings, DirectoryKeySettings, Settings
from burnish.settings.storage import ANY
from burnish.site_records import PRIVATE_RECORD, PRIVATE_RECORD_UID, is_private


def known_profiles(settings: Settings) -> list[ApplicationProfile]:
    """The profiles of PS3.11, then those of the configuration."""
    return [*STANDARD_PROFILES.values(), *settings.profiles]


def names_of(uids: Iterable[str], settings: Settings) -> str:
    """The names of SOP Classes and transfer syntaxes, in the order of their UIDs."""
    names = sop_class_names(settings)
    return "; ".join(names.get(uid) or uid_name(uid) for uid in sorted(uids, key=numeric_order))


def sop_class_names(settings: Settings) -> dict[str, str]:
    """The names of the private SOP Classes that are configured, by UID."""
    return {uid: row.name for uid, row in settings.site_records.classes.items()}


def private_sop_classes(settings: Settings) -> StatementTable:
    """The private SOP Classes that may go on media, and their directory records."""
    received = storage_classes.configured_storage_sop_classes(settings.storage)
    takes_any = ANY in settings.storage.sop_classes
    rows = [
        (
            row.name,
            uid,
            row.record_type,
            (row.private_record_uid or PRIVATE_RECORD_UID)
            if row.record_type == PRIVATE_RECORD
            else "",
            "Yes" if takes_any or uid in received else "No: from files only",
        )
        for uid, row in settings.site_records.classes.items()
    ]
    return StatementTable.of(
        "Private SOP Classes on media",
        ("SOP Class", "SOP Class UID", "Directory record", "Private Record UID", "Received"),
        rows,
    )


def augmented_profiles(settings: Settings) -> StatementTable:
    """The additions of each Augmented profile to its base (PS3.2 A.5.3.1)."""
    rows = [
        (
            profile.name,
            canonical_label(profile.base),
            names_of(profile.sop_classes, settings) or "none",
            _keys(profile.directory_keys) or "none",
            "none",
            _restriction(profile),
        )
        for profile in settings.application_profile
        if profile.is_augmented
    ]
    return StatementTable.of(
        "Augmented Application Profiles",
        (
            "Application Profile",
            "Standard Application Profile",
            "SOP Class augmentations",
            "Directory augmentations",
            "Other augmentations",
            "Restriction to the Standard Application Profile",
        ),
        rows,
    )


def private_profiles(settings: Settings) -> StatementTable:
    """A description of each Private profile (PS3.2 A.5.3, in the order of PS3.11 X)."""
    by_label = {profile.label: profile for profile in settings.profiles}
    rows = []
    for row in settings.application_profile:
        if row.is_augmented:
            continue
        profile = by_label[row.name]
        rows.append(
            (
                row.name,
                profile.base or "none",
                "; ".join(_rule(rule, settings) for rule in profile.rules),
                ", ".join(profile.media) + ": " + ", ".join(sorted(profile.file_systems)),
                _keys(row.directory_keys) or "none",
                str(profile.security) or "none",
                _restriction(row),
            )
        )
    return StatementTable.of(
        "Private Application Profiles",
        (
            "Application Profile",
            "Derived from",
            "SOP Classes and transfer syntaxes",
            "Media and format (PS3.12)",
            "Further directory keys",
            "Security",
            "Restriction to the Standard Application Profile",
        ),
        rows,
    )


def _rule(rule: Rule, settings: Settings) -> str:
    classes = names_of(rule.sop_classes, settings) or "any of Media Storage (PS3.4 I.4)"
    return f"{classes}, in {names_of(rule.transfer_syntaxes, settings)}"


def _keys(keys: Iterable[DirectoryKeySettings]) -> str:
    """Directory keys in words."""
    return "; ".join(
        f"{key.record}: {key_name(key.tag)} {key.attribute}"
        + (f" of {key.creator}" if key.creator else "")
        + f" {key.value_representation.decode()} {key.type}"
        for key in keys
    )


def key_name(tag: int) -> str:
    """The name of an attribute that may be private."""
    return "private attribute" if is_private(tag) else attribute_name(tag)


def _restriction(profile: ApplicationProfileSettings) -> str:
    base = canonical_label(profile.base)
    if not base:
        return "none: it has no base"
    named = f"a request that names {base} gets media of that"
    if profile.restrict_to_base:
        return f"{named}; so does a request all of whose instances it permits"
    return named


def further_keys(settings: Settings) -> StatementTable:
    """The directory keys that are configured for every profile."""
    rows = [
        (
            key.record,
            key_name(key.tag),
            key.attribute,
            key.creator,
            key.value_representation.decode(),
            key.type,
            "VNAP" if key.type == "2" else "ANAP",
        )
        for key in settings.request.directory_keys
    ]
    return StatementTable.of(
        "DICOMDIR: further keys as configured",
        ("Record", "Attribute", "Tag", "Private creator", "VR", "Type", "Presence"),
        rows,
    )
