"""Surface: writes a statement as PDF: A4 with contents, bookmarks, links and page numbers."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from burnish.conformance.document import (
    CONTENTS,
    Block,
    Bullets,
    Figure,
    FigureArrow,
    FigureBox,
    Paragraph,
    Section,
    Statement,
    StatementTable,
)
from burnish.conformance.html import label_lines
from burnish.conformance.inline import runs

# Lengths are in millimetres, sizes of type in points.
_LEFT, _RIGHT, _TOP, _BOTTOM = 20.0, 18.0, 22.0, 20.0
_WIDTH, _HEIGHT = 210.0, 297.0
_TEXT_WIDTH = _WIDTH - _LEFT - _RIGHT
_MM_PER_POINT = 25.4 / 72
_BODY, _SMALL, _TINY = 9.5, 8.0, 7.4
_LINE = 1.42
#: Red, green and blue, 0 to 255.
_Colour = tuple[int, int, int]
_INK, _SOFT, _ACCENT, _RULE, _TINT = (
    (28, 36, 48),
    (90, 102, 117),
    (11, 83, 148),
    (205, 212, 221),
    (240, 244, 248),
)
_HEADING_SIZES = {1: 18.0, 2: 14.0, 3: 12.0}
_PADDING = 1.4
#: The page behind the cover.
_PAGE_OF_CONTENTS = 2
#: Where the lines of the contents begin below their heading, and the space above a chapter.
_TOP_OF_CONTENTS, _ABOVE_CHAPTER = _TOP + 14, 1.6
#: Possible distances of the lines of the contents, in sizes of type; and the fewest lines that may
#: stand on their last page.
_SPACINGS, _FEWEST_LINES = (1.45, 1.4, 1.35, 1.3), 5
#: A column is at least as wide as its longest word, but not wider than this for that.
_LONGEST_WORD = 60.0
#: A row that is taller than this begins on the page where it is, and goes on on the next.
_TALL_ROW = 60.0
#: The least space that must be left for a heading with the text below it, or with a table.
_WITH_TEXT, _WITH_TABLE = 28.0, 50.0
_FONTS = {"plain": "notos", "strong": "notosbo", "code": "ubuntm"}
#: Where a word that is too long may be divided.
_DIVIDERS = "./-_,:+\\"
_SPACE, _CODE_DIVIDERS = re.compile(" "), re.compile(r" |(?<=[._/])")


class _Word(NamedTuple):
    """A word in one style, with the space before it."""

    text: str
    style: str
    space: bool


_TextLine = list[tuple[str, str, float]]


def write_pdf(statement: Statement) -> bytes:
    """The whole document. It is laid out twice: first to know the page of each section."""
    with TemporaryDirectory() as folder:
        fonts = _font_files(Path(folder))
        with closing(_Writer(statement, fonts, {})) as draft:
            pages = draft.lay_out()
        with closing(_Writer(statement, fonts, pages)) as writer:
            writer.lay_out()
            return writer.encode()


def _size_in_contents(section: Section) -> float:
    """The size of the line of a section, in points."""
    return 9.5 if section.level == 1 else 8.5


def _spacing_of_contents(sections: Sequence[Section]) -> float:
    """The widest line spacing with which the contents leave no few lines alone on a page."""
    for spacing in _SPACINGS:
        pages, lines, y = 1, 0, _TOP_OF_CONTENTS
        for section in sections:
            step = _size_in_contents(section) * _MM_PER_POINT * spacing
            if _HEIGHT - _BOTTOM - y < step + 2:
                pages, lines, y = pages + 1, 0, _TOP
            y += step + (_ABOVE_CHAPTER if section.level == 1 else 0)
            lines += 1
        if pages == 1 or lines >= _FEWEST_LINES:
            return spacing
    return _SPACINGS[0]


class _Writer:
    """Lays out a statement on pages, from top to bottom."""

    def __init__(
        self, statement: Statement, fonts: Mapping[str, Path], pages: Mapping[str, int]
    ) -> None:
        self._statement = statement
        self._pdf = _new_document(statement, fonts)
        self._known_pages = pages
        self._y = _TOP
        self._tables = self._figures = 0
        self._links = {section.number: self._pdf.add_link() for section in statement.sections}
        self._widths: Callable[[str, str, float], float] = lru_cache(maxsize=65536)(self._measure)

    def lay_out(self) -> dict[str, int]:
        """Writes all pages; returns the page of each section by its number."""
        self._cover()
        self._contents()
        return self._body()

    def encode(self) -> bytes:
        """The file."""
        return bytes(self._pdf.output())

    def close(self) -> None:
        """Closes the files of the fonts, which fpdf2 leaves open."""
        for font in self._pdf.fonts.values():
            font.ttfont.close()

    # --- pages ---

    def _add_page(self) -> None:
        self._pdf.add_page()
        self._y = _TOP
        if self._pdf.page > 1:
            self._text(
                _LEFT, 12, f"{self._statement.title} · {self._statement.subtitle}", 7.5, _SOFT
            )
            number = str(self._pdf.page)
            x = _WIDTH - _RIGHT - self._widths(number, "plain", 8)
            self._text(x, _HEIGHT - 10, number, 8, _SOFT)
            self._rule(14.5)

    def _rule(self, y: float, start: float = _LEFT) -> None:
        self._pdf.set_draw_color(*_RULE)
        self._pdf.set_line_width(0.2)
        self._pdf.line(start, y, _WIDTH - _RIGHT, y)

    def _room(self) -> float:
        return _HEIGHT - _BOTTOM - self._y

    def _need(self, height: float) -> None:
        if self._room() < height:
            self._add_page()

    # --- text ---

    def _measure(self, text: str, style: str, size: float) -> float:
        self._pdf.set_font(style, size=size)
        return float(self._pdf.get_string_width(text))

    def _text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        colour: _Colour = _INK,
        *,
        style: str = "plain",
    ) -> None:
        self._pdf.set_font(style, size=size)
        self._pdf.set_text_color(*colour)
        self._pdf.text(x, y, text)

    def _wrap(self, text: str, size: float, width: float) -> list[_TextLine]:
        """The lines of a text, each with its pieces: text, style and x from the left edge."""
        lines: list[_TextLine] = [[]]
        x = 0.0
        for word in self._words(text, size, width):
            space = self._widths(" ", "plain", size) if word.space and x else 0.0
            length = self._widths(word.text, word.style, size)
            if x and x + space + length > width + 0.01:
                lines.append([])
                x, space = 0.0, 0.0
            lines[-1].append((word.text, word.style, x + space))
            x += space + length
        return lines

    def _words(self, text: str, size: float, width: float) -> Iterator[_Word]:
        for run in runs(text):
            pieces = run.text.split(" ")
            for number, piece in enumerate(pieces):
                if piece:
                    yield from self._parts(piece, run.style, number > 0, size, width)
                elif number == len(pieces) - 1 and number:
                    yield _Word("", run.style, True)

    def _parts(
        self, piece: str, style: str, space: bool, size: float, width: float
    ) -> Iterator[_Word]:
        """A word, in parts that fit the width."""
        while self._widths(piece, style, size) > width and len(piece) > 1:
            count = len(piece)
            while count > 1 and self._widths(piece[:count], style, size) > width:
                count -= 1
            divider = max(piece.rfind(sign, 0, count) for sign in _DIVIDERS) + 1
            count = divider if divider > 3 else count
            yield _Word(piece[:count], style, space)
            piece, space = piece[count:], False
        yield _Word(piece, style, space)

    def _put_lines(
        self,
        lines: Iterable[_TextLine],
        x: float,
        y: float,
        size: float,
        *,
        colour: _Colour = _INK,
        style: str = "",
    ) -> None:
        step = size * _MM_PER_POINT * _LINE
        baseline = y + size * _MM_PER_POINT * 1.05
        for line in lines:
            for text, piece_style, offset in line:
                if text:
                    self._text(x + offset, baseline, text, size, colour, style=style or piece_style)
            baseline += step

    # --- cover and contents ---

    def _cover(self) -> None:
        self._add_page()
        self._pdf.set_fill_color(*_ACCENT)
        self._pdf.rect(0, 0, 8, _HEIGHT, "F")
        self._text(_LEFT + 8, 90, self._statement.title, 28, _INK, style="strong")
        self._text(_LEFT + 8, 104, self._statement.subtitle, 18, _ACCENT)
        y = 130.0
        for name, value in self._statement.cover:
            self._text(_LEFT + 8, y, name, 10, _SOFT)
            lines = self._wrap(value, 10, 100)
            self._put_lines(lines, _LEFT + 65, y - 10 * _MM_PER_POINT * 1.05, 10)
            y += 10 * _MM_PER_POINT * _LINE * len(lines) + 3
        self._text(
            _LEFT + 8,
            270,
            "Conforms to the template of DICOM PS3.2. Not a medical device.",
            9,
            _SOFT,
        )

    def _contents(self) -> None:
        self._add_page()
        self._text(_LEFT, _TOP + 6, "Table of Contents", 18, _INK, style="strong")
        self._y = _TOP_OF_CONTENTS
        spacing = _spacing_of_contents(self._statement.sections)
        for section in self._statement.sections:
            self._contents_line(section, self._known_pages.get(section.number, 0), spacing)

    def _contents_line(self, section: Section, page: int, spacing: float) -> None:
        is_chapter = section.level == 1
        size = _size_in_contents(section)
        step = size * _MM_PER_POINT * spacing
        self._need(step + 2)
        if is_chapter:
            self._y += _ABOVE_CHAPTER
        x = _LEFT + (section.level - 1) * 4
        style = "strong" if is_chapter else "plain"
        text = f"{section.number}  {section.title}"
        baseline = self._y + size * _MM_PER_POINT
        self._text(x, baseline, text, size, _INK, style=style)
        number = str(page)
        end = _WIDTH - _RIGHT - self._widths(number, "plain", size)
        self._text(end, baseline, number, size, _INK)
        self._dots(x + self._widths(text, style, size) + 2, end - 2, baseline)
        if page:
            link = self._links[section.number]
            self._pdf.set_link(link, page=page)
            self._pdf.link(x, self._y, _WIDTH - _RIGHT - x, step, link)
        self._y += step

    def _dots(self, start: float, end: float, y: float) -> None:
        self._pdf.set_draw_color(*_RULE)
        self._pdf.set_line_width(0.2)
        self._pdf.set_dash_pattern(0.3, 1.2)
        if end > start:
            self._pdf.line(start, y - 0.2, end, y - 0.2)
        self._pdf.set_dash_pattern()

    # --- body ---

    def _body(self) -> dict[str, int]:
        """Writes all sections; returns the page of each."""
        pages = {}
        self._add_page()
        for section in self._statement.sections:
            if section.title == CONTENTS:
                pages[section.number] = _PAGE_OF_CONTENTS
                continue
            self._heading(section)
            pages[section.number] = int(self._pdf.page)
            for block in section.blocks:
                self._block(block)
        return pages

    def _heading(self, section: Section) -> None:
        size = _HEADING_SIZES.get(section.level, 10.5)
        is_at_top = self._y == _TOP
        if section.level == 1 and not is_at_top:
            self._add_page()
        else:
            self._need(_room_below(section))
        if self._y > _TOP:
            self._y += 3.5 if section.level > 2 else 6
        lines = self._wrap(f"**{section.number}  {section.title}**", size, _TEXT_WIDTH)
        self._pdf.set_link(self._links[section.number], y=self._y, page=self._pdf.page)
        self._pdf.set_y(self._y)
        self._pdf.start_section(
            f"{section.number} {section.title}", section.level - 1, strict=False
        )
        self._put_lines(
            lines,
            _LEFT,
            self._y,
            size,
            colour=_ACCENT if section.level == 1 else _INK,
            style="strong",
        )
        self._y += size * _MM_PER_POINT * _LINE * len(lines) + 1.5

    def _block(self, block: Block) -> None:
        if isinstance(block, Paragraph):
            self._paragraph(block.text, _LEFT, _TEXT_WIDTH)
            self._y += 1.8
        elif isinstance(block, Bullets):
            for item in block.items:
                self._bullet(item)
            self._y += 1.2
        elif isinstance(block, StatementTable):
            self._tables += 1
            self._table(block)
        else:
            self._figures += 1
            self._figure(block)

    def _paragraph(self, text: str, x: float, width: float) -> None:
        """Text that may go on on the next page, never with a single line."""
        lines = self._wrap(text, _BODY, width)
        step = _BODY * _MM_PER_POINT * _LINE
        while lines:
            count = int(self._room() / step)
            if count < min(2, len(lines)):
                self._add_page()
                continue
            if count == len(lines) - 1 and count > 2:
                count -= 1
            self._put_lines(lines[:count], x, self._y, _BODY)
            self._y += step * len(lines[:count])
            lines = lines[count:]

    def _bullet(self, text: str) -> None:
        self._need(2 * _BODY * _MM_PER_POINT * _LINE)
        self._pdf.set_fill_color(*_ACCENT)
        self._pdf.ellipse(_LEFT + 0.6, self._y + 1.9, 1.1, 1.1, "F")
        self._paragraph(text, _LEFT + 4.5, _TEXT_WIDTH - 4.5)
        self._y += 0.9

    # --- tables ---

    def _table(self, table: StatementTable) -> None:
        size = _SMALL if len(table.columns) < 6 else _TINY
        widths = self._column_widths(table, size)
        rows = [self._cells(row, widths, size) for row in table.rows]
        titles = [row[0] for row in rows]
        _spread_titles(table, rows)
        names = [column.replace("`", "") for column in table.columns]
        head = self._cells([f"**{name}**" for name in names], widths, size)
        step = size * _MM_PER_POINT * _LINE
        self._need(self._height(head, step) + self._together(rows[:2], step) + 9)
        self._caption(f"Table {self._tables}: {table.caption}")
        self._head(head, widths, size, step)
        for number, cells in enumerate(rows):
            last_two = 0 < number == len(rows) - 2
            if last_two and self._together(rows[-2:], step) > self._room():
                self._add_page()
                self._head(head, widths, size, step)
            is_last = number + 1 == len(rows)
            is_within = not is_last and table.goes_on(number + 1)
            title = titles[number] if table.goes_on(number) else []
            self._row(cells, head, widths, size, step, title=title, is_within=is_within)
        self._y += 4

    def _together(self, rows: list[list[list[_TextLine]]], step: float) -> float:
        """The space that rows need to stay on one page; tall rows may be divided."""
        return min(sum(self._height(row, step) for row in rows), _TALL_ROW)

    def _caption(self, text: str) -> None:
        self._y += 1.5
        lines = self._wrap(f"**{text}**", _SMALL, _TEXT_WIDTH)
        self._put_lines(lines, _LEFT, self._y, _SMALL, colour=_SOFT)
        self._y += _SMALL * _MM_PER_POINT * _LINE * len(lines) + 1

    def _cells(
        self, row: Sequence[str], widths: Sequence[float], size: float
    ) -> list[list[_TextLine]]:
        return [
            self._wrap(cell, size, width - 2 * _PADDING)
            for cell, width in zip(row, widths, strict=True)
        ]

    @staticmethod
    def _height(cells: list[list[_TextLine]], step: float) -> float:
        return max(len(lines) for lines in cells) * step + 2 * _PADDING * 0.75

    def _head(
        self, head: list[list[_TextLine]], widths: Sequence[float], size: float, step: float
    ) -> None:
        height = self._height(head, step)
        self._pdf.set_fill_color(*_TINT)
        self._pdf.rect(_LEFT, self._y, _TEXT_WIDTH, height, "F")
        self._put_cells(head, widths, size)
        self._y += height
        self._pdf.set_draw_color(*_ACCENT)
        self._pdf.set_line_width(0.4)
        self._pdf.line(_LEFT, self._y, _WIDTH - _RIGHT, self._y)

    def _put_cells(
        self, cells: list[list[_TextLine]], widths: Sequence[float], size: float
    ) -> None:
        x = _LEFT
        for lines, width in zip(cells, widths, strict=True):
            self._put_lines(lines, x + _PADDING, self._y + _PADDING * 0.75, size)
            x += width

    def _row(
        self,
        cells: list[list[_TextLine]],
        head: list[list[_TextLine]],
        widths: Sequence[float],
        size: float,
        step: float,
        *,
        title: list[_TextLine],
        is_within: bool,
    ) -> None:
        """A row; a tall one is divided between pages.

        `title` is the first cell of its group, to be repeated on a new page; `is_within` says that
        the next row is of the same group.
        """
        while any(cells):
            height = self._height(cells, step)
            part = cells
            if height > self._room():
                count = int((self._room() - 2 * _PADDING) / step)
                if height < _TALL_ROW or count < 3:
                    self._add_page()
                    self._head(head, widths, size, step)
                    if title and not cells[0]:
                        cells = [title, *cells[1:]]
                    if height <= self._room():
                        continue
                    count = int((self._room() - 2 * _PADDING) / step)
                part = [lines[:count] for lines in cells]
            self._put_cells(part, widths, size)
            self._y += self._height(part, step)
            self._rule(self._y, _LEFT + widths[0] if is_within else _LEFT)
            cells = [lines[len(done) :] for lines, done in zip(cells, part, strict=True)]

    def _column_widths(self, table: StatementTable, size: float) -> list[float]:
        """Widths by content: as much as each needs if that fits, else shared by need."""
        columns = list(zip(table.columns, *table.rows, strict=True))
        longest = [self._natural_widths(cells, size) for cells in columns]
        minimum = [min(word, _LONGEST_WORD) for word, _ in longest]
        natural = [max(least, text) for least, (_, text) in zip(minimum, longest, strict=True)]
        if sum(natural) <= _TEXT_WIDTH:
            spare = (_TEXT_WIDTH - sum(natural)) / sum(natural)
            return [width * (1 + spare) for width in natural]
        if sum(minimum) >= _TEXT_WIDTH:
            return [width * _TEXT_WIDTH / sum(minimum) for width in minimum]
        weights = [(width - least) ** 0.6 for width, least in zip(natural, minimum, strict=True)]
        spare = _TEXT_WIDTH - sum(minimum)
        return [
            least + spare * weight / sum(weights)
            for least, weight in zip(minimum, weights, strict=True)
        ]

    def _natural_widths(self, cells: Sequence[str], size: float) -> tuple[float, float]:
        """The longest word of a column and a usual long text, with padding."""
        words, texts = [0.0], []
        for position, cell in enumerate(cells):
            plain_style = "strong" if position == 0 else ""
            total = 0.0
            for run in runs(cell):
                style = plain_style or run.style
                total += self._widths(run.text, style, size)
                dividers = _CODE_DIVIDERS if run.style == "code" else _SPACE
                words += [self._widths(word, style, size) for word in dividers.split(run.text)]
            texts.append(total)
        texts.sort()
        usual = texts[min(len(texts) - 1, int(len(texts) * 0.98))]
        return max(words) + 2 * _PADDING + 0.2, usual + 2 * _PADDING + 0.2

    # --- figures ---

    def _figure(self, figure: Figure) -> None:
        scale = min(1.0, _TEXT_WIDTH / figure.width)
        self._need(figure.height * scale + 10)
        left, top = _LEFT, self._y + 1
        if figure.barrier:
            self._pdf.set_draw_color(*_ACCENT)
            self._pdf.set_line_width(0.3)
            self._pdf.set_dash_pattern(2, 1.4)
            x = left + figure.barrier * scale
            self._pdf.line(x, top, x, top + figure.height * scale - 1)
            self._pdf.set_dash_pattern()
            self._text(
                x + 1, top + figure.height * scale - 1, "DICOM Standard Interface", 6.5, _SOFT
            )
        for arrow in figure.arrows:
            self._arrow(arrow, left, top, scale)
        for box in figure.boxes:
            self._box(box, left, top, scale)
        self._y = top + figure.height * scale + 1
        self._caption(f"Figure {self._figures}: {figure.caption}")
        self._y += 3

    def _box(self, box: FigureBox, left: float, top: float, scale: float) -> None:
        fill = {"entity": (228, 238, 248), "remote": _TINT}.get(box.kind, (255, 255, 255))
        self._pdf.set_fill_color(*fill)
        self._pdf.set_draw_color(*(_ACCENT if box.kind == "entity" else _SOFT))
        self._pdf.set_line_width(0.35)
        x, y = left + box.x * scale, top + box.y * scale
        width, height = box.width * scale, box.height * scale
        rounded = box.kind == "activity"
        self._pdf.rect(
            x, y, width, height, "DF", round_corners=rounded, corner_radius=7 if rounded else 0
        )
        size = 8.5
        baseline = y + height / 2 - 2 * (len(box.lines) - 1) + 1.1
        for number, line in enumerate(box.lines):
            offset = (width - self._widths(line, "plain", size)) / 2
            self._text(x + offset, baseline + 4 * number, line, size)

    def _arrow(self, arrow: FigureArrow, left: float, top: float, scale: float) -> None:
        (x1, y1), (x2, y2) = (
            (left + x * scale, top + y * scale) for x, y in (arrow.start, arrow.end)
        )
        self._pdf.set_draw_color(*_INK)
        self._pdf.set_fill_color(*_INK)
        self._pdf.set_line_width(0.3)
        self._pdf.line(x1, y1, x2, y2)
        self._tip(x1, x2, y2)
        if arrow.both_ways:
            self._tip(x2, x1, y1)
        lines = label_lines(arrow.label) if arrow.label else []
        for number, line in enumerate(reversed(lines)):
            offset = self._widths(line, "plain", 6.4) / 2
            self._text((x1 + x2) / 2 - offset, y1 - 1.2 - 2.8 * number, line, 6.4)

    def _tip(self, start: float, end: float, y: float) -> None:
        back = end - 2.0 if end > start else end + 2.0
        self._pdf.polygon([(end, y), (back, y - 0.9), (back, y + 0.9)], style="F")


def _spread_titles(table: StatementTable, rows: Sequence[list[list[_TextLine]]]) -> None:
    """Let the first cell of a group go on beside the further rows of the group."""
    for number, cells in enumerate(rows):
        if table.goes_on(number):
            cells[0] = []
    for number in range(1, len(rows)):
        if table.goes_on(number):
            above, cells = rows[number - 1], rows[number]
            height = max(len(lines) for lines in above[1:])
            above[0], cells[0] = above[0][:height], above[0][height:]


def _room_below(section: Section) -> float:
    """The space that a heading needs so that it does not end a page."""
    first = section.blocks[0] if section.blocks else None
    if isinstance(first, Figure):
        return first.height + _WITH_TEXT
    return _WITH_TEXT if isinstance(first, Paragraph | Bullets) else _WITH_TABLE


def _font_files(folder: Path) -> dict[str, Path]:
    """The fonts of Burnish as files in `folder`, by style: fpdf2 takes only files."""
    import pymupdf_fonts

    paths = {}
    for style, name in _FONTS.items():
        paths[style] = folder / f"{name}.ttf"
        paths[style].write_bytes(pymupdf_fonts.fontbuffers[name]())
    return paths


def _new_document(statement: Statement, fonts: Mapping[str, Path]) -> Any:
    """An empty PDF document with its fonts."""
    from fpdf import FPDF

    # of a table of a font that is left out
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    document = FPDF(format="A4")
    document.set_auto_page_break(False)
    document.set_margins(0, 0, 0)
    document.c_margin = 0
    for style, path in fonts.items():
        document.add_font(style, fname=path)
    document.set_title(f"{statement.title}: {statement.subtitle}")
    document.set_lang("en")
    document.set_creator("Burnish")
    return document
