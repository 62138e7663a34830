"""Media with pages and the viewer, made by a service of all real instances, as people get them."""

import json
from pathlib import Path

import pytest

import material
import oracles
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


def test_a_peer_that_wants_dicom_files_alone_gets_them(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    _, [image] = make_media(burnish, real_studies.tiny, "STD-GEN-CD", IncludeNonDICOMObjects="NO")
    root = oracles.extract_with_xorriso(image, tmp_path / "disc")
    assert sorted(path.name for path in root.iterdir()) == ["DICOM", "DICOMDIR"]
