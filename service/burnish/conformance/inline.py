"""Surface: the marks within a text: `code` and **strong** words."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*")


class Run(NamedTuple):
    """A piece of a text in one style: "plain", "code" or "strong"."""

    text: str
    style: str


def runs(text: str) -> Iterator[Run]:
    """The pieces of a text, in order."""
    position = 0
    for mark in _MARKS.finditer(text):
        if mark.start() > position:
            yield Run(text[position : mark.start()], "plain")
        if mark[1] is not None:
            yield Run(mark[1], "code")
        else:
            yield Run(mark[2], "strong")
        position = mark.end()
    if position < len(text):
        yield Run(text[position:], "plain")
