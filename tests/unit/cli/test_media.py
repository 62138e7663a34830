"""`burnish media`: the register of media on the command line."""

from pathlib import Path

import pytest

from burnish import settings
from burnish.db import schema
from burnish.db.history import move_piece
from burnish.db.session import Database
from burnish.db.tables import Piece
from burnish.lifecycle import PieceEvent
from factories import add_request
from unit.cli.conftest import Run


@pytest.fixture
def piece_made(config: Path) -> None:
    """A piece of media that was made, with the bar code BC-77."""
    loaded = settings.read_settings(config)
    loaded.storage.root.mkdir()
    schema.upgrade(loaded.database_url)
    database = Database(loaded.database_url, durable=False)
    with database.writing() as session:
        request = add_request(session, barcode_value="BC-77", requested_by="AE PACS1")
        piece = session.get_one(Piece, 1)
        for event in (
            PieceEvent.CLAIMED,
            PieceEvent.IMAGED,
            PieceEvent.WRITTEN,
            PieceEvent.VERIFIED,
        ):
            move_piece(session, piece, event, request_id=request.id, device="outbox")
    database.close()


@pytest.mark.usefixtures("piece_made")
def test_media_are_listed_and_shown_by_bar_code(run: Run, config: Path) -> None:
    (line,) = run("media", "list", "--barcode", "BC-77", "--json", "--config", config).json["items"]
    assert line["name"] == "M000001"
    assert line["outcome"] == "created"
    table = run("media", "list", "--patient", "bc", "--config", config).out
    assert "M000001" in table
    assert (
        run("media", "list", "--since", "2099-01-01", "--json", "--config", config).json["items"]
        == []
    )
    shown = run("media", "show", "BC-77", "--config", config).out
    assert "AE PACS1" in shown
    assert "SET1" in shown


@pytest.mark.usefixtures("piece_made")
def test_notes_are_shown_with_who_wrote_them(run: Run, config: Path) -> None:
    given = ("media", "note", "BC-77", "--given-out-to", "Dr. Chen", "--config", config)
    assert run(*given).code == 0
    assert run("media", "note", "M1", "--destroyed", "--config", config).code == 0
    shown = run("media", "show", "SET1", "--config", config).out
    assert "given out to Dr. Chen, by command line (" in shown
    assert "destroyed" in shown
    facts = run("media", "show", "M1", "--json", "--config", config).json
    assert [note["kind"] for note in facts["notes"]] == ["given out to", "destroyed"]


@pytest.mark.usefixtures("piece_made")
def test_media_that_are_not_there_are_an_error(run: Run, config: Path) -> None:
    done = run("media", "show", "M000009", "--config", config)
    assert done.code != 0
    assert "M000009" in done.err
    assert run("media", "note", "M1", "--config", config).code != 0
