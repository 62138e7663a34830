"""Ground: `[[standing_order]]`, automatic requests for modalities that can only store."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from burnish.settings.value_types import (
    AETitle,
    CodeString,
    Duration,
    Name,
    ProfileLabel,
    SettingsTable,
)
from burnish.vocabulary import IncludeNonDICOMObjects, RequestPriority, YesNo

#: The keys that are attributes of the request, besides profile, copies, priority and device.
_REQUEST_ATTRIBUTES = (
    "label_using_information_extracted_from_instances",
    "label_text",
    "label_style_selection",
    "barcode_value",
    "barcode_symbology",
    "media_disposition",
    "allow_media_splitting",
    "allow_lossy_compression",
    "include_non_dicom_objects",
    "include_display_application",
    "preserve_composite_instances_after_media_creation",
)


class StandingOrderSettings(SettingsTable):
    """Makes a request for a study or patient once no new instance has arrived for a while.

    Attributes that are left out are taken from `[request]`.
    """

    name: Name
    #: The AE titles that this order adds to those the service answers to.
    called_ae_titles: tuple[AETitle, ...] = ()
    #: The senders the order applies to. Empty: any sender.
    calling_ae_titles: tuple[AETitle, ...] = ()
    #: Senders that belong together, such as a scanner and its workstation. If there are groups,
    #: each group and each other sender gets requests of its own.
    ae_groups: tuple[tuple[AETitle, ...], ...] = ()
    #: Time since the last instance of the study or patient.
    quiet_period: Duration = timedelta(minutes=5)
    #: What goes into one request.
    scope: Literal["patient", "study"] = "study"
    #: True: each request waits until a person releases it.
    hold: bool = False
    #: The device that makes the media. Empty: any device.
    device: str = ""
    profile: ProfileLabel = ""
    #: As `damaged_images` of `[request]`. Empty: what that says.
    damaged_images: Literal["", "refuse", "keep", "leave_out"] = ""
    #: What follows if instances are corrected after their media were made. "tell": the request says
    #: so; "make_again": the order issues a new request for all instances of the media.
    corrected: Literal["tell", "make_again"] = "tell"
    copies: int = Field(default=1, ge=1)
    priority: RequestPriority = RequestPriority.MED
    label_using_information_extracted_from_instances: YesNo | None = None
    label_text: str = ""
    label_style_selection: CodeString = ""
    barcode_value: str = Field(default="", max_length=10240)
    barcode_symbology: CodeString = ""
    media_disposition: str = Field(default="", max_length=10240)
    allow_media_splitting: YesNo | None = None
    allow_lossy_compression: YesNo | None = None
    include_non_dicom_objects: IncludeNonDICOMObjects | None = None
    include_display_application: YesNo | None = None
    preserve_composite_instances_after_media_creation: YesNo | None = None

    @model_validator(mode="after")
    def _check_ae_titles(self) -> "StandingOrderSettings":
        if not (self.called_ae_titles or self.calling_ae_titles or self.ae_groups):
            raise ValueError(
                "a standing order needs called_ae_titles, calling_ae_titles or ae_groups"
            )
        grouped_titles = [title for group in self.ae_groups for title in group]
        if len(set(grouped_titles)) < len(grouped_titles):
            raise ValueError("an AE title is listed twice in ae_groups")
        return self

    @property
    def callers(self) -> frozenset[str]:
        """The calling AE titles that the order applies to; empty: any."""
        if self.called_ae_titles and not self.calling_ae_titles:
            return frozenset()
        grouped_titles = (title for group in self.ae_groups for title in group)
        return frozenset((*self.calling_ae_titles, *grouped_titles))

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes that the order sets in its requests, by column name."""
        values = {name: getattr(self, name) for name in _REQUEST_ATTRIBUTES}
        return {name: str(value) for name, value in values.items() if value}
