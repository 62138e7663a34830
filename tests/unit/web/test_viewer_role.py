"""A viewer sees the work, but nothing of the patients."""

import pytest
from sqlalchemy import select

from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Instance
from burnish.values import AccountRole
from factories import instance
from web_client import WebGround

_SECRETS = ("Lovelace", "P4711", "20240102", "2024-01-02", "for Ada")
_PAGES = ("/", "/requests", "/requests/R000001", "/devices", "/register", "/peers")


@pytest.fixture
def filled(web: WebGround) -> WebGround:
    """A request of one patient, planned, with a text for its label."""
    ada = instance(patient_name="Lovelace^Ada", patient_id="P4711")
    web.store(ada)
    with web.database.connection() as connection:
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)
    web.admit([ada], label_text="for Ada")
    web.plan()
    return web


@pytest.mark.parametrize("path", _PAGES)
def test_a_viewer_sees_no_patient(filled: WebGround, path: str) -> None:
    page = filled.signed_in(AccountRole.VIEWER).get(path)
    assert page.status_code == 200
    assert [secret for secret in _SECRETS if secret in page.text] == []


def test_somebody_at_the_desk_sees_the_patient(filled: WebGround) -> None:
    page = filled.signed_in(AccountRole.DESK).get("/requests/R000001")
    assert [secret for secret in _SECRETS if secret not in page.text] == ["20240102"]
