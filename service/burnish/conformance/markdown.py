"""Surface: writes a statement as Markdown."""

from collections.abc import Iterator

from burnish.conformance.document import (
    CONTENTS,
    Block,
    Bullets,
    Figure,
    Paragraph,
    Statement,
    StatementTable,
)


def write_markdown(statement: Statement) -> str:
    """The whole document."""
    return "\n".join(_lines(statement)) + "\n"


def _lines(statement: Statement) -> Iterator[str]:
    yield f"# {statement.title}"
    yield ""
    yield statement.subtitle
    yield ""
    for name, value in statement.cover:
        yield f"- {name}: {value}"
    number_of_table = number_of_figure = 0
    for section in statement.sections:
        yield ""
        yield f'<a id="{section.anchor}"></a>'
        yield ""
        yield f"{'#' * min(6, section.level + 1)} {section.number} {section.title}"
        if section.title == CONTENTS:
            yield ""
            yield from _contents(statement)
        for block in section.blocks:
            if isinstance(block, StatementTable):
                number_of_table += 1
            elif isinstance(block, Figure):
                number_of_figure += 1
            yield ""
            yield from _block_lines(block, number_of_table, number_of_figure)


def _contents(statement: Statement) -> Iterator[str]:
    for section in statement.sections:
        indent = "  " * (section.level - 1)
        yield f"{indent}- [{section.number} {section.title}](#{section.anchor})"


def _block_lines(block: Block, number_of_table: int, number_of_figure: int) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield block.text
    elif isinstance(block, Bullets):
        for item in block.items:
            yield f"- {item}"
    elif isinstance(block, StatementTable):
        yield f"**Table {number_of_table}: {block.caption}**"
        yield ""
        yield f"| {' | '.join(block.columns)} |"
        yield f"|{'|'.join(' --- ' for _ in block.columns)}|"
        for row in block.rows:
            yield f"| {' | '.join(_cell(cell) for cell in row)} |"
    else:
        yield f"**Figure {number_of_figure}: {block.caption}**"
        yield ""
        for flow in block.flows:
            yield f"- {flow}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
