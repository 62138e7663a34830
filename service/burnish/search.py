"""Stage: one box for everything: studies, requests and media, by whatever people have in hand."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from burnish import register
from burnish.db import known_studies
from burnish.db.tables import (
    FileSet,
    Instance,
    KnownStudy,
    MediaCreationRequest,
    ReferencedInstance,
    RequestStudy,
    short_id,
)
from burnish.register import RegisterEntry, RegisterFilter
from burnish.request import listing, matching, study_listing
from burnish.request.listing import RequestFilter
from burnish.request.study_listing import StudyHit
from burnish.request.views import RequestLine

#: The most studies whose requests are looked for, and the most requests found by one kind of name.
_MOST_STUDIES = 200
#: A UID, but no date such as 31.01.2026.
_UID = re.compile(r"(?![0-9]{1,2}\.[0-9]{1,2}\.[0-9]{4}$)[0-9]+(\.[0-9]+){2,}")
_REQUEST = re.compile(r"[Rr]?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class RequestHit:
    """One request; `matched` says what the search has found it by."""

    request: RequestLine
    matched: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The results of a search, the newest first. `more_…`: there are more than were asked for.

    `media` are pieces in the register, which knows them when requests and instances are gone.
    """

    text: str
    studies: tuple[StudyHit, ...]
    requests: tuple[RequestHit, ...]
    media: tuple[RegisterEntry, ...] = ()
    more_studies: bool = False
    more_requests: bool = False
    more_media: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.studies or self.requests or self.media)


def search(session: Session, text: str, *, limit: int = 20) -> SearchResult:
    """Find studies, requests and media by a text; `limit` is the most of each.

    It is a patient's name or the beginning of its parts, a Patient ID, an Accession Number, a study
    date or range, a Study, SOP Instance or File-set UID, a request, a File-set ID, the bar code of
    a label, a name in the register, or the AE title of a peer that has made requests.
    """
    text = text.strip()
    if not text:
        return SearchResult(text, (), ())
    matched_studies = _matched_studies(session, text, limit + 1)
    matched_requests = _matched_requests(session, text, limit + 1)
    of_studies = _requests_of(session, list(matched_studies)[:_MOST_STUDIES], limit + 1)
    for request_id in of_studies:
        matched_requests.setdefault(request_id, "a study of it")
    studies = study_listing.study_hits(session, list(matched_studies)[:limit], matched_studies)
    newest = sorted(matched_requests, reverse=True)[:limit]
    names = tuple(short_id(request_id) for request_id in newest)
    lines = listing.requests(session, RequestFilter(names=names), limit=limit) if names else []
    media = register.entries_named(session, text, limit=limit + 1)
    if not media:
        media = register.entries(session, RegisterFilter(text=text), limit=limit + 1)
    return SearchResult(
        text,
        tuple(studies),
        tuple(RequestHit(line, matched_requests[int(line.short_id[1:])]) for line in lines),
        tuple(media[:limit]),
        more_studies=len(matched_studies) > limit,
        more_requests=len(matched_requests) > limit,
        more_media=len(media) > limit,
    )


def _matched_studies(session: Session, text: str, limit: int) -> dict[int, str]:
    """The ids of the studies that match, newest first, and by what."""
    matched: dict[int, str] = {}
    for what, query in _study_queries(text):
        rows = session.scalars(
            select(KnownStudy.id)
            .where(KnownStudy.id.in_(query))
            .order_by(KnownStudy.last_received_at.desc(), KnownStudy.id.desc())
            .limit(limit)
        )
        for study_id in rows:
            matched.setdefault(study_id, what)
    return matched


def _study_queries(text: str) -> Iterable[tuple[str, Select[Any]]]:
    """The parts of a study that a text may be, and the studies that match."""
    if _UID.fullmatch(text):
        yield (
            "Study Instance UID",
            select(KnownStudy.id).where(KnownStudy.study_instance_uid == text),
        )
        yield (
            "SOP Instance UID",
            select(KnownStudy.id)
            .join(Instance, known_studies.is_of_study())
            .where(Instance.sop_instance_uid == text, Instance.is_newest()),
        )
        return
    yield "Accession Number", matching.of_accession_number(text)
    yield "Patient ID", matching.of_patient_id(text)
    named = matching.of_name(text)
    if named is not None:
        yield "patient's name", named
    dates = matching.parse_date_range(text)
    if dates is not None:
        yield "study date", matching.of_dates(*dates)


def _matched_requests(session: Session, text: str, limit: int) -> dict[int, str]:
    """The ids of the requests that match themselves, and by what."""
    matched: dict[int, str] = {}
    for what, query in _request_queries(text):
        column = query.subquery().c[0]
        for request_id in session.scalars(select(column).order_by(column.desc()).limit(limit)):
            matched.setdefault(request_id, what)
    return matched


def _request_queries(text: str) -> Iterable[tuple[str, Select[Any]]]:
    """The parts of a request that a text may be, and the requests that match."""
    request = MediaCreationRequest
    if _UID.fullmatch(text):
        yield "request", select(request.id).where(request.sop_instance_uid == text)
        yield (
            "SOP Instance UID",
            select(ReferencedInstance.request_id)
            .where(ReferencedInstance.referenced_sop_instance_uid == text)
            .distinct(),
        )
        yield (
            "File-set UID",
            select(FileSet.request_id).where(FileSet.file_set_uid == text).distinct(),
        )
        return
    if _REQUEST.fullmatch(text):
        yield "request", select(request.id).where(request.id == int(text.upper().strip("R")))
    yield (
        "bar code",
        select(request.id).where(request.barcode_value == text, request.barcode_value != ""),
    )
    yield (
        "File-set ID",
        select(FileSet.request_id).where(FileSet.file_set_id == text.upper()).distinct(),
    )
    yield "AE title", select(request.id).where(request.calling_ae_title == text.upper())


def _requests_of(session: Session, study_ids: Sequence[int], limit: int) -> Sequence[int]:
    """The newest requests of some studies."""
    return session.scalars(
        select(RequestStudy.request_id)
        .where(RequestStudy.study_id.in_(study_ids))
        .distinct()
        .order_by(RequestStudy.request_id.desc())
        .limit(limit)
    ).all()
