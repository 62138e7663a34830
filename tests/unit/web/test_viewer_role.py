"""A viewer sees the work, but nothing of the patients."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Instance
from burnish.values import AccountRole
from burnish.write.worker import Worker
from factories import instance
from web_client import SignedInClient, WebGround

_SECRETS = (
    "Lovelace",
    "P4711",
    "20240102",
    "2024-01-02",
    "for Ada",
    "Babbage",
    "LOVELACE_ADA",
    "0815-4711",
)
_PAGES = (
    "/",
    "/requests",
    "/requests/R000001",
    "/devices",
    "/register",
    "/register/M000001",
    "/peers",
)


@dataclass(frozen=True)
class _Visitors:
    """Browsers and programs that see a request of one patient that is done, and its medium."""

    viewer: SignedInClient
    desk: SignedInClient
    viewer_program: TestClient


@pytest.fixture(scope="module")
def visitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Visitors]:
    with WebGround(tmp_path_factory.mktemp("web")) as web:
        ada = instance(patient_name="Lovelace^Ada", patient_id="P4711")
        web.store(ada)
        with web.database.connection() as connection:
            rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
            StudyRecorder().note(connection, rows)
        web.admit(
            [ada],
            label_text="for Ada",
            media_disposition="Send to Dr. Babbage",
            storage_media_file_set_id="LOVELACE_ADA",
            barcode_value="0815-4711",
        )
        web.plan()
        Worker(web.settings, web.device, web.database, web.spool).make_all()
        yield _Visitors(
            web.signed_in(AccountRole.VIEWER),
            web.signed_in(AccountRole.DESK),
            web.token(AccountRole.VIEWER),
        )


def _told(text: str) -> list[str]:
    return [secret for secret in _SECRETS if secret in text]


#: The addresses of the REST API that tell a viewer of the work.
_OF_PROGRAMS = (
    "/api/v1/requests",
    "/api/v1/requests/R000001",
    "/api/v1/instances",
    "/api/v1/devices",
    "/api/v1/devices/outbox",
    "/api/v1/register",
    "/api/v1/register/M000001",
    "/api/v1/commitments",
    "/api/v1/notices",
    "/api/v1/spool",
)


@pytest.mark.parametrize("path", _PAGES)
def test_a_viewer_sees_no_patient(visitors: _Visitors, path: str) -> None:
    page = visitors.viewer.get(path)
    assert page.status_code == 200
    assert _told(page.text) == []


@pytest.mark.parametrize("path", _OF_PROGRAMS)
def test_a_program_with_the_role_viewer_gets_no_patient(visitors: _Visitors, path: str) -> None:
    answer = visitors.viewer_program.get(path)
    assert answer.status_code == 200
    assert _told(answer.text) == []


def test_the_register_does_not_tell_a_viewer_which_patients_it_has(visitors: _Visitors) -> None:
    """A search finds nothing more for a patient who is there than for one who is not."""
    page = visitors.viewer.get("/register?q=Lovelace").text
    assert page.replace("Lovelace", "Hopper") == visitors.viewer.get("/register?q=Hopper").text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/requests?patient=Lovelace",
        "/api/v1/instances?patient=Lovelace",
        "/api/v1/register?text=Lovelace",
        "/api/v1/register?patient=Lovelace",
        "/api/v1/register?barcode=4711",
        "/api/v1/search?q=Lovelace",
    ],
)
def test_a_viewer_cannot_search_by_patient(visitors: _Visitors, path: str) -> None:
    assert visitors.viewer_program.get(path).status_code == 403


def test_a_viewer_gets_no_instance_by_its_patient(visitors: _Visitors) -> None:
    viewer = visitors.viewer_program
    (listed,) = viewer.get("/api/v1/instances").json()["items"]
    answer = viewer.get(f"/api/v1/instances/{listed['sop_instance_uid']}")
    assert answer.status_code == 200
    assert _told(answer.text) == []


@pytest.mark.parametrize("path", ["/register", "/register/M000001", "/api/v1/register"])
def test_the_register_names_the_patient_to_somebody_at_the_desk(
    visitors: _Visitors, path: str
) -> None:
    page = visitors.desk.get(path)
    assert page.status_code == 200
    assert "Lovelace" in page.text
    assert "P4711" in page.text


def test_somebody_at_the_desk_sees_the_patient(visitors: _Visitors) -> None:
    page = visitors.desk.get("/requests/R000001")
    assert [secret for secret in _SECRETS if secret not in page.text] == ["20240102"]
