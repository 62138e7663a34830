"""Media with pages and pictures: built as volumes, read by other programs, whole and valid."""

import io
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

import content_sources
import oracles
from burnish.application_profiles import OFFERED, PROFILES
from burnish.content.asked_for import content_terms
from burnish.content.content_terms import ContentTerms, Site
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, BuildResult, build
from burnish.settings import ContentSettings
from burnish.vocabulary import IncludeNonDICOMObjects
from content_checks import check_content
from images import written

CD = BuildOptions(PROFILES["STD-GEN-CD"], MEDIA["CD"], None, "CONTENT", split=True)
PATIENT = IncludeNonDICOMObjects.FOR_PATIENT


def terms(audience: str = "FOR_PATIENT", **settings: object) -> ContentTerms:
    return content_terms(
        ContentSettings(**settings),
        IncludeNonDICOMObjects(audience),
        display_application=False,
    )


def built(source: Path, target: Path, content: ContentTerms, **options: object) -> BuildResult:
    result = build([source], target, replace(CD, content=content, **options), lambda *_: None)
    assert [volume.report.faults for volume in result.built] == [()] * len(result.built)
    return result


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return content_sources.study(tmp_path_factory.mktemp("source"))


def extracted(image: Path, target: Path, program: str) -> Path:
    """The files of an image as a program finds them."""
    target.mkdir()
    commands = {
        "7z": ["7z", "x", "-y", f"-o{target}", image],
        "bsdtar": ["bsdtar", "-x", "-C", target, "-f", image],
        "unzip": ["unzip", "-q", image, "-d", target],
        "mcopy": ["mcopy", "-s", "-n", "-i", f"{image}@@1M", "::/", target],
    }
    if program == "xorriso":
        return oracles.extract_with_xorriso(image, target / "disc")
    subprocess.run(commands[program], check=True, timeout=60, stdout=subprocess.DEVNULL)
    return target


@pytest.mark.parametrize(
    ("profile", "medium", "program"),
    [
        ("STD-GEN-CD", "CD", "xorriso"),
        ("STD-GEN-CD", "CD", "7z"),
        ("STD-GEN-CD", "CD", "bsdtar"),
        ("STD-GEN-DVD-JPEG", "DVD", "7z"),
        ("STD-GEN-DVD-JPEG", "DVD", "bsdtar"),
        ("STD-GEN-BD-JPEG", "BD", "7z"),
        ("STD-GEN-USB-JPEG", "USB", "mcopy"),
        ("STD-GEN-ZIP-MAIL", "MAIL", "unzip"),
    ],
)
def test_pages_work_on_every_file_system(
    study: Path, tmp_path: Path, profile: str, medium: str, program: str
) -> None:
    result = built(study, tmp_path / "out", terms(), profile=OFFERED[profile], medium=MEDIA[medium])
    (volume,) = result.built
    root = extracted(volume.image, tmp_path / "files", program)
    # the overview, and for each series a page of small and one of large pictures, or a document
    assert check_content(root) == 2 + 2 + 2 + 2
    assert sorted(path.name for path in root.iterdir()) == [
        "DICOM",
        "DICOMDIR",
        "IHE_PDI",
        "INDEX.HTM",
        "README.TXT",
    ]


def test_every_picture_is_the_image(study: Path, tmp_path: Path) -> None:
    (volume,) = built(study, tmp_path / "out", terms()).built
    with open_volume(volume.image) as opened:
        names = [name for name in opened.files() if name.endswith(".JPG")]
        assert len([name for name in names if "\\I0" in name]) == 5 + 5
        assert len([name for name in names if "\\T0" in name]) == 5 + 5
        picture = np.asarray(Image.open(io.BytesIO(opened.read("IHE_PDI\\S0000001\\I0000003.JPG"))))
    # window 40/400 on -1000 HU and on 40 HU
    assert picture.shape == (64, 64)
    assert picture[50, 50] == 0
    assert abs(int(picture[16, 9]) - 128) <= 4


def test_text_of_the_instances_is_safe_in_pages(study: Path, tmp_path: Path) -> None:
    (volume,) = built(study, tmp_path / "out", terms()).built
    with open_volume(volume.image) as opened:
        overview = opened.read("IHE_PDI\\INDEX.HTM").decode()
        front = opened.read("INDEX.HTM").decode()
    assert "Thorax &amp; &quot;Abdomen&quot;" in overview
    assert "Lung &lt;1 mm&gt;" in overview
    assert "P&lt;1&gt;" in overview
    assert "Dr. Änne Müller" in front
    assert "31 January 2024" in front


def test_every_page_of_a_series_says_whose_it_is(study: Path, tmp_path: Path) -> None:
    (volume,) = built(study, tmp_path / "out", terms()).built
    root = extracted(volume.image, tmp_path / "files", "xorriso")
    pages = [page.read_text("utf-8") for page in root.glob("IHE_PDI/S*/*.HTM")]
    assert len(pages) == 6
    for page in pages:
        assert "Dr. Änne Müller" in page
        assert "P&lt;1&gt;" in page


def test_each_volume_of_a_set_says_what_is_on_the_others(tmp_path: Path) -> None:
    for number in (1, 2):
        content_sources.ct_slices(tmp_path / "source", 3, size=256, study=f"1.2.{number}")
        for path in list((tmp_path / "source").glob("ct?")):
            path.rename(path.with_name(f"{number}{path.name}"))
    whole = built(tmp_path / "source", tmp_path / "whole", terms()).built[0].size
    result = built(tmp_path / "source", tmp_path / "out", terms(), capacity=whole - 2048)
    assert len(result.built) == 2
    for volume in result.built:
        root = extracted(volume.image, tmp_path / volume.image.stem, "xorriso")
        check_content(root)
        front = (root / "INDEX.HTM").read_text("utf-8")
        assert "of 2" in front
        assert "On the other media" in front
        assert front.count("Images: 3") == 2


@pytest.mark.parametrize("spare", [0, 2048])
def test_a_volume_is_full_to_the_last_sector(study: Path, tmp_path: Path, spare: int) -> None:
    size = built(study, tmp_path / "whole", terms()).built[0].size
    result = built(study, tmp_path / "out", terms(), capacity=size - spare)
    assert len(result.built) == (2 if spare else 1)
    assert all(volume.size <= size - spare for volume in result.built)


def test_pages_never_keep_an_instance_off_the_media(tmp_path: Path) -> None:
    source = tmp_path / "source"
    content_sources.ct_slices(source, 1, size=512)
    bare = built(source, tmp_path / "bare", terms("FOR_RESEARCH")).built[0].size
    result = built(source, tmp_path / "out", terms(), capacity=bare)
    assert [volume.report.instances for volume in result.built] == [1]
    with open_volume(result.built[0].image) as opened:
        assert "INDEX.HTM" not in opened.files()


def test_of_a_long_series_every_nth_picture_is_shown(tmp_path: Path) -> None:
    content_sources.ct_slices(tmp_path / "source", 25, size=16)
    (volume,) = built(tmp_path / "source", tmp_path / "out", terms(pictures=10)).built
    with open_volume(volume.image) as opened:
        names = [name for name in opened.files() if "\\I0" in name]
        page = opened.read("IHE_PDI\\S0000001\\INDEX.HTM").decode()
    assert len(names) == 9
    assert "9 of 25 images" in page


def test_an_image_that_cannot_be_shown_is_said_and_nothing_fails(tmp_path: Path) -> None:
    """Its palette is shorter than it says."""
    source = tmp_path / "source"
    source.mkdir()
    palette = {}
    for colour in ("Red", "Green", "Blue"):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = bytes(20)
    cells = np.zeros((1, 8, 8, 1), np.uint8)
    written(source / "image", cells, 8, PhotometricInterpretation="PALETTE COLOR", **palette)
    (volume,) = built(source, tmp_path / "out", terms()).built
    with open_volume(volume.image) as opened:
        page = opened.read("IHE_PDI\\S0000001\\INDEX.HTM").decode()
        front = opened.read("INDEX.HTM").decode()
    assert volume.report.instances == 1
    assert "This image cannot be shown" in page
    assert "not on these pages: 1" in front


def test_an_image_without_pixels_says_so(tmp_path: Path) -> None:
    (path, _) = content_sources.ct_slices(tmp_path / "source", 2)
    with pydicom.dcmread(path) as data_set:
        del data_set.PixelData
        data_set.save_as(path)
    (volume,) = build(
        [tmp_path / "source"], tmp_path / "out", replace(CD, content=terms()), lambda *_: None
    ).built
    with open_volume(volume.image) as opened:
        page = opened.read("IHE_PDI\\S0000001\\INDEX.HTM").decode()
    assert "it has no pixel data. The DICOM file is unchanged. (1)" in page


def test_no_means_dicom_files_alone(study: Path, tmp_path: Path) -> None:
    (volume,) = built(study, tmp_path / "out", terms("NO")).built
    with open_volume(volume.image) as opened:
        others = [name for name in opened.files() if not name.startswith("DICOM\\")]
    assert others == ["DICOMDIR"]


def test_for_research_there_are_lists_of_the_instances(study: Path, tmp_path: Path) -> None:
    import csv
    import json

    (volume,) = built(study, tmp_path / "out", terms("FOR_RESEARCH")).built
    with open_volume(volume.image) as opened:
        others = [name for name in opened.files() if not name.startswith("DICOM\\")]
        assert others == ["DICOMDIR", "README.TXT", "MANIFEST.CSV", "MANIFEST.JSN"]
        table = opened.read("MANIFEST.CSV").decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(table)))
        instances = json.loads(opened.read("MANIFEST.JSN"))["instances"]
        files = {name.replace("\\", "/") for name in opened.files()}
    assert len(rows) == len(instances) == 7
    assert {row["file"] for row in rows} == {item["file"] for item in instances}
    assert {row["file"] for row in rows} <= files
    assert {row["sop_instance_uid"] for row in rows} >= {"1.2.3.1.1", "1.2.3.2.1", "1.2.3.3.1"}


def test_for_teaching_pages_show_nothing_that_names_the_patient(
    study: Path, tmp_path: Path
) -> None:
    """Original CT images are shown; ultrasound, documents and free text are not."""
    Image.new("RGB", (90, 30)).save(tmp_path / "logo.png")
    content = terms("FOR_TEACHING", institution="Clinic & Co", logo=tmp_path / "logo.png")
    (volume,) = built(study, tmp_path / "out", content).built
    root = extracted(volume.image, tmp_path / "files", "xorriso")
    check_content(root)
    text = "".join(page.read_text("utf-8") for page in root.rglob("*.HTM"))
    for secret in (
        "Müller",
        "1950",
        "2024",
        "Example",
        "Thorax",
        "Lung",
        "P&lt;",
        "imaging report",
    ):
        assert secret not in text, secret
    assert len(list((root / "IHE_PDI" / "S0000001").glob("I*.JPG"))) == 5
    assert not list((root / "IHE_PDI" / "S0000002").glob("*.JPG"))
    assert "may name the patient" in text
    assert "Clinic" not in text
    assert not (root / "IHE_PDI" / "LOGO.JPG").exists()
    readme = " ".join((root / "README.TXT").read_text().split())
    assert "Clinic" not in readme
    assert "The DICOM files on this medium DO identify the patient" in readme


@pytest.mark.parametrize(("burned_in", "is_shown"), [(None, True), ("NO", True), ("YES", False)])
def test_for_teaching_ultrasound_is_shown_inside_its_regions_alone(
    tmp_path: Path, burned_in: str | None, is_shown: bool
) -> None:
    """Beside the regions stands the name of the patient."""
    content_sources.clip(tmp_path / "source", frames=2)
    data_set = pydicom.dcmread(tmp_path / "source")
    data_set.PixelData = b"\xff" * len(data_set.PixelData)
    region = pydicom.Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 16, 8
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 31, 23
    data_set.SequenceOfUltrasoundRegions = [region]
    if burned_in:
        data_set.BurnedInAnnotation = burned_in
    data_set.save_as(tmp_path / "source")
    (volume,) = built(tmp_path / "source", tmp_path / "out", terms("FOR_TEACHING")).built
    root = extracted(volume.image, tmp_path / "files", "xorriso")
    pictures = sorted((root / "IHE_PDI").rglob("I*.JPG"))
    assert len(pictures) == (2 if is_shown else 0)
    for path in pictures:
        with Image.open(path) as picture:
            cells = np.asarray(picture.convert("L"))
        assert cells[9:23, 17:31].min() > 240
        assert max(cells[:7].max(), cells[25:].max(), cells[:, :14].max(), cells[:, 34:].max()) < 16


def test_texts_of_the_site_are_on_pages_and_in_the_readme(study: Path, tmp_path: Path) -> None:
    logo = tmp_path / "logo.png"
    Image.new("RGBA", (900, 300), (255, 0, 0, 128)).save(logo)
    content = terms(
        institution="Clinic & Co",
        contact="Radiology\nphone 0123",
        disclaimer="Ours alone.",
        logo=logo,
    )
    (volume,) = built(study, tmp_path / "out", content).built
    root = extracted(volume.image, tmp_path / "files", "xorriso")
    check_content(root)
    front = (root / "INDEX.HTM").read_text("utf-8")
    assert "Clinic &amp; Co" in front
    assert "phone 0123" in front
    assert "Ours alone." in front
    with Image.open(root / "IHE_PDI" / "LOGO.JPG") as picture:
        assert picture.size == (480, 160)
    readme = (root / "README.TXT").read_text()
    assert "Clinic & Co" in readme
    assert "Ours alone." in readme


def test_programs_of_the_site_are_copied_as_they_are(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "programs" / "Win"
    folder.mkdir(parents=True)
    (folder / "view.exe").write_bytes(bytes(range(256)) * 9000)
    content = content_terms(
        ContentSettings(applications=tmp_path / "programs"), PATIENT, display_application=True
    )
    (volume,) = built(study, tmp_path / "out", content).built
    with open_volume(volume.image) as opened:
        assert opened.read("WIN\\VIEW.EXE") == bytes(range(256)) * 9000
        assert b"WIN " in opened.read("README.TXT")
        assert "folder WIN" in opened.read("INDEX.HTM").decode()


def test_secure_media_hold_no_content(study: Path, tmp_path: Path) -> None:
    """It would show what is encrypted."""
    from burnish.secure_files import protection
    from burnish.settings import SecuritySettings

    password = tmp_path / "password"
    password.write_text("secret\n")
    secure = OFFERED["STD-GEN-SEC-CD"]
    options = BuildOptions(
        secure,
        MEDIA["CD"],
        None,
        "SECURE",
        split=True,
        protection=protection.load_protection(
            SecuritySettings(), recipients="", password_file=str(password)
        ),
        content=terms(),
    )
    (volume,) = build([study], tmp_path / "out", options, lambda *_: None).built
    assert volume.report.good
    with open_volume(volume.image) as opened:
        others = [name for name in opened.files() if not name.startswith("DICOM\\")]
    assert others == ["DICOMDIR", "README.TXT"]


def test_the_manifest_has_a_digest_of_every_file(study: Path, tmp_path: Path) -> None:
    (volume,) = built(study, tmp_path / "out", terms()).built
    with open_volume(volume.image) as opened:
        assert set(volume.report.digests) == set(opened.files())


def test_the_pages_of_a_site_without_contact_name_nobody(tmp_path: Path) -> None:
    written(tmp_path / "image", np.zeros((1, 8, 8, 1), np.uint8), 8)
    (volume,) = built(tmp_path / "image", tmp_path / "out", terms()).built
    with open_volume(volume.image) as opened:
        front = opened.read("INDEX.HTM").decode()
    assert "Ask your doctor, or those who made this medium." in front
    assert Site().institution == ""


def with_viewer(**settings: object) -> ContentTerms:
    return content_terms(ContentSettings(**settings), PATIENT, display_application=True)


def test_true_values_never_take_a_further_volume(tmp_path: Path) -> None:
    """With "auto", the viewer gets what room there is; all images are on the media."""
    noise = np.random.default_rng(1).integers(0, 4096, (1, 256, 256, 1)).astype("<u2")
    (tmp_path / "source").mkdir()
    for number in range(3):
        path = tmp_path / "source" / str(number)
        written(path, noise + number, 13, SOPInstanceUID=f"1.2.3.{number}")
    small = built(tmp_path / "source", tmp_path / "small", with_viewer(pixels="none")).built
    large = built(tmp_path / "source", tmp_path / "large", with_viewer(pixels="lossless")).built
    assert large[0].size > small[0].size + 100_000
    for room, packs in ((small[0].size, False), (large[0].size, True)):
        folder = tmp_path / f"auto{packs}"
        (volume,) = built(tmp_path / "source", folder, with_viewer(), capacity=room + 4096).built
        assert volume.report.instances == 3
        with open_volume(volume.image) as opened:
            assert any("\\P0" in name for name in opened.files()) is packs
            assert "VIEWER\\VIEWER.HTM" in opened.files()
