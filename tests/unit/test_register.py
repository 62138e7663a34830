"""The register of media: it knows every piece, for as long as its own retention says."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import delete, select, update

import burnish.burn
from burnish import register, retention
from burnish.burn import BurnOutcome, BurnResult
from burnish.db.tables import (
    Instance,
    MediaCreationRequest,
    RegisteredPiece,
    RegisteredStudy,
    RegisterNote,
    RegisterTerm,
)
from burnish.errors import Conflict, InvalidArgument, MissingValue, Unknown
from burnish.folding import terms
from burnish.plan.planner import Planner
from burnish.register import NoteKind, RegisterEntry, RegisterFilter
from burnish.settings import RequestSettings, RetentionSettings
from burnish.values import Actor
from burnish.vocabulary import PieceState
from burnish.write.worker import Worker
from factories import Ground, SampleInstance, instance
from query_plans import plan_of, remembered_statements
from scripted_burner import ScriptedBurner

DESK = Actor("cli", "anna")
YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    monkeypatch.setitem(burnish.burn.BURNERS, "folder", ScriptedBurner)
    with Ground(tmp_path, request=RequestSettings(attempts=2)) as ground:
        yield ground


@pytest.fixture
def worker(ground: Ground) -> Worker:
    return Worker(ground.settings, ground.device, ground.database, ground.spool)


def make(
    ground: Ground, worker: Worker, *samples: SampleInstance, copies: int = 1, **columns: str
) -> None:
    """Has the media of a request made."""
    ground.store(*samples)
    uid = ground.admit(samples, copies=copies)
    with ground.database.writing() as session:
        request = session.execute(
            select(MediaCreationRequest).where(MediaCreationRequest.sop_instance_uid == uid)
        ).scalar_one()
        for name, value in columns.items():
            setattr(request, name, value)
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker.make_all()


def listed(ground: Ground, **criteria: object) -> list[RegisterEntry]:
    with ground.database.reading() as session:
        return register.entries(session, RegisterFilter(**criteria), limit=100)  # type: ignore[arg-type]


def only(ground: Ground) -> RegisterEntry:
    (entry,) = listed(ground)
    return entry


def note(ground: Ground, name: str, kind: NoteKind, text: str) -> None:
    with ground.database.writing() as session:
        register.add_note(session, name, kind, text, actor=DESK)


def test_a_piece_that_is_created_is_in_the_register(ground: Ground, worker: Worker) -> None:
    samples = [
        instance(patient_name=YAMADA, patient_id="P7", birth_date="19700102", study="1.2.3"),
        instance(patient_name=YAMADA, patient_id="P7", study="1.2.4", series="1.2.4.1"),
    ]
    make(
        ground,
        worker,
        *samples,
        barcode_value="BC-77",
        label_text="for the clinic",
        requested_by="AE PACS1",
    )
    entry = only(ground)
    assert (entry.name, entry.outcome, entry.whereabouts) == ("M000001", "created", "made")
    assert entry.request == "R000001"
    assert entry.requested_by == "AE PACS1"
    assert (entry.volume_number, entry.volume_count) == (1, 1)
    assert (entry.copy_number, entry.number_of_copies) == (1, 1)
    assert (entry.device, entry.medium) == ("outbox", "CD")
    assert entry.media_application_profile == "STD-GEN-CD"
    assert (entry.barcode_value, entry.label_text) == ("BC-77", "for the clinic")
    assert entry.instances == 2
    assert entry.file_set_id
    assert entry.file_set_uid
    assert "compared byte for byte" in entry.verified
    assert "SHA-256" in entry.verified
    assert entry.patients == ((YAMADA, "P7"),)
    assert [study.study_instance_uid for study in entry.studies] == ["1.2.3", "1.2.4"]
    assert entry.studies[0].patient_birth_date == "19700102"
    assert entry.studies[0].modalities == "CT"


def test_each_copy_has_an_entry(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(), copies=2)
    assert [entry.copy_number for entry in listed(ground)] == [2, 1]


def test_a_piece_that_is_spoiled_is_in_the_register_with_the_reason(
    ground: Ground, worker: Worker
) -> None:
    assert isinstance(worker.burner, ScriptedBurner)
    worker.burner.results = [BurnResult(BurnOutcome.RUINED, "the laser failed")]
    make(ground, worker, instance())
    created, spoiled = listed(ground)
    assert created.outcome == "created"
    assert spoiled.outcome == "spoiled"
    assert spoiled.why == "the laser failed"
    assert spoiled.medium_begun
    assert spoiled.whereabouts == ""
    assert spoiled.verified == ""
    assert [entry.outcome for entry in listed(ground, outcome="spoiled")] == ["spoiled"]


def test_an_entry_is_found_by_what_people_know_of_a_disc(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(patient_name=YAMADA, patient_id="P7"), barcode_value="BC-77")
    make(ground, worker, instance(patient_name="Müller^Jürgen", patient_id="Q8", study="1.2.9"))
    muller, yamada = listed(ground)
    for text in ("muller", "MÜLLER", "jurgen m", "q8"):
        assert listed(ground, text=text) == [muller], text
    for text in ("山田", "tarou", "yamada^tarou", "p7", "bc-77", "BC-77 yam"):
        assert listed(ground, text=text) == [yamada], text
    assert listed(ground, text="tarou muller") == []
    assert listed(ground, barcode="BC-77") == [yamada]
    assert listed(ground, file_set=muller.file_set_id) == [muller]
    assert listed(ground, file_set=muller.file_set_uid) == [muller]
    assert listed(ground, study_instance_uid="1.2.9") == [muller]
    assert listed(ground, device="outbox", patient="q8") == [muller]
    assert listed(ground, device="other") == []
    assert listed(ground, since=datetime.now(UTC)) == []
    assert listed(ground, until=datetime.now(UTC)) == [muller, yamada]
    with pytest.raises(InvalidArgument):
        listed(ground, outcome="lost")


def test_pages_of_the_register_follow_each_other(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(), copies=5)
    every = [entry.id for entry in listed(ground)]
    with ground.database.reading() as session:
        first = register.entries(session, RegisterFilter(), limit=3)
        rest = register.entries(session, RegisterFilter(), limit=3, before=first[-1].id)
    assert [entry.id for entry in [*first, *rest]] == every


def test_an_entry_is_named_by_its_number_its_bar_code_or_its_file_set(
    ground: Ground, worker: Worker
) -> None:
    make(ground, worker, instance(), barcode_value="BC-77")
    entry = only(ground)
    with ground.database.reading() as session:
        for name in ("M000001", "m1", "BC-77", entry.file_set_id, entry.file_set_uid):
            assert register.entry(session, name) == entry
        with pytest.raises(Unknown):
            register.entry(session, "M000002")
        with pytest.raises(Unknown):
            register.entry(session, " ")


def test_a_name_that_several_pieces_share_names_them_all(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(), copies=2, barcode_value="BC-77")
    with ground.database.reading() as session, pytest.raises(Conflict, match=r"M000002, M000001"):
        register.entry(session, "BC-77")


def test_notes_say_where_a_piece_went_and_by_whom(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(), barcode_value="BC-77")
    note(ground, "BC-77", NoteKind.GIVEN_OUT, "Dr. Chen,  ward 3")
    assert only(ground).whereabouts == "given out to Dr. Chen, ward 3"
    note(ground, "M1", NoteKind.REMARK, "came back")
    note(ground, "M1", NoteKind.GIVEN_OUT, "the patient")
    assert only(ground).whereabouts == "given out to the patient"
    note(ground, "M1", NoteKind.DESTROYED, "")
    entry = only(ground)
    assert entry.whereabouts == "destroyed"
    assert [written.actor for written in entry.notes] == [str(DESK)] * 4
    with pytest.raises(Conflict):
        note(ground, "M1", NoteKind.GIVEN_OUT, "the patient")


@pytest.mark.parametrize(
    ("kind", "text", "error"),
    [
        (NoteKind.GIVEN_OUT, " ", MissingValue),
        (NoteKind.REMARK, "", MissingValue),
        (NoteKind.REMARK, "x" * 1001, InvalidArgument),
        (NoteKind.REMARK, "a\x1bb", InvalidArgument),
    ],
)
def test_a_note_has_text_that_can_be_printed(
    ground: Ground, worker: Worker, kind: NoteKind, text: str, error: type[Exception]
) -> None:
    make(ground, worker, instance())
    with pytest.raises(error):
        note(ground, "M1", kind, text)


def test_the_register_outlives_requests_and_instances(ground: Ground, worker: Worker) -> None:
    make(ground, worker, instance(), barcode_value="BC-77")
    make(ground, worker, instance())
    everything = RetentionSettings(
        instances_after_media=timedelta(0),
        finished_requests=timedelta(0),
        unrequested_instances=timedelta(0),
    )
    before = listed(ground)
    for _ in range(3):
        retention.release(ground.database, ground.spool, everything)
    with ground.database.reading() as session:
        assert (
            session.scalars(select(Instance.id).where(Instance.released_at.is_(None))).all() == []
        )
        assert session.scalars(select(MediaCreationRequest.id)).all() == [2]
    assert listed(ground) == before


def test_an_entry_goes_with_all_its_rows_when_its_time_is_over(
    ground: Ground, worker: Worker
) -> None:
    make(ground, worker, instance())
    make(ground, worker, instance())
    note(ground, "M1", NoteKind.REMARK, "on the shelf")
    with ground.database.writing() as session:
        old = datetime.now(UTC) - timedelta(days=3654)
        session.execute(update(RegisteredPiece).where(RegisteredPiece.id == 1).values(ended_at=old))
    retention.release(ground.database, ground.spool, RetentionSettings())
    assert [entry.name for entry in listed(ground)] == ["M000002"]
    with ground.database.reading() as session:
        for table in (RegisteredStudy, RegisterTerm, RegisterNote):
            left = select(table.registered_piece_id).distinct()
            assert 1 not in session.scalars(left).all()


def test_media_of_before_are_entered_once(ground: Ground, worker: Worker) -> None:
    assert isinstance(worker.burner, ScriptedBurner)
    worker.burner.results = [BurnResult(BurnOutcome.RUINED, "the laser failed")]
    make(ground, worker, instance())
    before = listed(ground)
    with ground.database.writing() as session:
        session.execute(delete(RegisteredPiece))
    assert register.fill(ground.database, timedelta(days=1)) == 2
    assert register.fill(ground.database, timedelta(days=1)) == 0
    assert [
        (entry.outcome, entry.why, entry.studies, entry.file_set_id) for entry in listed(ground)
    ] == [(entry.outcome, entry.why, entry.studies, entry.file_set_id) for entry in before]


def test_media_whose_time_in_the_register_is_over_are_not_entered_again(
    ground: Ground, worker: Worker
) -> None:
    make(ground, worker, instance())
    with ground.database.writing() as session:
        session.execute(delete(RegisteredPiece))
    assert register.fill(ground.database, timedelta(0)) == 0


def add_pieces(ground: Ground, names: list[str]) -> None:
    """Pieces of patients with these names, the newest last, three each with the same time."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    with ground.database.writing() as session:
        for number in range(1, len(names) + 1):
            session.add(
                RegisteredPiece(
                    id=number,
                    request_id=number,
                    piece_id=number,
                    request_sop_instance_uid=f"1.2.{number}",
                    requested_by="",
                    state=PieceState.SPOILED if number % 5 == 0 else PieceState.CREATED,
                    ended_at=began + timedelta(minutes=number // 3),
                    medium_begun=True,
                    file_set_id=f"DISC{number}",
                    file_set_uid=f"1.3.{number}",
                    volume_number=1,
                    volume_count=1,
                    copy_number=1,
                    number_of_copies=1,
                    media_application_profile="STD-GEN-CD",
                    medium="CD",
                    device=f"drive{number % 2}",
                    size=1,
                    instances=1,
                )
            )
        session.flush()
        for number, name in enumerate(names, 1):
            for term in terms(name):
                session.add(RegisterTerm(term=term, registered_piece_id=number))


@pytest.mark.parametrize(
    ("criteria", "index"),
    [
        (RegisterFilter(), "ended_at"),
        (RegisterFilter(device="drive1"), "device_ended_at"),
        (RegisterFilter(outcome="spoiled"), "state_ended_at"),
        (RegisterFilter(device="drive1", outcome="spoiled"), "device_state_ended_at"),
        (RegisterFilter(text="anna", device="drive1"), "device_ended_at"),
    ],
)
def test_the_register_goes_back_in_time_through_an_index_alone(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, criteria: RegisterFilter, index: str
) -> None:
    monkeypatch.setattr(register, "_FEW", 0)
    monkeypatch.setattr(register, "_LOOKED_AT", 2)
    add_pieces(ground, ["Anna"] * 20)
    with ground.database.reading() as session:
        with remembered_statements(session) as statements:
            assert register.entries(session, criteria, limit=2)
        ordered = [statement for statement in statements if "ended_at DESC" in statement[0]]
        plans = [plan_of(session, statement) for statement in ordered]
    by_index = f"registered_piece USING COVERING INDEX ix_registered_piece_{index}"
    assert any(by_index in step for steps in plans for step in steps), plans


def test_words_find_the_newest_pieces_however_frequent_they_are(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = ("Meyer", "Müller", "Mayr", "Schmidt")
    names = [f"{family[number % 4]} {'anna' if number % 3 else 'hans'}" for number in range(36)]
    names[:4] = ["Old Anna"] * 4
    add_pieces(ground, names)
    for few, looked_at in ((0, 2), (0, 10), (6, 2), (6, 20_000), (5000, 20_000)):
        monkeypatch.setattr(register, "_FEW", few)
        monkeypatch.setattr(register, "_LOOKED_AT", looked_at)
        check_each_question(ground, names)


def check_each_question(ground: Ground, names: list[str]) -> None:
    """Compares what the register finds, page by page, with what the names say."""
    for text in ("m", "me", "muller", "m a", "anna", "old", "old anna", "schmidt hans", "x", "m x"):
        wanted = [
            number
            for number in range(len(names), 0, -1)
            if all(
                any(word.startswith(part) for word in terms(names[number - 1]))
                for part in text.split()
            )
        ]
        for criteria, is_meant in (
            ({}, lambda _: True),
            ({"device": "drive1"}, lambda number: number % 2 == 1),
            ({"outcome": "spoiled"}, lambda number: number % 5 == 0),
            ({"device": "gone"}, lambda _: False),
        ):
            numbers: list[int] = []
            before = None
            with ground.database.reading() as session:
                while page := register.entries(
                    session, RegisterFilter(text=text, **criteria), limit=3, before=before
                ):
                    numbers += [entry.id for entry in page]
                    before = page[-1].id
            assert numbers == [number for number in wanted if is_meant(number)], (text, criteria)
