"""Stage: studies that people look for at an archive, and have retrieved from it.

What somebody asks for becomes a row; the scheduler retrieves it, and begins again after a restart.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from time import monotonic
from typing import Any

import structlog
from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session, selectinload

from burnish.db.session import Database, in_batches
from burnish.db.tables import Instance, RetrievedStudy, StudyRetrieval
from burnish.errors import InvalidArgument, MissingValue, NotNow, PeerFailed, Unknown
from burnish.identifiers import is_uid
from burnish.request.fetch_missing import archives
from burnish.request.query_retrieve import (
    MAXIMUM_SOP_CLASSES,
    Archive,
    FoundStudy,
    InstanceLocation,
    LocatedInstance,
    NotRetrievedError,
    StoreInstance,
)
from burnish.request.retrieval_jobs import RetrievalJobs
from burnish.settings import PeerSettings, Settings
from burnish.values import Actor, WholeInstance
from burnish.wording import quantity

log = structlog.get_logger(__name__)

#: The most studies of one retrieval, and of the answer to one search.
MOST_STUDIES = 100
#: Retrievals that run at the same time.
RETRIEVALS_AT_ONCE = 2
_BATCH = 500
#: Seconds between two looks at how much has arrived.
_LOOK = 1.0
#: Retrievals are shown beside the arrivals for so long after their end, and so many.
_RECENT = timedelta(hours=12)
_MOST_RECENT = 10
#: A retrieval is forgotten this long after its end: it names patients.
_KEPT = timedelta(days=7)
#: What an association is proposed for if the archive does not tell SOP Classes: those of most
#: images and reports.
_USUAL_SOP_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{suffix}"
    for suffix in (
        "1",  # CR
        "1.1",  # DX
        "1.2",  # MG
        "2",  # CT
        "2.1",  # Enhanced CT
        "3.1",  # US Multi-frame
        "4",  # MR
        "4.1",  # Enhanced MR
        "6.1",  # US
        "7",  # SC
        "11.1",  # GSPS
        "12.1",  # XA
        "12.2",  # XRF
        "20",  # NM
        "88.22",  # Enhanced SR
        "88.59",  # KO
        "128",  # PT
    )
)


class RetrievalState(StrEnum):
    """How far a retrieval is."""

    WAITING = "waiting"
    RETRIEVING = "retrieving"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ArchiveStudy:
    """A study that an archive has. `here` is how many of its instances have been received."""

    study: FoundStudy
    here: int


@dataclass(frozen=True, slots=True)
class FoundStudies:
    """The studies of an archive; `more` if it has more than are listed."""

    archive: str
    studies: tuple[ArchiveStudy, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class RetrievedStudyLine:
    """One study of a retrieval, as the archive describes it."""

    study_instance_uid: str
    patient_name: str
    patient_id: str
    study_date: str
    study_description: str


@dataclass(frozen=True, slots=True)
class RetrievalView:
    """A retrieval: `received` of the `located` instances that were missing have arrived.

    `located` is None until the archive was asked.
    """

    id: int
    archive: str
    actor: str
    state: RetrievalState
    asked_at: datetime
    ended_at: datetime | None
    located: int | None
    received: int
    problem: str
    remedy: str
    studies: tuple[RetrievedStudyLine, ...]


def find_archive(settings: Settings, ae_title: str) -> PeerSettings:
    """The archive with this AE title; raises Unknown."""
    for peer in archives(settings):
        if peer.ae_title == ae_title:
            return peer
    raise Unknown(
        f"no archive {ae_title}",
        hint='"retrieve" in `may` of a [[peer]] makes it an archive',
    )


def find_studies(
    settings: Settings,
    database: Database,
    ae_title: str,
    *,
    patient_id: str = "",
    accession_number: str = "",
) -> FoundStudies:
    """Ask an archive for the studies of a Patient ID or an Accession Number, newest first.

    Raises MissingValue, InvalidArgument, Unknown, and PeerFailed if it does not answer.
    """
    patient_id, accession_number = patient_id.strip(), accession_number.strip()
    if not patient_id and not accession_number:
        raise MissingValue("a Patient ID or an Accession Number is needed")
    if any(letter in patient_id + accession_number for letter in "*?\\"):
        raise InvalidArgument("the Patient ID or Accession Number has to be complete")
    peer = find_archive(settings, ae_title)
    try:
        with Archive(peer, settings, sop_classes=(), store=_refuse) as archive:
            studies = archive.find_studies(patient_id=patient_id, accession_number=accession_number)
    except NotRetrievedError as error:
        raise PeerFailed(str(error), hint=error.remedy) from None
    studies.sort(key=lambda study: study.study_date, reverse=True)
    shown = studies[:MOST_STUDIES]
    with database.reading() as session:
        here = _count_here(session, [study.study_instance_uid for study in shown])
    return FoundStudies(
        ae_title,
        tuple(ArchiveStudy(study, here.get(study.study_instance_uid, 0)) for study in shown),
        len(studies) > len(shown),
    )


def _refuse(_instance: WholeInstance) -> None:
    raise NotNow("nothing was asked for")


def _count_here(session: Session, uids: Sequence[str]) -> dict[str, int]:
    rows = session.execute(
        select(Instance.study_instance_uid, func.count())
        .where(Instance.study_instance_uid.in_(uids), Instance.is_newest())
        .group_by(Instance.study_instance_uid)
    )
    return {row[0]: row[1] for row in rows}


# --- what people ask for


def ask(
    session: Session,
    settings: Settings,
    ae_title: str,
    study_instance_uids: Sequence[str],
    *,
    actor: Actor,
) -> RetrievalView:
    """Ask for studies of an archive; raises Unknown, MissingValue, InvalidArgument."""
    find_archive(settings, ae_title)
    uids = list(dict.fromkeys(study_instance_uids))
    if not uids:
        raise MissingValue("no study is chosen", hint="tick at least one study")
    if len(uids) > MOST_STUDIES:
        raise InvalidArgument(f"more than {MOST_STUDIES} studies are chosen")
    if not all(is_uid(uid) for uid in uids):
        raise InvalidArgument("a Study Instance UID is no UID")
    retrieval = StudyRetrieval(
        archive=ae_title, actor=str(actor), asked_at=datetime.now(UTC), received=0
    )
    retrieval.studies = [
        RetrievedStudy(ordinal=number, study_instance_uid=uid) for number, uid in enumerate(uids)
    ]
    session.add(retrieval)
    session.flush()
    return _view(retrieval)


def cancel(session: Session, retrieval_id: int) -> RetrievalView:
    """Cancel a retrieval; what has arrived stays. Raises Unknown, NotNow if it has ended."""
    retrieval = _find(session, retrieval_id)
    if retrieval.ended_at is not None:
        raise NotNow("the retrieval has ended")
    retrieval.cancelled_at = datetime.now(UTC)
    if retrieval.began_at is None:
        retrieval.ended_at = retrieval.cancelled_at
    session.flush()
    return _view(retrieval)


def retry(session: Session, retrieval_id: int) -> RetrievalView:
    """Begin a retrieval again that failed or was cancelled; raises Unknown, NotNow."""
    retrieval = _find(session, retrieval_id)
    if retrieval.ended_at is None or not (retrieval.problem or retrieval.cancelled_at):
        raise NotNow("the retrieval has neither failed nor been cancelled")
    retrieval.began_at = retrieval.ended_at = retrieval.cancelled_at = retrieval.located = None
    retrieval.received = 0
    retrieval.problem = retrieval.remedy = ""
    session.flush()
    return _view(retrieval)


def find_retrieval(session: Session, retrieval_id: int) -> RetrievalView:
    """One retrieval; raises Unknown."""
    return _view(_find(session, retrieval_id))


def retrievals(
    session: Session, *, limit: int, before: int = 0, since: datetime | None = None
) -> list[RetrievalView]:
    """Retrievals, newest first; with `since`, those that were asked for or ended after that."""
    query = select(StudyRetrieval).options(selectinload(StudyRetrieval.studies))
    if before:
        query = query.where(StudyRetrieval.id < before)
    if since is not None:
        query = query.where(
            StudyRetrieval.ended_at.is_(None)
            | (StudyRetrieval.ended_at >= since)
            | (StudyRetrieval.asked_at >= since)
        )
    rows = session.scalars(query.order_by(StudyRetrieval.id.desc()).limit(limit))
    return [_view(row) for row in rows]


def recent_retrievals(session: Session) -> list[RetrievalView]:
    """The retrievals that people want to see now: under way, or ended some hours ago."""
    return retrievals(session, limit=_MOST_RECENT, since=datetime.now(UTC) - _RECENT)


def fingerprint(session: Session) -> tuple[Any, ...]:
    """A value that changes whenever a retrieval does."""
    return tuple(
        session.execute(
            select(
                func.count(),
                func.max(StudyRetrieval.id),
                func.count(StudyRetrieval.began_at),
                func.count(StudyRetrieval.ended_at),
                func.count(StudyRetrieval.cancelled_at),
                func.sum(StudyRetrieval.located),
                func.sum(StudyRetrieval.received),
            )
        ).one()
    )


def open_retrievals() -> Select[Any]:
    """Selects the retrievals that have not ended, oldest first."""
    return (
        select(StudyRetrieval.id)
        .where(StudyRetrieval.ended_at.is_(None))
        .order_by(StudyRetrieval.id)
    )


def forget_old(session: Session) -> None:
    """Delete retrievals that ended a week ago."""
    session.execute(
        delete(StudyRetrieval)
        .where(StudyRetrieval.ended_at < datetime.now(UTC) - _KEPT)
        .execution_options(synchronize_session=False)
    )


def _find(session: Session, retrieval_id: int) -> StudyRetrieval:
    retrieval = session.get(StudyRetrieval, retrieval_id)
    if retrieval is None:
        raise Unknown(f"no retrieval {retrieval_id}")
    return retrieval


def _view(row: StudyRetrieval) -> RetrievalView:
    return RetrievalView(
        id=row.id,
        archive=row.archive,
        actor=row.actor,
        state=_state(row),
        asked_at=row.asked_at,
        ended_at=row.ended_at,
        located=row.located,
        received=row.received,
        problem=row.problem,
        remedy=row.remedy,
        studies=tuple(
            RetrievedStudyLine(
                study.study_instance_uid,
                study.patient_name,
                study.patient_id,
                study.study_date,
                study.study_description,
            )
            for study in row.studies
        ),
    )


def _state(row: StudyRetrieval) -> RetrievalState:
    if row.ended_at is None:
        return RetrievalState.WAITING if row.began_at is None else RetrievalState.RETRIEVING
    if row.problem:
        return RetrievalState.FAILED
    return RetrievalState.CANCELLED if row.cancelled_at is not None else RetrievalState.DONE


# --- the work of the scheduler


class StudyRetriever:
    """Retrieves what people ask for, two retrievals at once.

    `store` stores an instance that came by C-GET. `wait_for_rows` waits a moment until what was
    received has its rows.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: StoreInstance,
        wait_for_rows: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._database = database
        self._wait_for_rows = wait_for_rows
        self._open = database.question(open_retrievals())
        self._jobs = RetrievalJobs(
            settings,
            store,
            self.retrieve,
            at_once=RETRIEVALS_AT_ONCE,
            thread_name="retrieve studies",
        )

    def tick(self) -> None:
        """Begin the retrievals that were asked for; returns at once."""
        for retrieval_id in self._jobs.forget_ended():
            self._end(retrieval_id, (), "an error that Burnish does not expect", "")
        if not self._open.is_true():
            return
        with self._database.reading() as session:
            open_ids = session.scalars(open_retrievals()).all()
        for retrieval_id in open_ids:
            self._jobs.begin(retrieval_id)

    def close(self) -> None:
        """Abort what is under way; the next start begins it again."""
        self._jobs.close()

    def retrieve(self, retrieval_id: int) -> None:
        """Have the archive send what is not here of the studies of one retrieval."""
        with self._database.writing() as session:
            retrieval = session.get(StudyRetrieval, retrieval_id)
            if retrieval is None or retrieval.ended_at is not None:
                return
            retrieval.began_at = retrieval.began_at or datetime.now(UTC)
            ae_title = retrieval.archive
            uids = [study.study_instance_uid for study in retrieval.studies]
        missing: list[LocatedInstance] = []
        problem = remedy = ""
        try:
            peer = find_archive(self._settings, ae_title)
            missing = self._locate(retrieval_id, peer, uids)
            self._retrieve_from(retrieval_id, peer, missing)
        except _CancelledError:
            pass
        except NotRetrievedError as error:
            problem, remedy = str(error), error.remedy
        except Unknown as error:
            problem, remedy = str(error), error.hint
        if self._jobs.stopping:
            return
        self._wait_for_rows()
        self._end(retrieval_id, missing, problem, remedy)

    def _locate(
        self, retrieval_id: int, peer: PeerSettings, uids: Sequence[str]
    ) -> list[LocatedInstance]:
        """The instances of the studies that the archive has and that are not here."""
        located: dict[str, LocatedInstance] = {}
        studies: list[FoundStudy] = []
        with self._jobs.association(peer, ()) as archive:
            for uid in uids:
                studies += archive.find_studies(study_instance_uid=uid)
                of_study = archive.instances_of(uid)
                if not of_study:
                    raise NotRetrievedError(
                        f"the archive has no instance of the study {uid}", "search again"
                    )
                for instance in of_study:
                    located[instance.location.sop_instance_uid] = instance
        here = self._here(located)
        missing = [instance for uid, instance in located.items() if uid not in here]
        with self._database.writing() as session:
            retrieval = session.get_one(StudyRetrieval, retrieval_id)
            retrieval.located = len(missing)
            _describe(retrieval, studies)
        return missing

    def _retrieve_from(
        self, retrieval_id: int, peer: PeerSettings, missing: Sequence[LocatedInstance]
    ) -> None:
        """Retrieve instances series by series; raises NotRetrievedError after the last of them."""
        progress = _RetrievalProgress(self._database, retrieval_id, missing, self._here)
        failure: NotRetrievedError | None = None
        for sop_classes, instances in _by_sop_classes(missing):
            with self._jobs.association(peer, sop_classes) as archive:
                for locations in _by_series(instances):
                    try:
                        archive.retrieve(locations, progress.look)
                    except NotRetrievedError as error:
                        failure = failure or error
                    except _CancelledError:
                        archive.abort()
                        raise
        if failure is not None:
            raise failure

    def _here(self, uids: Iterable[str]) -> set[str]:
        """Which of the instances are here."""
        here: set[str] = set()
        with self._database.reading() as session:
            for batch in in_batches(list(uids), _BATCH):
                here.update(
                    session.scalars(
                        select(Instance.sop_instance_uid).where(
                            Instance.sop_instance_uid.in_(batch), Instance.is_newest()
                        )
                    )
                )
        return here

    def _end(
        self, retrieval_id: int, missing: Sequence[LocatedInstance], problem: str, remedy: str
    ) -> None:
        received = len(self._here(instance.location.sop_instance_uid for instance in missing))
        with self._database.writing() as session:
            retrieval = session.get(StudyRetrieval, retrieval_id)
            if retrieval is None:
                return
            left = len(missing) - received
            if not problem and left and retrieval.cancelled_at is None:
                problem = (
                    f"{quantity(left, 'instance')} did not arrive, although the archive reported"
                    " that it sent everything"
                )
                own_title = self._settings.dicom.ae_title
                remedy = (
                    f"check which address the archive knows for the AE {own_title}, and the"
                    " rejected associations on the page Peers"
                )
            retrieval.received = received
            retrieval.ended_at = datetime.now(UTC)
            retrieval.problem, retrieval.remedy = problem, remedy
            archive = retrieval.archive
        log.info(
            "studies retrieved",
            retrieval=retrieval_id,
            peer=archive,
            instances=received,
            **({"why": problem} if problem else {}),
        )


class _CancelledError(Exception):
    """Somebody has cancelled the retrieval."""


class _RetrievalProgress:
    """Writes down now and then how much has arrived, and looks whether somebody has cancelled."""

    def __init__(
        self,
        database: Database,
        retrieval_id: int,
        missing: Sequence[LocatedInstance],
        here: Callable[[Iterable[str]], set[str]],
    ) -> None:
        self._database = database
        self._retrieval_id = retrieval_id
        self._uids = [instance.location.sop_instance_uid for instance in missing]
        self._here = here
        self._next_look = 0.0

    def look(self) -> None:
        """Look, unless that was done a moment ago; raises _CancelledError."""
        began = monotonic()
        if began < self._next_look:
            return
        received = len(self._here(self._uids))
        with self._database.writing() as session:
            retrieval = session.get_one(StudyRetrieval, self._retrieval_id)
            retrieval.received = received
            is_cancelled = retrieval.cancelled_at is not None
        if is_cancelled:
            raise _CancelledError
        now = monotonic()
        self._next_look = now + max(_LOOK, 20 * (now - began))


def _describe(retrieval: StudyRetrieval, studies: Sequence[FoundStudy]) -> None:
    """Note what the archive says of the studies."""
    by_uid = {study.study_instance_uid: study for study in studies}
    for row in retrieval.studies:
        study = by_uid.get(row.study_instance_uid)
        if study is not None:
            row.patient_name = study.patient_name
            row.patient_id = study.patient_id
            row.study_date = study.study_date
            row.study_description = study.study_description


def _by_sop_classes(
    instances: Sequence[LocatedInstance],
) -> Iterable[tuple[Sequence[str], list[LocatedInstance]]]:
    """Instances with the SOP Classes of one association each."""
    sop_classes = sorted({instance.sop_class_uid for instance in instances} - {""})
    for start in range(0, len(sop_classes), MAXIMUM_SOP_CLASSES):
        batch = sop_classes[start : start + MAXIMUM_SOP_CLASSES]
        yield batch, [instance for instance in instances if instance.sop_class_uid in batch]
    others = [instance for instance in instances if not instance.sop_class_uid]
    if others:
        yield _USUAL_SOP_CLASSES, others


def _by_series(instances: Sequence[LocatedInstance]) -> Iterable[list[InstanceLocation]]:
    series: dict[str, list[InstanceLocation]] = {}
    for instance in instances:
        series.setdefault(instance.location.series_instance_uid, []).append(instance.location)
    return series.values()
