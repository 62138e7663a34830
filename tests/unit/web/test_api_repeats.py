"""Creation that is repeated, and lists that are read page by page."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select, update
from starlette.testclient import TestClient

from burnish.db.known_studies import StudyRecorder
from burnish.db.session import Database
from burnish.db.tables import Instance, KnownStudy, MediaCreationRequest, RegisteredPiece
from burnish.values import AccountRole
from burnish.web.app import create_app
from factories import instance
from web_client import WebGround

_AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def operator(web: WebGround) -> TestClient:
    return web.token(AccountRole.OPERATOR)


def _count(web: WebGround) -> int:
    with web.database.reading() as session:
        return session.scalar(select(func.count()).select_from(MediaCreationRequest)) or 0


def test_the_same_call_twice_at_a_time_makes_one_request(
    web: WebGround, operator: TestClient
) -> None:
    sample = instance()
    web.store(sample)
    body = {"instances": [sample.sop_instance_uid]}
    answers: list[Any] = []
    together = threading.Barrier(4)

    def create() -> None:
        together.wait()
        answers.append(
            operator.post("/api/v1/requests", json=body, headers={"Idempotency-Key": "a"})
        )

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert {answer.json()["short_id"] for answer in answers} == {"R000001"}
    assert _count(web) == 1


def test_the_same_call_after_a_restart_and_from_another_address_makes_no_second_request(
    web: WebGround, operator: TestClient
) -> None:
    sample = instance()
    web.store(sample)
    body = {"instances": [sample.sop_instance_uid]}
    key = {"Idempotency-Key": "a"}
    assert operator.post("/api/v1/requests", json=body, headers=key).status_code == 201
    web.database.close()
    web.database = Database(web.settings.database_url, durable=False)
    web.app = create_app(web.settings, web.database, web.spool)
    again = TestClient(web.app, client=("10.0.0.9", 1234))
    again.headers["authorization"] = operator.headers["authorization"]
    assert again.post("/api/v1/requests", json=body, headers=key).status_code == 200
    assert _count(web) == 1


def test_the_key_of_one_program_is_not_that_of_another(
    web: WebGround, operator: TestClient
) -> None:
    sample = instance()
    web.store(sample)
    body = {"instances": [sample.sop_instance_uid]}
    key = {"Idempotency-Key": "a"}
    other = web.token(AccountRole.DESK)
    for client in (operator, other):
        assert client.post("/api/v1/requests", json=body, headers=key).status_code == 201
    assert _count(web) == 2


def _read_all(client: TestClient, address: str, limit: int) -> list[Any]:
    items: list[Any] = []
    before: dict[str, str] = {}
    while True:
        page = client.get(address, params={"limit": limit, **before}).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        before = {"before": page["next"]}


@pytest.mark.parametrize("limit", [1, 7, 25, 50])
def test_arrivals_of_the_same_moment_are_each_listed_once(
    web: WebGround, operator: TestClient, limit: int
) -> None:
    samples = [instance(study=f"1.2.7.{number}", patient_id=f"P{number}") for number in range(50)]
    web.store(*samples)
    with web.database.connection() as connection:
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)
    with web.database.writing() as session:
        session.execute(update(KnownStudy).values(last_received_at=_AT))
    requested = [sample.sop_instance_uid for sample in samples[10:40]]
    body = {"instances": requested, "several_patients": True}
    assert operator.post("/api/v1/requests", json=body).status_code == 201
    with web.database.writing() as session:
        # what is marked as open although it is requested by now must not end a page early
        session.execute(update(KnownStudy).values(is_open=True))
    uids = [
        line["study"]["study_instance_uid"]
        for line in _read_all(operator, "/api/v1/arrivals", limit)
    ]
    assert len(uids) == len(set(uids))
    assert set(uids) == {f"1.2.7.{number}" for number in [*range(10), *range(40, 50)]}


def test_pieces_that_ended_at_the_same_moment_are_each_listed_once(
    web: WebGround, operator: TestClient
) -> None:
    with web.database.writing() as session:
        for number in range(50):
            session.add(
                RegisteredPiece(
                    piece_id=number + 1,
                    request_id=1,
                    request_sop_instance_uid="1.2.8",
                    state="CREATED",
                    ended_at=_AT,
                    requested_by="test",
                    file_set_id=f"SET{number}",
                    file_set_uid=f"1.2.9.{number}",
                    volume_number=1,
                    volume_count=1,
                    copy_number=1,
                    number_of_copies=1,
                    media_application_profile="STD-GEN-CD",
                    medium="CD",
                    device="outbox",
                    size=1,
                    instances=1,
                    medium_begun=True,
                )
            )
    names = [piece["name"] for piece in _read_all(operator, "/api/v1/register", 7)]
    assert names == [f"M{number:06d}" for number in range(50, 0, -1)]


@pytest.mark.parametrize("place", ["yesterday", "2026-11-28", "_", "2026-11-28T12:00:00_x", "_1"])
def test_a_place_that_no_list_has_given_is_refused(operator: TestClient, place: str) -> None:
    answer = operator.get("/api/v1/arrivals", params={"before": place})
    assert answer.status_code == 422
    assert answer.json()["remedy"]
