"""Craft: the languages of README.TXT, pages and viewer: one catalogue file each.

A catalogue is a TOML file named for its language. Every text has a key; `{name}` in a text is
replaced. All catalogues have the same keys. A catalogue also says how names and dates are written.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from burnish.errors import InvalidSettings

#: The languages there are catalogues for.
LANGUAGES = ("en", "de", "fr", "es", "it", "pt", "pl", "ja", "ar")
DEFAULT_LANGUAGE = "en"
#: Characters from here on are of Chinese, Japanese and Korean.
_FIRST_IDEOGRAPHIC = "\u2e80"
#: The tables with texts of README.TXT and pages.
_TABLES = ("format", "month", "sex", "modality", "front", "patient", "pages", "readme", "document")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one language: its name in itself, "ltr" or "rtl", and the texts by key."""

    code: str
    native_name: str
    direction: str
    texts: Mapping[str, str]
    viewer: Mapping[str, str]

    def text(self, key: str, **values: object) -> str:
        """The text of a key, with values in place of their names."""
        text = self.texts[key]
        return text.format(**values) if values else text

    @property
    def forms(self) -> Mapping[str, str]:
        """The texts that say how dates and names are written."""
        return {
            key: text for key, text in self.texts.items() if key.startswith(("format.", "month."))
        }

    def date(self, value: str) -> str:
        """A date (PS3.5 6.2, DA) as people write it; another value unchanged.

        Old instances write dates as 1997.04.24.
        """
        value = value.strip()
        if len(value) == 10 and value[4] == value[7] == ".":
            value = value.replace(".", "")
        if len(value) != 8 or not value.isdigit() or not 1 <= int(value[4:6]) <= 12:
            return value
        return self.text(
            "format.date",
            day=int(value[6:]),
            month=self.text(f"month.{int(value[4:6])}"),
            month_number=int(value[4:6]),
            year=int(value[:4]),
        )

    def time(self, value: str) -> str:
        """A time (PS3.5 6.2, TM) as hours and minutes; "" where there are none."""
        value = value.strip()
        return f"{value[:2]}:{value[2:4]}" if len(value) >= 4 and value[:4].isdigit() else ""

    def name(self, value: str) -> str:
        """A person's name (PS3.5 6.2.1) as people of this language write it."""
        groups = [group.split("^") for group in value.split("=")]
        names = [self._name_group([part.strip() for part in group]) for group in groups[:2]]
        if len(names) == 2 and self.text("format.name_group") == "ideographic":
            names.reverse()
        names = [name for name in names if name]
        if not names and len(groups) > 2:
            names = [self._name_group(groups[2])]
        if len(names) == 2:
            return self.text("format.name_in_two_scripts", name=names[0], other=names[1])
        return names[0] if names else ""

    def _name_group(self, parts: list[str]) -> str:
        family, given, middle, prefix, suffix = (*parts, "", "", "", "", "")[:5]
        ideographic = any(character >= _FIRST_IDEOGRAPHIC for character in family + given)
        key = "format.ideographic_name" if ideographic else "format.name"
        order = self.text(key).split()
        by_word = {
            "family": family,
            "given": given,
            "middle": middle,
            "prefix": prefix,
            "suffix": suffix,
        }
        return " ".join(by_word[word] for word in order if by_word[word])


@cache
def catalogue(code: str) -> Catalogue:
    """The catalogue of a language; raises InvalidSettings for one that there is none of."""
    if code not in LANGUAGES:
        raise InvalidSettings(f"there are no texts in {code!r}: choose one of {list(LANGUAGES)}")
    file = resources.files(__package__) / f"{code}.toml"
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    return Catalogue(
        code,
        values["name"],
        values["direction"],
        _flat({key: table for key, table in values.items() if key in _TABLES}),
        _flat(values.get("viewer", {})),
    )


def _flat(tables: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested tables as one, with points in its keys."""
    texts: dict[str, str] = {}
    for key, value in tables.items():
        if isinstance(value, dict):
            texts |= _flat(value, f"{prefix}{key}.")
        else:
            texts[prefix + key] = str(value)
    return texts
