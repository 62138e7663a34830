"""Ground: the state machines of requests and of pieces, as tables of permitted changes."""

from enum import StrEnum
from typing import TypeVar

from burnish.errors import NotNow
from burnish.vocabulary import ExecutionStatus as R
from burnish.vocabulary import PieceState as P


class RequestEvent(StrEnum):
    """The events in the life of a Media Creation Request."""

    INITIATED = "INITIATED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    STARTED = "STARTED"
    COMPLETED = "COMPLETED"
    RETRIED = "RETRIED"
    REPLANNED = "REPLANNED"


class PieceEvent(StrEnum):
    """The events in the life of a piece of media."""

    CLAIMED = "CLAIMED"
    IMAGED = "IMAGED"
    WRITTEN = "WRITTEN"
    VERIFIED = "VERIFIED"
    RETURNED = "RETURNED"
    RUINED = "RUINED"
    CANCELLED = "CANCELLED"


class Custody(StrEnum):
    """The fate of a piece whose worker dies while the device is writing it.

    AGAIN: nothing is lost, and it is written again. RUINED: its medium is lost, and another one is
    written. FOLLOWED: the device goes on by itself, and a new worker follows its job by name.
    """

    AGAIN = "AGAIN"
    RUINED = "RUINED"
    FOLLOWED = "FOLLOWED"


#: PS3.4 S.3.2.1.3, S.3.2.2.3, S.3.2.3.3. RETRIED and REPLANNED are not in the standard: an
#: administrator may do the first, a peer may not; the second is the answer to a plan out of date.
REQUEST: dict[tuple[R, RequestEvent], R] = {
    (R.IDLE, RequestEvent.INITIATED): R.PENDING,
    (R.IDLE, RequestEvent.FAILED): R.FAILURE,
    (R.IDLE, RequestEvent.CANCELLED): R.DELETED,
    (R.PENDING, RequestEvent.STARTED): R.CREATING,
    (R.PENDING, RequestEvent.FAILED): R.FAILURE,
    (R.PENDING, RequestEvent.CANCELLED): R.DELETED,
    (R.CREATING, RequestEvent.COMPLETED): R.DONE,
    (R.CREATING, RequestEvent.FAILED): R.FAILURE,
    (R.CREATING, RequestEvent.CANCELLED): R.DELETED,
    (R.CREATING, RequestEvent.REPLANNED): R.PENDING,
    (R.FAILURE, RequestEvent.RETRIED): R.PENDING,
}

PIECE: dict[tuple[P, PieceEvent], P] = {
    (P.QUEUED, PieceEvent.CLAIMED): P.IMAGING,
    (P.QUEUED, PieceEvent.CANCELLED): P.DROPPED,
    (P.IMAGING, PieceEvent.IMAGED): P.WRITING,
    (P.IMAGING, PieceEvent.RETURNED): P.QUEUED,
    (P.IMAGING, PieceEvent.CANCELLED): P.DROPPED,
    (P.IMAGING, PieceEvent.RUINED): P.SPOILED,
    (P.WRITING, PieceEvent.WRITTEN): P.VERIFYING,
    (P.WRITING, PieceEvent.RETURNED): P.QUEUED,
    (P.WRITING, PieceEvent.RUINED): P.SPOILED,
    (P.WRITING, PieceEvent.CANCELLED): P.SPOILED,
    (P.VERIFYING, PieceEvent.VERIFIED): P.CREATED,
    (P.VERIFYING, PieceEvent.RETURNED): P.QUEUED,
    (P.VERIFYING, PieceEvent.RUINED): P.SPOILED,
    (P.VERIFYING, PieceEvent.CANCELLED): P.SPOILED,
}

State = TypeVar("State", R, P)
Event = TypeVar("Event", RequestEvent, PieceEvent)


def advance(machine: dict[tuple[State, Event], State], state: State, event: Event) -> State:
    """The state after `event`; raises NotNow if the table does not permit it."""
    try:
        return machine[state, event]
    except KeyError:
        raise NotNow(f"{event} is not possible while {state}") from None
