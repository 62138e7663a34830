"""Surface: `burnish disc …`, volumes made and checked by hand, without a service."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from burnish.application_profiles import PROFILES, STANDARD_PROFILES, ApplicationProfile
from burnish.cli import exits, output
from burnish.cli.disc_burn import burn
from burnish.cli.disc_import import import_
from burnish.cli.disc_label import label
from burnish.cli.options import (
    AnyProfile,
    Capacity,
    Config,
    Json,
    MediumName,
    PasswordFile,
    PrivateKey,
    Profile,
    Recipients,
    choose_profile_and_medium,
    existing,
    known_profile,
    parse_audience,
    parse_language,
)
from burnish.content.languages import LANGUAGES
from burnish.errors import DamagedVolume, Unreadable
from burnish.media import OPEN_MEDIA
from burnish.vocabulary import IncludeNonDICOMObjects
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.content.content_terms import ContentTerms
    from burnish.offline.disc_append import AppendResult
    from burnish.offline.disc_build import BuildResult
    from burnish.offline.instance_store import LeftOutFiles
    from burnish.secure_files import Keyring, Protection
    from burnish.values import VolumeReport

app = typer.Typer(no_args_is_help=True, help="Make and check volumes without a service.")
app.command()(label)
app.command()(burn)
app.command("import")(import_)

Lossless = Annotated[
    bool,
    typer.Option("--lossless", help="Compress images without loss where the profile permits it."),
]
KeepDamaged = Annotated[
    bool, typer.Option("--keep-damaged", help="Put damaged instances on the media as they are.")
]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy",
        help="Compress images with loss where the profile permits it; they are marked as derived.",
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
        " for DICOM files alone. Default: DICOM files and README.TXT.",
    ),
]
WithViewer = Annotated[
    bool, typer.Option("--viewer/--no-viewer", help="With --content, also the viewer.")
]
Language = Annotated[
    str,
    typer.Option(
        "--language",
        metavar="CODE",
        parser=parse_language,
        show_default=False,
        help=f"The language of the pages: {', '.join(LANGUAGES)}.",
    ),
]
Sources = Annotated[
    list[Path],
    typer.Argument(
        readable=False, metavar="SOURCE...", help="Directories and files to put on media."
    ),
]
Output = Annotated[
    Path,
    typer.Option("--output", readable=False, metavar="DIR", help="The directory for the images."),
]
FileSetID = Annotated[
    str, typer.Option(metavar="ID", help="File-set ID: A-Z, 0-9, _; at most 16 characters.")
]
NoSplit = Annotated[bool, typer.Option("--no-split", help="Fail if one volume is not enough.")]
Signer = Annotated[
    Path | None,
    typer.Option(
        readable=False, metavar="FILE", show_default=False, help="Certificate (PEM) of the signer."
    ),
]
SignerKey = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        show_default=False,
        help="RSA private key of the signer (PEM, unencrypted).",
    ),
]
SourceKey = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        show_default=False,
        help="RSA private key (PEM, unencrypted) that opens secure media among the sources.",
    ),
]
SourcePasswordFile = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar="FILE",
        show_default=False,
        help="File whose first line is the password of secure media among the sources.",
    ),
]
VerifiedVolume = Annotated[
    Path,
    typer.Argument(readable=False, metavar="PATH", help="A volume image, a directory, or a drive."),
]
DecodePixels = Annotated[
    bool,
    typer.Option("--pixels", help="Decode every frame of compressed images, which takes long."),
]
ByPdi = Annotated[
    bool, typer.Option("--pdi", help="Also by the rules of IHE PDI and of the DRG for such media.")
]
DeskReport = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        show_default=False,
        help="As --pdi, and a page to print for those who import discs. It names patients.",
    ),
]


@app.command()
def verify(
    path: VerifiedVolume,
    *,
    profile: AnyProfile = "",
    key: PrivateKey = None,
    password_file: PasswordFile = None,
    pixels: DecodePixels = False,
    pdi: ByPdi = False,
    desk_report: DeskReport = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Check any volume against the standard, and against --profile; exit code 22 if it has faults.

    Faults are what makes viewers show no image, or a wrong one, and what breaks the volume; notes
    are everything else. Secure media need --key or --password-file. Without them, the content of
    their files is not examined. With --pdi, the rules for media that are given to people count as
    well: names, web content, README.TXT, programs.
    """
    from burnish.cli import disc_pdi
    from burnish.secure_files import read_keyring
    from burnish.verify.manifest_checks import find_manifest

    keyring = read_keyring(key, password_file)
    path = existing(path)
    manifest = find_manifest(path)
    chosen_profile = known_profile(profile, config) if profile else None
    report = _examine(path, chosen_profile, keyring, manifest, pixels=pixels)
    judgement = disc_pdi.judge(path, keyring) if pdi or desk_report else None
    good = report.good and (judgement is None or judgement.report.good)
    if json:
        fields = {
            "path": path,
            "good": good,
            "judged_by": _judged_by(profile),
            **report_fields(report),
        }
        if judgement:
            fields["pdi"] = disc_pdi.pdi_fields(judgement)
        output.print_json(fields)
    else:
        compared = path.stat().st_size if manifest is not None and path.is_file() else None
        typer.echo(f"{path}: judged by: {_judged_by(profile)}")
        _print_report(path, report, compared=compared, has_decoded=pixels)
        if judgement:
            disc_pdi.print_findings(path, judgement)
    if judgement and desk_report:
        disc_pdi.write_desk_report(desk_report, path, report, judgement)
    if not good:
        raise typer.Exit(exits.VOLUME_FAULTY)


def _judged_by(profile: str) -> str:
    """The rules by which a volume is judged, in words."""
    if not profile:
        return "PS3.10, PS3.12 and the Basic Directory (PS3.3 F) only: no --profile was given"
    if profile in STANDARD_PROFILES:
        return profile
    return f"{profile} ({PROFILES[profile].section})"


def _examine(
    path: Path,
    profile: ApplicationProfile | None,
    keyring: "Keyring",
    manifest: dict[str, Any] | None,
    *,
    pixels: bool,
) -> "VolumeReport":
    from burnish.image.reader import open_volume
    from burnish.secure_files import open_secure
    from burnish.transcode.decoding import decode_all
    from burnish.verify import examine_volume, unreadable_report
    from burnish.verify.manifest_checks import compare_with_manifest, without_known_damage

    try:
        with open_volume(path, twice=True) as volume:
            report = examine_volume(
                open_secure(volume, keyring),
                profile,
                size=path.stat().st_size if path.is_file() else None,
                decoder=decode_all if pixels else None,
            )
            if manifest is not None and path.is_file():
                changed = tuple(compare_with_manifest(path, volume, manifest))
                report = replace(report, faults=(*report.faults, *changed))
                report = without_known_damage(report, manifest)
    except Unreadable as error:
        if manifest is None and not isinstance(error, DamagedVolume):
            raise
        report = unreadable_report(error)
    return report


def report_fields(report: "VolumeReport") -> dict[str, object]:
    """The fields of a report, for JSON."""
    return {
        "volume_identifier": report.volume_identifier,
        "file_set_uid": report.file_set_uid,
        "instances": report.instances,
        "files": report.files,
        "bytes_read": report.bytes_read,
        "faults": report.faults,
        "notes": report.notes,
        "kept_damaged": report.kept_damaged,
        "unexamined": report.unexamined,
        "decoded_frames": report.decoded_frames,
        "not_examined": report.not_examined,
    }


def _print_report(
    path: Path,
    report: "VolumeReport",
    *,
    compared: int | None = None,
    has_decoded: bool = False,
) -> None:
    """Each fault and note; then the sums. `compared`: bytes compared with a manifest, if any."""
    for fault in report.faults:
        where = f"{fault.where}: " if fault.where else ""
        typer.echo(f"{fault.code}  {where}{fault.message}")
    for damage in report.kept_damaged:
        typer.echo(f"kept although damaged: {damage.where}: {damage.message}")
    for note in report.notes:
        where = f"{note.where}: " if note.where else ""
        typer.echo(f"note: {where}{note.message}")
    typer.echo(
        f"{path}: {_verdict(report)}; {quantity(report.instances, 'instance')},"
        f" {quantity(report.files, 'file')}"
    )
    if report.unexamined:
        typer.echo(
            f"{path}: the content of {quantity(report.unexamined, 'Secure DICOM File')} was not"
            " examined: use --key or --password-file"
        )
    elif all(fault.code != "VOLUME_UNREADABLE" for fault in report.faults):
        _print_examined(path, report, compared=compared, has_decoded=has_decoded)


def _verdict(report: "VolumeReport") -> str:
    verdicts = [quantity(len(report.faults), "fault")] if report.faults else []
    if report.kept_damaged:
        kept = quantity(len({damage.where for damage in report.kept_damaged}), "instance")
        verdicts.append(f"{kept} kept although damaged, as the manifest says")
    if not verdicts:
        partly = report.not_examined or report.unexamined
        verdicts.append("no fault in what was examined" if partly else "no fault")
    empty = len({note.where for note in report.notes if note.code == "PIXEL_DATA_ABSENT"})
    if empty:
        verdicts.append(f"{quantity(empty, 'image')} without pixel data, which no viewer can show")
    return "; ".join(verdicts)


def _print_examined(
    path: Path, report: "VolumeReport", *, compared: int | None, has_decoded: bool
) -> None:
    """The lines on what was examined, what was not, and how many bytes were compared."""
    examined = (
        "the DICOMDIR, its keys against the files, File Meta Information, the elements of data"
        " sets, and of pixel data the description, the length, the number of frames, and the"
        " headers and ends of compressed frames"
    )
    not_examined = list(report.not_examined)
    if has_decoded:
        examined += f"; {quantity(report.decoded_frames, 'compressed frame')} were decoded"
    else:
        not_examined.append("the content of compressed frames (use --pixels)")
    typer.echo(f"{path}: examined: {examined}")
    if not_examined:
        typer.echo(f"{path}: not examined: {'; '.join(not_examined)}")
    if compared is None:
        typer.echo(
            f"{path}: compared: nothing, because there is no manifest beside it; changed pixels"
            " would not be noticed"
        )
    else:
        typer.echo(f"{path}: compared: all {compared} bytes with the manifest")


@app.command()
def build(
    source: Sources,
    *,
    target: Output,
    profile: Profile = "",
    medium: MediumName = "",
    capacity: Capacity = None,
    file_set_id: FileSetID = "BURNISH",
    no_split: NoSplit = False,
    recipient: Recipients = None,
    password_file: PasswordFile = None,
    signer: Signer = None,
    signer_key: SignerKey = None,
    source_key: SourceKey = None,
    source_password_file: SourcePasswordFile = None,
    lossless: Lossless = False,
    lossy: Lossy = False,
    keep_damaged: KeepDamaged = False,
    content: Content = "",
    viewer: WithViewer = True,
    language: Language = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Make verified volume images from any DICOM files, without a service or a database.

    Files that are not DICOM are left out and listed. Exit code 23 if an instance could not be put
    on media. Secure media need --recipient, --password-file or both; --signer and --signer-key sign
    them; --source-key or --source-password-file open those among the sources. With --content, the
    media hold pages for people, who open INDEX.HTM; --config has the texts of the institution.
    """
    from burnish.offline import disc_build

    chosen_profile, chosen_medium = choose_profile_and_medium(profile, medium, config)
    build_options = disc_build.BuildOptions(
        profile=chosen_profile,
        medium=chosen_medium,
        capacity=capacity,
        file_set_id=file_set_id,
        split=not no_split,
        protection=_protection(chosen_profile, recipient, password_file, signer, signer_key),
        lossless=lossless,
        keep_damaged=keep_damaged,
        lossy=lossy,
        content=_content_terms(content, config, language, viewer=viewer),
        source_keyring=_source_keyring(source_key, source_password_file),
    )
    with output.progress_bar() as progress:
        result = disc_build.build(source, target, build_options, progress)
    _report_build(result, json=json)


def _source_keyring(key: Path | None, password_file: Path | None) -> "Keyring":
    from burnish.secure_files import read_keyring

    return read_keyring(key, password_file)


def _report_build(result: "BuildResult", *, json: bool) -> None:
    if json:
        output.print_json(_build_fields(result))
    else:
        _print_build(result)
    if not all(volume.report.good for volume in result.built):
        raise typer.Exit(exits.VOLUME_FAULTY)
    if result.refused or not result.built:
        raise typer.Exit(exits.NOT_ALL_ON_MEDIA)


def _content_terms(
    audience: str, config: Path | None, language: str, *, viewer: bool
) -> "ContentTerms | None":
    """The content of the media for people; None for README.TXT in English alone."""
    if not audience:
        return None
    from burnish.content.asked_for import content_terms
    from burnish.settings import ContentSettings, read_settings

    settings = read_settings(config).content if config else ContentSettings()
    if language:
        settings = settings.model_copy(update={"language": language})
    return content_terms(settings, IncludeNonDICOMObjects(audience), display_application=viewer)


def _protection(
    profile: ApplicationProfile,
    recipients: list[Path] | None,
    password_file: Path | None,
    signer: Path | None,
    signer_key: Path | None,
) -> "Protection | None":
    """How the files of a secure profile are protected; None for other profiles."""
    if (signer is None) != (signer_key is None):
        raise typer.BadParameter("--signer and --signer-key must be given together")
    if not profile.secure:
        if recipients or password_file or signer_key:
            raise typer.BadParameter(f"{profile.label} is not for secure media: see --profile")
        return None
    if not recipients and password_file is None:
        raise typer.BadParameter(f"{profile.label} needs --recipient, --password-file or both")
    from burnish.secure_files import protection
    from burnish.settings import SecuritySettings

    return protection.load_protection(
        SecuritySettings(signer_certificate=signer, signer_key=signer_key),
        recipients=protection.read_recipients(recipients or []),
        password_file=str(password_file or ""),
    )


@app.command()
def append(
    drive: Annotated[
        str,
        typer.Argument(
            metavar="DRIVE", help="The drive with the disc, for example /dev/sr0, or stdio:IMAGE."
        ),
    ],
    source: Sources,
    *,
    profile: Profile = "STD-GEN-CD",
    other_patient: Annotated[
        bool, typer.Option("--other-patient", help="Permit patients who are not on the disc yet.")
    ] = False,
    finalise: Annotated[
        bool, typer.Option("--finalise", help="Close the disc: nothing can be added later.")
    ] = False,
    keep_damaged: KeepDamaged = False,
    speed: Annotated[int, typer.Option(min=0, metavar="N", help="0: the highest.")] = 0,
    eject: Annotated[bool, typer.Option(help="Open the tray when the disc is finished.")] = True,
    program: Annotated[
        str, typer.Option(metavar="PROGRAM", help="The program that burns.")
    ] = "xorriso",
    pages: Annotated[
        bool, typer.Option(help="Make pages of all that is then on the disc, if it has any.")
    ] = True,
    config: Config = None,
    json: Json = False,
) -> None:
    """Add DICOM files to a CD that was left open, as a new session, and read all of it back.

    The DICOM files on the disc stay as they are; the new DICOMDIR lists all files, and the new
    pages show all of them. Nothing is written if the disc is finalised, damaged or not a DICOM
    File-set, or if the profile does not permit one of the instances. Exit code 22 if the disc is
    faulty when read back, 23 if an instance was refused.
    """
    from burnish.burn.libburn import Drive
    from burnish.offline.disc_append import AppendOptions
    from burnish.offline.disc_append import append as append_session

    chosen_profile = known_profile(profile, config)
    if chosen_profile.secure or not set(chosen_profile.written_media) & set(OPEN_MEDIA):
        raise typer.BadParameter(f"{profile} is not for discs that can be left open")
    append_options = AppendOptions(
        chosen_profile, other_patient, finalise, speed, eject, keep_damaged, pages
    )
    with output.progress_bar() as progress:
        result = append_session(
            Drive(drive, program), source, append_options, progress, output.print_error
        )
    _report_append(drive, result, json=json)


def _report_append(drive: str, result: "AppendResult", *, json: bool) -> None:
    if json:
        output.print_json(_append_fields(drive, result))
    else:
        _print_append(drive, result)
    _exit_after_append(result)


def _exit_after_append(result: "AppendResult") -> None:
    if result.report and not result.report.good:
        raise typer.Exit(exits.VOLUME_FAULTY)
    if result.left_out.refused:
        raise typer.Exit(exits.NOT_ALL_ON_MEDIA)


def _append_fields(drive: str, result: "AppendResult") -> dict[str, object]:
    volume = None
    if result.report:
        volume = {"good": result.report.good, **report_fields(result.report)}
    return {
        "drive": drive,
        "added": result.added,
        "first_sector": result.first_sector,
        "size": result.size,
        "old_pages": result.old_pages,
        "volume": volume,
        "skipped": result.left_out.skipped,
        "doubtful": result.left_out.doubtful,
        "refused": result.left_out.refused,
    }


def _print_append(drive: str, result: "AppendResult") -> None:
    _print_left_out(result.left_out)
    if result.report:
        typer.echo(f"{drive}: {quantity(result.added, 'instance')} added, {result.size} bytes")
        if result.old_pages:
            output.print_error(
                "warning: the pages on the disc show only what was on it before; the DICOMDIR lists"
                " all instances"
            )
        _print_report(Path(drive), result.report)
    else:
        typer.echo(f"{drive}: nothing was written")


def _build_fields(result: "BuildResult") -> dict[str, object]:
    volumes = [
        {
            "image": volume.image,
            "size": volume.size,
            "file_set_id": volume.file_set_id,
            "good": volume.report.good,
            "sha256": volume.report.sha256,
            **report_fields(volume.report),
        }
        for volume in result.built
    ]
    return {
        "volumes": volumes,
        "skipped": result.skipped,
        "refused": result.refused,
        "contradictions": result.contradictions,
        "stand_ins": result.stand_ins,
    }


def _print_build(result: "BuildResult") -> None:
    _print_left_out(result)
    for contradiction in result.contradictions:
        output.print_error(f"warning: {contradiction}")
    if result.stand_ins:
        missing = f"the instances have no {result.stand_ins}"
        output.print_error(f"warning: {missing}; the DICOMDIR has values in their place")
    for volume in result.built:
        for fault in volume.report.faults:
            typer.echo(f"{volume.image}: {fault.code} {fault.where} {fault.message}", err=True)
    output.print_table(
        ("image", "File-set ID", ">instances", ">bytes", "read back"),
        [
            (
                volume.image,
                volume.file_set_id,
                volume.report.instances,
                volume.size,
                "verified" if volume.report.good else "FAULTY",
            )
            for volume in result.built
        ],
        empty="nothing was put on media",
    )


def _print_left_out(left_out: "LeftOutFiles") -> None:
    for file in left_out.skipped:
        typer.echo(f"left out: {file.path}: {file.why}", err=True)
    for file in left_out.doubtful:
        typer.echo(f"warning: {file.path}: {file.why}", err=True)
    for file in left_out.refused:
        typer.echo(f"NOT ON MEDIA: {file.path}: {file.why}", err=True)
