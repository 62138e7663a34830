"""Surface: `burnish disc label`, the label of a disc by hand, without a service."""

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import read_settings
from burnish.cli.options import Config, Json, PasswordFile, PrivateKey, existing

if TYPE_CHECKING:
    from burnish.label import LabelContent, LabelFile, Patient, Study
    from burnish.settings import LabelSettings, Settings

_VOLUME_OF = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})")


def _option(help_: str, metavar: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, show_default=False, help=help_)
    return option


Source = Annotated[
    Path | None,
    typer.Argument(
        readable=False,
        metavar="[VOLUME]",
        show_default=False,
        help="A volume image, a directory or a drive whose DICOMDIR names patients and studies;"
        " a secure one needs --key or --password-file.",
    ),
]
Target = Annotated[
    Path,
    typer.Option(
        "--output", readable=False, metavar="FILE", help="The label: .pdf, .png, .jpg or .bmp."
    ),
]
PatientName = Annotated[str, _option("As in DICOM: Family^Given=...", "NAME")]
PatientID = Annotated[str, _option("Patient ID.", "ID")]
BirthDate = Annotated[str, _option("Patient's Birth Date.", "YYYYMMDD")]
Sex = Annotated[str, _option("Patient's Sex.", "M|F|O")]
Studies = Annotated[
    list[str] | None, _option("A study. May be repeated.", "YYYYMMDD;MODALITIES;DESCRIPTION")
]
Institution = Annotated[str, _option("Institution Name.", "NAME")]
LabelText = Annotated[str, _option("Label Text; \\n starts a new line.", "TEXT")]
BarcodeValue = Annotated[str, _option("Barcode Value.", "VALUE")]
Symbology = Annotated[str, _option("CODE128 (default), CODE39, INTER_2_5 or HIBC.", "SYMBOLOGY")]
FileSetID = Annotated[str, _option("File-set ID.", "ID")]
VolumeOf = Annotated[
    str,
    typer.Option("--volume", metavar="N/M", help="Volume n of m. Default: not on the label."),
]
Created = Annotated[str, _option("Date of the disc. Default: today.", "YYYYMMDD")]
ProfileName = Annotated[str, _option("Media Application Profile.", "PROFILE")]
Style = Annotated[str, _option("STANDARD, LIST, TEXT or a style of your own.", "STYLE")]
Address = Annotated[str, _option("Make an address label with this text instead.", "TEXT")]
Outlines = Annotated[
    bool, typer.Option("--outlines", help="Also draw the outlines of the disc, for a preview.")
]


def label(
    source: Source = None,
    *,
    target: Target,
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
    key: PrivateKey = None,
    password_file: PasswordFile = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Make the label of a disc, from the content of a volume, from the options, or from both."""
    form = _form(target)
    volume_number, volume_count = _parse_volume(volume)
    content = _content_of(source, key, password_file)
    if patient_name or patient_id or study:
        patient = _patient(patient_name, patient_id, birth_date, sex, study or [])
        content = replace(content, patients=(patient,))
    content = replace(
        content,
        file_set_id=file_set_id or content.file_set_id,
        volume_number=volume_number,
        volume_count=volume_count,
        created=created or datetime.now().astimezone().strftime("%Y%m%d"),
        media_application_profile=profile,
        institution=institution or content.institution,
        label_text=_with_line_breaks(text),
        barcode_value=barcode,
        barcode_symbology=symbology,
    )
    settings = read_settings(config)
    if address:
        _write(_address_label(settings.label, address, form), target, json=json)
    else:
        _write(_disc_label(content, settings, style, form, outlines), target, json=json)


def _patient(
    name: str, patient_id: str, birth_date: str, sex: str, studies: list[str]
) -> "Patient":
    from burnish.label import Patient

    return Patient(name, patient_id, birth_date, sex, _studies(studies))


def _address_label(settings: "LabelSettings", address: str, form: str) -> "LabelFile":
    from burnish.write.labels import label_maker

    return label_maker(settings).address(_with_line_breaks(address), form)


def _disc_label(
    content: "LabelContent", settings: "Settings", style: str, form: str, outlines: bool
) -> "LabelFile":
    from burnish.content.asked_for import read_site
    from burnish.write.labels import label_maker

    site, label = read_site(settings.content), settings.label
    content = replace(
        content,
        institution=content.institution or label.institution or site.institution,
        contact=site.contact,
        disclaimer=site.disclaimer,
        logo=site.logo,
    )
    return label_maker(label).disc(content, style or label.style, form, outlines=outlines)


def _form(target: Path) -> str:
    from burnish.label import LABEL_FORMATS

    form = target.suffix.removeprefix(".").lower()
    if form not in LABEL_FORMATS:
        raise typer.BadParameter(f"--output ends in one of .{', .'.join(LABEL_FORMATS)}")
    return form


def _content_of(
    volume: Path | None, key: Path | None, password_file: Path | None
) -> "LabelContent":
    from burnish.label import LabelContent
    from burnish.offline.disc_label import label_content
    from burnish.secure_files import read_keyring

    if volume is None:
        return LabelContent()
    return label_content(existing(volume), read_keyring(key, password_file))


def _write(label_file: "LabelFile", target: Path, *, json: bool) -> None:
    target.write_bytes(label_file.data)
    for note in label_file.notes:
        output.print_error(note)
    size = len(label_file.data)
    outcome = {"file": target, "size": size, "notes": label_file.notes}
    output.print_outcome(f"{target}: {size} bytes", outcome, json=json)


def _parse_volume(value: str) -> tuple[int, int]:
    """Volume number and count. A count of 0 keeps both off the label."""
    if not value:
        return 1, 0
    match = _VOLUME_OF.fullmatch(value)
    if not match or int(match[1]) > int(match[2]):
        raise typer.BadParameter("--volume is written as 1/3")
    return int(match[1]), int(match[2])


def _with_line_breaks(text: str) -> str:
    return text.replace("\\n", "\n")


def _studies(values: list[str]) -> "tuple[Study, ...]":
    """The studies of the options, each written as date;modalities;description."""
    from burnish.label import Study

    studies = []
    for value in values:
        date, modalities, description = [*value.split(";", 2), "", ""][:3]
        studies.append(Study(date.strip(), description.strip(), tuple(modalities.split())))
    return tuple(studies)
