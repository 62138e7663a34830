"""Files brought into Explicit VR Little Endian, held against independent decoders."""

import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.pixels import pixel_array

import made_entries
import material
from burnish import file_meta
from burnish.errors import BurnishError, Unreadable
from burnish.file_slice import Slice
from burnish.instance_header.header import index_file
from burnish.transcode import uncompressed
from burnish.transcode.frames import DEFLATED_IMAGE_FRAME, ImagePixel
from burnish.transcode.uncompressed import (
    NotTranscodable,
    TranscodedFile,
    to_explicit_vr_little_endian,
)
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE,
)
from digesting import digest_of

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")

NAMES = [
    *("MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm"),
    *("MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_rle_2frame.dcm"),
    *("SC_rgb_rle_16bit_2frame.dcm", "SC_rgb_rle_32bit_2frame.dcm", "ExplVR_BigEnd.dcm"),
    *("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm"),
    *("JPEG2000.dcm", "GDCMJ2K_TextGBR.dcm", "J2K_pixelrep_mismatch.dcm", "image_dfl.dcm"),
    *("rtdose_rle.dcm", "examples_ybr_color.dcm", "examples_palette.dcm", "SC_rgb_gdcm_KY.dcm"),
    *("SC_rgb_small_odd_big_endian.dcm", "693_J2KI.dcm", "JPGExtended.dcm"),
    *("JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm", "SC_jpeg_no_color_transform.dcm"),
    *("SC_rgb_jpeg_app14_dcmd.dcm", "SC_rgb_small_odd_jpeg.dcm", "liver_expb_1frame.dcm"),
    *("examples_jpeg2k.dcm", "SC_rgb_jpeg_lossy_gdcm.dcm"),
]
#: Colour spaces that a codec turns into another one.
TURNED = {"YBR_FULL_422": "YBR_FULL", "YBR_RCT": "RGB", "YBR_ICT": "RGB"}


def brought(source: Path, tmp_path: Path) -> tuple[TranscodedFile, Path]:
    target = tmp_path / "target"
    done = to_explicit_vr_little_endian(Slice.of_file(source), target, source_ae_title="BURNISH")
    data = target.read_bytes()
    assert done.size == len(data)
    assert done.digest == digest_of(data[done.data_set_offset :])
    indexed = index_file(target)
    assert indexed.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
    assert indexed.data_set_offset == done.data_set_offset
    return done, target


@pytest.mark.parametrize("name", NAMES)
def test_pixel_values_and_attributes_are_kept(
    real_studies: material.RealStudies, name: str, tmp_path: Path
) -> None:
    path = real_studies.file(name)
    _, target = brought(path, tmp_path)
    source, result = material.read(path), material.read(target)
    assert np.array_equal(pixel_array(source), pixel_array(result))
    photometric = source.PhotometricInterpretation
    encapsulated = source.file_meta.TransferSyntaxUID.is_encapsulated
    expected = TURNED.get(photometric, photometric) if encapsulated else photometric
    assert result.PhotometricInterpretation == expected
    assert result.file_meta.SourceApplicationEntityTitle == "BURNISH"
    changed = {0x7FE00010, 0x00280004, 0x00280006}
    for element in source:
        if element.tag not in changed and element.tag.element:
            words = element.VR in {"OW", "OB"}
            assert words or result[element.tag].value == element.value


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("dcmdjpeg", "SC_rgb_jpeg_gdcm.dcm"),
        ("dcmdjpls", "MR_small_jpeg_ls_lossless.dcm"),
        ("dcmdrle", "MR_small_RLE.dcm"),
        ("dcmdrle", "SC_rgb_rle_16bit_2frame.dcm"),
        ("dcmconv", "MR_small_bigendian.dcm"),
        ("dcmconv", "image_dfl.dcm"),
    ],
)
def test_dcmtk_decodes_the_same(
    real_studies: material.RealStudies, tool: str, name: str, tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    path = real_studies.file(name)
    _, target = brought(path, tmp_path)
    theirs = tmp_path / "theirs"
    option = ["+te"] if tool == "dcmconv" else []
    subprocess.run([tool, *option, path, theirs], check=True, capture_output=True)
    assert np.array_equal(pixel_array(material.read(theirs)), pixel_array(material.read(target)))


@pytest.mark.parametrize("name", ["MR_small_implicit.dcm", "rtplan.dcm", "test-SR.dcm"])
def test_dcmtk_and_dicom3tools_can_read_it(
    real_studies: material.RealStudies, name: str, tmp_path: Path
) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("dcmdump is not installed")
    _, target = brought(real_studies.file(name), tmp_path)
    dcmdump = subprocess.run(["dcmdump", "-q", target], capture_output=True, check=False)
    assert dcmdump.returncode == 0
    assert dcmdump.stderr == b""


def _image(bits: int, frames: list[np.ndarray], syntax: str, path: Path) -> np.ndarray:
    """A file of these frames, deflated or in RLE, where pydicom has no encoder for it."""
    dataset = made_entries.instance("1.2.840.10008.5.1.4.1.1.7", PatientID="1")
    stack = np.stack(frames)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = stack.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    encoded = []
    for frame in frames:
        native = (
            np.packbits(frame.ravel(), bitorder="little").tobytes()
            if bits == 1
            else frame.tobytes()
        )
        if syntax == DEFLATED_IMAGE_FRAME:
            deflate = zlib.compressobj(wbits=-15)
            encoded.append(deflate.compress(native) + deflate.flush())
        else:
            runs = b"".join(bytes([0, byte]) for byte in native)
            encoded.append(struct.pack("<16L", 1, 64, *[0] * 14) + runs)
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    meta = file_meta.encode(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax)
    path.write_bytes(meta + made_entries.encoded(dataset))
    return stack


@pytest.mark.parametrize("syntax", [DEFLATED_IMAGE_FRAME, "1.2.840.10008.1.2.5"])
@pytest.mark.parametrize("bits", [1, 8])
def test_frames_that_pydicom_cannot_decode(tmp_path: Path, bits: int, syntax: str) -> None:
    random = np.random.default_rng(1)
    frames = [random.integers(0, 2, (5, 7), dtype=np.uint8) for _ in range(3)]
    stack = _image(bits, frames, syntax, tmp_path / "source")
    _, target = brought(tmp_path / "source", tmp_path)
    assert np.array_equal(pixel_array(material.read(target)), stack)


def _changed(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    data = source.read_bytes()
    assert old in data
    target.write_bytes(data.replace(old, new))
    return target


def test_video_is_refused(real_studies: material.RealStudies, tmp_path: Path) -> None:
    source = _changed(
        real_studies.file("SC_rgb_jpeg_dcmtk.dcm"),
        tmp_path / "video",
        b"UI\x16\x001.2.840.10008.1.2.4.50",
        b"UI\x16\x001.2.840.10008.1.2.4.00",
    )
    with pytest.raises(NotTranscodable):
        to_explicit_vr_little_endian(Slice.of_file(source), tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm"])
def test_damaged_pixels_are_refused(
    real_studies: material.RealStudies, name: str, tmp_path: Path
) -> None:
    data = real_studies.file(name).read_bytes()
    start = data.rindex(b"\xfe\xff\x00\xe0") + 8
    source = tmp_path / "source"
    source.write_bytes(data[:start] + bytes(len(data) - start - 8) + data[-8:])
    with pytest.raises(NotTranscodable):
        to_explicit_vr_little_endian(Slice.of_file(source), tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x28\0\x10\0US\2\0\x40\0", b"\x28\0\x10\0US\2\0\xff\xff"),
        (b"\x28\0\0\1US\2\0\x10\0", b"\x28\0\0\1US\2\0\x0c\0"),
        (b"\x28\0\x10\0US\2\0\x40\0", b"\x28\0\x10\0US\2\0\0\0"),
    ],
)
def test_contradictory_attributes_are_refused(
    real_studies: material.RealStudies, tmp_path: Path, old: bytes, new: bytes
) -> None:
    for name in ("MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"):
        source = _changed(real_studies.file(name), tmp_path / "source", old, new)
        with pytest.raises(NotTranscodable):
            to_explicit_vr_little_endian(Slice.of_file(source), tmp_path / "target")


def test_group_lengths_are_not_kept(real_studies: material.RealStudies, tmp_path: Path) -> None:
    """They are retired (PS3.5 7.2), and may be wrong after a conversion."""
    samples_per_pixel = b"\x28\0\2\0US\2\0"
    group_length = b"\x28\0\0\0UL\4\0\x77\x66\0\0"
    source = _changed(
        real_studies.file("MR_small_RLE.dcm"),
        tmp_path / "source",
        samples_per_pixel,
        group_length + samples_per_pixel,
    )
    _, target = brought(source, tmp_path)
    data = target.read_bytes()
    assert samples_per_pixel in data
    assert group_length not in data
    assert b"\x28\0\0\0UL" not in data


def test_frames_of_different_colour_spaces_are_refused(
    real_studies: material.RealStudies, tmp_path: Path
) -> None:
    """RGB and YCbCr cannot be in one Pixel Data: the second frame would have false colours."""
    names = ("SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_dcmtk_+eb+cr.dcm")
    datasets = [material.read(real_studies.file(name)) for name in names]
    frames = [next(generate_frames(dataset.PixelData, number_of_frames=1)) for dataset in datasets]
    results = []
    for count, chosen in enumerate(([0, 0], [1, 1], [0, 1], [1, 0])):
        dataset = datasets[0]
        dataset.NumberOfFrames = 2
        dataset.PixelData = encapsulate([frames[number] for number in chosen])
        dataset["PixelData"].is_undefined_length = True
        source = tmp_path / f"source{count}"
        meta = file_meta.encode(
            dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.file_meta.TransferSyntaxUID
        )
        source.write_bytes(meta + made_entries.encoded(dataset))
        try:
            to_explicit_vr_little_endian(Slice.of_file(source), tmp_path / "target")
            results.append("")
        except NotTranscodable as error:
            results.append(str(error))
    assert results[:2] == ["", ""]
    assert all("colour space" in result for result in results[2:])


def test_a_truncated_file_is_refused(real_studies: material.RealStudies, tmp_path: Path) -> None:
    for name in ("rtplan_truncated.dcm", "MR_small_RLE.dcm"):
        data = real_studies.file(name).read_bytes()
        (tmp_path / "source").write_bytes(data[: len(data) - 20])
        with pytest.raises((Unreadable, NotTranscodable)):
            to_explicit_vr_little_endian(Slice.of_file(tmp_path / "source"), tmp_path / "target")


@pytest.mark.parametrize(("rows", "frames"), [(65535, 1), (1000, 100_000), (0, 1), (1, 0)])
def test_oversized_images_are_refused_before_they_are_decoded(rows: int, frames: int) -> None:
    image = ImagePixel(rows, 65535, 1, 16, 16, 0, "MONOCHROME2", 0, frames)
    with pytest.raises(NotTranscodable):
        image.check()


def test_pixel_data_with_an_ambiguous_byte_order_is_refused(
    real_studies: material.RealStudies, tmp_path: Path
) -> None:
    with pytest.raises(NotTranscodable, match="ambiguous"):
        to_explicit_vr_little_endian(
            Slice.of_file(real_studies.file("rtdose_expb.dcm")), tmp_path / "target"
        )


def test_a_scan_header_without_coefficients_is_repaired(
    real_studies: material.RealStudies, tmp_path: Path
) -> None:
    path = real_studies.file("JPEG-lossy.dcm")
    _, target = brought(path, tmp_path)
    if shutil.which("dcmdjpeg") is None:
        pytest.skip("dcmdjpeg is not installed")
    subprocess.run(["dcmdjpeg", path, tmp_path / "theirs"], check=True, capture_output=True)
    theirs, ours = (
        pixel_array(material.read(p)).astype(int) for p in (tmp_path / "theirs", target)
    )
    assert np.abs(theirs - ours).max() <= 1


def test_the_wider_collection(wider_collection: material.WiderCollection, tmp_path: Path) -> None:
    if not wider_collection:
        pytest.skip("no wider collection beside the checkout")
    for path in wider_collection.files("transfer-syntaxes/pydicom-data", "seg-pm", "op"):
        try:
            indexed = index_file(path)
        except BurnishError:
            continue
        if indexed.header.directory_record_type == "RT DOSE":
            continue
        _, target = brought(path, tmp_path)
        source, converted = material.read(path), material.read(target)
        odd = indexed.transfer_syntax_uid == DEFLATED_IMAGE_FRAME or source.BitsAllocated == 1
        if not odd:
            assert np.array_equal(pixel_array(source), pixel_array(converted)), path.name


def test_a_data_set_that_inflates_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its memory is that of one piece, whatever it says; its disk space has an end."""
    monkeypatch.setattr(uncompressed, "_LONGEST_DATA_SET", 1 << 24)
    dataset = made_entries.instance("1.2.840.10008.5.1.4.1.1.7", PatientID="1")
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(made_entries.encoded(dataset) + bytes(1 << 25)) + deflate.flush()
    syntax = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
    meta = file_meta.encode(dataset.SOPClassUID, dataset.SOPInstanceUID, syntax)
    (tmp_path / "source").write_bytes(meta + bomb)
    with pytest.raises(NotTranscodable, match="data set is too large"):
        to_explicit_vr_little_endian(Slice.of_file(tmp_path / "source"), tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_float_pixel_data_in_big_endian_are_converted(tmp_path: Path) -> None:
    """Their VR says how to swap them, though 32 bits are allocated (PS3.5 7.3)."""
    floats = np.array([1.5, -2.25, 3e30, 0.0], ">f4")
    dataset = made_entries.instance("1.2.840.10008.5.1.4.1.1.30", PatientID="1")
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 2, 2, 1
    dataset.PhotometricInterpretation, dataset.BitsAllocated = "MONOCHROME2", 32
    dataset.FloatPixelData = floats.tobytes()
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = buffer.is_little_endian = False
    write_dataset(buffer, dataset)
    meta = file_meta.encode(dataset.SOPClassUID, dataset.SOPInstanceUID, EXPLICIT_VR_BIG_ENDIAN)
    (tmp_path / "source").write_bytes(meta + buffer.getvalue())
    _, target = brought(tmp_path / "source", tmp_path)
    assert material.read(target).FloatPixelData == floats.astype("<f4").tobytes()


@pytest.mark.parametrize(
    ("sop_class_uid", "planar_configuration"),
    [("1.2.840.10008.5.1.4.1.1.6.1", 1), ("1.2.840.10008.5.1.4.1.1.7", 0)],
)
def test_ultrasound_in_ybr_full_is_decoded_by_plane(
    tmp_path: Path, sop_class_uid: str, planar_configuration: int
) -> None:
    """PS3.3 C.8.5.6.1: other images keep the colour by pixel of the codec."""
    shades = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    jpeg = io.BytesIO()
    Image.fromarray(shades).save(jpeg, "JPEG", subsampling=0)
    frame = jpeg.getvalue() + bytes(len(jpeg.getvalue()) % 2)
    data_set = Dataset()
    data_set.SOPClassUID, data_set.SOPInstanceUID = sop_class_uid, "1.2.3"
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 3, "YBR_FULL"
    data_set.PlanarConfiguration = 0
    data_set.Rows, data_set.Columns = 16, 16
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 8, 8, 7
    data_set.PixelRepresentation = 0
    data_set.PixelData = encapsulate([frame])
    data_set["PixelData"].VR = "OB"
    data_set["PixelData"].is_undefined_length = True
    data_set.ensure_file_meta()
    data_set.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    data_set.file_meta.MediaStorageSOPClassUID = sop_class_uid
    data_set.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    source, target = tmp_path / "source", tmp_path / "target"
    data_set.save_as(source, enforce_file_format=True)
    to_explicit_vr_little_endian(Slice.of_file(source), target)
    decoded = dcmread(target)
    assert decoded.PhotometricInterpretation == "YBR_FULL"
    assert decoded.PlanarConfiguration == planar_configuration
    expected = pixel_array(source, raw=True)
    assert np.array_equal(pixel_array(target, raw=True), expected)


def jpeg_data_set(value: int, size: int = 16) -> Dataset:
    """The Image Pixel Module of a grey image in JPEG Baseline."""
    data_set = Dataset()
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.Rows = data_set.Columns = size
    data_set.BitsAllocated = data_set.BitsStored = 8
    data_set.HighBit, data_set.PixelRepresentation = 7, 0
    frame = io.BytesIO()
    Image.new("L", (size, size), value).save(frame, "JPEG")
    data_set.PixelData = encapsulate([frame.getvalue()])
    data_set["PixelData"].VR = "OB"
    data_set["PixelData"].is_undefined_length = True
    return data_set


def with_icons(path: Path, *icons: Dataset) -> Path:
    """An image in JPEG Baseline with the icons, and with a sequence that has icons of its own."""
    data_set = jpeg_data_set(100, size=64)
    data_set.SOPClassUID, data_set.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data_set.IconImageSequence = list(icons)
    reference = Dataset()
    reference.ReferencedSOPClassUID = data_set.SOPClassUID
    reference.ReferencedSOPInstanceUID = "1.2.4"
    reference.IconImageSequence = list(icons)
    data_set.ReferencedImageSequence = [reference]
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, data_set)
    meta = file_meta.encode(data_set.SOPClassUID, "1.2.3", JPEG_BASELINE)
    path.write_bytes(meta + buffer.getvalue())
    return path


def test_icons_within_an_image_are_decoded_with_it(tmp_path: Path) -> None:
    _, target = brought(with_icons(tmp_path / "source", jpeg_data_set(200)), tmp_path)
    result = dcmread(target)
    assert set(result.PixelData) == {100}
    for sequence in (result.IconImageSequence, result.ReferencedImageSequence[0].IconImageSequence):
        [icon] = sequence
        assert not icon["PixelData"].is_undefined_length
        assert icon.PixelData == bytes([200]) * 256
        assert icon.Rows == 16
    assert result.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2.4"


def test_a_native_icon_stays_as_it_is(tmp_path: Path) -> None:
    icon = jpeg_data_set(1)
    icon.PixelData = bytes(range(256))
    icon["PixelData"].is_undefined_length = False
    _, target = brought(with_icons(tmp_path / "source", icon), tmp_path)
    assert dcmread(target).IconImageSequence[0].PixelData == bytes(range(256))


def test_an_icon_that_cannot_be_decoded_is_left_out_and_the_image_is_not(tmp_path: Path) -> None:
    icon = jpeg_data_set(1)
    icon.PixelData = encapsulate([b"no image"])
    _, target = brought(with_icons(tmp_path / "source", icon), tmp_path)
    result = dcmread(target)
    assert set(result.PixelData) == {100}
    assert "IconImageSequence" not in result
    assert "IconImageSequence" not in result.ReferencedImageSequence[0]
