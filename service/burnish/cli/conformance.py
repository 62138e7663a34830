"""Surface: `burnish conformance`, the DICOM Conformance Statement."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from burnish.cli.installation import read_settings
from burnish.cli.options import Config
from burnish.conformance.editions import Edition


class StatementFormat(StrEnum):
    """The form of the document."""

    MD = "md"
    HTML = "html"
    PDF = "pdf"


Format = Annotated[StatementFormat, typer.Option("--format", help="Markdown, HTML or PDF.")]
EditionOfStatement = Annotated[
    Edition,
    typer.Option("--edition", help="PS3.2 Annex A (classic), or Annex N, the form since 2024."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", metavar="FILE", help="Write to a file instead of standard output."),
]


def conformance(
    form: Format = StatementFormat.MD,
    edition: EditionOfStatement = Edition.CLASSIC,
    output: Output = None,
    config: Config = None,
) -> None:
    """Print the DICOM Conformance Statement of this version, as it is configured.

    It follows the template of PS3.2 and ends with an IHE integration statement.
    """
    settings = read_settings(config)
    from burnish.conformance.html import write_html
    from burnish.conformance.markdown import write_markdown
    from burnish.conformance.pdf import write_pdf
    from burnish.conformance.statement import make_statement

    statement = make_statement(settings, edition)
    if form is StatementFormat.PDF:
        document = write_pdf(statement)
    else:
        write = write_html if form is StatementFormat.HTML else write_markdown
        document = write(statement).encode("utf-8")
    if output is not None:
        output.write_bytes(document)
    elif form is StatementFormat.PDF and typer.get_binary_stream("stdout").isatty():
        raise typer.BadParameter("a PDF does not go to a terminal: name a file with --output")
    else:
        stream = typer.get_binary_stream("stdout")
        stream.write(document)
        stream.flush()
