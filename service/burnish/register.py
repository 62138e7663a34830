"""Stage: the register of media: every piece that was made or spoiled, and what became of it.

A piece enters the register in the transaction that makes it CREATED or SPOILED
(`db.registered_media`). The register has a retention of its own: it still answers when requests and
instances are gone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from burnish.db import registered_media
from burnish.db.session import Database
from burnish.db.tables import (
    RegisteredPiece,
    RegisteredStudy,
    RegisterNote,
    RegisterTerm,
    short_id,
)
from burnish.errors import Conflict, InvalidArgument, MissingValue, Unknown
from burnish.folding import terms
from burnish.values import Actor

#: Pieces of before that are entered by one transaction.
_BATCH = 50
_NAME = re.compile(r"[Mm](\d{1,15})")
_LONGEST_NOTE = 1000
#: Up to so many pieces with a word are sorted by time: that takes some 10 ms.
_FEW = 5000
#: Pieces that are looked at for frequent words, from the newest on: 20 ms, in PostgreSQL 50.
_LOOKED_AT = 10_000


class NoteKind(StrEnum):
    """The subject of a note in the register."""

    GIVEN_OUT = registered_media.GIVEN_OUT
    DESTROYED = registered_media.DESTROYED
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class RegisteredStudyView:
    """One study on a piece, with its patient as the instances name them."""

    patient_name: str
    patient_id: str
    issuer_of_patient_id: str
    patient_birth_date: str
    study_instance_uid: str
    study_date: str
    study_description: str
    accession_number: str
    modalities: str
    instances: int


@dataclass(frozen=True, slots=True)
class RegisterNoteView:
    """A note: when, what, and by whom."""

    at: datetime
    kind: NoteKind
    note: str
    actor: str


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """One registered piece of media; `name` is its name in the register: M000012.

    `outcome` is "created" or "spoiled". `whereabouts` is the last of what is known of where it is:
    "made", "given out to …" or "destroyed"; "" for a spoiled piece.
    """

    id: int
    name: str
    outcome: str
    ended_at: datetime
    request: str
    requested_by: str
    file_set_id: str
    file_set_uid: str
    volume_number: int
    volume_count: int
    copy_number: int
    number_of_copies: int
    media_application_profile: str
    medium: str
    device: str
    size: int
    instances: int
    label_text: str
    barcode_value: str
    media_disposition: str
    verified: str
    why: str
    medium_begun: bool
    whereabouts: str
    studies: tuple[RegisteredStudyView, ...]
    notes: tuple[RegisterNoteView, ...]

    @property
    def patients(self) -> tuple[tuple[str, str], ...]:
        """Name and ID of each patient, in the order of the studies."""
        pairs = [(study.patient_name, study.patient_id) for study in self.studies]
        return tuple(dict.fromkeys(pairs))


@dataclass(frozen=True, slots=True)
class RegisterFilter:
    """Which pieces are asked for; what is empty does not matter.

    Each word of `text` must begin a word of the patients' names and IDs, accession numbers, bar
    code, File-set ID or label text. `outcome` is "created" or "spoiled". `since` and `until` limit
    the time at which pieces ended.
    """

    text: str = ""
    patient: str = ""
    barcode: str = ""
    file_set: str = ""
    study_instance_uid: str = ""
    device: str = ""
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


def entries(
    session: Session, criteria: RegisterFilter, *, limit: int, before: int | None = None
) -> list[RegisterEntry]:
    """The newest pieces first; those after the piece `before` (its id), for a next page.

    Raises InvalidArgument.
    """
    piece = RegisteredPiece
    conditions = _conditions(criteria)
    if before is not None:
        ended_at = session.scalar(select(piece.ended_at).where(piece.id == before))
        if ended_at is None:
            raise InvalidArgument("there is no such page of the register any more")
        conditions.append(piece.ended_at <= ended_at)
        conditions.append(or_(piece.ended_at < ended_at, piece.id < before))
    words = terms(f"{criteria.text} {criteria.patient}")
    if words:
        is_listed = piece.id.in_(_newest_with_words(session, words, conditions, limit))
    else:
        # the ids alone are in the indexes
        is_listed = piece.id.in_(_newest_first(select(piece.id).where(*conditions)).limit(limit))
    return _entries(session, _newest_first(select(piece).where(is_listed)))


def entry(session: Session, name: str) -> RegisterEntry:
    """The piece of that name: M000012, its label's bar code, or its File-set ID or UID.

    Raises Unknown, and Conflict if several pieces share the bar code or the File-set.
    """
    pieces = entries_named(session, name, limit=20)
    if not pieces:
        raise Unknown(
            f"the register has no piece of media {name!r}",
            hint="`burnish media list` shows the newest pieces; it also searches by patient",
        )
    if len(pieces) > 1:
        names = ", ".join(piece.name for piece in pieces)
        raise Conflict(
            f"several pieces of media are {name!r}: {names}",
            hint="name one of them by its name in the register",
        )
    return pieces[0]


def is_entry_name(text: str) -> bool:
    """Whether a text is a name in the register, M000012, and not a bar code or a File-set ID."""
    return _NAME.fullmatch(text.strip()) is not None


def entries_named(session: Session, name: str, *, limit: int) -> list[RegisterEntry]:
    """The pieces with that name in the register, bar code, File-set ID or File-set UID."""
    piece = RegisteredPiece
    text = name.strip()
    number = _NAME.fullmatch(text)
    conditions: list[ColumnElement[bool]] = [
        piece.barcode_value == text,
        piece.file_set_id == text.upper(),
        piece.file_set_uid == text,
    ]
    if number:
        conditions.insert(0, piece.id == int(number[1]))
    for condition in conditions if text else []:
        query = select(piece).where(condition).order_by(piece.id.desc()).limit(limit)
        pieces = _entries(session, query)
        if pieces:
            return pieces
    return []


def add_note(session: Session, name: str, kind: NoteKind, text: str, *, actor: Actor) -> None:
    """Note what became of a piece. Raises Unknown, Conflict, MissingValue, InvalidArgument."""
    registered = entry(session, name)
    text = " ".join(text.split())
    if kind is not NoteKind.DESTROYED and not text:
        raise MissingValue(
            "the note has no text",
            hint="say to whom the piece was given" if kind is NoteKind.GIVEN_OUT else "",
        )
    if len(text) > _LONGEST_NOTE or not text.isprintable():
        raise InvalidArgument(f"a note has up to {_LONGEST_NOTE} printable characters")
    if kind is NoteKind.GIVEN_OUT and registered.whereabouts == NoteKind.DESTROYED:
        raise Conflict(f"{registered.name} was destroyed and cannot be given out")
    session.add(
        RegisterNote(
            registered_piece_id=registered.id,
            at=datetime.now(UTC),
            kind=kind,
            text=text,
            actor=str(actor),
        )
    )


def newest_note(session: Session) -> int:
    """A value that changes whenever somebody notes something of a piece."""
    return session.scalar(select(func.max(RegisterNote.id))) or 0


def fingerprint(session: Session) -> tuple[int, int, int]:
    """A value that changes whenever the register does."""
    oldest, newest = session.execute(
        select(
            select(func.min(RegisteredPiece.id)).scalar_subquery(),
            select(func.max(RegisteredPiece.id)).scalar_subquery(),
        )
    ).one()
    return oldest or 0, newest or 0, newest_note(session)


def count(session: Session) -> int:
    """How many pieces the register has."""
    return session.scalar(select(func.count()).select_from(RegisteredPiece)) or 0


def fill(database: Database, keep: timedelta) -> int:
    """Enter the pieces that ended before there was a register, and the number of them."""
    after = datetime.now(UTC) - keep
    entered = 0
    while True:
        with database.reading() as session:
            if not registered_media.anything_missing(session, after=after):
                return entered
        with database.writing() as session:
            entered += registered_media.fill_missing(session, after=after, limit=_BATCH)


# --- parts ---


def _newest_first(query: Select[Any]) -> Select[Any]:
    return query.order_by(RegisteredPiece.ended_at.desc(), RegisteredPiece.id.desc())


def _newest_with_words(
    session: Session, words: Sequence[str], conditions: Sequence[ColumnElement[bool]], limit: int
) -> Sequence[int]:
    """The ids of the newest pieces with words that begin with each of `words`.

    A rare word leads to its pieces, which are then sorted. Those of frequent words are met soon by
    going back in time; if they are all old, those of the rarest word are sorted after all.
    """
    piece = RegisteredPiece
    numbers = {word: _number_of(session, word) for word in words}
    rarest = min(words, key=numbers.__getitem__)
    if not numbers[rarest]:
        return ()
    if numbers[rarest] > _FEW:
        with_words = [_has_word(word) for word in words]
        times = _newest_first(select(piece.ended_at).where(*conditions))
        earliest = session.scalar(times.offset(_LOOKED_AT).limit(1))
        recent = [] if earliest is None else [piece.ended_at >= earliest]
        query = select(piece.id).where(*conditions, *recent, *with_words)
        ids = session.scalars(_newest_first(query).limit(limit)).all()
        if earliest is None or len(ids) == limit:
            return ids
    of_rarest = select(RegisterTerm.registered_piece_id).where(_begins_with(rarest))
    others = [_has_word(word) for word in words if word != rarest]
    # behind OFFSET, no planner goes back in time after all to save the sorting of a few pieces
    pieces = (
        select(piece.id, piece.ended_at)
        .where(piece.id.in_(of_rarest), *others, *conditions)
        .offset(0)
        .subquery()
    )
    query = select(pieces.c.id).order_by(pieces.c.ended_at.desc(), pieces.c.id.desc())
    return session.scalars(query.limit(limit)).all()


def _number_of(session: Session, word: str) -> int:
    """How many words begin so, up to one more than `_FEW`; each piece has several."""
    some = select(RegisterTerm.registered_piece_id).where(_begins_with(word)).limit(_FEW + 1)
    return session.scalar(select(func.count()).select_from(some.subquery())) or 0


def _has_word(word: str) -> ColumnElement[bool]:
    is_of_piece = RegisterTerm.registered_piece_id == RegisteredPiece.id
    return exists().where(is_of_piece, _begins_with(word)).correlate(RegisteredPiece)


def _begins_with(word: str) -> ColumnElement[bool]:
    beyond = word[:-1] + chr(min(ord(word[-1]) + 1, 0x10FFFF))
    return and_(RegisterTerm.term >= word, RegisterTerm.term < beyond)


def _conditions(criteria: RegisterFilter) -> list[ColumnElement[bool]]:
    """The conditions of all criteria but words."""
    piece = RegisteredPiece
    conditions: list[ColumnElement[bool]] = []
    if criteria.barcode:
        conditions.append(piece.barcode_value == criteria.barcode.strip())
    if criteria.file_set:
        text = criteria.file_set.strip()
        conditions.append(or_(piece.file_set_id == text.upper(), piece.file_set_uid == text))
    if criteria.study_instance_uid:
        of_study = select(RegisteredStudy.registered_piece_id).where(
            RegisteredStudy.study_instance_uid == criteria.study_instance_uid.strip()
        )
        conditions.append(piece.id.in_(of_study))
    if criteria.device:
        conditions.append(piece.device == criteria.device)
    if criteria.outcome:
        states = {str(state).lower(): state for state in registered_media.REGISTERED_STATES}
        if criteria.outcome.lower() not in states:
            raise InvalidArgument(f"{criteria.outcome!r} is not one of created, spoiled")
        conditions.append(piece.state == states[criteria.outcome.lower()])
    if criteria.since:
        conditions.append(piece.ended_at >= criteria.since)
    if criteria.until:
        conditions.append(piece.ended_at < criteria.until)
    return conditions


def _entries(session: Session, query: Select[Any]) -> list[RegisterEntry]:
    rows = session.scalars(query).all()
    ids = [row.id for row in rows]
    studies: dict[int, list[RegisteredStudyView]] = {}
    study = RegisteredStudy
    for row in session.scalars(
        select(study)
        .where(study.registered_piece_id.in_(ids))
        .order_by(study.registered_piece_id, study.ordinal)
    ):
        studies.setdefault(row.registered_piece_id, []).append(_study_view(row))
    notes: dict[int, list[RegisterNoteView]] = {}
    note = RegisterNote
    for note_row in session.scalars(
        select(note).where(note.registered_piece_id.in_(ids)).order_by(note.id)
    ):
        view = RegisterNoteView(note_row.at, NoteKind(note_row.kind), note_row.text, note_row.actor)
        notes.setdefault(note_row.registered_piece_id, []).append(view)
    return [_entry(row, studies.get(row.id, ()), notes.get(row.id, ())) for row in rows]


def _study_view(row: RegisteredStudy) -> RegisteredStudyView:
    return RegisteredStudyView(
        patient_name=row.patient_name,
        patient_id=row.patient_id,
        issuer_of_patient_id=row.issuer_of_patient_id,
        patient_birth_date=row.patient_birth_date,
        study_instance_uid=row.study_instance_uid,
        study_date=row.study_date,
        study_description=row.study_description,
        accession_number=row.accession_number,
        modalities=row.modalities,
        instances=row.instances,
    )


def _entry(
    row: RegisteredPiece,
    studies: Sequence[RegisteredStudyView],
    notes: Sequence[RegisterNoteView],
) -> RegisterEntry:
    return RegisterEntry(
        id=row.id,
        name=registered_media.entry_name(row.id),
        outcome=str(row.state).lower(),
        ended_at=row.ended_at,
        request=short_id(row.request_id),
        requested_by=row.requested_by,
        file_set_id=row.file_set_id,
        file_set_uid=row.file_set_uid,
        volume_number=row.volume_number,
        volume_count=row.volume_count,
        copy_number=row.copy_number,
        number_of_copies=row.number_of_copies,
        media_application_profile=row.media_application_profile,
        medium=row.medium,
        device=row.device,
        size=row.size,
        instances=row.instances,
        label_text=row.label_text,
        barcode_value=row.barcode_value,
        media_disposition=row.media_disposition,
        verified=row.verified,
        why=row.why,
        medium_begun=row.medium_begun,
        whereabouts=registered_media.whereabouts(
            row.state, [(note.kind, note.note) for note in notes]
        ),
        studies=tuple(studies),
        notes=tuple(notes),
    )
