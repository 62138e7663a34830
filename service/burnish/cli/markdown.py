"""Surface: headings, tables and names of UIDs, as Markdown."""

from collections.abc import Iterable, Iterator, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join(' --- ' for _ in columns)}|"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |"


def heading(text: str, *said: str) -> Iterator[str]:
    yield ""
    yield f"## {text}"
    for line in said:
        yield ""
        yield line


def uid_name(uid: str) -> str:
    """What the standard calls a UID."""
    from pydicom.uid import UID

    name = UID(uid).name
    return "" if name == uid else name


def syntaxes(uids: Iterable[str]) -> str:
    return "; ".join(f"{uid_name(uid)} ({uid})" for uid in sorted(uids))
