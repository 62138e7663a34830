"""Craft: a drawing as a PDF file of one page (ISO 32000-1).

Glyphs are outlines in Type 3 fonts. So every font that HarfBuzz reads can be used, none has to be
installed where the label is printed, and the text can still be searched and copied.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from burnish.label.drawing import Drawing, PrintedPicture, Text
from burnish.label.fonts import Bounds, Face
from burnish.label.typesetting import BOX_HEIGHT, BOX_STROKE, BOX_WIDTH, Glyph

_POINTS_PER_MM = 72 / 25.4
#: Glyphs in one Type 3 font, whose codes are the bytes 1 to 255.
_GLYPHS_PER_FONT = 255
#: Units per em of the font that has only the box of missing characters.
_BOX_UNITS_PER_EM = 1000
#: Control points of a quarter circle of radius 1, which differs from a circle by less than 0.03 %.
_QUARTER_CIRCLE = 0.5523
_LINES_PER_CHARACTER_MAP = 100

#: Face, glyph number, and the text that the glyph stands for.
_GlyphKey = tuple[Face | None, int, str]


@dataclass(slots=True)
class _Type3Font:
    """Up to 255 glyphs of one face, with their codes."""

    face: Face | None
    codes: dict[_GlyphKey, int] = field(default_factory=dict)

    @property
    def units_per_em(self) -> int:
        return self.face.units_per_em if self.face else _BOX_UNITS_PER_EM


def encode_pdf(drawing: Drawing, outlines: Iterable[float] = ()) -> bytes:
    """The PDF file; `outlines` are diameters in mm of circles to draw for a proof."""
    fonts: list[_Type3Font] = []
    content = [
        "q",
        f"{_POINTS_PER_MM:.6f} 0 0 {_POINTS_PER_MM:.6f} 0 0 cm",
        f"1 0 0 1 {drawing.width / 2:.4f} {drawing.height / 2:.4f} cm",
    ]
    for diameter in outlines:
        content.append(_circle(diameter / 2))
    for box in drawing.boxes:
        content.append(_fill_colour(box.colour))
        content.append(f"{box.x:.4f} {box.y:.4f} {box.width:.4f} {box.height:.4f} re f")
    for number, picture in enumerate(drawing.pictures):
        place = f"{picture.width:.4f} 0 0 {picture.height:.4f} {picture.x:.4f} {picture.y:.4f}"
        content.append(f"q {place} cm /P{number} Do Q")
    for text in drawing.texts:
        content += _text_operators(text, fonts)
    content.append("Q")
    return _file(drawing, "\n".join(content), fonts)


def _fill_colour(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return f"{red:.3f} {green:.3f} {blue:.3f} rg"


def _circle(radius: float) -> str:
    """A grey hairline of four Bézier curves."""
    corners = [(radius, 0.0), (0.0, radius), (-radius, 0.0), (0.0, -radius), (radius, 0.0)]
    path = [f"0.1 w 0.6 G {radius:.4f} 0 m"]
    for (x, y), (next_x, next_y) in pairwise(corners):
        path.append(
            f"{x - y * _QUARTER_CIRCLE:.4f} {y + x * _QUARTER_CIRCLE:.4f}"
            f" {next_x + next_y * _QUARTER_CIRCLE:.4f} {next_y - next_x * _QUARTER_CIRCLE:.4f}"
            f" {next_x:.4f} {next_y:.4f} c"
        )
    return " ".join([*path, "s"])


def _text_operators(text: Text, fonts: list[_Type3Font]) -> list[str]:
    operators = [_fill_colour(text.colour), "BT"]
    for glyph in text.line.glyphs:
        font_number, code = _font_and_code(fonts, glyph)
        x, y = text.x + glyph.x * text.size, text.y + glyph.y * text.size
        operators.append(f"/F{font_number} {text.size:.4f} Tf 1 0 0 1 {x:.4f} {y:.4f} Tm")
        operators.append(f"<{code:02X}> Tj")
    operators.append("ET")
    return operators


def _font_and_code(fonts: list[_Type3Font], glyph: Glyph) -> tuple[int, int]:
    """The number of the font that has a glyph for its text, and its code; adds it if necessary."""
    key = glyph.face, glyph.number, glyph.text
    number_with_room = None
    for number, font in enumerate(fonts):
        if key in font.codes:
            return number, font.codes[key]
        if font.face is glyph.face and len(font.codes) < _GLYPHS_PER_FONT:
            number_with_room = number
    if number_with_room is None:
        number_with_room = len(fonts)
        fonts.append(_Type3Font(glyph.face))
    codes = fonts[number_with_room].codes
    codes[key] = len(codes) + 1
    return number_with_room, codes[key]


@lru_cache(maxsize=2048)
def _glyph_procedure(face: Face | None, number: int) -> tuple[int, bytes]:
    """The width of a glyph and the operators that draw it (9.6.5), compressed."""
    if face is None:
        width, operators = _box_operators()
    else:
        width, operators = face.advance(number), _outline_operators(face, number)
    return width, zlib.compress(operators.encode("ascii"), 9)


def _outline_operators(face: Face, number: int) -> str:
    ink = face.ink(number) or Bounds(0.0, 0.0, 0.0, 0.0)
    # The bounding box may be too large, never too small.
    left, bottom = (round(value * face.units_per_em - 1) for value in (ink.left, ink.bottom))
    right, top = (round(value * face.units_per_em + 1) for value in (ink.right, ink.top))
    path = face.outline(number)
    paint = "f" if path else ""
    return f"{face.advance(number)} 0 {left} {bottom} {right} {top} d1\n{path}\n{paint}"


def _box_operators() -> tuple[int, str]:
    """The width of the box of a missing character, and its operators."""
    width, height, stroke = (
        round(length * _BOX_UNITS_PER_EM) for length in (BOX_WIDTH, BOX_HEIGHT, BOX_STROKE)
    )
    outer = f"{stroke} 0 {width - 2 * stroke} {height} re"
    inner = f"{2 * stroke} {stroke} {width - 4 * stroke} {height - 2 * stroke} re"
    return width, f"{width} 0 0 0 {width} {height} d1\n{outer} {inner} f*"


class _PdfWriter:
    """Collects the indirect objects of a PDF file."""

    def __init__(self) -> None:
        self._bytes = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        self._offsets: list[int] = []

    @property
    def next_number(self) -> int:
        return len(self._offsets) + 1

    def add(self, body: str, stream: bytes | None = None) -> int:
        """Adds an object and returns its number."""
        number = self.next_number
        self._offsets.append(len(self._bytes))
        self._bytes += f"{number} 0 obj\n{body}\n".encode("ascii")
        if stream is not None:
            self._bytes += b"stream\n" + stream + b"\nendstream\n"
        self._bytes += b"endobj\n"
        return number

    def add_stream(self, content: str) -> int:
        return self.add_compressed(zlib.compress(content.encode("ascii"), 9))

    def add_compressed(self, stream: bytes) -> int:
        return self.add(f"<< /Length {len(stream)} /Filter /FlateDecode >>", stream)

    def finish(self, root: int) -> bytes:
        """The whole file with its cross-reference table (7.5.4)."""
        table_offset = len(self._bytes)
        count = self.next_number
        self._bytes += f"xref\n0 {count}\n0000000000 65535 f \n".encode("ascii")
        for offset in self._offsets:
            self._bytes += f"{offset:010d} 00000 n \n".encode("ascii")
        self._bytes += f"trailer\n<< /Size {count} /Root {root} 0 R >>\n".encode("ascii")
        self._bytes += f"startxref\n{table_offset}\n%%EOF\n".encode("ascii")
        return bytes(self._bytes)


def _file(drawing: Drawing, content: str, fonts: list[_Type3Font]) -> bytes:
    writer = _PdfWriter()
    font_numbers = [_add_font(font, writer) for font in fonts]
    resources = " ".join(f"/F{index} {number} 0 R" for index, number in enumerate(font_numbers))
    pictures = "".join(
        f" /P{index} {_add_picture(picture, writer)} 0 R"
        for index, picture in enumerate(drawing.pictures)
    )
    stream = writer.add_stream(content)
    pages = writer.next_number + 1
    width, height = drawing.width * _POINTS_PER_MM, drawing.height * _POINTS_PER_MM
    page = writer.add(
        f"<< /Type /Page /Parent {pages} 0 R /MediaBox [0 0 {width:.4f} {height:.4f}]"
        f" /Resources << /Font << {resources} >> /XObject <<{pictures} >> >>"
        f" /Contents {stream} 0 R >>"
    )
    writer.add(f"<< /Type /Pages /Kids [{page} 0 R] /Count 1 >>")
    root = writer.add(f"<< /Type /Catalog /Pages {pages} 0 R >>")
    return writer.finish(root)


def _add_picture(picture: PrintedPicture, writer: _PdfWriter) -> int:
    """Adds an image (8.9.5) and returns the number of its object."""
    return writer.add(
        f"<< /Type /XObject /Subtype /Image /Width {picture.columns} /Height {picture.rows}"
        f" /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode"
        f" /Length {len(picture.jpeg)} >>",
        picture.jpeg,
    )


def _add_font(font: _Type3Font, writer: _PdfWriter) -> int:
    """Adds a Type 3 font and returns the number of its object."""
    widths: list[str] = []
    names: list[str] = []
    procedures: list[str] = []
    for _, glyph_number, _ in font.codes:
        width, stream = _glyph_procedure(font.face, glyph_number)
        name = f"/g{len(names) + 1}"
        names.append(name)
        widths.append(str(width))
        procedures.append(f"{name} {writer.add_compressed(stream)} 0 R")
    scale = 1 / font.units_per_em
    character_map = writer.add_stream(_character_map(font))
    return writer.add(
        f"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 0 0] /Resources << >>"
        f" /FontMatrix [{scale:.8f} 0 0 {scale:.8f} 0 0] /CharProcs << {' '.join(procedures)} >>"
        f" /Encoding << /Type /Encoding /Differences [1 {' '.join(names)}] >>"
        f" /FirstChar 1 /LastChar {len(names)} /Widths [{' '.join(widths)}]"
        f" /ToUnicode {character_map} 0 R >>"
    )


def _character_map(font: _Type3Font) -> str:
    """A ToUnicode CMap: the text of each code (9.10.3)."""
    lines = [
        f"<{code:02X}> <{text.encode('utf-16-be').hex()}>"
        for (_, _, text), code in font.codes.items()
        if text
    ]
    sections = []
    for start in range(0, len(lines), _LINES_PER_CHARACTER_MAP):
        section = lines[start : start + _LINES_PER_CHARACTER_MAP]
        sections += [f"{len(section)} beginbfchar", *section, "endbfchar"]
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin",
            "12 dict begin",
            "begincmap",
            "/CMapName /Burnish def",
            "/CMapType 2 def",
            "1 begincodespacerange",
            "<00> <FF>",
            "endcodespacerange",
            *sections,
            "endcmap",
            "CMapName currentdict /CMap defineresource pop",
            "end",
            "end",
        ]
    )
