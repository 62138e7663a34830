"""Surface: the media that the demo's requests made, read from the images themselves."""

import json
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread

from burnish.application_profiles import PROFILES
from burnish.image.reader import open_volume
from burnish.values import VolumeReport
from burnish.verify import examine_volume


@dataclass(frozen=True, slots=True)
class Medium:
    """One volume image of a request, and what its DICOMDIR says."""

    path: Path
    request: str
    volume: str
    profile: str
    size: int
    patients: int
    studies: int
    series: int
    modalities: tuple[str, ...]
    report: VolumeReport


def found(outbox: Path) -> list[Medium]:
    """Every finished volume on the outbox: those that have their manifest."""
    return [_medium(manifest) for manifest in sorted(outbox.glob("*/VOLUME*.json"))]


def _medium(manifest: Path) -> Medium:
    said = json.loads(manifest.read_text("utf-8"))
    path = manifest.with_name(said["image"])
    profile = said["media_application_profile"]
    with open_volume(path, twice=True) as volume:
        directory = dcmread(BytesIO(volume.read("DICOMDIR")))
        report = examine_volume(volume, PROFILES.get(profile))
    records = directory.DirectoryRecordSequence
    types = Counter(record.DirectoryRecordType for record in records)
    modalities = {str(record.get("Modality", "")) for record in records} - {""}
    return Medium(
        path=path,
        request=said["request"],
        volume=f"{said['volume_number']}/{said['volume_count']}",
        profile=profile,
        size=path.stat().st_size,
        patients=types["PATIENT"],
        studies=types["STUDY"],
        series=types["SERIES"],
        modalities=tuple(sorted(modalities)),
        report=report,
    )
