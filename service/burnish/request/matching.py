"""Stage: conditions that find studies by what people know of them. Each uses an index."""

import re
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, select, union

from burnish.db.search_terms import ACCESSION_NUMBER, LAST_CHARACTER, NAME, PATIENT_ID, code, words
from burnish.db.tables import KnownStudy, RequestStudy, SearchTerm
from burnish.errors import InvalidArgument

#: A date as in DICOM, ISO 8601 or as it is written in Germany.
_DATE = re.compile(
    r"(?P<y>[12]\d{3})(?P<m>\d\d)(?P<d>\d\d)|(?P<iy>[12]\d{3})-(?P<im>\d\d)-(?P<id>\d\d)"
    r"|(?P<gd>\d{1,2})\.(?P<gm>\d{1,2})\.(?P<gy>[12]\d{3})"
)


def parse_date(text: str) -> str:
    """A date as DICOM has it (DA); "" if the text is none."""
    match = _DATE.fullmatch(text.strip())
    if match is None:
        return ""
    parts = match.groupdict()
    for year, month, day in (("y", "m", "d"), ("iy", "im", "id"), ("gy", "gm", "gd")):
        if parts[year]:
            return f"{parts[year]}{parts[month]:0>2}{parts[day]:0>2}"
    return ""


def parse_date_range(text: str) -> tuple[str, str] | None:
    """The first and the last date of "2026-01-31", "20260101-20260131" or "2026-01-01..".

    None if the text is no date and no range.
    """
    single = parse_date(text)
    if single:
        return single, single
    for separator in ("..", "–", " - ", "-"):  # noqa: RUF001  people type an en dash
        first, divider, last = text.partition(separator)
        if not divider or (separator == "-" and text.count("-") > 1):
            continue
        first, last = first.strip(), last.strip()
        if (first or last) and all(part == "" or parse_date(part) for part in (first, last)):
            return parse_date(first) or "00000000", parse_date(last) or "99999999"
    return None


def study_dates(text: str) -> tuple[str, str]:
    """As `parse_date_range`; raises InvalidArgument."""
    dates = parse_date_range(text)
    if dates is None:
        raise InvalidArgument(
            f"{text!r} is no date",
            hint="dates are written 2026-01-31, ranges 2026-01-01..2026-01-31",
        )
    return dates


def begins_with(kind: str, term: str) -> ColumnElement[bool]:
    """The condition for the terms of a kind that begin with `term`."""
    return and_(
        SearchTerm.kind == kind, SearchTerm.term >= term, SearchTerm.term < term + LAST_CHARACTER
    )


def of_name(text: str) -> Select[Any] | None:
    """The studies of patients whose name has parts that begin with all words of the text."""
    first, *others = sorted(words(text), key=len, reverse=True) or [""]
    if not first:
        return None
    query = select(SearchTerm.study_id).where(begins_with(NAME, first))
    for word in others:
        with_word = select(SearchTerm.study_id).where(begins_with(NAME, word))
        query = query.where(SearchTerm.study_id.in_(with_word))
    return query


def of_patient_id(text: str) -> Select[Any]:
    """The studies of patients whose ID begins with the text."""
    return select(SearchTerm.study_id).where(begins_with(PATIENT_ID, code(text)))


def of_accession_number(text: str) -> Select[Any]:
    """The studies with an Accession Number."""
    return select(SearchTerm.study_id).where(
        SearchTerm.kind == ACCESSION_NUMBER, SearchTerm.term == code(text)
    )


def of_patient(text: str) -> Select[Any] | CompoundSelect[Any]:
    """The studies of patients whose name or ID the text is, or begins."""
    of_id = of_patient_id(text)
    named = of_name(text)
    return of_id if named is None else union(named, of_id)


def of_dates(first: str, last: str) -> Select[Any]:
    """The studies of some dates, both included."""
    return select(KnownStudy.id).where(KnownStudy.study_date.between(first, last))


def requests_of(studies: Any) -> Select[Any]:
    """The requests that have instances of some studies."""
    return select(RequestStudy.request_id).where(RequestStudy.study_id.in_(studies))
