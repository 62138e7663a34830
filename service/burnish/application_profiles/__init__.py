"""Ground: the Media Storage Application Profiles of PS3.11 as data.

To add a profile, add a row to `general` or `specific`: checks, planning, directory keys,
verification and the Conformance Statement read these tables. Augmented and Private profiles
(PS3.11 8) are those of the configuration, which `use` makes known.
"""

from collections.abc import Iterable

from burnish.application_profiles.general import GENERAL
from burnish.application_profiles.profile import ApplicationProfile, ProfilePermission
from burnish.application_profiles.specific import SPECIFIC

__all__ = [
    "OFFERED",
    "PROFILES",
    "STANDARD_PROFILES",
    "ApplicationProfile",
    "ProfilePermission",
    "canonical_label",
    "use",
]

#: The profiles of PS3.11 by label.
STANDARD_PROFILES: dict[str, ApplicationProfile] = {
    profile.label: profile for profile in (*GENERAL, *SPECIFIC)
}
#: All profiles by label, those of the configuration of this process last.
PROFILES: dict[str, ApplicationProfile] = {}
#: The profiles that Burnish can write, by label.
OFFERED: dict[str, ApplicationProfile] = {}
#: What the labels of Standard profiles began with before, which still occurs (PS3.11 X.1).
_OLD_PREFIX, _PREFIX = "APL-", "STD-"


def canonical_label(label: str) -> str:
    """The label of a profile as it is now written: APL-GEN-CD is STD-GEN-CD."""
    return _PREFIX + label.removeprefix(_OLD_PREFIX) if label.startswith(_OLD_PREFIX) else label


def use(configured: Iterable[ApplicationProfile] = ()) -> None:
    """Let this process have these profiles besides those of the standard, and no others."""
    PROFILES.clear()
    PROFILES.update(STANDARD_PROFILES)
    PROFILES.update((profile.label, profile) for profile in configured)
    OFFERED.clear()
    for label, profile in PROFILES.items():
        if profile.can_be_written:
            OFFERED[label] = profile


use()
