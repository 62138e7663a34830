"""Missing instances are retrieved from archives of every kind, for a limited time."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pynetdicom import AE, evt
from sqlalchemy import update

from burnish.db.tables import Instance, MediaCreationRequest
from burnish.receive import Receiver
from burnish.request import admission, fetch_missing, listing, operations
from burnish.schedule import Schedule
from burnish.settings import PeerSettings, RetrievalSettings
from burnish.values import WholeInstance
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
)
from factories import CT, Ground, SampleInstance, instance
from ports import free_port

GET = RetrievalSettings(method="C-GET", retry_after=timedelta(0))
LONG_AGO = datetime(2024, 1, 2, tzinfo=UTC)


@contextmanager
def ground_with(
    tmp_path: Path, retrieval: RetrievalSettings = GET, titles: Sequence[str] = ("ARCHIVE",)
) -> Iterator[Ground]:
    may = ("echo", "store", "retrieve")
    peers = tuple(
        PeerSettings(ae_title=title, host="127.0.0.1", port=free_port(), may=may)
        for title in titles
    )
    with Ground(tmp_path, peer=peers, retrieval=retrieval) as ground:
        yield ground


class Archive:
    """An archive: its instances, and the queries that it answers."""

    def __init__(
        self,
        instances: Iterable[SampleInstance],
        *,
        relational: bool = True,
        negotiates: bool = True,
    ):
        self.data_sets = [
            read_dataset(BytesIO(stored.data_set), False, True) for stored in instances
        ]
        self.relational = relational
        self.negotiates = negotiates
        self.queries: list[tuple[str, list[str]]] = []
        self.sends_elsewhere = False

    @contextmanager
    def serving(self, peer: PeerSettings) -> Iterator[None]:
        ae = AE(peer.ae_title)
        ae.add_supported_context(STUDY_ROOT_FIND)
        ae.add_supported_context(STUDY_ROOT_GET)
        ae.add_supported_context(CT, EXPLICIT_VR_LITTLE_ENDIAN, scu_role=True, scp_role=True)
        handlers = [
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_C_GET, self._get),
            (evt.EVT_SOP_EXTENDED, self._extended),
        ]
        server = ae.start_server((peer.host, peer.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def _extended(self, event: evt.Event) -> dict[Any, bytes]:
        return dict(event.app_info) if self.relational and self.negotiates else {}

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level = query.QueryRetrieveLevel
        names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        keys = [name for name in (*names, "PatientID", "StudyDate") if query.get(name)]
        self.queries.append((level, keys))
        depth = ("STUDY", "SERIES", "IMAGE").index(level)
        if not self.relational and any(not query.get(name) for name in names[:depth]):
            yield 0xA900, None
            return
        answers = {}
        for data_set in self._matching(query):
            answer = Dataset()
            for name in names[: depth + 1]:
                setattr(answer, name, data_set[name].value)
            answers[answer[names[depth]].value] = answer
        for answer in answers.values():
            yield 0xFF00, answer

    def _matching(self, query: Dataset) -> list[Dataset]:
        matching = self.data_sets
        for element in query:
            if element.keyword in ("QueryRetrieveLevel", "StudyDate") or not element.value:
                continue
            values = list(element.value) if element.VM > 1 else [element.value]
            matching = [data_set for data_set in matching if data_set[element.tag].value in values]
        return matching

    def _get(self, event: evt.Event) -> Iterator[Any]:
        matching = [] if self.sends_elsewhere else self._matching(event.identifier)
        yield len(matching)
        for data_set in matching:
            data_set.file_meta = FileMetaDataset()
            data_set.file_meta.TransferSyntaxUID = EXPLICIT_VR_LITTLE_ENDIAN
            yield 0xFF00, data_set


def new_request(ground: Ground, *instances: SampleInstance) -> str:
    """A request that has waited long enough for peers to send its instances."""
    uid = ground.create(instances)
    with ground.database.writing() as session:
        request = operations.initiate(session, ground.settings.request, uid)
        request.initiated_at = LONG_AGO
    return uid


def admit(ground: Ground) -> bool:
    with ground.database.writing() as session:
        (request_id,) = admission.waiting_requests(session)
        retrieval = ground.settings.retrieval
        return admission.admit(session, request_id, timedelta(0), retrieval.give_up_after)


def fetch(ground: Ground) -> None:
    """One round of retrieval; the schedule has what is retrieved stored."""
    schedule = Schedule(ground.settings, ground.database, ground.spool, lambda: None)
    schedule._retriever.tick()
    schedule._retriever._jobs._pool.shutdown()
    schedule._planner.close()


def results(ground: Ground, uid: str) -> list[str]:
    with ground.database.reading() as session:
        line = listing.find_request(session, uid)
        events = listing.events(session, line)
    return [event.why for event in events if event.event == "RETRIEVED"]


def received_uids(ground: Ground) -> set[str]:
    with ground.database.reading() as session:
        return {row.sop_instance_uid for row in session.query(Instance)}


def test_a_relational_archive_is_asked_once(tmp_path: Path) -> None:
    instances = [instance(instance_number=n, series=f"1.2.3.1.{n % 2 + 1}") for n in range(4)]
    archive = Archive(instances)
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        uid = new_request(ground, *instances)
        assert not admit(ground), "archives are asked first"
        fetch(ground)
        assert archive.queries == [("IMAGE", ["SOPInstanceUID"])]
        assert received_uids(ground) == {stored.sop_instance_uid for stored in instances}
        assert results(ground, uid) == ["4 of 4 missing instances from ARCHIVE"]
        assert admit(ground)
        assert ground.request(uid).admitted_at
        with ground.database.reading() as session:
            rows = session.query(Instance).all()
        assert {(row.calling_ae_title, row.called_ae_title) for row in rows} == {
            ("ARCHIVE", "BURNISH")
        }
        for row in rows:
            data_set = ground.stored_file(row)[row.data_set_offset :]
            assert data_set in [stored.data_set for stored in instances], "byte for byte"


def test_an_instance_that_was_released_is_missing_again(tmp_path: Path) -> None:
    present, released, never = instance(), instance(), instance()
    with Ground(tmp_path) as ground:
        ground.store(present)
        ground.store(released, released_at=LONG_AGO)
        uid = new_request(ground, present, released, never)
        with ground.database.reading() as session:
            missing = fetch_missing.missing_instances(session, ground.request(uid).id)
    assert missing == {
        released.sop_instance_uid: released.sop_class_uid,
        never.sop_instance_uid: never.sop_class_uid,
    }


def test_an_archive_is_judged_once_what_it_sent_has_rows(tmp_path: Path) -> None:
    """Otherwise the next archive would be asked for what has just come."""
    wanted = instance()
    first, second = Archive([wanted]), Archive([wanted])
    sent: list[WholeInstance] = []
    with (
        ground_with(tmp_path, titles=("FIRST", "SECOND")) as ground,
        first.serving(ground.settings.peer[0]),
        second.serving(ground.settings.peer[1]),
    ):
        receiver = Receiver(ground.database, ground.spool)

        def have_rows_follow() -> None:
            while sent:
                receiver.receive(sent.pop())
            receiver.index()

        uid = new_request(ground, wanted)
        admit(ground)
        retriever = fetch_missing.Retriever(
            ground.settings, ground.database, sent.append, have_rows_follow
        )
        retriever.retrieve(ground.request(uid).id)
        retriever.close()
        assert results(ground, uid) == ["1 of 1 missing instance from FIRST"]
        assert second.queries == []


def test_nothing_is_retrieved_for_a_request_that_is_held(tmp_path: Path) -> None:
    wanted = instance()
    archive = Archive([wanted])
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        uid = new_request(ground, wanted)
        admit(ground)
        with ground.database.writing() as session:
            operations.hold(session, uid)
        fetch(ground)
        assert archive.queries == []
        with ground.database.writing() as session:
            operations.release(session, uid)
        fetch(ground)
        assert received_uids(ground) == {wanted.sop_instance_uid}


def test_a_hierarchical_archive_is_searched_by_known_studies_and_patients(tmp_path: Path) -> None:
    first = instance(study="1.2.1", series="1.2.1.1")
    same, other = (
        instance(study="1.2.1", series="1.2.1.2", instance_number=2),
        instance(study="1.2.2", series="1.2.2.1", instance_number=3),
    )
    archive = Archive([first, same, other], relational=False)
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        ground.store(first)
        uid = new_request(ground, first, same, other)
        admit(ground)
        fetch(ground)
        assert results(ground, uid) == ["2 of 2 missing instances from ARCHIVE"]
        assert archive.queries[0] == ("SERIES", ["StudyInstanceUID"])
        assert ("STUDY", ["PatientID"]) in archive.queries
        assert ("IMAGE", ["SOPInstanceUID"]) not in archive.queries


def test_an_archive_may_answer_relational_queries_it_did_not_negotiate(tmp_path: Path) -> None:
    wanted = instance()
    archive = Archive([wanted], negotiates=False)
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        new_request(ground, wanted)
        admit(ground)
        fetch(ground)
        assert received_uids(ground) == {wanted.sop_instance_uid}


def test_recent_studies_are_searched_if_recent_days_is_set(
    tmp_path: Path,
) -> None:
    wanted = instance()
    archive = Archive([wanted], relational=False)
    retrieval = GET.model_copy(update={"recent_days": 7})
    with ground_with(tmp_path, retrieval) as ground, archive.serving(ground.settings.peer[0]):
        new_request(ground, wanted)
        admit(ground)
        fetch(ground)
        assert archive.queries[0] == ("STUDY", ["StudyDate"])
        assert received_uids(ground) == {wanted.sop_instance_uid}


def test_a_request_fails_at_once_if_no_archive_has_an_instance(tmp_path: Path) -> None:
    here, lost = instance(), instance(instance_number=2)
    archive = Archive([here])
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        uid = new_request(ground, here, lost)
        admit(ground)
        fetch(ground)
        assert results(ground, uid) == ["1 of 2 missing instances from ARCHIVE"]
        assert admit(ground)
        ground.plan()
        request = ground.request(uid)
        assert request.execution_status is ExecutionStatus.FAILURE
        assert request.execution_status_info is ExecutionStatusInfo.NO_INSTANCE
        (failed,) = request.failures
        assert failed.referenced_sop_instance_uid == lost.sop_instance_uid
        assert failed.failure_reason == FailureReason.NO_SUCH_OBJECT_INSTANCE
        with ground.database.writing() as session:
            operations.retry(session, uid)
        assert not admit(ground), "a retry asks the archives again"


def test_an_archive_that_did_not_answer_is_asked_again(tmp_path: Path) -> None:
    instances = [instance(instance_number=n) for n in (1, 2)]
    with ground_with(tmp_path, titles=("AWAY", "OTHER")) as ground:
        away, other = ground.settings.peer
        uid = new_request(ground, *instances)
        admit(ground)
        with Archive(instances[:1]).serving(other):
            fetch(ground)
        assert results(ground, uid) == [
            "0 of 2 missing instances from AWAY: there is no connection with the peer",
            "1 of 2 missing instances from OTHER",
        ]
        assert not admit(ground), "the archive may answer later"
        assert ground.request(uid).execution_status is ExecutionStatus.PENDING
        assert ground.request(uid).execution_status_info is ExecutionStatusInfo.QUEUED
        with Archive(instances[1:]).serving(away):
            fetch(ground)
        assert admit(ground)
        assert ground.request(uid).admitted_at


def test_an_archive_that_sends_to_another_address_is_named(tmp_path: Path) -> None:
    """It has another address for our AE title: it reports success, and nothing is received."""
    wanted = instance()
    archive = Archive([wanted])
    archive.sends_elsewhere = True
    with ground_with(tmp_path) as ground, archive.serving(ground.settings.peer[0]):
        uid = new_request(ground, wanted)
        admit(ground)
        fetch(ground)
        assert results(ground, uid) == [
            "0 of 1 missing instance from ARCHIVE: the archive has 1 and reported that it sent them"
        ]


def test_a_request_fails_when_archives_take_too_long(tmp_path: Path) -> None:
    with ground_with(tmp_path) as ground:
        uid = new_request(ground, instance())
        admit(ground)
        with ground.database.writing() as session:
            session.execute(update(MediaCreationRequest).values(retrieval_began_at=LONG_AGO))
        assert admit(ground)
        ground.plan()
        assert ground.request(uid).execution_status is ExecutionStatus.FAILURE


def test_without_archives_nothing_is_retrieved(tmp_path: Path) -> None:
    with Ground(tmp_path) as ground:
        uid = new_request(ground, instance())
        with ground.database.writing() as session:
            assert admission.admit(session, 1, timedelta(0))
        assert ground.request(uid).retrieval_began_at is None
        assert fetch_missing.archives(ground.settings) == []


def test_an_instance_that_the_receive_stage_rejects_is_not_acknowledged(tmp_path: Path) -> None:
    wanted = instance()
    with ground_with(tmp_path) as ground:
        schedule = Schedule(ground.settings, ground.database, ground.spool, lambda: None)
        wrong = WholeInstance(CT, "1.2.99", EXPLICIT_VR_LITTLE_ENDIAN, "A", "B", wanted.data_set)
        with pytest.raises(Exception, match="SOP Instance UID of the data set"):
            schedule._keep(wrong)
        schedule._planner.close()
        assert received_uids(ground) == set()
        assert list(ground.spool.incoming.iterdir()) == []
