"""Ground: an Application Profile, and what it permits of an instance (PS3.11)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from burnish.application_profiles.icon import IconRule
from burnish.application_profiles.limits import LIMITED, Limit, unpack
from burnish.directory_records import Key
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS, FileSystem
from burnish.vocabulary import JPEG_BASELINE, JPEG_EXTENDED

#: Transfer syntaxes with loss: JPEG, and streams of MPEG-2, MPEG-4 and HEVC.
_LOSSY = frozenset(
    {JPEG_BASELINE, JPEG_EXTENDED, *(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))}
)

#: UIDs of the standard begin with this; all others are private.
_ROOT_OF_STANDARD = "1.2.840.10008."


class Security(StrEnum):
    """How a profile protects its files."""

    NONE = ""
    FILES = "every file is a Secure DICOM File (PS3.15 D.1)"
    TRANSPORT = "the message is secure (PS3.15, Secure Use of E-mail Transport)"


#: The kinds of protection that Burnish can write.
WRITTEN_SECURITY: frozenset[Security] = frozenset({Security.NONE, Security.FILES})


@dataclass(frozen=True, slots=True)
class Rule:
    """Instances that a profile permits: SOP Classes, transfer syntaxes and limits.

    Without `sop_classes`, every Composite SOP Class of Media Storage is permitted (PS3.4 I.4), but
    no private one.
    """

    transfer_syntaxes: frozenset[str]
    sop_classes: frozenset[str] = frozenset()
    limits: tuple[Limit, ...] = ()

    def covers(self, sop_class_uid: str) -> bool:
        if self.sop_classes:
            return sop_class_uid in self.sop_classes
        return sop_class_uid.startswith(_ROOT_OF_STANDARD)


@dataclass(frozen=True, slots=True)
class ProfilePermission:
    """The permission of a profile for one instance.

    It may be written in any of `transfer_syntaxes`. If there are none, it must not be written:
    `why` tells the reason, and `attributes` are the tags of the attributes beyond the limits (none
    if the profile does not permit the SOP Class).
    """

    transfer_syntaxes: frozenset[str]
    why: str = ""
    attributes: tuple[int, ...] = ()

    @property
    def needs_loss(self) -> bool:
        """Whether it may be written only with lossy compression."""
        return bool(self.transfer_syntaxes) and self.transfer_syntaxes <= _LOSSY


@dataclass(frozen=True, slots=True, eq=False)
class ApplicationProfile:
    """One Media Storage Application Profile (PS3.11).

    `media` are names in burnish.media.MEDIA, smallest first; of a medium without a row there,
    Burnish knows only the name. `keys` are the keys of directory records in addition to those of
    PS3.3 F.5. An Augmented or Private profile has the label of its `base`; with `restrict_to_base`,
    a File-set is of the base if that permits all its instances.
    """

    label: str
    section: str
    media: tuple[str, ...]
    rules: tuple[Rule, ...]
    keys: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    icon: IconRule | None = None
    security: Security = Security.NONE
    dicomdir_optional: bool = False
    base: str = ""
    restrict_to_base: bool = False

    @property
    def transfer_syntaxes(self) -> frozenset[str]:
        """The transfer syntaxes of any instance; `permission` tells those of one instance."""
        return frozenset[str]().union(*(rule.transfer_syntaxes for rule in self.rules))

    @property
    def file_systems(self) -> frozenset[FileSystem]:
        """The file systems of its media."""
        return frozenset(MEDIA[name].file_system for name in self.media if name in MEDIA)

    @property
    def written_media(self) -> tuple[str, ...]:
        """Its media that Burnish can write; none if it cannot write the protection."""
        if self.security not in WRITTEN_SECURITY:
            return ()
        return tuple(
            name
            for name in self.media
            if name in MEDIA and MEDIA[name].file_system in WRITTEN_FILE_SYSTEMS
        )

    @property
    def can_be_written(self) -> bool:
        """Whether Burnish can write it. Volumes can be verified against any profile."""
        return bool(self.written_media)

    @property
    def secure(self) -> bool:
        """Whether all its DICOM Files are Secure DICOM Files; in other profiles, none are."""
        return self.security is Security.FILES

    @property
    def general(self) -> bool:
        """Whether it permits every SOP Class."""
        return any(not rule.sop_classes for rule in self.rules)

    def permission(self, sop_class_uid: str, limited_attributes: bytes) -> ProfilePermission:
        """The permission for an instance with these limited attributes (`limits.pack`)."""
        return _permission(self, sop_class_uid, limited_attributes)

    def permission_of_class(self, sop_class_uid: str) -> ProfilePermission:
        """The permission for an instance of which only the SOP Class is known."""
        rules = [rule for rule in self.rules if rule.covers(sop_class_uid)]
        why = "" if rules else f"{self.label} does not permit SOP Class {sop_class_uid}"
        return ProfilePermission(
            frozenset[str]().union(*(rule.transfer_syntaxes for rule in rules)), why
        )

    def attributes_against(
        self, sop_class_uid: str, limited_attributes: bytes, transfer_syntax_uid: str
    ) -> str:
        """The values for which it does not permit a transfer syntax that it otherwise permits.

        "" if it permits the transfer syntax in no instance of the SOP Class.
        """
        values = unpack(limited_attributes)
        tags = {
            tag: None
            for rule in self.rules
            if rule.covers(sop_class_uid) and transfer_syntax_uid in rule.transfer_syntaxes
            for limit in rule.limits
            for tag in limit.broken(values)
        }
        return ", ".join(_described(tag, values.get(tag)) for tag in tags)


@lru_cache(maxsize=4096)
def _permission(profile: ApplicationProfile, sop_class_uid: str, blob: bytes) -> ProfilePermission:
    rules = [rule for rule in profile.rules if rule.covers(sop_class_uid)]
    if not rules:
        return profile.permission_of_class(sop_class_uid)
    values = unpack(blob)
    exceeded = [[limit for limit in rule.limits if limit.broken(values)] for rule in rules]
    met = [rule for rule, limits in zip(rules, exceeded, strict=True) if not limits]
    if met:
        return ProfilePermission(frozenset[str]().union(*(rule.transfer_syntaxes for rule in met)))
    # The message names the limits of the rule that the instance comes nearest to.
    nearest = min(exceeded, key=len)
    tags = {tag: None for limit in nearest for tag in limit.broken(values)}
    required = "; ".join(map(str, nearest))
    present = ", ".join(_described(tag, values.get(tag)) for tag in tags)
    return ProfilePermission(
        frozenset(), f"{profile.label} requires {required}; the instance has {present}", tuple(tags)
    )


def _described(tag: int, value: int | str | None) -> str:
    name = LIMITED[tag].name
    return f"no {name}" if value is None else f"{name} {value}".rstrip()
