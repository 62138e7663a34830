"""Surface: what the routes of the web share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fastapi import Request

from burnish.db.session import Database
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.volume_downloads import VolumeDownloads

if TYPE_CHECKING:
    from burnish.web.live import Live
    from burnish.web.rendering import Rendering
    from burnish.web.uploads import Uploads


@dataclass(frozen=True, slots=True)
class WebContext:
    """The service behind the pages."""

    settings: Settings
    database: Database
    spool: Spool
    rendering: "Rendering"
    live: "Live"
    uploads: "Uploads"

    @property
    def downloads(self) -> VolumeDownloads:
        """What people take of the volumes of requests."""
        return VolumeDownloads(self.settings, self.database, self.spool)


def context_of(request: Request) -> WebContext:
    """The context of the application that serves a request."""
    return cast(WebContext, request.app.state.context)
