"""Ground: enters pieces of media into the register, in the transaction that ends them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Select, delete, exists, func, insert, select
from sqlalchemy.orm import Session

from burnish import character_sets
from burnish.db.session import in_batches
from burnish.db.tables import (
    Event,
    FileSet,
    FileSetEntry,
    Instance,
    MediaCreationRequest,
    Piece,
    RegisteredPiece,
    RegisteredStudy,
    RegisterNote,
    RegisterTerm,
)
from burnish.dicom_elements import scan
from burnish.folding import terms
from burnish.vocabulary import PieceState

#: The states in which a piece of media is in the register.
REGISTERED_STATES = frozenset({PieceState.CREATED, PieceState.SPOILED})
#: The kinds of notes that tell where a piece is; there are others.
GIVEN_OUT, DESTROYED = "given out to", "destroyed"
#: The most rows that one call of `delete_old` deletes.
_MOST_DELETED = 500
_SPECIFIC_CHARACTER_SET = 0x00080005
_BIRTH_DATE, _STUDY_DESCRIPTION, _ACCESSION_NUMBER = 0x00100030, 0x00081030, 0x00080050
_TEXTS = (_BIRTH_DATE, _STUDY_DESCRIPTION, _ACCESSION_NUMBER)
_VERIFIED_BEFORE = "read back without a fault"


@dataclass
class _Study:
    """One study of one patient, as the instances of a volume describe it."""

    patient_id: str
    issuer_of_patient_id: str
    study_instance_uid: str
    patient_name: str = ""
    study_date: str = ""
    modalities: dict[str, None] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    instances: int = 0


def register(
    session: Session,
    piece: Piece,
    *,
    ended_at: datetime,
    why: str,
    verified: str,
    medium_begun: bool,
) -> None:
    """Enter a piece that was created or spoiled, with the patients and studies on it."""
    file_set = session.get_one(FileSet, piece.file_set_id)
    request = session.get_one(MediaCreationRequest, file_set.request_id)
    registered = RegisteredPiece(
        request_id=request.id,
        piece_id=piece.id,
        request_sop_instance_uid=request.sop_instance_uid,
        requested_by=request.requested_by,
        state=piece.state,
        ended_at=ended_at,
        why=why,
        medium_begun=medium_begun,
        verified=verified,
        file_set_id=file_set.file_set_id,
        file_set_uid=file_set.file_set_uid,
        volume_number=file_set.volume_number,
        volume_count=file_set.volume_count,
        copy_number=piece.copy_number,
        number_of_copies=request.number_of_copies,
        media_application_profile=file_set.media_application_profile,
        medium=file_set.medium,
        device=piece.device,
        size=file_set.predicted_size,
        instances=file_set.instances,
        label_text=request.label_text,
        barcode_value=request.barcode_value,
        media_disposition=request.media_disposition,
    )
    session.add(registered)
    session.flush()
    studies = _studies_of(session, file_set.id)
    if studies:
        session.execute(
            insert(RegisteredStudy),
            [_study_row(registered.id, at, study) for at, study in enumerate(studies)],
        )
    found_by = _terms_of(registered, studies)
    rows = [{"term": term, "registered_piece_id": registered.id} for term in found_by]
    session.execute(insert(RegisterTerm), rows)


def entry_name(entry_id: int) -> str:
    """The name of a piece in the register: M000012."""
    return f"M{entry_id:06d}"


def whereabouts(state: PieceState, notes: Iterable[tuple[str, str]]) -> str:
    """The last of what is known of where a piece is, from its notes by kind and text, in order.

    It is "made", "given out to …" or "destroyed"; "" for a spoiled piece without notes.
    """
    known = "made" if state is PieceState.CREATED else ""
    for kind, text in notes:
        if kind == GIVEN_OUT:
            known = f"{kind} {text}"
        elif kind == DESTROYED:
            known = kind
    return known


class RegisterFacts(NamedTuple):
    """What the register has of one piece: its name, how it was read back, and where it is."""

    name: str = ""
    verified: str = ""
    whereabouts: str = ""


def facts_of_request(session: Session, request_id: int) -> dict[int, RegisterFacts]:
    """What the register has of each piece of a request, by the id of the piece."""
    registered = session.scalars(
        select(RegisteredPiece)
        .where(RegisteredPiece.request_id == request_id)
        .order_by(RegisteredPiece.id)
    ).all()
    notes: dict[int, list[tuple[str, str]]] = {}
    for note in session.scalars(
        select(RegisterNote)
        .where(RegisterNote.registered_piece_id.in_([row.id for row in registered]))
        .order_by(RegisterNote.id)
    ):
        notes.setdefault(note.registered_piece_id, []).append((note.kind, note.text))
    return {
        row.piece_id: RegisterFacts(
            entry_name(row.id), row.verified, whereabouts(row.state, notes.get(row.id, ()))
        )
        for row in registered
    }


def fill_missing(session: Session, *, after: datetime, limit: int) -> int:
    """Enter pieces that ended before there was a register, and the number of them.

    Pieces that ended before `after` are left out.
    """
    rows = session.execute(_missing(after).limit(limit)).all()
    for piece, event in rows:
        register(
            session,
            piece,
            ended_at=event.at,
            why="" if piece.state is PieceState.CREATED else event.why,
            verified=_VERIFIED_BEFORE if piece.state is PieceState.CREATED else "",
            medium_begun=event.before != PieceState.IMAGING,
        )
    return len(rows)


def anything_missing(session: Session, *, after: datetime) -> bool:
    """Whether `fill_missing` finds a piece."""
    return session.execute(_missing(after).limit(1)).first() is not None


def _missing(after: datetime) -> Select[Piece, Event]:
    registered = exists().where(
        RegisteredPiece.request_id == Event.request_id,
        RegisteredPiece.piece_id == Piece.id,
        RegisteredPiece.ended_at == Event.at,
    )
    last_event = (
        select(func.max(Event.id))
        .where(
            Event.request_id == FileSet.request_id,
            Event.piece_id == Piece.id,
            Event.after == Piece.state,
        )
        .correlate(FileSet, Piece)
        .scalar_subquery()
    )
    return (
        select(Piece, Event)
        .join(FileSet, Piece.file_set_id == FileSet.id)
        .join(Event, Event.id == last_event)
        .where(Piece.state.in_(REGISTERED_STATES), Event.at >= after, ~registered)
        .order_by(Event.id)
    )


def delete_old(session: Session, keep: timedelta) -> None:
    """Delete pieces whose time in the register is over."""
    old = session.scalars(
        select(RegisteredPiece.id)
        .where(RegisteredPiece.ended_at < datetime.now(UTC) - keep)
        .limit(_MOST_DELETED)
    ).all()
    if old:
        session.execute(
            delete(RegisteredPiece)
            .where(RegisteredPiece.id.in_(old))
            .execution_options(synchronize_session=False)
        )


def _studies_of(session: Session, file_set_id: int) -> list[_Study]:
    """The studies on a volume in the order of its instances."""
    rows = session.execute(
        select(
            Instance.patient_id,
            Instance.issuer_of_patient_id,
            Instance.study_instance_uid,
            Instance.series_instance_uid,
            Instance.modality,
            func.max(Instance.patient_name).label("patient_name"),
            func.max(Instance.study_date).label("study_date"),
            func.min(Instance.id).label("first_id"),
            func.count().label("instances"),
        )
        .join(FileSetEntry, FileSetEntry.instance_id == Instance.id)
        .where(FileSetEntry.file_set_id == file_set_id)
        .group_by(
            Instance.patient_id,
            Instance.issuer_of_patient_id,
            Instance.study_instance_uid,
            Instance.series_instance_uid,
            Instance.modality,
        )
        .order_by(func.min(FileSetEntry.ordinal))
    ).all()
    keys_of: dict[int, bytes] = {}
    for batch in in_batches([row.first_id for row in rows], 500):
        query = select(Instance.id, Instance.entity_keys).where(Instance.id.in_(batch))
        keys_of.update((row.id, row.entity_keys) for row in session.execute(query))
    studies: dict[tuple[str, str, str], _Study] = {}
    for row in rows:
        key = (row.patient_id, row.issuer_of_patient_id, row.study_instance_uid)
        study = studies.setdefault(key, _Study(*key))
        study.patient_name = max(study.patient_name, row.patient_name, key=len)
        study.study_date = study.study_date or row.study_date
        study.instances += row.instances
        if row.modality:
            study.modalities[row.modality] = None
        for tag, text in _texts(keys_of[row.first_id]).items():
            study.texts[tag] = study.texts.get(tag) or text
    return list(studies.values())


def _study_row(registered_piece_id: int, ordinal: int, study: _Study) -> dict[str, Any]:
    return {
        "registered_piece_id": registered_piece_id,
        "ordinal": ordinal,
        "patient_id": study.patient_id,
        "issuer_of_patient_id": study.issuer_of_patient_id,
        "patient_name": study.patient_name,
        "patient_birth_date": study.texts.get(_BIRTH_DATE, ""),
        "study_instance_uid": study.study_instance_uid,
        "study_date": study.study_date,
        "study_description": study.texts.get(_STUDY_DESCRIPTION, ""),
        "accession_number": study.texts.get(_ACCESSION_NUMBER, ""),
        "modalities": " ".join(study.modalities),
        "instances": study.instances,
    }


def _texts(entity_keys: bytes) -> dict[int, str]:
    """The decoded values of the keys that the register keeps."""
    values = {
        element.tag: entity_keys[element.value : element.value + element.length]
        for element in scan(entity_keys, 0, len(entity_keys), explicit=True)
    }
    character_set = values.get(_SPECIFIC_CHARACTER_SET, b"")
    return {
        tag: character_sets.decode(values[tag], character_set).replace("\0", "").strip()
        for tag in _TEXTS
        if tag in values
    }


def _terms_of(registered: RegisteredPiece, studies: Iterable[_Study]) -> list[str]:
    """The words by which a piece is found."""
    texts = [registered.file_set_id, registered.barcode_value, registered.label_text]
    for study in studies:
        texts += [study.patient_name, study.patient_id, study.texts.get(_ACCESSION_NUMBER, "")]
    return terms(" ".join(texts))
