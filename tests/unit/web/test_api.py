"""The interface for programs: every noun, as a program with a token uses it."""

import io
from typing import Any

import pydicom
import pytest
from starlette.testclient import TestClient

from burnish import checks, file_meta
from burnish.db import tallies
from burnish.receive import Receiver
from burnish.request import listing
from burnish.request.views import to_json
from burnish.values import AccountRole
from burnish.web.api import document
from factories import SampleInstance, instance
from web_client import WebGround


def _file(sample: SampleInstance) -> bytes:
    """An instance as a DICOM File."""
    meta = file_meta.encode(
        sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
    )
    return meta + sample.data_set


@pytest.fixture
def operator(web: WebGround) -> TestClient:
    return web.token(AccountRole.OPERATOR)


def _upload(client: TestClient, *samples: SampleInstance) -> None:
    for sample in samples:
        answer = client.put("/api/v1/instances", content=_file(sample))
        assert answer.status_code == 200, answer.text


def _create(client: TestClient, *samples: SampleInstance, **more: Any) -> Any:
    body = {"instances": [sample.sop_instance_uid for sample in samples], **more}
    answer = client.post("/api/v1/requests", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_an_uploaded_file_is_received_and_can_be_requested(
    web: WebGround, operator: TestClient
) -> None:
    sample = instance()
    _upload(operator, sample, sample)
    shown = operator.get(f"/api/v1/instances/{sample.sop_instance_uid}").json()
    assert shown["instance"]["calling_ae_title"] == "WEB"
    assert [line["sop_instance_uid"] for line in operator.get("/api/v1/instances").json()["items"]]
    request = _create(operator, sample)
    assert request["execution_status"] == "PENDING"
    assert request["requested_by"].startswith("token operator")
    with web.database.reading() as session:
        view = listing.show(session, request["short_id"])
    assert operator.get(f"/api/v1/requests/{request['short_id']}").json() == to_json(view)


def test_what_is_no_dicom_file_is_refused(operator: TestClient) -> None:
    whole = _file(instance())
    for content in (b"", b"\0" * 500, whole[:140], whole[:-10]):
        answer = operator.put("/api/v1/instances", content=content)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
    data_set = pydicom.dcmread(io.BytesIO(whole))
    data_set.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.1"
    changed = io.BytesIO()
    data_set.save_as(changed)
    assert operator.put("/api/v1/instances", content=changed.getvalue()).status_code == 422
    assert operator.get("/api/v1/instances").json()["items"] == []


def test_the_same_creation_again_makes_no_second_request(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    body = {"instances": [sample.sop_instance_uid]}
    key = {"Idempotency-Key": "4711"}
    first = operator.post("/api/v1/requests", json=body, headers=key)
    again = operator.post("/api/v1/requests", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["short_id"] == first.json()["short_id"]
    other = operator.post("/api/v1/requests", json={**body, "lossy": True}, headers=key)
    assert other.status_code == 409
    without_key = operator.post("/api/v1/requests", json=body)
    assert without_key.json()["short_id"] != first.json()["short_id"]


def test_several_patients_share_media_only_if_that_is_said(operator: TestClient) -> None:
    samples = (instance(patient_id="1", study="1.2.3.1"), instance(patient_id="2", study="1.2.3.2"))
    _upload(operator, *samples)
    body = {"instances": [sample.sop_instance_uid for sample in samples]}
    refused = operator.post("/api/v1/requests", json=body)
    assert refused.status_code == 409
    assert "several_patients" in refused.json()["remedy"]
    request = _create(operator, *samples, several_patients=True)
    parts = operator.post(f"/api/v1/requests/{request['short_id']}/split")
    assert parts.status_code == 201
    assert len(parts.json()["items"]) == 2


def test_a_request_is_steered(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    name = _create(operator, sample, initiate=False)["short_id"]
    address = f"/api/v1/requests/{name}"
    started = operator.post(f"{address}/initiate", json={"copies": 2}).json()
    assert started["number_of_copies"] == 2
    assert operator.post(f"{address}/hold").json()["held_at"]
    assert operator.post(f"{address}/hold").status_code == 200
    assert operator.post(f"{address}/release").json()["held_at"] is None
    changed = operator.post(f"{address}/priority", json={"priority": "HIGH"}).json()
    assert changed["request_priority"] == "HIGH"
    assert operator.post(f"{address}/copies", json={"copies": 1}).json()["number_of_copies"] == 3
    operator.post(f"{address}/label", json={"text": "FOR THE WARD"})
    assert operator.get(address).json()["label_text"] == "FOR THE WARD"
    changed = operator.post(f"{address}/label", json={"style": "lower"})
    new = {"instances": [sample.sop_instance_uid], "label": {"style": "lower"}}
    created = operator.post("/api/v1/requests", json=new)
    assert changed.status_code == created.status_code == 422
    assert changed.json()["detail"] == created.json()["detail"]
    again = operator.post(f"{address}/repeat")
    assert again.status_code == 201
    assert again.headers["location"] == f"/api/v1/requests/{again.json()['short_id']}"
    assert operator.post(f"{address}/device", json={"device": "none"}).status_code == 404
    assert operator.post(f"{address}/retry").status_code == 409
    assert operator.post(f"{address}/cancel").json()["execution_status"] == "DELETED"
    actors = {event["actor"] for event in operator.get(address).json()["events"]}
    assert actors == {"token operator (testclient)"}


def test_lists_go_on_where_the_page_before_ended(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    names = [_create(operator, sample)["short_id"] for _ in range(5)]
    listed: list[str] = []
    before = ""
    while True:
        page = operator.get("/api/v1/requests", params={"limit": 2, "before": before}).json()
        listed += [line["short_id"] for line in page["items"]]
        if page["next"] is None:
            break
        before = page["next"]
    assert listed == names[::-1]


def test_many_requests_are_changed_and_restored(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    for _ in range(3):
        _create(operator, sample)
    body = {"filter": {}, "action": {"kind": "hold"}}
    assert operator.post("/api/v1/bulk/preview", json=body).json()["permitted"] == 3
    done = operator.post("/api/v1/bulk/apply", json=body).json()
    assert len(done["changed"]) == 3
    restored = operator.post("/api/v1/bulk/undo", json={"steps": done["undo"]}).json()
    assert restored["changed"] == done["changed"]
    lines = operator.get("/api/v1/requests").json()["items"]
    assert [line["held_at"] for line in lines] == [None] * 3


def test_a_viewer_gets_no_patient_data(web: WebGround, operator: TestClient) -> None:
    sample = instance(patient_name="Secret^Name", patient_id="SECRET-ID")
    _upload(operator, sample)
    name = _create(operator, sample, label={"text": "SECRET TEXT"})["short_id"]
    assert "Secret^Name" in operator.get(f"/api/v1/requests/{name}").text
    viewer = web.token(AccountRole.VIEWER)
    for address in ("/api/v1/requests", f"/api/v1/requests/{name}", "/api/v1/instances"):
        answer = viewer.get(address)
        assert answer.status_code == 200
        assert "secret" not in answer.text.lower()
    asked = viewer.get("/api/v1/requests", params={"patient": "secret"})
    assert asked.status_code == 403


def test_search_and_arrivals_find_a_study(operator: TestClient) -> None:
    sample = instance(patient_name="Mueller^Joerg", patient_id="4711")
    _upload(operator, sample)
    for text in ("MUELL", "4711"):
        answer = operator.get("/api/v1/search", params={"q": text}).json()
        assert answer["studies"][0]["patient_id"] == "4711"
    arrived = operator.get("/api/v1/arrivals").json()
    assert arrived["items"][0]["unrequested"] == 1
    assert arrived["next"] is None


def test_an_instance_is_removed_unless_a_request_needs_it(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    name = _create(operator, sample)["short_id"]
    address = f"/api/v1/instances/{sample.sop_instance_uid}"
    assert operator.delete(address).status_code == 409
    operator.post(f"/api/v1/requests/{name}/cancel")
    assert operator.delete(address).json()["instances"] == 1
    assert operator.get(address).status_code == 404


def test_devices_are_paused_resumed_and_tested(operator: TestClient) -> None:
    (device,) = operator.get("/api/v1/devices").json()["items"]
    address = f"/api/v1/devices/{device['name']}"
    paused = operator.post(f"{address}/pause", json={"reason": "cleaning"}).json()
    assert paused["state"] == "paused"
    assert "cleaning" in paused["reason"]
    assert operator.post(f"{address}/resume").json()["state"] == "ready"
    test = operator.post(f"{address}/test")
    assert test.status_code == 201
    assert test.json()["origin"] == "test burn"
    assert operator.get("/api/v1/devices/none").status_code == 404


def test_tokens_are_made_and_revoked(web: WebGround) -> None:
    administrator = web.token(AccountRole.ADMINISTRATOR)
    created = administrator.post("/api/v1/tokens", json={"name": "ris", "role": "desk"})
    assert created.status_code == 201
    program = web.client()
    program.headers["authorization"] = f"Bearer {created.json()['token']}"
    assert program.get("/api/v1/requests").status_code == 200
    assert "ris" in [line["name"] for line in administrator.get("/api/v1/tokens").json()["items"]]
    assert administrator.delete("/api/v1/tokens/ris").status_code == 204
    assert program.get("/api/v1/requests").status_code == 401


def test_the_system_tells_its_versions_and_health(web: WebGround) -> None:
    administrator = web.token(AccountRole.ADMINISTRATOR)
    system = administrator.get("/api/v1/system").json()
    assert system["requests"]["waiting"] == 0
    health = administrator.get("/api/v1/health").json()
    assert health["level"] == "not well"
    assert health["findings"][0]["remedy"] == "burnish serve"
    assert administrator.get("/api/v1/peers").json() == {"contacts": [], "peers": []}
    assert administrator.get("/api/v1/register").json() == {"items": [], "next": None}


def test_every_route_documents_its_problems() -> None:
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            problem = operation["responses"]["403"]["content"]
            assert list(problem) == ["application/problem+json"], (method, path)
            assert operation["summary"], (method, path)


def test_a_program_that_has_the_answer_already_gets_it_only_once(operator: TestClient) -> None:
    sample = instance()
    _upload(operator, sample)
    name = _create(operator, sample)["short_id"]
    for address in ("/api/v1/requests", f"/api/v1/requests/{name}", "/api/v1/devices"):
        first = operator.get(address)
        tag = {"If-None-Match": f'"another", {first.headers["etag"]}'}
        again = operator.get(address, headers=tag)
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]
    operator.post(f"/api/v1/requests/{name}/hold")
    changed = operator.get(f"/api/v1/requests/{name}", headers=tag)
    assert changed.status_code == 200
    assert changed.json()["held_at"]


def test_priors_are_the_other_studies_of_the_same_patient(operator: TestClient) -> None:
    _upload(
        operator,
        instance(patient_id="1", study="1.2.3.1"),
        instance(patient_id="1", study="1.2.3.2"),
        instance(patient_id="2", study="1.2.3.3"),
    )
    answer = operator.get("/api/v1/priors", params={"study": "1.2.3.1"})
    assert [prior["study_instance_uid"] for prior in answer.json()["items"]] == ["1.2.3.2"]
    both = operator.get("/api/v1/priors", params={"study": ["1.2.3.1", "1.2.3.2"]})
    assert both.json()["items"] == []
    unknown = operator.get("/api/v1/priors", params={"study": "1.2.3.9"})
    assert unknown.status_code == 404
    assert "1.2.3.9" in unknown.json()["detail"]


def test_checks_are_asked_for_and_their_findings_read(web: WebGround) -> None:
    administrator = web.token(AccountRole.ADMINISTRATOR)
    asked = administrator.post("/api/v1/checks/database")
    assert asked.status_code == 202
    assert asked.json()["asked_at"]
    checks.run_asked(web.database, web.settings, list)
    (database, spool) = administrator.get("/api/v1/checks").json()["items"]
    assert database["asked_at"] is None
    assert database["findings"] == ["the database is undamaged and of this version"]
    assert database["problem"] == ""
    assert spool["ended_at"] is None


def test_a_call_without_a_token_is_told_how_to_get_one(web: WebGround) -> None:
    problem = web.client().get("/api/v1/requests").json()
    assert problem["detail"] == "this call needs a token that is valid"
    assert "burnish token create" in problem["remedy"]


def test_rates_are_counts_by_hour(web: WebGround) -> None:
    administrator = web.token(AccountRole.ADMINISTRATOR)
    _upload(administrator, instance())
    (received,) = [
        rate
        for rate in administrator.get("/api/v1/rates").json()["items"]
        if rate["name"] == tallies.RECEIVED
    ]
    assert received["count"] == 1
    later = administrator.get("/api/v1/rates", params={"since": "2100-01-01T00:00:00Z"})
    assert later.json()["items"] == []


def test_instances_are_removed_by_selection_after_a_preview(web: WebGround) -> None:
    first, second = instance(study="1.2.1"), instance(study="1.2.2")
    web.store(first, second)
    operator = web.token(AccountRole.OPERATOR)
    body = {"studies": ["1.2.1"]}
    preview = operator.post("/api/v1/instances/removal/preview", json=body)
    assert preview.json()["instances"] == 1
    assert len(operator.get("/api/v1/instances").json()["items"]) == 2
    removed = operator.post("/api/v1/instances/removal", json=body)
    assert removed.json() == preview.json()
    (left,) = operator.get("/api/v1/instances").json()["items"]
    assert left["sop_instance_uid"] == second.sop_instance_uid
    assert operator.post("/api/v1/instances/removal", json=body).status_code == 404
    assert operator.post("/api/v1/instances/removal", json={}).status_code == 422


def test_a_correction_of_the_patient_is_shown_first_and_then_made(web: WebGround) -> None:
    receiver = Receiver(web.database, web.spool)
    receiver.receive(instance(study="1.2.1", patient_id="4711").arriving())
    receiver.receive(instance(study="1.2.2", patient_id="4711").arriving())
    receiver.close()
    operator = web.token(AccountRole.OPERATOR)
    body = {"studies": ["1.2.1"], "patient_id": "4712"}
    preview = operator.post("/api/v1/instances/correction/preview", json=body).json()
    assert preview["instances"] == 1
    assert preview["changes"] == [{"keyword": "PatientID", "new": "4712", "present": {"4711": 1}}]
    items = operator.get("/api/v1/instances").json()["items"]
    assert {line["patient_id"] for line in items} == {"4711"}
    corrected = operator.post("/api/v1/instances/correction", json=body)
    assert corrected.json() == preview
    items = operator.get("/api/v1/instances").json()["items"]
    assert {line["study_instance_uid"]: line["patient_id"] for line in items} == {
        "1.2.1": "4712",
        "1.2.2": "4711",
    }
    again = operator.post("/api/v1/instances/correction", json=body).json()
    assert (again["instances"], again["unchanged"]) == (0, 1)


def test_a_correction_without_a_selection_or_a_value_is_refused(web: WebGround) -> None:
    operator = web.token(AccountRole.OPERATOR)
    for body in ({"patient_id": "1"}, {"studies": ["1.2.1"]}, {"studies": ["1"], "sex": "X"}):
        assert operator.post("/api/v1/instances/correction", json=body).status_code == 422
    desk = web.token(AccountRole.DESK)
    body = {"studies": ["1.2.1"], "sex": "F"}
    assert desk.post("/api/v1/instances/correction", json=body).status_code == 403
