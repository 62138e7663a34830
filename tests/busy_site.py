"""A service at work in an invented hospital: patients, requests in every state, devices, peers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from burnish.cli.demo.peer import DemoPeer
from burnish.identifiers import new_uid
from flow import clients
from flow.archives import Dcmqrscp
from flow.service import Service
from ports import free_port
from robots.epson import EpsonRobot
from waiting import wait_until

USER, PASSWORD = "anna", "a sentence for tests"
_CT, _MR, _CR = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.1",
)
_STORAGE = {"CT": _CT, "MR": _MR, "CR": _CR}


@dataclass(frozen=True)
class Patient:
    """A patient of the hospital."""

    name: str
    id: str
    birth_date: str
    sex: str


@dataclass(frozen=True)
class Series:
    """A series of images with this number of rows and columns."""

    modality: str
    description: str
    images: int
    size: int


WEBER = Patient("Weber^Katharina", "100482", "19610314", "F")
SILVA = Patient("Silva^João", "100519", "19870922", "M")
YAMADA = Patient("Yamada^Tarou=山田^太郎=やまだ^たろう", "100533", "19550703", "M")
OKAFOR = Patient("Okafor^Ngozi", "100547", "19740118", "F")
NOVAK = Patient("Nováková^Jana", "100561", "19920530", "F")
HANSEN = Patient("Hansen^Ole", "100570", "19481211", "M")


def study(
    patient: Patient, description: str, date: str, accession: str, *series: Series
) -> list[FileDataset]:
    """The instances of a new study: pictures of an ellipse with noise."""
    study_uid = new_uid()
    return [
        instance
        for number, of_series in enumerate(series, start=1)
        for instance in _instances(
            patient, (study_uid, description, date, accession), number, of_series
        )
    ]


def _instances(
    patient: Patient, of_study: tuple[str, str, str, str], number: int, series: Series
) -> Iterator[FileDataset]:
    study_uid, description, date, accession = of_study
    series_uid, random = new_uid(), np.random.default_rng(number)
    place = np.linspace(-1, 1, series.size)
    distance = np.hypot(place[None, :] / 0.8, place[:, None] / 0.65)
    for image in range(series.images):
        pixels = np.where(distance < 0.9 + 0.05 * np.sin(image / 9), 900, 20)
        pixels += random.integers(0, 120, pixels.shape)
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = _STORAGE[series.modality]
        meta.MediaStorageSOPInstanceUID = new_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        instance = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        instance.SpecificCharacterSet = "ISO_IR 192"
        instance.SOPClassUID = meta.MediaStorageSOPClassUID
        instance.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        instance.PatientName, instance.PatientID = patient.name, patient.id
        instance.PatientBirthDate, instance.PatientSex = patient.birth_date, patient.sex
        instance.StudyInstanceUID, instance.StudyDescription = study_uid, description
        instance.StudyDate, instance.StudyTime, instance.StudyID = date, "101500", "1"
        instance.AccessionNumber, instance.ReferringPhysicianName = accession, "Roe^Richard"
        instance.SeriesInstanceUID, instance.SeriesNumber = series_uid, number
        instance.SeriesDescription, instance.Modality = series.description, series.modality
        instance.InstanceNumber = image + 1
        instance.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        instance.ImagePositionPatient = [0, 0, image * 2.5]
        instance.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        instance.PixelSpacing, instance.SliceThickness = [0.7, 0.7], 2.5
        instance.FrameOfReferenceUID = f"{series_uid}.1"
        instance.SamplesPerPixel, instance.PhotometricInterpretation = 1, "MONOCHROME2"
        instance.Rows = instance.Columns = series.size
        instance.BitsAllocated, instance.BitsStored, instance.HighBit = 16, 12, 11
        instance.PixelRepresentation = 0
        instance.RescaleIntercept, instance.RescaleSlope = -100, 1
        instance.WindowCenter, instance.WindowWidth = 400, 1000
        instance.PixelData = pixels.astype("<u2").tobytes()
        yield instance


class SlowRobot(EpsonRobot):
    """A robot that can be told to stay in the middle of its job."""

    is_stuck = False

    def _go_on(self, name: str) -> None:
        if not self.is_stuck:
            super()._go_on(name)


class BusySite:
    """The service, its robot, and an administrator who can sign in."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.web_port, self.archive_port = free_port(), free_port()
        for name in ("jobs", "exchange", "images", "stick"):
            (directory / name).mkdir()
        secret = directory / "webhook.secret"
        secret.write_text("a secret for tests\n")
        secret.chmod(0o600)
        self.robot = SlowRobot(directory / "jobs", directory / "exchange", blanks=41)
        self.service = Service(
            directory / "burnish",
            free_port(),
            {
                "web": {"enabled": True, "port": self.web_port},
                "content": {"pages": True},
                "dicom": {"accept_unknown_peers": False},
                "device": [
                    {"name": "outbox", "media": ["CD"], "capacity": "30 MB"},
                    {
                        "name": "producer",
                        "kind": "epson",
                        "directory": str(directory / "jobs"),
                        "exchange": str(directory / "exchange"),
                        "compares": True,
                        "media": ["CD", "DVD"],
                    },
                    {"name": "drive", "kind": "optical", "drive": "/dev/sr7", "media": ["DVD"]},
                ],
                "peer": [
                    {"ae_title": "CT_ROOM_1", "may": ["echo", "store", "media"]},
                    {"ae_title": "MR_ROOM_2", "may": ["echo", "store"]},
                    {"ae_title": "DEMO", "may": ["echo", "store", "media"]},
                    {
                        "ae_title": "DCMQRSCP",
                        "host": "127.0.0.1",
                        "port": self.archive_port,
                        "may": ["echo", "store", "retrieve"],
                    },
                ],
                "standing_order": [
                    {
                        "name": "discs_of_mr_room",
                        "calling_ae_titles": ["MR_ROOM_2"],
                        "quiet_period": "90m",
                    }
                ],
                "notify": {
                    "after": "1s",
                    "receiver": [
                        {
                            "name": "duty",
                            "kind": "webhook",
                            "url": f"http://127.0.0.1:{free_port()}/burnish",
                            "secret_file": str(secret),
                        },
                        {"name": "pager", "kind": "command", "command": ["/bin/true"]},
                    ],
                },
            },
        )
        self.address = f"http://127.0.0.1:{self.web_port}"
        self._directory = directory
        self._archive: Dcmqrscp | None = None

    def start(self) -> None:
        self.robot.start(0.1)
        self.service.start(calling="CT_ROOM_1")
        self.service.run("user", "add", USER, "--role", "administrator")
        subprocess.run(
            [sys.executable, "-m", "burnish", "user", "password", USER, "--stdin"],
            input=PASSWORD,
            text=True,
            check=True,
            env={**os.environ, "BURNISH_CONFIG": str(self.service.config)},
        )

    def stop(self) -> None:
        self.robot.stop()
        if self._archive is not None:
            self._archive.end()
        if self.service.running:
            self.service.stop()

    def send(self, calling: str, instances: list[FileDataset]) -> str:
        """C-STORE of a study; its UID."""
        assert set(clients.send(self.service.port, instances, calling=calling)) == {0}
        return str(instances[0].StudyInstanceUID)

    def create(self, *arguments: str, initiate: bool = True) -> str:
        """A request by the command line; its name."""
        more = ["--initiate"] if initiate else []
        created = self.service.run("request", "create", *arguments, "--several-patients", *more)
        assert created.returncode == 0, created.stderr
        return created.stdout.strip()

    def wait_for(self, name: str, *statuses: str) -> None:
        """Waits until a request has one of these statuses."""

        def status() -> bool:
            shown = self.service.cli("request", "show", name)
            return shown["execution_status"] in statuses

        wait_until(status, what=f"{name} {statuses}")

    def fill(self) -> None:
        """Requests that are done, failed, held, waiting, being made, and what waits for nobody."""
        thorax = Series("CT", "Thorax 2.5 mm", 40, 512)
        scout = Series("CT", "Topogram", 2, 512)
        lung = Series("CT", "Lung 1 mm", 60, 512)
        weber = self.send(
            "CT_ROOM_1", study(WEBER, "CT thorax", "20261126", "A26-11871", scout, thorax, lung)
        )
        weber_knee = self.send(
            "MR_ROOM_2",
            study(
                WEBER,
                "MR knee left",
                "20240612",
                "A24-06122",
                Series("MR", "t1 tse sag", 20, 256),
                Series("MR", "pd fs cor", 22, 256),
            ),
        )
        silva = self.send(
            "CT_ROOM_1",
            study(SILVA, "Chest PA", "20261127", "A26-11902", Series("CR", "PA", 1, 1024)),
        )
        yamada = self.send(
            "CT_ROOM_1", study(YAMADA, "CT abdomen", "20261127", "A26-11915", scout, thorax)
        )
        okafor = self.send(
            "MR_ROOM_2",
            study(
                OKAFOR,
                "MR brain",
                "20261128",
                "A26-11930",
                Series("MR", "t2 flair tra", 24, 256),
                Series("MR", "dwi b1000", 24, 128),
            ),
        )
        hansen = self.send(
            "CT_ROOM_1",
            study(HANSEN, "Pelvis AP", "20261128", "A26-11933", Series("CR", "AP", 2, 1024)),
        )
        self.done = self.create(
            "--study", weber, "--device", "outbox", "--label-text", "for Dr. Roe", "--copies", "2"
        )
        self.wait_for(self.done, "DONE")
        self.two_patients = self.create("--study", silva, "--study", hansen, "--device", "producer")
        self.wait_for(self.two_patients, "DONE")
        self.robot.faults.append("ruin")
        self.ruined = self.create("--study", yamada, "--device", "producer", "--priority", "HIGH")
        self.wait_for(self.ruined, "DONE")
        media = self.service.cli("media", "list")["items"]
        created = [piece["name"] for piece in media if piece["outcome"] == "created"]
        self.service.run("media", "note", created[-1], "--given-out-to", "Frau Weber, 27 November")
        self.robot.is_stuck = True
        self.making = self.create("--study", okafor, "--device", "producer")
        self.wait_for(self.making, "CREATING")
        self.waiting = self.create("--study", yamada, "--device", "producer")
        self.needs_person = self.create("--study", hansen, "--device", "drive")
        self.held = self.create("--study", weber_knee, "--device", "outbox", initiate=False)
        self.service.run("request", "hold", self.held)
        self.not_started = self.create("--study", silva, initiate=False)
        cancelled = self.create("--study", silva, initiate=False)
        self.service.run("request", "cancel", cancelled)
        archived = []
        for number, of_patient in enumerate((OKAFOR, NOVAK)):
            series = Series("MR", "t1", 4, 128)
            for instance in study(of_patient, "MR brain", "20230411", f"A23-0{number}77", series):
                path = self._directory / f"{instance.SOPInstanceUID}.dcm"
                instance.save_as(path, enforce_file_format=True)
                archived.append(path)
        self._archive = Dcmqrscp(
            self._directory / "archive", self.archive_port, self.service.port, archived
        )
        uid = DemoPeer(self.service.port).request_media([(_CT, new_uid()), (_CT, new_uid())])
        self.failed = self.service.cli("request", "show", uid)["short_id"]
        self.wait_for(self.failed, "FAILURE")
        # what nobody has requested media for
        self.send(
            "MR_ROOM_2",
            study(NOVAK, "MR lumbar spine", "20261128", "A26-11951", Series("MR", "t2", 18, 256)),
        )
        self.send(
            "CT_ROOM_1",
            study(WEBER, "CT thorax follow-up", "20261128", "A26-11960", scout),
        )
        other_name = Patient("Hansen^Olaf", HANSEN.id, HANSEN.birth_date, HANSEN.sex)
        self.send(
            "CT_ROOM_1",
            study(other_name, "Hip", "20261128", "A26-11962", Series("CR", "axial", 1, 512)),
        )
        mixed = study(NOVAK, "CT sinus", "20261128", "A26-11970", scout)
        mixed[1].PatientName, mixed[1].PatientID = OKAFOR.name, OKAFOR.id
        self.contradictory_study = self.send("CT_ROOM_1", mixed)
        for calling in ("US_ROOM_4", "PACS_OLD"):
            clients.echo(self.service.port, calling=calling)
        clients.echo(self.service.port, called="WRONG", calling="CT_ROOM_1")
