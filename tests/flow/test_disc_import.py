"""`burnish disc import` to Orthanc and dcmqrscp, with the volumes of several writers."""

import gc
import json
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet

import material
import oracles
from flow import clients
from flow.archives import HOST, Dcmqrscp, Orthanc
from flow.conftest import StartBurnish
from flow.service import Service
from ports import free_port
from waiting import wait_until

PORTS = {name: free_port() for name in ("ORTHANC", "DCMQRSCP", "STORESCP")}


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


def by_genisoimage(folder: Path, studies: material.RealStudies, service: Service) -> Path:
    """A File-set of dcmmkdir in an image of genisoimage."""
    files = by_dcmmkdir(folder, studies, service)
    target = folder.with_suffix(".iso")
    oracles.run("genisoimage", "-quiet", "-o", target, files)
    return target


def by_pydicom(folder: Path, studies: material.RealStudies, _: Service) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom leaves it to Python to remove a folder
        file_set = FileSet()
        for path in studies.patients[::4]:
            file_set.add(material.read(path))
        file_set.write(folder)
        del file_set
        gc.collect()
    return folder


WRITERS: list[Callable[[Path, material.RealStudies, Service], Path]] = [
    by_burnish,
    by_dcmmkdir,
    by_gdcmgendir,
    by_genisoimage,
    by_pydicom,
]


def stored_in(orthanc: Orthanc) -> set[str]:
    """The SOP Instance UIDs of all that an Orthanc has."""
    instances = orthanc.get("/instances?expand")
    return {str(instance["MainDicomTags"]["SOPInstanceUID"]) for instance in instances}


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
    assert expected <= stored_in(orthanc)


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


def small(folder: Path, studies: material.RealStudies) -> Path:
    """A File-set of four instances, by dcmmkdir."""
    (folder / "DICOM").mkdir(parents=True)
    for number, path in enumerate(studies.patients[:4]):
        shutil.copy(path, folder / "DICOM" / f"IM{number:06d}")
    oracles.run("dcmmkdir", "-Pgp", "-W", "+r", "DICOM", cwd=folder)
    return folder


def lose_a_file(volume: Path) -> str:
    (volume / "DICOM" / "IM000000").unlink()
    return "missing"


def cut_a_file(volume: Path) -> str:
    path = volume / "DICOM" / "IM000000"
    path.write_bytes(path.read_bytes()[:700])
    return "failed"


def list_another_instance(volume: Path) -> str:
    """A record that says that its file is another instance than it is."""
    path = volume / "DICOM" / "IM000000"
    uid = str(material.read(path).SOPInstanceUID).encode()
    other = uid[:-1] + (b"1" if uid[-1:] != b"1" else b"2")
    data = (volume / "DICOMDIR").read_bytes()
    (volume / "DICOMDIR").write_bytes(data.replace(uid, other))
    return "failed"


def list_a_file_twice(volume: Path) -> str:
    data = (volume / "DICOMDIR").read_bytes()
    (volume / "DICOMDIR").write_bytes(data.replace(rb"DICOM\IM000001", rb"DICOM\IM000000"))
    return "unlisted"


def add_a_file(volume: Path) -> str:
    extra = material.read(volume / "DICOM" / "IM000000")
    extra.SOPInstanceUID = extra.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5.6"
    extra.save_as(volume / "DICOM" / "EXTRA")
    return "unlisted"


def cut_the_dicomdir(volume: Path) -> str:
    data = (volume / "DICOMDIR").read_bytes()
    (volume / "DICOMDIR").write_bytes(data[: len(data) // 2])
    return "damage"


@pytest.mark.parametrize(
    "damage",
    [
        lose_a_file,
        cut_a_file,
        list_another_instance,
        list_a_file_twice,
        add_a_file,
        cut_the_dicomdir,
    ],
)
def test_what_is_wrong_with_a_volume_is_told_and_the_rest_is_at_the_archive(
    damage: Callable[[Path], str],
    burnish: Service,
    dcmqrscp: Dcmqrscp,
    tmp_path: Path,
    real_studies: material.RealStudies,
) -> None:
    volume = small(tmp_path / "volume", real_studies)
    key = damage(volume)
    done = burnish.run("disc", "import", str(volume), "--to", "DCMQRSCP", "--json")
    report = json.loads(done.stdout)
    assert report[key]
    whole = 4 if key == "damage" else 3
    assert report["accepted"] >= whole
    assert done.returncode == (0 if key == "unlisted" else 24)
    stored = {uid_of(path) for path in dcmqrscp.storage.glob("*.dcm")}
    assert {uid_of(path) for path in real_studies.patients[2:4]} <= stored


def uid_of(path: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)


def test_a_secure_volume_is_imported_with_its_password_only(
    burnish: Service, orthanc: Orthanc, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    files = small(tmp_path / "files", real_studies)
    for name in ("right", "wrong"):
        (tmp_path / name).write_text(f"{name} words that nobody guesses\n")
    options = ("--profile", "STD-GEN-SEC-CD", "--password-file", str(tmp_path / "right"))
    built = burnish.cli("disc", "build", str(files), "--output", str(tmp_path / "out"), *options)
    command = ("disc", "import", built["volumes"][0]["image"], "--to", "ORTHANC")
    assert burnish.run(*command).returncode == 13
    assert burnish.run(*command, "--password-file", str(tmp_path / "wrong")).returncode == 13
    done = burnish.cli(*command, "--password-file", str(tmp_path / "right"))
    assert done["accepted"] == 4
    uids = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[:4]}
    assert uids <= stored_in(orthanc)


@pytest.mark.parametrize(
    ("profile", "suffix"), [("STD-GEN-ZIP-MAIL", ".zip"), ("STD-GEN-MIME", ".eml")]
)
def test_a_zip_file_and_a_message_are_imported(
    profile: str,
    suffix: str,
    burnish: Service,
    orthanc: Orthanc,
    tmp_path: Path,
    real_studies: material.RealStudies,
) -> None:
    files = small(tmp_path / "files", real_studies)
    options = ("--output", str(tmp_path / "out"), "--profile", profile)
    built = burnish.cli("disc", "build", str(files), *options)
    image = built["volumes"][0]["image"]
    assert image.lower().endswith(suffix)
    done = burnish.cli("disc", "import", image, "--to", "ORTHANC")
    assert (done["accepted"], done["complete"]) == (4, True)
    uids = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[:4]}
    assert uids <= stored_in(orthanc)


def test_both_sessions_of_a_disc_in_a_drive_are_imported(
    burnish: Service, orthanc: Orthanc, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """The drive is a pseudo-drive of libburn; what is in its file is what a drive would read."""
    files = small(tmp_path / "files", real_studies)
    burnish.cli("disc", "build", str(files), "--output", str(tmp_path / "out"))
    drive = tmp_path / "drive"
    image = tmp_path / "out" / "VOLUME01.iso"
    command = (*("xorriso", "-as", "cdrecord", f"dev=stdio:{drive}"), "-multi", str(image))
    subprocess.run(command, check=True, capture_output=True)
    more = str(real_studies.patients[4])
    burnish.cli("disc", "append", f"stdio:{drive}", more, "--other-patient", "--no-eject")
    done = burnish.cli("disc", "import", str(drive), "--to", "ORTHANC")
    assert (done["accepted"], done["complete"]) == (5, True)
    uids = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[:5]}
    assert uids <= stored_in(orthanc)


def test_an_archive_that_aborts_ends_the_import_and_a_second_run_sends_the_rest(
    burnish: Service, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """storescp of DCMTK aborts the association after each instance, before it answers."""
    volume = small(tmp_path / "volume", real_studies)
    for option, outcome in (("--abort-after", 24), ("--abort-during", 24), ("--verbose", 0)):
        with storescp(tmp_path / option.strip("-"), option):
            done = burnish.run("disc", "import", str(volume), "--to", "STORESCP", "--json")
        report = json.loads(done.stdout)
        assert done.returncode == outcome or report["accepted"] == 0, done.stdout
        assert bool(report["stopped"] or report["failed"]) is (outcome != 0)
    assert report["accepted"] == 4


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir()
    command = (clients.program("storescp"), *options, "-od", str(folder), str(PORTS["STORESCP"]))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _listens(PORTS["STORESCP"]), what="a storescp that listens")
        yield
    finally:
        process.terminate()
        process.wait(300)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def test_an_import_that_was_killed_goes_on_where_it_was(
    burnish: Service, orthanc: Orthanc, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    volume = by_dcmmkdir(tmp_path / "volume", real_studies, burnish)
    state = tmp_path / "state"
    command = ("disc", "import", str(volume), "--to", "ORTHANC", "--state", str(state))
    program = (sys.executable, "-m", "burnish", *command, "--config", str(burnish.config))
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL)
    wait_until(
        lambda: state.exists() and state.read_text().count("destination") >= 2,
        what="two instances at the archive",
    )
    process.kill()
    process.wait(300)
    killed_after = state.read_text().count("destination")
    done = burnish.cli(*command)
    assert done["before"] >= 2
    assert done["before"] + done["accepted"] == done["listed"]
    assert done["complete"]
    assert killed_after >= 2
    uids = {str(material.read(path).SOPInstanceUID) for path in real_studies.patients[::4]}
    assert uids <= stored_in(orthanc)


@pytest.mark.usefixtures("orthanc")
def test_the_file_sets_of_a_wider_collection_are_imported(
    burnish: Service, tmp_path: Path, wider_collection: material.WiderCollection
) -> None:
    """Of fileset-pcir, the DICOMDIRs that are not standard, too."""
    if not wider_collection:
        return
    for name in ("fileset-tiny-alpha", "fileset-pcir"):
        folder = tmp_path / name
        shutil.copytree(wider_collection.root / name, folder)
        for dicomdir in sorted(folder.glob("DICOMDIR*")):
            if dicomdir.name != "DICOMDIR":
                shutil.copyfile(dicomdir, folder / "DICOMDIR")
            done = burnish.run("disc", "import", str(folder), "--to", "ORTHANC", "--json")
            report = json.loads(done.stdout)
            assert done.returncode in (0, 24), done.stderr
            counted = report["accepted"] + report["before"] + len(report["unlisted"])
            assert counted > 0
            assert not report["failed"], report["failed"]
