"""Archives beside Burnish: Storage Commitment, and retrieving missing instances."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_context, evt

import material
import oracles
from flow import clients
from flow.archives import HOST, Dcmqrscp, Orthanc
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port
from waiting import wait_until

PUSH, WELL_KNOWN = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
PORTS = {name: free_port() for name in ("ORTHANC", "DCMQRSCP", "MODALITY")}


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    peer_may = ["echo", "store", "media", "commit"]
    archive = [*peer_may, "retrieve"]
    return start_shared(
        storage_commitment={"wait_for_instances": "2s", "retry_after": "500ms"},
        peer=[
            *(
                {"ae_title": title, "host": HOST, "port": PORTS[title], "may": archive}
                for title in ("DCMQRSCP", "ORTHANC")
            ),
            {"ae_title": "MODALITY", "host": HOST, "port": PORTS["MODALITY"], "may": peer_may},
        ],
    )


@pytest.fixture(scope="module")
def orthanc(burnish: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    directory = tmp_path_factory.mktemp("orthanc") / "orthanc"
    running = Orthanc(directory, PORTS["ORTHANC"], burnish.port)
    yield running
    running.end()


def commitments(service: Service) -> list[Any]:
    return oracles.rows(service, "SELECT * FROM storage_commitment ORDER BY id")


def reported(service: Service, transaction_uid: str) -> bool:
    return any(
        row["transaction_uid"] == transaction_uid and row["reported_at"]
        for row in commitments(service)
    )


class Modality:
    """A Storage Commitment SCU.

    `reports` has for each Transaction UID the association of the report ("same" or "new"), its
    Event Type ID and its Event Information.
    """

    def __init__(self) -> None:
        self.reports: dict[str, tuple[str, int, Dataset]] = {}
        self._lock = threading.Lock()

    def handler(self, association: str) -> tuple[Any, Any]:
        def receive(event: evt.Event) -> tuple[int, None]:
            data = event.event_information
            with self._lock:
                self.reports[data.TransactionUID] = (association, event.event_type, data)
            return 0, None

        return evt.EVT_N_EVENT_REPORT, receive

    def serve(self) -> Any:
        ae = AE("MODALITY")
        ae.add_supported_context(PUSH, scu_role=False, scp_role=True)
        address = (HOST, PORTS["MODALITY"])
        return ae.start_server(address, block=False, evt_handlers=[self.handler("new")])

    def request(self, service: Service, files: Any, *, stay: bool) -> str:
        """Requests commitment; the Transaction UID.

        With `stay`, it waits for the report on the same association; else it releases at once.
        """
        action = clients.references(files)
        action.TransactionUID = generate_uid()
        association = clients.associate(
            service.port,
            [build_context(PUSH)],
            calling="MODALITY",
            handlers=[self.handler("same")],
        )
        answer, _ = association.send_n_action(action, 1, PUSH, WELL_KNOWN)
        assert answer.Status == 0
        if not stay:  # at once: the service reports on an association that is idle
            association.release()
        assert commitments(service)[-1]["transaction_uid"] == action.TransactionUID, "durable"
        if stay:
            wait_until(lambda: action.TransactionUID in self.reports, what="a report")
            # pynetdicom answers the report in another thread, which a release could overtake
            wait_until(lambda: reported(service, action.TransactionUID), what="its answer")
            association.release()
        return str(action.TransactionUID)


def test_reports_are_sent_on_the_same_or_a_new_association_and_after_a_restart(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    files = real_studies.patients[:4]
    assert clients.dcmsend(burnish.port, *files[:3]).exit_code == 0
    modality = Modality()

    answered_at_once = modality.request(burnish, files[:3], stay=True)
    association, event_type, data = modality.reports[answered_at_once]
    assert association == "same"
    assert event_type == 1
    assert len(data.ReferencedSOPSequence) == 3

    # the modality does not listen yet, and the service is killed meanwhile
    answered_later = modality.request(burnish, files, stay=False)
    wait_until(lambda: commitments(burnish)[-1]["why"], what="an attempt that fails")
    burnish.kill()
    server = modality.serve()
    burnish.start()
    wait_until(lambda: reported(burnish, answered_later), what="a report after the restart")
    server.shutdown()
    server.server_close()
    association, event_type, data = modality.reports[answered_later]
    assert association == "new"
    assert event_type == 2
    assert len(data.ReferencedSOPSequence) == 3
    (failed,) = data.FailedSOPSequence
    assert failed.FailureReason == 0x0112
    assert failed.ReferencedSOPInstanceUID == material.read(files[3]).SOPInstanceUID
    states = [row["state"] for row in burnish.cli("commitment", "list")["items"]]
    assert states == ["REPORTED", "REPORTED"]


def test_orthanc_receives_the_commitment_report(
    burnish: Service, orthanc: Orthanc, real_studies: material.RealStudies
) -> None:
    """Orthanc stores, requests commitment on a second association, gets the report on a third."""
    resources = orthanc.store(real_studies.patients[4:7])
    body = b'{"Resources": [%s], "StorageCommitment": true, "Synchronous": true}' % b", ".join(
        b'"%s"' % resource.encode() for resource in resources
    )
    uid = orthanc.post("/modalities/burnish/store", body)["StorageCommitmentTransactionUID"]

    def final_status() -> Any:
        status = orthanc.get(f"/storage-commitment/{uid}")
        return status if status["Status"] != "Pending" else None

    status = wait_until(final_status, what="a report that Orthanc takes")
    assert status["Status"] == "Success"
    assert len(status["Success"]) == 3
    # Burnish records it after the answer of the peer, so Orthanc may know it first
    wait_until(lambda: reported(burnish, uid), what="the report in the database")


def test_missing_instances_are_retrieved_from_archives(
    burnish: Service,
    orthanc: Orthanc,
    real_studies: material.RealStudies,
    tmp_path: Path,
) -> None:
    """Burnish has one instance; dcmqrscp has the rest of its series, Orthanc another study."""
    series = real_studies.tiny[:20]
    other_instance = real_studies.tiny[20]
    other_study = real_studies.charsets[:3]
    assert clients.dcmsend(burnish.port, series[0]).exit_code == 0
    orthanc.store(other_study)
    dcmqrscp = Dcmqrscp(
        tmp_path / "dcmqrscp", PORTS["DCMQRSCP"], burnish.port, [*series, other_instance]
    )
    lost = material.read(real_studies.patients[-1])
    with clients.MediaCreation(burnish.port) as client:
        assert client.create(clients.references([*series, *other_study]))[0] == 0
        complete = client.sop_instance_uid
        assert client.initiate(complete)[0] == 0
        assert client.create(clients.references([other_instance, lost]))[0] == 0
        incomplete = client.sop_instance_uid
        assert client.initiate(incomplete)[0] == 0

        def ended() -> bool:
            states = {client.get(uid)[1].ExecutionStatus for uid in (complete, incomplete)}
            return states <= {"DONE", "FAILURE"}

        wait_until(ended, what="both requests to end")
        _, attributes = client.get(complete)
        assert attributes.ExecutionStatus == "DONE", burnish.tail()
        _, attributes = client.get(incomplete)
        assert attributes.ExecutionStatus == "FAILURE"
        assert attributes.ExecutionStatusInfo == "NO_INSTANCE"
        (failed,) = attributes.FailedSOPSequence
        assert failed.ReferencedSOPInstanceUID == lost.SOPInstanceUID
        assert failed.FailureReason == 0x0112
    dcmqrscp.end()

    def reasons() -> set[str]:
        return {event["why"] for event in burnish.cli("request", "show", complete)["events"]}

    # media are made as soon as everything is there, perhaps before the archive has answered
    wait_until(
        lambda: "3 of 3 missing instances from ORTHANC" in reasons(),
        what="the end of the retrieval",
    )
    assert "19 of 22 missing instances from DCMQRSCP" in reasons()
