"""Surface: `burnish request create`, media for received instances or for files."""

import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.cli import output
from burnish.cli.options import (
    Config,
    DeviceOption,
    Json,
    PasswordFile,
    Profile,
    Recipients,
    known_profile,
    parse_audience,
)
from burnish.cli.request import Copies, Priority, print_name, request_actions

if TYPE_CHECKING:
    from burnish.db.session import Database
    from burnish.request.actions import RequestActions
    from burnish.request.media_orders import MediaOrder
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
    label = _LabelOptions(label_text, label_style, barcode, symbology, disposition)
    media = _MediaOptions(file_set_id, content, no_split=no_split, lossy=lossy, viewer=viewer)
    security = _security_attributes(profile, config, recipient or [], password_file)
    request = _create(
        config,
        files or [],
        **_selection(study, series, patient_id, accession, instance),
        attributes={**label.attributes, **media.attributes, **security},
        profile=profile,
        device=device,
        several_patients=several_patients,
        initiate=initiate,
        copies=copies,
        priority=priority,
    )
    print_name(request, json=json)


def _selection(
    studies: list[str] | None,
    series: list[str] | None,
    patient_ids: list[str] | None,
    accession_numbers: list[str] | None,
    instances: list[str] | None,
) -> dict[str, list[str]]:
    """The options for the content, as fields of a MediaOrder."""
    return {
        "studies": studies or [],
        "series": series or [],
        "patient_ids": patient_ids or [],
        "accession_numbers": accession_numbers or [],
        "instances": instances or [],
    }


@dataclass(frozen=True, slots=True)
class _LabelOptions:
    """The options for labels; an empty text is not given."""

    label_text: str
    label_style_selection: str
    barcode_value: str
    barcode_symbology: str
    media_disposition: str

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of the request, by column."""
        return {column: text for column, text in asdict(self).items() if text}


@dataclass(frozen=True, slots=True)
class _MediaOptions:
    """The options for the media and their content for people."""

    file_set_id: str
    content: str
    no_split: bool
    lossy: bool
    viewer: bool | None

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of the request, by column."""
        from burnish.request import media_orders

        texts = {
            "storage_media_file_set_id": self.file_set_id,
            "include_non_dicom_objects": self.content,
        }
        flags = {
            "allow_media_splitting": False if self.no_split else None,
            "allow_lossy_compression": True if self.lossy else None,
            "include_display_application": self.viewer,
        }
        return media_orders.attributes(texts, flags)


def _create(config: Path | None, files: list[Path], **wanted: Any) -> "RequestLine":
    """The new request; the files are received first. `wanted` are the fields of a MediaOrder."""
    from burnish.request.media_orders import MediaOrder

    order = MediaOrder(**wanted)
    if (order.copies or order.priority) and not order.initiate:
        raise typer.BadParameter("--copies and --priority need --initiate")
    with request_actions(config) as actions:
        actions.check_device(order.device)
        uids = receive_files(actions.settings, actions.database, files)
        order = replace(order, instances=[*order.instances, *uids])
        if not order.names_content:
            raise typer.BadParameter(
                "name what goes on the media: --study, --series, --instance, --patient-id,"
                " --accession or --files"
            )
        return actions.create(confirmed(actions, order)).line


def confirmed(actions: "RequestActions", order: "MediaOrder") -> "MediaOrder":
    """Ask before several patients share media; tell of contradictions between the instances."""
    from burnish.contradictions import count_patients, find_contradictions
    from burnish.request import media_orders

    with actions.database.reading() as session:
        headers = media_orders.headers(session, media_orders.references(session, order))
    patients = count_patients(headers)
    if patients > 1 and not order.several_patients:
        if not sys.stdin.isatty():
            raise typer.BadParameter(
                f"the instances are of {patients} patients; "
                "add --several-patients if they may share media"
            )
        question = f"The instances are of {patients} patients. Put them on the same media?"
        typer.confirm(question, abort=True, err=True)
        order = replace(order, several_patients=True)
    for contradiction in find_contradictions(headers):
        output.print_error(f"warning: {contradiction.text}")
    return order


def receive_files(settings: "Settings", database: "Database", paths: list[Path]) -> list[str]:
    """Receive the DICOM files at the paths, as from a peer; their SOP Instance UIDs."""
    if not paths:
        return []
    from burnish import roles
    from burnish.cli.options import existing
    from burnish.errors import BurnishError
    from burnish.offline.instance_store import files_below

    uids: dict[str, None] = {}
    with (
        output.if_interrupted(
            "interrupted; what was received stays, and no request is created",
            "the same command receives the others; `burnish arrivals` shows what was received",
        ),
        roles.receiving(settings, database) as receiver,
    ):
        for path in files_below(existing(path) for path in paths):
            try:
                uids[roles.receive_file(settings, receiver, path)] = None
            except BurnishError as error:
                output.print_error(f"{path} is left out: {error}")
    if not uids:
        raise typer.BadParameter("--files names no DICOM file")
    return list(uids)


def _security_attributes(
    profile: str, config: Path | None, recipients: list[Path], password_file: Path | None
) -> dict[str, str]:
    """The recipients of secure media, checked. The password itself stays in its file."""
    if not recipients and password_file is None:
        return {}
    if not profile or not known_profile(profile, config).secure:
        raise typer.BadParameter("--recipient and --password-file need a secure --profile")
    from burnish.secure_files.protection import read_password, read_recipients

    if password_file is not None:
        read_password(password_file)
    password_path = "" if password_file is None else str(password_file.absolute())
    return {"recipients": read_recipients(recipients), "password_file": password_path}
