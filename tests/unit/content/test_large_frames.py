"""Images of very many pixels: shown in a smaller size, with bounded memory, and said to be."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space

from burnish.application_profiles import PROFILES
from burnish.content import large_frames, rendition
from burnish.content.asked_for import content_terms
from burnish.content.model import Rendition
from burnish.content.rendition import RenditionOptions, read_rendition
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.content.volume_files import Blob, rendition_path
from burnish.file_slice import Slice
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.settings import ContentSettings
from burnish.vocabulary import IncludeNonDICOMObjects
from content_checks import check_content
from images import smooth, written

#: What a process may use while it makes a rendition.
MOST_KILOBYTES = 300 << 10
_RENDER = """
import sys
from pathlib import Path
from burnish.content import rendition
from burnish.file_slice import Slice
options = rendition.RenditionOptions(pixels="lossless")
rendition.make_rendition(Slice.of_file(Path(sys.argv[1])), Path(sys.argv[2]), "key", options)
status = Path("/proc/self/status").read_text()
print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
"""


def rendered(path: Path, tmp_path: Path) -> Rendition:
    options = RenditionOptions(pixels="lossless")
    rendition.make_rendition(Slice.of_file(path), tmp_path / "cache", path.name, options)
    return read_rendition(tmp_path / "cache", path.name)


def jpeg(rows: int, columns: int, **options: int) -> bytes:
    slope = np.linspace(0, 255, columns).astype(np.uint8)
    pixels = np.broadcast_to(slope[None, :, None], (rows, columns, 3)).copy()
    pixels[..., 1] //= 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def compressed(
    path: Path, rows: int, columns: int, stream: bytes, syntax: str, **values: str
) -> Path:
    written(path, np.zeros((1, 2, 2, 3), np.uint8), 8)
    data_set = pydicom.dcmread(path)
    data_set.Rows, data_set.Columns = rows, columns
    data_set.file_meta.TransferSyntaxUID = syntax
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    data_set.PixelData = encapsulate([stream])
    data_set["PixelData"].is_undefined_length = True
    data_set.save_as(path)
    return path


def mammogram(path: Path) -> Path:
    return written(path, smooth((1, 4096, 3328, 1), 12, signed=False, seed=1), 12)


def photograph(path: Path) -> Path:
    stream = jpeg(3000, 4000)
    syntax = pydicom.uid.JPEGBaseline8Bit
    return compressed(path, 3000, 4000, stream, syntax, PhotometricInterpretation="YBR_FULL_422")


def enormous_radiograph(path: Path) -> Path:
    """20,000 x 20,000 pixels of 16 bits; the file has holes."""
    written(path, np.zeros((1, 1, 1, 1), np.uint16), 12)
    data_set = pydicom.dcmread(path)
    data_set.Rows = data_set.Columns = 20_000
    del data_set.PixelData
    data_set.save_as(path)
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OW\x00\x00" + (800_000_000).to_bytes(4, "little"))
        file.truncate(file.tell() + 800_000_000)
    return path


def deflated_bomb(path: Path) -> Path:
    """An image of 200 MB in a file of 200 KB: no part of it can be read alone."""
    written(path, np.zeros((1, 10_000, 20_000, 1), np.uint8), 8)
    data_set = pydicom.dcmread(path)
    data_set.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data_set.save_as(path)
    return path


@pytest.mark.parametrize("make", [mammogram, photograph, enormous_radiograph])
def test_a_rendition_never_takes_more_than_300_mb(
    make: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make(tmp_path / "image")
    process = subprocess.run(
        [sys.executable, "-c", _RENDER, path, tmp_path / "cache"],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert int(process.stdout) < MOST_KILOBYTES
    result = read_rendition(tmp_path / "cache", "key")
    assert result.fault == ""
    assert len(result.pictures) == 1


KINDS = {
    "8 bits": (np.uint8, 8, 1, {}),
    "12 bits": (np.uint16, 12, 1, {"WindowCenter": 2000, "WindowWidth": 4000}),
    "signed": (np.int16, 12, 1, {"WindowCenter": 0, "WindowWidth": 4000}),
    "RGB": (np.uint8, 8, 3, {}),
    "YBR_FULL": (np.uint8, 8, 3, {"PhotometricInterpretation": "YBR_FULL"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_frame_is_shown_in_a_smaller_size(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dtype, bits, samples, values = KINDS[kind]
    cells = smooth((2, 90, 121, 1), bits, signed=dtype is np.int16, seed=3).astype(dtype)
    cells = np.repeat(cells, samples, axis=3)
    path = written(tmp_path / "image", cells, bits, **values)
    whole = rendered(path, tmp_path)
    monkeypatch.setattr(large_frames, "_MOST_SAMPLES", 10_000)
    monkeypatch.setattr(large_frames, "_MOST_COLOUR_SAMPLES", 10_000)
    monkeypatch.setattr(large_frames, "_REDUCED_PIXELS", 1500)
    monkeypatch.setattr(large_frames, "_BAND", 1500)
    small = rendered(path.rename(tmp_path / "large"), tmp_path)
    assert [(picture.width, picture.height) for picture in small.pictures] == [(40, 30)] * 2
    assert small.fault == ""
    assert "frames" not in small.viewer  # the viewer has no true values of it
    for reduced, full in zip(small.pictures, whole.pictures, strict=True):
        expected = np.asarray(picture_of(full.jpeg, tmp_path), np.float64)[:90, :120]
        expected = expected.reshape(30, 3, 40, 3, -1).mean(axis=(1, 3))
        shown = np.asarray(picture_of(reduced.jpeg, tmp_path), np.float64).reshape(30, 40, -1)
        assert np.abs(shown - expected).mean() < 3


def picture_of(blob: Blob, tmp_path: Path) -> Image.Image:
    with rendition_path(tmp_path / "cache", blob.key).open("rb") as file:
        file.seek(blob.offset)
        return Image.open(io.BytesIO(file.read(blob.size)))


def test_palettes_and_planes_of_a_large_frame_keep_their_colours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_frames, "_REDUCED_PIXELS", 1500)
    cells = np.arange(90 * 120, dtype=np.uint8).reshape(1, 90, 120, 1)
    path = written(tmp_path / "palette", cells, 8, PhotometricInterpretation="PALETTE COLOR")
    with path.open("rb") as file:
        (frame,) = large_frames.smaller_frames(file, pydicom.dcmread(path))
    assert frame.tolist() == cells[0, ::3, ::3, 0].tolist()
    planes = np.empty((1, 90, 120, 3), np.uint8)
    planes[...] = 10, 20, 30
    path = written(tmp_path / "planes", np.moveaxis(planes, 3, 1).reshape(planes.shape), 8)
    data_set = pydicom.dcmread(path)
    data_set.PlanarConfiguration = 1
    data_set.save_as(path)
    with path.open("rb") as file:
        (frame,) = large_frames.smaller_frames(file, data_set)
    assert (frame == [10, 20, 30]).all()


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEGBaseline8Bit, pydicom.uid.JPEG2000Lossless])
def test_a_large_compressed_photograph_is_decoded_in_a_smaller_size(
    syntax: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_frames, "_MOST_COLOUR_SAMPLES", 10_000)
    monkeypatch.setattr(large_frames, "_REDUCED_PIXELS", 20_000)
    stream, photometric = jpeg(400, 600), "YBR_FULL_422"
    if syntax == pydicom.uid.JPEG2000Lossless:
        buffer, photometric = io.BytesIO(), "YBR_RCT"
        Image.open(io.BytesIO(stream)).save(buffer, "JPEG2000", no_jp2=True)
        stream = buffer.getvalue()
    path = compressed(
        tmp_path / "image", 400, 600, stream, syntax, PhotometricInterpretation=photometric
    )
    result = rendered(path, tmp_path)
    assert result.fault == ""
    (picture,) = result.pictures
    assert (picture.width, picture.height) == (150, 100)
    shown = np.asarray(picture_of(picture.jpeg, tmp_path), np.int64)
    slope = np.linspace(0, 255, 150)
    assert np.abs(shown[50, :, 0] - slope).max() < 8
    assert np.abs(shown[50, :, 1] - slope / 2).max() < 8


def test_a_large_image_that_cannot_be_read_in_parts_is_said_to_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_frames, "_MOST_SAMPLES", 10_000)
    path = written(tmp_path / "image", smooth((1, 120, 120, 1), 12, signed=False, seed=1), 12)
    data_set = pydicom.dcmread(path)
    data_set.compress(pydicom.uid.RLELossless)
    data_set.save_as(path)
    result = rendered(path, tmp_path)
    assert (result.fault, result.pictures) == ("memory", ())


def test_colours_are_converted_in_parts_as_they_are_at_once() -> None:
    frame = smooth((1, 600, 50, 1), 8, signed=False, seed=1)[0].repeat(3, axis=2)
    frame[..., 1] = frame[::-1, :, 0]
    expected = convert_color_space(frame.copy(), "YBR_FULL", "RGB")
    rendition._convert_to_rgb(frame)
    assert (frame == expected).all()


def test_an_image_that_inflates_to_more_memory_is_said_to_be_too_large(tmp_path: Path) -> None:
    path = deflated_bomb(tmp_path / "image")
    pool = RenditionPool(tmp_path / "cache")
    pool.make([RenditionTask("key", Slice.of_file(path))], RenditionOptions())
    pool.close()
    assert read_rendition(tmp_path / "cache", "key").fault == "memory"


def test_the_page_of_a_large_image_says_how_large_it_is(tmp_path: Path) -> None:
    terms = content_terms(
        ContentSettings(), IncludeNonDICOMObjects.FOR_PATIENT, display_application=True
    )
    options = BuildOptions(
        PROFILES["STD-GEN-USB-JPEG"], MEDIA["USB"], None, "LARGE", split=True, content=terms
    )
    source = tmp_path / "source"
    source.mkdir()
    cells = np.zeros((1, 4_000, 8_000, 1), np.uint8)
    written(source / "image", cells, 8)
    result = build([source], tmp_path / "out", options, lambda *_: None)
    assert result.built[0].report.faults == ()
    subprocess.run(
        ["mcopy", "-s", "-n", "-i", f"{result.built[0].image}@@1M", "::/", tmp_path / "disc"],
        check=True, timeout=60,
    )  # fmt: skip
    check_content(tmp_path / "disc")
    pages = "".join(page.read_text("utf-8") for page in (tmp_path / "disc").rglob("*.HTM"))
    assert "which has 8000 × 4000 pixels" in pages
