"""Surface: `burnish spool …`, the received instances on storage: their room, and single files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config, Json
from burnish.errors import OperatorError
from burnish.wording import quantity

if TYPE_CHECKING:
    from burnish.spool_export import Export

app = typer.Typer(no_args_is_help=True, help="Show the room of the spool; get single files.")


@app.callback()
def spool() -> None:
    """Show the room of the spool; get single files."""


@app.command()
def show(json: Json = False, config: Config = None) -> None:
    """Show what the spool takes on disk, and what of that is wanted."""
    with open_database(config) as (settings, database):
        from burnish import compaction, roles

        room = compaction.room(database, roles.open_spool(settings))
    if json:
        output.print_views(room)
        return
    high_water = settings.storage.high_water
    output.print_fields(
        (
            ("disk in use", f"{room.disk_used:.0%}, nothing is received from {high_water:.0%} on"),
            ("free on the disk", output.format_size(room.disk_free)),
            ("segments", room.segments),
            ("room of segments", output.format_size(room.segments_allocated)),
            ("  wanted of that", output.format_size(room.segments_live)),
            ("instances in segments", room.segment_instances),
            ("files of their own", room.files),
            ("room of these files", output.format_size(room.files_size)),
        )
    )


_Directory = Annotated[
    Path,
    typer.Argument(
        metavar="DIRECTORY", help="Where to write the files.", show_default=False, readable=False
    ),
]
_Instances = Annotated[
    list[str] | None,
    typer.Option("--instance", metavar="UID", help="This instance. May be repeated."),
]
_Series = Annotated[
    list[str] | None,
    typer.Option("--series", metavar="UID", help="This series. May be repeated."),
]
_Studies = Annotated[
    list[str] | None,
    typer.Option("--study", metavar="UID", help="This study. May be repeated."),
]
_Patients = Annotated[
    list[str] | None,
    typer.Option("--patient", metavar="ID", help="This Patient ID. May be repeated."),
]
_All = Annotated[bool, typer.Option("--all", help="All instances.")]
_WithoutRow = Annotated[
    bool, typer.Option("--without-row", help="The instances that have no row in the database.")
]


@app.command()
def export(
    directory: _Directory,
    *,
    instances: _Instances = None,
    series: _Series = None,
    study: _Studies = None,
    patient: _Patients = None,
    everything: _All = False,
    without_row: _WithoutRow = False,
    json: Json = False,
    config: Config = None,
) -> None:
    """Write instances as single DICOM files, as they were received, also while the service runs.

    Each file is DIRECTORY/STUDY/SERIES/INSTANCE.dcm, named by UIDs. The newest content of each
    instance is written. Files that are there already are left alone, so that an export that was
    interrupted can be repeated.
    """
    selects = bool(instances or series or study or patient)
    if selects + everything + without_row != 1:
        raise typer.BadParameter(
            "name what to export: --instance, --series, --study, --patient; or --all; or"
            " --without-row"
        )
    with open_database(config) as (settings, database):
        from burnish import roles, spool_export
        from burnish.db.instance_rows import Selection

        opened = roles.open_spool(settings)
        directory.mkdir(parents=True, exist_ok=True)
        with output.if_interrupted(
            f"interrupted; each file that is in {directory} is complete",
            "the same command writes the others",
        ):
            if without_row:
                outcome = spool_export.export_without_rows(database, opened, directory)
            else:
                outcome = spool_export.export(
                    database,
                    opened,
                    directory,
                    selection=None
                    if everything
                    else Selection(instances or (), series or (), study or (), patient or ()),
                )
    _print_outcome(outcome, json=json)


def _print_outcome(outcome: "Export", *, json: bool) -> None:
    present = f", {quantity(outcome.present, 'file')} there already" if outcome.present else ""
    text = f"{quantity(outcome.written, 'instance')} written{present}"
    output.print_new(text, outcome, json=json)
    for uid, why in outcome.failed.items():
        output.print_error(f"instance {uid} was not written: {why}")
    if outcome.failed:
        raise OperatorError(f"{quantity(len(outcome.failed), 'instance')} could not be written")
