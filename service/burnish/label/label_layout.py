"""Craft: the layout of a label: rows of text and bars in the areas of a template."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from math import sqrt

from burnish.errors import InvalidValue
from burnish.label.barcode import MODULE_WIDTHS, Barcode, encode_barcode
from burnish.label.drawing import Box, Drawing, PrintedPicture, Text
from burnish.label.fields import LabelContent, label_fields, patient_fields, study_fields
from burnish.label.fonts import Fonts
from burnish.label.ring import DISC, Ring, Side
from burnish.label.template import Area, Row, Template
from burnish.label.typesetting import Line, Typesetter

_BLACK = "#000000"
#: One point in mm.
_POINT = 25.4 / 72
#: Height of a line, and depth of its base line below its top, in em. High letters take more.
_LINE_HEIGHT, _ASCENT = 1.25, 0.95
_DESCENT = _LINE_HEIGHT - _ASCENT
#: Space between the ink of high letters and the edge of their line, in em.
_INK_MARGIN = 0.05
#: Type sizes of an area that are tried, in this order, until its rows fit.
_SCALES = (1.0, 0.92, 0.85, 0.78, 0.7)
#: Factor from one type size of a row to the next smaller one.
_SIZE_STEP = 0.94
#: Text does not go so near to the rim that a line would be shorter than this, in mm.
_SHORTEST_LINE = 30.0
#: Distances in mm: between areas and the band of the hole; between bars and their text.
_AREA_MARGIN, _BARCODE_MARGIN = 1.5, 0.6
_DIVIDER_WIDTH = 0.25
#: No area has room for more patients or studies than this: in any type size; in the smallest, once
#: the area is known to be too small.
_MOST_REPEATED, _MOST_REPEATED_IN_SMALL = 30, 14
#: Margin and type sizes of an address label: mm, and points.
_ADDRESS_MARGIN, _ADDRESS_SIZE, _ADDRESS_MINIMUM, _ADDRESS_STEP = 4.0, 14.0, 6.0, 0.5
#: Tolerance for rounding errors.
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class _RowContent:
    """A row of a template with its text, its bars and their text, or its logo without text.

    A row that is repeated has a text for each patient or study.
    """

    row: Row
    texts: tuple[str, ...]
    bars: Barcode | None = None
    logo: bytes = b""

    def limited(self, limit: int) -> "_RowContent":
        """The row with at most `limit` texts, of which the last says how many more there are."""
        if len(self.texts) <= limit:
            return self
        texts = self.texts[: limit - 1]
        more = self.row.more.replace("{more}", str(len(self.texts) - len(texts)))
        return replace(self, texts=(*texts, more))

    def with_lines(self, most_lines: int) -> "_RowContent":
        """The row with texts of at most `most_lines` lines."""
        lines = min(self.row.lines, most_lines)
        return replace(self, row=self.row.model_copy(update={"lines": lines}))


@dataclass(frozen=True, slots=True)
class _Region:
    """The part of the ring that an area fills: heights in mm from the centre, and the side."""

    ring: Ring
    low: float
    high: float
    side: Side
    align: str

    def room(self, low: float, high: float) -> tuple[float, float]:
        """The left and right end of the room between two heights.

        Beside the hole, rows that are centred have a common axis.
        """
        left, right = self.ring.span(low, high, self.side)
        if self.side != "all" and self.align == "center":
            axis = (self.ring.band + self.ring.reach) / 2 * (-1 if self.side == "left" else 1)
            half = max(0.0, min(axis - left, right - axis))
            return axis - half, axis + half
        return left, right

    def aligned(self, width: float, room: tuple[float, float]) -> float:
        """The left end of something of a certain width."""
        left, right = room
        spare = right - left - width
        return left + spare * {"left": 0.0, "center": 0.5, "right": 1.0}[self.align]

    def contains(self, layout: "_AreaLayout") -> bool:
        return layout.bottom >= self.low - _TOLERANCE


@dataclass(frozen=True, slots=True)
class _AreaLayout:
    """The rows of an area at their places; `bottom` is the height at which they end."""

    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    pictures: tuple[PrintedPicture, ...]
    bottom: float
    shortened: bool


def lay_out_disc(content: LabelContent, template: Template, ring: Ring, fonts: Fonts) -> Drawing:
    """The label of a 120 mm disc."""
    setter = _AreaSetter(Typesetter(fonts))
    band = ring.band
    rim = sqrt(max(0.0, ring.reach**2 - (_SHORTEST_LINE / 2) ** 2))
    areas: list[tuple[Area, Side, float, float]] = [
        (template.top, "all", band + _AREA_MARGIN, rim),
        (template.left, "left", _AREA_MARGIN - band, band - _AREA_MARGIN),
        (template.right, "right", _AREA_MARGIN - band, band - _AREA_MARGIN),
        (template.bottom, "all", -rim, -band - _AREA_MARGIN),
    ]
    texts: list[Text] = []
    boxes: list[Box] = []
    pictures: list[PrintedPicture] = []
    notes: list[str] = []
    shortened = False
    for area, side, low, high in areas:
        rows = list(_rows_with_content(area, content, notes))
        region = _Region(ring, low, high, side, area.align)
        layout = setter.lay_out(rows, region, area.anchor)
        texts += layout.texts
        boxes += layout.boxes
        pictures += layout.pictures
        shortened = shortened or layout.shortened
    if template.divider:
        half_width = sqrt(ring.reach**2 - (band + _DIVIDER_WIDTH) ** 2)
        for y in (band, -band - _DIVIDER_WIDTH):
            boxes.append(Box(-half_width, y, 2 * half_width, _DIVIDER_WIDTH, template.divider))
    return Drawing(DISC, DISC, tuple(texts), tuple(boxes), tuple(pictures), shortened, tuple(notes))


def lay_out_address(text: str, width: float, height: float, fonts: Fonts) -> Drawing:
    """Media Disposition (2200,0004) as a label for an envelope, `width` by `height` mm."""
    typesetter = Typesetter(fonts)

    def wrapped(points: float) -> list[Line]:
        room = (width - 2 * _ADDRESS_MARGIN) / (points * _POINT)
        line_height = points * _POINT * _LINE_HEIGHT
        most_lines = max(1, int((height - 2 * _ADDRESS_MARGIN) / line_height))
        return typesetter.wrapped(text, lambda _: room, most_lines)

    steps = int((_ADDRESS_SIZE - _ADDRESS_MINIMUM) / _ADDRESS_STEP)
    sizes = [_ADDRESS_SIZE - number * _ADDRESS_STEP for number in range(steps + 1)]
    points = next((points for points in sizes if _is_unbroken(wrapped(points))), None)
    if points is None:
        complete = (points for points in sizes if not _is_shortened(wrapped(points)))
        points = next(complete, sizes[-1])
    lines = wrapped(points)
    size = points * _POINT
    top = len(lines) * size * _LINE_HEIGHT / 2
    texts = []
    for number, line in enumerate(lines):
        x = _ADDRESS_MARGIN - width / 2 - line.ink.left * size
        y = top - (number * _LINE_HEIGHT + _ASCENT) * size
        texts.append(Text(line, x, y, size, _BLACK))
    return Drawing(width, height, tuple(texts), (), shortened=_is_shortened(lines))


def _rows_with_content(
    area: Area, content: LabelContent, notes: list[str]
) -> Iterator[_RowContent]:
    """The rows of an area that are not empty; `notes` receives what is wrong with the bar code."""
    fields = label_fields(content)
    for row in area.rows:
        if row.logo:
            if content.logo:
                yield _RowContent(row, ("",), logo=content.logo)
            continue
        if row.barcode:
            if content.barcode_value:
                yield _barcode_row(row, content, fields["barcode_value"], notes)
            continue
        if row.each == "patient":
            repetitions = patient_fields(content)
        elif row.each == "study":
            repetitions = study_fields(content)
        else:
            repetitions = [{}]
        texts = [row.text({**fields, **own_fields}) for own_fields in repetitions]
        if any(texts):
            yield _RowContent(row, tuple(text for text in texts if text))


def _barcode_row(row: Row, content: LabelContent, text: str, notes: list[str]) -> _RowContent:
    try:
        bars = encode_barcode(content.barcode_value, content.barcode_symbology)
    except InvalidValue as error:
        notes.append(str(error))
        return _RowContent(row, (text,))
    return _RowContent(row, (bars.text,), bars)


class _AreaSetter:
    """Puts rows into areas."""

    def __init__(self, typesetter: Typesetter) -> None:
        self._typesetter = typesetter

    def lay_out(self, rows: Sequence[_RowContent], region: _Region, anchor: str) -> _AreaLayout:
        """The rows in the largest type in which they fit; if they do not fit, fewer of them."""
        some_rows = [content.limited(_MOST_REPEATED) for content in rows]
        largest_shortened = None
        for scale in _SCALES:
            layout = self._anchored(some_rows, region, anchor, scale)
            if not region.contains(layout):
                continue
            if not layout.shortened:
                return replace(layout, shortened=some_rows != list(rows))
            largest_shortened = largest_shortened or layout
        if largest_shortened:
            return largest_shortened
        for fewer_rows in _reductions(rows):
            layout = self._anchored(fewer_rows, region, anchor, _SCALES[-1])
            if region.contains(layout):
                return replace(layout, shortened=True)
        return _AreaLayout((), (), (), region.low, shortened=True)

    def _anchored(
        self, rows: Sequence[_RowContent], region: _Region, anchor: str, scale: float
    ) -> _AreaLayout:
        at_top = self._flow(rows, region, region.high, scale)
        spare = max(0.0, at_top.bottom - region.low)
        share = {"top": 0.0, "middle": 0.5, "bottom": 1.0}[anchor]
        best = at_top
        # If text is shortened at its anchor, try the lowest place: lines above the hole are wider.
        for offset in (spare * share, spare):
            moved = self._flow(rows, region, region.high - offset, scale)
            if not region.contains(moved):
                continue
            if not moved.shortened:
                return moved
            if best is at_top:
                best = moved
        return best

    def _flow(
        self, rows: Sequence[_RowContent], region: _Region, top: float, scale: float
    ) -> _AreaLayout:
        """The rows from `top` downwards; all texts of a row have the size of the smallest."""
        sizes: dict[int, float] = {}
        while True:
            layout, needed_sizes = self._flow_once(rows, region, top, scale, sizes)
            if needed_sizes == sizes:
                return layout
            sizes = needed_sizes

    def _flow_once(
        self,
        rows: Sequence[_RowContent],
        region: _Region,
        top: float,
        scale: float,
        sizes: dict[int, float],
    ) -> tuple[_AreaLayout, dict[int, float]]:
        """The rows, with repeated ones no larger than `sizes`, and the sizes that those need.

        Sizes are given by the number of the row.
        """
        needed_sizes = dict(sizes)
        texts: list[Text] = []
        boxes: list[Box] = []
        pictures: list[PrintedPicture] = []
        shortened = False
        y = top
        for number, content in enumerate(rows):
            row = content.row
            largest = min(row.size * scale * _POINT, sizes.get(number, row.size * _POINT))
            for text in content.texts:
                if texts or boxes or pictures:
                    y -= row.space * scale
                if content.logo:
                    picture = _placed_logo(content.logo, row, region, y, scale)
                    pictures.append(picture)
                    y = picture.y
                    continue
                if content.bars:
                    bars = self._bars(content.bars, row, region, y)
                    if bars:
                        boxes += bars
                        y -= row.height + _BARCODE_MARGIN
                    else:
                        shortened = True
                lines, size = self._row_lines(row, text, region, y, largest)
                if lines and len(content.texts) > 1:
                    needed_sizes[number] = min(needed_sizes.get(number, size), size)
                placed, y = _placed_below(lines, size, row.colour, region, y)
                texts += placed
                shortened = shortened or not _is_complete(lines)
        layout = _AreaLayout(tuple(texts), tuple(boxes), tuple(pictures), y, shortened)
        return layout, needed_sizes

    def _row_lines(
        self, row: Row, text: str, region: _Region, top: float, largest: float
    ) -> tuple[list[Line], float]:
        """The lines of a text that begins at `top`, and their size in mm, at most `largest`."""
        smallest = min(row.minimum, row.size) * _POINT
        size = max(largest, smallest)
        lines = self._wrapped(row, text, region, top, size)
        if _is_unbroken(lines):
            return lines, size
        smallest_lines = self._wrapped(row, text, region, top, smallest)
        if not _is_complete(smallest_lines):
            return smallest_lines, smallest
        # smaller type is better than a broken word, if it avoids that
        is_good = _is_unbroken if _is_unbroken(smallest_lines) else _is_complete
        while not is_good(lines):
            size = max(smallest, size * _SIZE_STEP)
            lines = self._wrapped(row, text, region, top, size)
        return lines, size

    def _wrapped(self, row: Row, text: str, region: _Region, top: float, size: float) -> list[Line]:
        """The lines of a text in a certain size, as far as the region has room for them."""
        # The whole text as one line: its highest letters decide how far the lines are apart.
        probe = self._typesetter.line(text[:200].replace("\n", " "), bold=row.bold)
        line_height = size * (
            max(_ASCENT, probe.ink.top + _INK_MARGIN)
            + max(_DESCENT, _INK_MARGIN - probe.ink.bottom)
        )

        def room(number: int) -> float:
            line_top = top - number * line_height
            left, right = region.room(line_top - line_height, line_top)
            return max(0.0, right - left) / size

        lines = self._typesetter.wrapped(text, room, row.lines, bold=row.bold)
        fitting = [
            line for number, line in enumerate(lines) if line.ink_width <= room(number) + _TOLERANCE
        ]
        if fitting and len(fitting) < len(lines):
            fitting[-1] = replace(fitting[-1], shortened=True)
        return fitting

    def _bars(self, barcode: Barcode, row: Row, region: _Region, top: float) -> list[Box]:
        """The bars below `top`; none if even the narrowest modules do not fit."""
        bottom = top - row.height
        left, right = region.room(bottom, top)
        for module_width in MODULE_WIDTHS:
            width = barcode.width * module_width
            if width <= right - left:
                x = region.aligned(width, (left, right))
                return [
                    Box(x + start * module_width, bottom, bar * module_width, row.height, _BLACK)
                    for start, bar in barcode.bars()
                ]
        return []


def _placed_logo(
    logo: bytes, row: Row, region: _Region, top: float, scale: float
) -> PrintedPicture:
    """A logo below `top`, as high as its row says if that is not too wide there."""
    from PIL import Image

    with Image.open(BytesIO(logo)) as opened:
        columns, rows = opened.size
    height = row.height * scale
    left, right = region.room(top - height, top)
    width = height * columns / rows
    if width > right - left:
        width = max(0.0, right - left)
        height = width * rows / columns
    x = region.aligned(width, (left, right))
    return PrintedPicture(x, top - height, width, height, logo, columns, rows)


def _is_shortened(lines: Sequence[Line]) -> bool:
    return any(line.shortened for line in lines)


def _is_complete(lines: Sequence[Line]) -> bool:
    """Whether a row has all of its text; without any room it has no lines."""
    return len(lines) > 0 and not _is_shortened(lines)


def _is_unbroken(lines: Sequence[Line]) -> bool:
    """Whether a row has all of its text, and no word of it goes over two lines."""
    return _is_complete(lines) and not any(line.breaks_word for line in lines)


def _placed_below(
    lines: Sequence[Line], size: float, colour: str, region: _Region, top: float
) -> tuple[list[Text], float]:
    """The lines at their places below `top`, and the height at which they end."""
    texts = []
    y = top
    for line in lines:
        y -= max(_ASCENT, line.ink.top + _INK_MARGIN) * size
        room = region.room(y + line.ink.bottom * size, y + line.ink.top * size)
        x = region.aligned(line.ink_width * size, room) - line.ink.left * size
        texts.append(Text(line, x, y, size, colour))
        y -= max(_DESCENT, _INK_MARGIN - line.ink.bottom) * size
    return texts, y


def _reductions(rows: Sequence[_RowContent]) -> Iterator[list[_RowContent]]:
    """Less and less of the rows: fewer repetitions, then fewer lines, then fewer rows."""
    fewer = list(rows)
    most_texts = max((len(content.texts) for content in rows), default=0)
    for limit in range(min(most_texts - 1, _MOST_REPEATED_IN_SMALL), 0, -1):
        fewer = [content.limited(limit) for content in rows]
        yield fewer
    for most_lines in (3, 2, 1):
        fewer = [content.with_lines(most_lines) for content in fewer]
        yield fewer
    while fewer:
        fewer = fewer[:-1]
        yield fewer
