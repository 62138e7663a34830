"""Ground: `[request]`, defaults and limits for Media Creation Requests."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from burnish.settings.application_profile import DirectoryKeySettings
from burnish.settings.value_types import Duration, ProfileLabel, SettingsTable
from burnish.vocabulary import IncludeNonDICOMObjects, RequestPriority, YesNo


class RequestSettings(SettingsTable):
    """The defaults for attributes that a request leaves out, and the limits for requests.

    Keys that are named like an attribute of PS3.3 C.22.1 are the default of that attribute.
    """

    label_using_information_extracted_from_instances: YesNo = YesNo.YES
    allow_media_splitting: YesNo = YesNo.YES
    allow_lossy_compression: YesNo = YesNo.NO
    include_non_dicom_objects: IncludeNonDICOMObjects = IncludeNonDICOMObjects.FOR_PATIENT
    include_display_application: YesNo = YesNo.YES
    preserve_composite_instances_after_media_creation: YesNo = YesNo.NO
    request_priority: RequestPriority = RequestPriority.MED
    number_of_copies: int = Field(default=1, ge=1)
    #: An N-ACTION that asks for more copies is rejected with 0115H.
    maximum_copies: int = Field(default=99, ge=1)
    #: Empty: STD-GEN-CD if one CD is enough, else STD-GEN-DVD-JPEG.
    requested_media_application_profile: ProfileLabel = ""
    #: Keys that directory records have with every profile, in addition to those of the profile.
    directory_keys: tuple[DirectoryKeySettings, ...] = ()
    #: "required": icons are made where the profile requires them; "always": for every image.
    icons: Literal["required", "always"] = "required"
    #: "tell": media are made of instances that contradict each other, with a warning; "hold": the
    #: request first waits for `burnish request release`.
    contradictions: Literal["tell", "hold"] = "tell"
    #: What becomes of damaged instances. "refuse": the request fails; "keep": they go on media as
    #: they are, with a warning; "leave_out": media are made of the others, with a warning.
    damaged_images: Literal["refuse", "keep", "leave_out"] = "refuse"
    #: A File-set ID is this prefix, "_" and 8 digits, at most 16 characters (PS3.3 F.3.2.1).
    file_set_id_prefix: str = Field(default="BURNISH", pattern=r"^[A-Z0-9_]{1,7}$")
    #: How long instances that are missing at Initiate may still arrive.
    wait_for_instances: Duration = timedelta(seconds=10)
    #: How often a piece of media is attempted before its request fails.
    attempts: int = Field(default=3, ge=1)
