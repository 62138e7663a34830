"""Stage: a program that asks twice for the same new request, because it got no answer, gets one."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from burnish.db.tables import IdempotencyKey, MediaCreationRequest
from burnish.errors import Conflict

#: How long a key is remembered.
KEPT = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RepeatedCall:
    """The marks by which a repeated call is recognized: the caller, the key, and the content.

    `caller` is the name of a program or person, wherever they call from.
    """

    caller: str
    key: str
    body: bytes

    @property
    def digest(self) -> str:
        """The form in which the key of this caller is kept."""
        return hashlib.sha256(f"{self.caller}\0{self.key}".encode()).hexdigest()

    @property
    def body_digest(self) -> str:
        """The form in which the content is kept."""
        return hashlib.sha256(self.body).hexdigest()


def earlier_request(session: Session, call: RepeatedCall) -> str | None:
    """The SOP Instance UID of the request that the same call created; None if there is none.

    Raises Conflict if the caller used the key for another request.
    """
    row = session.get(IdempotencyKey, call.digest)
    if row is None or row.at + KEPT <= datetime.now(UTC):
        return None
    if row.body_digest != call.body_digest:
        raise Conflict("the Idempotency-Key was used for another request", hint="use a new key")
    return session.get_one(MediaCreationRequest, row.request_id).sop_instance_uid


def remember(session: Session, call: RepeatedCall, request_id: int) -> None:
    """Remember what the caller has created.

    The same call at the same moment waits for this transaction, and then finds the request.
    """
    now = datetime.now(UTC)
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.at <= now - KEPT))
    session.add(
        IdempotencyKey(
            digest=call.digest, body_digest=call.body_digest, request_id=request_id, at=now
        )
    )
