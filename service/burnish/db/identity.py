"""Ground: the identity of a database, by which it is known as the one of its spool."""

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from burnish.db.tables import DatabaseIdentity, Instance, MediaCreationRequest
from burnish.identifiers import new_uid


def identity(session: Session) -> str:
    """The identity of the database; "" if it has none yet."""
    return session.scalar(select(DatabaseIdentity.identity)) or ""


def set_identity(session: Session, value: str = "") -> str:
    """Give the database an identity, by default a new one; returns it."""
    row = session.get(DatabaseIdentity, 1)
    value = value or new_uid()
    if row is None:
        session.add(DatabaseIdentity(id=1, identity=value))
    else:
        row.identity = value
    session.flush()
    return value


def is_empty(session: Session) -> bool:
    """Whether the database has neither an instance nor a request."""
    has_rows = exists(select(Instance.id)) | exists(select(MediaCreationRequest.id))
    return not session.scalar(select(has_rows))


def has_live_instances(session: Session) -> bool:
    """Whether the database has an instance that should be in the spool."""
    return bool(session.scalar(select(exists().where(Instance.released_at.is_(None)))))


def last_request(session: Session) -> int:
    """The highest number of a request, 0 if there is none. The newest request is never deleted."""
    return session.scalar(select(func.max(MediaCreationRequest.id))) or 0
