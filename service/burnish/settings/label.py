"""Ground: `[label]`, what is printed on discs (PS3.4 S.3.2.1.1.4)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from burnish.settings.value_types import CodeString, SettingsTable

Millimetres = Annotated[float, Field(ge=20, le=300)]


class LabelSettings(SettingsTable):
    """The style, fonts and size of labels."""

    #: For requests without Label Style Selection. Empty: the style that suits the content.
    style: CodeString = ""
    #: Printed instead of the Institution Name of the instances. Empty: that of [content].
    institution: str = ""
    #: A directory with additional styles, one TOML file each.
    templates: Path | None = None
    #: Font files or directories that are tried before the fonts that come with Burnish.
    fonts: tuple[Path, ...] = ()
    #: Millimetres. The printable area of a disc; most printers cover 22 to 118 mm.
    inner_diameter: float = Field(default=22.0, ge=16, le=60)
    outer_diameter: float = Field(default=118.0, ge=100, le=120)
    #: Dots per inch, for labels that are pictures.
    resolution: int = Field(default=300, ge=150, le=1200)
    #: Millimetres: width and height of address labels. 89 x 36 is a common label printer's size.
    address_size: tuple[Millimetres, Millimetres] = (89.0, 36.0)
