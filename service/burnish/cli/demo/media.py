"""Surface: the volumes that the demo made, described from the images themselves."""

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
class DemoVolume:
    """One volume image of a request, with the content of its DICOMDIR."""

    path: Path
    request_uid: str
    volume: str
    profile: str
    size: int
    patients: int
    studies: int
    series: int
    modalities: tuple[str, ...]
    report: VolumeReport


def finished_volumes(outbox: Path) -> list[DemoVolume]:
    """Every finished volume in the outbox: those that have a manifest."""
    return [_volume(manifest) for manifest in sorted(outbox.glob("*/VOLUME*.json"))]


def _volume(manifest_path: Path) -> DemoVolume:
    manifest = json.loads(manifest_path.read_text("utf-8"))
    path = manifest_path.with_name(manifest["image"])
    profile = manifest["media_application_profile"]
    with open_volume(path, twice=True) as volume:
        directory = dcmread(BytesIO(volume.read("DICOMDIR")))
        report = examine_volume(volume, PROFILES.get(profile))
    records = directory.DirectoryRecordSequence
    record_types = Counter(record.DirectoryRecordType for record in records)
    modalities = {str(record.get("Modality", "")) for record in records} - {""}
    return DemoVolume(
        path=path,
        request_uid=manifest["request"],
        volume=f"{manifest['volume_number']}/{manifest['volume_count']}",
        profile=profile,
        size=path.stat().st_size,
        patients=record_types["PATIENT"],
        studies=record_types["STUDY"],
        series=record_types["SERIES"],
        modalities=tuple(sorted(modalities)),
        report=report,
    )
