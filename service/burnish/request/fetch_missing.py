"""Stage: retrieves the missing instances of requests from archives, before the requests fail."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import monotonic

import structlog
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from burnish.db.history import note
from burnish.db.session import Database
from burnish.db.tables import Instance, MediaCreationRequest, ReferencedInstance
from burnish.request.query_retrieve import (
    MAXIMUM_SOP_CLASSES,
    NotRetrievedError,
    SearchHints,
    StoreInstance,
)
from burnish.request.retrieval_jobs import RetrievalJobs
from burnish.settings import PeerSettings, Settings
from burnish.vocabulary import ExecutionStatus
from burnish.wording import quantity

log = structlog.get_logger(__name__)

#: Instances are retrieved for this many requests at the same time.
REQUESTS_AT_ONCE = 4


def archives(settings: Settings) -> list[PeerSettings]:
    """The archives to retrieve from, in order."""
    return [peer for peer in settings.peer if "retrieve" in peer.may]


def waiting_requests(session: Session) -> Sequence[int]:
    """The requests whose missing instances are to be retrieved, oldest first."""
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


def missing_instances(session: Session, request_id: int) -> dict[str, str]:
    """The instances of a request that have not been received: SOP Instance UID → SOP Class UID."""
    received = exists().where(
        Instance.sop_instance_uid == ReferencedInstance.referenced_sop_instance_uid,
        Instance.is_newest(),
    )
    rows = session.execute(
        select(
            ReferencedInstance.referenced_sop_instance_uid,
            ReferencedInstance.referenced_sop_class_uid,
        ).where(ReferencedInstance.request_id == request_id, ~received)
    )
    return {row[0]: row[1] for row in rows}


def search_hints(session: Session, request_id: int) -> SearchHints:
    """The studies and patients of a request's instances, as far as Burnish has received them.

    Instances that have been released count too.
    """
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
    """Retrieves for several requests at once; for each request from one archive at a time.

    `store` stores an instance that came by C-GET. `wait_for_rows` waits a moment until what was
    received has its rows: what an archive has sent would count as missing before.
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
        self._jobs = RetrievalJobs(
            settings, store, self.retrieve, at_once=REQUESTS_AT_ONCE, thread_name="retrieve"
        )
        self._not_before: dict[int, float] = {}

    def tick(self) -> None:
        """Begins the retrievals that are due; returns at once."""
        for request_id in self._jobs.forget_ended():
            self._retry_later(request_id)
        with self._database.reading() as session:
            waiting = waiting_requests(session)
        self._not_before = {
            request_id: time
            for request_id, time in self._not_before.items()
            if request_id in waiting
        }
        for request_id in waiting:
            if monotonic() >= self._not_before.get(request_id, 0.0):
                self._jobs.begin(request_id)

    def close(self) -> None:
        """Aborts what is under way; the next start begins it again."""
        self._jobs.close()

    def retrieve(self, request_id: int) -> None:
        """Asks one archive after the other until no instance of the request is missing.

        An archive that did not answer is asked again later, as long as the request may wait.
        """
        all_answered = True
        for peer in archives(self._settings):
            with self._database.reading() as session:
                missing = missing_instances(session, request_id)
                hints = search_hints(session, request_id)
            if not missing or self._jobs.stopping:
                break
            located, problem = 0, ""
            try:
                located = self._retrieve_from(peer, missing, hints)
            except NotRetrievedError as error:
                problem, all_answered = str(error), False
            self._wait_for_rows()
            self._note_result(request_id, peer, len(missing), located, problem)
        with self._database.writing() as session:
            request = session.get(MediaCreationRequest, request_id)
            if request is None or request.retrieval_ended_at is not None or self._jobs.stopping:
                return
            if all_answered or not missing_instances(session, request_id):
                request.retrieval_ended_at = datetime.now(UTC)
            else:
                self._retry_later(request_id)

    def _retry_later(self, request_id: int) -> None:
        pause = self._settings.retrieval.retry_after.total_seconds()
        self._not_before[request_id] = monotonic() + pause

    def _retrieve_from(
        self, peer: PeerSettings, missing: Mapping[str, str], hints: SearchHints
    ) -> int:
        """Has an archive send the missing instances that it has; returns their number."""
        located = 0
        sop_classes = sorted(set(missing.values()))
        for start in range(0, len(sop_classes), MAXIMUM_SOP_CLASSES):
            batch = sop_classes[start : start + MAXIMUM_SOP_CLASSES]
            uids = [uid for uid, sop_class in missing.items() if sop_class in batch]
            with self._jobs.association(peer, batch) as archive:
                locations = archive.locate(uids, hints)
                located += len({location.sop_instance_uid for location in locations})
                archive.retrieve(locations)
        return located

    def _note_result(
        self, request_id: int, peer: PeerSettings, missing: int, located: int, problem: str
    ) -> None:
        """Writes the result of one archive to the history of the request and to the log."""
        with self._database.writing() as session:
            received = missing - len(missing_instances(session, request_id))
            if received < located:
                # still on their way, or the archive sends them to another address
                problem = f"the archive has {located} and reported that it sent them"
            why = f"{received} of {quantity(missing, 'missing instance')} from {peer.ae_title}"
            if problem:
                why += f": {problem}"
            note(session, request_id, "RETRIEVED", why)
        log.info(
            "instances retrieved",
            request_id=request_id,
            peer=peer.ae_title,
            instances=received,
            **({"why": problem} if problem else {}),
        )
