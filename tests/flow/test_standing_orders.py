"""Media for modalities that send no requests: the service makes one after a quiet period."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import material
import oracles
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until


def requests(service: Service) -> list[Any]:
    return oracles.rows(service, "SELECT * FROM media_creation_request")


def all_done(service: Service, instances: int) -> list[Any]:
    """The requests, once they reference so many instances and all of them are DONE."""

    def ready() -> bool:
        referenced_instances = oracles.rows(service, "SELECT COUNT(*) FROM referenced_instance")[0][
            0
        ]
        states = [row["execution_status"] for row in requests(service)]
        assert "FAILURE" not in states, service.tail()
        return referenced_instances == instances and all(state == "DONE" for state in states)

    wait_until(ready, what="standing orders that are DONE")
    return requests(service)


def uids_grouped_by(files: Iterable[Path], *keywords: str) -> dict[tuple[str, ...], set[str]]:
    """SOP Instance UIDs by the values of these attributes."""
    uids_by_key: dict[tuple[str, ...], set[str]] = {}
    for path in files:
        data = material.read(path)
        key = tuple(str(data.get(keyword, "")) for keyword in keywords)
        uids_by_key.setdefault(key, set()).add(str(data.SOPInstanceUID))
    return uids_by_key


def referenced_uids(service: Service) -> list[set[str]]:
    """The SOP Instance UIDs of each request."""
    uids_by_request: dict[int, set[str]] = {}
    for row in oracles.rows(service, "SELECT * FROM referenced_instance"):
        uids_by_request.setdefault(row["request_id"], set()).add(row["referenced_sop_instance_uid"])
    return list(uids_by_request.values())


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
    # no standing order applies to what was sent to the service's own AE title
    assert clients.dcmsend(service.port, real_studies.tiny[0]).exit_code == 0
    assert clients.dcmsend(service.port, *files, called="BURN_US").exit_code == 0
    rows = all_done(service, len(files))

    studies = uids_grouped_by(files, "PatientID", "StudyInstanceUID")
    assert sorted(map(sorted, referenced_uids(service))) == sorted(map(sorted, studies.values()))
    for row in rows:
        assert row["origin"] == "standing order ultrasound"
        assert row["number_of_copies"] == 2
        assert row["request_priority"] == "HIGH"
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
    rows = all_done(service, len(files))

    patients = uids_grouped_by(files, "PatientID", "PatientName")
    assert sorted(map(sorted, referenced_uids(service))) == sorted(map(sorted, patients.values()))
    for row in rows:
        [image] = (service.outbox / f"R{row['id']:06d}").glob("*.iso")
        root = oracles.extract(image, tmp_path / str(row["id"]))
        record_types = [
            record.DirectoryRecordType
            for record in oracles.read(root / "DICOMDIR").DirectoryRecordSequence
        ]
        assert record_types.count("PATIENT") == 1

    # later instances of the same patient make another request, for those instances only
    later = real_studies.tiny[3:5]
    assert clients.dcmsend(service.port, *later, calling="CT2").exit_code == 0
    all_done(service, len(files) + len(later))
    assert len(requests(service)) == len(rows) + 1


def test_a_standing_order_says_what_its_media_hold_for_people(
    start_burnish: StartBurnish, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    order = {"quiet_period": "1s", "scope": "study", "profile": "STD-GEN-CD"}
    service = start_burnish(
        content={"pages": True, "institution": "St. Example"},
        standing_order=[
            {
                "name": "doctors",
                "called_ae_titles": ["DOCTORS"],
                "include_non_dicom_objects": "FOR_PHYSICIAN",
                "include_display_application": "NO",
                **order,
            },
            {
                "name": "research",
                "called_ae_titles": ["RESEARCH"],
                "include_non_dicom_objects": "FOR_RESEARCH",
                **order,
            },
        ],
    )
    assert clients.dcmsend(service.port, real_studies.tiny[0], called="DOCTORS").exit_code == 0
    other = real_studies.file("CT_small.dcm")
    assert clients.dcmsend(service.port, other, called="RESEARCH").exit_code == 0
    entries = {}
    for row in all_done(service, 2):
        [image] = (service.outbox / f"R{row['id']:06d}").glob("*.iso")
        root = oracles.extract_with_xorriso(image, tmp_path / str(row["id"]))
        entries[row["origin"]] = {path.name for path in root.iterdir()}
    files = {"DICOM", "DICOMDIR", "README.TXT"}
    assert entries["standing order doctors"] == {*files, "IHE_PDI", "INDEX.HTM"}
    assert entries["standing order research"] == {*files, "MANIFEST.CSV", "MANIFEST.JSN"}
