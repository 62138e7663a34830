"""`burnish disc`: images of real files by hand, and the verdict on good and bad ones."""

import shutil
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian

import material
import oracles
from burnish.vocabulary import JPEG_2000_LOSSLESS, JPEG_LOSSLESS_SV1
from unit.cli.conftest import Run


@pytest.fixture
def folder(tmp_path: Path, real_studies: material.RealStudies) -> Path:
    """Three patients' studies in one folder, with a text file among them."""
    folder = tmp_path / "export"
    folder.mkdir()
    for number, path in enumerate(real_studies.patients):
        shutil.copy(path, folder / f"image {number}.dcm")
    (folder / "notes.txt").write_text("no DICOM at all")
    return folder


def contents(image: Path, target: Path) -> dict[str, FileDataset]:
    """SOP Instance UID → data set of every instance on an image, read by other programs."""
    root = oracles.extract(image, target)
    data_sets = [oracles.read(root / name) for name in oracles.file_ids(root)]
    return {str(data_set.SOPInstanceUID): data_set for data_set in data_sets}


def test_a_folder_becomes_a_verified_volume(
    folder: Path, run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (volume,) = done.json["volumes"]
    assert volume["good"]
    assert [Path(left["path"]).name for left in done.json["skipped"]] == ["notes.txt"]
    found = contents(Path(volume["image"]), tmp_path / "extracted")
    sent = {str(material.read(path).SOPInstanceUID): path for path in real_studies.patients}
    assert found.keys() == sent.keys()
    for uid, path in sent.items():
        assert found[uid] == material.read(path)
    assert list((tmp_path / "out").iterdir()) == [Path(volume["image"])]


def test_what_the_profile_has_not_is_transcoded(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    source = real_studies.file("SC_rgb_jpeg_gdcm.dcm")
    for profile, kept in (("STD-GEN-CD", False), ("STD-GEN-DVD-JPEG", True)):
        to = tmp_path / profile
        done = run("disc", "build", source, "--output", to, "--profile", profile, "--json")
        assert done.code == 0, done.err
        image = Path(done.json["volumes"][0]["image"])
        (data_set,) = contents(image, tmp_path / f"{profile}-extracted").values()
        syntax = data_set.file_meta.TransferSyntaxUID
        assert (syntax == material.read(source).file_meta.TransferSyntaxUID) is kept
        assert (syntax == ExplicitVRLittleEndian) is not kept
        assert run("disc", "verify", image, "--profile", profile).code == 0


@pytest.mark.parametrize(
    ("medium", "name"),
    [
        *(("DVD", "VOLUME01.iso"), ("BD", "VOLUME01.iso"), ("MIME", "VOLUME01.eml")),
        *(("USB", "VOLUME01.img"), ("SD", "VOLUME01.img"), ("MAIL", "VOLUME01/DICOM.ZIP")),
    ],
)
def test_every_medium_is_built_and_verified(
    medium: str, name: str, folder: Path, run: Run, tmp_path: Path
) -> None:
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--medium", medium, "--json")
    assert done.code == 0, done.err
    (volume,) = done.json["volumes"]
    image = Path(volume["image"])
    assert volume["good"]
    assert image == tmp_path / "out" / name
    report = run("disc", "verify", image, "--json").json
    assert (report["good"], report["instances"]) == (True, 31)
    if medium != "MIME":  # which no archiver opens
        assert contents(image, tmp_path / "extracted")


def test_a_medium_that_the_profile_has_not_is_refused(
    folder: Path, run: Run, tmp_path: Path
) -> None:
    for options in (("--profile", "STD-GEN-CD", "--medium", "DVD"), ("--medium", "TAPE")):
        assert run("disc", "build", folder, "--output", tmp_path / "out", *options).code == 2


def test_a_dvd_whose_file_systems_differ_is_faulty(folder: Path, run: Run, tmp_path: Path) -> None:
    run("disc", "build", folder, "--output", tmp_path / "out", "--medium", "DVD")
    image = tmp_path / "out" / "VOLUME01.iso"
    data = bytearray(image.read_bytes())
    for anchor in (256 * 2048, len(data) - 2048):
        data[anchor] ^= 1
    image.write_bytes(data)
    done = run("disc", "verify", image)
    assert done.code == 22
    assert "FILE_SYSTEM_CONTRADICTORY  UDF: its UDF structures cannot be read" in done.out


def test_images_are_compressed_where_that_is_wished_for(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """What is no image goes as it is, and so does all where the profile has no such form."""
    sources = [real_studies.file(name) for name in ("CT_small.dcm", "rtplan.dcm")]
    sizes = {}
    for profile in ("STD-GEN-CD", "STD-GEN-DVD-JPEG", "STD-GEN-DVD-J2K"):
        options = ("--output", tmp_path / profile, "--profile", profile, "--lossless", "--json")
        done = run("disc", "build", *sources, *options)
        assert done.code == 0, done.err
        image = Path(done.json["volumes"][0]["image"])
        assert run("disc", "verify", image, "--profile", profile).code == 0
        found = contents(image, tmp_path / f"{profile}-extracted")
        ct, plan = (found[str(material.read(path).SOPInstanceUID)] for path in sources)
        assert plan.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        sizes[str(ct.file_meta.TransferSyntaxUID)] = len(ct.PixelData)
        assert (ct.pixel_array == material.read(sources[0]).pixel_array).all()
    assert sizes.keys() == {str(ExplicitVRLittleEndian), JPEG_LOSSLESS_SV1, JPEG_2000_LOSSLESS}
    assert sizes.pop(str(ExplicitVRLittleEndian)) > max(sizes.values())


def test_images_are_compressed_with_loss_where_that_is_wished_for(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """Not those of a study with a document; and the same image twice is still one."""
    names = ("examples_rgb_color.dcm", "CT_small.dcm")
    image, other = (real_studies.file(name) for name in names)
    twin, document = tmp_path / "twin.dcm", tmp_path / "document.dcm"
    shutil.copy(image, twin)
    data_set = material.read(real_studies.file("rtplan.dcm"))
    data_set.StudyInstanceUID = material.read(other).StudyInstanceUID
    data_set.save_as(document)
    options = ("--output", tmp_path / "out", "--profile", "STD-GEN-DVD-JPEG", "--lossy", "--json")
    done = run("disc", "build", image, twin, other, document, *options)
    assert done.code == 0, done.err
    assert [Path(left["path"]).name for left in done.json["skipped"]] == ["twin.dcm"]
    found = contents(Path(done.json["volumes"][0]["image"]), tmp_path / "extracted")
    assert material.read(other).SOPInstanceUID in found
    (derived,) = [one for one in found.values() if "SourceImageSequence" in one]
    source = material.read(image).SOPInstanceUID
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source not in found
    assert derived.LossyImageCompression == "01"
    volume = tmp_path / "out" / "VOLUME01.iso"
    assert run("disc", "verify", volume, "--profile", "STD-GEN-DVD-JPEG").code == 0


def test_what_does_not_fit_is_split(folder: Path, run: Run, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "out", "--capacity", "160KB", "--file-set-id", "TEACHING")
    volumes = run("disc", "build", folder, *options, "--json").json["volumes"]
    assert len(volumes) > 1
    assert all(volume["good"] and volume["size"] <= 160_000 for volume in volumes)
    assert [v["file_set_id"] for v in volumes] == [
        f"TEACHING_{number}" for number in range(1, len(volumes) + 1)
    ]
    assert sum(volume["instances"] for volume in volumes) == 31


def test_what_may_not_be_split_is_refused(folder: Path, run: Run, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "out", "--capacity", "160KB", "--no-split")
    done = run("disc", "build", folder, *options)
    assert done.code == 8
    assert not list((tmp_path / "out").iterdir())


def test_what_is_larger_than_a_volume_is_named_and_the_rest_is_made(
    folder: Path, run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    large = real_studies.file("examples_palette.dcm")
    options = ("--output", tmp_path / "out", "--capacity", "250KB", "--json")
    done = run("disc", "build", folder, large, *options)
    assert done.code == 23
    assert [left["path"] for left in done.json["refused"]] == [str(large)]
    assert sum(volume["instances"] for volume in done.json["volumes"]) == 31


def test_the_same_instance_is_put_on_once(folder: Path, run: Run, tmp_path: Path) -> None:
    shutil.copy(folder / "image 0.dcm", folder / "once more.dcm")
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 0
    assert {Path(left["path"]).name for left in done.json["skipped"]} == {
        "notes.txt",
        "once more.dcm",
    }
    assert done.json["volumes"][0]["instances"] == 31


def test_other_content_under_the_same_uid_is_named(folder: Path, run: Run, tmp_path: Path) -> None:
    other = material.read(folder / "image 0.dcm")
    other.ImageComments = "changed"
    other.save_as(folder / "other.dcm")
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 23
    assert [Path(left["path"]).name for left in done.json["refused"]] == ["other.dcm"]


def test_a_damaged_file_is_named_and_a_dicomdir_is_not_missed(
    folder: Path, run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    shutil.copy(real_studies.file("MR_truncated.dcm"), folder / "damaged.dcm")
    shutil.copy(real_studies.patients[0].parents[2] / "DICOMDIR", folder / "DICOMDIR")
    done = run("disc", "build", folder, "--output", tmp_path / "out")
    assert done.code == 23
    assert f"NOT ON MEDIA: {folder / 'damaged.dcm'}" in done.err
    assert f"left out: {folder / 'DICOMDIR'}" in done.err


def test_an_image_is_never_overwritten(folder: Path, run: Run, tmp_path: Path) -> None:
    assert run("disc", "build", folder, "--output", tmp_path / "out").code == 0
    before = (tmp_path / "out" / "VOLUME01.iso").read_bytes()
    assert run("disc", "build", folder, "--output", tmp_path / "out").code == 5
    assert (tmp_path / "out" / "VOLUME01.iso").read_bytes() == before


def test_nothing_to_put_on_media_is_no_success(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("disc", "build", tmp_path / "empty", "--output", tmp_path / "out").code == 23
    assert run("disc", "build", tmp_path / "none", "--output", tmp_path / "out").code == 4


def test_a_good_volume_is_called_good(folder: Path, run: Run, tmp_path: Path) -> None:
    run("disc", "build", folder, "--output", tmp_path / "out")
    image = tmp_path / "out" / "VOLUME01.iso"
    done = run("disc", "verify", image, "--profile", "STD-GEN-CD")
    assert done.code == 0
    assert "no fault; 31 instances" in done.out
    extracted = oracles.extract(image, tmp_path / "extracted")
    report = run("disc", "verify", extracted, "--json").json
    assert report["good"]
    assert report["faults"] == []


def test_faults_are_told_with_code_and_words(folder: Path, run: Run, tmp_path: Path) -> None:
    run("disc", "build", folder, "--output", tmp_path / "out")
    extracted = oracles.extract(tmp_path / "out" / "VOLUME01.iso", tmp_path / "extracted")
    lost = next(extracted.rglob("IM000001"))
    lost.unlink()
    done = run("disc", "verify", extracted)
    assert done.code == 22
    assert "FILE_MISSING" in done.out
    assert "is not on the volume" in done.out
    report = run("disc", "verify", extracted, "--json")
    assert report.code == 22
    assert [fault["code"] for fault in report.json["faults"]] == ["FILE_MISSING"]


def test_what_is_no_volume_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    assert run("disc", "verify", tmp_path / "text").code == 3
    assert run("disc", "verify", tmp_path / "none").code == 4
