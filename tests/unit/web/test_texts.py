"""The texts of the pages: every language has all of them."""

import re
from pathlib import Path

import pytest

from burnish.web import texts
from burnish.web.access import Permission
from burnish.web.pages import NAVIGATION
from burnish.web.texts import preferred

_TEMPLATES = Path(texts.__file__).with_name("templates")
ENGLISH = texts.texts("en")
#: Keys that templates put together; a trailing dot stands for all keys of a table.
_COMPOSED = re.compile(r"""t\(\s*["']([a-z_]+\.)["']\s*~""")
_KEY = re.compile(r"""t\(\s*["']([a-z_]+\.[A-Za-z_]+)["']""")


def placeholders(text: str) -> list[str]:
    return sorted(set(re.findall(r"\{[a-z_]*\}", text)))


@pytest.mark.parametrize("language", texts.languages())
def test_a_language_has_every_text_with_the_same_placeholders(language: str) -> None:
    translated = texts.texts(language)
    assert set(translated.texts) == set(ENGLISH.texts)
    for key, text in ENGLISH.texts.items():
        assert translated.texts[key].strip(), key
        assert placeholders(translated.texts[key]) == placeholders(text), key


@pytest.mark.parametrize("path", sorted(_TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_a_template_uses_only_texts_that_there_are(path: Path) -> None:
    template = path.read_text(encoding="utf-8")
    missing = [key for key in _KEY.findall(template) if key not in ENGLISH.texts]
    tables = {key.partition(".")[0] + "." for key in ENGLISH.texts}
    missing += [table for table in _COMPOSED.findall(template) if table not in tables]
    assert not missing


def test_no_template_has_a_text_of_its_own() -> None:
    """Words between tags are in the catalogue; names of things and units are the same for all."""
    allowed = {"Burnish", "ZIP", "SOP", "Instance", "UID", "DICOM", "Python"}
    for path in _TEMPLATES.glob("*.html"):
        template = re.sub(r"\{[%#{].*?[%#}]\}", " ", path.read_text("utf-8"), flags=re.DOTALL)
        template = re.sub(r"<(script|svg|title).*?</\1>", " ", template, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-z]{3,}", re.sub(r"<[^>]*>", " ", template)))
        assert words <= allowed, path.name


def test_every_page_of_the_navigation_has_a_title() -> None:
    assert [ENGLISH(f"navigation.{entry.name}") for entry in NAVIGATION]
    assert all(isinstance(entry.permission, Permission) for entry in NAVIGATION)


def test_the_language_is_the_first_that_the_browser_asks_for() -> None:
    assert preferred("fr,de-AT;q=0.8,en;q=0.5") == "de"
    assert preferred("en;q=0.2,de;q=0.9") == "de"
    assert preferred("") == "en"
    assert preferred("de;q=x,ja") == "en"


def test_sentences_of_stages_are_translated_with_their_parts() -> None:
    german = texts.texts("de")
    assert german.sentence("Piece 1 of 2 is being made by drive.") == (
        "Stück 1 von 2 wird von drive hergestellt."
    )
    assert german.sentence("something new {x}") == "something new {x}"


def test_counts_have_a_singular() -> None:
    assert ENGLISH("request.instances", count=1) == "1 instance"
    assert ENGLISH("request.instances", count=2) == "2 instances"
