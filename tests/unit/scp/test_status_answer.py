"""What is said of how far a request is equals, byte for byte, what everything about it says."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import pytest
from sqlalchemy import update

from burnish.db.tables import Piece
from burnish.errors import OutOfResources, Unknown
from burnish.request import operations
from burnish.request.brief_status import BriefStatus, brief_status
from burnish.scp import attributes, status_answer
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, PieceState
from factories import Ground, add_request

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as made:
        yield made


def read_brief_status(ground: Ground, uid: str) -> BriefStatus:
    with ground.database.reading() as session:
        return brief_status(session, uid)


@pytest.mark.parametrize("character_set", ["", "ISO_IR 100", "ISO 2022 IR 6\\ISO 2022 IR 87"])
@pytest.mark.parametrize(
    "initiated_at", [None, datetime(2026, 1, 1, tzinfo=UTC)], ids=["idle", "initiated"]
)
def test_the_same_answer_with_next_to_no_work(
    ground: Ground, character_set: str, initiated_at: datetime | None
) -> None:
    with ground.database.writing() as session:
        uid = add_request(
            session,
            volumes=3,
            copies=2,
            initiated_at=initiated_at,
            specific_character_set=character_set,
            execution_status_info=ExecutionStatusInfo.OUT_OF_SUPPLIES,
            label_text="Müller",
        ).sop_instance_uid
        add_request(session, volumes=2)
        session.execute(
            update(Piece).where(Piece.file_set_id.in_((1, 3, 4))).values(state=PieceState.CREATED)
        )
    found = read_brief_status(ground, uid)
    assert found.pieces_created == 4
    with ground.database.reading() as session:
        request = operations.get_request(session, uid)
        for count in range(1, len(status_answer.TAGS) + 1):
            for tags in combinations(status_answer.TAGS, count):
                whole, supported = attributes.select(attributes.present(request, tags), list(tags))
                assert supported
                for syntax in SYNTAXES:
                    assert status_answer.encode(found, tags, syntax) == attributes.encode(
                        whole, syntax
                    )


def test_a_request_that_is_not_there_or_was_cancelled(ground: Ground) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, status=ExecutionStatus.DELETED).sop_instance_uid
    for name in (uid, "1.2.3"):
        with pytest.raises(Unknown, match="no such Media Creation Request"):
            read_brief_status(ground, name)


def test_a_database_that_does_not_answer(ground: Ground) -> None:
    with ground.database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE media_creation_request RENAME TO gone")
    with pytest.raises(OutOfResources, match="does not answer: no such table"):
        read_brief_status(ground, "1.2.3")
