"""Craft: what a disc holds for people, as a record in its INDEX.HTM.

A disc to which instances are added needs pages of all that it then holds. The record says in which
language and with which texts these were made. It is a `meta` element, which browsers ignore.
"""

import html
import json
import re
from dataclasses import asdict, replace

from burnish.content.content_terms import ContentTerms, Site
from burnish.content.languages import LANGUAGES
from burnish.content.rendition import RenditionOptions
from burnish.content.xhtml_text import escaped
from burnish.vocabulary import IncludeNonDICOMObjects

_ELEMENT = '<meta name="burnish-content" content="{record}" />\n'
_RECORD = re.compile(rb'<meta name="burnish-content" content="([^"]*)" />')


def encode_terms(terms: ContentTerms) -> str:
    """The element for the head of INDEX.HTM. Pages for teaching name no institution."""
    site = asdict(replace(terms.shown_site, logo=b""))
    del site["logo"]
    values = {
        "audience": terms.audience.value,
        "viewer": terms.viewer,
        "language": terms.language,
        "pictures": terms.most_pictures,
        "rendition": asdict(terms.rendition),
        "site": site,
        "applications": terms.application_folders,
    }
    return _ELEMENT.format(record=escaped(json.dumps(values, separators=(",", ":"))))


def read_terms(index: bytes, logo: bytes = b"") -> ContentTerms | None:
    """The terms in an INDEX.HTM; None where it has no record of them that can be used."""
    match = _RECORD.search(index)
    if match is None:
        return None
    try:
        values = json.loads(html.unescape(match[1].decode("ascii")))
        terms = ContentTerms(
            IncludeNonDICOMObjects(values["audience"]),
            viewer=bool(values["viewer"]),
            language=str(values["language"]),
            site=Site(**values["site"], logo=logo),
            most_pictures=int(values["pictures"]),
            rendition=RenditionOptions(**values["rendition"]),
            earlier_applications=tuple(map(str, values.get("applications", ()))),
        )
    except (KeyError, TypeError, ValueError):
        return None
    return terms if terms.pages and terms.language in LANGUAGES else None
