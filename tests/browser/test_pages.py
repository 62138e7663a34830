"""The pages of a disc in real browsers: usable without scripts, accessible, and complete."""

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

import content_sources
import document_sources
import encoded_videos
import oracles
from accessibility import serious_faults
from browsers import CHROMIUM, Browser
from burnish.application_profiles import OFFERED
from burnish.content.asked_for import content_terms
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.settings import ContentSettings
from burnish.vocabulary import IncludeNonDICOMObjects

#: Pages on which something differs, by what they show.
KINDS = {
    "front page": "INDEX.HTM",
    "patients and studies": "IHE_PDI/INDEX.HTM",
    "series": "IHE_PDI/S*/INDEX.HTM",
    "pictures": "IHE_PDI/S*/L0000001.HTM",
    "documents": "IHE_PDI/S*/D0*.HTM",
}
_IMAGES = "[...document.images].map(image => [image.src, image.complete && image.naturalWidth > 0])"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a clip, reports, an ECG, key objects and a PDF."""
    folder = tmp_path_factory.mktemp("sources")
    for path in content_sources.ct_slices(folder, 3):
        with pydicom.dcmread(path) as slice_:
            # no place to break a line
            slice_.SeriesDescription = "range,-2048,to,+2047,signed,mono2,modality,lut"
            slice_.save_as(path)
    content_sources.clip(folder / "clip")
    for name in ("test-SR.dcm", "waveform_ecg.dcm"):
        (folder / name).write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    document_sources.report(folder / "report")
    document_sources.key_objects(folder / "key_objects")
    document_sources.encapsulated(folder / "pdf", 22, "application/pdf", b"%PDF-1.4\n%%EOF\n")
    return folder


@pytest.fixture(scope="module", params=["en", "ar"])
def root(
    request: pytest.FixtureRequest, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The files of a disc for patients."""
    target = tmp_path_factory.mktemp("disc")
    settings = ContentSettings(
        language=request.param, institution="St. Example", contact="phone 0123"
    )
    audience = IncludeNonDICOMObjects.FOR_PATIENT
    terms = content_terms(settings, audience, display_application=True)
    profile = OFFERED["STD-GEN-CD"]
    options = BuildOptions(profile, MEDIA["CD"], None, "PAGES", split=False, content=terms)
    (volume,) = build([sources], target, options, lambda *_: None).built
    assert volume.report.good
    return oracles.extract(volume.image, target / "disc")


@pytest.fixture
def reader(browser: Browser) -> Browser:
    """A browser whose pages run no scripts, as far as it can be told to."""
    browser.resize(1000, 700)
    browser.errors.clear()
    return browser


def follow(browser: Browser, selector: str, target: Path) -> None:
    """A click on a link opens this page."""
    browser.click(selector)
    browser.until(f"location.pathname === {str(target)!r} && document.readyState === 'complete'")


def check_page(browser: Browser, root: Path) -> None:
    """All pictures are there, nothing is complained of, and nothing leaves the disc."""
    missing = [address for address, is_shown in browser.evaluate(_IMAGES) if not is_shown]
    assert missing == []
    assert browser.errors == []
    inside = (root.as_uri(), "data:")
    assert [address for address in browser.requests if not address.startswith(inside)] == []


def test_everything_can_be_reached_without_scripts(reader: Browser, root: Path) -> None:
    """From the first page to the large picture of a slice, and to a report, by clicks alone."""
    reader.scripts(on=False)
    try:
        reader.open(root / "INDEX.HTM")
        check_page(reader, root)
        album = root / "IHE_PDI"
        follow(reader, "a[href='IHE_PDI/INDEX.HTM']", album / "INDEX.HTM")
        check_page(reader, root)
        series = next(path.parent for path in sorted(album.glob("S*/L0000001.HTM")))
        follow(reader, f"a[href='{series.name}/INDEX.HTM']", series / "INDEX.HTM")
        check_page(reader, root)
        follow(reader, ".grid a", series / "L0000001.HTM")
        check_page(reader, root)
        assert reader.evaluate("document.querySelector('.large img').width >= 512")
        reader.open(album / "INDEX.HTM")
        document = sorted(album.glob("S*/D0*.HTM"))[0]
        follow(reader, f"a[href='{document.parent.name}/INDEX.HTM']", document.parent / "INDEX.HTM")
        follow(reader, f"a[href='{document.name}']", document)
        check_page(reader, root)
    finally:
        reader.scripts(on=True)


def test_every_page_shows_all_of_its_pictures(reader: Browser, root: Path) -> None:
    pages = [root / "INDEX.HTM", *sorted((root / "IHE_PDI").rglob("*.HTM"))]
    assert len(pages) > 12
    for page in pages:
        reader.open(page)
        check_page(reader, root)


def test_a_picture_of_an_mpeg_2_video_is_on_its_page_and_in_lists(
    reader: Browser, tmp_path: Path
) -> None:
    folder = tmp_path / "sources"
    folder.mkdir()
    stream = encoded_videos.encoded_video([(200, 40, 40)] * 20, size=(160, 128))
    document_sources.video(folder / "video", stream, transfer_syntax=document_sources.MPEG2)
    audience = IncludeNonDICOMObjects.FOR_PHYSICIAN
    terms = content_terms(ContentSettings(), audience, display_application=True)
    profile = OFFERED["STD-GEN-BD-MPEG2-MPML"]
    options = BuildOptions(profile, MEDIA["BD"], None, "VIDEO", split=False, content=terms)
    (volume,) = build([folder], tmp_path, options, lambda *_: None).built
    root = oracles.extract(volume.image, tmp_path / "disc")
    series = root / "IHE_PDI" / "S0000001"
    shown = {
        root / "IHE_PDI" / "INDEX.HTM": ".cards img",
        series / "INDEX.HTM": ".box img",
        series / "D0000001.HTM": ".document img",
    }
    for page, selector in shown.items():
        reader.open(page)
        check_page(reader, root)
        width = reader.evaluate(f"document.querySelector({selector!r}).naturalWidth")
        assert width == 160, page
    assert "not one that browsers play" in reader.evaluate("document.body.innerText")
    reader.open(root / "VIEWER" / "VIEWER.HTM")
    reader.until("document.querySelector('.tile img')?.naturalWidth === 160")


@pytest.mark.parametrize("browser", [CHROMIUM], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_no_page_is_wider_than_a_phone(reader: Browser, root: Path, kind: str) -> None:
    """Wide drawings and tables scroll within the page."""
    reader.resize(360, 740)
    for page in root.glob(KINDS[kind]):
        reader.open(page)
        overflow = reader.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0, page


@pytest.mark.parametrize("browser", [CHROMIUM], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_axe_finds_no_serious_fault_in_pages(reader: Browser, root: Path, kind: str) -> None:
    pages = list(root.glob(KINDS[kind]))
    assert pages
    for page in pages:
        reader.open(page)
        assert serious_faults(reader) == [], page
