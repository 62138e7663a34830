"""Craft: the viewer of a disc, a page that any browser opens from the disc itself.

VIEWER.HTM   the page: it may load scripts, pictures and documents of its disc, and nothing else
VIEWER.CSS   its looks
VIEWER.JS    the program: the parts of `PARTS` one after another, in one function
LANG.JS      the texts in all languages
DATA.JS      what is on the disc (`viewer_data`)
PACK.JS      sends the true pixel values of a pack (`pixel_packs`), which is a page, to the viewer

There is no build step and no library. Browsers refuse much to pages that were opened from files:
fetch, modules, workers from files, and reading the pixels of a picture. So data comes in scripts
and pages, workers from text within the program, and a picture is shown until true values replace
it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

#: The parts of VIEWER.JS in the order in which they stand in it.
PARTS = (
    "elements",
    "disc",
    "geometry",
    "inflate",
    "packs",
    "painting",
    "measures",
    "viewport",
    "marks",
    "presentation",
    "subtraction",
    "reslice",
    "tools",
    "layout",
    "list",
    "start",
)


@dataclass(frozen=True, slots=True)
class ViewerTexts:
    """The texts of the viewer in one language: its name in itself, "ltr" or "rtl", texts by key.

    `forms` are the texts of pages that say how dates and names are written.
    """

    name: str
    direction: str
    texts: Mapping[str, str]
    forms: Mapping[str, str]


def program_files(languages: Mapping[str, ViewerTexts]) -> dict[str, bytes]:
    """The files of the viewer that do not depend on what is on the disc, by their paths there."""
    return {
        "VIEWER/VIEWER.HTM": _file("viewer.htm"),
        "VIEWER/VIEWER.CSS": _file("viewer.css"),
        "VIEWER/VIEWER.JS": _program(),
        "VIEWER/PACK.JS": _file("pack.js"),
        "VIEWER/LANG.JS": _language_script(languages),
    }


def _program() -> bytes:
    parts = b"\n".join(_file(f"{part}.js") for part in PARTS)
    return b"'use strict';\n(function () {\n" + parts + b"})();\n"


def _language_script(languages: Mapping[str, ViewerTexts]) -> bytes:
    catalogues = {
        code: {
            "name": texts.name,
            "direction": texts.direction,
            "texts": dict(texts.texts),
            "forms": dict(texts.forms),
        }
        for code, texts in languages.items()
    }
    text = json.dumps(catalogues, separators=(",", ":"), ensure_ascii=True)
    return f"BURNISH_TEXTS({text});\n".encode("ascii")


def _file(name: str) -> bytes:
    return (resources.files(__package__) / name).read_bytes()
