"""Stage: the labels of a piece: what they say comes from its volume and its request; no database.

That a label cannot be made is no reason not to make the piece.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from burnish.artifacts import InstanceHeader
from burnish.burn import BurnJob
from burnish.directory_records import group_patients
from burnish.elements import scan
from burnish.errors import BurnishError
from burnish.fileset import text
from burnish.label import FORMS, LabelContent, LabelPrinter, Patient, Printed, Ring, Study
from burnish.media import MEDIA, FileSystem
from burnish.settings import Label
from burnish.write.order import LabelOrder
from burnish.write.pipeline import VolumePlan

#: The file systems of what is 120 mm in diameter.
_DISCS = frozenset(
    {FileSystem.ISO_9660_LEVEL_1, FileSystem.ISO_9660_UDF_BRIDGE, FileSystem.UDF_2_60}
)
_CHARACTER_SET = 0x00080005
_BIRTH_DATE, _SEX = 0x00100030, 0x00100040
_STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION = 0x00081030, 0x00080050, 0x00080080
_KEYS = frozenset({_BIRTH_DATE, _SEX, _STUDY_DESCRIPTION, _ACCESSION_NUMBER, _INSTITUTION})
#: What fonts, templates and values can do to one who draws them.
_MISHAPS = (
    *(BurnishError, OSError, ValueError, TypeError, LookupError, ArithmeticError),
    *(AttributeError, RuntimeError, AssertionError, MemoryError),
)


def printer(settings: Label) -> LabelPrinter:
    """A printer of labels as the settings want them."""
    return LabelPrinter(
        ring=Ring(settings.inner_diameter, settings.outer_diameter),
        templates=settings.templates,
        fonts=settings.fonts,
        resolution=settings.resolution,
        address_size=settings.address_size,
    )


class Labels:
    """Makes the labels of pieces, as files beside their images, in the form a device takes."""

    def __init__(self, settings: Label, form: str) -> None:
        self._settings = settings
        self._form = form
        self._printer = printer(settings)

    def attach(
        self, job: BurnJob, plan: VolumePlan, order: LabelOrder
    ) -> tuple[BurnJob, list[str]]:
        """The job with its labels, and what is not on them as it should be.

        There is none where the device takes none, and only discs are labelled themselves. Notes
        have no patient data.
        """
        medium = str(job.manifest.get("medium", ""))
        notes: list[str] = []
        if self._form not in FORMS:
            return job, notes
        label = address = None
        if medium in MEDIA and MEDIA[medium].file_system in _DISCS:
            label = self._write(
                job.image.with_suffix(f".label.{self._form}"), notes, job, plan, order
            )
        if order.media_disposition and job.volume_number == 1:
            address = self._write(job.image.with_suffix(".address.pdf"), notes, job, plan, order)
        return replace(job, label=label, address=address), notes

    def discard(self, image: Path) -> None:
        """Removes the labels that were made beside an image."""
        for path in image.parent.glob(f"{image.stem}.*"):
            if {".label", ".address"} & {*path.suffixes}:
                path.unlink(missing_ok=True)

    def _write(
        self, path: Path, notes: list[str], job: BurnJob, plan: VolumePlan, order: LabelOrder
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

    def _made(self, path: Path, job: BurnJob, plan: VolumePlan, order: LabelOrder) -> Printed:
        if ".address" in path.suffixes:
            return self._printer.address(order.media_disposition)
        style = order.style or self._settings.style
        return self._printer.disc(self._content(job, plan, order), style, self._form)

    def _content(self, job: BurnJob, plan: VolumePlan, order: LabelOrder) -> LabelContent:
        patients: tuple[Patient, ...] = ()
        institution = ""
        if order.from_instances:
            patients, institution = said_of([one.header for one in plan.instances])
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


def said_of(headers: Iterable[InstanceHeader]) -> tuple[tuple[Patient, ...], str]:
    """The patients and studies of instances in their order; the institution if there is one only.

    Headers of a series are alike but for what is of one instance.
    """
    distinct = {
        (one.patient_name, one.patient_id, one.entity_keys, one.study_instance_uid): one
        for one in headers
        if one.entity_keys
    }
    ordered = list(distinct.values())
    numbers = group_patients(
        (one.patient_id, one.issuer_of_patient_id, one.patient_name) for one in ordered
    )
    patients: dict[int, Patient] = {}
    studies: dict[tuple[int, str], Study] = {}
    institutions = set()
    for number, one in zip(numbers, ordered, strict=True):
        keys = _texts(one.entity_keys)
        institutions.add(keys.get(_INSTITUTION, ""))
        known = patients.get(number, Patient())
        patients[number] = Patient(
            max(known.patient_name, one.patient_name, key=len),
            known.patient_id or one.patient_id,
            known.birth_date or keys.get(_BIRTH_DATE, ""),
            known.sex or keys.get(_SEX, ""),
        )
        study = studies.get((number, one.study_instance_uid), Study())
        studies[number, one.study_instance_uid] = Study(
            study.study_date or one.study_date,
            study.study_description or keys.get(_STUDY_DESCRIPTION, ""),
            (*study.modalities, *({one.modality} - {*study.modalities, ""})),
            study.accession_number or keys.get(_ACCESSION_NUMBER, ""),
        )
    found = tuple(
        replace(patient, studies=tuple(s for (of, _), s in studies.items() if of == number))
        for number, patient in patients.items()
    )
    institutions.discard("")
    return found, institutions.pop() if len(institutions) == 1 else ""


def _texts(blob: bytes) -> dict[int, str]:
    """The keys that a label can have, from those of an instance's records."""
    elements = list(scan(blob, 0, len(blob), explicit=True))
    raw = {e.tag: bytes(blob[e.value : e.value + e.length]) for e in elements}
    character_set = raw.get(_CHARACTER_SET, b"")
    return {tag: text.decode(value, character_set) for tag, value in raw.items() if tag in _KEYS}
