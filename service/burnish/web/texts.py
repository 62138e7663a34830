"""Surface: the texts of the pages, in several languages.

A catalogue is a TOML file in `languages/`: keys in tables, values with {placeholders}. English is
complete; a test compares the others with it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from burnish import sentences

_FOLDER = Path(__file__).with_name("languages")
DEFAULT = "en"


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one language, by key such as `now.title`."""

    language: str
    texts: Mapping[str, str]

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its placeholders filled in.

        A text with `{count}` may have a second one, with the key plus `.one`, for a count of 1.
        """
        if values.get("count") == 1 and f"{key}.one" in self.texts:
            key = f"{key}.one"
        text = self.texts[key]
        return text.format(**values) if values else text

    def sentence(self, text: str) -> str:
        """The text of a stage in this language."""
        return sentences.translate(text, self.language)

    def event(self, name: str) -> str:
        """The name of an event of a request in words."""
        key = f"event.{name.replace(' ', '_')}"
        return self.texts.get(key) or name.replace("_", " ").capitalize()

    def duration(self, seconds: float) -> str:
        """A duration in its largest unit."""
        for unit, length in (("hours", 3600), ("minutes", 60)):
            if seconds >= length:
                return self(f"duration.{unit}", count=round(seconds / length))
        return self("duration.seconds", count=max(1, round(seconds)))

    def has(self, key: str) -> bool:
        """Whether there is a text of this key."""
        return key in self.texts


@cache
def texts(language: str) -> Texts:
    """The texts of a language; English for one that there is no catalogue of."""
    path = _FOLDER / f"{language}.toml"
    if language not in languages():
        return texts(DEFAULT)
    with path.open("rb") as file:
        return Texts(language, dict(_flat(tomllib.load(file))))


@cache
def languages() -> tuple[str, ...]:
    """The languages that there are catalogues of."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def preferred(accept_language: str) -> str:
    """The first language of an Accept-Language header (RFC 9110) that there is a catalogue of."""
    weighted = []
    for position, choice in enumerate(accept_language.split(",")):
        tag, _, quality = choice.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        weighted.append((-weight, position, tag.partition("-")[0].lower()))
    for _, _, language in sorted(weighted):
        if language in languages():
            return language
    return DEFAULT


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs
