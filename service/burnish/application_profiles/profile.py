"""Ground: what an Application Profile is, and what it says of an instance (PS3.11)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from burnish.application_profiles.icon import IconRule
from burnish.application_profiles.limits import LIMITED, Limit, unpack
from burnish.directory_records import Key
from burnish.media import MEDIA, WRITTEN_FILE_SYSTEMS, FileSystem
from burnish.vocabulary import JPEG_BASELINE, JPEG_EXTENDED

#: An MPEG-2, MPEG-4 or HEVC stream, and JPEG with loss: a profile that has but these needs loss.
_LOSSY = frozenset(
    {JPEG_BASELINE, JPEG_EXTENDED, *(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))}
)


class Security(StrEnum):
    """What a profile wants to be kept from others, and how."""

    NONE = ""
    FILES = "every file is a Secure DICOM File (PS3.15 D.1)"
    TRANSPORT = "the message is secure (PS3.15, Secure Use of E-mail Transport)"


#: What Burnish can do of it: a profile is offered where that is enough.
WRITTEN_SECURITY: frozenset[Security] = frozenset({Security.NONE, Security.FILES})


@dataclass(frozen=True, slots=True)
class Rule:
    """Instances that a profile takes: of which SOP Classes, in what, and within which limits.

    Without `sop_classes` it is any Composite SOP Class of Media Storage (PS3.4 I.4).
    """

    transfer_syntaxes: frozenset[str]
    sop_classes: frozenset[str] = frozenset()
    limits: tuple[Limit, ...] = ()

    def covers(self, sop_class_uid: str) -> bool:
        return not self.sop_classes or sop_class_uid in self.sop_classes


@dataclass(frozen=True, slots=True)
class ProfilePermission:
    """What a profile says of one instance.

    It may be written in `transfer_syntaxes`: none where it may not be written at all, `why` in
    words. `attributes` are the tags of those that are not within the limits; none where it is
    the SOP Class that the profile does not take.
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

    `media` are names in burnish.media.MEDIA, smallest first; a medium without a row there is one
    that Burnish knows by name only. `keys` are those that the directory records have besides
    those of PS3.3 F.5.
    """

    label: str
    section: str
    media: tuple[str, ...]
    rules: tuple[Rule, ...]
    keys: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    icon: IconRule | None = None
    security: Security = Security.NONE
    dicomdir_optional: bool = False

    @property
    def transfer_syntaxes(self) -> frozenset[str]:
        """Those of any instance; which one may have, `permission` says."""
        return frozenset[str]().union(*(rule.transfer_syntaxes for rule in self.rules))

    @property
    def file_systems(self) -> frozenset[FileSystem]:
        """Those that Burnish writes or would write on its media."""
        return frozenset(MEDIA[name].file_system for name in self.media if name in MEDIA)

    @property
    def written_media(self) -> tuple[str, ...]:
        """Its media whose file system Burnish writes; none where the security is beyond it."""
        if self.security not in WRITTEN_SECURITY:
            return ()
        return tuple(
            name
            for name in self.media
            if name in MEDIA and MEDIA[name].file_system in WRITTEN_FILE_SYSTEMS
        )

    @property
    def can_be_written(self) -> bool:
        """Whether Burnish offers it. Any profile can be verified against."""
        return bool(self.written_media)

    @property
    def secure(self) -> bool:
        """Whether every DICOM File of it is a Secure DICOM File; in another profile none is."""
        return self.security is Security.FILES

    @property
    def general(self) -> bool:
        """Whether it takes any SOP Class."""
        return any(not rule.sop_classes for rule in self.rules)

    def permission(self, sop_class_uid: str, limited_attributes: bytes) -> ProfilePermission:
        """What it says of an instance with these limited attributes (`limits.pack`)."""
        return _permission(self, sop_class_uid, limited_attributes)

    def permission_of_class(self, sop_class_uid: str) -> ProfilePermission:
        """What it says of an instance of which only the SOP Class is known."""
        rules = [rule for rule in self.rules if rule.covers(sop_class_uid)]
        why = "" if rules else f"{self.label} does not take its SOP Class"
        return ProfilePermission(
            frozenset[str]().union(*(rule.transfer_syntaxes for rule in rules)), why
        )


@lru_cache(maxsize=4096)
def _permission(profile: ApplicationProfile, sop_class_uid: str, blob: bytes) -> ProfilePermission:
    rules = [rule for rule in profile.rules if rule.covers(sop_class_uid)]
    if not rules:
        return profile.permission_of_class(sop_class_uid)
    values = unpack(blob)
    broken = [[limit for limit in rule.limits if limit.broken(values)] for rule in rules]
    kept = [rule for rule, limits in zip(rules, broken, strict=True) if not limits]
    if kept:
        return ProfilePermission(frozenset[str]().union(*(rule.transfer_syntaxes for rule in kept)))
    nearest = min(broken, key=len)
    tags = {tag: None for limit in nearest for tag in limit.broken(values)}
    found = ", ".join(_said(tag, values.get(tag)) for tag in tags)
    wanted = "; ".join(map(str, nearest))
    return ProfilePermission(
        frozenset(), f"{profile.label} wants {wanted}; it has {found}", tuple(tags)
    )


def _said(tag: int, value: int | str | None) -> str:
    name = LIMITED[tag].name
    return f"no {name}" if value is None else f"{name} {value}".rstrip()
