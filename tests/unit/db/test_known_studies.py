"""Known studies: noted on arrival, kept for requests, deleted when nobody needs them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from burnish.db import known_studies, search_terms
from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Instance, KnownStudy, RequestStudy, SearchFill, SearchTerm
from burnish.request import operations
from factories import Ground, instance


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def rows(ground: Ground) -> list[Any]:
    with ground.database.reading() as session:
        return list(session.execute(select(*Instance.__table__.columns)).mappings())


def note(ground: Ground, recorder: StudyRecorder | None = None) -> None:
    """Note the studies of all instances that are here."""
    with ground.database.connection() as connection:
        (recorder or StudyRecorder()).note(connection, rows(ground))


def close(ground: Ground) -> int:
    with ground.database.writing() as session:
        return known_studies.close_requested(session, timedelta(0))


def studies(ground: Ground) -> list[KnownStudy]:
    with ground.database.reading() as session:
        return list(session.scalars(select(KnownStudy).order_by(KnownStudy.id)))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("Müller^Jürgen", "muller"),
        ("Müller^Jürgen", "mueller"),
        ("Müller^Jürgen", "MÜLLER"),
        ("MU\u0308LLER^Ju\u0308rgen", "müller"),
        ("Straße^Ørsted", "strasse"),
        ("Straße^Ørsted", "orsted"),
        ("Smith-Jones^Anne", "jones"),
        ("O'Brien^Conan", "brien"),
        ("Łukasz^Żółć", "zolc"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "山田太郎"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "たろう"),
        ("\uff94\uff8f\uff80\uff9e^\uff80\uff9b\uff73", "ヤマダ"),
        ("Петров^Пётр", "петр"),
        ("Διονυσιος", "ΔΙΟΝΥΣΙΟΣ"),
        ("قباني^لنزار", "لنزار"),
        ("김^희중", "희중"),
    ],
)
def test_a_name_is_found_whatever_its_case_accents_script_and_width(name: str, query: str) -> None:
    terms = search_terms.name_terms(name)
    assert all(
        any(term.startswith(word) for term in terms) for word in search_terms.words(query)
    ), (terms, search_terms.words(query))


def test_a_study_is_noted_once_with_all_its_modalities(ground: Ground) -> None:
    ground.store(
        instance(sop_instance_uid="1.2.3.1.1.1"),
        instance(sop_instance_uid="1.2.3.1.1.2"),
        instance(sop_instance_uid="1.2.3.1.1.3"),
    )
    with ground.database.writing() as session:
        session.execute(
            update(Instance).where(Instance.sop_instance_uid == "1.2.3.1.1.3").values(modality="SR")
        )
    recorder = StudyRecorder()
    note(ground, recorder)
    note(ground, recorder)
    (study,) = studies(ground)
    assert study.study_instance_uid == "1.2.3.1"
    assert study.modalities == "CT,SR"
    assert study.is_open
    with ground.database.reading() as session:
        terms = session.execute(select(SearchTerm.kind, SearchTerm.term)).all()
    assert sorted(terms) == [("n", "doe"), ("n", "jane"), ("p", "p1")]


def test_a_recorder_that_remembers_a_deleted_study_notes_it_again(ground: Ground) -> None:
    ground.store(instance())
    recorder = StudyRecorder()
    note(ground, recorder)
    with ground.database.writing() as session:
        session.execute(delete(KnownStudy))
        session.execute(update(Instance).values(received_at=datetime(2100, 1, 1, tzinfo=UTC)))
    note(ground, recorder)
    assert len(studies(ground)) == 1


def test_two_patients_of_one_study_are_two_studies(ground: Ground) -> None:
    ground.store(
        instance(sop_instance_uid="1.2.3.1.1.1"),
        instance(sop_instance_uid="1.2.3.1.1.2", patient_id="P2", patient_name="Roe^Richard"),
    )
    note(ground)
    assert [study.patient_id for study in studies(ground)] == ["P1", "P2"]


def test_a_study_is_open_until_all_its_instances_are_requested(ground: Ground) -> None:
    first, second = (
        instance(sop_instance_uid="1.2.3.1.1.1"),
        instance(sop_instance_uid="1.2.3.1.1.2"),
    )
    ground.store(first, second)
    note(ground)
    ground.create([first])
    assert close(ground) == 0
    uid = ground.create([second])
    assert close(ground) == 1
    assert not studies(ground)[0].is_open
    with ground.database.writing() as session:
        operations.cancel(session, uid)
    assert studies(ground)[0].is_open


def test_a_request_keeps_its_studies_when_the_instances_are_gone(ground: Ground) -> None:
    kept, dropped = (
        instance(),
        instance(study="1.2.2", series="1.2.2.1"),
    )
    newest = instance(study="1.2.9", series="1.2.9.1")
    ground.store(kept, dropped, newest)
    note(ground)
    ground.create([kept])
    with ground.database.writing() as session:
        session.execute(delete(Instance))
        assert known_studies.forget_unneeded(session, timedelta(0)) == 1
        assert known_studies.close_requested(session, timedelta(0)) == 2
    assert [study.study_instance_uid for study in studies(ground)] == ["1.2.3.1", "1.2.9"]
    assert not any(study.is_open for study in studies(ground))
    assert ground.count(RequestStudy) == 1


def test_the_studies_of_an_older_database_are_noted_in_steps(ground: Ground) -> None:
    instances = [
        instance(
            sop_instance_uid=f"1.2.{number}.1.1", study=f"1.2.{number}", series=f"1.2.{number}.1"
        )
        for number in range(1, 8)
    ]
    ground.store(*instances)
    ground.create(instances[:2])
    assert ground.count(KnownStudy) == 0
    steps = 0
    while known_studies.fill(ground.database, batch=3):
        steps += 1
        assert steps < 20
    assert steps > 2
    assert ground.count(KnownStudy) == 7
    assert ground.count(RequestStudy) == 2
    assert ground.count(SearchFill) == 1
    # what comes later is noted as it comes
    ground.store(instance(sop_instance_uid="1.2.9.1.1", study="1.2.9", series="1.2.9.1"))
    assert not known_studies.fill(ground.database)
    assert ground.count(KnownStudy) == 7


def test_a_known_study_tells_when_it_was_last_received(ground: Ground) -> None:
    earlier, later = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    ground.store(instance(), received_at=earlier)
    recorder = StudyRecorder()
    note(ground, recorder)
    with ground.database.writing() as session:
        session.execute(update(Instance).values(received_at=later))
    note(ground, recorder)
    (study,) = studies(ground)
    assert (study.first_received_at, study.last_received_at) == (earlier, later)
