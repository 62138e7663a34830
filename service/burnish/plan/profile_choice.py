"""Stage: which Application Profile and medium a request gets (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from burnish.application_profiles import OFFERED, PROFILES, ApplicationProfile
from burnish.media import MEDIA
from burnish.settings import DeviceSettings

#: For a request without a profile: the first of these that holds the set on one volume, else the
#: last one on several volumes.
_DEFAULT_PROFILES = ("STD-GEN-CD", "STD-GEN-DVD-JPEG")


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


def choices(requested: Sequence[str], devices: Sequence[DeviceSettings]) -> list[Choice]:
    """The media and profiles that may be tried, the best first.

    A reference without a profile gets that of the others; where none has one, the defaults are
    tried. Empty where the profiles exclude one another (PS3.3 C.22.1.4, 0201H).
    """
    labels = sorted({label for label in requested if label})
    if labels:
        fallback = PROFILES[labels[0]]
        profiles = tuple(PROFILES[label] if label else fallback for label in requested)
        return _on_media(profiles, devices)
    return [
        choice
        for label in _DEFAULT_PROFILES
        for choice in _on_media((PROFILES[label],) * len(requested), devices)
    ]


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
