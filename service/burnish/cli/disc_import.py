"""Surface: `burnish disc import`, the instances of any volume sent to an archive or taken in."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import exits, output
from burnish.cli.installation import open_database, read_settings
from burnish.cli.options import Config, Json, PasswordFile, PrivateKey, existing
from burnish.errors import BurnishError, OperatorError, Unknown
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.offline.disc_import import (
        Destination,
        Imported,
        ImportResult,
        ImportSelection,
        ImportState,
    )
    from burnish.offline.file_set import OpenedFileSet
    from burnish.receive import Receiver
    from burnish.settings import PeerSettings, Settings
    from burnish.values import FileToStore, StoreResponse

_PIECE = 1 << 20

Volume = Annotated[
    Path,
    typer.Argument(
        readable=False,
        metavar="VOLUME",
        help="A volume image, a ZIP file, a directory, or a drive.",
    ),
]
ToPeer = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="AE",
        show_default=False,
        help="Send by C-STORE to the [[peer]] with this AE title.",
    ),
]
Into = Annotated[bool, typer.Option("--into", help="Take them into the spool of this service.")]
Patients = Annotated[
    list[str] | None,
    typer.Option(
        "--patient", metavar="ID", help="Only patients with this Patient ID. May be repeated."
    ),
]
Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="Only this Study Instance UID. May be repeated."),
]
Unlisted = Annotated[
    bool,
    typer.Option("--unlisted", help="Also DICOM files that the DICOMDIR does not list."),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        readable=False,
        metavar="FILE",
        show_default=False,
        help="With --to: which instances the peer has taken, so that a second run sends the others"
        " only. Default: VOLUME.AE.import beside the volume, in the current directory for a drive.",
    ),
]


def import_(
    volume: Volume,
    *,
    to: ToPeer = "",
    into: Into = False,
    patient: Patients = None,
    study: Studies = None,
    unlisted: Unlisted = False,
    key: PrivateKey = None,
    password_file: PasswordFile = None,
    state: State = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Send the instances of any DICOM volume to an archive, or take them into this service.

    Every instance is sent as it is on the volume, without conversion. What the DICOMDIR lists and
    the volume does not have, what was found and is not listed, and what the peer has not accepted
    is told, and makes the exit code 24. A second run sends only what was not accepted. Exit code 10
    if the peer cannot be reached.
    """
    from burnish.offline.disc_import import ImportSelection, import_file_set
    from burnish.offline.file_set import open_file_set
    from burnish.secure_files import read_keyring

    if bool(to) == into:
        raise typer.BadParameter("either --to AE or --into is needed")
    if state and not to:
        raise typer.BadParameter("--state is for --to; the service knows what it has")
    selection = ImportSelection(tuple(patient or ()), tuple(study or ()), unlisted)
    keyring = read_keyring(key, password_file)
    with open_file_set(existing(volume), keyring) as file_set:
        import_state = _state(volume, to, state)
        with (
            _told_if_interrupted(to),
            _destination(file_set, selection, to, config) as destination,
            output.progress_bar() as progress,
        ):
            result = import_file_set(file_set, destination, selection, import_state, progress)
        if selection.is_of_some and not result.found_any:
            raise Unknown("no instance of the volume is of a patient or study that was named")
        target = to or "this service"
        if json:
            output.print_json(_fields(volume, target, file_set, result))
        else:
            _print_result(volume, target, file_set, result)
    if not result.complete:
        unreached = result.stopped and not result.accepted and not result.before
        raise typer.Exit(exits.EXITS[OperatorError] if unreached else exits.NOT_ALL_IMPORTED)


def _told_if_interrupted(to: str) -> AbstractContextManager[None]:
    return output.if_interrupted(
        f"interrupted; what {to or 'this service'} has taken stays there",
        "the same command sends the others",
    )


def _state(volume: Path, to: str, state: Path | None) -> "ImportState":
    """The instances of the volume that the peer has taken before."""
    from burnish.offline.disc_import import ImportState

    if not to:
        return ImportState(None, "")
    if state is None:
        absolute = volume.absolute()
        is_volume_file = volume.is_file() or volume.is_dir()
        may_write = os.access(absolute.parent, os.W_OK)
        folder = absolute.parent if is_volume_file and may_write else Path.cwd()
        state = folder / f"{absolute.name}.{to.replace('/', '_')}.import"
    return ImportState(state, to)


@contextmanager
def _destination(
    file_set: "OpenedFileSet", selection: "ImportSelection", to: str, config: Path | None
) -> "Iterator[Destination]":
    """Where the instances go: the peer `to`, or the spool."""
    from burnish.offline.disc_import import expected_encodings

    if to:
        from burnish.access.storage_scu import Encoding, StorageSCU

        settings = read_settings(config)
        peer = _peer(settings, to)
        encodings = [Encoding(*encoding) for encoding in expected_encodings(file_set, selection)]
        with StorageSCU(
            settings, peer, calling_ae_title=settings.dicom.ae_title, expected=encodings
        ) as scu:
            yield scu
        return
    from burnish import roles

    with (
        open_database(config) as (settings, database),
        roles.receiving(settings, database) as receiver,
    ):
        yield _Spool(receiver, settings.dicom.ae_title)


def _peer(settings: "Settings", ae_title: str) -> "PeerSettings":
    for peer in settings.peer:
        if peer.ae_title == ae_title:
            if peer.host:
                return peer
            raise Unknown(f"[[peer]] {ae_title} has no host to send to")
    raise Unknown(f"no [[peer]] has the AE title {ae_title}")


class _Spool:
    """Takes instances into the spool, as if this service had sent them to itself."""

    def __init__(self, receiver: "Receiver", ae_title: str) -> None:
        self._receiver = receiver
        self._ae_title = ae_title

    def store(self, file: "FileToStore") -> "StoreResponse":
        from burnish import file_meta
        from burnish.scp import statuses
        from burnish.values import StoreResponse

        try:
            incoming = self._receiver.open(
                sop_class_uid=file.sop_class_uid,
                sop_instance_uid=file.sop_instance_uid,
                transfer_syntax_uid=file.transfer_syntax_uid,
                calling_ae_title=self._ae_title,
                called_ae_title=self._ae_title,
            )
            try:
                with file.path.open("rb") as source:
                    offset, _ = file_meta.locate(source.read(_PIECE))
                    source.seek(offset)
                    while piece := source.read(_PIECE):
                        incoming.write(memoryview(piece))
            except BurnishError:
                incoming.abandon()
                raise
            self._receiver.accept(incoming)
        except BurnishError as error:
            return StoreResponse(statuses.of(error).c_store, str(error))
        return StoreResponse(statuses.SUCCESS)


def _fields(
    volume: Path, target: str, file_set: "OpenedFileSet", result: "ImportResult"
) -> dict[str, object]:
    return {
        "volume": volume,
        "destination": target,
        "complete": result.complete,
        "file_set_id": file_set.file_set_id,
        "file_set_uid": file_set.file_set_uid,
        "damage": result.damage,
        "listed": len(file_set.listed) + len(file_set.missing),
        "accepted": result.accepted,
        "before": result.before,
        "stopped": result.stopped,
        "warnings": _entries(result.warnings),
        "doubtful": _entries(result.doubtful),
        "skipped": _entries(result.skipped),
        "failed": _entries(result.failed),
        "not_sent": _entries(result.not_sent),
        "missing": _entries(result.missing),
        "unlisted": result.unlisted,
    }


def _entries(instances: "Sequence[Imported]") -> list[dict[str, object]]:
    return [
        {
            "file": instance.file,
            "sop_instance_uid": instance.sop_instance_uid,
            "status": None if instance.status is None else f"{instance.status:04X}H",
            "why": instance.why,
        }
        for instance in instances
    ]


def _print_result(
    volume: Path, target: str, file_set: "OpenedFileSet", result: "ImportResult"
) -> None:
    if result.damage:
        output.print_error(
            f"{volume}: {result.damage}", "All DICOM files beside it and below are imported."
        )
    for instance in result.skipped:
        typer.echo(f"left out: {instance.file}: {instance.why}", err=True)
    for instance in (*result.warnings, *result.doubtful):
        typer.echo(f"warning: {instance.file}: {instance.why}", err=True)
    if not file_set.has_dicomdir:
        typer.echo("there is no DICOMDIR: all DICOM files are imported", err=True)
    for name in result.unlisted:
        if file_set.tells_of(name):
            typer.echo(f"not listed in the DICOMDIR: {name}", err=True)
        elif file_set.has_dicomdir and not result.damage:
            typer.echo(f"outside of the folder of a DICOMDIR, imported: {name}", err=True)
    for instance in result.missing:
        typer.echo(f"MISSING: {instance.file}: the DICOMDIR lists it", err=True)
    for instance in result.failed:
        typer.echo(f"NOT IMPORTED: {instance.file}: {instance.why}", err=True)
    if result.not_sent:
        count = quantity(len(result.not_sent), "instance")
        typer.echo(f"stopped: {result.stopped}; {count} not sent", err=True)
    not_there = len(result.failed) + len(result.not_sent) + len(result.missing)
    verdict = f"{not_there} NOT IMPORTED" if not_there else "complete"
    if result.damage and not not_there:
        verdict = "the DICOMDIR is damaged"
    before = f", {result.before} imported before" if result.before else ""
    typer.echo(
        f"{volume}: {quantity(result.accepted, 'instance')} imported to {target}{before}; {verdict}"
    )
