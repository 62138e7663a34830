"""Ground: `[content]`, what media hold for people besides DICOM files (PS3.4 S.3.2.1.1.7)."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from burnish.settings.value_types import SettingsTable

_SiteText = Annotated[str, Field(max_length=2000)]


class ContentSettings(SettingsTable):
    """Pages, viewer and texts on media. What a request gets of them is in its own attributes."""

    #: Pages and pictures for any browser, where a request asks for them.
    pages: bool = True
    #: The viewer, where a request asks for a display application.
    viewer: bool = True
    #: True pixel values for the viewer. "auto": the first of "lossless", "near" and "none" with
    #: which a request needs the fewest volumes.
    pixels: Literal["auto", "lossless", "near", "none"] = "auto"
    #: The most pictures of a series on pages; of longer ones, every nth is there.
    pictures: int = Field(default=200, ge=1)
    #: The quality of JPEG pictures.
    quality: int = Field(default=85, ge=30, le=100)
    language: Literal["en", "de", "fr", "es", "it", "pt", "pl", "ja", "ar"] = "en"
    #: Empty: the Institution Name of the instances.
    institution: _SiteText = ""
    #: Whom to call or write to; several lines are possible. On pages, README.TXT and labels.
    contact: _SiteText = ""
    disclaimer: _SiteText = ""
    #: A picture file that is shown on the first page and on labels.
    logo: Path | None = None
    #: A folder with programs for viewing, which is copied to media as it is.
    applications: Path | None = None
