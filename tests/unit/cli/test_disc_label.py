"""`burnish disc label`: labels from options, and from the content of a volume."""

from pathlib import Path

import pytest

import material
from unit.cli.conftest import Run
from unit.write.test_labels import text


def test_a_label_has_the_text_of_the_options(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "label.pdf"
    done = run(
        "disc",
        "label",
        "--output",
        target,
        "--patient-name",
        "Müller^Änne",
        "--patient-id",
        "7",
        "--birth-date",
        "19500102",
        "--study",
        "20240102;CT PR;Abdomen",
        "--text",
        "first\\nsecond",
        "--barcode",
        "A-1",
        "--symbology",
        "CODE39",
        "--volume",
        "2/3",
        "--file-set-id",
        "SET_7",
        "--created",
        "20260101",
    )
    assert done.code == 0, done.err
    assert not done.err
    label_text = text(target)
    for words in ("Müller, Änne", "born 1950-01-02", "2024-01-02 · CT PR · Abdomen", "first\n"):
        assert words in label_text
    for words in ("second", "A-1", "Volume 2 of 3", "SET_7", "made 2026-01-01"):
        assert words in label_text


def test_a_label_names_the_patients_of_a_volume(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    run("disc", "build", *real_studies.patients[:1], "--output", tmp_path, "--file-set-id", "MINE")
    done = run("disc", "label", tmp_path / "VOLUME01.iso", "--output", tmp_path / "label.pdf")
    assert done.code == 0, done.err
    name = material.read(real_studies.patients[0]).PatientName
    label_text = text(tmp_path / "label.pdf")
    assert str(name.family_name) in label_text
    assert "MINE" in label_text
    assert "Volume" not in label_text  # the volume does not say which of how many it is


def test_a_label_says_what_the_dicomdir_of_a_cd_does_not(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    data_set = material.read(real_studies.patients[0])
    data_set.PatientBirthDate, data_set.InstitutionName = "19500102", "St. Elsewhere"
    data_set.save_as(tmp_path / "file.dcm")
    run("disc", "build", tmp_path / "file.dcm", "--output", tmp_path)
    done = run("disc", "label", tmp_path / "VOLUME01.iso", "--output", tmp_path / "label.pdf")
    assert done.code == 0, done.err
    label_text = text(tmp_path / "label.pdf")
    assert "born 1950-01-02" in label_text
    assert "St. Elsewhere" in label_text


def test_text_that_cannot_be_printed_is_reported(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "label.png"
    done = run("disc", "label", "--output", target, "--barcode", "x", "--symbology", "QR")
    assert done.code == 0
    assert "Defined Terms" in done.err
    assert target.read_bytes().startswith(b"\x89PNG")


def test_an_address_label_has_the_address(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "address.pdf"
    assert run("disc", "label", "--output", target, "--address", "Dr. Who\\nGallifrey").code == 0
    assert text(target).split() == ["Dr.", "Who", "Gallifrey"]


@pytest.mark.parametrize("wrong", [("--output", "a.gif"), ("--output", "a.pdf", "--volume", "3/2")])
def test_a_wrong_command_line_is_rejected(wrong: tuple[str, ...], run: Run) -> None:
    assert run("disc", "label", *wrong).code == 2


def test_a_volume_without_a_dicomdir_is_rejected(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("disc", "label", tmp_path / "empty", "--output", tmp_path / "a.pdf")
    assert done.code == 3
    assert "by hand" in done.err
