"""The order of text of two directions, compared with the main function of python-bidi."""

import unicodedata

from bidi import get_display
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.label import bidi

#: Letters of both directions, digits of both kinds, and the characters that stand between them. No
#: brackets, which the full algorithm pairs and mirrors, and nothing else that is mirrored.
CHARACTERS = "abcאבגاحد0123٠١٢ .,:-+/%#"


def displayed(text: str) -> str:
    """The characters of a line from left to right."""
    parts = []
    for run in bidi.directional_runs(text):
        part = text[run.start : run.end]
        parts.append(part[::-1] if run.right_to_left else part)
    return "".join(parts)


@settings(max_examples=300, deadline=None)
@given(st.text(CHARACTERS, max_size=24))
def test_the_order_is_that_of_the_full_algorithm(text: str) -> None:
    line = bidi.printable(text)
    assert displayed(line) == get_display(line)


def test_a_combining_mark_stays_with_its_letter() -> None:
    text = "aשׁb"
    parts = [text[run.start : run.end] for run in bidi.directional_runs(text)]
    assert parts == ["a", "שׁ", "b"]


@settings(deadline=None)
@given(st.text(CHARACTERS + "\n\t\0\x1b\u200b\u202e\u2066\u3000()", max_size=24))
def test_any_text_becomes_one_line_without_controls(text: str) -> None:
    line = bidi.printable(text)
    assert line == " ".join(line.split())
    assert not any(unicodedata.category(character) == "Cc" for character in line)
    assert sum(run.end - run.start for run in bidi.directional_runs(line)) == len(line)


@settings(deadline=None)
@given(st.text(max_size=24))
def test_every_character_is_in_one_run(text: str) -> None:
    indices = [index for run in bidi.directional_runs(text) for index in range(run.start, run.end)]
    assert sorted(indices) == list(range(len(text)))


def test_parts_keep_their_order_whatever_their_direction() -> None:
    line = bidi.join_left_to_right(["שרון, דבורה", "123", "1950-01-02"], " · ")
    visible = "".join(character for character in displayed(line) if character not in bidi.MARKS)
    assert visible == "הרובד ,ןורש · 123 · 1950-01-02"
