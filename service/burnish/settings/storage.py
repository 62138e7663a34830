"""Ground: `[storage]`, where instances, images and the outbox are stored."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from burnish.identifiers import is_uid
from burnish.settings.value_types import SettingsTable

#: The words that `storage.sop_classes` may have besides UIDs.
STANDARD, ANY = "standard", "any"


def _check_sop_classes(value: object) -> object:
    """One word or UID, or a list of them."""
    entries = (value,) if isinstance(value, str) else value
    if not isinstance(entries, list | tuple) or not entries:
        raise ValueError('sop_classes is "standard", "any" or a list with UIDs')
    for entry in entries:
        if entry not in (STANDARD, ANY) and not (isinstance(entry, str) and is_uid(entry)):
            raise ValueError(f'{entry!r} is neither a UID nor "standard" nor "any"')
    return tuple(entries)


class StorageSettings(SettingsTable):
    """The storage root, its durability, and how full its file system may get."""

    #: The directory for instances, images, the SQLite database and the outbox.
    root: Path = Path("var")
    #: "full": an instance is on disk (fsync) before its C-STORE succeeds. "os": it is in the page
    #: cache of the operating system, which a power failure loses.
    durability: Literal["full", "os"] = "full"
    #: Share of the file system in use, 0 to 1, above which C-STORE fails with A700.
    high_water: float = Field(default=0.95, gt=0, le=1)
    #: Once the share in use has fallen to this, instances are accepted again.
    low_water: float = Field(default=0.93, gt=0, le=1)
    #: Which content of a SOP Instance UID that is received more than once goes onto media: that of
    #: the "newest" or of the "first". With "first", other content is refused (C111).
    same_uid: Literal["newest", "first"] = "newest"
    #: The Storage SOP Classes that are accepted: "standard", all of the standard; UIDs, also
    #: private ones, instead of these or besides; "any", also private and new ones not listed.
    sop_classes: Annotated[tuple[str, ...], BeforeValidator(_check_sop_classes)] = (STANDARD,)
