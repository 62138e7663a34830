"""Some files of a wider collection, where there is one, on media of each kind of profile."""

from pathlib import Path

import pytest

import material
from burnish.application_profiles import PROFILES
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.verify import examine_volume

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
#: Why a file of the collection may not be on media of a general profile.
DAMAGED = ("truncated", "UID", "SOP Instance", "no record type", "no place in a DICOMDIR", "DICOM")


@pytest.fixture(scope="module")
def sample(wider_collection: material.WiderCollection) -> list[Path]:
    """Every 25th file, of those that are quickly decoded."""
    files = wider_collection.files("") if wider_collection else ()
    return [path for path in files if path.stat().st_size < 300_000][::25]


@pytest.mark.parametrize(
    ("label", "compression"),
    [
        ("STD-GEN-DVD-JPEG", {"lossy": True}),
        ("STD-GEN-BD-J2K", {"lossless": True}),
        ("STD-GEN-MIME", {}),
        ("STD-XA1K-DVD", {}),
    ],
)
def test_every_instance_that_the_profile_permits_is_on_the_volumes(
    sample: list[Path], tmp_path: Path, label: str, compression: dict[str, bool]
) -> None:
    profile = PROFILES[label]
    options = BuildOptions(profile, MEDIA[profile.media[0]], None, "WIDER", True, **compression)
    outcome = build(sample, tmp_path, options, lambda *_: None)
    placed = 0
    for built in outcome.built:
        assert built.report.good, built.report.faults
        with open_volume(built.image, twice=True) as volume:
            report = examine_volume(volume, profile, size=built.size)
        assert report.good, report.faults
        placed += report.instances
    assert placed + len(outcome.skipped) + len(outcome.refused) == len(sample)
    if profile.general:
        for refused in outcome.refused:
            assert any(reason in refused.why for reason in DAMAGED), refused
