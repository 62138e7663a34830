"""The program of the viewer: its files, and its texts in every language."""

import json
import re
from importlib import resources

import pytest

from burnish.content import viewer, volume_content
from burnish.content.languages import LANGUAGES, catalogue

_PARTS = {
    part: (resources.files(viewer) / f"{part}.js").read_text(encoding="utf-8")
    for part in (*viewer.PARTS, "pack")
}
#: Beginnings of keys that the program completes, with the endings that there are.
_COMPLETED = {
    "sex_": ("M", "F", "O"),
    "tool_": ("scroll", "window", "zoom", "pan", "distance", "angle", "locate"),
    "problem_": ("damaged", "empty", "unsupported", "memory"),
    "presentation_not_": ("modality_lut", "presentation_lut", "masks"),
    "slab_": ("one", "maximum", "minimum", "average"),
    "detail_": (
        "kvp", "tube_current", "exposure", "repetition_time", "echo_time", "inversion_time",
        "flip_angle", "field_strength", "contrast_agent",
    ),
}  # fmt: skip
_PLACES = re.compile(r"\{\w+\}")


def used_keys() -> set[str]:
    """The keys of texts that the program uses."""
    program = "\n".join(_PARTS.values())
    keys = set(re.findall(r"\btext\('([a-z_]+)'", program))
    keys |= set(re.findall(r"\b(?:button|group)\((?:'[a-z_]+', )?'([a-z_]+)'", program))
    keys |= set(re.findall(r"'((?:help|preset|fault|planes?|measure)_[a-z_]+)'", program))
    completed = {key for key in keys if key.endswith("_")}
    return (keys - completed) | {
        beginning + ending for beginning, endings in _COMPLETED.items() for ending in endings
    }


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_of_the_program_is_in_every_language(code: str) -> None:
    texts = catalogue(code).viewer
    assert sorted(used_keys() - set(texts)) == []
    assert set(texts) == set(catalogue("en").viewer)
    assert all(text.strip() for text in texts.values())


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_text_has_the_same_places_for_values_in_every_language(code: str) -> None:
    english = catalogue("en").viewer
    for key, text in catalogue(code).viewer.items():
        assert sorted(_PLACES.findall(text)) == sorted(_PLACES.findall(english[key])), key


def test_every_beginning_of_a_key_is_known() -> None:
    program = "\n".join(_PARTS.values())
    beginnings = set(re.findall(r"text\('([a-z_]+_)' \+", program))
    assert beginnings <= set(_COMPLETED)


def test_the_files_are_there_and_lang_js_has_all_languages() -> None:
    files = {file.name: b"".join(file.parts) for file in volume_content.viewer_program()}
    assert sorted(files) == [
        "VIEWER\\LANG.JS",
        "VIEWER\\PACK.JS",
        "VIEWER\\VIEWER.CSS",
        "VIEWER\\VIEWER.HTM",
        "VIEWER\\VIEWER.JS",
    ]
    languages = files["VIEWER\\LANG.JS"]
    value = json.loads(languages[len(b"BURNISH_TEXTS(") : -len(b");\n")])
    assert list(value) == list(LANGUAGES)
    assert value["ar"]["direction"] == "rtl"


@pytest.mark.parametrize("part", _PARTS)
def test_no_part_can_reach_out(part: str) -> None:
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "sendBeacon", "http:", "https:", "eval("):
        rest = _PARTS[part].replace("http://www.w3.org/2000/svg", "")
        assert word not in rest, word


@pytest.mark.parametrize("part", _PARTS)
def test_a_part_begins_with_what_it_is_for(part: str) -> None:
    assert _PARTS[part].startswith("// ")
