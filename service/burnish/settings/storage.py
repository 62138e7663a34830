"""Ground: `[storage]`, where instances, images and the outbox are stored."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from burnish.settings.value_types import SettingsTable


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
