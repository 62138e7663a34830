"""Stage: the labels of a piece: what they say comes from its volume and its request; no database.

That a label cannot be made is no reason not to make the piece.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from burnish.burn import BurnJob
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
from burnish.settings import LabelSettings
from burnish.write.job import LabelInstructions, PieceJob
from burnish.write.pipeline import VolumePlan

#: The file systems of what is 120 mm in diameter.
_DISCS = frozenset(
    {FileSystem.ISO_9660_LEVEL_1, FileSystem.ISO_9660_UDF_BRIDGE, FileSystem.UDF_2_60}
)
#: What fonts, templates and values can do to one who draws them.
_MISHAPS = (
    *(BurnishError, OSError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, RuntimeError, AssertionError, MemoryError),
)


def printer(settings: LabelSettings) -> LabelMaker:
    """A printer of labels as the settings want them."""
    return LabelMaker(
        ring=Ring(settings.inner_diameter, settings.outer_diameter),
        templates=settings.templates,
        fonts=settings.fonts,
        resolution=settings.resolution,
        address_size=settings.address_size,
    )


class Labels:
    """Makes the labels of pieces, as files beside their images, in the form a device takes."""

    def __init__(self, settings: LabelSettings, form: str) -> None:
        self._settings = settings
        self._form = form
        self._printer = printer(settings)

    def load(self) -> None:
        """Spares the first label what can be done before it; what cannot, it will tell itself."""
        if self._form in LABEL_FORMATS:
            with suppress(*_MISHAPS):
                self._printer.load()

    def attach(
        self, job: BurnJob, plan: VolumePlan, order: LabelInstructions
    ) -> tuple[BurnJob, list[str]]:
        """The job with its labels, and what is not on them as it should be.

        There is none where the device takes none, and only discs are labelled themselves. Notes
        have no patient data.
        """
        medium = str(job.manifest.get("medium", ""))
        notes: list[str] = []
        if self._form not in (*LABEL_FORMATS, MERGE_FORMAT):
            return job, notes
        label = address = None
        if medium in MEDIA and MEDIA[medium].file_system in _DISCS:
            label = self._write(
                job.image.with_suffix(f".label.{self._form}"), notes, job, plan, order
            )
        if order.media_disposition and job.volume_number == 1:
            address = self._write(job.image.with_suffix(".address.pdf"), notes, job, plan, order)
        return replace(job, label=label, address=address), notes

    def of_volume(self, order: PieceJob) -> dict[str, LabelFile]:
        """The labels of a volume by the names of their files, of whatever medium it is.

        Raises BurnishError where one cannot be made.
        """
        job, label = order.job, order.label
        stem = f"VOLUME{job.volume_number:02d}"
        style = label.style or self._settings.style
        content = self._content(job, order.plan, label)
        made = {f"{stem}.{self._form}": self._printer.disc(content, style, self._form)}
        if label.media_disposition and job.volume_number == 1:
            address = self._printer.address(label.media_disposition, self._form)
            made[f"{stem}-ADDRESS.{self._form}"] = address
        return made

    def discard(self, image: Path) -> None:
        """Removes the labels that were made beside an image."""
        for path in image.parent.glob(f"{image.stem}.*"):
            if {".label", ".address"} & {*path.suffixes}:
                path.unlink(missing_ok=True)

    def _write(
        self, path: Path, notes: list[str], job: BurnJob, plan: VolumePlan, order: LabelInstructions
    ) -> Path | None:
        """Makes a label unless another copy has; None where it cannot be made."""
        if path.is_file():
            return path
        part = path.with_name(f"{path.name}.part")
        try:
            made = self._made(path, job, plan, order)
            part.write_bytes(made.data)
            part.replace(path)
        except _MISHAPS as error:
            part.unlink(missing_ok=True)
            why = str(error) if isinstance(error, BurnishError) else type(error).__name__
            notes.append(f"the label cannot be made: {why}")
            return None
        notes += made.notes
        return path

    def _made(
        self, path: Path, job: BurnJob, plan: VolumePlan, order: LabelInstructions
    ) -> LabelFile:
        if ".address" in path.suffixes:
            return self._printer.address(order.media_disposition)
        content = self._content(job, plan, order)
        if self._form == MERGE_FORMAT:
            return merge_fields(content)
        return self._printer.disc(content, order.style or self._settings.style, self._form)

    def _content(self, job: BurnJob, plan: VolumePlan, order: LabelInstructions) -> LabelContent:
        patients: tuple[Patient, ...] = ()
        institution = ""
        if order.from_instances:
            said = summarize_patients(one.header for one in plan.instances)
            patients = said.patients
            institution = said.institutions[0] if len(said.institutions) == 1 else ""
        return LabelContent(
            file_set_id=job.file_set_id,
            volume_number=job.volume_number,
            volume_count=job.volume_count,
            created=plan.created.astimezone().strftime("%Y%m%d"),
            media_application_profile=str(job.manifest.get("media_application_profile", "")),
            medium=str(job.manifest.get("medium", "")),
            instances=len(plan.instances),
            institution=self._settings.institution or institution,
            label_text=order.text,
            barcode_value=order.barcode_value,
            barcode_symbology=order.barcode_symbology,
            patients=patients,
        )
