"""Studies that people retrieve from real archives by their numbers."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

import material
from flow.archives import HOST, Dcmqrscp, Orthanc
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port
from waiting import wait_until


class Desk:
    """A person at the desk who uses the interface for programs of one service."""

    def __init__(self, service: Service, web_port: int) -> None:
        self._address = f"http://{HOST}:{web_port}/api/v1"
        token = service.cli("token", "create", "desk", "--role", "desk", json=False).strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, **body: Any) -> Any:
        """The JSON of the answer, also of a problem."""
        content = json.dumps(body).encode() if body else None
        address = self._address + path
        request = urllib.request.Request(  # noqa: S310
            address, content, self._headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as error:
            return json.load(error)

    def ended(self, number: int) -> Any:
        """A retrieval once it has ended."""
        wait_until(lambda: self.call("GET", f"/retrievals/{number}")["ended_at"], what="its end")
        return self.call("GET", f"/retrievals/{number}")


@pytest.fixture(scope="module", params=["C-MOVE", "C-GET"])
def method(request: pytest.FixtureRequest) -> str:
    """How archives are told to send."""
    return str(request.param)


@pytest.fixture(scope="module")
def ports(method: str) -> dict[str, int]:
    """Free ports: the services of both methods run at the same time."""
    assert method
    return {name: free_port() for name in ("ORTHANC", "DCMQRSCP", "NOBODY", "web")}


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish, method: str, ports: dict[str, int]) -> Service:
    may = ["echo", "store", "retrieve"]
    archives = [
        {"ae_title": title, "host": HOST, "port": ports[title], "may": may}
        for title in ("ORTHANC", "DCMQRSCP", "NOBODY")
    ]
    return start_shared(
        retrieval={"method": method},
        web={"enabled": True, "port": ports["web"]},
        peer=archives,
    )


@pytest.fixture(scope="module")
def desk(burnish: Service, ports: dict[str, int]) -> Desk:
    return Desk(burnish, ports["web"])


@pytest.fixture(scope="module")
def orthanc(
    burnish: Service,
    ports: dict[str, int],
    real_studies: material.RealStudies,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Orthanc]:
    directory = tmp_path_factory.mktemp("orthanc") / "orthanc"
    running = Orthanc(directory, ports["ORTHANC"], burnish.port)
    running.store(real_studies.patients)
    yield running
    running.end()


@pytest.fixture(scope="module")
def dcmqrscp(
    burnish: Service,
    ports: dict[str, int],
    real_studies: material.RealStudies,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Dcmqrscp]:
    directory = tmp_path_factory.mktemp("dcmqrscp")
    running = Dcmqrscp(directory, ports["DCMQRSCP"], burnish.port, real_studies.tiny)
    yield running
    running.end()


def _of_first_patient(files: tuple[Path, ...]) -> tuple[str, set[str]]:
    """The Patient ID of the first file, and the studies of that patient."""
    data_sets = [material.read(file) for file in files]
    patient_id = str(data_sets[0].PatientID)
    studies = {
        str(data_set.StudyInstanceUID) for data_set in data_sets if data_set.PatientID == patient_id
    }
    return patient_id, studies


def test_the_studies_of_a_patient_are_found_and_retrieved_from_orthanc(
    desk: Desk, orthanc: Orthanc, real_studies: material.RealStudies
) -> None:
    patient_id, uids = _of_first_patient(real_studies.patients)
    archives = desk.call("GET", "/archives")["items"]
    assert orthanc.ae_title in archives
    answer = desk.call("POST", "/archives/ORTHANC/search", patient_id=patient_id)
    assert {line["study"]["study_instance_uid"] for line in answer["studies"]} == uids
    assert {line["study"]["patient_id"] for line in answer["studies"]} == {patient_id}
    assert {line["here"] for line in answer["studies"]} == {0}
    expected = sum(line["study"]["instances"] for line in answer["studies"])

    asked = desk.call("POST", "/retrievals", archive="ORTHANC", studies=sorted(uids))
    assert asked["state"] == "waiting"
    assert asked["actor"].startswith("token desk")
    ended = desk.ended(asked["id"])
    assert ended["problem"] == ""
    assert (ended["state"], ended["received"], ended["located"]) == ("done", expected, expected)
    assert {study["patient_id"] for study in ended["studies"]} == {patient_id}
    here = desk.call("POST", "/archives/ORTHANC/search", patient_id=patient_id)
    assert sum(line["here"] for line in here["studies"]) == expected

    again = desk.call("POST", "/retrievals", archive="ORTHANC", studies=sorted(uids))
    ended = desk.ended(again["id"])
    assert (ended["state"], ended["located"]) == ("done", 0)
    refused = desk.call("POST", f"/retrievals/{again['id']}/retry")
    assert refused["status"] == 409


def test_a_study_is_found_by_its_accession_number_at_orthanc(
    desk: Desk, orthanc: Orthanc, real_studies: material.RealStudies
) -> None:
    data_sets = [material.read(file) for file in real_studies.patients]
    with_number = [data_set for data_set in data_sets if data_set.get("AccessionNumber")]
    number = str(with_number[0].AccessionNumber)
    answer = desk.call("POST", f"/archives/{orthanc.ae_title}/search", accession_number=number)
    assert {line["study"]["study_instance_uid"] for line in answer["studies"]} == {
        str(data_set.StudyInstanceUID)
        for data_set in with_number
        if data_set.AccessionNumber == number
    }


def test_a_study_is_retrieved_from_dcmqrscp(
    desk: Desk, dcmqrscp: Dcmqrscp, real_studies: material.RealStudies
) -> None:
    patient_id, uids = _of_first_patient(real_studies.tiny)
    answer = desk.call("POST", f"/archives/{dcmqrscp.ae_title}/search", patient_id=patient_id)
    assert {line["study"]["study_instance_uid"] for line in answer["studies"]} == uids
    asked = desk.call("POST", "/retrievals", archive="DCMQRSCP", studies=sorted(uids))
    ended = desk.ended(asked["id"])
    assert ended["problem"] == ""
    assert ended["received"] == len(real_studies.tiny)


def test_what_fails_says_why_and_what_to_do(desk: Desk, dcmqrscp: Dcmqrscp) -> None:
    problem = desk.call("POST", "/archives/NOBODY/search", patient_id="1")
    assert problem["status"] == 502
    assert "there is no connection with the peer" in problem["detail"]
    assert "check that the archive runs" in problem["remedy"]
    for body in ({"patient_id": "*"}, {"patient_id": " "}):
        assert desk.call("POST", "/archives/NOBODY/search", **body)["status"] == 422
    assert desk.call("POST", "/archives/PACS9/search", patient_id="1")["status"] == 404

    asked = desk.call("POST", "/retrievals", archive="NOBODY", studies=["1.2.3"])
    ended = desk.ended(asked["id"])
    assert ended["state"] == "failed"
    assert "there is no connection" in ended["problem"]
    assert ended["remedy"]
    assert desk.call("POST", f"/retrievals/{asked['id']}/retry")["problem"] == ""
    assert desk.ended(asked["id"])["state"] == "failed"

    asked = desk.call("POST", "/retrievals", archive=dcmqrscp.ae_title, studies=["1.2.3"])
    assert "no instance of the study" in desk.ended(asked["id"])["problem"]
