"""The order of text of two directions, held against python-bidi."""

import unicodedata

from bidi import get_display
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.label import bidi

#: Letters of both directions, digits of both kinds, and the signs that stand between them. No
#: brackets, which pair up in the whole algorithm, and nothing that is mirrored.
LETTERS = "abcאבגاحد0123٠١٢ .,:-+/%#"


def displayed(text: str) -> str:
    return "".join(
        text[run.start : run.end][::-1] if run.right_to_left else text[run.start : run.end]
        for run in bidi.runs(text)
    )


@settings(max_examples=300, deadline=None)
@given(st.text(LETTERS, max_size=24))
def test_lines_are_ordered_as_by_the_whole_algorithm(text: str) -> None:
    line = bidi.printable(text)
    assert displayed(line) == get_display(line)


def test_marks_of_a_letter_stay_with_it() -> None:
    text = "aשׁb"
    assert [text[run.start : run.end] for run in bidi.runs(text)] == ["a", "שׁ", "b"]


@settings(deadline=None)
@given(st.text(LETTERS + "\n\t\0\x1b\u200b\u202e\u2066\u3000()", max_size=24))
def test_any_text_becomes_a_line_without_controls(text: str) -> None:
    line = bidi.printable(text)
    assert line == " ".join(line.split())
    assert not any(unicodedata.category(letter) == "Cc" for letter in line)
    assert sum(run.end - run.start for run in bidi.runs(line)) == len(line)


def test_parts_stay_in_their_order_whatever_their_direction() -> None:
    line = bidi.apart(["שרון, דבורה", "123", "1950-01-02"], " · ")
    shown = "".join(c for c in displayed(line) if c not in bidi.MARKS)
    assert shown == "הרובד ,ןורש · 123 · 1950-01-02"
