"""Small discs for the tests of the viewer: its program, data, pictures and packs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.pixels import iter_pixels

from burnish.content import pixel_packs, viewer_data, volume_content
from burnish.content.viewer_data import PackedPixels

_NOT_DECODED = (AttributeError, NotImplementedError, RuntimeError, ValueError)


@dataclass
class DiscOfViewer:
    """A folder that holds what a disc has for the viewer: pictures in IHE_PDI, VIEWER."""

    folder: Path
    pixels: PackedPixels = PackedPixels.LOSSLESS
    language: str = "en"
    patients: dict[str, dict[str, dict[str, list[Any]]]] = field(default_factory=dict)
    documents: dict[str, list[viewer_data.ViewedDocument]] = field(default_factory=dict)

    @property
    def page(self) -> Path:
        return self.folder / "VIEWER" / "VIEWER.HTM"

    def add(self, *data_sets: Any) -> None:
        for data_set in data_sets:
            studies = self.patients.setdefault(str(data_set.get("PatientID", "")), {})
            series = studies.setdefault(str(data_set.get("StudyInstanceUID", "")), {})
            series.setdefault(str(data_set.get("SeriesInstanceUID", "")), []).append(data_set)

    def write(self) -> Path:
        """Writes the files; the path of the page."""
        for file in volume_content.viewer_program():
            self._put(file.name.replace("\\", "/"), b"".join(file.parts))
        folder = 0
        patients = []
        for studies in self.patients.values():
            viewed_studies = []
            for of_study in studies.values():
                viewed = []
                for uid, data_sets in of_study.items():
                    folder += 1
                    viewed.append(self._write_series(folder, uid, data_sets))
                first = next(iter(of_study.values()))[0]
                viewed_studies.append(
                    viewer_data.ViewedStudy(
                        tuple(viewed),
                        str(first.get("StudyDate") or ""),
                        str(first.get("StudyTime") or ""),
                        str(first.get("StudyDescription") or ""),
                        "",
                        str(first.get("InstitutionName") or ""),
                    )
                )
            patients.append(
                viewer_data.ViewedPatient(
                    tuple(viewed_studies),
                    str(first.get("PatientName") or ""),
                    str(first.get("PatientID") or ""),
                    str(first.get("PatientBirthDate") or ""),
                    str(first.get("PatientSex") or ""),
                )
            )
        volume = viewer_data.ViewedVolume(tuple(patients), self.language)
        self._put("VIEWER/DATA.JS", viewer_data.build_data(volume))
        return self.page

    def _write_series(
        self, folder: int, uid: str, data_sets: Sequence[Any]
    ) -> viewer_data.ViewedSeries:
        records = [self._record(data_set) for data_set in data_sets]
        order = viewer_data.display_order([record for record, _, _ in records])
        instances, lines = [], []
        number = 0
        for index in order:
            record, of_instance, pictures = records[index]
            lines += of_instance
            names = []
            for picture in pictures:
                number += 1
                names.append(f"IHE_PDI/S{folder:07d}/I{number:07d}.JPG")
                self._put_picture(names[-1], picture)
            problem = "" if pictures or record["description"].get("kind") != "image" else "damaged"
            instances.append(viewer_data.ViewedInstance(record, tuple(names), problem))
        thumbnail = ""
        if number:
            thumbnail = f"IHE_PDI/S{folder:07d}/T0000001.JPG"
            middle = records[order[len(order) // 2]][2]
            self._put_picture(thumbnail, middle[len(middle) // 2] if middle else pictures[0], 160)
        counts = viewer_data.pack_contents([len(line) for line in lines])
        start = 0
        for pack, count in enumerate(counts, 1):
            body = b"".join(lines[start : start + count])
            start += count
            content = pixel_packs.pack_prefix(folder, pack) + body + pixel_packs.pack_suffix()
            self._put(viewer_data.pack_name(folder, pack), content)
        first = data_sets[0]
        return viewer_data.ViewedSeries(
            folder,
            tuple(instances),
            tuple(self.documents.get(uid, ())),
            counts,
            first.get("SeriesNumber"),
            str(first.get("Modality") or ""),
            str(first.get("SeriesDescription") or ""),
            thumbnail=thumbnail,
        )

    def _record(self, data_set: Any) -> tuple[dict[str, Any], list[bytes], list[Any]]:
        recorder = viewer_data.InstanceRecorder(data_set, self.pixels)
        lines, pictures = [], []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if recorder.has_pictures:
                # Damaged images, and those that nothing here decodes, have no picture.
                with contextlib.suppress(*_NOT_DECODED):
                    for frame in iter_pixels(data_set):
                        lines.append(recorder.frame_line(frame))
                        pictures.append(rough_picture(frame, data_set))
        extras = list(recorder.extra_lines())
        record = recorder.to_json()
        kept = lines if record.get("frames") else []
        return record, [*kept, *extras], pictures

    def _put(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def _put_picture(self, name: str, picture: Any, pixels: int = 0) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(picture)
        if pixels:
            image.thumbnail((pixels, pixels))
        image.save(path, "JPEG", quality=85)


def rough_picture(frame: Any, data_set: Any) -> Any:
    """A frame as 8 bits from its least to its largest value; enough for a preview of a test."""
    if frame.ndim == 3:
        return (frame if frame.dtype == np.uint8 else frame >> 8)[..., :3].astype(np.uint8)
    low, high = np.percentile(frame, (1, 99))
    grey = np.clip((frame - low) * (255 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    return 255 - grey if data_set.PhotometricInterpretation == "MONOCHROME1" else grey
