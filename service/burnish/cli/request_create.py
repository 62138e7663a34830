"""Surface: `burnish request create`, media for received instances or for files."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.application_profiles import PROFILES
from burnish.cli import output
from burnish.cli.installation import actor, open_instances
from burnish.cli.options import (
    Config,
    DeviceOption,
    Json,
    PasswordFile,
    Profile,
    Recipients,
    parse_audience,
)
from burnish.cli.request import Copies, Priority, print_name, start
from burnish.vocabulary import RequestPriority

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.request.operations import Reference
    from burnish.request.views import RequestLine
    from burnish.settings import Settings

Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="All instances of this study. May be repeated."),
]
Series = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="UID", help="All instances of this series. May be repeated."),
]
Instances = Annotated[
    list[str] | None,
    typer.Option("--instance", metavar="UID", help="This instance. May be repeated."),
]
PatientIDs = Annotated[
    list[str] | None,
    typer.Option(
        "--patient-id", metavar="ID", help="All instances of this patient. May be repeated."
    ),
]
Accessions = Annotated[
    list[str] | None,
    typer.Option(
        "--accession",
        metavar="NUMBER",
        help="All instances with this Accession Number. May be repeated.",
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Option(
        "--files",
        metavar="PATH",
        readable=False,
        help="DICOM files, or folders with such: they are received first. May be repeated.",
    ),
]
LabelText = Annotated[
    str, typer.Option("--label-text", metavar="TEXT", help="Additional text for the label.")
]
LabelStyle = Annotated[
    str, typer.Option("--label-style", metavar="STYLE", help="Label Style Selection.")
]
Barcode = Annotated[
    str, typer.Option("--barcode", metavar="TEXT", help="Barcode Value for the label.")
]
Symbology = Annotated[
    str,
    typer.Option("--symbology", metavar="NAME", help="Barcode Symbology, for example CODE128."),
]
Disposition = Annotated[
    str,
    typer.Option("--disposition", metavar="TEXT", help="Media Disposition: to whom the media go."),
]
FileSetID = Annotated[
    str,
    typer.Option("--file-set-id", metavar="ID", help="Storage Media File-Set ID: A-Z, 0-9, _."),
]
NoSplit = Annotated[bool, typer.Option("--no-split", help="Fail if one volume is not enough.")]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy", help="With --no-split: compress with loss if nothing else makes it fit."
    ),
]
Content = Annotated[
    str,
    typer.Option(
        "--content",
        metavar="FOR",
        parser=parse_audience,
        show_default=False,
        help="Whom the media are for: FOR_PATIENT, FOR_PHYSICIAN, FOR_TEACHING, FOR_RESEARCH, or NO"
        " for DICOM files alone. Default: what [request] says.",
    ),
]
WithViewer = Annotated[
    bool | None,
    typer.Option("--viewer/--no-viewer", show_default=False, help="With pages, also the viewer."),
]
SeveralPatients = Annotated[
    bool,
    typer.Option(
        "--several-patients", help="The media may have instances of more than one patient."
    ),
]
Initiate = Annotated[bool, typer.Option("--initiate", help="Start making the media at once.")]


def create(
    *,
    study: Studies = None,
    series: Series = None,
    instance: Instances = None,
    patient_id: PatientIDs = None,
    accession: Accessions = None,
    files: Files = None,
    profile: Profile = "",
    label_text: LabelText = "",
    label_style: LabelStyle = "",
    barcode: Barcode = "",
    symbology: Symbology = "",
    disposition: Disposition = "",
    file_set_id: FileSetID = "",
    no_split: NoSplit = False,
    lossy: Lossy = False,
    recipient: Recipients = None,
    password_file: PasswordFile = None,
    device: DeviceOption = "",
    several_patients: SeveralPatients = False,
    content: Content = "",
    viewer: WithViewer = None,
    initiate: Initiate = False,
    copies: Copies = None,
    priority: Priority = None,
    json: Json = False,
    config: Config = None,
) -> None:
    """Request media for received instances, or for files; print the name of the new request.

    Several patients share media only with --several-patients, or if you confirm it. Secure media
    are for the recipients of the configuration, unless --recipient or --password-file is given.
    """
    attributes = _label_attributes(label_text, label_style, barcode, symbology, disposition)
    attributes |= _media_attributes(file_set_id, no_split=no_split, lossy=lossy)
    attributes |= _content_attributes(content, viewer=viewer)
    attributes |= _security_attributes(profile, recipient or [], password_file)
    selection = _Selection(study, series, patient_id, accession, instance, files)
    request = _request_media(
        config,
        selection,
        _NewMedia(attributes, profile, device, several_patients=several_patients),
        _Initiation(initiate=initiate, copies=copies, priority=priority),
    )
    print_name(request, json=json)


@dataclass(frozen=True, slots=True)
class _Selection:
    """What goes on the media."""

    studies: list[str] | None
    series: list[str] | None
    patient_ids: list[str] | None
    accession_numbers: list[str] | None
    instances: list[str] | None
    files: list[Path] | None


@dataclass(frozen=True, slots=True)
class _NewMedia:
    """What the media are to be like: attributes of the request by column, profile, device."""

    attributes: dict[str, str]
    profile: str
    device: str
    several_patients: bool


@dataclass(frozen=True, slots=True)
class _Initiation:
    """Whether the request is started at once, and with what; raises BadParameter."""

    initiate: bool
    copies: int | None
    priority: RequestPriority | None

    def __post_init__(self) -> None:
        if (self.copies or self.priority) and not self.initiate:
            raise typer.BadParameter("--copies and --priority need --initiate")


def _request_media(
    config: Path | None, selection: _Selection, media: _NewMedia, initiation: _Initiation
) -> "RequestLine":
    """The new request."""
    from burnish.request import listing, operations

    with open_instances(config) as (settings, database):
        _check_device(settings, media.device)
        uids = receive_files(settings, database, selection.files or [])
        references = _references(database, selection, uids, media.profile)
        _check_patients(database, references, several_patients=media.several_patients)
        with database.writing() as session:
            uid = operations.create(
                session,
                settings.request,
                operations.NewRequest(references, media.attributes),
                origin="administrator",
                device=media.device,
                actor=actor(),
            ).sop_instance_uid
            if initiation.initiate:
                start(session, settings, uid, initiation.copies, initiation.priority)
            return listing.find_request(session, uid)


def _label_attributes(
    text: str, style: str, barcode: str, symbology: str, disposition: str
) -> dict[str, str]:
    """The attributes of the labels that the options give, by column."""
    attributes = {
        "label_text": text,
        "label_style_selection": style,
        "barcode_value": barcode,
        "barcode_symbology": symbology,
        "media_disposition": disposition,
    }
    return {column: value for column, value in attributes.items() if value}


def _media_attributes(file_set_id: str, *, no_split: bool, lossy: bool) -> dict[str, str]:
    """The attributes of the media that the options give, by column."""
    attributes = {
        "storage_media_file_set_id": file_set_id,
        "allow_media_splitting": "NO" if no_split else "",
        "allow_lossy_compression": "YES" if lossy else "",
    }
    return {column: value for column, value in attributes.items() if value}


def receive_files(settings: "Settings", database: "Database", paths: list[Path]) -> list[str]:
    """Receive the DICOM files at the paths, as from a peer; their SOP Instance UIDs."""
    if not paths:
        return []
    from burnish import roles
    from burnish.cli.options import existing
    from burnish.errors import BurnishError
    from burnish.offline.instance_store import files_below

    uids: dict[str, None] = {}
    with roles.receiving_files(settings, database) as keep:
        for path in files_below(existing(path) for path in paths):
            try:
                uids[keep(path)] = None
            except BurnishError as error:
                output.print_error(f"{path} is left out: {error}")
    if not uids:
        raise typer.BadParameter("--files names no DICOM file")
    return list(uids)


def _references(
    database: "Database", selection: _Selection, file_uids: list[str], profile: str
) -> "list[Reference]":
    """The instances that go on the media; raises Unknown for a UID that was not received."""
    from burnish.request import instance_listing
    from burnish.request.operations import Reference

    instances = selection.instances or []
    uid_pairs: list[tuple[str, str]] = []
    where = instance_listing.references_of_studies_where
    with database.reading() as session:
        for study_uid in selection.studies or []:
            uid_pairs += instance_listing.references_of_study(session, study_uid)
        for series_uid in selection.series or []:
            uid_pairs += where(session, series_instance_uid=series_uid)
        for patient_id in selection.patient_ids or []:
            uid_pairs += where(session, patient_id=patient_id)
        for accession in selection.accession_numbers or []:
            uid_pairs += where(session, accession_number=accession)
        if file_uids:
            uid_pairs += instance_listing.references_of_instances(session, file_uids)
        if instances:
            uid_pairs += instance_listing.references_of_instances(session, instances)
    if not uid_pairs:
        raise typer.BadParameter(
            "name what goes on the media: --study, --series, --instance, --patient-id,"
            " --accession or --files"
        )
    return [
        Reference(sop_class, sop_instance, profile)
        for sop_class, sop_instance in dict.fromkeys(uid_pairs)
    ]


def _content_attributes(audience: str, *, viewer: bool | None) -> dict[str, str]:
    """The attributes that say what the media hold for people; the defaults apply to others."""
    attributes = {}
    if audience:
        attributes["include_non_dicom_objects"] = audience
    if viewer is not None:
        attributes["include_display_application"] = "YES" if viewer else "NO"
    return attributes


def _check_patients(
    database: "Database", references: "list[Reference]", *, several_patients: bool
) -> None:
    """Ask before several patients share media; tell of contradictions between the instances."""
    from burnish.contradictions import count_patients, find_contradictions
    from burnish.request import instance_listing

    uids = [reference.sop_instance_uid for reference in references]
    with database.reading() as session:
        headers = instance_listing.distinct_headers(session, uids)
    patients = count_patients(headers)
    if patients > 1 and not several_patients:
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                f"the instances are of {patients} patients; "
                "add --several-patients if they may share media"
            )
        question = f"The instances are of {patients} patients. Put them on the same media?"
        typer.confirm(question, abort=True, err=True)
    for contradiction in find_contradictions(headers):
        output.print_error(f"warning: {contradiction.text}")


def _check_device(settings: "Settings", name: str) -> None:
    if name and name not in [device.name for device in settings.devices]:
        raise typer.BadParameter(f"no device {name}; `burnish device list` shows the devices")


def _security_attributes(
    profile: str, recipients: list[Path], password_file: Path | None
) -> dict[str, str]:
    """The recipients of secure media, checked. The password itself stays in its file."""
    if not recipients and password_file is None:
        return {}
    if not profile or not PROFILES[profile].secure:
        raise typer.BadParameter("--recipient and --password-file need a secure --profile")
    from burnish.secure_files.protection import read_password, read_recipients

    if password_file is not None:
        read_password(password_file)
    password_path = "" if password_file is None else str(password_file.absolute())
    return {"recipients": read_recipients(recipients), "password_file": password_path}
