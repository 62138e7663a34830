"""Craft: the body of a document in the language and with the links of a volume."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from burnish.content.content_terms import ContentTerms
from burnish.content.model import BodyPart
from burnish.content.outline import VolumeOutline
from burnish.content.pages.xhtml import foreign, text
from burnish.content.volume_files import Blob, Part

#: Large pictures on one page.
LARGE_ON_A_PAGE = 12


class PlaceOnPages(NamedTuple):
    """Where pages show an instance, as seen from the page of another series.

    `number` counts it in its series; "" for `thumbnail` where it has none. `series` is what people
    call its series, None without a number.
    """

    href: str
    key: str
    number: int
    series: int | None
    thumbnail: str = ""


PlacesOnPages = Mapping[str, PlaceOnPages]


def large_page_name(number: int) -> str:
    """The page of a series with large pictures, counted from 1."""
    return f"L{number:07d}.HTM"


def page_references(outline: VolumeOutline) -> PlacesOnPages:
    """The instances of a volume that its pages show, by SOP Instance UID."""
    references: dict[str, PlaceOnPages] = {}
    for series in outline.series():
        folder = f"../{series.folder}"
        for position, shown in enumerate(series.shown):
            instance = shown.instance
            number = instance.instance_number
            page = large_page_name(position // LARGE_ON_A_PAGE + 1)
            reference = PlaceOnPages(
                f"{folder}/{page}#i{shown.number}",
                "image_of_series",
                shown.number if number is None else number,
                instance.series_number,
                f"{folder}/{shown.thumbnail_name}",
            )
            references.setdefault(instance.sop_instance_uid, reference)
        for document in series.documents:
            instance = document.rendition.instance
            references[instance.sop_instance_uid] = PlaceOnPages(
                f"{folder}/{document.name}",
                "document_of_series",
                document.number,
                instance.series_number,
                document.thumbnail_name and f"{folder}/{document.thumbnail_name}",
            )
        for rendition in series.renditions:
            # without a picture on pages, or none at all
            instance = rendition.instance
            references.setdefault(
                instance.sop_instance_uid,
                PlaceOnPages(
                    f"{folder}/INDEX.HTM",
                    "image_of_series" if instance.frames else "document_of_series",
                    instance.instance_number or 0,
                    instance.series_number,
                ),
            )
    references.pop("", None)
    return references


def body_parts(
    body: tuple[BodyPart, ...],
    references: PlacesOnPages,
    path: Callable[[int], str],
    terms: ContentTerms,
) -> Iterator[Part]:
    """The parts of a page that make the body of a document.

    `path` gives the path from the page to a file of the document, by its position.
    """
    for part in body:
        yield part if isinstance(part, Blob) else _written(part, references, path, terms).encode()


def _written(
    part: tuple[Any, ...],
    references: PlacesOnPages,
    path: Callable[[int], str],
    terms: ContentTerms,
) -> str:
    """A value of a body as XHTML."""
    texts = terms.texts
    kind, value, *others = part
    forms: dict[str, Callable[[str], str]] = {
        "date": texts.date,
        "time": _time,
        "path": lambda position: path(int(position)),
        "text": lambda key: texts.text(key, **dict(others[0])),
    }
    if kind in forms:
        return text(forms[kind](str(value)))
    if kind == "name":
        return foreign(texts.name(str(value)))
    reference = references.get(str(value))
    if kind == "picture":
        return _picture(reference, terms)
    return _link(reference, str(others[0]), terms)


def _time(value: str) -> str:
    """A time (TM) as hours, minutes and seconds, as far as it has them."""
    digits, _, fraction = value.partition(".")
    if not digits.isdigit():
        return value
    parts = [digits[start : start + 2] for start in range(0, len(digits), 2)]
    return ":".join(parts) + (f".{fraction}" if fraction.strip("0") else "")


def _picture(reference: PlaceOnPages | None, terms: ContentTerms) -> str:
    if reference is None or not reference.thumbnail:
        return ""
    name = text(_name(reference, terms))
    return f'<a href="{reference.href}"><img src="{reference.thumbnail}" alt="{name}" /></a><br />'


def _name(reference: PlaceOnPages, terms: ContentTerms) -> str:
    name = terms.texts.text(f"document.{reference.key}", number=reference.number)
    if reference.series is None:
        return name
    return f"{name}, {terms.texts.text('pages.series', number=reference.series)}"


def _link(reference: PlaceOnPages | None, sop_class: str, terms: ContentTerms) -> str:
    """A link to an instance; of one that is not on the volume, what it is."""
    if reference is None:
        from pydicom.uid import UID

        kind = UID(sop_class).name.removesuffix(" Storage") if sop_class else "?"
        return foreign(terms.texts.text("document.not_on_medium", kind=kind))
    return f'<a href="{reference.href}">{text(_name(reference, terms))}</a>'
