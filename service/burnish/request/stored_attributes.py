"""Stage: what a peer reads of a request: counts, and the items of its sequences some at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from burnish.db.tables import (
    FailedInstance,
    FileSet,
    MediaCreationRequest,
    Piece,
    ReferencedInstance,
)
from burnish.vocabulary import PieceState


@dataclass(frozen=True)
class ItemKind:
    """A sequence of requests: the columns of its items."""

    request_id: InstrumentedAttribute[int]
    ordinal: InstrumentedAttribute[int]
    columns: tuple[InstrumentedAttribute[Any], ...]


#: SOP Class UID, SOP Instance UID, profile, Failure Reason, Failure Attributes.
FAILURES = ItemKind(
    FailedInstance.request_id,
    FailedInstance.ordinal,
    (
        FailedInstance.referenced_sop_class_uid,
        FailedInstance.referenced_sop_instance_uid,
        FailedInstance.requested_media_application_profile,
        FailedInstance.failure_reason,
        FailedInstance.failure_attributes,
    ),
)
#: SOP Class UID, SOP Instance UID, profile, item of the Icon Image Sequence.
REFERENCES = ItemKind(
    ReferencedInstance.request_id,
    ReferencedInstance.ordinal,
    (
        ReferencedInstance.referenced_sop_class_uid,
        ReferencedInstance.referenced_sop_instance_uid,
        ReferencedInstance.requested_media_application_profile,
        ReferencedInstance.icon_image_sequence,
    ),
)


def items(
    session: Session, kind: ItemKind, request_id: int, *, after: int, limit: int
) -> Sequence[Any]:
    """The first items whose ordinal is greater than `after`: the ordinal, then the columns."""
    return (
        session.connection()
        .execute(
            select(kind.ordinal, *kind.columns)
            .where(kind.request_id == request_id, kind.ordinal > after)
            .order_by(kind.ordinal)
            .limit(limit)
        )
        .all()
    )


class StoredRequest:
    """The counts of a request, read while its session is open."""

    def __init__(self, session: Session, request: MediaCreationRequest) -> None:
        self._session = session
        self.row = request

    def count(self, kind: ItemKind) -> int:
        """The number of items of a sequence."""
        query = select(func.count(kind.ordinal)).where(kind.request_id == self.row.id)
        return self._session.scalar(query) or 0

    def pieces_created(self) -> int:
        """The number of pieces that were created."""
        query = (
            select(func.count(Piece.id))
            .join(FileSet, Piece.file_set_id == FileSet.id)
            .where(FileSet.request_id == self.row.id, Piece.state == PieceState.CREATED)
        )
        return self._session.scalar(query) or 0

    def created_file_sets(self) -> list[tuple[str, str]]:
        """File-set ID and UID of each volume of which a piece was created."""
        is_created = exists().where(
            Piece.file_set_id == FileSet.id, Piece.state == PieceState.CREATED
        )
        rows = self._session.execute(
            select(FileSet.file_set_id, FileSet.file_set_uid)
            .where(FileSet.request_id == self.row.id, is_created)
            .order_by(FileSet.volume_number)
        )
        return [(row[0], row[1]) for row in rows]
