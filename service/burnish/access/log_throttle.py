"""Ground: warnings about peers, limited so that a misbehaving peer cannot flood the log."""

import threading
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

#: Lines per minute about the same event, reason and peer. The next line after that says how many
#: were left out.
_LINES_PER_MINUTE = 10
_MINUTE = 60.0
#: Different combinations of event, reason and peer per minute: a peer can invent AE titles.
_COMBINATIONS_PER_MINUTE = 1000


class LogThrottle:
    """Counts the warnings of the current minute and leaves out those above the limits."""

    def __init__(self) -> None:
        self._minute_began = monotonic()
        self._counts: dict[tuple[str, ...], int] = {}
        self._left_out = 0
        self._lock = threading.Lock()

    def warn(self, event: str, *, why: str, **peer: str) -> None:
        """Logs a warning, unless there were too many like it within the minute.

        `peer` are log keys and values that identify the peer, as the peer sent them.
        """
        combination = (event, why, *peer.values())
        with self._lock:
            if monotonic() - self._minute_began > _MINUTE:
                self._minute_began = monotonic()
                self._counts = {}
            count = self._counts.get(combination, 0)
            is_new = count == 0
            if count >= _LINES_PER_MINUTE or (
                is_new and len(self._counts) >= _COMBINATIONS_PER_MINUTE
            ):
                self._left_out += 1
                return
            self._counts[combination] = count + 1
            left_out, self._left_out = self._left_out, 0
        printable = {key: _printable(text)[:64] for key, text in peer.items()}
        if left_out:
            log.warning(event, why=_printable(why), **printable, others_not_shown=left_out)
        else:
            log.warning(event, why=_printable(why), **printable)


def _printable(text: str) -> str:
    """Text of a peer without characters that could imitate another line of the log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
