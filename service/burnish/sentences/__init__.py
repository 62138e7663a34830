"""Ground: what the stages say to people, in the languages of people.

Stages say and store English: that is what the log, the command line and REST have. `said.toml` has
these texts by key, with {placeholders} for their values; each language has the same keys, English
only those for which a page has better words. A text of a stage, whether it was said just now or
stored years ago, is recognized by its English text.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent
#: The catalogue of what stages say.
SAID = "said"
#: Keys of forms that many texts have, such as a colon before a reason. They are tried last.
_GENERAL = "general."
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The pattern that recognizes the text of one key. `start` precedes the first placeholder."""

    key: str
    start: str
    expression: re.Pattern[str]


@cache
def catalogue(name: str) -> Mapping[str, str]:
    """All texts of a catalogue by key; none if there is no such catalogue."""
    path = _FOLDER / f"{name}.toml"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        return _flat(tomllib.load(file))


@lru_cache(maxsize=4096)
def translate(text: str, language: str) -> str:
    """The text of a stage in the words of a language; a text that has no key stays as it is.

    Values that are texts of stages themselves, such as the reason within a sentence, are translated
    too.
    """
    if not text:
        return text
    translation = _translate_whole(text, language)
    if translation is None and text.endswith("."):
        # a reason that a stage has made a sentence
        reason = text[0].lower() + text[1:-1]
        translated = translate(reason, language)
        if translated != reason:
            translation = f"{translated[0].upper()}{translated[1:]}."
    if translation is None and "; " in text:  # several reasons or remedies in one text
        translation = "; ".join(translate(part, language) for part in text.split("; "))
    return translation or _translate_whole(text, language, is_general=True) or text


def _translate_whole(text: str, language: str, *, is_general: bool = False) -> str | None:
    """The translation of a text that has a key of its own, or else a general form."""
    match = _match(text, is_general=is_general)
    if match is None:
        return None
    key, values = match
    template = catalogue(language).get(key) or catalogue(SAID)[key]
    return template.format(**{name: translate(value, language) for name, value in values.items()})


def key_of(text: str) -> str:
    """The key of a text of a stage; "" if the catalogue does not have it."""
    match = _match(text)
    return match[0] if match else ""


def _match(text: str, *, is_general: bool = False) -> tuple[str, dict[str, str]] | None:
    """The key of a text, and its values by placeholder."""
    for pattern in _patterns():
        if pattern.key.startswith(_GENERAL) == is_general and text.startswith(pattern.start):
            match = pattern.expression.fullmatch(text)
            if match:
                return pattern.key, match.groupdict()
    return None


@cache
def _patterns() -> tuple[_Pattern, ...]:
    """One pattern for each key; those with more text of their own come first."""
    by_length = sorted(
        catalogue(SAID).items(), key=lambda item: -len(_PLACEHOLDER.sub("", item[1]))
    )
    return tuple(_pattern(key, text) for key, text in by_length)


def _pattern(key: str, text: str) -> _Pattern:
    parts = _PLACEHOLDER.split(text)
    expression = re.escape(parts[0])
    seen: set[str] = set()
    for name, literal in zip(parts[1::2], parts[2::2], strict=True):
        expression += f"(?P={name})" if name in seen else f"(?P<{name}>.+)"
        expression += re.escape(literal)
        seen.add(name)
    return _Pattern(key, parts[0], re.compile(expression, re.DOTALL))


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            texts |= _flat(value, f"{prefix}{key}.")
        else:
            texts[f"{prefix}{key}"] = str(value)
    return texts
