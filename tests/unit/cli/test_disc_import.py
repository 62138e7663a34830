"""`burnish disc import`: what is sent of a volume, what is told, and what a second run does."""

import gc
import shutil
import subprocess
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pynetdicom import AE, evt, register_uid
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.service_class import StorageServiceClass

import material
import oracles
from burnish.offline.disc_import import status_meaning
from burnish.values import StoreResponse
from flow.archives import HOST
from ports import free_port
from unit.cli.conftest import Run

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
JPEG_BASELINE, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
PRIVATE_CLASS = "1.2.826.0.1.3680043.8.498.77"


@dataclass
class Archive:
    """An archive in this process: what it has received, and how it answers the next C-STORE."""

    port: int
    received: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)
    associations: int = 0
    answers: Callable[[int], int] = lambda _: 0x0000

    def accepted(self, _: evt.Event) -> None:
        self.associations += 1

    def store(self, event: evt.Event) -> Dataset | int:
        request = event.request
        status = self.answers(len(self.received) + 1)
        if status < 0:
            event.assoc.abort()
            return 0xC000
        data = request.DataSet.getvalue()
        uid = str(request.AffectedSOPInstanceUID)
        syntax = str(event.context.transfer_syntax)
        self.received[uid] = (str(request.AffectedSOPClassUID), syntax, data)
        answer = Dataset()
        answer.Status = status
        if status:
            answer.ErrorComment = "said by the archive"
        return answer


@pytest.fixture
def archive() -> Iterator[Archive]:
    archive = Archive(free_port())
    ae = AE("ARCHIVE")
    syntaxes = [EXPLICIT, IMPLICIT, JPEG_BASELINE, RLE]
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, syntaxes)
    register_uid(PRIVATE_CLASS, "PrivateStorage", StorageServiceClass)
    ae.add_supported_context(PRIVATE_CLASS, syntaxes)
    ae.maximum_associations = 4
    handlers = [(evt.EVT_C_STORE, archive.store), (evt.EVT_ACCEPTED, archive.accepted)]
    server = ae.start_server((HOST, archive.port), block=False, evt_handlers=handlers)
    yield archive
    server.shutdown()


@pytest.fixture
def config(tmp_path: Path, archive: Archive) -> Path:
    path = tmp_path / "burnish.toml"
    path.write_text(
        f'[storage]\nroot = "{tmp_path / "storage"}"\n'
        f'[[peer]]\nae_title = "ARCHIVE"\nhost = "{HOST}"\nport = {archive.port}\n'
        '[[peer]]\nae_title = "MUTE"\n'
        f'[[peer]]\nae_title = "GONE"\nhost = "{HOST}"\nport = {free_port()}\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def volume(tmp_path: Path, real_studies: material.RealStudies) -> Path:
    """A File-set of three patients, made by pydicom, as a directory."""
    return written(real_studies.patients[::5], tmp_path / "volume")


def written(paths: Sequence[Path], target: Path) -> Path:
    """A File-set of these files, written by pydicom."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom leaves it to Python to remove a folder
        file_set = FileSet()
        for path in paths:
            file_set.add(material.read(path))
        file_set.write(target)
        del file_set
        gc.collect()
    return target


def data_sets(volume: Path) -> dict[str, bytes]:
    """The bytes of the data set of each file of a volume that its DICOMDIR lists."""
    files = oracles.file_set(volume)
    return {uid: oracles.data_set_bytes(path)[1] for uid, path in files.items()}


def test_every_instance_is_sent_as_it_is(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 0, done.err
    expected = data_sets(volume)
    assert {uid: data for uid, (_, _, data) in archive.received.items()} == expected
    assert done.json["accepted"] == done.json["listed"] == len(expected)
    assert done.json["complete"]
    assert archive.associations == 1


def test_an_image_and_a_zip_file_are_volumes(
    volume: Path, archive: Archive, config: Path, run: Run, tmp_path: Path
) -> None:
    image = tmp_path / "disc.iso"
    oracles.run("genisoimage", "-quiet", "-o", image, volume)
    for path in (image, _zipped(volume, tmp_path / "disc.zip")):
        archive.received.clear()
        done = run("disc", "import", path, "--to", "ARCHIVE", "--config", config)
        assert done.code == 0, done.err
        assert archive.received.keys() == data_sets(volume).keys()


def _zipped(volume: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(volume.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(volume))
    return target


def test_a_second_run_sends_only_what_was_not_accepted(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    command = ("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    archive.answers = lambda number: 0x0000 if number <= 2 else 0xA700
    done = run(*command)
    assert done.code == 24
    total = len(data_sets(volume))
    assert done.json["accepted"] == 2
    assert len(done.json["failed"]) + len(done.json["not_sent"]) == total - 2
    first = set(list(archive.received)[:2])
    archive.received.clear()
    archive.answers = lambda _: 0x0000
    done = run(*command)
    assert done.code == 0
    assert (done.json["before"], done.json["accepted"]) == (2, total - 2)
    assert archive.received.keys() == data_sets(volume).keys() - first


def test_a_state_that_was_cut_off_is_used_as_far_as_it_goes(
    volume: Path, archive: Archive, config: Path, run: Run, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    command = (
        *("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json"),
        *("--state", state),
    )
    assert run(*command).code == 0
    text = state.read_text()
    state.write_text(text[:-9])
    archive.received.clear()
    done = run(*command)
    assert done.json["accepted"] == len(archive.received) == 1
    assert run(*command).json["accepted"] == 0


def test_each_status_is_told(volume: Path, archive: Archive, config: Path, run: Run) -> None:
    answers = [0xB000, 0xA700, 0xA900, 0xC001, 0x0122]
    archive.answers = lambda number: answers[number - 1] if number <= len(answers) else 0x0000
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 24
    told = {entry["status"]: entry["why"] for entry in done.json["failed"]}
    assert told.keys() == {"A700H", "A900H", "C001H", "0122H"}
    assert "out of resources" in told["A700H"]
    assert "said by the archive" in told["C001H"]
    (warning,) = done.json["warnings"]
    assert warning["status"] == "B000H"
    assert done.json["accepted"] == len(data_sets(volume)) - 4


def test_only_statuses_of_success_and_warning_say_that_an_instance_was_taken() -> None:
    """PS3.4 B.2.3 and PS3.7 C; a status that no table has says that nothing was taken."""
    taken = {
        status
        for status in range(1 << 16)
        if status_meaning(StoreResponse(status))[0] in ("accepted", "warning")
    }
    assert taken == {0x0000, 0x0001, 0x0107, 0x0116, *range(0xB000, 0xC000)}
    assert status_meaning(StoreResponse(None))[0] == "failed"


def test_an_association_that_ends_is_requested_again(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    aborted: list[int] = []

    def abort_once(number: int) -> int:
        if number == 3 and not aborted:
            aborted.append(number)
            return -1
        return 0x0000

    archive.answers = abort_once
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 0, done.out
    assert archive.associations == 2
    assert archive.received.keys() == data_sets(volume).keys()


def test_a_peer_that_cannot_be_reached_ends_the_import(
    volume: Path, config: Path, run: Run
) -> None:
    done = run("disc", "import", volume, "--to", "GONE", "--config", config)
    assert done.code == 10
    assert "there is no connection with the peer" in done.err


def test_only_a_peer_with_a_host_can_be_sent_to(volume: Path, config: Path, run: Run) -> None:
    for peer in ("MUTE", "STRANGER"):
        done = run("disc", "import", volume, "--to", peer, "--config", config)
        assert done.code == 4
        assert peer in done.err


def test_what_is_missing_and_what_is_not_listed_is_told(
    volume: Path,
    archive: Archive,
    config: Path,
    run: Run,
    real_studies: material.RealStudies,
) -> None:
    listed = oracles.file_set(volume)
    missing, path = next(iter(listed.items()))
    path.unlink()
    shutil.copy(real_studies.file("CT_small.dcm"), volume / "EXTRA")
    (volume / "README.TXT").write_text("no DICOM")
    command = ("disc", "import", volume, "--to", "ARCHIVE", "--config", config)
    done = run(*command, "--json")
    assert done.code == 24
    assert [entry["sop_instance_uid"] for entry in done.json["missing"]] == [missing]
    assert done.json["unlisted"] == ["EXTRA"]
    assert archive.received.keys() == listed.keys() - {missing}
    done = run(*command)
    assert "MISSING: " in done.err
    assert "not listed in the DICOMDIR: EXTRA" in done.err
    done = run(*command, "--unlisted", "--json")
    assert done.json["accepted"] == 1
    assert str(material.read(volume / "EXTRA").SOPInstanceUID) in archive.received


def test_a_selection_by_patient_and_study(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    by_uid = {uid: material.read(path) for uid, path in oracles.file_set(volume).items()}
    patient = next(iter(by_uid.values())).PatientID
    study = next(
        data_set for data_set in by_uid.values() if data_set.PatientID != patient
    ).StudyInstanceUID
    command = ("disc", "import", volume, "--to", "ARCHIVE", "--config", config)
    assert run(*command, "--patient", patient).code == 0
    of_patient = {uid for uid, data_set in by_uid.items() if data_set.PatientID == patient}
    assert archive.received.keys() == of_patient
    archive.received.clear()
    assert run(*command, "--study", study).code == 0
    of_study = {uid for uid, data_set in by_uid.items() if data_set.StudyInstanceUID == study}
    assert archive.received.keys() == of_study


def test_a_file_under_the_record_of_another_patient_is_not_imported_as_that_patient(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    files = oracles.file_set(volume)
    uid, path = next(iter(files.items()))
    data_set = material.read(path)
    patient = data_set.PatientID
    data_set.PatientID = "SOMEBODY ELSE"
    data_set.save_as(path)
    command = ("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    done = run(*command, "--patient", patient)
    assert done.code == 24
    assert [entry["sop_instance_uid"] for entry in done.json["failed"]] == [uid]
    assert uid not in archive.received


def test_a_file_that_is_another_instance_than_its_record_says_is_not_imported(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    files = oracles.file_set(volume)
    uid, path = next(iter(files.items()))
    data_set = material.read(path)
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    data_set.save_as(path)
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 24
    (failed,) = done.json["failed"]
    assert failed["sop_instance_uid"] == "1.2.3.99"
    assert "another SOP Instance UID" in failed["why"]
    assert archive.received.keys() == files.keys() - {uid}


def test_private_classes_and_other_syntaxes_are_sent_as_they_are(
    archive: Archive,
    config: Path,
    run: Run,
    tmp_path: Path,
    real_studies: material.RealStudies,
) -> None:
    names = ("MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm", "CT_small.dcm")
    volume = written([real_studies.file(name) for name in names], tmp_path / "volume")
    private = material.read(real_studies.file("CT_small.dcm"))
    private.SOPClassUID = private.file_meta.MediaStorageSOPClassUID = PRIVATE_CLASS
    private.SOPInstanceUID = private.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4.5"
    private.save_as(volume / "PRIVATE")
    done = run(
        *("disc", "import", volume, "--to", "ARCHIVE", "--unlisted", "--json"),
        *("--config", config),
    )
    sent = {(sop_class, syntax) for sop_class, syntax, _ in archive.received.values()}
    assert (PRIVATE_CLASS, EXPLICIT) in sent
    assert {RLE, JPEG_BASELINE} <= {syntax for _, syntax in sent}
    # the archive does not accept JPEG 2000
    assert done.code == 24
    (failed,) = done.json["failed"]
    assert failed["status"] is None
    assert "transfer syntax 1.2.840.10008.1.2.4.91" in failed["why"]


def test_text_in_a_character_set_that_is_not_known_is_sent_as_it_is_and_told(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    uid, path = next(iter(oracles.file_set(volume).items()))
    data_set = material.read(path)
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.PatientName = "Günther^A"
    data_set.save_as(path)
    path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 999"))
    expected = oracles.data_set_bytes(path)[1]
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 0, done.err
    assert archive.received[uid][2] == expected
    assert "Günther".encode("latin-1") in expected
    assert any(
        "ISO_IR 999, which is not known" in entry["why"]
        for entry in done.json["doubtful"]
        if entry["sop_instance_uid"] == uid
    )


@pytest.mark.parametrize("damage", ["absent", "truncated", "zeros"])
def test_a_volume_with_a_damaged_dicomdir_is_imported_by_its_files(
    damage: str, volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    expected = data_sets(volume)
    dicomdir = volume / "DICOMDIR"
    if damage == "absent":
        dicomdir.unlink()
    else:
        data = dicomdir.read_bytes()
        dicomdir.write_bytes(data[: len(data) // 2] if damage == "truncated" else bytes(len(data)))
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert archive.received.keys() == expected.keys()
    assert done.code == (0 if damage == "absent" else 24)
    assert bool(done.json["damage"]) is (damage != "absent")


def test_a_truncated_file_is_told_and_the_others_are_sent(
    volume: Path, archive: Archive, config: Path, run: Run
) -> None:
    uid, path = next(iter(oracles.file_set(volume).items()))
    path.write_bytes(path.read_bytes()[:600])
    expected = set(oracles.file_set(volume)) - {uid}
    done = run("disc", "import", volume, "--to", "ARCHIVE", "--config", config, "--json")
    assert done.code == 24
    (failed,) = done.json["failed"]
    assert failed["sop_instance_uid"] == uid
    assert "cannot be read" in failed["why"]
    assert archive.received.keys() == expected


def test_into_takes_the_instances_into_the_spool(volume: Path, config: Path, run: Run) -> None:
    assert run("db", "upgrade", "--config", config).code == 0
    command = ("disc", "import", volume, "--into", "--config", config, "--json")
    done = run(*command)
    assert done.code == 0, done.err
    total = len(data_sets(volume))
    assert done.json["accepted"] == total
    assert len(run("instance", "list", "--config", config, "--json").json["items"]) == total
    assert run(*command).code == 0
    assert len(run("instance", "list", "--config", config, "--json").json["items"]) == total


def test_either_a_peer_or_this_service_is_named(volume: Path, config: Path, run: Run) -> None:
    assert run("disc", "import", volume, "--config", config).code == 2
    both = ("--into", "--to", "ARCHIVE")
    assert run("disc", "import", volume, *both, "--config", config).code == 2


def test_disc_build_takes_the_instances_of_an_image_and_of_a_zip_file(
    volume: Path, run: Run, tmp_path: Path
) -> None:
    image = tmp_path / "disc.iso"
    oracles.run("genisoimage", "-quiet", "-o", image, volume)
    for number, source in enumerate((image, _zipped(volume, tmp_path / "disc.zip"))):
        target = tmp_path / f"out{number}"
        done = run("disc", "build", source, "--output", target, "--json")
        assert done.code == 0, done.err
        (built,) = done.json["volumes"]
        assert built["good"]
        assert built["instances"] == len(data_sets(volume))


def test_disc_build_names_what_an_image_lacks(volume: Path, run: Run, tmp_path: Path) -> None:
    path = next(iter(oracles.file_set(volume).values()))
    path.unlink()
    image = tmp_path / "disc.iso"
    oracles.run("genisoimage", "-quiet", "-o", image, volume)
    done = run("disc", "build", image, "--output", tmp_path / "out")
    assert done.code == 23
    assert f"NOT ON MEDIA: {image}:" in done.err


def test_disc_build_refuses_what_is_damaged_on_an_image_and_not_listed(
    volume: Path, run: Run, tmp_path: Path
) -> None:
    path = next(iter(oracles.file_set(volume).values()))
    (volume / "EXTRA").write_bytes(path.read_bytes()[:140])
    image = tmp_path / "disc.iso"
    oracles.run("genisoimage", "-quiet", "-o", image, volume)
    done = run("disc", "build", image, "--output", tmp_path / "out", "--json")
    assert done.code == 23
    assert [entry["path"] for entry in done.json["refused"]] == [f"{image}:EXTRA"]


def test_disc_build_says_what_a_source_is_that_it_cannot_take(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no DICOM")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.txt", "a.txt")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "a.txt")
    for name, why in (
        ("a.txt", "the file is not a DICOM file"),
        ("a.zip", "there is no DICOM file on the volume"),
        ("a.tar", "it is a tar archive: name the DICOM files in it"),
    ):
        done = run("disc", "build", tmp_path / name, "--output", tmp_path / "out")
        assert done.code == 23
        assert f"left out: {tmp_path / name}: {why}" in done.err


def test_disc_build_says_how_a_secure_image_is_opened(
    volume: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text("words that nobody guesses\n")
    secure = ("--profile", "STD-GEN-SEC-CD", "--password-file", tmp_path / "password")
    built = run("disc", "build", volume, "--output", tmp_path / "secure", *secure)
    assert built.code == 0, built.err
    image = tmp_path / "secure" / "VOLUME01.iso"
    done = run("disc", "build", image, "--output", tmp_path / "out")
    assert done.code == 23
    assert "with --source-key or --source-password-file" in done.err


def test_secure_media_are_a_source_of_disc_build_and_of_a_label(
    volume: Path, run: Run, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("words that nobody guesses\n")
    secure = ("--profile", "STD-GEN-SEC-CD", "--password-file", password)
    built = run("disc", "build", volume, "--output", tmp_path / "secure", *secure, "--json")
    assert built.code == 0, built.err
    image = tmp_path / "secure" / "VOLUME01.iso"
    folder = oracles.extract(image, tmp_path / "mounted")
    for number, source in enumerate((image, folder)):
        opens = ("--source-password-file", password)
        target = tmp_path / f"plain-{number}"
        done = run("disc", "build", source, "--output", target, *opens, "--json")
        assert done.code == 0, done.err
        [plain], [secured] = done.json["volumes"], built.json["volumes"]
        assert plain["instances"] == secured["instances"] > 0
    label = ("--output", tmp_path / "label.pdf")
    closed = run("disc", "label", image, *label)
    assert closed.code != 0
    assert "--key or --password-file" in closed.err
    opened = run("disc", "label", image, *label, "--password-file", password)
    assert opened.code == 0, opened.err
    plain_label = run("disc", "label", tmp_path / "plain-0" / "VOLUME01.iso", "--output", "p.pdf")
    assert plain_label.code == 0, plain_label.err
    assert words_of(tmp_path / "label.pdf") == words_of(tmp_path / "p.pdf") != []


def words_of(label: Path) -> list[str]:
    done = subprocess.run(["pdftotext", label, "-"], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.usefixtures("archive")
def test_a_patient_who_is_not_on_the_volume_is_an_error(
    volume: Path, config: Path, run: Run
) -> None:
    command = ("disc", "import", volume, "--to", "ARCHIVE", "--config", config)
    for option, value in (("--patient", "NOBODY"), ("--study", "1.2.3.4")):
        done = run(*command, option, value)
        assert done.code == 4
        assert "no instance of the volume is of a patient or study that was named" in done.err


def test_a_pseudo_drive_is_named_as_for_disc_append(run: Run, volume: Path, tmp_path: Path) -> None:
    assert run("disc", "build", volume, "--output", tmp_path / "out").code == 0
    image = tmp_path / "out" / "VOLUME01.iso"
    assert run("disc", "verify", f"stdio:{image}").code == 0
    assert run("disc", "verify", f"stdio:{tmp_path / 'none'}").code == 4


def test_verify_says_what_it_has_judged_by(volume: Path, run: Run) -> None:
    assert "judged by: PS3.10, PS3.12 and the Basic Directory" in run("disc", "verify", volume).out
    by_profile = run("disc", "verify", volume, "--profile", "STD-GEN-CD", "--json")
    assert by_profile.json["judged_by"] == "STD-GEN-CD"
