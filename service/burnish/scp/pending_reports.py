"""Surface: what we ask of a peer on its own association, after we have answered it."""

from collections import deque
from contextlib import suppress
from typing import Protocol

from burnish.errors import BurnishError
from burnish.scp.messages import Command

#: A peer that has been silent for so long is not about to release; it may be told something.
SILENCE = 0.5


class FollowUp(Protocol):
    """A request of ours that follows one of the peer's."""

    def message(self, message_id: int) -> bytes | None:
        """Whole P-DATA-TF PDUs; b"" where there is nothing to send yet, None where never."""

    def answered(self, response: Command) -> None: ...

    def dropped(self) -> None:
        """The association ended without an answer."""


class FollowUps:
    """What is owed to the peer of one association: one request at a time."""

    def __init__(self) -> None:
        self._owed: deque[FollowUp] = deque()
        self._sent: FollowUp | None = None

    def add(self, follow_up: FollowUp) -> None:
        self._owed.append(follow_up)

    @property
    def due(self) -> bool:
        """Whether something is owed, and nothing is awaited."""
        return bool(self._owed) and self._sent is None

    def message(self, message_id: int) -> bytes:
        """The next request, b"" where there is nothing to send yet."""
        message = self._owed[0].message(message_id)
        if message == b"":
            return b""
        follow_up = self._owed.popleft()
        self._sent = follow_up if message else None
        return message or b""

    def take(self, response: Command) -> bool:
        """Takes the answer to what was sent; False where nothing was."""
        if self._sent is None:
            return False
        sent, self._sent = self._sent, None
        with suppress(BurnishError):  # what cannot be noted now is sent once more
            sent.answered(response)
        return True

    def drop(self) -> None:
        """The association has ended."""
        for follow_up in ([self._sent] if self._sent else []) + list(self._owed):
            with suppress(BurnishError):
                follow_up.dropped()
