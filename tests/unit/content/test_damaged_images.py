"""Images that are damaged: nothing fails, and none is shown with pixels that are not its own."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from burnish.application_profiles import PROFILES
from burnish.content import rendition
from burnish.content.model import Rendition
from burnish.content.rendition import RenditionOptions, read_rendition
from burnish.content.rendition_pool import RenditionPool, RenditionTask
from burnish.file_slice import Slice
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.transcode import icons
from images import smooth, written

RLE = pydicom.uid.RLELossless


def compressed(path: Path, syntax: str, kept: slice) -> Path:
    """An image whose only frame is compressed, and of which a part is kept."""
    written(path, smooth((1, 200, 220, 1), 12, signed=False, seed=5), 12)
    data_set = pydicom.dcmread(path)
    data_set.compress(syntax)
    frame = next(generate_frames(data_set.PixelData, number_of_frames=1))
    data_set.PixelData = encapsulate([frame[kept]])
    data_set.save_as(path)
    return path


def with_broken_rle(path: Path) -> Path:
    """Its second segment ends with a run beyond the frame, at which the decoder in Rust panics."""
    runs = b"\x81\x00" * 343  # 44,000 bytes with the next 96
    sound, overlong = runs + b"\xa1\x00", runs + b"\x7f" + bytes(128)
    header = np.array([2, 64, 64 + len(sound)] + [0] * 13, "<u4").tobytes()
    written(path, np.zeros((1, 200, 220, 1), np.uint16), 12)
    data_set = pydicom.dcmread(path)
    data_set.file_meta.TransferSyntaxUID = RLE
    data_set.PixelData = encapsulate([header + sound + overlong])
    data_set["PixelData"].is_undefined_length = True
    data_set.save_as(path)
    return path


def rendered(path: Path, tmp_path: Path) -> Rendition:
    options = RenditionOptions(pixels="lossless")
    rendition.make_rendition(Slice.of_file(path), tmp_path / "cache", "key", options)
    return read_rendition(tmp_path / "cache", "key")


@pytest.mark.parametrize("read_whole", [1 << 25, 0])
@pytest.mark.parametrize("share", [1, 0.7])
def test_a_truncated_frame_of_jpeg_ls_is_not_shown(
    tmp_path: Path, share: float, read_whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder fills the missing rows with anything, and calls that no error."""
    monkeypatch.setattr(rendition, "_READ_WHOLE", read_whole)
    syntax = pydicom.uid.JPEGLSLossless
    path = compressed(tmp_path / "image", syntax, slice(None))
    length = len(next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1)))
    path = compressed(path, syntax, slice(int(length * share)))
    result = rendered(path, tmp_path)
    assert result.fault == ("" if share == 1 else "damaged")
    assert len(result.pictures) == len(result.viewer_blobs) == (share == 1)


def test_compressed_single_bits_are_said_to_be_unsupported_and_not_damaged(tmp_path: Path) -> None:
    path = written(tmp_path / "image", np.zeros((1, 16, 16, 1), np.uint8), 8)
    data_set = pydicom.dcmread(path)
    data_set.file_meta.TransferSyntaxUID = RLE
    data_set.BitsAllocated = data_set.BitsStored = 1
    data_set.HighBit = 0
    header = np.array([1, 64] + [0] * 14, "<u4").tobytes()
    data_set.PixelData = encapsulate([header + b"\xe1\x00"])  # 32 bytes, all zero
    data_set["PixelData"].is_undefined_length = True
    data_set.save_as(path)
    assert rendered(path, tmp_path).fault == "unsupported"


def test_a_codec_that_panics_is_an_error_as_any_other(tmp_path: Path) -> None:
    path = with_broken_rle(tmp_path / "image")
    pool = RenditionPool(tmp_path / "cache")
    pool.make([RenditionTask("key", Slice.of_file(path))], RenditionOptions())
    pool.close()
    assert read_rendition(tmp_path / "cache", "key").fault == "damaged"
    assert icons.make_icon(Slice.of_file(path), 64) == b""


def test_media_are_made_of_the_others_where_a_codec_panics(tmp_path: Path) -> None:
    """The profile has no RLE, so the image would have to be decoded."""
    source = tmp_path / "source"
    source.mkdir()
    with_broken_rle(source / "broken")
    sound = pydicom.dcmread(written(source / "sound", np.zeros((1, 20, 20, 1), np.uint8), 8))
    sound.SOPInstanceUID = sound.file_meta.MediaStorageSOPInstanceUID = "1.2.3.99"
    sound.save_as(source / "sound")
    options = BuildOptions(PROFILES["STD-GEN-CD"], MEDIA["CD"], None, "BROKEN", split=True)
    result = build([source], tmp_path / "out", options, lambda *_: None)
    assert result.built[0].report.faults == ()
    assert result.built[0].report.instances == 1
