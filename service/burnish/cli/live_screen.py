"""Surface: a view that is drawn again and again in the place of a terminal."""

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout

#: The other screen of the terminal, without a cursor and without wrapping.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _END_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"

Draw = Callable[[list[str]], None]


@contextmanager
def live_screen() -> Iterator[Draw]:
    """A function that shows lines in place of those before; what does not fit is counted.

    The terminal is as it was before at the end, also after Ctrl-C.
    """
    sys.stdout.write(_ENTER)
    try:
        yield _draw
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def _draw(lines: list[str]) -> None:
    height = shutil.get_terminal_size().lines
    if len(lines) > height:
        hidden = len(lines) - height + 1
        lines = [*lines[: height - 1], f"… and {hidden} more lines: the window is too small"]
    text = "\n".join(line + _END_OF_LINE for line in lines)
    sys.stdout.write(_HOME + text + _END_OF_SCREEN)
    sys.stdout.flush()


def printed_lines(show: Callable[[], None]) -> list[str]:
    """What a function prints on a terminal of the present width, as lines."""
    buffer = _TerminalText()
    with redirect_stdout(buffer):
        show()
    return buffer.getvalue().splitlines()


class _TerminalText(io.StringIO):
    """Text that is printed as on a terminal."""

    def isatty(self) -> bool:
        return True
