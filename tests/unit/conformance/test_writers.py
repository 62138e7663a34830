"""A statement as Markdown, HTML and PDF."""

import re
from html.parser import HTMLParser

import pypdfium2
import pytest

from burnish.conformance.document import CONTENTS, Paragraph, Section, Statement, StatementTable
from burnish.conformance.html import svg_lines, write_html
from burnish.conformance.inline import Run, runs
from burnish.conformance.markdown import write_markdown
from burnish.conformance.pdf import write_pdf
from burnish.conformance.statement import make_statement
from burnish.settings import Settings


@pytest.fixture(scope="module")
def statement() -> Statement:
    return make_statement(Settings())


@pytest.fixture(scope="module")
def pages(statement: Statement) -> list[str]:
    """The text of each page of the PDF."""
    with pypdfium2.PdfDocument(write_pdf(statement)) as document:
        return [page.get_textpage().get_text_bounded() for page in document]


def test_marks_within_a_text() -> None:
    assert list(runs("set `a.b` and **do not** wait")) == [
        Run("set ", "plain"),
        Run("a.b", "code"),
        Run(" and ", "plain"),
        Run("do not", "strong"),
        Run(" wait", "plain"),
    ]


def test_every_table_is_valid_markdown(statement: Statement) -> None:
    text = write_markdown(statement)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = block.splitlines()
        assert re.fullmatch(r"\|( --- \|)+", rows[1])
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {rows[1].count("|")}


def test_the_contents_lead_to_every_section(statement: Statement) -> None:
    text = write_markdown(statement)
    links = re.findall(r"\]\(#([a-z0-9-]+)\)", text)
    assert links == [section.anchor for section in statement.sections]
    assert links == re.findall(r'<a id="([a-z0-9-]+)">', text)


class _Page(HTMLParser):
    """Collects ids and links, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "a":
            self.links.append(str(values["href"]))
        self.outside += [str(values[key]) for key in ("src", "data") if key in values]
        if tag not in ("meta", "wbr", "line", "path", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(statement: Statement) -> None:
    page = _Page()
    page.feed(write_html(statement))
    assert page.open == []
    assert page.outside == []
    anchors = [section.anchor for section in statement.sections]
    assert page.links == [f"#{anchor}" for anchor in anchors]
    assert [name for name in page.ids if name != "tip"] == anchors


def test_the_page_has_the_data_flow_as_a_picture(statement: Statement) -> None:
    text = write_html(statement)
    assert text.count("<svg") == 2
    figure = next(
        block
        for section in statement.sections
        for block in section.blocks
        if not isinstance(block, StatementTable | Paragraph) and hasattr(block, "boxes")
    )
    picture = "".join(svg_lines(figure))
    assert all(line in picture for box in figure.boxes for line in box.lines)


def test_signs_of_html_are_written_as_text() -> None:
    section = Section(1, "1", "Below & above", [Paragraph("a < b > c & `d<e>`")])
    text = write_html(Statement("T", "S", (), (section,)))
    assert "<p>a &lt; b &gt; c &amp; <code>d&lt;e&gt;</code></p>" in text
    assert "Below &amp; above" in text


def test_the_contents_of_the_pdf_name_the_page_of_each_section(
    statement: Statement, pages: list[str]
) -> None:
    text = re.sub(r"\s+", " ", " ".join(pages[1:4]))
    for section in statement.sections:
        match = re.search(rf"{re.escape(section.number)} {re.escape(section.title)} (\d+)", text)
        assert match, section.title
        number = int(match[1])
        heading = re.sub(r"\s+", " ", pages[number - 1])
        assert section.title == CONTENTS or section.title in heading
        assert heading.endswith(f" {number}") or f" {number} " in heading


def test_the_pdf_has_every_table_and_its_cells(statement: Statement, pages: list[str]) -> None:
    text = re.sub(r"\s+", "", "".join(pages))
    for number, table in enumerate(statement.tables, start=1):
        caption = f"Table{number}:{table.caption}".replace(" ", "")
        assert caption in text
    for table in statement.tables:
        if table.caption.startswith("SOP Classes"):
            assert all(row[1] in text for row in table.rows)


def test_no_text_of_the_pdf_lies_outside_the_page(statement: Statement) -> None:
    with pypdfium2.PdfDocument(write_pdf(statement)) as document:
        for page in document:
            width, height = page.get_size()
            for item in page.get_objects():
                left, bottom, right, top = item.get_bounds()
                assert -1 <= left <= right <= width + 1
                assert -1 <= bottom <= top <= height + 1


def test_the_pdf_has_bookmarks_and_links(statement: Statement) -> None:
    with pypdfium2.PdfDocument(write_pdf(statement)) as document:
        bookmarks = [item.get_title() for item in document.get_toc()]
        assert bookmarks == [
            f"{section.number} {section.title}"
            for section in statement.sections
            if section.title != CONTENTS
        ]


def test_a_row_that_is_taller_than_a_page_goes_on_on_the_next() -> None:
    words = [f"word{number}" for number in range(4000)]
    table = StatementTable.of("Long", ("Name", "Text"), [("a", " ".join(words)), ("b", "the end")])
    section = Section(1, "1", "Only", [table])
    with pypdfium2.PdfDocument(write_pdf(Statement("T", "S", (), (section,)))) as document:
        text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    printed = re.findall(r"word\d+", text)
    assert printed == words
    assert "the end" in text


def grouped(rows_of_group: int) -> Statement:
    """One table with a group of rows, its name in their first cell, and a row of another group."""
    rows = [("first group", f"row{number} " * 40) for number in range(rows_of_group)]
    rows.append(("second group", "end"))
    table = StatementTable.of("Groups", ("Name", "Text"), rows, is_grouped=True)
    return Statement("T", "S", (), (Section(1, "1", "Only", [table]),))


def test_the_first_cell_of_a_group_is_on_each_page_once() -> None:
    with pypdfium2.PdfDocument(write_pdf(grouped(60))) as document:
        texts = [page.get_textpage().get_text_bounded() for page in document]
    of_table = [text for text in texts if "row" in text]
    assert len(of_table) > 1
    assert [text.count("first group") for text in of_table] == [1] * len(of_table)
    assert of_table[-1].count("second group") == 1
    assert " ".join(of_table).count("row59") == 40


def test_the_first_cell_of_a_group_spans_its_rows_on_the_page() -> None:
    text = write_html(grouped(3))
    assert text.count('<td rowspan="3">first group</td>') == 1
    assert text.count("first group") == 1
    assert "<td>second group</td>" in text


def test_no_table_leaves_its_last_row_alone_on_a_page() -> None:
    for count in range(36, 48):
        table = StatementTable.of("Long", ("Name", "Text"), [("row", "text")] * count)
        section = Section(1, "1", "Only", [table])
        with pypdfium2.PdfDocument(write_pdf(Statement("T", "S", (), (section,)))) as document:
            texts = [page.get_textpage().get_text_bounded() for page in document]
        rows = [text.count("row") for text in texts if "row" in text]
        assert sum(rows) == count
        assert rows[-1] > 1, count


@pytest.mark.parametrize("count", range(53, 60))
def test_the_contents_leave_no_few_lines_alone_on_a_page(count: int) -> None:
    """Whatever the number of sections is: between one page of contents and two."""
    titles = [f"Section {number}" for number in range(count)]
    sections = [
        Section(2, f"1.{number}", title, [Paragraph("text")]) for number, title in enumerate(titles)
    ]
    written = write_pdf(Statement("A title", "a subtitle", (), tuple(sections)))
    with pypdfium2.PdfDocument(written) as document:
        pages = [page.get_textpage().get_text_bounded() for page in document]
    on_first, on_second = (pages[number].count("Section") for number in (1, 2))
    assert on_first == count or (on_first + on_second == count and on_second >= 5)
