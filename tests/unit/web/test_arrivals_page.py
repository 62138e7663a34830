"""The page Arrivals, and the form that makes a disc of chosen studies."""

import pytest
from sqlalchemy import select

from burnish.db.known_studies import StudyRecorder
from burnish.db.tables import Instance, KnownStudy, MediaCreationRequest, ReferencedInstance
from burnish.values import AccountRole
from burnish.vocabulary import ExecutionStatus, RequestPriority
from factories import instance
from web_client import WebGround

SCRIPT = "<script>alert(1)</script>"
DEFAULTS = {"copies": "1", "priority": "MED", "device": "", "label_text": ""}


def _note_studies(web: WebGround) -> None:
    """What a receiver does with the rows of instances."""
    with web.database.connection() as connection:
        rows = connection.execute(select(*Instance.__table__.columns)).mappings().all()
        StudyRecorder().note(connection, rows)


@pytest.fixture
def filled(web: WebGround) -> WebGround:
    """Two studies of Ada and one of Charles."""
    ada = {"patient_name": "Lovelace^Ada", "patient_id": "P4711"}
    web.store(
        instance(**ada, study="1.2.1"),
        instance(**ada, study="1.2.2", study_date="20250607"),
        instance(patient_name=f"Babbage^{SCRIPT}", patient_id="77", study="1.2.3"),
    )
    _note_studies(web)
    return web


def ids_of(web: WebGround) -> dict[str, int]:
    """The ids of the known studies by Study Instance UID."""
    with web.database.reading() as session:
        rows = session.execute(select(KnownStudy.study_instance_uid, KnownStudy.id)).all()
    return {row.study_instance_uid: row.id for row in rows}


def requests_of(web: WebGround) -> list[MediaCreationRequest]:
    with web.database.reading() as session:
        return list(session.scalars(select(MediaCreationRequest)))


def test_arrivals_are_listed_until_media_are_requested(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    ids = ids_of(filled)
    page = desk.get("/arrivals").text
    assert "Lovelace, Ada" in page
    assert SCRIPT not in page
    for study_id in ids.values():
        assert f"/arrivals/disc?study={study_id}" in page
    answer = desk.post("/arrivals/disc", **DEFAULTS, **{f"study-{ids['1.2.3']}": "on"})
    assert answer.headers["HX-Redirect"] == "/requests/R000001"
    page = desk.get("/arrivals").text
    assert f"/arrivals/disc?study={ids['1.2.3']}" not in page
    assert f"/arrivals/disc?study={ids['1.2.1']}" in page
    place = "2020-01-01T00:00:00+00:00_1"
    assert desk.get("/arrivals", params={"before": place}).status_code == 200
    assert desk.get("/arrivals", params={"before": "yesterday"}).status_code == 422


def test_the_form_suggests_priors_that_are_not_ticked(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    ids = ids_of(filled)
    form = desk.get("/arrivals/disc", params={"study": ids["1.2.1"]}).text
    assert f'name="study-{ids["1.2.1"]}" checked' in form
    assert f'name="study-{ids["1.2.2"]}">' in form
    assert f'name="study-{ids["1.2.3"]}"' not in form
    assert "several_patients" not in form


def test_a_disc_is_requested_and_started_by_one_form(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    ids = ids_of(filled)
    fields = {
        f"study-{ids['1.2.1']}": "on",
        f"study-{ids['1.2.2']}": "on",
        "copies": "2",
        "priority": "HIGH",
        "device": "outbox",
        "label_text": "for Ada",
    }
    answer = desk.post("/arrivals/disc", **fields)
    assert answer.headers["HX-Redirect"] == "/requests/R000001"
    (request,) = requests_of(filled)
    assert request.execution_status is not ExecutionStatus.IDLE
    assert request.number_of_copies == 2
    assert request.request_priority is RequestPriority.HIGH
    assert request.device == "outbox"
    assert request.label_text == "for Ada"
    assert request.requested_by == "user desk (testclient)"
    with filled.database.reading() as session:
        assert session.query(ReferencedInstance).count() == 2


def test_the_form_offers_the_profiles_that_a_device_can_make(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    ids = ids_of(filled)
    form = desk.get("/arrivals/disc", params={"study": ids["1.2.1"]}).text
    assert "<option>STD-GEN-CD</option>" in form
    assert "STD-GEN-SEC-CD" not in form  # there are no recipients
    fields = {**DEFAULTS, f"study-{ids['1.2.1']}": "on", "profile": "STD-GEN-CD"}
    assert desk.post("/arrivals/disc", **fields).headers["HX-Redirect"] == "/requests/R000001"
    with filled.database.reading() as session:
        (reference,) = session.query(ReferencedInstance)
        assert reference.requested_media_application_profile == "STD-GEN-CD"
    wrong = desk.post("/arrivals/disc", **fields | {"profile": "STD-NONE"})
    assert wrong.status_code == 422


def test_a_study_whose_instances_contradict_each_other_is_marked(web: WebGround) -> None:
    web.store(
        instance(patient_name="Lovelace^Ada", patient_id="P4711", birth_date="18151210"),
        instance(patient_name="Lovelace^Ada", patient_id="P4711", birth_date="18151211"),
        instance(patient_name="Babbage^Charles", patient_id="77", study="1.2.3.9"),
        instance(patient_name="Hopper^Grace", patient_id="78", study="1.2.3.9"),
        instance(patient_name="Noether^Emmy", patient_id="79", study="1.2.3.10"),
    )
    _note_studies(web)
    desk = web.signed_in(AccountRole.DESK)
    rows = desk.get("/arrivals").text.split("<tr id=")[1:]
    names = ("Ada", "Charles", "Grace", "Emmy")
    row_of = {name: row for row in rows for name in names if name in row}
    assert "one patient, with one Patient ID and name, has 2 birth dates" in row_of["Ada"]
    assert "this study belongs to 2 Patient IDs" in row_of["Charles"]
    assert "this study belongs to 2 Patient IDs" in row_of["Grace"]
    assert "contradiction" not in row_of["Emmy"]
    german = desk.get("/arrivals", headers={"accept-language": "de"}).text
    assert "diese Studie gehört zu 2 Patienten-IDs" in german


def test_patients_share_a_disc_only_if_somebody_says_so(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    ids = ids_of(filled)
    form = desk.get("/arrivals/disc", params={"study": [ids["1.2.1"], ids["1.2.3"]]}).text
    assert "These studies are of 2 patients." in form
    assert 'name="several_patients"' in form
    assert SCRIPT not in form
    fields = {f"study-{ids['1.2.1']}": "on", f"study-{ids['1.2.3']}": "on", **DEFAULTS}
    fields |= {"copies": "3", "label_text": "for both"}
    answer = desk.post("/arrivals/disc", **fields)
    assert "HX-Redirect" not in answer.headers
    assert "These studies are of 2 patients." in answer.text
    assert 'value="3"' in answer.text
    assert "for both" in answer.text
    assert not requests_of(filled)
    answer = desk.post("/arrivals/disc", **fields, several_patients="on")
    assert answer.headers["HX-Redirect"] == "/requests/R000001"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"copies": "0"}, 422),
        ({"copies": "many"}, 422),
        ({"priority": "NOW"}, 422),
        ({"device": "nothing"}, 404),
        ({"study-999": "on"}, 404),
        ({"study-x": "on"}, 422),
    ],
)
def test_a_wrong_value_makes_no_request(
    filled: WebGround, change: dict[str, str], status: int
) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    fields = {f"study-{ids_of(filled)['1.2.1']}": "on", **DEFAULTS}
    assert desk.post("/arrivals/disc", **(fields | change)).status_code == status
    assert not requests_of(filled)


def test_a_form_without_a_study_is_refused(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    assert desk.post("/arrivals/disc", **DEFAULTS).status_code == 422
    assert desk.get("/arrivals/disc").status_code == 422
    assert desk.get("/arrivals/disc", params={"study": 999}).status_code == 404
    assert desk.get("/arrivals/disc", params={"study": 2**70}).status_code == 422


def test_a_viewer_has_no_arrivals(filled: WebGround) -> None:
    viewer = filled.signed_in(AccountRole.VIEWER)
    assert viewer.get("/arrivals").status_code == 403
    assert 'href="/arrivals"' not in viewer.get("/").text


def test_studies_that_contradict_each_other_about_their_patient_are_marked(
    web: WebGround,
) -> None:
    web.store(
        instance(study="1.2.3.1", patient_id="P7", birth_date="19700101", sex="F"),
        instance(study="1.2.3.2", patient_id="P7", birth_date="19710101", sex="F"),
        instance(study="1.2.3.3", patient_id="P8", birth_date="19700101"),
        instance(study="1.2.3.4", patient_id="P8", patient_name="Roe^Richard"),
        instance(study="1.2.3.5", patient_id="P9", birth_date="19700101", sex="M"),
        instance(study="1.2.3.6", patient_id="P9"),
    )
    _note_studies(web)
    desk = web.signed_in(AccountRole.DESK)
    page = desk.get("/arrivals").text
    assert page.count("another birth date with this ID") == 2
    assert page.count("another name with this ID") == 2
    assert "another sex with this ID" not in page
    with web.database.reading() as session:
        ids = session.scalars(select(KnownStudy.id).where(KnownStudy.patient_id == "P7")).all()
    form = desk.get(f"/arrivals/disc?study={ids[0]}&study={ids[1]}").text
    assert "has 2 birth dates" in form
    assert "Check first which of them is right." in form
    alone = desk.get(f"/arrivals/disc?study={ids[0]}").text
    assert "contradict" not in alone


def test_ticked_studies_are_removed_after_their_count_is_shown(filled: WebGround) -> None:
    operator = filled.signed_in(AccountRole.OPERATOR)
    ids = ids_of(filled)
    assert 'formaction="/arrivals/removal"' in operator.get("/arrivals").text
    address = f"/arrivals/removal?study={ids['1.2.1']}&study={ids['1.2.3']}"
    page = operator.get(address).text
    assert "2 instances · 2 studies · 2 patients" in page
    assert "even_if_needed" not in page
    answer = operator.post("/arrivals/removal", studies=f"{ids['1.2.1']} {ids['1.2.3']}")
    assert answer.headers["HX-Redirect"] == "/arrivals"
    with filled.database.reading() as session:
        assert session.scalars(select(Instance.study_instance_uid)).all() == ["1.2.2"]
    assert operator.get(address).status_code == 404


def test_a_study_that_a_request_needs_is_removed_only_if_that_is_confirmed(
    filled: WebGround,
) -> None:
    operator = filled.signed_in(AccountRole.OPERATOR)
    study = ids_of(filled)["1.2.3"]
    operator.post("/arrivals/disc", **DEFAULTS, **{f"study-{study}": "on"})
    page = operator.get(f"/arrivals/removal?study={study}").text
    assert "They are needed by R000001" in page
    refused = operator.post("/arrivals/removal", studies=str(study))
    assert refused.status_code == 409
    assert "confirm that they are removed all the same" in refused.text
    assert operator.post("/arrivals/removal", studies=str(study), even_if_needed="on").is_success
    with filled.database.reading() as session:
        assert "1.2.3" not in session.scalars(select(Instance.study_instance_uid)).all()


def test_the_desk_removes_nothing(filled: WebGround) -> None:
    desk = filled.signed_in(AccountRole.DESK)
    study = ids_of(filled)["1.2.1"]
    assert "/arrivals/removal" not in desk.get("/arrivals").text
    assert desk.get(f"/arrivals/removal?study={study}").status_code == 403
    assert desk.post("/arrivals/removal", studies=str(study)).status_code == 403


@pytest.mark.parametrize("text", ["", "x", "1 x", "9" * 19])
def test_a_removal_without_readable_studies_is_refused(filled: WebGround, text: str) -> None:
    operator = filled.signed_in(AccountRole.OPERATOR)
    assert operator.post("/arrivals/removal", studies=text).status_code == 422
    with filled.database.reading() as session:
        assert len(session.scalars(select(Instance.id)).all()) == 3
