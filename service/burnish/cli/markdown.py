"""Surface: headings and tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """The lines of a table, after an empty line."""
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(' --- ' for _ in columns)}|"
    for row in rows:
        cells = [str(cell).replace("|", "\\|") for cell in row]
        yield f"| {' | '.join(cells)} |"


def heading(title: str, *paragraphs: str) -> Iterator[str]:
    """The lines of a heading and the paragraphs below it."""
    yield ""
    yield f"## {title}"
    for paragraph in paragraphs:
        yield ""
        yield paragraph


def uid_name(uid: str) -> str:
    """The name of a UID in the standard; empty for a private UID."""
    from pydicom.uid import UID

    name = UID(uid).name
    return "" if name == uid else name


def transfer_syntaxes(uids: Iterable[str]) -> str:
    """Transfer syntaxes with their names and UIDs, in one table cell."""
    return "; ".join(f"{uid_name(uid)} ({uid})" for uid in sorted(uids))
