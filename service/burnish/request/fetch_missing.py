"""Stage: fetches what requests name and is not here, from archives, before they fail."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from burnish.db.history import note
from burnish.db.session import Database
from burnish.db.tables import Instance, MediaCreationRequest, ReferencedInstance
from burnish.request.query_retrieve import (
    SOP_CLASSES,
    Archive,
    Keep,
    NotRetrievedError,
    SearchHints,
)
from burnish.settings import PeerSettings, Settings
from burnish.vocabulary import ExecutionStatus

log = structlog.get_logger(__name__)

#: Requests whose instances are fetched at the same time.
_AT_ONCE = 4


def archives(settings: Settings) -> list[PeerSettings]:
    """The archives that are asked, in order."""
    return [peer for peer in settings.peer if "retrieve" in peer.may]


def waiting(session: Session) -> Sequence[int]:
    """The requests whose instances are to be fetched, oldest first."""
    return session.scalars(
        select(MediaCreationRequest.id)
        .where(
            MediaCreationRequest.execution_status == ExecutionStatus.PENDING,
            MediaCreationRequest.admitted_at.is_(None),
            MediaCreationRequest.held_at.is_(None),
            MediaCreationRequest.retrieval_began_at.is_not(None),
            MediaCreationRequest.retrieval_ended_at.is_(None),
        )
        .order_by(MediaCreationRequest.retrieval_began_at)
    ).all()


def missing(session: Session, request_id: int) -> dict[str, str]:
    """What a request names and is not here: SOP Instance UID → SOP Class UID."""
    here = exists().where(
        Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid,
        Instance.released_at.is_(None),
    )
    rows = session.execute(
        select(
            ReferencedInstance.referenced_sop_instance_uid,
            ReferencedInstance.referenced_sop_class_uid,
        ).where(ReferencedInstance.request_id == request_id, ~here)
    )
    return {row[0]: row[1] for row in rows}


def hints(session: Session, request_id: int) -> SearchHints:
    """Studies and patients of the instances that are here, or were and are on media."""
    rows = session.execute(
        select(Instance.study_instance_uid, Instance.patient_id)
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .where(ReferencedInstance.request_id == request_id)
        .distinct()
    ).all()
    return SearchHints(
        tuple(dict.fromkeys(row.study_instance_uid for row in rows if row.study_instance_uid)),
        tuple(dict.fromkeys(row.patient_id for row in rows if row.patient_id)),
    )


class Retriever:
    """Fetches for several requests at once; one archive after the other for each."""

    def __init__(self, settings: Settings, database: Database, keep: Keep) -> None:
        self._settings = settings
        self._database = database
        self._keep = keep
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="retrieve")
        self._under_way: dict[int, Future[None]] = {}
        self._not_before: dict[int, float] = {}
        self._open: list[Archive] = []
        self._stopping = False

    def tick(self) -> None:
        """Begins what is to be fetched, and returns."""
        for request_id, future in list(self._under_way.items()):
            if future.done():
                del self._under_way[request_id]
                if error := future.exception():
                    log.error("a retrieval ended by a defect", exc_info=error)
                    self._not_before[request_id] = monotonic() + self._pause
        with self._database.reading() as session:
            wanted = waiting(session)
        self._not_before = {i: at for i, at in self._not_before.items() if i in wanted}
        for request_id in wanted:
            due = monotonic() >= self._not_before.get(request_id, 0.0)
            if due and request_id not in self._under_way:
                self._under_way[request_id] = self._pool.submit(self.fetch, request_id)

    @property
    def _pause(self) -> float:
        return self._settings.retrieval.retry_after.total_seconds()

    def close(self) -> None:
        """Leaves what is under way to the next start."""
        self._stopping = True
        for archive in list(self._open):
            archive.abort()
        self._pool.shutdown(cancel_futures=True)

    def fetch(self, request_id: int) -> None:
        """Asks every archive for what is missing of one request, until nothing is.

        An archive that did not answer is asked again later, while the request may still wait.
        """
        unanswered = False
        for peer in archives(self._settings):
            with self._database.reading() as session:
                wanted, where = missing(session, request_id), hints(session, request_id)
            if not wanted or self._stopping:
                break
            try:
                has, why = self._fetch_from(peer, wanted, where), ""
            except NotRetrievedError as error:
                has, why, unanswered = 0, str(error), True
            self._say(request_id, peer, len(wanted), has, why)
        with self._database.writing() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None or request.retrieval_ended_at is not None or self._stopping:
                return
            if missing(session, request_id) and unanswered:
                self._not_before[request_id] = monotonic() + self._pause
            else:
                request.retrieval_ended_at = datetime.now(UTC)

    def _fetch_from(self, peer: PeerSettings, wanted: Mapping[str, str], where: SearchHints) -> int:
        """Has one archive send what it has; how many of the wanted instances that are."""
        has = 0
        classes = sorted(set(wanted.values()))
        for start in range(0, len(classes), SOP_CLASSES):
            some = classes[start : start + SOP_CLASSES]
            with Archive(peer, self._settings, sop_classes=some, keep=self._keep) as archive:
                self._open.append(archive)
                try:
                    uids = [uid for uid, sop_class in wanted.items() if sop_class in some]
                    found = archive.find(uids, where)
                    has += len({one.sop_instance_uid for one in found})
                    archive.retrieve(found)
                finally:
                    self._open.remove(archive)
        return has

    def _say(self, request_id: int, peer: PeerSettings, wanted: int, has: int, why: str) -> None:
        with self._database.writing() as session:
            came = wanted - len(missing(session, request_id))
            if came < has:  # they may be on their way, or go to somebody else
                why = f"it has {has}, and says that it sent them"
            note(
                session,
                request_id,
                "RETRIEVED",
                f"{came} of {wanted} missing instances from {peer.ae_title}" + (why and f": {why}"),
            )
        more = {"why": why} if why else {}
        log.info("retrieved", request_id=request_id, peer=peer.ae_title, instances=came, **more)
