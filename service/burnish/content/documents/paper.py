"""Craft: lines on paper in millimetres, as SVG and as a JPEG picture."""

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from burnish.content.xhtml_text import escaped

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

#: Lines with gaps between them: points in millimetres, from the upper left corner.
Curve = list[list[tuple[float, float]]]

_INK, _BACKGROUND = "#101830", "#fffafa"
_SMALL_GRID, _LARGE_GRID = "#f6c4c4", "#e39a9a"
#: Distance of the grid from the edges, and from the lower edge, where the foot is.
_MARGIN, _BELOW = 2.0, 7.0
#: Pixels of a picture for a millimetre, and the most pixels that it is wide.
_PIXELS_PER_MM, _WIDEST = 6.0, 3200
_QUALITY = 75


@dataclass(slots=True)
class PaperDrawing:
    """Curves, and titles at their places (the left end of the base line), on paper of this size."""

    width: float
    height: float
    curves: list[Curve] = field(default_factory=list)
    titles: list[tuple[tuple[float, float], str]] = field(default_factory=list)
    foot: str = ""


def to_svg(drawing: PaperDrawing) -> str:
    """The drawing as an SVG file."""
    parts = [_svg_paper(drawing.width, drawing.height)]
    parts += [f'<path class="s" d="{_svg_path(curve)}"/>\n' for curve in drawing.curves]
    parts += [
        f'<text x="{x:.1f}" y="{y:.1f}" class="n">{escaped(title)}</text>\n'
        for (x, y), title in drawing.titles
    ]
    parts.append(f'<text x="4" y="{drawing.height - 3:.1f}" class="f">')
    parts.append(f"{escaped(drawing.foot)}</text>\n</svg>\n")
    return "".join(parts)


def _svg_path(curve: Curve) -> str:
    """The path of a curve, in hundredths of a millimetre relative to one another."""
    parts = []
    for line in curve:
        (x, y), *others = [(round(x * 100), round(y * 100)) for x, y in line]
        parts.append(f"M{x / 100:g} {y / 100:g}l0 0")
        for next_x, next_y in others:
            parts.append(f"{(next_x - x) / 100:g} {(next_y - y) / 100:g}")
            x, y = next_x, next_y
    return " ".join(parts)


def _svg_paper(width: float, height: float) -> str:
    """The beginning of an SVG file: its size, and paper with lines each 1 and 5 mm."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} {height:.1f}" '
        f'width="{width:.1f}mm" height="{height:.1f}mm">\n<defs>'
        '<pattern id="s" width="1" height="1" patternUnits="userSpaceOnUse">'
        f'<path d="M1 0H0V1" fill="none" stroke="{_SMALL_GRID}" stroke-width=".08"/></pattern>'
        '<pattern id="b" width="5" height="5" patternUnits="userSpaceOnUse">'
        '<rect width="5" height="5" fill="url(#s)"/>'
        f'<path d="M5 0H0V5" fill="none" stroke="{_LARGE_GRID}" stroke-width=".18"/></pattern>'
        f"<style>.s{{fill:none;stroke:{_INK};stroke-width:.25;stroke-linejoin:round}}"
        f"text{{font-family:sans-serif;fill:{_INK}}}.n{{font-size:3.2px;font-weight:bold}}"
        ".f{font-size:3px}</style></defs>\n"
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="{_BACKGROUND}"/>'
        f'<rect x="{_MARGIN:g}" y="{_MARGIN:g}" width="{width - 2 * _MARGIN:.1f}" '
        f'height="{height - _MARGIN - _BELOW:.1f}" fill="url(#b)"/>\n'
    )


def to_jpeg(drawing: PaperDrawing) -> bytes:
    """The drawing as a JPEG picture."""
    from PIL import Image, ImageDraw, ImageFont

    scale = min(_PIXELS_PER_MM, _WIDEST / drawing.width)
    size = (round(drawing.width * scale), round(drawing.height * scale))
    picture = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(picture)
    _draw_grid(draw, drawing, scale)
    stroke = max(2, round(0.3 * scale))
    for curve in drawing.curves:
        for line in curve:
            draw.line([(x * scale, y * scale) for x, y in line], _INK, stroke, joint="curve")
    font = ImageFont.load_default(3.2 * scale)
    for (x, y), title in drawing.titles:
        draw.text((x * scale, y * scale), _drawable(title), _INK, font, anchor="ls")
    place = (4 * scale, (drawing.height - 3) * scale)
    draw.text(place, _drawable(drawing.foot), _INK, font, anchor="ls")
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()


def _drawable(text: str) -> str:
    """A text with the characters that the font of Pillow has."""
    return "".join(character if ord(character) < 0x250 else "?" for character in text)


def _draw_grid(draw: "ImageDraw", drawing: PaperDrawing, scale: float) -> None:
    """Lines each 1 and 5 mm; where millimetres are too close together, each 5 mm only."""
    right, bottom = drawing.width - _MARGIN, drawing.height - _BELOW
    steps = [(1, _SMALL_GRID), (5, _LARGE_GRID)] if scale >= 3 else [(5, _LARGE_GRID)]
    for step, colour in steps:
        for number in range(int((right - _MARGIN) // step) + 1):
            x = (_MARGIN + number * step) * scale
            draw.line([(x, _MARGIN * scale), (x, bottom * scale)], colour)
        for number in range(int((bottom - _MARGIN) // step) + 1):
            y = (_MARGIN + number * step) * scale
            draw.line([(_MARGIN * scale, y), (right * scale, y)], colour)
