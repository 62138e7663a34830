"""The answers to N-GET of requests with more items than are read at a time."""

import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from sqlalchemy import Engine, delete, event, update

from burnish.db.tables import FailedInstance, MediaCreationRequest, Piece
from burnish.errors import Conflict, Unknown
from burnish.request import operations
from burnish.request.operations import NewRequest, Reference
from burnish.scp import attributes, request_attributes
from burnish.scp.request_attributes import RequestAttributes
from burnish.vocabulary import PieceState
from factories import CT, Ground, add_request

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE = 0x00081199, 0x00081198
EXECUTION_STATUS, TOTAL_PIECES = 0x21000020, 0x2200000B
LABEL_TEXT, MEDIA_DISPOSITION, SPECIFIC_CHARACTER_SET = 0x22000002, 0x22000004, 0x00080005


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


@pytest.fixture
def seven_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_attributes, "_ITEMS_AT_A_TIME", 7)


def icon() -> bytes:
    data_set = Dataset()
    data_set.Rows = 64
    return attributes.encode(data_set, EXPLICIT)


def ask(ground: Ground, count: int, *, failures: int = 0, **values: str) -> str:
    """A request with references, every third with a profile, every fifth with an icon."""
    references = [
        Reference(
            CT,
            f"1.2.3.{number}",
            "STD-GEN-CD" if number % 3 == 0 else "STD-GEN-DVD-JPEG",
            icon() if number % 5 == 0 else None,
        )
        for number in range(count)
    ]
    with ground.database.writing() as session:
        request = operations.create(
            session, ground.settings.request, NewRequest(references, values), origin="test"
        )
        session.add_all(
            FailedInstance(
                request_id=request.id,
                ordinal=number,
                referenced_sop_class_uid=CT,
                referenced_sop_instance_uid=f"1.2.3.{number}",
                requested_media_application_profile="STD-GEN-CD" if number % 2 else "",
                failure_reason=0x0112 + number,
                failure_attributes="00100010 00280010" if number % 2 else "",
            )
            for number in range(failures)
        )
        return request.sop_instance_uid


def answer(ground: Ground, uid: str, tags: Collection[int] = (), syntax: str = EXPLICIT) -> Dataset:
    pieces = RequestAttributes(ground.database).encoded(uid, syntax, tags)
    return attributes.decode(b"".join(pieces), syntax)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
@pytest.mark.parametrize("count", [1, 6, 7, 8, 14, 15, 30])
def test_an_answer_in_pieces_has_every_item_in_order(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, count: int, syntax: str
) -> None:
    uid = ask(ground, count, failures=count - 1, label_text="Ärzte")
    whole = answer(ground, uid, syntax=syntax)
    monkeypatch.setattr(request_attributes, "_ITEMS_AT_A_TIME", 7)
    pieces = list(RequestAttributes(ground.database).encoded(uid, syntax))
    assert (len(pieces) > 1) == (count > 7)
    in_pieces = attributes.decode(b"".join(pieces), syntax)
    for data_set in (whole, in_pieces):
        references = data_set.ReferencedSOPSequence
        assert [item.ReferencedSOPInstanceUID for item in references] == [
            f"1.2.3.{number}" for number in range(count)
        ]
        assert {item.ReferencedSOPClassUID for item in references} == {CT}
        assert [item.RequestedMediaApplicationProfile for item in references] == [
            "STD-GEN-CD" if number % 3 == 0 else "STD-GEN-DVD-JPEG" for number in range(count)
        ]
        icons = [
            item.IconImageSequence[0].Rows for item in references if "IconImageSequence" in item
        ]
        assert icons == [64] * ((count + 4) // 5)
        failed = data_set.FailedSOPSequence
        assert [item.FailureReason for item in failed] == [
            0x0112 + number for number in range(count - 1)
        ]
        for number, item in enumerate(failed):
            assert ("RequestedMediaApplicationProfile" in item) == bool(number % 2)
            tags = [int(tag) for tag in item.get("FailureAttributes", ())]
            assert tags == ([0x00100010, 0x00280010] if number % 2 else [])
        assert data_set.LabelText == "Ärzte"
        assert data_set.ExecutionStatus == "IDLE"


@pytest.mark.usefixtures("seven_at_a_time")
def test_only_the_sequence_that_is_asked_for_is_read(ground: Ground) -> None:
    uid = ask(ground, 20, failures=20)
    assert [e.tag for e in answer(ground, uid, [REFERENCED_SOP_SEQUENCE])] == [
        REFERENCED_SOP_SEQUENCE
    ]
    assert [e.tag for e in answer(ground, uid, [FAILED_SOP_SEQUENCE])] == [FAILED_SOP_SEQUENCE]
    assert [e.tag for e in answer(ground, uid, [EXECUTION_STATUS])] == [EXECUTION_STATUS]


def encoded_items(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SOP Instance UIDs of the references that are encoded from now on."""
    uids: list[str] = []
    encode = request_attributes.ItemEncoder.reference

    def reference(self: Any, sop_class_uid: str, sop_instance_uid: str, *values: Any) -> bytes:
        uids.append(sop_instance_uid)
        return encode(self, sop_class_uid, sop_instance_uid, *values)

    monkeypatch.setattr(request_attributes.ItemEncoder, "reference", reference)
    return uids


@pytest.mark.usefixtures("seven_at_a_time")
def test_peers_that_ask_at_the_same_time_share_the_encoded_items(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = ask(ground, 100)
    uids = encoded_items(monkeypatch)
    reader = RequestAttributes(ground.database)
    answers: list[bytes] = []

    def read() -> None:
        answers.append(b"".join(reader.encoded(uid, EXPLICIT)))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(answers) == 8
    assert len(set(answers)) == 1
    assert sorted(uids) == sorted(f"1.2.3.{number}" for number in range(100))


@pytest.mark.usefixtures("seven_at_a_time")
def test_another_transfer_syntax_and_another_request_have_answers_of_their_own(
    ground: Ground,
) -> None:
    first, second = ask(ground, 20), ask(ground, 21)
    reader = RequestAttributes(ground.database)
    for _ in range(2):
        for uid, count in ((first, 20), (second, 21)):
            for syntax in (EXPLICIT, IMPLICIT, BIG):
                data_set = attributes.decode(b"".join(reader.encoded(uid, syntax)), syntax)
                assert len(data_set.ReferencedSOPSequence) == count


@pytest.mark.usefixtures("seven_at_a_time")
def test_references_that_are_added_later_are_in_the_next_answer(ground: Ground) -> None:
    uid = ask(ground, 20)
    reader = RequestAttributes(ground.database)
    for count in (20, 21):
        data_set = attributes.decode(b"".join(reader.encoded(uid, EXPLICIT)), EXPLICIT)
        assert len(data_set.ReferencedSOPSequence) == count
        with ground.database.writing() as session:
            operations.add_references(
                session,
                operations.get_request(session, uid),
                [Reference(CT, "1.2.4")],
                default_profile="STD-GEN-CD",
                first_ordinal=count,
            )


@pytest.mark.usefixtures("seven_at_a_time")
def test_failures_of_another_attempt_are_in_the_next_answer(ground: Ground) -> None:
    uid = ask(ground, 20, failures=20)
    reader = RequestAttributes(ground.database)
    for reason in (0x0112, 0x0119):
        with ground.database.writing() as session:
            request = operations.get_request(session, uid)
            session.execute(update(FailedInstance).values(failure_reason=reason))
            request.ended_at = request.created_at.replace(year=2000 + reason)
        data_set = attributes.decode(b"".join(reader.encoded(uid, EXPLICIT)), EXPLICIT)
        assert {item.FailureReason for item in data_set.FailedSOPSequence} == {reason}


@pytest.mark.usefixtures("seven_at_a_time")
def test_the_encoded_items_that_are_kept_have_a_limit(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_attributes, "_KEPT_BYTES", 2000)
    uid = ask(ground, 100)
    uids = encoded_items(monkeypatch)
    reader = RequestAttributes(ground.database)
    first = b"".join(reader.encoded(uid, EXPLICIT))
    assert b"".join(reader.encoded(uid, EXPLICIT)) == first
    assert len(uids) == 200
    kept = reader._kept_items
    assert kept._bytes == sum(len(content) for content, _, _ in kept._items.values())
    assert 0 < kept._bytes <= 2000


@pytest.mark.usefixtures("seven_at_a_time")
def test_work_ends_with_the_pieces_that_are_taken(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = ask(ground, 100)
    uids = encoded_items(monkeypatch)
    pieces = iter(RequestAttributes(ground.database).encoded(uid, EXPLICIT))
    while not uids:
        next(pieces)
    assert len(uids) == 7


@pytest.mark.usefixtures("seven_at_a_time")
def test_an_answer_whose_request_is_deleted_meanwhile_cannot_be_completed(ground: Ground) -> None:
    uid = ask(ground, 100)
    pieces = iter(RequestAttributes(ground.database).encoded(uid, EXPLICIT))
    for _ in range(5):
        next(pieces)
    with ground.database.writing() as session:
        session.execute(delete(MediaCreationRequest))
    with pytest.raises(Conflict):
        list(pieces)


def test_a_request_that_does_not_exist_is_unknown_before_a_piece_is_taken(ground: Ground) -> None:
    with pytest.raises(Unknown):
        RequestAttributes(ground.database).encoded("1.2.9", EXPLICIT)


def test_an_answer_without_any_attribute_is_empty(ground: Ground) -> None:
    uid = ask(ground, 2)
    assert list(RequestAttributes(ground.database).encoded(uid, EXPLICIT, [0x00100010])) == []


# --- polls, and Specific Character Set -----------------------------------------------------------


@pytest.mark.parametrize("volumes", [1, 30])
def test_a_poll_of_the_pieces_takes_two_statements_however_many_volumes_there_are(
    ground: Ground, volumes: int
) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, volumes=volumes, copies=2).sop_instance_uid
        session.execute(update(Piece).values(state=PieceState.CREATED))
    statements: list[str] = []

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.extend([statement] if statement.startswith("SELECT") else [])

    event.listen(Engine, "before_cursor_execute", count)
    try:
        data_set = answer(ground, uid, [TOTAL_PIECES])
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert data_set.TotalNumberOfPiecesOfMediaCreated == 2 * volumes
    assert len(statements) == 2


@pytest.mark.parametrize(
    ("tags", "has_character_set"),
    [
        ([], True),
        ([LABEL_TEXT], True),
        ([EXECUTION_STATUS, MEDIA_DISPOSITION], False),  # it is empty
        ([EXECUTION_STATUS], False),
        ([SPECIFIC_CHARACTER_SET, EXECUTION_STATUS], False),
        ([REFERENCED_SOP_SEQUENCE], False),
    ],
)
def test_specific_character_set_is_there_if_the_answer_has_text(
    ground: Ground, tags: list[int], has_character_set: bool
) -> None:
    uid = ask(ground, 2, label_text="text", specific_character_set="ISO_IR 100")
    assert ("SpecificCharacterSet" in answer(ground, uid, tags)) == has_character_set


def test_an_answer_without_text_has_no_specific_character_set(ground: Ground) -> None:
    uid = ask(ground, 2, specific_character_set="ISO_IR 100")
    assert "SpecificCharacterSet" not in answer(ground, uid)
