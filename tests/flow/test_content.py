"""Media with pages and the viewer, made by a service of all real instances, as people get them."""

import json
import re
import shutil
from pathlib import Path

import pytest

import material
import oracles
from burnish.content.languages import catalogue
from burnish.content.model import ContentKind
from burnish.content.rendition import read_rendition
from content_checks import check_content
from flow import clients
from flow.conftest import StartBurnish
from flow.service import Service
from flow.test_volumes import make_media


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish, real_studies: material.RealStudies) -> Service:
    service = start_shared(content={"pages": True, "contact": "phone 0123", "language": "de"})
    assert clients.dcmsend(service.port, *real_studies.all).exit_code == 0
    return service


def test_a_request_of_a_peer_gets_pages_and_the_viewer(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    """Everything is shown or said, nothing fails, and every link leads somewhere."""
    attributes = {
        "IncludeNonDICOMObjects": "FOR_PHYSICIAN",
        "IncludeDisplayApplication": "YES",
    }
    _, [image] = make_media(burnish, real_studies.all, "STD-GEN-CD", **attributes)
    root = oracles.extract_with_xorriso(image, tmp_path / "disc")
    assert check_content(root) > 10
    assert (root / "VIEWER" / "VIEWER.HTM").is_file()
    assert (root / "VIEWER" / "DATA.JS").read_bytes().startswith(b"BURNISH_DISC(")
    front = (root / "INDEX.HTM").read_text("utf-8")
    assert 'href="VIEWER/VIEWER.HTM"' in front
    assert "phone 0123" in front
    readme = (root / "README.TXT").read_text("utf-8-sig")
    assert "Dieses Medium" in readme
    manifest = json.loads(image.with_suffix(".json").read_bytes())
    files = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert {name.replace("\\", "/") for name in manifest["files"]} == files
    oracles.dcdirdmp(root / "DICOMDIR")


def shown_or_said(service: Service, roots: list[Path]) -> int:
    """Asserts that pages name what they do not show; the number of instances with a rendition."""
    renditions = {
        path.name: read_rendition(path.parents[1], path.name)
        for path in (service.root / "content").glob("*/*lossless")
    }
    not_shown = [
        key
        for key, rendition in renditions.items()
        if not rendition.pictures and not rendition.body
    ]
    for key in not_shown:
        rendition = renditions[key]
        assert rendition.fault or rendition.instance.kind is ContentKind.OTHER, rendition.instance
    note = re.compile(catalogue("de").text("front.not_shown", number=0).replace("0", r"(\d+)"))
    told = 0
    for root in roots:
        told += sum(map(int, note.findall((root / "INDEX.HTM").read_text("utf-8"))))
    assert told == len(not_shown)
    return len(renditions)


def test_a_request_for_the_wider_collection_shows_or_names_all_of_it(
    start_burnish: StartBurnish,
    real_studies: material.RealStudies,
    wider_collection: material.WiderCollection,
    tmp_path: Path,
) -> None:
    """One request for files of all kinds, without those that are malformed on purpose.

    Without a wider collection, these are all files of the pydicom wheel but one: no decoder reads
    its frame, so the request would be refused.
    """
    burnish = start_burnish(content={"pages": True, "language": "de"})
    unreadable = shutil.ignore_patterns("JPEG2000-embedded-sequence-delimiter.dcm")
    wheel = real_studies.file("CT_small.dcm").parent
    folders = [Path(shutil.copytree(wheel, tmp_path / "wheel", ignore=unreadable))]
    if wider_collection:
        collection = sorted(path for path in wider_collection.root.iterdir() if path.is_dir())
        folders = [folder for folder in collection if folder.name != "nasty"]
    clients.dcmsend(burnish.port, *folders)
    received = list(oracles.live_instances(burnish))
    studies = {row["study_instance_uid"] for row in received} - {""}
    options = [option for uid in sorted(studies) for option in ("--study", uid)]
    # such as a Hanging Protocol, which belongs to no study
    alone = [row["sop_instance_uid"] for row in received if not row["study_instance_uid"]]
    options += [option for uid in alone for option in ("--instance", uid)]
    options += ["--several-patients", "--content", "FOR_PHYSICIAN", "--initiate"]
    name = burnish.cli("request", "create", *options)["short_id"]
    watched = burnish.run("request", "watch", name)
    assert watched.returncode == 0, watched.stdout[-2000:]
    roots = [
        oracles.extract(image, tmp_path / image.stem)
        for image in sorted((burnish.outbox / name).glob("*.iso"))
    ]
    for root in roots:
        assert check_content(root) > 10
    instances = sum(1 for root in roots for path in (root / "DICOM").rglob("*") if path.is_file())
    assert shown_or_said(burnish, roots) >= instances > 50


def test_a_peer_that_wants_dicom_files_alone_gets_them(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    _, [image] = make_media(burnish, real_studies.tiny, "STD-GEN-CD", IncludeNonDICOMObjects="NO")
    root = oracles.extract_with_xorriso(image, tmp_path / "disc")
    assert sorted(path.name for path in root.iterdir()) == ["DICOM", "DICOMDIR"]
