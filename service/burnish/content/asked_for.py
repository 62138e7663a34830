"""Craft: what media hold for people, from what was asked for and from the settings.

Include Non-DICOM Objects (2200,0008) and Include Display Application (2200,0009) of a request
(PS3.4 S.3.2.1.1.7, S.3.2.1.1.8):

    NO              DICOM files only, without README.TXT
    FOR_PATIENT     pages that begin in plain words
    FOR_PHYSICIAN   pages
    FOR_TEACHING    pages without identification; no viewer
    FOR_RESEARCH    DICOM files and lists of them
    YES             the viewer, and the programs that the site has chosen
"""

from collections.abc import Mapping
from pathlib import Path

from burnish.content.content_terms import ContentTerms, Site, read_logo
from burnish.content.rendition import RenditionOptions
from burnish.errors import InvalidSettings
from burnish.identifiers import is_file_name
from burnish.settings import ContentSettings
from burnish.vocabulary import IncludeNonDICOMObjects

#: Names in the root of a volume that programs of the site may not have.
_RESERVED = ("DICOM", "DICOMDIR", "README.TXT", "INDEX.HTM", "VIEWER", "MANIFEST")


def content_terms(
    settings: ContentSettings,
    audience: IncludeNonDICOMObjects,
    *,
    display_application: bool,
) -> ContentTerms:
    """The content of a set of media. Raises InvalidSettings for an impossible logo or program."""
    site = read_site(settings)
    plain = audience in (IncludeNonDICOMObjects.NO, IncludeNonDICOMObjects.FOR_RESEARCH)
    teaching = audience is IncludeNonDICOMObjects.FOR_TEACHING
    has_pages = settings.pages and not plain
    has_viewer = has_pages and settings.viewer and display_application and not teaching
    terms = ContentTerms(
        audience,
        viewer=has_viewer,
        language=settings.language,
        site=site,
        instance_list=plain,
        pages_wanted=has_pages,
        most_pictures=settings.pictures,
        rendition=RenditionOptions(
            settings.quality,
            pixels=_pixels(settings) if has_viewer else "none",
            teaching=teaching,
        ),
        fewest_volumes=settings.pixels == "auto",
    )
    if display_application and settings.applications and audience != IncludeNonDICOMObjects.NO:
        applications = read_applications(settings.applications)
        return terms.with_applications(applications)
    return terms


def _pixels(settings: ContentSettings) -> str:
    return "lossless" if settings.pixels == "auto" else settings.pixels


def read_site(settings: ContentSettings) -> Site:
    """The statements of the site on its media."""
    logo = read_logo(settings.logo) if settings.logo else b""
    return Site(settings.institution, settings.contact, settings.disclaimer, logo)


def read_applications(folder: Path) -> Mapping[str, Path]:
    """The files of a folder by their names on a volume, in order. Raises InvalidSettings."""
    if not folder.is_dir():
        raise InvalidSettings(f"content.applications: {folder} is not a folder")
    applications: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder)).replace("/", "\\").upper()
        root = name.partition("\\")[0]
        if not is_file_name(name) or root in _RESERVED or root.startswith("IHE"):
            raise InvalidSettings(
                f"content.applications: no medium can hold {path} under the name {name}",
                hint="name files as ISO 9660 has them, 8.3, and not as Burnish names its own",
            )
        if root == "AUTORUN.INF":
            raise InvalidSettings(
                f"content.applications: {path} would start a program by itself",
                hint="IHE Portable Data for Imaging forbids that: remove the file",
            )
        if name in applications:
            raise InvalidSettings(f"content.applications: two files would be called {name}")
        applications[name] = path
    return applications
