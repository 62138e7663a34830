"""The labels of a piece: published beside its image; a label that fails does not stop the piece."""

import errno
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from burnish.content.patients_and_studies import summarize_patients
from burnish.db.tables import Event
from burnish.dicom_elements import encode
from burnish.image.reader import open_volume
from burnish.label import Patient, Study
from burnish.plan.planner import Planner
from burnish.settings import ContentSettings, DeviceSettings, LabelSettings
from burnish.vocabulary import ExecutionStatus
from burnish.write.worker import Worker
from factories import Ground, header, instance
from syncs import recorded_syncs

#: Long enough for README.TXT to need more sectors than without it.
TEXT = "Für Frau Dr. Świętosława\n" + "zweite Meinung erbeten, " * 40


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def make_media(ground: Ground, device: DeviceSettings | None = None, **attributes: object) -> str:
    """Makes all pieces of a request; its SOP Instance UID."""
    instances = [instance(patient_name="Doe^Jane", size=3000)]
    ground.store(*instances)
    uid = ground.admit(instances, **attributes)  # type: ignore[arg-type]
    Planner(ground.settings, ground.database, ground.spool).tick()
    worker = Worker(ground.settings, device or ground.device, ground.database, ground.spool)
    while worker.make_next():
        pass
    assert ground.request(uid).execution_status is ExecutionStatus.DONE
    assert not list((ground.settings.storage.root / "images").iterdir())
    return uid


def outbox(ground: Ground) -> dict[str, Path]:
    paths = (ground.settings.storage.root / "outbox").glob("R*/*")
    return {path.name: path for path in paths if path.suffix != ".json"}


def text(path: Path) -> str:
    return subprocess.run(
        ["pdftotext", "-layout", path, "-"], capture_output=True, text=True, check=True
    ).stdout


def test_each_copy_has_its_label_beside_it(ground: Ground) -> None:
    make_media(ground, copies=2, label_text=TEXT, media_disposition="To Dr. Who\nGallifrey")
    files = outbox(ground)
    assert sorted(files) == [
        "VOLUME01-ADDRESS.pdf",
        "VOLUME01-COPY02-ADDRESS.pdf",
        "VOLUME01-COPY02.iso",
        "VOLUME01-COPY02.pdf",
        "VOLUME01.iso",
        "VOLUME01.pdf",
    ]
    assert files["VOLUME01.pdf"].read_bytes() == files["VOLUME01-COPY02.pdf"].read_bytes()
    label = text(files["VOLUME01.pdf"])
    for words in ("Doe, Jane", "Volume 1 of 1", "2024-01-02", "Für Frau Dr. Świętosława", "…"):
        assert words in label
    assert "Gallifrey" in text(files["VOLUME01-ADDRESS.pdf"])
    with open_volume(files["VOLUME01.iso"]) as volume:
        readme = volume.read("README.TXT").decode("utf-8-sig")
    assert TEXT.strip() in readme.replace("\r\n", "\n")
    for words in ("Patient:           Doe, Jane", "2024-01-02, CT"):
        assert words in readme


def test_a_label_is_durable_before_it_has_its_name(ground: Ground) -> None:
    """After a power failure a later worker would publish the label as it finds it."""
    with recorded_syncs() as syncs:
        make_media(ground, media_disposition="Ward 7")
    images = ground.settings.storage.root / "images"
    labels = [
        path for path in syncs.renamed_to() if path.parent == images and path.suffix == ".pdf"
    ]
    assert len(labels) == 2
    for label in labels:
        part = label.with_name(f"{label.name}.part")
        assert syncs.order(part) < syncs.order(label)


def test_a_piece_waits_for_the_disk_rather_than_be_made_without_its_label(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def fail_for_labels(descriptor: int) -> None:
        if ".label." in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_labels)
    instances = [instance(size=3000)]
    ground.store(*instances)
    uid = ground.admit(instances)
    Planner(ground.settings, ground.database, ground.spool).tick()
    Worker(ground.settings, ground.device, ground.database, ground.spool).make_next()
    assert outbox(ground) == {}
    assert ground.request(uid).execution_status is ExecutionStatus.CREATING
    assert not list((ground.settings.storage.root / "images").glob("*.label.*"))


def test_a_label_without_extracted_information_names_no_patient(ground: Ground) -> None:
    make_media(
        ground, label_using_information_extracted_from_instances="NO", label_text="Lecture 4"
    )
    label = text(outbox(ground)["VOLUME01.pdf"])
    with open_volume(outbox(ground)["VOLUME01.iso"]) as volume:
        readme = volume.read("README.TXT").decode()
    for content in (label, readme):
        assert "Lecture 4" in content
        assert "Doe" not in content


@pytest.mark.parametrize("pages", [False, True])
def test_media_for_teaching_name_nobody_except_in_the_text_of_the_label(
    tmp_path: Path, pages: bool
) -> None:
    site = {"institution": "St. Example", "contact": "telephone 77"}
    with Ground(
        tmp_path,
        content=ContentSettings(pages=pages, **site),
        label=LabelSettings(institution="St. Example"),
    ) as ground:
        make_media(ground, include_non_dicom_objects="FOR_TEACHING", label_text="Lecture 4")
        files = outbox(ground)
        label = text(files["VOLUME01.pdf"])
        manifest = files["VOLUME01.iso"].with_suffix(".json").read_text()
        with open_volume(files["VOLUME01.iso"]) as volume:
            names = [name for name in volume.files() if not name.startswith("DICOM")]
            contents = {name: volume.read(name).decode("latin-1") for name in names}
    assert "Lecture 4" in label
    assert "DO identify the patient" in " ".join(contents["README.TXT"].split())
    assert ("INDEX.HTM" in contents) == pages
    for name, content in {"label": label, "manifest": manifest, **contents}.items():
        for identification in ("Doe", "P1", "2024-01-02", "St. Example", "telephone 77"):
            assert identification not in content, name


def test_the_statements_of_the_site_are_on_the_label(tmp_path: Path) -> None:
    site = {"institution": "St. Example", "contact": "telephone 77", "disclaimer": "Handle gently."}
    with Ground(tmp_path, content=ContentSettings(**site)) as ground:
        make_media(ground)
        label = text(outbox(ground)["VOLUME01.pdf"])
    for statement in site.values():
        assert statement in label


def test_many_patients_are_in_the_readme_of_their_own_volume(tmp_path: Path) -> None:
    """README.TXT takes sectors; a piece can be made only if all of them were planned."""
    device = DeviceSettings(
        name="outbox", media=("CD",), capacity=300_000, directory=tmp_path / "out"
    )
    (tmp_path / "out").mkdir()
    with Ground(tmp_path / "root", device=(device,)) as ground:
        instances = [
            instance(
                patient_id=f"P{number:02d}",
                patient_name=f"Longname{number:02d}^{'Given' * 10}",
                study=f"1.2.3.{number + 1}",
                series=f"1.2.3.{number + 1}.1",
            )
            for number in range(40)
        ]
        ground.store(*instances)
        uid = ground.admit(instances)
        Planner(ground.settings, ground.database, ground.spool).tick()
        worker = Worker(ground.settings, device, ground.database, ground.spool)
        while worker.make_next():
            pass
        request = ground.request(uid)
        assert request.execution_status is ExecutionStatus.DONE
        assert len(request.file_sets) > 1
        all_names: list[str] = []
        for path in sorted((tmp_path / "out").glob("R*/*.iso")):
            assert path.stat().st_size <= 300_000
            with open_volume(path) as volume:
                readme = volume.read("README.TXT").decode()
            names = re.findall(r"Patient: +Longname(\d\d), (?:Given){10}\r\n", readme)
            assert len(readme) > 100 * len(names)
            all_names += names
        assert sorted(all_names) == [f"{number:02d}" for number in range(40)]


@pytest.mark.parametrize("form", ["png", "none"])
def test_each_device_gets_labels_in_its_format(form: str, ground: Ground) -> None:
    make_media(ground, ground.device.model_copy(update={"label": form}))
    labels = {name for name in outbox(ground) if not name.endswith(".iso")}
    assert labels == ({"VOLUME01.png"} if form == "png" else set())


def test_only_discs_have_labels(ground: Ground) -> None:
    profile = "STD-GEN-USB-JPEG"
    make_media(
        ground, profiles=profile, label_text="stick", media_disposition="To whom it concerns"
    )
    assert set(outbox(ground)) == {"VOLUME01.img", "VOLUME01-ADDRESS.pdf"}


def test_a_piece_is_made_even_if_its_label_cannot_be_made(tmp_path: Path) -> None:
    with Ground(tmp_path, label=LabelSettings(templates=tmp_path / "none")) as ground:
        make_media(ground)
        assert set(outbox(ground)) == {"VOLUME01.iso"}
        with ground.database.reading() as session:
            [event] = session.scalars(select(Event).where(Event.event == "LABEL"))
        assert "cannot be made" in event.why
        assert "Doe" not in event.why


def entity_keys(**keys: str) -> bytes:
    """Keys of records by tag, encoded in ISO_IR 144: `x00080080` is Institution Name."""
    tags = sorted((int(name[1:], 16), value) for name, value in keys.items())
    return b"".join(encode(tag, b"LO", value.encode("iso8859-5")) for tag, value in tags)


def test_the_summary_of_headers_names_patients_studies_and_institutions() -> None:
    russian = "ISO_IR 144"
    ct = header(patient_id="1", name="Люк^Сем", study="1.1", series="1.1.1")._replace(
        entity_keys=entity_keys(x00080005=russian, x00080080="Больница", x00081030="Мозг")
    )
    presentation_state = header(
        patient_id="1", name="Люк^Сем", study="1.1", series="1.1.2"
    )._replace(
        modality="PR",
        entity_keys=entity_keys(x00080005=russian, x00080080="Больница", x00100030="19500101"),
    )
    other_patient = header(patient_id="2", name="Doe^Jane", study="1.2", date="20200101")
    hanging_protocol = header(record_type="HANGING PROTOCOL")
    summary = summarize_patients(
        [ct, ct._replace(sop_instance_uid="9"), presentation_state, other_patient, hanging_protocol]
    )
    assert summary.institutions == ("Больница",)
    assert summary.patients == (
        Patient("Люк^Сем", "1", "19500101", "", (Study("20240102", "Мозг", ("CT", "PR"), ""),)),
        Patient("Doe^Jane", "2", "", "", (Study("20200101", "", ("CT",), ""),)),
    )
