"""SIGKILL of the whole service at any moment loses nothing that was acknowledged."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom.uid import generate_uid

import material
import oracles
from burnish.spool import segment
from factories import instance
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from raw_dicom import EXPLICIT, Raw, c_store_rq, pdv
from waiting import wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def ct(real_studies: material.RealStudies) -> bytes:
    return oracles.data_set_bytes(real_studies.file("CT_small.dcm"))[1]


def with_uid(data: bytes, uid: str) -> bytes:
    """The CT image with another SOP Instance UID of the same length."""
    old = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
    assert data.count(old) == 1
    assert len(uid) == len(old)
    return data.replace(old, uid.encode())


def uid_of(number: int) -> str:
    return f"1.2.826.0.1.3680043.10.999.3.{number:018d}"


@pytest.mark.parametrize("durability", ["full", "os"])
def test_acknowledged_instances_are_stored_after_a_kill(
    start_burnish: StartBurnish, ct: bytes, durability: str
) -> None:
    """SIGKILL while four senders store at full speed, three times."""
    service = start_burnish(storage={"durability": durability})
    acknowledged: dict[str, bytes] = {}
    base = 10**17
    for turn in range(3):
        stop = threading.Event()

        def sender(first: int, stop: threading.Event = stop) -> None:
            number = first
            try:
                with Raw(service.port, [(CT, [EXPLICIT])]) as raw:
                    while not stop.is_set():
                        uid = uid_of(number)
                        data = with_uid(ct, uid)
                        if raw.store(CT, uid, data)[0] == 0:
                            acknowledged[uid] = data
                        number += 1
            except (OSError, AssertionError):
                return  # the service was killed

        before = len(acknowledged)
        threads = [
            threading.Thread(target=sender, args=(base + turn * 10**8 + thread * 10**6,))
            for thread in range(4)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(acknowledged) > before + 40, what="instances")  # noqa: B023
        service.kill()
        stop.set()
        for thread in threads:
            thread.join(300)
        service.start()
        assert [name for name in oracles.incoming(service) if not is_segment_ahead(name)] == []
        stored = {row["sop_instance_uid"]: row for row in oracles.live_instances(service)}
        for uid, data in acknowledged.items():
            assert oracles.spooled(service, stored[uid]) == data
        for row in stored.values():
            size = len(oracles.spooled_file(service, row))
            assert size == row["size"], "each row has its complete file"


def is_segment_ahead(name: str) -> bool:
    """Whether a file that is arriving is a segment that was created ahead."""
    return name.endswith((segment.SUFFIX, segment.UNFINISHED))


def test_reception_goes_on_without_the_process_that_creates_segments(
    start_burnish: StartBurnish,
) -> None:
    service = start_burnish(storage={"durability": "os"}, dicom={"receivers": 1})
    incoming = service.root / "spool" / "incoming"
    wait_until(lambda: len(list(incoming.glob("*.seg"))) == 2, what="segments created ahead")
    victim = service.roles()[-1]
    os.kill(victim.pid, signal.SIGSTOP)  # not restarted, as one that ends would be
    samples = [instance(instance_number=number, size=1_500_000) for number in range(150)]
    with Raw(service.port, [(samples[0].sop_class_uid, [EXPLICIT])]) as raw:
        for sample in samples:
            uid = sample.sop_instance_uid
            assert raw.store(sample.sop_class_uid, uid, sample.data_set)[0] == 0
    assert list(incoming.iterdir()) == []
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(lambda: len(list(incoming.glob("*.seg"))) == 2, what="a process that creates more")
    stored = {row["sop_instance_uid"]: row for row in oracles.live_instances(service)}
    for sample in samples:
        assert oracles.spooled(service, stored[sample.sop_instance_uid]) == sample.data_set
    service.stop()
    assert list(incoming.iterdir()) == []


def test_an_incomplete_instance_is_removed_after_a_kill(
    start_burnish: StartBurnish, ct: bytes
) -> None:
    service = start_burnish()
    uid = str(generate_uid())
    with Raw(service.port, [(CT, [EXPLICIT])]) as raw:
        raw.send_values([pdv(1, 3, c_store_rq(CT, uid)), pdv(1, 0, ct[:10_000])])
        raw.send_values([pdv(1, 0, bytes(8192))] * 300)  # too large for memory
        wait_until(lambda: oracles.incoming(service), what="a file in incoming/")
        service.kill()
    service.start()
    assert oracles.incoming(service) == []
    assert not oracles.live_instances(service, uid)


def pieces(service: Service) -> list[Any]:
    return oracles.rows(service, "SELECT * FROM piece ORDER BY id")


def request(service: Service, files: tuple[Path, ...], copies: int, profile: str = "") -> str:
    with MediaCreation(service.port) as scu:
        assert scu.create(clients.references(files, profile))[0] == 0
        assert scu.initiate(scu.sop_instance_uid, copies=copies)[0] == 0
        return scu.sop_instance_uid


def assert_done(service: Service, uid: str, copies: int, *, others: int = 0) -> list[Path]:
    """The request reaches DONE, with every copy of every volume once and complete.

    `others` is the number of images of other requests.
    """

    def ended() -> Any:
        with MediaCreation(service.port) as scu:
            status, attributes = scu.get(uid)
        assert status == 0
        return attributes if attributes.ExecutionStatus in ("DONE", "FAILURE") else None

    attributes = wait_until(ended, what="the end of the request")
    assert attributes.ExecutionStatus == "DONE", (attributes.ExecutionStatusInfo, service.tail())
    volumes = oracles.rows(
        service,
        "SELECT f.*, r.id AS number FROM file_set f JOIN media_creation_request r"
        " ON f.request_id = r.id WHERE r.sop_instance_uid = ?",
        uid,
    )
    assert attributes.TotalNumberOfPiecesOfMediaCreated == copies * len(volumes)
    created = [row for row in pieces(service) if row["state"] == "CREATED"]
    assert len({(row["file_set_id"], row["copy_number"]) for row in created}) == len(created)
    images = sorted(service.outbox.glob(f"R{volumes[0]['number']:06d}/*.iso"))
    assert len(images) == copies * len(volumes)
    expected_images = len(images) + others
    wait_until(
        lambda: len(list(service.outbox.glob("R*/*.iso"))) == expected_images, what="no other image"
    )
    for image in images:
        assert image.with_suffix(".json").is_file()
        [row] = [row for row in volumes if row["file_set_id"] == oracles.volume_identifier(image)]
        assert image.stat().st_size == row["predicted_size"]
        assert "Everything is Ok" in oracles.run("7z", "t", image)
    wait_until(lambda: not list((service.root / "images").iterdir()), what="an empty images/")
    assert not list((service.outbox / ".staging").glob("*"))
    return images


def assert_published_images_are_complete(service: Service) -> None:
    """An image that has its manifest is complete, also while the service does not run."""
    for manifest in service.outbox.rglob("*.json"):
        image = manifest.with_suffix(".iso")
        assert image.is_file()
        assert "Everything is Ok" in oracles.run("7z", "t", image)


MOMENTS: dict[str, Callable[[Service], bool]] = {
    "initiated": lambda _service: True,
    "planned": lambda service: bool(pieces(service)),
    "IMAGING": lambda service: "IMAGING" in [row["state"] for row in pieces(service)],
    "WRITING": lambda service: "WRITING" in [row["state"] for row in pieces(service)],
    "VERIFYING": lambda service: "VERIFYING" in [row["state"] for row in pieces(service)],
    "first piece": lambda service: "CREATED" in [row["state"] for row in pieces(service)],
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_media_are_created_after_a_kill_at_any_moment(
    start_burnish: StartBurnish, real_studies: material.RealStudies, moment: str
) -> None:
    """A state may pass unnoticed. Then the kill comes later, and the same must hold."""
    service = start_burnish(device=[{"name": "outbox", "media": ["CD"], "capacity": "150KB"}])
    files = real_studies.patients
    assert clients.dcmsend(service.port, *files).exit_code == 0
    uid = request(service, files, copies=2)

    def reached() -> bool:
        states = [row["state"] for row in pieces(service)]
        return MOMENTS[moment](service) or (
            bool(states) and all(state == "CREATED" for state in states)
        )

    wait_until(reached, what=moment)
    service.kill()
    assert_published_images_are_complete(service)
    service.start()
    images = assert_done(service, uid, copies=2)
    uids: dict[str, int] = {}
    for number, image in enumerate(images):
        root = oracles.extract(image, service.root.parent / f"disc{number}")
        for uid in oracles.file_set(root):
            uids[uid] = uids.get(uid, 0) + 1
    assert uids == {str(material.read(path).SOPInstanceUID): 2 for path in files}


def test_a_request_is_completed_after_a_kill_during_conversions(
    start_burnish: StartBurnish, real_studies: material.RealStudies
) -> None:
    service = start_burnish()
    files = real_studies.others
    assert clients.dcmsend(service.port, *files).statuses == {0: len(files)}
    uid = request(service, files, copies=1, profile="STD-GEN-CD")
    wait_until(
        lambda: (
            oracles.incoming(service) or oracles.rows(service, "SELECT 1 FROM transcoded_instance")
        ),
        what="a conversion",
    )
    service.kill()
    service.start()
    assert_done(service, uid, copies=1)
    assert oracles.incoming(service) == []


@pytest.mark.parametrize("role", ["scheduler", "writer", "receiver"])
def test_a_process_that_dies_is_restarted(
    start_burnish: StartBurnish, real_studies: material.RealStudies, role: str
) -> None:
    service = start_burnish()
    files = real_studies.patients[:4]
    assert clients.dcmsend(service.port, *files).exit_code == 0
    victim = service.roles()[["scheduler", "writer", "receiver"].index(role)]
    descendants = victim.children(recursive=True)
    os.kill(victim.pid, signal.SIGKILL)
    wait_until(
        lambda: "a process ended by itself" in service.log.read_text(),
        what="the log line of the supervisor",
    )
    wait_until(lambda: clients.echo(service.port) == 0, what="an echo")
    uid = request(service, files, copies=1)
    assert_done(service, uid, copies=1)
    _, alive = psutil.wait_procs(descendants, timeout=300)
    assert not alive, "its child processes have ended"


def test_no_child_outlives_the_supervisor(
    start_burnish: StartBurnish, real_studies: material.RealStudies
) -> None:
    """After SIGKILL of the supervisor alone, its children end by themselves."""
    service = start_burnish()
    files = (real_studies.file("JPEG2000.dcm"), *real_studies.patients[:2])
    assert clients.dcmsend(service.port, *files).exit_code == 0
    assert_done(service, request(service, files, copies=1, profile="STD-GEN-CD"), copies=1)
    supervisor, *children = service.processes()
    supervisor.kill()
    _, alive = psutil.wait_procs(children, timeout=300)
    service.kill()
    for process in alive:
        process.kill()
    assert not alive, alive
    service.start()
    assert clients.echo(service.port) == 0
