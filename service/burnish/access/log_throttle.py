"""Ground: refusals in the log: each once with who and why, a flood of them in short."""

import threading
from time import monotonic

import structlog

log = structlog.get_logger(__name__)

#: So many lines a minute of one who and why; how many more there were is said with the next.
_LINES = 10
_MINUTE = 60.0
#: So many different ones are told apart in a minute; AE titles can be made up.
_KINDS = 1000


class Refusals:
    """What was refused lately, to whom and why."""

    def __init__(self) -> None:
        self._since = monotonic()
        self._seen: dict[tuple[str, ...], int] = {}
        self._passed_over = 0
        self._lock = threading.Lock()

    def tell(self, event: str, *, why: str, **who: str) -> None:
        """One warning, unless there were many of the same within the minute."""
        key = (event, why, *who.values())
        with self._lock:
            if monotonic() - self._since > _MINUTE:
                self._since, self._seen = monotonic(), {}
            count = self._seen.get(key, 0)
            if count >= _LINES or (not count and len(self._seen) >= _KINDS):
                self._passed_over += 1
                return
            self._seen[key] = count + 1
            passed_over, self._passed_over = self._passed_over, 0
        more = {"others_not_shown": passed_over} if passed_over else {}
        log.warning(event, why=why, **{name: _shown(text) for name, text in who.items()}, **more)


def _shown(text: str) -> str:
    """What a peer calls itself, without what could pass for something else in a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:64]
