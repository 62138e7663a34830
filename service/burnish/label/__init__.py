"""Craft: the printable label of a disc, and the address label of an envelope."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from burnish.errors import InvalidSettings
from burnish.label.barcode import SYMBOLOGIES
from burnish.label.drawing import Drawing
from burnish.label.fields import LabelContent, label_fields
from burnish.label.fonts import Fonts
from burnish.label.label_layout import lay_out_address, lay_out_disc
from burnish.label.pdf import encode_pdf
from burnish.label.ring import DISC, HOLE, Ring
from burnish.label.template import choose_template, read_templates
from burnish.values import Patient, Study

#: The file formats of labels, with Pillow's names for them; Pillow does not write the PDF.
LABEL_FORMATS = {"pdf": "PDF", "png": "PNG", "jpg": "JPEG", "bmp": "BMP"}
#: The format for a printer with a template of its own: the values of the template's fields.
MERGE_FORMAT = "dat"

#: The circle of the disc in a proof is drawn so much inside the page that it is visible, in mm.
_PROOF_INSET = 0.2

__all__ = [
    "LABEL_FORMATS",
    "MERGE_FORMAT",
    "LabelContent",
    "LabelFile",
    "LabelMaker",
    "Patient",
    "Ring",
    "Study",
    "attribute_uses",
    "merge_fields",
]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The content of a label's file; `notes` say what is wrong with it, without patient data."""

    data: bytes
    notes: tuple[str, ...] = ()


class LabelMaker:
    """Makes labels with the fonts and templates of a site.

    `templates` is a folder with styles of the site, `resolution` is in dots per inch, and
    `address_size` is width and height in mm.
    """

    def __init__(
        self,
        *,
        ring: Ring | None = None,
        templates: Path | None = None,
        fonts: Sequence[Path] = (),
        resolution: int = 300,
        address_size: tuple[float, float] = (89.0, 36.0),
    ) -> None:
        self._ring = ring or Ring()
        self._templates = templates
        self._fonts = Fonts(fonts)
        self._resolution = resolution
        self._address_size = address_size

    def check(self) -> None:
        """Raises InvalidSettings if templates or fonts are unusable."""
        read_templates(self._templates)
        self._fonts.face("A", bold=False)

    def load(self) -> None:
        """Loads the fonts, so that the first label does not have to wait for them."""
        for bold in (False, True):
            self._fonts.face("A", bold=bold)

    def disc(
        self, content: LabelContent, style: str = "", form: str = "pdf", *, outlines: bool = False
    ) -> LabelFile:
        """The label of a 120 mm disc; `outlines` draws disc and hole, for a proof."""
        template = choose_template(content, style, self._templates)
        drawing = lay_out_disc(content, template, self._ring, self._fonts)
        circles = (DISC - _PROOF_INSET, self._ring.inner, HOLE) if outlines else ()
        return self._encode(drawing, form, circles)

    def address(self, media_disposition: str, form: str = "pdf") -> LabelFile:
        """The label of an envelope: Media Disposition (2200,0004)."""
        drawing = lay_out_address(media_disposition, *self._address_size, self._fonts)
        return self._encode(drawing, form)

    def _encode(self, drawing: Drawing, form: str, circles: tuple[float, ...] = ()) -> LabelFile:
        data = encode_pdf(drawing, circles)
        if form != "pdf":
            data = _render(data, form, self._resolution)
        notes = list(drawing.notes)
        if drawing.shortened:
            notes.append("the label has no room for all of its text")
        if drawing.missing:
            notes.append(
                f"no font has {_characters(drawing.missing)} of the label: docs/labels.md says"
                " which fonts to install"
            )
        return LabelFile(data, tuple(notes))


def merge_fields(content: LabelContent) -> LabelFile:
    """The fields for the printer's own template: lines `name=value` in Windows code page 1252."""
    lines = [
        f"{name}={' '.join(value.split())}\r\n" for name, value in label_fields(content).items()
    ]
    text = "".join(lines)
    data = text.encode("cp1252", errors="replace")
    missing = sum(character.encode("cp1252", "ignore") == b"" for character in text)
    if not missing:
        return LabelFile(data)
    return LabelFile(data, (f"the robot's software cannot print {_characters(missing)}",))


def _characters(count: int) -> str:
    return "1 character" if count == 1 else f"{count} characters"


def _render(pdf: bytes, form: str, resolution: int) -> bytes:
    """The page of a PDF file as an image file."""
    if form not in LABEL_FORMATS:
        raise InvalidSettings(
            f"{form!r} is not a format of labels", hint=f"Use one of {', '.join(LABEL_FORMATS)}."
        )
    import pypdfium2

    document = pypdfium2.PdfDocument(pdf)
    try:
        image = document[0].render(scale=resolution / 72).to_pil().convert("RGB")
    finally:
        document.close()
    target = BytesIO()
    image.save(target, LABEL_FORMATS[form], dpi=(resolution, resolution), quality=95)
    return target.getvalue()


def attribute_uses() -> list[tuple[str, str]]:
    """How a label uses each attribute of a request (PS3.4 S.3.2.1.1.4)."""
    return [
        (
            "Label Using Information Extracted From Instances (2200,0001)",
            "Patient's Name, ID, Birth Date, Sex; Study Date, Study Description, Modality;"
            " Institution Name; printed, and in full in README.TXT except on secure media",
        ),
        ("Label Text (2200,0002)", "printed, and in full in README.TXT"),
        (
            "Label Style Selection (2200,0003)",
            f"{', '.join(read_templates(None))}; a site can add others",
        ),
        ("Media Disposition (2200,0004)", "printed as an address label"),
        ("Barcode Value (2200,0005)", "printed"),
        ("Barcode Symbology (2200,0006)", f"{', '.join(SYMBOLOGIES)}; CODE128 if empty"),
    ]
