"""Ground: the Media Storage Application Profiles of PS3.11 as data.

To add a profile, add a row to `general` or `specific`: checks, planning, directory keys,
verification and the Conformance Statement read these tables.
"""

from burnish.application_profiles.general import GENERAL
from burnish.application_profiles.profile import ApplicationProfile, ProfilePermission
from burnish.application_profiles.specific import SPECIFIC

__all__ = ["OFFERED", "PROFILES", "ApplicationProfile", "ProfilePermission"]

#: All profiles by label.
PROFILES: dict[str, ApplicationProfile] = {
    profile.label: profile for profile in (*GENERAL, *SPECIFIC)
}
#: The profiles that Burnish can write, by label.
OFFERED: dict[str, ApplicationProfile] = {
    label: profile for label, profile in PROFILES.items() if profile.can_be_written
}
