"""Archives beside Burnish: Storage Commitment, and what is retrieved."""

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
    may = ["echo", "store", "media", "commit"]
    archive = [*may, "retrieve"]
    return start_shared(
        storage_commitment={"wait_for_instances": "2s", "retry_after": "500ms"},
        peer=[
            *(
                {"ae_title": title, "host": HOST, "port": PORTS[title], "may": archive}
                for title in ("DCMQRSCP", "ORTHANC")
            ),
            {"ae_title": "MODALITY", "host": HOST, "port": PORTS["MODALITY"], "may": may},
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
    """A commitment SCU: keeps the reports it gets, by Transaction UID, and how they came."""

    def __init__(self) -> None:
        self.reports: dict[str, tuple[str, int, Dataset]] = {}
        self._lock = threading.Lock()

    def taking(self, way: str) -> tuple[Any, Any]:
        def take(event: evt.Event) -> tuple[int, None]:
            data = event.event_information
            with self._lock:
                self.reports[data.TransactionUID] = (way, event.event_type, data)
            return 0, None

        return evt.EVT_N_EVENT_REPORT, take

    def serve(self) -> Any:
        ae = AE("MODALITY")
        ae.add_supported_context(PUSH, scu_role=False, scp_role=True)
        address = (HOST, PORTS["MODALITY"])
        return ae.start_server(address, block=False, evt_handlers=[self.taking("new")])

    def ask(self, service: Service, files: Any, *, stay: bool) -> str:
        """N-ACTION; then waits for the report on the same association, or releases at once."""
        wish = clients.references(files)
        wish.TransactionUID = generate_uid()
        association = clients.associate(
            service.port,
            [build_context(PUSH)],
            calling="MODALITY",
            handlers=[self.taking("same")],
        )
        answer, _ = association.send_n_action(wish, 1, PUSH, WELL_KNOWN)
        assert answer.Status == 0
        if not stay:  # before the service takes the silence for time to report
            association.release()
        assert commitments(service)[-1]["transaction_uid"] == wish.TransactionUID, "durable"
        if stay:
            wait_until(lambda: wish.TransactionUID in self.reports, what="a report")
            # pynetdicom answers it in a thread of its own: who releases now may be quicker
            wait_until(lambda: reported(service, wish.TransactionUID), what="its answer")
            association.release()
        return str(wish.TransactionUID)


def test_reports_come_by_either_way_and_across_restarts(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    files = real_studies.patients[:4]
    assert clients.dcmsend(burnish.port, *files[:3]).exit_code == 0
    modality = Modality()

    own = modality.ask(burnish, files[:3], stay=True)
    way, event_type, data = modality.reports[own]
    assert (way, event_type) == ("same", 1)
    assert len(data.ReferencedSOPSequence) == 3

    # nobody listens there yet, and the service is killed meanwhile
    late = modality.ask(burnish, files, stay=False)
    wait_until(lambda: commitments(burnish)[-1]["why"], what="an attempt in vain")
    burnish.kill()
    server = modality.serve()
    burnish.start()
    wait_until(lambda: reported(burnish, late), what="a report after the restart")
    server.shutdown()
    server.server_close()
    way, event_type, data = modality.reports[late]
    assert (way, event_type) == ("new", 2)
    assert len(data.ReferencedSOPSequence) == 3
    (failed,) = data.FailedSOPSequence
    assert failed.FailureReason == 0x0112
    assert failed.ReferencedSOPInstanceUID == material.read(files[3]).SOPInstanceUID
    states = [row["state"] for row in burnish.cli("commitment", "list")]
    assert states == ["REPORTED", "REPORTED"]


def test_orthanc_receives_the_commitment_report(
    burnish: Service, orthanc: Orthanc, real_studies: material.RealStudies
) -> None:
    """Orthanc stores, asks on a second association, and takes the report on one of ours."""
    ours = orthanc.take(real_studies.patients[4:7])
    body = b'{"Resources": [%s], "StorageCommitment": true, "Synchronous": true}' % b", ".join(
        b'"%s"' % each.encode() for each in ours
    )
    uid = orthanc.post("/modalities/burnish/store", body)["StorageCommitmentTransactionUID"]

    def known() -> Any:
        told = orthanc.get(f"/storage-commitment/{uid}")
        return told if told["Status"] != "Pending" else None

    told = wait_until(known, what="a report that Orthanc takes")
    assert told["Status"] == "Success"
    assert len(told["Success"]) == 3
    # it is written down after the peer's answer, so Orthanc may know it first
    wait_until(lambda: reported(burnish, uid), what="the report in our own record")


def test_missing_instances_are_retrieved_from_archives(
    burnish: Service,
    orthanc: Orthanc,
    real_studies: material.RealStudies,
    tmp_path: Path,
) -> None:
    """One instance is here; its series are in dcmqrscp, another study in Orthanc: C-MOVE to us."""
    series, others, alone = real_studies.tiny[:20], real_studies.charsets[:3], real_studies.tiny[20]
    assert clients.dcmsend(burnish.port, series[0]).exit_code == 0
    orthanc.take(others)
    dcmqrscp = Dcmqrscp(tmp_path / "dcmqrscp", PORTS["DCMQRSCP"], burnish.port, [*series, alone])
    lost = material.read(real_studies.patients[-1])
    with clients.MediaCreation(burnish.port) as client:
        assert client.create(clients.references([*series, *others]))[0] == 0
        found = client.sop_instance_uid
        assert client.initiate(found)[0] == 0
        assert client.create(clients.references([alone, lost]))[0] == 0
        incomplete = client.sop_instance_uid
        assert client.initiate(incomplete)[0] == 0

        def ended() -> bool:
            states = {client.get(uid)[1].ExecutionStatus for uid in (found, incomplete)}
            return states <= {"DONE", "FAILURE"}

        wait_until(ended, what="both requests to end")
        _, status = client.get(found)
        assert status.ExecutionStatus == "DONE", burnish.tail()
        _, status = client.get(incomplete)
        assert (status.ExecutionStatus, status.ExecutionStatusInfo) == ("FAILURE", "NO_INSTANCE")
        (failed,) = status.FailedSOPSequence
        assert failed.ReferencedSOPInstanceUID == lost.SOPInstanceUID
        assert failed.FailureReason == 0x0112
    dcmqrscp.end()

    def told() -> set[str]:
        return {event["why"] for event in burnish.cli("request", "show", found)["events"]}

    # media are made as soon as all is here, perhaps before the archive has said that it is done
    wait_until(
        lambda: "3 of 3 missing instances from ORTHANC" in told(), what="the end of the retrieval"
    )
    assert "19 of 22 missing instances from DCMQRSCP" in told()
