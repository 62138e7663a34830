"""Surface: writes a statement as one HTML file, which needs no other file and can be printed."""

import re
from collections.abc import Iterator
from html import escape

from burnish.conformance.document import (
    CONTENTS,
    Block,
    Bullets,
    Figure,
    Paragraph,
    Statement,
    StatementTable,
)
from burnish.conformance.inline import runs

_STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5a6675; --line: #d5dbe3; --tint: #f3f6f9;
  --accent: #0b5394; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 16px/1.55 "Noto Sans", "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
.page { display: grid; grid-template-columns: 20rem minmax(0, 1fr); }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1.5rem 1rem;
  border-right: 1px solid var(--line); background: var(--tint); font-size: .8rem;
  line-height: 1.35; }
nav ol { list-style: none; margin: 0; padding: 0; }
nav li { padding: .12rem 0; }
nav a { color: var(--ink); text-decoration: none; }
nav a:hover { text-decoration: underline; }
nav .level-1 { margin-top: .6rem; font-weight: 600; }
main { max-width: 68rem; padding: 2rem 3rem 6rem; }
header { border-bottom: 3px solid var(--accent); margin-bottom: 2.5rem; padding-bottom: 1rem; }
header p { font-size: 1.4rem; margin: 0; color: var(--soft); }
h1 { font-size: 2.3rem; margin: 1rem 0 0; }
h2, h3, h4, h5, h6, .deep { line-height: 1.25; margin: 2.2rem 0 .6rem; scroll-margin-top: 1rem; }
h2 { font-size: 1.7rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem; }
h3 { font-size: 1.35rem; } h4 { font-size: 1.15rem; }
h5, h6, .deep { font-size: 1rem; font-weight: 600; }
.number { color: var(--accent); margin-right: .5em; font-variant-numeric: tabular-nums; }
p, li { max-width: 48rem; }
code { font: .88em "Noto Sans Mono", Consolas, monospace; background: var(--tint);
  padding: .05em .25em; border-radius: 3px; overflow-wrap: break-word; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1.2rem 0 1.8rem; overflow-x: auto; }
caption, figcaption { text-align: left; font-size: .85rem; font-weight: 600; color: var(--soft);
  padding: .3rem 0; caption-side: top; }
table { border-collapse: collapse; width: 100%; font-size: .84rem; line-height: 1.4; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; }
th { background: var(--tint); border-bottom: 2px solid var(--accent); }
td:nth-child(n + 4):last-child { min-width: 12rem; }
tbody tr:hover { background: var(--tint); }
svg { max-width: 100%; height: auto; }
@media (max-width: 60rem) { .page { display: block; } nav { position: static; height: auto;
  border: 0; } main { padding: 1.5rem; } }
@media print { @page { size: A4; margin: 18mm 15mm; @bottom-right { content: counter(page); } }
  .page { display: block; } nav { position: static; height: auto; border: 0; background: none;
  break-after: page; columns: 2; } main { max-width: none; padding: 0; } body { font-size: 9.5pt; }
  h2 { break-before: page; } h2, h3, h4, h5, h6, caption { break-after: avoid; }
  tr, figure { break-inside: avoid; } figure.table { break-inside: auto; }
  thead { display: table-header-group; } table { font-size: 8pt; } }
"""
_FIGURE_STYLE = """
text { font-family: "Noto Sans", Arial, sans-serif; fill: #1c2430; }
.activity { fill: #fff; stroke: #5a6675; stroke-width: .4; }
.entity { fill: #e4eef8; stroke: #0b5394; stroke-width: .6; }
.remote { fill: #f3f6f9; stroke: #5a6675; stroke-width: .4; }
.flow { stroke: #1c2430; stroke-width: .4; } .barrier { stroke: #0b5394; stroke-width: .4;
stroke-dasharray: 2 1.4; }
"""
#: Where a line may end within a name of the configuration.
_BREAKABLE = re.compile(r"([._])(?=\w)")
#: HTML has headings to h6, of which h1 is the title.
_LOWEST_HEADING = 6


def write_html(statement: Statement) -> str:
    """The whole document."""
    return "\n".join(_lines(statement)) + "\n"


def _lines(statement: Statement) -> Iterator[str]:
    title = f"{statement.title}: {statement.subtitle}"
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{_STYLE}</style>"
    yield "</head>"
    yield "<body>"
    yield '<div class="page">'
    yield '<nav aria-label="Contents"><ol>'
    for section in statement.sections:
        indent = f"padding-left: {(section.level - 1) * 0.8:.1f}rem"
        yield (
            f'<li class="level-{section.level}" style="{indent}"><a href="#{section.anchor}">'
            f"{section.number} {escape(section.title)}</a></li>"
        )
    yield "</ol></nav>"
    yield "<main>"
    yield f"<header><h1>{escape(statement.title)}</h1><p>{escape(statement.subtitle)}</p>"
    yield "<dl>"
    for name, value in statement.cover:
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl></header>"
    yield from _sections(statement)
    yield "</main></div></body></html>"


def _sections(statement: Statement) -> Iterator[str]:
    number_of_table = number_of_figure = 0
    for section in statement.sections:
        level = section.level + 1
        tag = f"h{level}" if level <= _LOWEST_HEADING else "p"
        style = ' class="deep"' if tag == "p" else ""
        number = f'<span class="number">{section.number}</span>'
        yield f'<{tag} id="{section.anchor}"{style}>{number}{escape(section.title)}</{tag}>'
        if section.title == CONTENTS:
            yield "<p>The contents are beside or above the text, with links to each section.</p>"
        for block in section.blocks:
            if isinstance(block, StatementTable):
                number_of_table += 1
            elif isinstance(block, Figure):
                number_of_figure += 1
            yield from _block(block, number_of_table, number_of_figure)


def _block(block: Block, number_of_table: int, number_of_figure: int) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield f"<p>{_inline(block.text)}</p>"
    elif isinstance(block, Bullets):
        yield "<ul>"
        for item in block.items:
            yield f"<li>{_inline(item)}</li>"
        yield "</ul>"
    elif isinstance(block, StatementTable):
        yield from _table(block, number_of_table)
    else:
        yield "<figure>"
        yield from svg_lines(block)
        yield f"<figcaption>Figure {number_of_figure}: {escape(block.caption)}</figcaption>"
        yield "</figure>"


def _table(table: StatementTable, number: int) -> Iterator[str]:
    yield f'<figure class="table"><table><caption>Table {number}: {escape(table.caption)}</caption>'
    heads = "".join(f'<th scope="col">{_inline(column)}</th>' for column in table.columns)
    yield f"<thead><tr>{heads}</tr></thead>"
    yield "<tbody>"
    for position, row in enumerate(table.rows):
        first_cell = ""
        if not table.goes_on(position):
            count = _rows_of_group(table, position)
            span = f' rowspan="{count}"' if count > 1 else ""
            first_cell = f"<td{span}>{_inline(row[0])}</td>"
        cells = "".join(f"<td>{_inline(cell)}</td>" for cell in row[1:])
        yield f"<tr>{first_cell}{cells}</tr>"
    yield "</tbody></table></figure>"


def _rows_of_group(table: StatementTable, first: int) -> int:
    last = first + 1
    while last < len(table.rows) and table.goes_on(last):
        last += 1
    return last - first


def _inline(text: str) -> str:
    tags = {"code": "code", "strong": "strong"}
    pieces = []
    for run in runs(text):
        content = escape(run.text, quote=False)
        tag = tags.get(run.style)
        if tag == "code":
            content = _BREAKABLE.sub(r"\1<wbr>", content)
        pieces.append(f"<{tag}>{content}</{tag}>" if tag else content)
    return "".join(pieces)


def svg_lines(figure: Figure) -> Iterator[str]:
    """A figure as SVG."""
    size = f"{figure.width:g} {figure.height:g}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{figure.width:g}mm"'
        f' role="img" aria-label="{escape(figure.caption)}">'
    )
    yield f"<style>{_FIGURE_STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6"'
        ' markerHeight="6" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z" fill="#1c2430"/>'
        "</marker></defs>"
    )
    if figure.barrier:
        x = f"{figure.barrier:g}"
        yield f'<line class="barrier" x1="{x}" y1="1" x2="{x}" y2="{figure.height - 1:g}"/>'
        yield _svg_text(
            figure.barrier + 1, figure.height - 1, "DICOM Standard Interface", 2.6, "start"
        )
    for arrow in figure.arrows:
        (x1, y1), (x2, y2) = arrow.start, arrow.end
        first_tip = ' marker-start="url(#tip)"' if arrow.both_ways else ""
        yield (
            f'<line class="flow" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"'
            f' marker-end="url(#tip)"{first_tip}/>'
        )
        if arrow.label:
            yield from _svg_label(arrow.label, (x1 + x2) / 2, y1)
    for box in figure.boxes:
        radius = "8" if box.kind == "activity" else "1"
        yield (
            f'<rect class="{box.kind}" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}"'
            f' height="{box.height:g}" rx="{radius}"/>'
        )
        first = box.y + box.height / 2 - 2.2 * (len(box.lines) - 1) + 1.2
        for number, line in enumerate(box.lines):
            yield _svg_text(box.x + box.width / 2, first + 4.4 * number, line, 3.4, "middle")
    yield "</svg>"


def label_lines(label: str) -> list[str]:
    """The label of an arrow in lines that fit between two boxes."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= 17:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _svg_label(label: str, x: float, y: float) -> Iterator[str]:
    lines = label_lines(label)
    for number, line in enumerate(lines):
        yield _svg_text(x, y - 1.2 - 3 * (len(lines) - 1 - number), line, 2.5, "middle")


def _svg_text(x: float, y: float, text: str, size: float, anchor: str) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )
