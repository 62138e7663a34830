"""`burnish disc verify --pdi` and `--report`."""

import re
import subprocess
from pathlib import Path

import pytest

import content_sources
from burnish.verify.pdi.rules import RULES
from unit.cli.conftest import Run

SITE = '[content]\ninstitution = "St. Example Hospital"\ncontact = "Telephone +44 20 7946 0000"\n'


@pytest.fixture
def disc(run: Run, tmp_path: Path) -> Path:
    """A volume image with pages."""
    (tmp_path / "site.toml").write_text(SITE)
    source = content_sources.study(tmp_path / "source", slices=2)
    options = ("--content", "FOR_PATIENT", "--config", tmp_path / "site.toml", "--json")
    done = run("disc", "build", source, "--output", tmp_path / "out", *options)
    assert done.code == 0, done.err
    return Path(done.json["volumes"][0]["image"])


def extracted(image: Path, target: Path) -> Path:
    command = ["7z", "x", "-y", f"-o{target}", image]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=60)
    return target


def test_a_disc_with_pages_keeps_all_rules(disc: Path, run: Run) -> None:
    done = run("disc", "verify", "--pdi", disc)
    assert done.code == 0
    assert f"by {len(RULES)} rules for media (IHE PDI, DRG): 0 faults, 0 notes" in done.out
    report = run("disc", "verify", "--pdi", disc, "--json").json
    assert report["good"]
    assert report["pdi"]["findings"] == []


def test_a_fault_by_the_rules_for_media_sets_the_exit_code(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    root = extracted(disc, tmp_path / "disc")
    (root / "README.TXT").unlink()
    assert run("disc", "verify", root).code == 0
    done = run("disc", "verify", "--pdi", root)
    assert done.code == 22
    assert "PDI-501  fault: README.TXT: there is none" in done.out
    assert "remedy: add README.TXT" in done.out
    report = run("disc", "verify", "--pdi", root, "--json").json
    assert not report["good"]
    assert report["faults"] == []
    assert {finding["rule"] for finding in report["pdi"]["findings"]} == {"PDI-307", "PDI-501"}


def test_notes_by_the_rules_for_media_leave_the_exit_code(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    root = extracted(disc, tmp_path / "disc")
    (root / "AUTORUN.INF").write_text("[autorun]\nopen=VIEW.EXE\n")
    done = run("disc", "verify", "--pdi", root)
    assert done.code == 0
    assert "PDI-601  note: AUTORUN.INF: it starts VIEW.EXE" in done.out


def test_the_report_says_in_plain_words_what_is_on_a_disc(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    root = extracted(disc, tmp_path / "disc")
    (root / "SETUP.EXE").write_bytes(b"MZ")
    (root / "IHE_PDI" / "X.HTM").write_text("<p onclick='x()'><b>&lt;script&gt;")
    target = tmp_path / "report.html"
    assert run("disc", "verify", root, "--report", target).code == 22
    page = target.read_text("utf-8")
    for text in (
        "Can this disc be imported?",
        "<b>Yes.</b>",
        "1 patient, 4 DICOM files",
        "Müller, Änne Dr. (P&lt;1&gt;)",
        "It has 1 program: SETUP.EXE",
        "St. Example Hospital",
        "Web pages are faulty.",
    ):
        assert text in page
    assert not re.search(r"<script|\son\w+=[\"']|\ssrc=|\shref=|url\(", page)
    assert target.stat().st_mode & 0o077 == 0


def test_the_report_on_a_volume_that_cannot_be_read_says_no(run: Run, tmp_path: Path) -> None:
    image = tmp_path / "broken.iso"
    image.write_bytes(bytes(100_000))
    done = run("disc", "verify", image, "--report", tmp_path / "report.html")
    assert done.code in (3, 22)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "PHOTO.JPG").write_bytes(b"\xff\xd8")
    done = run("disc", "verify", tmp_path / "empty", "--report", tmp_path / "report.html")
    assert done.code == 22
    assert "<b>No.</b> There is no DICOM file on it." in page_of(tmp_path)


def page_of(tmp_path: Path) -> str:
    return (tmp_path / "report.html").read_text("utf-8")


def foreign_iso(root: Path, image: Path, *options: str) -> Path:
    """An image that another program makes, with a Volume Identifier of its own."""
    command = ["genisoimage", "-quiet", *options, "-o", image, root]
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)
    return image


def test_a_fault_of_form_does_not_make_the_desk_doubt_the_images(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    root = extracted(disc, tmp_path / "disc")
    report = tmp_path / "report.html"
    image = foreign_iso(root, tmp_path / "foreign.iso", "-V", "ANOTHER")
    assert run("disc", "verify", image, "--report", report).code == 22
    assert "<b>Yes.</b> The DICOM files and their directory are in order. What is wrong" in page_of(
        tmp_path
    )
    (root / "System Volume Information").mkdir()
    (root / "System Volume Information" / "IndexerVolumeGuid").write_text("x")
    (root / ".DS_Store").write_text("x")
    assert run("disc", "verify", root, "--report", report).code == 22
    assert "<b>Yes.</b>" in page_of(tmp_path)
    assert "no link to" not in page_of(tmp_path)  # INDEX.HTM need not know what systems leave
    next(path for path in sorted((root / "DICOM").rglob("*")) if path.is_file()).unlink()
    assert run("disc", "verify", root, "--report", report).code == 22
    assert "Perhaps, and not all of it." in page_of(tmp_path)
    assert "1 image or document that the directory lists is not on the disc." in page_of(tmp_path)


def test_names_in_small_letters_of_an_image_are_a_fault(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    root = extracted(disc, tmp_path / "disc")
    lowered = tmp_path / "lowered"
    for path in root.rglob("*"):
        if path.is_file():
            target = lowered / str(path.relative_to(root)).lower()
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    image = foreign_iso(lowered, tmp_path / "lowered.iso", "-U", "-allow-lowercase")
    done = run("disc", "verify", image, "--pdi", "--json", "--report", tmp_path / "report.html")
    assert "PDI-101" in {finding["rule"] for finding in done.json["pdi"]["findings"]}
    assert "Perhaps, and not all of it." in page_of(tmp_path)


def test_the_desk_is_told_in_which_folder_the_directory_lies(
    disc: Path, run: Run, tmp_path: Path
) -> None:
    extracted(disc, tmp_path / "disc").rename(tmp_path / "CD1")
    archive = tmp_path / "disc.zip"
    subprocess.run(["7z", "a", "-tzip", archive, tmp_path / "CD1"], check=True, timeout=60)
    assert run("disc", "verify", archive, "--report", tmp_path / "report.html").code == 22
    assert "not in the root but in the folder CD1." in page_of(tmp_path)


def test_secure_media_are_judged_without_their_keys(run: Run, tmp_path: Path) -> None:
    source = content_sources.study(tmp_path / "source", slices=2)
    (tmp_path / "password").write_text("a long password")
    options = ("--profile", "STD-GEN-SEC-CD", "--password-file", tmp_path / "password", "--json")
    done = run("disc", "build", source, "--output", tmp_path / "out", *options)
    assert done.code == 0, done.err
    root = extracted(Path(done.json["volumes"][0]["image"]), tmp_path / "disc")
    (root / "IHE_PDI").mkdir()
    (root / "IHE_PDI" / "STYLE.CSS").write_text("p { margin: 0; }")
    report = run("disc", "verify", "--pdi", root, "--json").json["pdi"]
    rules = {finding["rule"] for finding in report["findings"]}
    assert rules == {"PDI-301", "PDI-312", "PDI-502", "PDI-503"}
    assert "the encrypted DICOMDIR and DICOM files" in report["not_examined"]
    assert {"PDI-204", "PDI-205"} <= set(report["not_judged"])
    assert {"PDI-204", "PDI-205"}.isdisjoint(report["judged"])


def test_a_volume_of_dicom_files_alone_is_not_judged_as_pdi(run: Run, tmp_path: Path) -> None:
    source = content_sources.study(tmp_path / "source", slices=2)
    done = run("disc", "build", source, "--output", tmp_path / "out", "--content", "NO", "--json")
    assert done.code == 0, done.err
    [volume] = done.json["volumes"]
    report = run("disc", "verify", "--pdi", volume["image"], "--json").json["pdi"]
    assert report["findings"] == []
    assert report["good"]
    assert "claim IHE PDI" in report["not_judged"]["PDI-501"]
    done = run("disc", "verify", "--pdi", volume["image"])
    assert done.code == 0
    assert "not judged: PDI-501, PDI-502" in done.out
