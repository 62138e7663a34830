"""Images compressed without loss, held against independent decoders."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.pixels import pixel_array

import material
from burnish.errors import Malformed
from burnish.file_slice import Slice
from burnish.instance_header.header import index_file
from burnish.transcode import lossless as module
from burnish.transcode.frames import NotTranscodable
from burnish.transcode.lossless import NotCompressible, NotIdentical, compress
from burnish.transcode.transfer_syntaxes import LOSSLESS
from burnish.vocabulary import JPEG_2000_LOSSLESS, JPEG_LOSSLESS_SV1
from digesting import digest_of
from images import smooth, written

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

NAMES = [
    *("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"),
    *("MR_small_RLE.dcm", "ExplVR_BigEnd.dcm", "SC_rgb_jpeg_gdcm.dcm", "image_dfl.dcm"),
    *("SC_rgb_rle_2frame.dcm", "examples_overlay.dcm", "examples_palette.dcm"),
    *("examples_rgb_color.dcm", "examples_ybr_color.dcm", "JPGExtended.dcm"),
]


def compressed(source: Path, target: Path, syntax: str) -> None:
    """Compresses, and checks all that can be told without a decoder."""
    done = compress(Slice.of_file(source), target, syntax, source_ae_title="BURNISH")
    data = target.read_bytes()
    assert done.size == len(data)
    assert done.digest == digest_of(data[done.data_set_offset :])
    indexed = index_file(target)
    assert indexed.transfer_syntax_uid == syntax
    assert indexed.data_set_offset == done.data_set_offset
    assert sorted(path.name for path in target.parent.iterdir() if path.name[0] == "t") == ["t"]


def decoded(tool: list[str], path: Path, tmp_path: Path) -> np.ndarray:
    theirs = tmp_path / "theirs"
    subprocess.run([*tool, path, theirs], check=True, capture_output=True)
    return np.asarray(pixel_array(material.read(theirs), raw=True))


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("name", NAMES)
def test_pixel_values_and_attributes_are_kept(
    real_studies: material.RealStudies, name: str, syntax: str, tmp_path: Path
) -> None:
    path, target = real_studies.file(name), tmp_path / "t"
    compressed(path, target, syntax)
    source, result = material.read(path), material.read(target)
    expected = pixel_array(source, raw=True)
    assert np.array_equal(pixel_array(result, raw=True), expected)
    assert np.array_equal(decoded(["gdcmconv", "-w"], target, tmp_path), expected)
    if syntax == JPEG_LOSSLESS_SV1:
        assert np.array_equal(decoded(["dcmdjpeg", "+cn"], target, tmp_path), expected)
    for element in source:
        if element.tag not in {0x7FE00010, 0x00280004, 0x00280006} and element.tag.element:
            words = element.VR in {"OW", "OB"}
            assert words or result[element.tag].value == element.value


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_the_basic_offset_table_leads_to_the_frames(
    real_studies: material.RealStudies, syntax: str, tmp_path: Path
) -> None:
    """Every frame is one fragment, and an interchange format of its own (PS3.11 H.3.4.2)."""
    compressed(real_studies.file("examples_ybr_color.dcm"), tmp_path / "t", syntax)
    result = material.read(tmp_path / "t")
    pixels = result.PixelData
    table = parse_basic_offsets(pixels)
    _, (_, *positions) = parse_fragments(pixels)
    assert len(positions) == len(table) == int(result.NumberOfFrames)
    assert positions == [8 + 4 * len(table) + offset for offset in table]
    start = b"\xff\xd8" if syntax == JPEG_LOSSLESS_SV1 else b"\xff\x4f\xff\x51"
    assert all(pixels[position + 8 :].startswith(start) for position in positions)


@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_rgb_color.dcm"])
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_dicom3tools_finds_no_new_fault(
    real_studies: material.RealStudies, syntax: str, name: str, tmp_path: Path
) -> None:
    path = real_studies.file(name)
    compressed(path, tmp_path / "t", syntax)
    before, after = (
        {line for line in report.splitlines() if "Error" in line}
        for report in (
            subprocess.run(["dciodvfy", p], capture_output=True, text=True, check=False).stderr
            for p in (path, tmp_path / "t")
        )
    )
    assert after <= before


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(LOSSLESS),
    st.tuples(st.integers(1, 3), st.integers(33, 60), st.integers(65, 97), st.sampled_from([1, 3])),
    st.integers(8, 16),
    st.booleans(),
    st.integers(0, 1 << 16),
)
def test_a_decoded_image_is_the_original(
    tmp_path: Path,
    syntax: str,
    shape: tuple[int, int, int, int],
    bits: int,
    signed: bool,
    seed: int,
) -> None:
    cells = smooth(shape, bits, signed=signed and shape[3] == 1, seed=seed)
    compressed(written(tmp_path / "source", cells, bits), tmp_path / "t", syntax)
    result = pixel_array(material.read(tmp_path / "t"), raw=True)
    assert np.array_equal(result.reshape(shape), cells)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_colour_by_plane(tmp_path: Path, syntax: str) -> None:
    cells = smooth((2, 40, 70, 3), 8, signed=False, seed=1)
    planes = np.ascontiguousarray(cells.transpose(0, 3, 1, 2)).reshape(cells.shape)
    source = written(tmp_path / "source", planes, 8, PlanarConfiguration=1)
    compressed(source, tmp_path / "t", syntax)
    result = material.read(tmp_path / "t")
    assert result.PlanarConfiguration == 0
    assert np.array_equal(pixel_array(result, raw=True), cells)


def test_content_of_unused_bits_is_kept_or_prevents_compression(tmp_path: Path) -> None:
    """An overlay may lie in them (PS3.5 8.1.2): JPEG keeps whole cells, JPEG 2000 does not."""
    cells = smooth((1, 40, 70, 1), 12, signed=False, seed=1)
    cells[0, 5:9] |= 0x8000
    source = written(tmp_path / "source", cells, 12)
    compressed(source, tmp_path / "t", JPEG_LOSSLESS_SV1)
    decoded(["dcmdjpeg"], tmp_path / "t", tmp_path)
    assert material.read(tmp_path / "theirs").PixelData == cells.tobytes()
    with pytest.raises(NotCompressible, match="beyond Bits Stored"):
        compress(Slice.of_file(source), tmp_path / "other", JPEG_2000_LOSSLESS)


NOISE = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("cells", "bits", "attributes", "why"),
    [
        (NOISE.astype("<u4"), 32, {}, "allocated"),
        (NOISE, 8, {"PhotometricInterpretation": "HSV"}, "colour space"),
        (NOISE, 8, {"Rows": 63}, "length of the Pixel Data"),
        (NOISE, 8, {"NumberOfFrames": 2}, "length of the Pixel Data"),
    ],
)
def test_images_that_cannot_be_compressed_are_refused(
    tmp_path: Path, cells: np.ndarray, bits: int, attributes: dict[str, object], why: str
) -> None:
    source = written(tmp_path / "source", cells, bits, **attributes)
    with pytest.raises(NotCompressible, match=why):
        compress(Slice.of_file(source), tmp_path / "t", JPEG_LOSSLESS_SV1)
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_noise_is_compressed_though_it_gets_larger(tmp_path: Path, syntax: str) -> None:
    """A profile may have nothing but a compressed form (PS3.11 A.3)."""
    source = written(tmp_path / "source", NOISE, 8)
    compressed(source, tmp_path / "t", syntax)
    assert (tmp_path / "t").stat().st_size < 1.2 * source.stat().st_size
    assert np.array_equal(pixel_array(material.read(tmp_path / "t")), NOISE[0, :, :, 0])


def test_an_instance_without_pixel_data_is_refused(
    real_studies: material.RealStudies, tmp_path: Path
) -> None:
    with pytest.raises(NotCompressible, match="no Pixel Data"):
        compress(Slice.of_file(real_studies.file("rtplan.dcm")), tmp_path / "t", JPEG_LOSSLESS_SV1)


def test_an_encoder_fault_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "source", smooth((1, 40, 70, 1), 16, signed=False, seed=1), 16)
    right = module.jpeg_lossless.encode

    def wrong(samples: np.ndarray, precision: int) -> bytes:
        other = samples.copy()
        other[-1, -1, 0] ^= 1
        return right(other, precision)

    for encoder in (wrong, lambda *_: b"\xff\xd8\xff\xd9"):
        monkeypatch.setattr(module.jpeg_lossless, "encode", encoder)
        with pytest.raises(NotIdentical):
            compress(Slice.of_file(source), tmp_path / "t", JPEG_LOSSLESS_SV1)
        assert not (tmp_path / "t").exists()


def test_gdcm_decodes_the_wider_collection_to_the_same_pixels(
    wider_collection: material.WiderCollection, tmp_path: Path
) -> None:
    """Whatever is compressed decodes to the same with GDCM, too."""
    if not wider_collection:
        pytest.skip("no wider collection beside the checkout")
    count = 0
    for path in wider_collection.files("enhanced", "cr", "us-color", "nasty")[::5]:
        if path.stat().st_size > 2_000_000:
            continue
        for syntax in LOSSLESS:
            try:
                compress(Slice.of_file(path), tmp_path / "t", syntax)
            except (NotTranscodable, Malformed):
                continue
            count += 1
            expected = pixel_array(material.read(path), raw=True)
            pixels = pixel_array(material.read(tmp_path / "t"), raw=True)
            assert np.array_equal(expected, pixels), path.name
            assert np.array_equal(decoded(["gdcmconv", "-w"], tmp_path / "t", tmp_path), pixels)
    assert count
