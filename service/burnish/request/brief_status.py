"""Stage: how far a request is, which a peer that polls asks a hundred times for each disc."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, select

from burnish.db.lookup import Lookup
from burnish.db.session import Database
from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.errors import Unknown
from burnish.vocabulary import ExecutionStatus, PieceState

_PIECES_CREATED = (
    select(func.count())
    .select_from(Piece)
    .join(FileSet, Piece.file_set_id == FileSet.id)
    .where(FileSet.request_id == MediaCreationRequest.id, Piece.state == PieceState.CREATED)
    .correlate(MediaCreationRequest)
    .scalar_subquery()
)
_PROGRESS = select(
    MediaCreationRequest.execution_status,
    MediaCreationRequest.execution_status_info,
    _PIECES_CREATED,
    MediaCreationRequest.initiated_at.is_not(None),
    MediaCreationRequest.number_of_copies,
    MediaCreationRequest.request_priority,
    MediaCreationRequest.specific_character_set,
).where(
    MediaCreationRequest.sop_instance_uid == bindparam("uid"),
    MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
)


class Progress(NamedTuple):
    """What changes about a request, and the character set of the rest."""

    execution_status: str
    execution_status_info: str
    pieces_created: int
    is_initiated: bool
    number_of_copies: int
    request_priority: str
    specific_character_set: str


def lookup(database: Database) -> Lookup:
    """What `find` asks."""
    return database.lookup(_PROGRESS)


def find(lookup: Lookup, sop_instance_uid: str) -> Progress:
    """How far the request of that UID is; raises Unknown, also for one that was cancelled."""
    row = lookup.first(uid=sop_instance_uid)
    if row is None:
        raise Unknown("no such Media Creation Request")
    return Progress._make(row)
