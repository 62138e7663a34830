"""Craft: lays a label out: fills the areas of a template within the printable ring."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt

from burnish.errors import InvalidValue
from burnish.label import fields as said
from burnish.label.barcode import MODULES, Barcode, barcode
from burnish.label.drawing import Box, Drawing, Text
from burnish.label.fields import LabelContent
from burnish.label.fonts import Fonts
from burnish.label.ring import DISC, Ring, Side
from burnish.label.template import Area, Row, Template
from burnish.label.typesetting import Line, Typesetter

#: Millimetres of one point.
POINT = 25.4 / 72
#: Height of a line, and how far its base is below its top, in em.
_LEADING, _ASCENT = 1.25, 0.95
#: How much smaller all type of an area gets, step by step, until its rows fit.
_SCALES = (1.0, 0.92, 0.85, 0.78, 0.7)
#: A line that has less room than this, in mm, is not begun.
_NARROWEST = 30.0
_DIVIDER = 0.25
#: No area has room for more patients or studies than this.
_MOST = 30


@dataclass(frozen=True, slots=True)
class _Item:
    """A row with what it says; `bars` of the bar code. `group` numbers rows of one `each`.

    It stands for `count` of those.
    """

    row: Row
    text: str = ""
    bars: Barcode | None = None
    group: int = -1
    count: int = 1


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an area is: heights in mm from the centre, and on which side of the hole."""

    ring: Ring
    low: float
    high: float
    side: Side
    align: str

    def room(self, low: float, high: float) -> tuple[float, float]:
        """From where to where there is room between two heights.

        Centred rows beside the hole have one axis.
        """
        left, right = self.ring.span(low, high, self.side)
        if self.side != "all" and self.align == "center":
            axis = (self.ring.band + self.ring.reach) / 2 * (-1 if self.side == "left" else 1)
            half = max(0.0, min(axis - left, right - axis))
            return axis - half, axis + half
        return left, right

    def aligned(self, width: float, room: tuple[float, float]) -> float:
        """The left end of something so wide."""
        left, right = room
        spare = right - left - width
        return left + spare * {"left": 0.0, "center": 0.5, "right": 1.0}[self.align]


@dataclass(frozen=True, slots=True)
class _Laid:
    """What became of the rows of an area, and how low they come."""

    texts: tuple[Text, ...]
    boxes: tuple[Box, ...]
    end: float
    cut: bool


def disc(content: LabelContent, template: Template, ring: Ring, fonts: Fonts) -> Drawing:
    """The label of a 120 mm disc."""
    setter = _Setter(Typesetter(fonts))
    band, rim = ring.band, sqrt(max(0.0, ring.reach**2 - (_NARROWEST / 2) ** 2))
    air = 1.5
    places: list[tuple[Area, Side, float, float]] = [
        (template.top, "all", band + air, rim),
        (template.left, "left", air - band, band - air),
        (template.right, "right", air - band, band - air),
        (template.bottom, "all", -rim, -band - air),
    ]
    texts: list[Text] = []
    boxes: list[Box] = []
    notes: list[str] = []
    shortened = False
    for area, side, low, high in places:
        items = list(_items(area, content, notes))
        laid = setter.area(items, _Place(ring, low, high, side, area.align), area.anchor)
        texts += laid.texts
        boxes += laid.boxes
        shortened = shortened or laid.cut
    if template.divider:
        half = sqrt(ring.reach**2 - (band + _DIVIDER) ** 2)
        for y in (band, -band - _DIVIDER):
            boxes.append(Box(-half, y, 2 * half, _DIVIDER, template.divider))
    return Drawing(DISC, DISC, tuple(texts), tuple(boxes), shortened, tuple(notes))


def address(text: str, width: float, height: float, fonts: Fonts) -> Drawing:
    """Media Disposition (2200,0004) as a label to stick on an envelope, so large in mm."""
    setter = Typesetter(fonts)
    margin, size, lines = 4.0, 14.0, []
    while size >= 6:
        em = size * POINT
        most = max(1, int((height - 2 * margin) / (em * _LEADING)))
        lines = setter.wrapped(text, lambda _, em=em: (width - 2 * margin) / em, most)  # type: ignore[misc]
        if not _is_cut(lines):
            break
        size -= 0.5
    em = max(size, 6.0) * POINT
    top = len(lines) * em * _LEADING / 2
    texts = [
        Text(
            line,
            margin - width / 2 - line.left * em,
            top - (n * _LEADING + _ASCENT) * em,
            em,
            "#000000",
        )
        for n, line in enumerate(lines)
    ]
    return Drawing(width, height, tuple(texts), (), _is_cut(lines))


def _items(area: Area, content: LabelContent, notes: list[str]) -> Iterator[_Item]:
    """The rows that have something to say."""
    whole = said.fields(content)
    for number, row in enumerate(area.rows):
        if row.barcode:
            if content.barcode_value:
                try:
                    bars = barcode(content.barcode_value, content.barcode_symbology)
                    yield _Item(row, bars.text, bars)
                except InvalidValue as error:
                    notes.append(str(error))
                    yield _Item(row, whole["barcode_value"])
            continue
        told = said.each(content, row.each) if row.each else [whole]
        texts = [row.text({**whole, **fields}) for fields in told]
        yield from (_Item(row, text, group=number if row.each else -1) for text in texts if text)


class _Setter:
    """Puts rows into areas."""

    def __init__(self, typesetter: Typesetter) -> None:
        self._set = typesetter

    def area(self, items: Sequence[_Item], place: _Place, anchor: str) -> _Laid:
        """The rows as large as they fit; where they do not, fewer of them."""
        whole, items = items, list(_limited(items, _MOST))
        fitting = None
        for scale in _SCALES:
            laid = self._anchored(items, place, anchor, scale)
            if laid.end >= place.low - 1e-6:
                if not laid.cut:
                    return replace(laid, cut=len(items) < len(whole))
                fitting = fitting or laid
        if fitting:
            return fitting
        for fewer in _fewer(items):
            laid = self._anchored(fewer, place, anchor, _SCALES[-1])
            if laid.end >= place.low - 1e-6:
                return replace(laid, cut=True)
        return _Laid((), (), place.low, cut=True)

    def _anchored(self, items: Sequence[_Item], place: _Place, anchor: str, scale: float) -> _Laid:
        laid = self._flow(items, place, place.high, scale)
        spare = max(0.0, laid.end - place.low)
        share = {"top": 0.0, "middle": 0.5, "bottom": 1.0}[anchor]
        fitting = laid
        # where they are wanted; else as near to the hole as there is room, where lines are wider
        for down in (spare * share, spare):
            moved = self._flow(items, place, place.high - down, scale)
            if moved.end >= place.low - 1e-6:
                if not moved.cut:
                    return moved
                fitting = moved if fitting is laid else fitting
        return fitting

    def _flow(self, items: Sequence[_Item], place: _Place, start: float, scale: float) -> _Laid:
        """The rows from `start` downwards; those of one group are of one size."""
        sizes: dict[int, float] = {}
        while True:
            laid, found = self._once(items, place, start, scale, sizes)
            if found == sizes:
                return laid
            sizes = found

    def _once(
        self,
        items: Sequence[_Item],
        place: _Place,
        start: float,
        scale: float,
        sizes: dict[int, float],
    ) -> tuple[_Laid, dict[int, float]]:
        """The rows, those of a group not larger than `sizes` has it; and how large they came."""
        found = dict(sizes)
        texts: list[Text] = []
        boxes: list[Box] = []
        cut = False
        y = start
        for item in items:
            y -= item.row.space * scale if texts or boxes else 0
            if item.bars:
                bars = self._bars(item.bars, item.row, place, y)
                boxes += bars
                cut = cut or not bars
                y -= item.row.height + 0.6 if bars else 0
            largest = sizes.get(item.group, item.row.size * POINT)
            row = self._lines(item, place, y, min(largest, item.row.size * scale * POINT))
            for line, size in row:
                if item.group >= 0:
                    found[item.group] = min(found.get(item.group, size), size)
                y -= max(_ASCENT, line.top + 0.05) * size
                room = place.room(y + line.bottom * size, y + line.top * size)
                x = place.aligned(line.extent * size, room) - line.left * size
                texts.append(Text(line, x, y, size, item.row.colour))
                y -= max(_LEADING - _ASCENT, 0.05 - line.bottom) * size
            cut = cut or not row or _is_cut([line for line, _ in row])
        return _Laid(tuple(texts), tuple(boxes), y, cut), found

    def _lines(
        self, item: _Item, place: _Place, y: float, largest: float
    ) -> list[tuple[Line, float]]:
        """The lines of a row that begins at `y`, and their size in mm, `largest` at most."""
        smallest = min(item.row.minimum, item.row.size) * POINT
        size = max(largest, smallest)
        lines = self._wrapped(item, place, y, size)
        least = lines
        if size > smallest and _is_cut(lines):
            least = self._wrapped(item, place, y, smallest)
        if _is_cut(least):
            return [(line, smallest) for line in least]
        while _is_cut(lines):
            size = max(smallest, size * 0.94)
            lines = self._wrapped(item, place, y, size)
        return [(line, size) for line in lines]

    def _wrapped(self, item: _Item, place: _Place, y: float, size: float) -> list[Line]:
        # a line of ordinary letters; higher ones have less room where a ring narrows
        probe = self._set.line(item.text[:200].replace("\n", " "), bold=item.row.bold)
        above, below = max(_ASCENT, probe.top + 0.05), max(_LEADING - _ASCENT, 0.05 - probe.bottom)

        def width(number: int) -> float:
            top = y - number * (above + below) * size
            left, right = place.room(top - (above + below) * size, top)
            return max(0.0, right - left) / size

        lines = self._set.wrapped(item.text, width, item.row.lines, bold=item.row.bold)
        return [line for number, line in enumerate(lines) if line.extent <= width(number) + 1e-6]

    def _bars(self, bars: Barcode, row: Row, place: _Place, y: float) -> list[Box]:
        """The bars below `y`; none where even the narrowest do not fit."""
        low = y - row.height
        room = place.room(low, y)
        for module in MODULES:
            width = bars.width * module
            if width <= room[1] - room[0]:
                x = place.aligned(width, room)
                return [
                    Box(x + at * module, low, wide * module, row.height, "#000000")
                    for at, wide in bars.bars()
                ]
        return []


def _is_cut(lines: Sequence[Line]) -> bool:
    return any(line.cut for line in lines)


def _fewer(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """Less and less of the rows: of repeated ones, of long ones, then of the last."""
    groups = {item.group for item in items if item.group >= 0}
    most = max((sum(item.group == group for item in items) for group in groups), default=0)
    kept = list(items)
    for limit in [*range(min(most - 1, 14), 0, -1)]:
        kept = list(_limited(items, limit))
        yield kept
    for lines in (3, 2, 1):
        kept = [
            replace(item, row=item.row.model_copy(update={"lines": min(item.row.lines, lines)}))
            for item in kept
        ]
        yield kept
    while kept:
        kept = kept[:-1]
        yield kept


def _limited(items: Sequence[_Item], limit: int) -> Iterator[_Item]:
    """At most so many rows of each group, the last of which says how many more there are."""
    seen: dict[int, int] = {}
    groups: dict[int, list[_Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    for item in items:
        group = groups[item.group]
        seen[item.group] = seen.get(item.group, 0) + 1
        if item.group < 0 or seen[item.group] < limit or len(group) <= limit:
            yield item
        elif seen[item.group] == limit:
            more = sum(one.count for one in group[limit - 1 :])
            text = item.row.more.replace("{more}", str(more))
            yield replace(item, text=text, count=more)
