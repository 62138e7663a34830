"""Craft: what a web page of a volume loads, links to and runs, and whether it is valid XHTML.

Pages come from anywhere: nothing that they refer to is opened here.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

#: Elements that run something, or show a document of another place.
_ACTIVE_ELEMENTS = {"applet", "object", "embed", "iframe", "frame", "bgsound"}
#: The attributes that hold an address. Those of links are followed by people, others are loaded.
_ADDRESSES = {
    "href",
    "src",
    "data",
    "background",
    "action",
    "formaction",
    "poster",
    "longdesc",
    "codebase",
    "archive",
    "xlink:href",
}
_FOLLOWED = {("a", "href"), ("area", "href"), ("a", "xlink:href")}
_CSS_ADDRESS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)["']""", re.IGNORECASE)
_CSS_CODE = re.compile(r"expression\s*\(|behavior\s*:|-moz-binding", re.IGNORECASE)
_JAVASCRIPT = re.compile(r"javascript|ecmascript|module|jscript|json", re.IGNORECASE)
_ENCODING = re.compile(rb"""(?:encoding|charset)\s*=\s*["']?([A-Za-z0-9_.:-]{2,40})""")
_XHTML_TYPE = re.compile(r'PUBLIC\s+["\']-//W3C//DTD (XHTML [^/]*)//', re.IGNORECASE)

_STYLE_SHEET = re.compile(r"""href\s*=\s*["']([^"']*)""")
_TAG = re.compile(r"</?([A-Za-z][\w:.-]*)")
_SPACE = re.compile(r"\s*")
_ATTRIBUTE = re.compile(r"""([^\s=>/"']+)(?:\s*=\s*("[^"]*"|'[^']*'|[^\s>]*))?""")
#: What is no tag: how it begins and ends.
_MARKUP = (
    ("<!--", "-->", "comment"),
    ("<![CDATA[", "]]>", "text"),
    ("<!", ">", "declaration"),
    ("<?", ">", "instruction"),
)

_STRICT = "XHTML 1.0 Strict"
_STRICT_DTD = "-//W3C//DTD XHTML 1.0 Strict//EN"
_VALID_PAGE = (
    f'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "{_STRICT_DTD}"'
    ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">\n<html'
    ' xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body><p>x</p></body></html>'
)
_INVALID_PAGE = _VALID_PAGE.replace("<p>", "<p><p>x</p>")
_PAGES_OF_A_CALL = 50
_LONGEST_VALIDATION = 300


class Link(NamedTuple):
    """An address in a page; `loaded`: the browser opens it without being asked."""

    address: str
    loaded: bool


@dataclass(slots=True)
class WebPage:
    """The references and scripts of a page, in the order of the page.

    `document_type` is that of XHTML which it declares, "" for none. `not_well_formed` says why it
    is no XML, "" if it is. `active` is content that runs and is no JavaScript; `scripts` is that.
    """

    links: list[Link] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    active: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    text: str = ""
    document_type: str = ""
    not_well_formed: str = ""

    @property
    def strict(self) -> bool:
        return self.document_type.casefold() == _STRICT.casefold()


def read_page(data: bytes) -> WebPage:
    """The content of a page, even if it is not well-formed."""
    page = WebPage(not_well_formed=_xml_error(data))
    texts: list[str] = []
    for part in _page_parts(_decoded(data)):
        if part.kind == "text":
            texts.append(" ".join(unescape(part.text).split()))
        elif part.kind == "style":
            _add_css(page, part.text)
        elif part.kind == "declaration":
            declared = _XHTML_TYPE.search(part.text)
            page.document_type = declared[1] if declared else page.document_type
        elif part.kind == "tag":
            _add_element(page, part.text, part.attributes)
        elif part.kind == "instruction" and part.text.startswith("<?xml-stylesheet"):
            page.links += [Link(address, True) for address in _STYLE_SHEET.findall(part.text)]
    page.text = "\n".join(filter(None, texts))
    return page


def read_style_sheet(data: bytes) -> WebPage:
    """The references and scripts of a style sheet."""
    page = WebPage()
    _add_css(page, _decoded(data))
    return page


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    declared = _ENCODING.search(data[:1024])
    encoding = declared[1].decode("ascii") if declared else "utf-8"
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeDecodeError):
        return data.decode("latin-1")


def _xml_error(data: bytes) -> str:
    """Why a page is not well-formed; no external entity is read."""
    parser = expat.ParserCreate()
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        return str(error)
    return ""


def _add_css(page: WebPage, css: str) -> None:
    page.links += [
        Link(address or imported, True) for address, imported in _CSS_ADDRESS.findall(css)
    ]
    page.active += [f"CSS with {match.rstrip('( :')}" for match in _CSS_CODE.findall(css)]


class _PagePart(NamedTuple):
    """A part of a page: a tag with its attributes, a text, or what a script or style holds."""

    kind: str
    text: str
    attributes: dict[str, str]


def _page_parts(source: str) -> Iterator[_PagePart]:
    """The parts of a page, however wrong it is; each character is read once.

    Python's HTMLParser needs hours for a hostile page of 300 KB, and fails for some.
    """
    lower = source.lower()
    position = 0
    while position < len(source):
        start = source.find("<", position)
        stop = len(source) if start < 0 else start
        if stop > position:
            yield _PagePart("text", source[position:stop], {})
        if start < 0:
            return
        for beginning, ending, kind in _MARKUP:
            if source.startswith(beginning, start):
                position = _after(source, ending, start + len(beginning))
                yield _PagePart(kind, source[start:position], {})
                break
        else:
            name = _TAG.match(source, start)
            if name is None:
                position = start + 1
                continue
            attributes, position, is_empty = _attributes(source, name.end())
            element = name[1].lower().rpartition(":")[2]
            if source.startswith("</", start):
                continue
            yield _PagePart("tag", element, attributes)
            if element in ("script", "style") and not is_empty:
                end = lower.find(f"</{element}", position)
                stop = len(source) if end < 0 else end
                yield _PagePart(element, source[position:stop], {})
                position = stop


def _after(source: str, ending: str, start: int) -> int:
    """The position behind the next `ending`, or that of the end of the page."""
    position = source.find(ending, start)
    return len(source) if position < 0 else position + len(ending)


def _attributes(source: str, position: int) -> tuple[dict[str, str], int, bool]:
    """The attributes of a tag, the position behind it, and whether it has no content."""
    attributes: dict[str, str] = {}
    is_empty = False
    while position < len(source):
        space = _SPACE.match(source, position)
        if space and space.end() > position:
            position = space.end()
            continue
        if source[position] == ">":
            return attributes, position + 1, is_empty
        match = _ATTRIBUTE.match(source, position)
        if match is None:
            is_empty = source[position] == "/"
            position += 1
            continue
        value = unescape((match[2] or "").strip("\"'"))
        attributes.setdefault(match[1].lower(), value)
        position = match.end()
    return attributes, position, is_empty


def _add_element(page: WebPage, element: str, attributes: Mapping[str, str]) -> None:
    if element in _ACTIVE_ELEMENTS:
        page.active.append(f"<{element}>")
    if element == "script":
        language = attributes.get("type") or attributes.get("language") or "javascript"
        kind = page.scripts if _JAVASCRIPT.search(language) else page.active
        kind.append(f"<script> ({language[:40]})")
    if element == "meta" and attributes.get("http-equiv", "").lower() == "refresh":
        _, _, address = attributes.get("content", "").partition("=")
        page.links += [Link(address.strip(" '\""), True)] if address else []
    for name, value in attributes.items():
        _add_attribute(page, element, name, value.strip())


def _add_attribute(page: WebPage, element: str, name: str, value: str) -> None:
    scheme = value.partition(":")[0].strip().lower()
    if name == "id" or (name == "name" and element == "a"):
        page.places.add(value)
    elif name.startswith("on"):
        page.scripts.append(f"{name}= of <{element}>")
    elif name == "style":
        _add_css(page, value)
    elif name in _ADDRESSES and scheme == "javascript":
        page.scripts.append(f"javascript: in {name}= of <{element}>")
    elif name in _ADDRESSES and scheme in ("vbscript", "jar", "ms-its", "mk"):
        page.active.append(f"{scheme}: in {name}= of <{element}>")
    elif name in _ADDRESSES:
        page.links.append(Link(value, (element, name) not in _FOLLOWED))


def validate_strict(pages: Mapping[str, bytes]) -> dict[str, str] | None:
    """The first error by XHTML 1.0 Strict of each page that has one.

    xmllint of libxml2 and the DTD in the system's XML catalog are needed; None without them.
    """
    probe = _xmllint({"valid": _VALID_PAGE.encode(), "invalid": _INVALID_PAGE.encode()})
    if probe is None or list(probe) != ["invalid"]:
        return None
    errors: dict[str, str] = {}
    names = list(pages)
    for start in range(0, len(names), _PAGES_OF_A_CALL):
        batch = {name: pages[name] for name in names[start : start + _PAGES_OF_A_CALL]}
        batch_errors = _xmllint(batch)
        if batch_errors is None:
            return None
        errors |= batch_errors
    return errors


def _xmllint(pages: Mapping[str, bytes]) -> dict[str, str] | None:
    """The first error of each page; None if the program is missing or does not end."""
    program = shutil.which("xmllint")
    if program is None:
        return None
    with tempfile.TemporaryDirectory(prefix="burnish-pages-") as directory:
        files = {f"{number}.htm": name for number, name in enumerate(pages)}
        for file, name in files.items():
            (Path(directory) / file).write_bytes(pages[name])
        try:
            done = subprocess.run(
                # the DTD is chosen here: none that a page names is read
                [program, "--noout", "--nonet", "--dtdvalidfpi", _STRICT_DTD, *files],
                cwd=directory,
                env={**os.environ, "XML_CATALOG_FILES": "/etc/xml/catalog"},
                capture_output=True,
                timeout=_LONGEST_VALIDATION,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    errors: dict[str, str] = {}
    for line in done.stderr.decode("utf-8", "replace").splitlines():
        match = re.match(r"(\d+\.htm):(\d+):(?: element [^:]*:)? *[a-z ]*error ?: *(.*)", line)
        if match:
            errors.setdefault(files[match[1]], f"line {match[2]}: {match[3]}")
    return errors
