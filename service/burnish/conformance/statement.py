"""Surface: puts a Conformance Statement together (PS3.2)."""

from burnish import __version__
from burnish.conformance.document import Statement
from burnish.conformance.editions import Edition
from burnish.conformance.filling import REVISIONS, material_of
from burnish.conformance.template import assemble
from burnish.settings import Settings
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID

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
