"""Craft: a drawing as a PDF file of one page (ISO 32000-1).

Glyphs are outlines in Type 3 fonts, so that any font can be used, none has to be on the machine
that prints, and the text can still be found and copied.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from burnish.label.drawing import Drawing
from burnish.label.fonts import Face
from burnish.label.typesetting import BOX_HEIGHT, BOX_STROKE, BOX_WIDTH, Glyph

_POINTS = 72 / 25.4
#: Codes in one font: a byte each, from 1.
_CODES = 255
#: Units to the em of a font that has the replacement box only.
_UNITS = 1000

_Key = tuple[Face | None, int, str]


@dataclass(slots=True)
class _Type3:
    """A font of up to 255 glyphs of one face."""

    face: Face | None
    codes: dict[_Key, int] = field(default_factory=dict)

    @property
    def units(self) -> int:
        return self.face.units if self.face else _UNITS


def encode(drawing: Drawing, outlines: Iterable[float] = ()) -> bytes:
    """The PDF file; circles of the diameters `outlines` are drawn for proofs only, in mm."""
    fonts: list[_Type3] = []
    content = ["q", f"{_POINTS:.6f} 0 0 {_POINTS:.6f} 0 0 cm"]
    content.append(f"1 0 0 1 {drawing.width / 2:.4f} {drawing.height / 2:.4f} cm")
    for diameter in outlines:
        content.append(_circle(diameter / 2))
    for box in drawing.boxes:
        content.append(_fill(box.colour))
        content.append(f"{box.x:.4f} {box.y:.4f} {box.width:.4f} {box.height:.4f} re f")
    for text in drawing.texts:
        content += [_fill(text.colour), "BT"]
        for glyph in text.line.glyphs:
            number, code = _code(fonts, glyph)
            x, y = text.x + glyph.x * text.size, text.y + glyph.y * text.size
            content.append(f"/F{number} {text.size:.4f} Tf 1 0 0 1 {x:.4f} {y:.4f} Tm")
            content.append(f"<{code:02X}> Tj")
        content.append("ET")
    content.append("Q")
    return _file(drawing, "\n".join(content), fonts)


def _fill(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return f"{red:.3f} {green:.3f} {blue:.3f} rg"


def _circle(radius: float) -> str:
    """A hairline; four curves that differ from a circle by less than 0.03 %."""
    bend = radius * 0.5523
    corners = [(radius, 0.0), (0.0, radius), (-radius, 0.0), (0.0, -radius), (radius, 0.0)]
    path = [f"0.1 w 0.6 G {radius:.4f} 0 m"]
    for (x, y), (to_x, to_y) in pairwise(corners):
        turn = bend / radius
        path.append(
            f"{x - y * turn:.4f} {y + x * turn:.4f} {to_x + to_y * turn:.4f} "
            f"{to_y - to_x * turn:.4f} {to_x:.4f} {to_y:.4f} c"
        )
    return " ".join([*path, "s"])


def _code(fonts: list[_Type3], glyph: Glyph) -> tuple[int, int]:
    """The number of the font that has a glyph for a text, and its code there."""
    key = glyph.face, glyph.number, glyph.text
    room = None
    for number, font in enumerate(fonts):
        if key in font.codes:
            return number, font.codes[key]
        if font.face is glyph.face and len(font.codes) < _CODES:
            room = number
    if room is None:
        room = len(fonts)
        fonts.append(_Type3(glyph.face))
    fonts[room].codes[key] = len(fonts[room].codes) + 1
    return room, len(fonts[room].codes)


@lru_cache(maxsize=2048)
def _procedure(face: Face | None, number: int) -> tuple[int, bytes]:
    """How wide a glyph is, and the operators that draw it (9.6.5), compressed."""
    width, operators = _operators(face, number)
    return width, zlib.compress(operators.encode("ascii"), 9)


def _operators(face: Face | None, number: int) -> tuple[int, str]:
    if face:
        width, path = face.advance(number), face.outline(number)
        ink = face.ink(number) or (0.0, 0.0, 0.0, 0.0)
        box = [
            round(value * face.units + side)
            for value, side in zip(ink, (-1, -1, 1, 1), strict=True)
        ]
        return width, f"{width} 0 {' '.join(map(str, box))} d1\n{path}\n{'f' if path else ''}"
    width, height, stroke = (round(v * _UNITS) for v in (BOX_WIDTH, BOX_HEIGHT, BOX_STROKE))
    inner = f"{2 * stroke} {stroke} {width - 4 * stroke} {height - 2 * stroke} re"
    return width, (
        f"{width} 0 0 0 {width} {height} d1\n{stroke} 0 {width - 2 * stroke} {height} re {inner} f*"
    )


def _font(font: _Type3, write: "_Objects") -> int:
    """Writes a Type 3 font; the number of its object."""
    widths: list[int] = []
    procedures: list[int] = []
    names: list[str] = []
    for _, number, _ in font.codes:
        width, procedure = write.glyph(font, number)
        widths.append(width)
        procedures.append(procedure)
        names.append(f"/g{len(names) + 1}")
    listed = " ".join(f"{name} {at} 0 R" for name, at in zip(names, procedures, strict=True))
    scale = 1 / font.units
    return write.object(
        f"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 0 0] /Resources << >>"
        f" /FontMatrix [{scale:.8f} 0 0 {scale:.8f} 0 0] /CharProcs << {listed} >>"
        f" /Encoding << /Type /Encoding /Differences [1 {' '.join(names)}] >>"
        f" /FirstChar 1 /LastChar {len(names)} /Widths [{' '.join(map(str, widths))}]"
        f" /ToUnicode {write.stream(_to_unicode(font).encode('ascii'))} 0 R >>"
    )


def _to_unicode(font: _Type3) -> str:
    """Which letters each code stands for (9.10.3)."""
    told = [
        f"<{code:02X}> <{text.encode('utf-16-be').hex()}>"
        for (_, _, text), code in font.codes.items()
        if text
    ]
    parts = [told[at : at + 100] for at in range(0, len(told), 100)]
    rows = "\n".join(f"{len(part)} beginbfchar\n{chr(10).join(part)}\nendbfchar" for part in parts)
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CMapName /Burnish def\n/CMapType 2 def\n"
        "1 begincodespacerange\n<00> <FF>\nendcodespacerange\n"
        f"{rows}\nendcmap\nCMapName currentdict /CMap defineresource pop\nend\nend"
    )


class _Objects:
    """Indirect objects, in the order they are written."""

    def __init__(self) -> None:
        self.bytes = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
        self.offsets: list[int] = []

    def object(self, body: str, stream: bytes | None = None) -> int:
        self.offsets.append(len(self.bytes))
        number = len(self.offsets)
        self.bytes += f"{number} 0 obj\n{body}\n".encode("ascii")
        if stream is not None:
            self.bytes += b"stream\n" + stream + b"\nendstream\n"
        self.bytes += b"endobj\n"
        return number

    def stream(self, content: bytes) -> int:
        return self._packed(zlib.compress(content, 9))

    def glyph(self, font: _Type3, number: int) -> tuple[int, int]:
        """How wide a glyph is, and the number of what draws it."""
        width, packed = _procedure(font.face, number)
        return width, self._packed(packed)

    def _packed(self, packed: bytes) -> int:
        return self.object(f"<< /Length {len(packed)} /Filter /FlateDecode >>", packed)


def _file(drawing: Drawing, content: str, fonts: list[_Type3]) -> bytes:
    write = _Objects()
    listed = " ".join(f"/F{n} {_font(font, write)} 0 R" for n, font in enumerate(fonts))
    stream = write.stream(content.encode("ascii"))
    pages = len(write.offsets) + 2
    width, height = drawing.width * _POINTS, drawing.height * _POINTS
    page = write.object(
        f"<< /Type /Page /Parent {pages} 0 R /MediaBox [0 0 {width:.4f} {height:.4f}]"
        f" /Resources << /Font << {listed} >> >> /Contents {stream} 0 R >>"
    )
    write.object(f"<< /Type /Pages /Kids [{page} 0 R] /Count 1 >>")
    root = write.object(f"<< /Type /Catalog /Pages {pages} 0 R >>")
    start = len(write.bytes)
    count = len(write.offsets) + 1
    write.bytes += f"xref\n0 {count}\n0000000000 65535 f \n".encode("ascii")
    for offset in write.offsets:
        write.bytes += f"{offset:010d} 00000 n \n".encode("ascii")
    write.bytes += f"trailer\n<< /Size {count} /Root {root} 0 R >>\n".encode("ascii")
    write.bytes += f"startxref\n{start}\n%%EOF\n".encode("ascii")
    return bytes(write.bytes)
