"""Surface: `burnish disc label`, the label of a disc by hand, without service or database."""

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, present

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from burnish.label import LabelContent, Patient, Study

_VOLUME_OF = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


def _option(help_: str, metavar: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, show_default=False, help=help_)
    return option


Source = Annotated[
    Path | None,
    typer.Argument(
        metavar="[VOLUME]",
        show_default=False,
        help="A volume image, a directory, or a drive: patients and studies of its DICOMDIR.",
    ),
]
Target = Annotated[
    Path, typer.Option("--output", metavar="FILE", help="The label: .pdf, .png, .jpg or .bmp.")
]
PatientName = Annotated[str, _option("As DICOM has it: Family^Given=...", "NAME")]
PatientID = Annotated[str, _option("Patient ID.", "ID")]
BirthDate = Annotated[str, _option("Patient's Birth Date.", "YYYYMMDD")]
Sex = Annotated[str, _option("Patient's Sex.", "M|F|O")]
Studies = Annotated[
    list[str] | None, _option("A study; may be repeated.", "YYYYMMDD;MODALITIES;DESCRIPTION")
]
Institution = Annotated[str, _option("Institution Name.", "NAME")]
LabelText = Annotated[str, _option("Label Text; \\n begins a line.", "TEXT")]
BarcodeValue = Annotated[str, _option("Barcode Value.", "VALUE")]
Symbology = Annotated[
    str, _option("CODE128 (if not given), CODE39, INTER_2_5 or HIBC.", "SYMBOLOGY")
]
FileSetID = Annotated[str, _option("File-set ID.", "ID")]
VolumeOf = Annotated[
    str, typer.Option("--volume", metavar="N/M", help="Volume n of m; default: not said.")
]
Created = Annotated[str, _option("Date of the disc; default: today.", "YYYYMMDD")]
ProfileName = Annotated[str, _option("Media Application Profile.", "PROFILE")]
Style = Annotated[str, _option("STANDARD, LIST, TEXT, or one of the site.", "STYLE")]
Address = Annotated[str, _option("An address label with this text instead.", "TEXT")]
Outlines = Annotated[
    bool, typer.Option("--outlines", help="Draw disc and hole as well, for a proof.")
]


def label(
    source: Source = None,
    *,
    to: Target,
    patient_name: PatientName = "",
    patient_id: PatientID = "",
    birth_date: BirthDate = "",
    sex: Sex = "",
    study: Studies = None,
    institution: Institution = "",
    text: LabelText = "",
    barcode: BarcodeValue = "",
    symbology: Symbology = "",
    file_set_id: FileSetID = "",
    volume: VolumeOf = "",
    created: Created = "",
    profile: ProfileName = "",
    style: Style = "",
    address: Address = "",
    outlines: Outlines = False,
    config: Config = None,
) -> None:
    """Make the label of a disc, of what a volume holds or of what is said by hand.

    Fonts, styles of the site and what of a disc can be printed are in [label] of the
    configuration. What has no room or no font is named, and the label made all the same.
    """
    from burnish.label import LabelContent, Patient

    form, (number, count) = _form(to), _volume_of(volume)
    content = _of_volume(source) if source else LabelContent()
    if patient_name or patient_id or study:
        studies = tuple(_study(one) for one in study or [])
        patient = Patient(patient_name, patient_id, birth_date, sex, studies)
        content = replace(content, patients=(patient,))
    content = replace(
        content,
        file_set_id=file_set_id or content.file_set_id,
        volume_number=number,
        volume_count=count,
        created=created or datetime.now().astimezone().strftime("%Y%m%d"),
        media_application_profile=profile,
        institution=institution or content.institution,
        label_text=_lines(text),
        barcode_value=barcode,
        barcode_symbology=symbology,
    )
    _print(to, form, config, content, style=style, address=_lines(address), outlines=outlines)


def _form(to: Path) -> str:
    from burnish.label import LABEL_FORMATS

    form = to.suffix.removeprefix(".").lower()
    if form not in LABEL_FORMATS:
        raise typer.BadParameter(f"--output ends in one of .{', .'.join(LABEL_FORMATS)}")
    return form


def _volume_of(value: str) -> tuple[int, int]:
    """Number and count; a count of 0, of which labels are silent, where nobody says them."""
    if not value:
        return 1, 0
    found = _VOLUME_OF.fullmatch(value)
    if not found or int(found[1]) > int(found[2]):
        raise typer.BadParameter("--volume is as 1/3")
    return int(found[1]), int(found[2])


def _lines(text: str) -> str:
    return text.replace("\\n", "\n")


def _print(
    to: Path,
    form: str,
    config: Path | None,
    content: "LabelContent",
    *,
    style: str,
    address: str,
    outlines: bool,
) -> None:
    from burnish.write.labels import printer

    settings = read_settings(config).label
    labels = printer(settings)
    if address:
        made = labels.address(address, form)
    else:
        content = replace(content, institution=content.institution or settings.institution)
        made = labels.disc(content, style or settings.style, form, outlines=outlines)
    to.write_bytes(made.data)
    for note in made.notes:
        output.complain(note)
    typer.echo(f"{to}: {len(made.data)} bytes")


def _study(value: str) -> "Study":
    from burnish.label import Study

    date, modalities, description = [*value.split(";", 2), "", ""][:3]
    return Study(date.strip(), description.strip(), tuple(modalities.split()))


def _of_volume(path: Path) -> "LabelContent":
    """What the DICOMDIR of a volume says; raises Unreadable."""
    from io import BytesIO

    import pydicom
    from pydicom.errors import InvalidDicomError

    from burnish.errors import Unreadable
    from burnish.image.reader import open_volume
    from burnish.label import LabelContent

    with open_volume(present(path)) as volume:
        content = volume.read("DICOMDIR") if "DICOMDIR" in volume.files() else b""
        name = volume.volume_identifier
    try:
        directory = pydicom.dcmread(BytesIO(content))
        patients, institutions = _patients(directory.get("DirectoryRecordSequence", []))
    except (InvalidDicomError, AttributeError, ValueError, EOFError) as error:
        raise Unreadable(
            f"{path} has no DICOMDIR that can be read",
            hint="Of secure media, and of none at all, say by hand what the label is to say.",
        ) from error
    institution = institutions.pop() if len(institutions) == 1 else ""
    file_set_id = str(directory.get("FileSetID", "") or name)
    return LabelContent(file_set_id=file_set_id, institution=institution, patients=patients)


def _patients(records: "list[Dataset]") -> "tuple[tuple[Patient, ...], set[str]]":
    """Patients and studies in the order of the directory, and the institutions of their series."""
    from burnish.label import Patient, Study

    patients: list[Patient] = []
    institutions: set[str] = set()
    for record in records:
        kind = record.get("DirectoryRecordType", "")
        if kind == "PATIENT":
            named = _said(record, "PatientName"), _said(record, "PatientID")
            patients.append(
                Patient(*named, _said(record, "PatientBirthDate"), _said(record, "PatientSex"))
            )
        elif kind == "STUDY" and patients:
            study = Study(_said(record, "StudyDate"), _said(record, "StudyDescription"))
            patients[-1] = replace(patients[-1], studies=(*patients[-1].studies, study))
        elif kind == "SERIES" and patients and patients[-1].studies:
            *before, study = patients[-1].studies
            modalities = tuple(sorted({*study.modalities, _said(record, "Modality")} - {""}))
            study = replace(study, modalities=modalities)
            patients[-1] = replace(patients[-1], studies=(*before, study))
            institutions.add(_said(record, "InstitutionName"))
    return tuple(patients), institutions - {""}


def _said(record: "Dataset", keyword: str) -> str:
    return str(record.get(keyword, "") or "").strip()
