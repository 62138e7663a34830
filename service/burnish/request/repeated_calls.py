"""Stage: a program that asks twice for the same new request, because it got no answer, gets one."""

import hashlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from burnish.db.tables import IdempotencyKey, MediaCreationRequest
from burnish.errors import Conflict, NotNow

#: How long a key is remembered.
KEPT = timedelta(days=7)


def earlier_request(session: Session, caller: str, key: str, body: bytes) -> str | None:
    """The SOP Instance UID of the request that a caller created with a key; None if there is none.

    Raises Conflict if the caller used the key for another request.
    """
    row = session.get(IdempotencyKey, _digest(caller, key))
    if row is None or row.at + KEPT <= datetime.now(UTC):
        return None
    if row.body_digest != hashlib.sha256(body).hexdigest():
        raise Conflict("the Idempotency-Key was used for another request", hint="use a new key")
    return session.get_one(MediaCreationRequest, row.request_id).sop_instance_uid


def remember(session: Session, caller: str, key: str, body: bytes, request_id: int) -> None:
    """Remember the key of a request; raises NotNow if the same is being created at this moment."""
    now = datetime.now(UTC)
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.at <= now - KEPT))
    session.add(
        IdempotencyKey(
            digest=_digest(caller, key),
            body_digest=hashlib.sha256(body).hexdigest(),
            request_id=request_id,
            at=now,
        )
    )
    try:
        session.flush()
    except IntegrityError:
        raise NotNow(
            "a request with this Idempotency-Key is being created", hint="ask again"
        ) from None


def _digest(caller: str, key: str) -> str:
    return hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()
