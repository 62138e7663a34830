"""Craft: what the files for people on the volumes of a set hold, and for whom they are."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from burnish.content.languages import DEFAULT_LANGUAGE, Catalogue, catalogue
from burnish.content.rendition import RenditionOptions
from burnish.errors import InvalidSettings
from burnish.vocabulary import IncludeNonDICOMObjects

#: The width and height of a logo on pages, in pixels, at most.
_LOGO_SIZE = (480, 160)
#: Instances of more institutions than these name none: the volume is a collection.
_MOST_INSTITUTIONS = 2


@dataclass(frozen=True, slots=True)
class Site:
    """The statements of an institution on its media. `logo` is a JPEG picture; b"" for none."""

    institution: str = ""
    contact: str = ""
    disclaimer: str = ""
    logo: bytes = b""

    def institution_or(self, names: Sequence[str]) -> str:
        """The institution, or else the `names` that instances have, unless there are many."""
        few = names if len(names) <= _MOST_INSTITUTIONS else ()
        return self.institution or ", ".join(few)


@dataclass(frozen=True, slots=True)
class ContentTerms:
    """The content of the volumes of a set besides DICOM files.

    `audience` is Include Non-DICOM Objects (2200,0008). `viewer`: also the viewer; and the files of
    `applications`, by their names on the volume. Pages show at most about `most_pictures` of each
    series. With `fewest_volumes`, the viewer gets true pixel values only as far as that takes no
    further volume. `instance_list`: for research also a list of all instances. `pages_wanted`: not,
    if the site makes no pages or they have no room.
    `earlier_applications` are folders of programs that the disc to which instances are added holds.
    """

    audience: IncludeNonDICOMObjects
    viewer: bool = False
    language: str = DEFAULT_LANGUAGE
    site: Site = field(default_factory=Site)
    instance_list: bool = True
    pages_wanted: bool = True
    most_pictures: int = 200
    rendition: RenditionOptions = field(default_factory=RenditionOptions)
    fewest_volumes: bool = False
    applications: Mapping[str, Path] = field(default_factory=dict)
    earlier_applications: tuple[str, ...] = ()

    @property
    def application_folders(self) -> list[str]:
        """The folders and files of programs in the root of the volume."""
        folders = {name.partition("\\")[0] for name in self.applications}
        return sorted(folders.union(self.earlier_applications))

    @property
    def pages(self) -> bool:
        """Whether there are pages, for which renditions are made."""
        without = (IncludeNonDICOMObjects.NO, IncludeNonDICOMObjects.FOR_RESEARCH)
        return self.pages_wanted and self.audience not in without

    @property
    def readme(self) -> bool:
        return self.audience is not IncludeNonDICOMObjects.NO

    @property
    def manifest(self) -> bool:
        """Whether there is a list of all instances."""
        return self.audience is IncludeNonDICOMObjects.FOR_RESEARCH and self.instance_list

    @property
    def teaching(self) -> bool:
        return self.audience is IncludeNonDICOMObjects.FOR_TEACHING

    @property
    def shown_site(self) -> Site:
        """The statements that media show; those for teaching do not say where they are from."""
        return Site(disclaimer=self.site.disclaimer) if self.teaching else self.site

    @property
    def texts(self) -> Catalogue:
        return catalogue(self.language)

    def with_pixels(self, pixels: str) -> "ContentTerms":
        """The same with other pixel values for the viewer: "lossless", "near" or "none"."""
        return replace(self, rendition=replace(self.rendition, pixels=pixels))

    def with_applications(self, applications: Mapping[str, Path]) -> "ContentTerms":
        """The same with programs for viewing, by their names on the volume."""
        return replace(self, applications=applications)

    def without_pages(self) -> "ContentTerms":
        """The same without anything that is made of the instances, where there is no room."""
        return replace(
            self,
            pages_wanted=False,
            viewer=False,
            applications={},
            instance_list=False,
        )


#: Only DICOM files and README.TXT in English.
NO_CONTENT = ContentTerms(IncludeNonDICOMObjects.FOR_RESEARCH, instance_list=False)


def read_logo(path: Path) -> bytes:
    """A picture as JPEG, of the size that pages show; raises InvalidSettings."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGBA")
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise InvalidSettings(f"the logo {path} cannot be read as a picture") from error
    picture.thumbnail(_LOGO_SIZE)
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    buffer = io.BytesIO()
    paper.save(buffer, "JPEG", quality=92, subsampling=0)
    return buffer.getvalue()
