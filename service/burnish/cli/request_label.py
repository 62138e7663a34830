"""Surface: `burnish request label`, the labels of the media of a request, to print by hand."""

from pathlib import Path
from typing import Annotated

import typer

from burnish.cli import output
from burnish.cli.installation import open_database
from burnish.cli.options import Config
from burnish.errors import NotNow

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="R000012, its number, or its SOP Instance UID.")
]
Target = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Where the labels are to lie.")
]
Form = Annotated[str, typer.Option("--form", metavar="FORM", help="pdf, png, jpg or bmp.")]
Volume = Annotated[
    int | None, typer.Option("--volume", metavar="N", min=1, help="Of this volume only.")
]


def label(
    name: Name, *, to: Target, form: Form = "pdf", volume: Volume = None, config: Config = None
) -> None:
    """Make the labels of a request's media: one for each volume, which all its copies share.

    For discs that come out of a drive and for sticks, which nobody prints. Each says its File-set
    ID and volume n of m. With Media Disposition there is an address label as well.
    """
    from burnish.label import LABEL_FORMATS

    if form not in LABEL_FORMATS:
        raise typer.BadParameter(f"--form is one of {', '.join(LABEL_FORMATS)}")
    with open_database(config) as (settings, database):
        from burnish import roles
        from burnish.request import listing
        from burnish.write import job
        from burnish.write.labels import Labels

        with database.reading() as session:
            line = listing.find_request(session, name)
            spool, images = roles.open_spool(settings), settings.storage.root / "images"
            volumes = job.volume_jobs(session, line.sop_instance_uid, spool, images)
    wanted = [one for one in volumes if volume in (None, one.job.volume_number)]
    if not wanted:
        hint = f"`burnish request show {line.short_id}` shows its volumes once it is planned"
        raise NotNow(f"{line.short_id} has no such media", hint=hint)
    to.mkdir(parents=True, exist_ok=True)
    labels = Labels(settings.label, form)
    for one in wanted:
        for file, made in labels.of_volume(one).items():
            (to / file).write_bytes(made.data)
            for note in made.notes:
                output.complain(f"{file}: {note}")
            typer.echo(f"{to / file}: {one.job.file_set_id}, {len(made.data)} bytes")
