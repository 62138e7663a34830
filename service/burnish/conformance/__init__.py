"""Surface: the DICOM Conformance Statement (PS3.2) of Burnish as it is configured.

The text is in `text/`, beside the tables that it describes; the tables are made from those that the
service runs on. `make_statement` puts a statement together, `write_markdown`, `write_html` and
`write_pdf` write it.
"""

from burnish import __version__
from burnish.conformance.document import Statement
from burnish.conformance.editions import Edition
from burnish.conformance.filling import REVISIONS, material_of
from burnish.conformance.html import write_html
from burnish.conformance.markdown import write_markdown
from burnish.conformance.pdf import write_pdf
from burnish.conformance.template import assemble
from burnish.settings import Settings
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID

__all__ = ["Edition", "Statement", "make_statement", "write_html", "write_markdown", "write_pdf"]


_TEXTS = {Edition.CLASSIC: "classic", Edition.OF_2026: "edition_2026"}
_TEMPLATES = {
    Edition.CLASSIC: "PS3.2 Annex A (classic template); section n.m is A.n.m of the template",
    Edition.OF_2026: "PS3.2 Annex N (2024 and later); section n.m is N.n.m of the template",
}


def make_statement(settings: Settings, edition: Edition = Edition.CLASSIC) -> Statement:
    """The statement of this version of Burnish with these settings."""
    revision, date, _ = REVISIONS[-1]
    material = material_of(settings, statuses_apart=edition is Edition.OF_2026)
    return Statement(
        title="DICOM Conformance Statement",
        subtitle=f"Burnish {__version__}",
        cover=(
            ("Product", "Burnish, a DICOM media-creation service"),
            ("Version", __version__),
            ("Application Entity title", settings.dicom.ae_title),
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Statement", f"revision {revision} of {date}"),
            ("Form", _TEMPLATES[edition]),
        ),
        sections=tuple(assemble(_TEXTS[edition], material)),
    )
