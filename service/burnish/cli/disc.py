"""Surface: `burnish disc …`, volumes made and judged by hand, without service or database."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.application_profiles import PROFILES, ApplicationProfile
from burnish.cli import exits, options, output
from burnish.cli.disc_burn import burn
from burnish.cli.disc_label import label
from burnish.cli.options import (
    AnyProfile,
    Blank,
    Capacity,
    Json,
    PasswordFile,
    Profile,
    Recipients,
    present,
)
from burnish.media import OPEN_MEDIA

if TYPE_CHECKING:
    from burnish.offline.disc_append import AppendResult
    from burnish.offline.disc_build import BuildResult
    from burnish.offline.instance_store import LeftOutFiles
    from burnish.secure_files import Protection
    from burnish.values import VolumeReport

app = typer.Typer(no_args_is_help=True, help="Make and verify volumes without a service.")
app.command()(label)
app.command()(burn)


Lossless = Annotated[
    bool, typer.Option("--lossless", help="Compress images without loss where the profile may.")
]
Sources = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE...", help="Directories and files to put on media."),
]
Output = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Where the images are to lie.")
]
Signer = Annotated[
    Path | None,
    typer.Option(metavar="FILE", show_default=False, help="Certificate (PEM) of who signs."),
]
SignerKey = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", show_default=False, help="Its RSA private key (PEM, not encrypted)."
    ),
]
Lossy = Annotated[
    bool,
    typer.Option(
        "--lossy", help="Compress images with loss where the profile may; marks them as derived."
    ),
]


@app.command()
def verify(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A volume image, a directory, or a drive.")
    ],
    profile: AnyProfile = "",
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="RSA private key (PEM, not encrypted) that opens secure media.",
        ),
    ] = None,
    password_file: PasswordFile = None,
    json: Json = False,
) -> None:
    """Judge any volume by the standard, and by --profile if given; exit code 22 for faults.

    Secure media are opened with --key or --password-file; without, what is in their files is
    not examined.
    """
    from burnish.image.reader import open_volume
    from burnish.secure_files import open_secure, read_keyring
    from burnish.verify import examine_volume

    keyring = read_keyring(key, password_file)
    with open_volume(present(path), twice=True) as volume:
        size = path.stat().st_size if path.is_file() else sum(volume.files().values())
        report = examine_volume(open_secure(volume, keyring), PROFILES.get(profile), size=size)
    if json:
        output.document({"path": path, "good": report.good, **report_fields(report)})
    else:
        _say(path, report)
    if not report.good:
        raise typer.Exit(exits.VOLUME_FAULTY)


def report_fields(report: "VolumeReport") -> dict[str, object]:
    """What a report says, for JSON."""
    names = ("volume_identifier", "file_set_uid", "instances", "files", "bytes_read")
    return {name: getattr(report, name) for name in (*names, "faults", "unexamined")}


def _say(path: Path, report: "VolumeReport") -> None:
    for fault in report.faults:
        where = f"{fault.where}: " if fault.where else ""
        typer.echo(f"{fault.code}  {where}{fault.message}")
    verdict = "no fault" if report.good else f"{len(report.faults)} faults"
    typer.echo(
        f"{path}: {verdict}; {report.instances} instances, {report.files} files,"
        f" {report.bytes_read} bytes read"
    )
    if report.unexamined:
        typer.echo(
            f"{path}: {report.unexamined} Secure DICOM Files, whose content was not examined:"
            " that takes --key or --password-file"
        )


@app.command()
def build(
    source: Sources,
    *,
    to: Output,
    profile: Profile = "",
    medium: Blank = "",
    capacity: Capacity = None,
    file_set_id: Annotated[
        str, typer.Option(metavar="ID", help="File-set ID: A-Z, 0-9, _, 16 at most.")
    ] = "BURNISH",
    no_split: Annotated[
        bool, typer.Option("--no-split", help="Fail rather than take several volumes.")
    ] = False,
    recipient: Recipients = None,
    password_file: PasswordFile = None,
    signer: Signer = None,
    signer_key: SignerKey = None,
    lossless: Lossless = False,
    lossy: Lossy = False,
    json: Json = False,
) -> None:
    """Make verified volume images of any DICOM files, without a service or a database.

    What is no DICOM file is left out and named. Exit code 23 where an instance could not be put
    on media. Secure media (STD-GEN-SEC-...) need --recipient, --password-file, or both; with
    --signer and --signer-key, their files are signed.
    """
    from burnish.offline.disc_build import BuildOptions
    from burnish.offline.disc_build import build as build_images

    chosen, blank = options.media_wanted(profile, medium)
    signs = (signer, signer_key)
    protection = _protection(chosen, recipient or [], password_file, signs)
    wish = BuildOptions(
        *(chosen, blank, capacity, file_set_id, not no_split, protection),
        lossless=lossless,
        lossy=lossy,
    )
    with output.progress() as progress:
        outcome = build_images(source, to, wish, progress)
    if json:
        output.document(_outcome_fields(outcome))
    else:
        _tell(outcome)
    if not all(built.report.good for built in outcome.built):
        raise typer.Exit(exits.VOLUME_FAULTY)
    if outcome.refused or not outcome.built:
        raise typer.Exit(exits.NOT_ALL_ON_MEDIA)


def _protection(
    profile: ApplicationProfile,
    recipients: list[Path],
    password_file: Path | None,
    signs: tuple[Path | None, Path | None],
) -> "Protection | None":
    """How media of a secure profile are made so; None for another."""
    certificate, key = signs
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--signer and --signer-key go together")
    if not profile.secure:
        if recipients or password_file or key:
            raise typer.BadParameter(f"{profile.label} is not for secure media: see --profile")
        return None
    if not recipients and password_file is None:
        raise typer.BadParameter(f"{profile.label} needs --recipient, --password-file, or both")
    from burnish.secure_files import protection
    from burnish.settings import SecuritySettings

    pem = protection.read_recipients(recipients)
    security = SecuritySettings(signer_certificate=certificate, signer_key=key)
    return protection.load_protection(
        security, recipients=pem, password_file=str(password_file or "")
    )


@app.command()
def append(
    drive: Annotated[
        str,
        typer.Argument(
            metavar="DRIVE", help="The drive with the disc, as /dev/sr0, or stdio:IMAGE."
        ),
    ],
    source: Sources,
    *,
    profile: Profile = "STD-GEN-CD",
    other_patient: Annotated[
        bool, typer.Option("--other-patient", help="Also instances of patients not on the disc.")
    ] = False,
    finalise: Annotated[
        bool, typer.Option("--finalise", help="Close the disc: nothing can be added any more.")
    ] = False,
    speed: Annotated[int, typer.Option(min=0, metavar="N", help="0: the highest.")] = 0,
    eject: Annotated[bool, typer.Option(help="Open the tray when the disc is finished.")] = True,
    program: Annotated[str, typer.Option(metavar="PROGRAM", help="What burns.")] = "xorriso",
    json: Json = False,
) -> None:
    """Add DICOM files to a CD that was left open, as one more session, and read all of it back.

    The files on the disc stay as they are; its DICOMDIR then names all. A disc that is finalised,
    damaged or no DICOM File-set is refused, and so are instances that the profile does not take:
    then nothing is written. Exit code 22 where the disc reads back wrong, 23 where an instance was
    refused.
    """
    from burnish.burn.libburn import Drive
    from burnish.offline.disc_append import AppendOptions
    from burnish.offline.disc_append import append as append_session

    chosen = PROFILES[profile]
    if chosen.secure or not set(chosen.written_media) & set(OPEN_MEDIA):
        raise typer.BadParameter(f"{profile} is not for discs that can be left open")
    wish = AppendOptions(chosen, other_patient, finalise, speed, eject)
    with output.progress() as progress:
        done = append_session(Drive(drive, program), source, wish, progress, output.complain)
    if json:
        output.document(_appended_fields(drive, done))
    else:
        _tell_appended(drive, done)
    if done.report and not done.report.good:
        raise typer.Exit(exits.VOLUME_FAULTY)
    if done.left_out.refused:
        raise typer.Exit(exits.NOT_ALL_ON_MEDIA)


def _appended_fields(drive: str, done: "AppendResult") -> dict[str, object]:
    return {
        "drive": drive,
        "added": done.added,
        "first_sector": done.first_sector,
        "size": done.size,
        "volume": {"good": done.report.good, **report_fields(done.report)} if done.report else None,
        "skipped": done.left_out.skipped,
        "refused": done.left_out.refused,
    }


def _tell_appended(drive: str, done: "AppendResult") -> None:
    _tell_left(done.left_out)
    if done.report:
        typer.echo(f"{drive}: {done.added} instances added, {done.size} bytes")
        _say(Path(drive), done.report)
    else:
        typer.echo(f"{drive}: nothing was written")


def _outcome_fields(outcome: "BuildResult") -> dict[str, object]:
    return {
        "volumes": [
            {
                "image": built.image,
                "size": built.size,
                "file_set_id": built.file_set_id,
                "good": built.report.good,
                "sha256": built.report.sha256,
                **report_fields(built.report),
            }
            for built in outcome.built
        ],
        "skipped": outcome.skipped,
        "refused": outcome.refused,
    }


def _tell_left(outcome: "LeftOutFiles") -> None:
    for skipped in outcome.skipped:
        typer.echo(f"left out: {skipped.path}: {skipped.why}", err=True)
    for refused in outcome.refused:
        typer.echo(f"NOT ON MEDIA: {refused.path}: {refused.why}", err=True)


def _tell(outcome: "BuildResult") -> None:
    _tell_left(outcome)
    for built in outcome.built:
        for fault in built.report.faults:
            typer.echo(f"{built.image}: {fault.code} {fault.where} {fault.message}", err=True)
    output.table(
        ("image", "File-set ID", ">instances", ">bytes", "read back"),
        [
            [
                *(built.image, built.file_set_id, built.report.instances, built.size),
                "verified" if built.report.good else "FAULTY",
            ]
            for built in outcome.built
        ],
        empty="nothing was put on media",
    )
