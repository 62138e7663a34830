"""Documents on media: whole, valid and safe pages; files as they were; DCMTK finds nothing more."""

import io
import json
import re
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from random import Random

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

import content_sources
import document_sources
import encoded_videos
import oracles
import transport_streams
from burnish.application_profiles import OFFERED
from burnish.content import rendition
from burnish.content.asked_for import content_terms
from burnish.content.languages import catalogue
from burnish.content.model import Rendition
from burnish.content.rendition import RenditionOptions
from burnish.content.volume_files import read_blob
from burnish.file_slice import Slice
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.settings import ContentSettings
from burnish.vocabulary import IncludeNonDICOMObjects
from content_checks import check_content
from syncs import recorded_syncs

PDF = b"%PDF-1.4\n1 0 obj <<>> endobj\ntrailer <<>>\n%%EOF"
CDA = '<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3">Ä</ClinicalDocument>'
MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(range(256)) * 9000
#: Words that DCMTK adds to a report: its labels, and its names of kinds of instances.
_WORDS_OF_DCMTK = {
    *("footnote", "annex", "concept", "modifier", "observation", "acquisition", "observed"),
    *("properties", "content", "item", "by", "reference", "empty"),
    *("ct", "image", "with", "presentation", "state", "waveform"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    content_sources.ct_slices(folder, 3)
    for name in ("test-SR.dcm", "waveform_ecg.dcm"):
        (folder / name).write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    document_sources.report(folder / "report")
    document_sources.key_objects(folder / "key_objects")
    document_sources.encapsulated(folder / "pdf", 22, "application/pdf", PDF, "Letter <1>")
    document_sources.encapsulated(folder / "cda", 23, "text/XML", CDA.encode())
    document_sources.pressure(folder / "pressure")
    return folder


def disc(
    sources: Path,
    target: Path,
    audience: str,
    language: str = "en",
    *,
    profile: str = "STD-GEN-CD",
    medium: str = "CD",
    viewer: bool = False,
) -> Path:
    """The files of a medium with everything in a folder."""
    terms = content_terms(
        ContentSettings(language=language),
        IncludeNonDICOMObjects(audience),
        display_application=viewer,
    )
    options = BuildOptions(OFFERED[profile], MEDIA[medium], None, "DOCUMENTS", split=False)
    result = build([sources], target, replace(options, content=terms), lambda *_: None)
    (volume,) = result.built
    assert volume.report.faults == ()
    assert volume.report.instances == len(list(sources.iterdir()))
    return oracles.extract(volume.image, target / "disc")


@pytest.fixture(scope="module")
def root(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disc(sources, tmp_path_factory.mktemp("disc"), "FOR_PHYSICIAN")


def page_with(root: Path, text: str) -> Path:
    """The only page of a document with these words."""
    pages = [
        page
        for page in root.rglob("D0*.HTM")
        if text in page.read_text("utf-8").partition("<h1>")[2]
    ]
    assert len(pages) == 1, (text, pages)
    return pages[0]


def plain(xhtml: str) -> str:
    """The texts of a page."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", xhtml.replace("<br", " <br"))).split())


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def made_rendition(path: Path, folder: Path) -> Rendition:
    rendition.make_rendition(
        Slice(str(path), 0, path.stat().st_size), folder, "key", RenditionOptions()
    )
    return rendition.read_rendition(folder, "key")


def test_a_rendition_is_durable_before_it_has_its_name(tmp_path: Path) -> None:
    """After a power failure a later planner or writer uses it as it finds it."""
    source = Path(str(get_testdata_file("CT_small.dcm")))
    with recorded_syncs() as syncs:
        made_rendition(source, tmp_path)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    written = [old for old in syncs.paths() if old.parent == path.parent]
    assert len(written) == 1
    assert syncs.order(written[0]) < syncs.order(path)


def test_pages_of_all_kinds_of_documents_are_valid_and_their_links_lead_somewhere(
    root: Path,
) -> None:
    assert check_content(root) > 15
    assert len(list(root.rglob("D0*.HTM"))) == 7


@pytest.mark.parametrize("name", ["report", "test-SR.dcm"])
def test_every_word_that_dcmtk_shows_of_a_report_is_on_its_page(
    root: Path, sources: Path, name: str
) -> None:
    """Dates are compared in the form of the page."""
    command = ["dsr2html", "-q", "-Er", "-Ec", "-Ee", "-Ei", "+U8", sources / name]
    shown = subprocess.run(command, check=True, capture_output=True, timeout=60)
    _, report, _ = shown.stdout.decode().split("<hr>")
    report = re.sub(r"\w+Storage", "", plain(report))  # names of SOP Classes

    def as_on_page(date: re.Match[str]) -> str:
        return catalogue("en").date(date.group().replace("-", ""))

    report = re.sub(r"\d{4}-\d{2}-\d{2}", as_on_page, report)
    title = "A node" if name == "report" else "Sample Code 1"
    page = page_with(root, title).read_text("utf-8")
    tooltips = " ".join(re.findall(r'title="([^"]*)"', page))
    assert len(words(report)) > 40
    assert words(report) - words(plain(page)) - words(tooltips) - _WORDS_OF_DCMTK == set()


def test_a_report_shows_values_of_every_kind(root: Path) -> None:
    page = plain(page_with(root, "A node").read_text("utf-8"))
    for text in (
        "This report has not been verified",
        "Partial (Awaits the laboratory)",
        "Müller",
        "Observer: Prof. Karl Weber",
        "Date of birth: 2 January 1950",
        "Diameter: 23.5 mm",
        "Method: Caliper",
        "Measurement failure",
        "Polyline (1.5, 2) (30, 40.25)",
        "Point (-10, 20.5, 30) mm",
        "Image 2, Series 2, Frames: 3, 4",
        "A node <5 mm> & more. Second line.",
        "Observed: 31 January 2024 11:12:13",
        "See item 1.3.1",
        "1.2.3.4.5.6",
        "Density",
        "7.25high",
        "Time of call: 11:30:00",
        "31 January 2024 12:00:00",
        "ECG Waveform (not on this medium), Channels: 1, 2",
        "Encapsulated PDF (not on this medium)",
        "Point 1.25 s",
    ):
        assert text in page, text


def test_the_images_of_a_report_are_links(root: Path) -> None:
    page = page_with(root, "A node")
    (link,) = re.findall(r'href="([^"]*)">Image 2', page.read_text("utf-8"))
    assert link == "../S0000003/L0000001.HTM#i2"


def test_a_key_object_selection_shows_its_pictures(root: Path) -> None:
    page = page_with(root, "Look at the left.").read_text("utf-8")
    assert '<img src="../S0000003/T0000002.JPG" alt="Image 2, Series 2"' in page


def test_twelve_leads_are_drawn_on_their_paper(root: Path) -> None:
    """Of the first lead the drawn line is compared with the values of the file."""
    page = page_with(root, "RHYTHM").read_text("utf-8")
    assert "Sampling: 1000 Hz" in page
    assert "0.05 Hz" in page
    names = re.findall(r'<a href="../../([^"]*SVG)"', page)
    assert len(names) == 2
    # pages have web files alone: a picture of the drawing, which leads to it
    pictures = re.findall(r'<img src="../../(IHE_PDI/[^"]*JPG)"', page)
    assert len(pictures) == 2
    with Image.open(root / pictures[0]) as picture:
        cells = np.asarray(picture.convert("L"))
    columns = (cells < 80).any(axis=0).nonzero()[0]
    assert columns[-1] - columns[0] > 0.8 * cells.shape[1]
    subprocess.run(["xmllint", "--noout", "--nonet", root / names[0]], check=True, timeout=60)
    drawing = (root / names[0]).read_text("utf-8")
    texts = re.findall(r"<text[^>]*>([^<]*)", drawing)
    assert texts[:4] == ["I", "aVR", "V1", "V4"]
    assert texts[4:8] == ["II", "aVL", "V2", "V5"]
    assert texts[8:13] == ["III", "aVF", "V3", "V6", "II"]
    assert "25 mm/s   10 mm/mV" in texts[-1]
    lines = re.findall(r'class="s" d="([^"]*)"', drawing)
    points = drawn(lines[0])
    data_set = pydicom.dcmread(str(get_testdata_file("waveform_ecg.dcm")))
    values = data_set.waveform_array(0)[:, 0] / 1000  # mV
    assert points[-1][0] - points[0][0] == pytest.approx(2.5 * 25, abs=0.2)
    heights = [y for _, y in points]
    quarter = values[: len(values) // 4]
    assert max(heights) - min(heights) == pytest.approx(
        10 * (quarter.max() - quarter.min()), abs=0.1
    )


def drawn(line: str) -> list[tuple[float, float]]:
    """The points of a line of an SVG path in relative coordinates."""
    start, _, steps = line.removeprefix("M").partition("l")
    x, y = (float(number) for number in start.split())
    points = [(x, y)]
    numbers = [float(number) for number in steps.split()]
    for step_x, step_y in zip(numbers[::2], numbers[1::2], strict=True):
        x, y = x + step_x, y + step_y
        points.append((x, y))
    return points


def test_other_waveforms_have_their_units_baseline_and_gaps(root: Path) -> None:
    """From 50 to 149.5 mmHg above the baseline of 20, with a gap of half a second."""
    page = page_with(root, "Arterial pressure").read_text("utf-8")
    assert "<td>mm[Hg]</td><td>0.5</td><td>20</td>" in page
    assert "Sinus rhythm" in page
    (name,) = re.findall(r'<a href="../../([^"]*SVG)"', page)
    drawing = (root / name).read_text("utf-8")
    assert "Arterial pressure, 10 mm = 100 mm[Hg] (70 … 169.5)" in drawing
    (line,) = re.findall(r'class="s" d="([^"]*)"', drawing)
    assert line.count("M") == 2


def test_files_within_instances_are_as_they_were(root: Path) -> None:
    assert [path.read_bytes() for path in root.rglob("*.PDF")] == [PDF]
    assert [path.read_bytes() for path in root.rglob("*.XML")] == [CDA.encode()]
    assert "Letter &lt;1&gt;" in page_with(root, "Open the PDF").read_text("utf-8")
    assert "XML file (CDA)" in page_with(root, "Open: XML").read_text("utf-8")


def test_for_teaching_there_is_no_document(sources: Path, tmp_path: Path) -> None:
    root = disc(sources, tmp_path, "FOR_TEACHING")
    check_content(root)
    files = [path.name for path in root.rglob("*") if path.suffix in {".SVG", ".PDF", ".XML"}]
    assert files == []
    text = "".join(page.read_text("utf-8") for page in root.rglob("*.HTM"))
    for secret in ("A node", "Weber", "Letter", "Sinus rhythm", "RHYTHM"):
        assert secret not in text, secret


def test_documents_are_in_the_language_of_the_reader(sources: Path, tmp_path: Path) -> None:
    root = disc(sources, tmp_path, "FOR_PHYSICIAN", "de")
    check_content(root)
    page = plain(page_with(root, "A node").read_text("utf-8"))
    assert "Dieser Befund ist nicht freigegeben" in page
    assert "Date of birth: 2. Januar 1950" in page
    assert "Bild 2, Serie 2" in page


def test_the_mp4_file_of_a_video_is_as_it_was(tmp_path: Path) -> None:
    path = document_sources.video(tmp_path / "video", MP4)
    video = made_rendition(path, tmp_path)
    (file,) = video.documents
    assert file.extension == "MP4"
    assert read_blob(tmp_path, file.content) == MP4
    assert video.fault == ""
    assert not video.pictures


def test_an_mp4_file_is_made_of_a_transport_stream(tmp_path: Path) -> None:
    stream = transport_streams.h264_video([60, 120, 180, 90])
    video = made_rendition(document_sources.video(tmp_path / "video", stream), tmp_path)
    file, still, _ = video.documents
    assert file.extension == "MP4"
    assert read_blob(tmp_path, file.content)[4:8] == b"ftyp"
    # the first of the four pictures; 60 of 16 to 235
    assert colour_of(read_blob(tmp_path, still.content)) == pytest.approx([51] * 3, abs=4)
    texts = [part[1] for part in video.body if part[0] == "text"]
    assert "document.video_mp4" in texts


def test_the_viewer_opens_the_mp4_file_of_a_video(tmp_path: Path) -> None:
    """A video has no frames that the viewer could show as images."""
    folder = tmp_path / "source"
    folder.mkdir()
    document_sources.video(folder / "video", MP4)
    root = disc(
        folder,
        tmp_path / "out",
        "FOR_PHYSICIAN",
        profile="STD-GEN-BD-MPEG4-HPLV41",
        medium="BD",
        viewer=True,
    )
    script = (root / "VIEWER" / "DATA.JS").read_text("ascii")
    data = json.loads(script[len("BURNISH_DISC(") : script.rindex(")")])
    (series,) = data["patients"][0]["studies"][0]["series"]
    assert "kind" not in series["instances"][0]
    (document,) = series["documents"]
    assert (root / document["path"]).read_bytes() == MP4


@pytest.mark.parametrize(
    ("stream", "fault", "files"),
    [
        (b"\0\0\1\x67" + bytes(996), "", 0),
        (transport_streams.transport_stream([[b"\xb3"]], [(0, 0)], transport_streams.MPEG2), "", 0),
        (b"", "damaged", 0),
    ],
)
def test_a_video_without_an_mp4_file_says_so(
    tmp_path: Path, stream: bytes, fault: str, files: int
) -> None:
    video = made_rendition(document_sources.video(tmp_path / "video", stream), tmp_path)
    assert video.fault == fault
    assert len(video.documents) == files
    texts = [part[1] for part in video.body if part[0] == "text"]
    assert ("document.video_other" in texts) == (not fault)
    assert ("document.video_no_still" in texts) == (not fault)
    assert video.thumbnail is None


def colour_of(jpeg: bytes) -> list[int]:
    """The colour in the middle of a picture."""
    with Image.open(io.BytesIO(jpeg)) as picture:
        return list(picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2)))


RED = (200, 40, 40)
#: A dark beginning, as many videos have.
DARK_THEN_RED = [(0, 0, 0)] * 10 + [RED] * 10


@pytest.mark.parametrize(
    ("codec", "form"),
    [("mpeg2video", "mpegts"), ("mpeg2video", "vob"), ("mpeg2video", "mpeg2video"),
     ("mpeg4", "m4v"), ("libx264", "h264")],
)  # fmt: skip
def test_a_video_that_browsers_cannot_play_has_a_still(
    tmp_path: Path, codec: str, form: str
) -> None:
    stream = encoded_videos.encoded_video(DARK_THEN_RED, codec=codec, form=form)
    video = made_rendition(document_sources.video(tmp_path / "video", stream), tmp_path)
    assert video.fault == ""
    assert [file.extension for file in video.documents] == ["JPG", "JPG"]
    assert video.thumbnail == 1
    for file in video.documents:
        assert file.web
        assert colour_of(read_blob(tmp_path, file.content)) == pytest.approx(RED, abs=8)
    texts = [part[1] for part in video.body if part[0] == "text"]
    assert "document.video_other" in texts
    assert "document.video_no_still" not in texts


def test_a_thumbnail_of_a_video_has_the_size_of_others(tmp_path: Path) -> None:
    stream = encoded_videos.encoded_video([RED] * 5, size=(720, 576))
    video = made_rendition(document_sources.video(tmp_path / "video", stream), tmp_path)
    sizes = []
    for file in video.documents:
        with Image.open(io.BytesIO(read_blob(tmp_path, file.content))) as picture:
            sizes.append(picture.size)
    assert sizes == [(720, 576), (160, 128)]


def test_a_video_with_one_key_frame_has_that_as_its_still(tmp_path: Path) -> None:
    stream = encoded_videos.encoded_video([RED] * 20, key_interval=20)
    video = made_rendition(document_sources.video(tmp_path / "video", stream), tmp_path)
    still, _ = video.documents
    assert colour_of(read_blob(tmp_path, still.content)) == pytest.approx(RED, abs=8)


def test_a_damaged_video_never_fails_its_rendition(tmp_path: Path) -> None:
    """With bytes changed at random, each has a picture or says that none could be made."""
    stream = encoded_videos.encoded_video(DARK_THEN_RED)
    random = Random(1)
    for number in range(20):
        damaged = bytearray(stream)
        for _ in range(random.randrange(1, 400)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        folder = tmp_path / str(number)
        folder.mkdir()
        video = made_rendition(document_sources.video(folder / "video", bytes(damaged)), folder)
        assert video.fault == ""
        texts = [part[1] for part in video.body if part[0] == "text"]
        assert "document.video_other" in texts
        assert ("document.video_no_still" in texts) == (video.thumbnail is None)


def test_a_list_of_other_files_is_not_taken_for_a_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg would open the files that such a list names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "film.ts").write_bytes(encoded_videos.encoded_video([RED] * 20))
    play_list = b"ffconcat version 1.0\nfile film.ts\n"
    video = made_rendition(document_sources.video(tmp_path / "video", play_list), tmp_path)
    assert video.documents == ()


def test_pages_and_viewer_show_the_still_of_a_video(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    stream = encoded_videos.encoded_video(DARK_THEN_RED)
    document_sources.video(folder / "video", stream, transfer_syntax=document_sources.MPEG2)
    profile = "STD-GEN-BD-MPEG2-MPML"
    root = disc(
        folder, tmp_path / "out", "FOR_PHYSICIAN", profile=profile, medium="BD", viewer=True
    )
    check_content(root)
    series = root / "IHE_PDI" / "S0000001"
    page = page_with(root, "not one that browsers play").read_text("utf-8")
    assert '<a href="../../IHE_PDI/S0000001/D0000100.JPG"><img src=' in page
    assert "D0000101.JPG" not in page
    assert "open_file" not in page
    assert '<img src="D0000101.JPG" alt="" />' in (series / "INDEX.HTM").read_text("utf-8")
    overview = (root / "IHE_PDI" / "INDEX.HTM").read_text("utf-8")
    assert '<img src="S0000001/D0000101.JPG" alt="" />' in overview
    for name in ("D0000100.JPG", "D0000101.JPG"):
        assert colour_of((series / name).read_bytes()) == pytest.approx(RED, abs=8)
    script = (root / "VIEWER" / "DATA.JS").read_text("ascii")
    data = json.loads(script[len("BURNISH_DISC(") : script.rindex(")")])
    (shown,) = data["patients"][0]["studies"][0]["series"]
    (document,) = shown["documents"]
    assert document["thumbnail"] == "IHE_PDI/S0000001/D0000101.JPG"
    teaching = disc(folder, tmp_path / "teaching", "FOR_TEACHING", profile=profile, medium="BD")
    assert not list(teaching.rglob("*.JPG"))


def test_a_video_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    path = document_sources.video(tmp_path / "video", MP4)
    path.write_bytes(path.read_bytes()[:-5000])
    video = made_rendition(path, tmp_path)
    assert video.fault == "damaged"
    assert video.body == ()
    assert video.documents == ()


def test_a_document_that_is_damaged_says_so_on_its_page(tmp_path: Path) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    document_sources.encapsulated(folder / "pdf", 22, "application/pdf", b"no PDF", "Letter")
    document_sources.encapsulated(folder / "odd", 23, "application/x-program", b"MZ", "Tool")
    document_sources.pressure(folder / "pressure", samples=4000)
    data_set = pydicom.dcmread(folder / "pressure")
    data_set.WaveformSequence[0].NumberOfWaveformSamples = 5000
    data_set.save_as(folder / "pressure")
    root = disc(folder, tmp_path / "out", "FOR_PHYSICIAN")
    check_content(root)
    pages = [page.read_text("utf-8") for page in root.rglob("D0*.HTM")]
    assert len(pages) == 3
    assert sum("it is damaged or unusual" in page for page in pages) == 2
    assert sum("its kind is not supported here" in page for page in pages) == 1
    assert not [path for path in root.rglob("*") if path.suffix in {".PDF", ".SVG"}]
