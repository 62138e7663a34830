"""Stage: how far a request is: the few attributes that a peer polls for by N-GET."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from burnish.db.tables import FileSet, MediaCreationRequest, Piece
from burnish.errors import Unknown
from burnish.vocabulary import ExecutionStatus, PieceState


class BriefStatus(NamedTuple):
    """The attributes of a request that change, and the character set of the others."""

    execution_status: str
    execution_status_info: str
    pieces_created: int
    is_initiated: bool
    number_of_copies: int
    request_priority: str
    specific_character_set: str


_PIECES_CREATED = (
    select(func.count())
    .select_from(Piece)
    .join(FileSet, Piece.file_set_id == FileSet.id)
    .where(
        FileSet.request_id == MediaCreationRequest.id,
        Piece.state == PieceState.CREATED,
    )
    .correlate(MediaCreationRequest)
    .scalar_subquery()
)
_BRIEF_STATUS = select(
    MediaCreationRequest.execution_status,
    MediaCreationRequest.execution_status_info,
    _PIECES_CREATED,
    MediaCreationRequest.initiated_at.is_not(None),
    MediaCreationRequest.number_of_copies,
    MediaCreationRequest.request_priority,
    MediaCreationRequest.specific_character_set,
)


def brief_status(session: Session, sop_instance_uid: str) -> BriefStatus:
    """The brief status of a request; raises Unknown, also for a request that was cancelled."""
    row = session.execute(
        _BRIEF_STATUS.where(
            MediaCreationRequest.sop_instance_uid == sop_instance_uid,
            MediaCreationRequest.execution_status != ExecutionStatus.DELETED,
        )
    ).one_or_none()
    if row is None:
        raise Unknown("no such Media Creation Request")
    return BriefStatus(*row)
