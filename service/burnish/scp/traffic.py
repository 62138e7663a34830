"""Surface: counts associations and stored instances, and notes the contacts with peers.

Everything here is done in memory: no peer waits for it.
"""

from bisect import bisect_left

from burnish.access.peers import Caller
from burnish.contacts import Contact, ContactOutcome, ContactRecorder
from burnish.counters import (
    ASSOCIATIONS,
    RECEIVE_BUCKETS,
    RECEIVE_SECONDS,
    REJECTIONS,
    RESPONSES,
    Counters,
)
from burnish.scp.negotiation import Acceptance, Rejection
from burnish.settings import Settings

_BUCKET_KEYS = (
    *((RECEIVE_SECONDS, f"{bound:g}") for bound in RECEIVE_BUCKETS),
    (RECEIVE_SECONDS, "+Inf"),
)
#: The label of peers that are not configured: they can invent AE titles.
UNKNOWN_PEER = "(unknown)"
_SUCCESS = 0


def _success_of(label: str) -> tuple[str, str, str]:
    return RESPONSES, label, f"{_SUCCESS:04X}"


_SUCCESS_OF_UNKNOWN_PEER = _success_of(UNKNOWN_PEER)


class Traffic:
    """The traffic of the associations of one receiver."""

    def __init__(
        self,
        settings: Settings,
        counters: Counters | None = None,
        contacts: ContactRecorder | None = None,
    ) -> None:
        self._counters = counters
        self._contacts = contacts
        self._labels = {peer.ae_title: peer.ae_title for peer in settings.peer}
        self._successes = {title: _success_of(title) for title in self._labels}

    def stored(self, calling_ae_title: str, status: int, seconds: float) -> None:
        """A C-STORE is about to be answered, so long after its command."""
        counters = self._counters
        if counters is None:
            return
        if status == _SUCCESS:
            success = self._successes.get(calling_ae_title, _SUCCESS_OF_UNKNOWN_PEER)
            bucket = _BUCKET_KEYS[bisect_left(RECEIVE_BUCKETS, seconds)]
            counters.add_two(success, bucket, seconds)
        else:
            label = self._labels.get(calling_ae_title, UNKNOWN_PEER)
            counters.add((RESPONSES, label, f"{status:04X}"))

    def accepted(self, acceptance: Acceptance, caller: Caller) -> None:
        """An association was accepted."""
        if self._counters is not None:
            label = self._labels.get(acceptance.calling_ae_title, UNKNOWN_PEER)
            self._counters.add((ASSOCIATIONS, label))
        self._note(
            acceptance.calling_ae_title,
            acceptance.called_ae_title,
            caller,
            ContactOutcome.CONNECTED,
            user=acceptance.user,
        )

    def rejected(self, rejection: Rejection, body: bytes, caller: Caller) -> None:
        """An association was rejected; `body` is that of its A-ASSOCIATE-RQ."""
        if self._counters is not None:
            self._counters.add((REJECTIONS, rejection.name))
        called, calling = (
            field.decode("ascii", "replace").strip("\0 ") for field in (body[4:20], body[20:36])
        )
        self._note(calling, called, caller, ContactOutcome.REJECTED, detail=rejection.why)

    def ended(self, acceptance: Acceptance, caller: Caller, how: str, messages: int) -> None:
        """An accepted association has ended."""
        self._note(
            acceptance.calling_ae_title,
            acceptance.called_ae_title,
            caller,
            ContactOutcome.ENDED,
            detail=how,
            messages=messages,
            user=acceptance.user,
        )

    def not_established(self, calling_ae_title: str, caller: Caller, why: str) -> None:
        """A connection has ended before there was an association."""
        if self._counters is not None:
            self._counters.add((REJECTIONS, "connection without an association"))
        self._note(calling_ae_title, "", caller, ContactOutcome.FAILED, detail=why)

    def _note(
        self,
        calling: str,
        called: str,
        caller: Caller,
        outcome: ContactOutcome,
        *,
        detail: str = "",
        messages: int = 0,
        user: str = "",
    ) -> None:
        if self._contacts is None:
            return
        certificate = caller.certificate.fingerprint if caller.certificate else ""
        self._contacts.note(
            Contact(
                calling,
                called,
                caller.address,
                outcome,
                detail=detail,
                messages=messages,
                tls=caller.tls,
                certificate=certificate,
                user=user,
            )
        )
