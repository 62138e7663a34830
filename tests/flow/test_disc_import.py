"""`burnish disc import` to Orthanc and dcmqrscp, with the volumes of several writers."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

import material
import oracles
from flow import clients
from flow.archives import HOST, Dcmqrscp, Orthanc
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port

PORTS = {"ORTHANC": free_port(), "DCMQRSCP": free_port()}


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    peers = [{"ae_title": title, "host": HOST, "port": port} for title, port in PORTS.items()]
    return start_shared(peer=peers)


@pytest.fixture(scope="module")
def orthanc(burnish: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    directory = tmp_path_factory.mktemp("orthanc") / "orthanc"
    running = Orthanc(directory, PORTS["ORTHANC"], burnish.port)
    yield running
    running.end()


@pytest.fixture(scope="module")
def dcmqrscp(
    burnish: Service,
    tmp_path_factory: pytest.TempPathFactory,
    real_studies: material.RealStudies,
) -> Iterator[Dcmqrscp]:
    directory = tmp_path_factory.mktemp("dcmqrscp") / "dcmqrscp"
    first = [real_studies.file("CT_small.dcm")]
    running = Dcmqrscp(directory, PORTS["DCMQRSCP"], burnish.port, first)
    yield running
    running.end()


def _files(folder: Path, studies: material.RealStudies) -> Path:
    (folder / "DICOM").mkdir(parents=True)
    for number, path in enumerate(studies.patients[::4]):
        shutil.copy(path, folder / "DICOM" / f"IM{number:06d}")
    return folder


def by_burnish(folder: Path, studies: material.RealStudies, burnish: Service) -> Path:
    files = _files(folder / "files", studies)
    done = burnish.cli("disc", "build", str(files), "--output", str(folder / "out"), "--json")
    return Path(done["volumes"][0]["image"])


def by_dcmmkdir(folder: Path, studies: material.RealStudies, _: Service) -> Path:
    files = _files(folder, studies)
    oracles.run("dcmmkdir", "-Pgp", "-W", "+r", "DICOM", cwd=files)
    return files


def by_gdcmgendir(folder: Path, studies: material.RealStudies, _: Service) -> Path:
    files = _files(folder, studies)
    command = (clients.program("gdcmgendir"), "-r", "-i", ".", "-o", "DICOMDIR")
    oracles.run(*command, cwd=files)
    return files


WRITERS: list[Callable[[Path, material.RealStudies, Service], Path]] = [
    by_burnish,
    by_dcmmkdir,
    by_gdcmgendir,
]


@pytest.mark.parametrize("writer", WRITERS)
def test_orthanc_has_every_instance_of_the_volume(
    writer: Callable[[Path, material.RealStudies, Service], Path],
    burnish: Service,
    orthanc: Orthanc,
    tmp_path: Path,
    real_studies: material.RealStudies,
) -> None:
    volume = writer(tmp_path / "volume", real_studies, burnish)
    done = burnish.cli("disc", "import", str(volume), "--to", "ORTHANC", "--json")
    expected = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[::4]}
    assert done["complete"], done
    assert done["accepted"] == done["listed"] == len(expected)
    stored = {
        orthanc.get(f"/instances/{instance}")["MainDicomTags"]["SOPInstanceUID"]
        for instance in orthanc.get("/instances")
    }
    assert expected <= stored


def test_dcmqrscp_has_every_instance_of_the_volume(
    burnish: Service, dcmqrscp: Dcmqrscp, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    volume = by_dcmmkdir(tmp_path / "volume", real_studies, burnish)
    done = burnish.cli("disc", "import", str(volume), "--to", "DCMQRSCP", "--json")
    assert done["complete"], done
    stored = set()
    for path in dcmqrscp.storage.glob("*.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored.add(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID))
    expected = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[::4]}
    assert expected <= stored


def test_a_running_service_takes_the_instances_of_a_volume(
    burnish: Service, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    volume = by_dcmmkdir(tmp_path / "volume", real_studies, burnish)
    done = burnish.cli("disc", "import", str(volume), "--into", "--json")
    assert done["complete"], done
    for path in real_studies.patients[::4]:
        assert oracles.live_instances(burnish, str(material.read(path).SOPInstanceUID))
