"""Craft: compares a volume with the manifest that its folder has of it."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from burnish.errors import Unreadable
from burnish.hashing import digest_text, hasher_like
from burnish.values import Fault, ReadableVolume, VolumeReport
from burnish.verify.faults import IMAGE_DAMAGE, FaultCode

#: Faults of what is not as it was written.
_CHANGED = {FaultCode.FILE_CHANGED, FaultCode.FILE_MISSING, FaultCode.VOLUME_DIFFERS}


def find_manifest(image: Path) -> dict[str, Any] | None:
    """The manifest beside an image that names it; None if there is none."""
    image = image.absolute()
    folder = image.parent
    for path in (folder / f"{image.stem}.json", folder.parent / f"{folder.stem}.json"):
        try:
            manifest = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        names_image = isinstance(manifest, dict) and isinstance(manifest.get("image"), str)
        if names_image and path.parent / manifest["image"] == image:
            return dict(manifest)
    return None


def without_known_damage(report: VolumeReport, manifest: dict[str, Any]) -> VolumeReport:
    """The report, with the damage that the manifest names as `kept_damaged` instead of as faults.

    A file that is not what it was when the manifest was written keeps its faults.
    """
    damaged = manifest.get("damaged")
    if not isinstance(damaged, dict):
        return report
    changed = {fault.where for fault in report.faults if fault.code in _CHANGED}
    if "volume" in changed and not isinstance(manifest.get("files"), dict):
        return report  # which file has changed is not known
    known: list[Fault] = []
    others: list[Fault] = []
    for fault in report.faults:
        is_known = (
            fault.where in damaged and fault.code in IMAGE_DAMAGE and fault.where not in changed
        )
        (known if is_known else others).append(fault)
    return replace(report, faults=tuple(others), kept_damaged=tuple(known))


def compare_with_manifest(
    image: Path, volume: ReadableVolume, manifest: dict[str, Any]
) -> Iterator[Fault]:
    """Size and SHA-256 of the image; if they differ, the files that are not what they were."""
    size = image.stat().st_size
    if size != manifest.get("size", size):
        message = f"it has {size} bytes; its manifest says {manifest['size']}"
        yield Fault(FaultCode.VOLUME_DIFFERS, "volume", message)
    with image.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 == manifest.get("sha256", sha256):
        return
    message = f"its SHA-256 is {sha256}; its manifest says {manifest['sha256']}"
    yield Fault(FaultCode.VOLUME_DIFFERS, "volume", message)
    files = manifest.get("files")
    for name, stated in files.items() if isinstance(files, dict) else ():
        if name not in volume.files():
            message = "its manifest has it, but it is not on the volume"
            yield Fault(FaultCode.FILE_MISSING, name, message)
        elif _differs(volume, name, stated):
            message = "its digest is not that of its manifest: its content has changed"
            yield Fault(FaultCode.FILE_CHANGED, name, message)


def _differs(volume: ReadableVolume, name: str, stated: dict[str, Any]) -> bool:
    offset = int(stated.get("offset", 0))
    head, content = hasher_like(str(stated.get("head", ""))), hasher_like(str(stated["digest"]))
    position = 0
    try:
        for chunk in volume.chunks(name):
            in_head = max(0, offset - position)
            head.update(memoryview(chunk)[:in_head])
            content.update(memoryview(chunk)[in_head:])
            position += len(chunk)
    except Unreadable:
        return True
    is_same_head = not offset or digest_text(head) == stated.get("head")
    return not is_same_head or digest_text(content) != stated["digest"]
