"""Surface: templates, with what each page has: texts, visitor, navigation, times and sizes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from burnish import __version__
from burnish.web.access import Permission, may, visitor_of
from burnish.web.texts import Texts, languages, preferred, texts
from burnish.web.visitor import Role

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """One page in the navigation. `name` is also the key of its title, `navigation.NAME`."""

    name: str
    path: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class Audience:
    """All that a part of a page may depend on besides its data: one rendering for all alike."""

    role: Role | None
    language: str

    @property
    def sees_patients(self) -> bool:
        return may(self.role, Permission.SEE_PATIENTS)


class Rendering:
    """Renders templates. Every value is escaped unless it is Markup."""

    def __init__(self, language: str, navigation: tuple[NavigationEntry, ...]) -> None:
        self._language = language
        self._navigation = navigation
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            time=_time, size=_size, number=_number, day=_day, person=_person
        )
        self._environment.globals.update(
            Permission=Permission, version=__version__, assets=_digest_of_assets()
        )

    def audience(self, request: Request) -> Audience:
        """The audience that the visitor of a request belongs to."""
        visitor = visitor_of(request)
        return Audience(visitor.role, self.language(request))

    def language(self, request: Request) -> str:
        """The language of the answer to a request."""
        chosen = request.cookies.get("burnish_language", "")
        if chosen in languages():
            return chosen
        return self._language or preferred(request.headers.get("accept-language", ""))

    def texts(self, request: Request) -> Texts:
        """The texts of the answer to a request."""
        return texts(self.language(request))

    def page(
        self, request: Request, template: str, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """A whole page, or a part of one, as the answer to a request."""
        visitor = visitor_of(request)
        audience = self.audience(request)
        more = {
            "visitor": visitor,
            "path": request.url.path,
            "navigation": [
                entry for entry in self._navigation if may(visitor.role, entry.permission)
            ],
            "stays": request.url.path,
        }
        return HTMLResponse(self.part(template, audience, more | values), status_code=status)

    def part(self, template: str, audience: Audience, values: Mapping[str, Any]) -> str:
        """A part of a page, the same for everybody of an audience."""
        catalogue: Texts = texts(audience.language)
        return self._environment.get_template(template).render(
            t=catalogue,
            language=catalogue.language,
            audience=audience,
            may=lambda permission: may(audience.role, permission),
            **values,
        )


def _digest_of_assets() -> str:
    """The end of the addresses of our own static files, so that browsers load new ones."""
    digest = hashlib.blake2b(digest_size=6)
    for name in ("burnish.css", "burnish.js", "upload.js"):
        digest.update((_FOLDER / "static" / name).read_bytes())
    return digest.hexdigest()


def _time(value: datetime | None, form: str = "") -> Markup:
    """A time element; the page's script shows it in the time zone of the browser.

    `form`: "since" shows the time that has passed, "" the date and time.
    """
    if value is None:
        return Markup("")
    utc = value.astimezone(UTC)
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), form, utc.strftime("%Y-%m-%d %H:%M UTC")
    )


def _size(value: int) -> str:
    """Bytes in three digits: 520 kB, 700 MB, 4.7 GB."""
    for unit, length in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if value >= length:
            return f"{value / length:.3g} {unit}"
    return f"{value / 1000:.3g} kB"


@pass_context
def _number(context: Context, value: int) -> str:
    """A number with its thousands separated as the language does it."""
    text = f"{value:,}"
    return text.replace(",", ".") if context["language"] == "de" else text


def _day(value: str) -> str:
    """A DICOM date (VR DA, PS3.5 6.2) as 2026-11-28; other texts as they are."""
    if len(value) == 8 and value.isdigit():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value


def _person(value: str) -> str:
    """A person name (VR PN, PS3.5 6.2.1) for reading: Doe, Jane (other scripts)."""
    groups = []
    for number, group in enumerate(value.split("=")):
        components = [component.strip() for component in group.split("^")]
        family, given = components[0], " ".join(part for part in components[1:3] if part)
        # ideographic and phonetic names are written without a comma
        separator = " " if number else ", "
        groups.append(separator.join(part for part in (family, given) if part))
    first, *others = [group for group in groups if group] or [""]
    return f"{first} ({', '.join(others)})" if others else first
