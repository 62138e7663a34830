"""Stage: which Application Profile and medium a request gets (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.media import MEDIA
from burnish.plan import eligibility
from burnish.plan.eligibility import InstanceKind
from burnish.settings import DeviceSettings

#: For a request without a profile: the first of these that holds the set on one volume, else the
#: last one on several volumes.
DEFAULT_PROFILES = ("STD-GEN-CD", "STD-GEN-DVD-JPEG")
#: For such a request with video, which the defaults do not permit: the profiles with video on
#: discs, the smaller medium first.
_VIDEO_PROFILES = (
    "STD-DVD-MPEG2-MPML",
    "STD-GEN-BD-MPEG2-MPML",
    "STD-GEN-BD-MPEG2-MPHL",
    "STD-GEN-BD-MPEG4-HPLV41",
    "STD-GEN-BD-MPEG4-HPLV41BD",
    "STD-GEN-BD-MPEG4-HPLV42-2D",
    "STD-GEN-BD-MPEG4-HPLV42-3D",
    "STD-GEN-BD-MPEG4-SHPLV42",
)
#: Profiles that share a disc if none of them alone permits everything: each instance gets the
#: first one that permits it.
_SHARED_DISCS = (
    ("STD-GEN-DVD-JPEG", "STD-DVD-MPEG2-MPML"),
    ("STD-GEN-BD-JPEG", *_VIDEO_PROFILES[1:]),
)
_VIDEO = frozenset().union(
    *(
        rule.transfer_syntaxes
        for label in _VIDEO_PROFILES
        for rule in PROFILES[label].rules
        if rule.limits
    )
)


@dataclass(frozen=True)
class Choice:
    """A medium, its capacity in bytes, and the Application Profile of each instance."""

    medium: str
    capacity: int
    profiles: tuple[ApplicationProfile, ...]

    @property
    def secure(self) -> bool:
        return self.profiles[0].secure

    @cached_property
    def label(self) -> str:
        """The labels of all profiles of the File-set, joined by `+`."""
        return "+".join(sorted({profile.label for profile in self.profiles}))


def unsupported(requested: Sequence[str], devices: Iterable[DeviceSettings]) -> list[int]:
    """The positions of the references whose profile neither this service nor a device supports."""
    media = {name for device in devices for name in device.media}
    return [
        position
        for position, label in enumerate(requested)
        if label and (label not in OFFERED or not media & set(OFFERED[label].written_media))
    ]


def choices(
    requested: Sequence[str],
    devices: Sequence[DeviceSettings],
    kinds: Sequence[InstanceKind] = (),
) -> list[Choice]:
    """The media and profiles that may be tried, the best first.

    A reference without a profile gets that of the others; where none has one, the defaults are
    tried, or for video (among the `kinds` of the instances) the profiles that permit it. A profile
    that is restricted to its base gives way to that where it permits all instances. Empty where the
    profiles exclude one another (PS3.3 C.22.1.4, 0201H).
    """
    labels = sorted({label for label in requested if label})
    if labels:
        fallback = PROFILES[labels[0]]
        profiles = tuple(PROFILES[label] if label else fallback for label in requested)
        return _on_media(_restricted(profiles, kinds), devices)
    for profiles_with_video in (_video_alone(kinds), _video_shared(kinds)):
        with_video = [
            choice for profiles in profiles_with_video for choice in _on_media(profiles, devices)
        ]
        if with_video:
            return with_video
    return [
        choice
        for label in DEFAULT_PROFILES
        for choice in _on_media((PROFILES[label],) * len(requested), devices)
    ]


def _restricted(
    profiles: tuple[ApplicationProfile, ...], kinds: Sequence[InstanceKind]
) -> tuple[ApplicationProfile, ...]:
    """The base profiles instead, if all are restricted to these and they permit all instances."""
    if not kinds or not all(profile.restrict_to_base for profile in profiles):
        return profiles
    bases = tuple(PROFILES[profile.base] for profile in profiles)
    pairs = set(zip(bases, kinds, strict=True))
    return bases if all(_permits(base, kind) for base, kind in pairs) else profiles


def _video_alone(kinds: Sequence[InstanceKind]) -> list[tuple[ApplicationProfile, ...]]:
    """The profiles with video that permit all instances, if there is video among them."""
    if not _has_video(kinds):
        return []
    different = set(kinds)
    return [
        (PROFILES[label],) * len(kinds)
        for label in _VIDEO_PROFILES
        if all(_permits(PROFILES[label], kind) for kind in different)
    ]


def _video_shared(kinds: Sequence[InstanceKind]) -> list[tuple[ApplicationProfile, ...]]:
    """The profiles that permit all instances together, if there is video among them."""
    if not _has_video(kinds):
        return []
    shared = []
    for labels in _SHARED_DISCS:
        first_of = {
            kind: next((PROFILES[x] for x in labels if _permits(PROFILES[x], kind)), None)
            for kind in set(kinds)
        }
        profiles = tuple(profile for kind in kinds if (profile := first_of[kind]) is not None)
        if len(profiles) == len(kinds):
            shared.append(profiles)
    return shared


def _has_video(kinds: Iterable[InstanceKind]) -> bool:
    return any(kind.transfer_syntax_uid in _VIDEO for kind in set(kinds))


def _permits(profile: ApplicationProfile, kind: InstanceKind) -> bool:
    return eligibility.conflict(kind, profile) is None


def remedy(kinds: Iterable[InstanceKind], devices: Sequence[DeviceSettings]) -> str:
    """The remedy where a profile does not permit some instances; "" if there is none."""
    different = set(kinds)
    permitting = [
        profile
        for profile in OFFERED.values()
        if not profile.secure and all(_permits(profile, kind) for kind in different)
    ]
    makeable = [profile.label for profile in permitting if _on_media((profile,), devices)]
    if makeable:
        return f"ask for a profile that permits all instances: {_alternatives(makeable)}"
    if permitting:
        labels = _alternatives([profile.label for profile in permitting])
        return f"no device makes media of a profile that permits all instances: {labels}"
    nowhere = [
        kind
        for kind in different
        if not any(_permits(profile, kind) for profile in OFFERED.values())
    ]
    if nowhere:
        others = "" if len(nowhere) == len(different) else "request the others without them, or "
        return (
            f"no Application Profile permits some of the instances: {others}"
            "configure a profile of your own (docs/application-profiles.md)"
        )
    return "request separately what the profile does not permit, or leave it out"


def _alternatives(labels: Sequence[str]) -> str:
    listed = ", ".join(labels[:3])
    return f"{listed} or others" if len(labels) > 3 else listed


def _on_media(
    profiles: tuple[ApplicationProfile, ...], devices: Sequence[DeviceSettings]
) -> list[Choice]:
    """The media that all profiles have and a device can write, the smallest first.

    None where some profiles require Secure DICOM Files and others forbid them (PS3.11 X.3.5).
    """
    if len({profile.secure for profile in profiles}) > 1:
        return []
    common = set.intersection(*(set(profile.written_media) for profile in set(profiles)))
    on_media = []
    for name in sorted(common, key=lambda name: MEDIA[name].capacity):
        capacities = [device.capacity_of(name) for device in devices if name in device.media]
        if capacities:
            on_media.append(Choice(name, max(capacities), profiles))
    return on_media
