"""Volumes built of files without a service: which file of an instance goes on them."""

from pathlib import Path

import numpy as np
import pytest

from burnish.application_profiles import PROFILES
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_LOSSLESS_SV1
from images import smooth, written

OPTIONS = BuildOptions(
    PROFILES["STD-GEN-DVD-JPEG"], MEDIA["DVD"], None, "BUILD", split=True, lossless=True
)
SMOOTH = smooth((1, 64, 64, 1), 8, signed=False, seed=1)
NOISE = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("cells", "transfer_syntax_uid"),
    [(SMOOTH, JPEG_LOSSLESS_SV1), (NOISE, EXPLICIT_VR_LITTLE_ENDIAN)],
    ids=["smooth", "noise"],
)
def test_an_image_is_compressed_where_that_makes_it_smaller(
    tmp_path: Path, cells: np.ndarray, transfer_syntax_uid: str
) -> None:
    source = written(tmp_path / "source", cells, 8)
    result = build([source], tmp_path / "output", OPTIONS, lambda *_: None)
    assert (result.skipped, result.refused) == ([], [])
    (built,) = result.built
    assert built.report.faults == ()
    with open_volume(built.image) as volume:
        (name,) = [name for name in volume.files() if name.startswith("DICOM\\")]
        assert transfer_syntax_uid.encode() in volume.read(name, 0, 512)


def test_an_instance_that_is_given_twice_is_put_on_the_volume_once(tmp_path: Path) -> None:
    first = written(tmp_path / "first", NOISE, 8)
    second = tmp_path / "second"
    second.write_bytes(first.read_bytes())
    changed = tmp_path / "third"
    changed.write_bytes(first.read_bytes()[:-1] + bytes([first.read_bytes()[-1] ^ 1]))
    result = build([first, second, changed], tmp_path / "output", OPTIONS, lambda *_: None)
    assert [(left.path, left.why) for left in result.skipped] == [
        (second, f"the same instance as {first}")
    ]
    assert [left.path for left in result.refused] == [changed]
    assert "which has other content" in result.refused[0].why
    assert [built.report.instances for built in result.built] == [1]
