"""The folder device: what it publishes where, and what it reports if it cannot."""

import errno
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from burnish.burn import presence
from burnish.burn.burner import BurnJob, BurnOutcome
from burnish.burn.folder import FolderBurner
from burnish.errors import OperatorError, Unknown
from syncs import recorded_syncs

CONTENT = os.urandom(20_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


@pytest.fixture
def burner(folder: Path) -> FolderBurner:
    return FolderBurner("archive", directory=folder)


@pytest.fixture
def job(tmp_path: Path) -> BurnJob:
    (tmp_path / "image.iso").write_bytes(CONTENT)
    return BurnJob(
        image=tmp_path / "image.iso",
        volume_number=2,
        volume_count=3,
        copy_number=1,
        copies=2,
        request_name="R-7",
        file_set_id="SET",
        file_set_uid="1.2",
        manifest={"studies": ["1.2.3"]},
    )


def _all(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_images_are_staged_and_then_published_with_a_manifest(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    second = replace(job, copy_number=2)
    burner.write(job)
    burner.write(second)
    assert _all(folder) == {".staging/R-7-VOLUME02.iso", ".staging/R-7-VOLUME02-COPY02.iso"}
    assert burner.publish(job) == folder / "R-7" / "VOLUME02.iso"
    assert burner.publish(second) == folder / "R-7" / "VOLUME02-COPY02.iso"
    assert _all(folder) == {
        f"R-7/VOLUME02{copy}.{kind}" for copy in ("", "-COPY02") for kind in ("iso", "json")
    }


def test_an_image_for_mail_is_published_as_dicom_zip(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    """PS3.11 L.3.2: each volume has its own folder; its manifest lies beside the others."""
    job = replace(job, image=job.image.rename(job.image.with_suffix(".zip")))
    for copy in (1, 2):
        burner.write(replace(job, copy_number=copy))
    published = burner.publish(job)
    assert published == folder / "R-7" / "VOLUME02" / "DICOM.ZIP" == burner.written(job)
    assert burner.publish(job) == published
    burner.publish(replace(job, copy_number=2))
    assert _all(folder) == {
        *("R-7/VOLUME02/DICOM.ZIP", "R-7/VOLUME02.json"),
        *("R-7/VOLUME02-COPY02/DICOM.ZIP", "R-7/VOLUME02-COPY02.json"),
    }
    manifest = folder / "R-7" / "VOLUME02.json"
    assert manifest.parent / json.loads(manifest.read_text())["image"] == published
    for copy in (1, 2):
        burner.discard(replace(job, copy_number=copy))
    assert not (folder / "R-7").exists()


def test_the_manifest_describes_the_piece(burner: FolderBurner, job: BurnJob) -> None:
    burner.write(job)
    manifest = json.loads(burner.publish(job).with_suffix(".json").read_text())
    assert manifest == {
        "image": "VOLUME02.iso",
        "size": len(CONTENT),
        "file_set_id": "SET",
        "file_set_uid": "1.2",
        "volume_number": 2,
        "volume_count": 3,
        "copy_number": 1,
        "copies": 2,
        "studies": ["1.2.3"],
    }


def test_copies_share_no_file(burner: FolderBurner, job: BurnJob) -> None:
    paths = []
    for copy in (1, 2, 3):
        numbered_job = replace(job, copy_number=copy)
        burner.write(numbered_job)
        paths.append(burner.publish(numbered_job))
    assert len({path.stat().st_ino for path in paths}) == 3
    assert paths[0].stat().st_ino == job.image.stat().st_ino
    assert all(path.read_bytes() == CONTENT for path in paths)


@pytest.mark.parametrize("refused", [{"link"}, {"link", "copy_file_range"}])
def test_an_image_on_another_file_system_is_copied(
    burner: FolderBurner, job: BurnJob, monkeypatch: pytest.MonkeyPatch, refused: set[str]
) -> None:
    def elsewhere(*_: object, **__: object) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    for name in refused:
        monkeypatch.setattr(os, name, elsewhere)
    reports: list[int] = []
    assert burner.write(job, reports.append).outcome == BurnOutcome.WRITTEN
    assert len(reports) > 2
    assert burner.publish(job).read_bytes() == CONTENT


def test_publishing_again_after_a_crash_completes_the_piece(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    burner.write(job)
    path = burner.publish(job)
    path.with_suffix(".json").unlink()
    (folder / "R-7" / "VOLUME02.json.part").write_text("{")
    assert burner.publish(job) == path
    assert json.loads(path.with_suffix(".json").read_text())["file_set_id"] == "SET"
    assert not list(folder.rglob("*.part"))


def test_an_unfinished_file_of_a_crash_is_no_piece(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    (folder / ".staging").mkdir()
    (folder / ".staging" / "R-7-VOLUME02.iso.part").write_bytes(b"half")
    assert burner.write(job).outcome == BurnOutcome.WRITTEN
    assert burner.written(job).read_bytes() == CONTENT
    burner.discard(job)
    assert _all(folder) == set()


def test_files_of_other_people_stay(burner: FolderBurner, folder: Path, job: BurnJob) -> None:
    (folder / "R-7").mkdir()
    (folder / "R-7" / "NOTE.TXT").write_text("mine")
    burner.write(job)
    burner.publish(job)
    burner.discard(job)
    assert _all(folder) == {"R-7/NOTE.TXT"}


def test_a_folder_that_does_not_exist_is_not_created(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    folder.rmdir()
    for result in (burner.state(), burner.write(job)):
        assert result.outcome == BurnOutcome.HOLD_OPERATOR
        assert str(folder) in result.remedy
    assert not folder.exists()


def test_a_file_in_place_of_the_folder_is_not_called_missing_or_forbidden(
    burner: FolderBurner, folder: Path
) -> None:
    folder.rmdir()
    folder.write_text("a file")
    state = burner.state()
    assert state.outcome == BurnOutcome.HOLD_OPERATOR
    assert "Not a directory" in state.detail
    asked = presence.missing("outbox", directories=[folder])
    assert asked
    assert asked.detail == f"device outbox: {folder} is not a folder"


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (errno.ENOSPC, BurnOutcome.OUT_OF_SUPPLIES),
        (errno.EDQUOT, BurnOutcome.OUT_OF_SUPPLIES),
        (errno.EACCES, BurnOutcome.HOLD_OPERATOR),
        (errno.EROFS, BurnOutcome.HOLD_OPERATOR),
        (errno.EIO, BurnOutcome.HOLD_SERVICE),
    ],
)
def test_an_error_of_the_file_system_becomes_an_outcome(
    burner: FolderBurner,
    job: BurnJob,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    outcome: BurnOutcome,
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(number, os.strerror(number))

    burner.write(job)
    monkeypatch.setattr(os, "copy_file_range", fail)
    result = burner.write(replace(job, copy_number=2))
    assert result.outcome == outcome
    assert result.detail == f"device archive: {os.strerror(number)}"
    folder = job.image.with_name("folder")
    assert str(folder) in result.remedy
    assert _all(folder) == {".staging/R-7-VOLUME02.iso"}
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OperatorError) as raised:
        burner.publish(job)
    assert raised.value.hint == result.remedy


def test_a_folder_without_access_is_held_for_the_operator(
    burner: FolderBurner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert burner.state().outcome == BurnOutcome.HOLD_OPERATOR


def test_an_image_that_shrinks_is_held_for_service(
    burner: FolderBurner, job: BurnJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "copy_file_range", lambda *_: 0)
    assert burner.write(replace(job, copy_number=2)).outcome == BurnOutcome.HOLD_SERVICE


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_file_system_that_is_full_is_out_of_supplies(tmp_path: Path, job: BurnJob) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=False
        ).returncode
    ):
        pytest.skip("no mount here")
    try:
        burner = FolderBurner("small", directory=small)
        assert burner.write(job).outcome == BurnOutcome.OUT_OF_SUPPLIES
        assert _all(small) == set()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_labels_are_published_beside_the_image(
    burner: FolderBurner, folder: Path, job: BurnJob, tmp_path: Path
) -> None:
    (tmp_path / "label.png").write_bytes(b"label")
    (tmp_path / "address.pdf").write_bytes(b"address")
    labelled = replace(job, label=tmp_path / "label.png", address=tmp_path / "address.pdf")
    burner.write(labelled)
    burner.publish(labelled)
    burner.publish(labelled)
    assert (folder / "R-7" / "VOLUME02.png").read_bytes() == b"label"
    assert (folder / "R-7" / "VOLUME02-ADDRESS.pdf").read_bytes() == b"address"
    burner.discard(job)
    assert not _all(folder)


@pytest.mark.parametrize("copy_number", [1, 2])
@pytest.mark.parametrize("suffix", [".iso", ".zip"])
def test_all_that_is_published_is_durable(
    burner: FolderBurner, folder: Path, job: BurnJob, copy_number: int, suffix: str
) -> None:
    label, address = job.image.with_name("label.pdf"), job.image.with_name("address.pdf")
    for path in (label, address):
        path.write_bytes(b"label")
    image = job.image.rename(job.image.with_suffix(suffix))
    labelled = replace(
        job, image=image, copy_number=copy_number, copies=2, label=label, address=address
    )
    with recorded_syncs() as syncs:
        burner.write(labelled)
        published = burner.publish(labelled)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert published in files
    for path in files:
        syncs.assert_durable(path)
    for new_folder in (folder / "R-7", published.parent):
        assert new_folder.parent in syncs.paths()


def test_the_volume_of_another_file_set_stays(
    burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    burner.write(job)
    burner.publish(job)
    other = replace(job, file_set_uid="1.3")
    job.image.unlink()
    job.image.write_bytes(b"other")
    burner.write(other)
    with pytest.raises(OperatorError, match="holds another File-set"):
        burner.publish(other)
    assert (folder / "R-7" / "VOLUME02.iso").read_bytes() == CONTENT
    manifest = json.loads((folder / "R-7" / "VOLUME02.json").read_bytes())
    assert manifest["file_set_uid"] == "1.2"


@pytest.mark.parametrize("name", [".staging/R-7-VOLUME02.iso", "R-7/VOLUME02.iso"])
def test_a_folder_with_the_name_of_an_image_is_not_taken_for_one(
    name: str, burner: FolderBurner, folder: Path, job: BurnJob
) -> None:
    (folder / name).mkdir(parents=True)
    with pytest.raises(Unknown):
        burner.written(job)
    with pytest.raises(Unknown):
        burner.publish(job)
    assert _all(folder) == set()
