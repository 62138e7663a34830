"""Stage: the labels of a piece, made from its volume and its request; no database.

A piece is made even if its labels cannot be made.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from burnish.burn import BurnJob
from burnish.content.asked_for import read_site
from burnish.content.content_terms import Site
from burnish.content.patients_and_studies import summarize_patients
from burnish.errors import BurnishError
from burnish.label import (
    LABEL_FORMATS,
    MERGE_FORMAT,
    LabelContent,
    LabelFile,
    LabelMaker,
    Patient,
    Ring,
    merge_fields,
)
from burnish.media import MEDIA, FileSystem
from burnish.settings import ContentSettings, LabelSettings
from burnish.spool import DISK_FAILS
from burnish.write.job import LabelInstructions, PieceJob
from burnish.write.pipeline import VolumePlan

#: The file systems of media that have the shape of a disc.
_DISC_FILE_SYSTEMS = frozenset(
    {FileSystem.ISO_9660_LEVEL_1, FileSystem.ISO_9660_UDF_BRIDGE, FileSystem.UDF_2_60}
)
#: What may be raised when damaged fonts or templates and unusual values are drawn.
_DRAWING_ERRORS = (
    BurnishError,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    AssertionError,
    MemoryError,
)


def label_maker(settings: LabelSettings) -> LabelMaker:
    """A maker of labels as the settings describe them."""
    return LabelMaker(
        ring=Ring(settings.inner_diameter, settings.outer_diameter),
        templates=settings.templates,
        fonts=settings.fonts,
        resolution=settings.resolution,
        address_size=settings.address_size,
    )


class PieceLabels:
    """Makes the labels of pieces in the format that a device takes, as files beside the images."""

    def __init__(
        self, settings: LabelSettings, content: ContentSettings, label_format: str
    ) -> None:
        self._settings = settings
        self._content_settings = content
        self._format = label_format
        self._maker = label_maker(settings)

    def load(self) -> None:
        """Loads fonts and templates, so that the first label is made as fast as the others.

        Errors are left to the first label, which reports them.
        """
        if self._format in LABEL_FORMATS:
            with suppress(*_DRAWING_ERRORS):
                self._maker.load()

    def attach(
        self, burn_job: BurnJob, plan: VolumePlan, instructions: LabelInstructions
    ) -> tuple[BurnJob, list[str]]:
        """Makes the labels; returns the job with them, and notes on what is wrong with them.

        A disc has a label if the device takes one; the first volume has an address label if the
        request names a disposition. Notes have no patient data.
        """
        if self._format not in (*LABEL_FORMATS, MERGE_FORMAT):
            return burn_job, []
        image = burn_job.image
        notes: list[str] = []
        label = address = None
        medium = str(burn_job.manifest.get("medium", ""))
        if medium in MEDIA and MEDIA[medium].file_system in _DISC_FILE_SYSTEMS:
            label = self._write_unless_written(
                image.with_suffix(f".label.{self._format}"),
                lambda: self._disc_label(burn_job, plan, instructions),
                notes,
            )
        if instructions.media_disposition and burn_job.volume_number == 1:
            address = self._write_unless_written(
                image.with_suffix(".address.pdf"),
                lambda: self._maker.address(instructions.media_disposition),
                notes,
            )
        return replace(burn_job, label=label, address=address), notes

    def of_volume(self, piece_job: PieceJob) -> dict[str, LabelFile]:
        """The labels of a volume on any medium, by file name; raises BurnishError."""
        burn_job, instructions = piece_job.burn_job, piece_job.label
        stem = f"VOLUME{burn_job.volume_number:02d}"
        style = instructions.style or self._settings.style
        content = self._content(burn_job, piece_job.plan, instructions)
        labels = {f"{stem}.{self._format}": self._maker.disc(content, style, self._format)}
        if instructions.media_disposition and burn_job.volume_number == 1:
            address = self._maker.address(instructions.media_disposition, self._format)
            labels[f"{stem}-ADDRESS.{self._format}"] = address
        return labels

    def discard(self, image: Path) -> None:
        """Removes the labels that were made beside an image."""
        for path in image.parent.glob(f"{image.stem}.*"):
            if {".label", ".address"} & {*path.suffixes}:
                path.unlink(missing_ok=True)

    def _write_unless_written(
        self, path: Path, make: Callable[[], LabelFile], notes: list[str]
    ) -> Path | None:
        """Writes a label unless that was done for another copy; None if it cannot be made."""
        if path.is_file():
            return path
        part = path.with_name(f"{path.name}.part")
        label: LabelFile | None = None
        try:
            label = make()
            with part.open("wb") as file:
                file.write(label.data)
                file.flush()
                os.fsync(file.fileno())  # a later worker uses the label again as it finds it
            part.replace(path)
        except _DRAWING_ERRORS as error:
            part.unlink(missing_ok=True)
            if label and isinstance(error, OSError) and error.errno in DISK_FAILS:
                raise  # the piece waits for the disk
            why = str(error) if isinstance(error, BurnishError) else type(error).__name__
            notes.append(f"the label cannot be made: {why}")
            return None
        notes += label.notes
        return path

    def _disc_label(
        self, burn_job: BurnJob, plan: VolumePlan, instructions: LabelInstructions
    ) -> LabelFile:
        content = self._content(burn_job, plan, instructions)
        if self._format == MERGE_FORMAT:
            return merge_fields(content)
        return self._maker.disc(content, instructions.style or self._settings.style, self._format)

    def _content(
        self, burn_job: BurnJob, plan: VolumePlan, instructions: LabelInstructions
    ) -> LabelContent:
        patients: tuple[Patient, ...] = ()
        site = read_site(self._content_settings)
        if instructions.for_teaching:
            site = Site(disclaimer=site.disclaimer)
        elif self._settings.institution:
            site = replace(site, institution=self._settings.institution)
        institution = site.institution
        if instructions.from_instances and not instructions.for_teaching:
            summary = summarize_patients(instance.header for instance in plan.instances)
            patients = summary.patients
            if not institution and len(summary.institutions) == 1:
                institution = summary.institutions[0]
        return LabelContent(
            file_set_id=burn_job.file_set_id,
            volume_number=burn_job.volume_number,
            volume_count=burn_job.volume_count,
            created=plan.created.astimezone().strftime("%Y%m%d"),
            media_application_profile=str(burn_job.manifest.get("media_application_profile", "")),
            medium=str(burn_job.manifest.get("medium", "")),
            content_type="DICOM AND WEB" if plan.has_pages else "DICOM ONLY",
            instances=len(plan.instances),
            institution=institution,
            contact=site.contact,
            disclaimer=site.disclaimer,
            logo=site.logo,
            label_text=instructions.text,
            barcode_value=instructions.barcode_value,
            barcode_symbology=instructions.barcode_symbology,
            patients=patients,
        )
