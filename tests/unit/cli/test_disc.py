"""`burnish disc build` and `verify` on real files."""

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
    """A folder with studies of three patients and a text file."""
    folder = tmp_path / "export"
    folder.mkdir()
    for number, path in enumerate(real_studies.patients):
        shutil.copy(path, folder / f"image {number}.dcm")
    (folder / "notes.txt").write_text("no DICOM at all")
    return folder


def contents(image: Path, target: Path) -> dict[str, FileDataset]:
    """Every instance on an image, read by other programs, by SOP Instance UID."""
    root = oracles.extract(image, target)
    data_sets = [oracles.read(root / name) for name in oracles.file_ids(root)]
    return {str(data_set.SOPInstanceUID): data_set for data_set in data_sets}


def test_build_makes_a_verified_volume_of_a_directory(
    folder: Path, run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 0, done.err
    (volume,) = done.json["volumes"]
    assert volume["good"]
    assert [Path(file["path"]).name for file in done.json["skipped"]] == ["notes.txt"]
    on_media = contents(Path(volume["image"]), tmp_path / "extracted")
    sent = {str(material.read(path).SOPInstanceUID): path for path in real_studies.patients}
    assert on_media.keys() == sent.keys()
    for uid, path in sent.items():
        assert on_media[uid] == material.read(path)
    assert list((tmp_path / "out").iterdir()) == [Path(volume["image"])]


def test_transfer_syntaxes_that_the_profile_does_not_permit_are_converted(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    source = real_studies.file("SC_rgb_jpeg_gdcm.dcm")
    for profile, is_permitted in (("STD-GEN-CD", False), ("STD-GEN-DVD-JPEG", True)):
        to = tmp_path / profile
        done = run("disc", "build", source, "--output", to, "--profile", profile, "--json")
        assert done.code == 0, done.err
        image = Path(done.json["volumes"][0]["image"])
        (data_set,) = contents(image, tmp_path / f"{profile}-extracted").values()
        syntax = data_set.file_meta.TransferSyntaxUID
        assert (syntax == material.read(source).file_meta.TransferSyntaxUID) is is_permitted
        assert (syntax == ExplicitVRLittleEndian) is not is_permitted
        assert run("disc", "verify", image, "--profile", profile).code == 0


@pytest.mark.parametrize(
    ("medium", "name"),
    [
        ("DVD", "VOLUME01.iso"),
        ("BD", "VOLUME01.iso"),
        ("MIME", "VOLUME01.eml"),
        ("USB", "VOLUME01.img"),
        ("SD", "VOLUME01.img"),
        ("MAIL", "VOLUME01/DICOM.ZIP"),
    ],
)
def test_every_medium_can_be_built_and_verified(
    medium: str, name: str, folder: Path, run: Run, tmp_path: Path
) -> None:
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--medium", medium, "--json")
    assert done.code == 0, done.err
    (volume,) = done.json["volumes"]
    image = Path(volume["image"])
    assert volume["good"]
    assert image == tmp_path / "out" / name
    report = run("disc", "verify", image, "--json").json
    assert report["good"] is True
    assert report["instances"] == 31
    if medium != "MIME":  # no archiver opens MIME messages
        assert contents(image, tmp_path / "extracted")


def test_a_medium_that_the_profile_does_not_permit_is_rejected(
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


def test_lossless_compresses_images_where_the_profile_permits_it(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """Other objects, and all objects of a profile without compression, stay as they are."""
    sources = [real_studies.file(name) for name in ("CT_small.dcm", "rtplan.dcm")]
    sizes = {}
    for profile in ("STD-GEN-CD", "STD-GEN-DVD-JPEG", "STD-GEN-DVD-J2K"):
        options = ("--output", tmp_path / profile, "--profile", profile, "--lossless", "--json")
        done = run("disc", "build", *sources, *options)
        assert done.code == 0, done.err
        image = Path(done.json["volumes"][0]["image"])
        assert run("disc", "verify", image, "--profile", profile).code == 0
        on_media = contents(image, tmp_path / f"{profile}-extracted")
        ct, plan = (on_media[str(material.read(path).SOPInstanceUID)] for path in sources)
        assert plan.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        sizes[str(ct.file_meta.TransferSyntaxUID)] = len(ct.PixelData)
        assert (ct.pixel_array == material.read(sources[0]).pixel_array).all()
    assert sizes.keys() == {str(ExplicitVRLittleEndian), JPEG_LOSSLESS_SV1, JPEG_2000_LOSSLESS}
    assert sizes.pop(str(ExplicitVRLittleEndian)) > max(sizes.values())


def test_lossy_derives_compressed_images(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    """Images of a study with a document are not compressed; a duplicate is skipped."""
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
    assert [Path(file["path"]).name for file in done.json["skipped"]] == ["twin.dcm"]
    on_media = contents(Path(done.json["volumes"][0]["image"]), tmp_path / "extracted")
    assert material.read(other).SOPInstanceUID in on_media
    (derived,) = [data_set for data_set in on_media.values() if "SourceImageSequence" in data_set]
    source = material.read(image).SOPInstanceUID
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == source not in on_media
    assert derived.LossyImageCompression == "01"
    volume = tmp_path / "out" / "VOLUME01.iso"
    assert run("disc", "verify", volume, "--profile", "STD-GEN-DVD-JPEG").code == 0


def test_a_large_set_is_split_over_volumes(folder: Path, run: Run, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "out", "--capacity", "160KB", "--file-set-id", "TEACHING")
    volumes = run("disc", "build", folder, *options, "--json").json["volumes"]
    assert len(volumes) > 1
    assert all(volume["good"] and volume["size"] <= 160_000 for volume in volumes)
    assert [v["file_set_id"] for v in volumes] == [
        f"TEACHING_{number}" for number in range(1, len(volumes) + 1)
    ]
    assert sum(volume["instances"] for volume in volumes) == 31


def test_no_split_fails_if_one_volume_is_not_enough(folder: Path, run: Run, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "out", "--capacity", "160KB", "--no-split")
    done = run("disc", "build", folder, *options)
    assert done.code == 8
    assert not list((tmp_path / "out").iterdir())


def test_an_instance_larger_than_a_volume_is_reported_and_the_others_are_built(
    folder: Path, run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    large = real_studies.file("examples_palette.dcm")
    options = ("--output", tmp_path / "out", "--capacity", "250KB", "--json")
    done = run("disc", "build", folder, large, *options)
    assert done.code == 23
    assert [file["path"] for file in done.json["refused"]] == [str(large)]
    assert sum(volume["instances"] for volume in done.json["volumes"]) == 31


def test_a_duplicate_file_is_skipped(folder: Path, run: Run, tmp_path: Path) -> None:
    shutil.copy(folder / "image 0.dcm", folder / "once more.dcm")
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 0
    assert {Path(file["path"]).name for file in done.json["skipped"]} == {
        "notes.txt",
        "once more.dcm",
    }
    assert done.json["volumes"][0]["instances"] == 31


def test_other_content_with_the_same_uid_is_refused(folder: Path, run: Run, tmp_path: Path) -> None:
    other = material.read(folder / "image 0.dcm")
    other.ImageComments = "changed"
    other.save_as(folder / "other.dcm")
    done = run("disc", "build", folder, "--output", tmp_path / "out", "--json")
    assert done.code == 23
    refused = [Path(file["path"]).name for file in done.json["refused"]]
    assert refused == ["image 0.dcm", "other.dcm"]


def test_a_damaged_file_is_refused_and_a_dicomdir_is_skipped(
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


def test_a_build_without_instances_is_no_success(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("disc", "build", tmp_path / "empty", "--output", tmp_path / "out").code == 23
    assert run("disc", "build", tmp_path / "none", "--output", tmp_path / "out").code == 4


def test_verify_accepts_a_good_volume(folder: Path, run: Run, tmp_path: Path) -> None:
    run("disc", "build", folder, "--output", tmp_path / "out")
    image = tmp_path / "out" / "VOLUME01.iso"
    done = run("disc", "verify", image, "--profile", "STD-GEN-CD")
    assert done.code == 0
    assert "no fault; 31 instances" in done.out
    extracted = oracles.extract(image, tmp_path / "extracted")
    report = run("disc", "verify", extracted, "--json").json
    assert report["good"]
    assert report["faults"] == []


def test_verify_prints_code_and_words_of_a_fault(folder: Path, run: Run, tmp_path: Path) -> None:
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


def test_the_verdict_counts_images_that_are_headers_alone(
    run: Run, tmp_path: Path, real_studies: material.RealStudies
) -> None:
    data_set = material.read(real_studies.file("CT_small.dcm"))
    del data_set.PixelData
    data_set.save_as(tmp_path / "header")
    built = run("disc", "build", tmp_path / "header", "--output", tmp_path / "out")
    assert "it has no Pixel Data" in built.err
    done = run("disc", "verify", tmp_path / "out" / "VOLUME01.iso")
    assert done.code == 0
    assert "; 1 image without pixel data, which no viewer can show; 1 instance" in done.out


def test_verify_rejects_a_file_that_is_no_volume(run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("nothing")
    assert run("disc", "verify", tmp_path / "text").code == 3
    assert run("disc", "verify", tmp_path / "none").code == 4
