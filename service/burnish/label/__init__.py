"""Craft: the printable label of a disc, and the address label of an envelope."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from burnish.errors import InvalidSettings
from burnish.label import label_layout, pdf
from burnish.label.barcode import SYMBOLOGIES
from burnish.label.drawing import Drawing
from burnish.label.fields import LabelContent, fields
from burnish.label.fonts import Fonts
from burnish.label.ring import DISC, HOLE, Ring
from burnish.label.template import choose, styles
from burnish.values import Patient, Study

#: The forms a label can be made in, and how Pillow calls them; a PDF is not made by it.
LABEL_FORMATS = {"pdf": "PDF", "png": "PNG", "jpg": "JPEG", "bmp": "BMP"}

#: The form for a printer that has a template of its own: its fields with what to put into them.
MERGE_FORMAT = "dat"

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
    "styles",
]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label as a file. `notes` tell what is not on it as it should be, without patient data."""

    data: bytes
    notes: tuple[str, ...] = ()


class LabelMaker:
    """Makes labels as a site wants them; `templates` is a folder of its own styles."""

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
        """Raises InvalidSettings where templates or fonts are not usable."""
        styles(self._templates)
        self._fonts.face("A", bold=False)

    def load(self) -> None:
        """Has the fonts at hand, for which the first label would else have to wait."""
        for bold in (False, True):
            self._fonts.face("A", bold=bold)

    def disc(
        self, content: LabelContent, style: str = "", form: str = "pdf", *, outlines: bool = False
    ) -> LabelFile:
        """The label of a 120 mm disc; with `outlines`, disc and hole are drawn, for a proof."""
        template = choose(content, style, self._templates)
        drawing = label_layout.disc(content, template, self._ring, self._fonts)
        circles = (DISC - 0.2, self._ring.inner, HOLE) if outlines else ()
        return self._printed(drawing, form, circles)

    def address(self, media_disposition: str, form: str = "pdf") -> LabelFile:
        """The label of an envelope: Media Disposition (2200,0004)."""
        drawing = label_layout.address(media_disposition, *self._address_size, self._fonts)
        return self._printed(drawing, form)

    def _printed(self, drawing: Drawing, form: str, outlines: tuple[float, ...] = ()) -> LabelFile:
        data = pdf.encode(drawing, outlines)
        if form != "pdf":
            data = _picture(data, form, self._resolution)
        notes = list(drawing.notes)
        if drawing.shortened:
            notes.append("not all there is to say has room on the label")
        if drawing.missing:
            notes.append(
                f"{drawing.missing} letters are in no font: see docs/labels.md for fonts to install"
            )
        return LabelFile(data, tuple(notes))


def merge_fields(content: LabelContent) -> LabelFile:
    """The fields of a template as lines `name=value`, in the letters that Windows calls ANSI."""
    found = {name: " ".join(value.split()) for name, value in fields(content).items()}
    text = "".join(f"{name}={value}\r\n" for name, value in found.items())
    data = text.encode("cp1252", errors="replace")
    missing = sum(letter.encode("cp1252", "ignore") == b"" for letter in text)
    notes = [f"{missing} letters are not in what the robot's software reads"] if missing else []
    return LabelFile(data, tuple(notes))


def _picture(data: bytes, form: str, resolution: int) -> bytes:
    """A PDF page as a picture with so many dots per inch."""
    if form not in LABEL_FORMATS:
        raise InvalidSettings(
            f"there is no label {form!r}", hint=f"There are {', '.join(LABEL_FORMATS)}."
        )
    import pypdfium2

    document = pypdfium2.PdfDocument(data)
    try:
        image = document[0].render(scale=resolution / 72).to_pil().convert("RGB")
    finally:
        document.close()
    target = BytesIO()
    image.save(target, LABEL_FORMATS[form], dpi=(resolution, resolution), quality=95)
    return target.getvalue()


def attribute_uses() -> list[tuple[str, str]]:
    """What each attribute of a request is used for on a label (PS3.4 S.3.2.1.1.4)."""
    return [
        (
            "Label Using Information Extracted From Instances (2200,0001)",
            "Patient's Name, ID, Birth Date, Sex; Study Date, Study Description, Modality;"
            " Institution Name; printed, and given in full in README.TXT, but for secure media",
        ),
        ("Label Text (2200,0002)", "printed, and given in full in README.TXT"),
        ("Label Style Selection (2200,0003)", f"{', '.join(styles(None))}; a site adds others"),
        ("Media Disposition (2200,0004)", "printed as an address label"),
        ("Barcode Value (2200,0005)", "printed"),
        ("Barcode Symbology (2200,0006)", f"{', '.join(SYMBOLOGIES)}; without one, CODE128"),
    ]
