"""Every language has every text, with the same values in it."""

import string

import pytest

from burnish.content.languages import LANGUAGES, catalogue

ENGLISH = catalogue("en")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_every_text(code: str) -> None:
    language = catalogue(code)
    assert set(language.texts) == set(ENGLISH.texts)
    assert set(language.viewer) == set(ENGLISH.viewer)
    assert not [key for key, text in language.texts.items() if not text.strip()]


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_has_the_same_values(code: str) -> None:
    language = catalogue(code)
    for key, text in ENGLISH.texts.items():
        if not key.startswith("format."):
            assert placeholders(language.texts[key]) == placeholders(text), key
    for key, text in ENGLISH.viewer.items():
        assert placeholders(language.viewer[key]) == placeholders(text), key


@pytest.mark.parametrize(
    ("code", "date", "name"),
    [
        ("en", "31 January 2024", "Dr. Tarou Yamada (山田 太郎)"),
        ("de", "31. Januar 2024", "Dr. Tarou Yamada (山田 太郎)"),
        ("ja", "2024年1月31日", "山田 太郎 (Yamada Tarou)"),
        ("ar", "31 يناير 2024", "Dr. Tarou Yamada (山田 太郎)"),
    ],
)
def test_dates_and_names_are_in_the_form_of_the_reader(code: str, date: str, name: str) -> None:
    language = catalogue(code)
    assert language.date("20240131") == date
    assert language.name("Yamada^Tarou^^Dr.=山田^太郎=やまだ^たろう") == name


def test_dates_of_old_instances_are_written_alike() -> None:
    assert ENGLISH.date("1997.04.24") == "24 April 1997"


@pytest.mark.parametrize("value", ["", "2024", "20241301", "garbage"])
def test_a_date_that_is_none_is_left_as_it_is(value: str) -> None:
    assert ENGLISH.date(value) == value


def test_a_text_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        ENGLISH.text("pages.no_such_text")
