"""Ground: `[retrieval]`, retrieving missing instances from other AEs."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from burnish.settings.value_types import Duration, SettingsTable


class RetrievalSettings(SettingsTable):
    """How to retrieve instances that a request names from peers that may be retrieved from."""

    #: C-MOVE needs the peer to know the address of this AE; C-GET does not.
    method: Literal["C-MOVE", "C-GET"] = "C-MOVE"
    #: A request fails when its missing instances have not arrived after this time.
    give_up_after: Duration = timedelta(minutes=30)
    #: The pause before a peer that did not answer is asked again.
    retry_after: Duration = timedelta(seconds=30)
    #: Days. A peer without relational queries is also asked for the studies of so many days.
    recent_days: int = Field(default=0, ge=0, le=3650)
