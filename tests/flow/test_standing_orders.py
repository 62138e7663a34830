"""Media for modalities that cannot ask: after a quiet period the request comes by itself."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import material
import oracles
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until

DONE = (
    "SELECT r.id, r.sop_instance_uid, r.origin, r.number_of_copies, r.request_priority"
    " FROM media_creation_request r WHERE r.execution_status = 'DONE'"
)


def requests(service: Service) -> list[Any]:
    return oracles.rows(service, "SELECT * FROM media_creation_request")


def all_done(service: Service, instances: int) -> list[Any]:
    """The requests, once so many instances are asked for and every request is DONE."""

    def ready() -> bool:
        asked = oracles.rows(service, "SELECT COUNT(*) FROM referenced_instance")[0][0]
        states = [row["execution_status"] for row in requests(service)]
        assert "FAILURE" not in states, service.tail()
        return asked == instances and all(state == "DONE" for state in states)

    wait_until(ready, what="standing orders that are DONE")
    return requests(service)


def groups(files: Iterable[Path], *keywords: str) -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for path in files:
        data = material.read(path)
        key = tuple(str(data.get(keyword, "")) for keyword in keywords)
        found.setdefault(key, set()).add(str(data.SOPInstanceUID))
    return found


def referenced(service: Service) -> list[set[str]]:
    found: dict[int, set[str]] = {}
    for row in oracles.rows(service, "SELECT * FROM referenced_instance"):
        found.setdefault(row["request_id"], set()).add(row["referenced_sop_instance_uid"])
    return list(found.values())


def test_a_called_ae_title_makes_a_request_for_each_study(
    start_burnish: StartBurnish, real_studies: material.RealStudies
) -> None:
    service = start_burnish(
        standing_order=[
            {
                "name": "ultrasound",
                "called_ae_titles": ["BURN_US"],
                "quiet_period": "6s",
                "scope": "study",
                "profile": "STD-GEN-CD",
                "copies": 2,
                "priority": "HIGH",
            }
        ]
    )
    files = real_studies.patients
    # what comes under the service's own title is asked for by nobody
    assert clients.dcmsend(service.port, real_studies.tiny[0]).exit_code == 0
    assert clients.dcmsend(service.port, *files, called="BURN_US").exit_code == 0
    found = all_done(service, len(files))

    studies = groups(files, "PatientID", "StudyInstanceUID")
    assert sorted(map(sorted, referenced(service))) == sorted(map(sorted, studies.values()))
    for row in found:
        assert row["origin"] == "standing order ultrasound"
        assert (row["number_of_copies"], row["request_priority"]) == (2, "HIGH")
        assert len(list((service.outbox / f"R{row['id']:06d}").glob("*.iso"))) == 2
        status = clients.mcm_client(service.port, "get", row["sop_instance_uid"])
        assert status["attributes"]["ExecutionStatus"] == "DONE"


def test_a_calling_ae_title_makes_a_request_for_each_patient(
    start_burnish: StartBurnish, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    service = start_burnish(
        standing_order=[
            {
                "name": "ct2",
                "calling_ae_titles": ["CT2"],
                "quiet_period": "6s",
                "scope": "patient",
            }
        ]
    )
    files = real_studies.patients + real_studies.tiny[:3]
    assert clients.dcmsend(service.port, *files, calling="CT2").exit_code == 0
    assert clients.dcmsend(service.port, *real_studies.charsets, calling="CT3").exit_code == 0
    found = all_done(service, len(files))

    patients = groups(files, "PatientID", "PatientName")
    assert sorted(map(sorted, referenced(service))) == sorted(map(sorted, patients.values()))
    for row in found:
        [image] = (service.outbox / f"R{row['id']:06d}").glob("*.iso")
        root = oracles.extract(image, tmp_path / str(row["id"]))
        kinds = [
            record.DirectoryRecordType
            for record in oracles.read(root / "DICOMDIR").DirectoryRecordSequence
        ]
        assert kinds.count("PATIENT") == 1

    # later instances of the same patient make a request of their own, for them alone
    later = real_studies.tiny[3:5]
    assert clients.dcmsend(service.port, *later, calling="CT2").exit_code == 0
    all_done(service, len(files) + len(later))
    assert len(requests(service)) == len(found) + 1
