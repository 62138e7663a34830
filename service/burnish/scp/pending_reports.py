"""Surface: requests that Burnish sends on the association of a peer, after it has responded.

The only such request is the N-EVENT-REPORT of Storage Commitment (PS3.4 J.3.3).
"""

from collections import deque
from contextlib import suppress
from typing import Protocol

from burnish.errors import BurnishError
from burnish.scp.messages import Command

#: Seconds of silence after which a report may be sent: the peer is not about to release then.
SILENCE = 0.5


class PendingReport(Protocol):
    """A report that follows the response to a request of the peer."""

    def message(self, message_id: int) -> bytes | None:
        """The report as P-DATA-TF PDUs; b"" if it is not ready, None if there is none to send."""

    def receive_response(self, response: Command) -> None:
        """The peer has responded to the report."""

    def drop(self) -> None:
        """The association has ended without a response."""


class PendingReports:
    """The reports for the peer of one association, of which one at a time awaits a response."""

    def __init__(self) -> None:
        self._waiting: deque[PendingReport] = deque()
        self._sent: PendingReport | None = None

    def add(self, report: PendingReport) -> None:
        self._waiting.append(report)

    @property
    def may_send(self) -> bool:
        """Whether a report is waiting and no other awaits a response."""
        return bool(self._waiting) and self._sent is None

    def next_message(self, message_id: int) -> bytes:
        """The next report as P-DATA-TF PDUs, b"" if there is nothing to send now."""
        message = self._waiting[0].message(message_id)
        if message == b"":
            return b""
        report = self._waiting.popleft()
        if message is None:
            return b""
        self._sent = report
        return message

    def receive_response(self, response: Command) -> bool:
        """Takes the response to the report that was sent; False if no response is awaited."""
        if self._sent is None:
            return False
        report = self._sent
        self._sent = None
        with suppress(BurnishError):  # a response that cannot be recorded: the report is sent again
            report.receive_response(response)
        return True

    def drop(self) -> None:
        """Drops all reports, because the association has ended."""
        reports = list(self._waiting)
        if self._sent is not None:
            reports.insert(0, self._sent)
        for report in reports:
            with suppress(BurnishError):
                report.drop()
