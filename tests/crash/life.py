"""The whole flow in one process: what the roles of the service do, one after the other.

The stages and their files are the real ones. The network, the clock and the pools of processes that
convert and render are left out, so that the steps of a life come in the same order each time.
`making.py` has the lives of services that already have their instances and make media of all
kinds.
"""

import io
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from pydicom.data import get_testdata_file
from sqlalchemy import update

from burnish import retention
from burnish.content import rendition_pool
from burnish.db.session import Database
from burnish.db.tables import Piece
from burnish.errors import BurnishError
from burnish.instance_header import header
from burnish.plan import conversion
from burnish.receive import Incoming, Origin, Receiver, buffers, own_file
from burnish.receive.replay import replay
from burnish.request import operations
from burnish.schedule import Schedule
from burnish.scp import statuses
from burnish.settings import (
    ContentSettings,
    DeviceSettings,
    RequestSettings,
    RetentionSettings,
    Settings,
    StorageSettings,
)
from burnish.spool import Spool, appender
from burnish.write import piece_state, worker
from burnish.write.worker import Worker
from crash.invariants import Root, open_references
from digesting import digest_of
from factories import CT, SampleInstance, instance, new_database
from oracles import split

NOTHING_KEPT = RetentionSettings(
    instances_after_media=timedelta(0), unrequested_instances=timedelta(0)
)
#: UIDs of the requests of a life.
MEDIA, CANCELLED, HOPELESS, IDLE = (f"1.2.826.0.1.3680043.10.999.9.{n}" for n in range(1, 5))


@cache
def material() -> dict[str, SampleInstance]:
    """What the client stores: three CT images, and a plan that CD wants in another syntax.

    The largest of the images gets a file of its own (see `in_one_process`).
    """
    samples = [
        instance(
            sop_instance_uid=f"1.2.826.0.1.3680043.10.999.8.{number}",
            instance_number=number,
            size=size,
        )
        for number, size in enumerate((30_000, 30_000, 40_000), 1)
    ]
    syntax, data = split(Path(get_testdata_file("rtplan.dcm")).read_bytes())
    plan = "1.2.840.10008.5.1.4.1.1.481.5", "1.2.777.777.77.7.7777.7777.20030903150023"
    samples.append(SampleInstance(*plan, syntax, data))
    return {sample.sop_instance_uid: sample for sample in samples}


def settings_of(root: Path) -> Settings:
    return Settings(
        storage=StorageSettings(root=root, durability="full"),
        content=ContentSettings(pages=False),
        request=RequestSettings(attempts=3, wait_for_instances=timedelta(0)),
        device=(DeviceSettings(name="outbox", media=("CD",), capacity=150_000),),
    )


class Diary:
    """What the client knows: facts, written where no fault or crash reaches them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.also: Callable[[str], None] | None = None

    def write(self, fact: str, subject: str = "") -> None:
        line = json.dumps([fact, subject])
        if self.also:
            self.also(line)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode() + b"\n")
        os.close(descriptor)

    def facts(self) -> list[tuple[str, str]]:
        text = self.path.read_text() if self.path.exists() else ""
        return [(fact, subject) for fact, subject in map(json.loads, text.splitlines())]


def newer_content(uid: str) -> SampleInstance:
    """What is sent as newer content of an instance."""
    return instance(sop_instance_uid=uid, instance_number=9, size=30_000)


class _Inline:
    """Runs at once, in this process, what a pool would run in another."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, call: Callable[..., Any], *arguments: object) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(call(*arguments))
        except Exception as error:  # noqa: BLE001  as a pool does
            future.set_exception(error)
        return future

    def shutdown(self, **_: object) -> None: ...


@contextmanager
def in_one_process() -> Iterator[None]:
    """Have conversions and renditions made in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "ProcessPoolExecutor", _Inline)
        patch.setattr(conversion, "ensure_running", lambda: None)
        patch.setattr(rendition_pool, "ProcessPoolExecutor", _Inline)
        # one of the instances is large, and a life needs several segments
        patch.setattr(buffers, "BUFFER_SIZE", 35_000)
        patch.setattr(own_file, "_PIECES_BEFORE_THREAD", 0)
        patch.setattr(appender, "SEGMENT_SIZE", 70_000)
        # a fault stays until the client, which is in this process too, gives up
        patch.setattr(piece_state, "MAXIMUM_DATABASE_WAIT", 0.0)
        # a worker that held a lease is known to be dead
        patch.setattr(retention, "_LEASE_RENEWAL", 0.0)
        # a person looks after a device that is not ready, as soon as the worker gives up
        patch.setattr(worker, "_NOT_READY", 0.0)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        yield
        structlog.reset_defaults()


@dataclass
class Life:
    """One life of the service on `root`, and its client, which keeps the diary.

    This one receives instances and publishes media in a folder.
    """

    root: Path
    diary: Diary
    settings: Settings = field(init=False)
    deaths: list[str] = field(default_factory=list)
    failed_tasks: list[str] = field(default_factory=list)
    #: The tasks of the schedule that go on until all is done.
    tasks: ClassVar[tuple[str, ...]] = (
        "replay",
        "index",
        "return_dead_work",
        "admit",
        "plan",
    )

    def __post_init__(self) -> None:
        self.settings = settings_of(self.storage)

    @property
    def storage(self) -> Path:
        """The storage root of the service."""
        return self.root

    @property
    def on_disk(self) -> Path:
        """What is on the disk that fails, or loses power."""
        return self.root

    def reset(self, *, reads_fail: bool = False) -> None:
        """Let the people and machines around the service know nothing yet.

        `reads_fail`: media may seem faulty, so that they are spoiled.
        """

    def remember(self) -> None:
        """Let the people and machines around the service remember this life for `restore`."""

    def restore(self, facts: Sequence[tuple[str, str]]) -> None:
        """Let the people and machines around the service be as when these facts were all."""

    def handed_out(self, fact: str, subject: str) -> Sequence[str]:
        """The folders below the root that somebody takes away when this fact becomes true."""
        del fact, subject
        return ()

    def begin(self) -> None:
        """Do what the service does before it is ready."""
        self.database = Database(self.settings.database_url, durable=True)
        self.spool = Spool(self.storage / "spool", durable=True)
        for leftover in self.spool.incoming.iterdir():
            leftover.unlink()
        self.rows_database = Database(self.settings.database_url, durable=False)
        replay(self.database, self.spool, "newest")
        self.receiver = Receiver(self.rows_database, self.spool)
        self.schedule = Schedule(
            self.settings, self.database, self.spool, send_reports=lambda: None
        )
        self._begin_writing()

    def _begin_writing(self) -> None:
        device = self.settings.devices[0]
        self.worker = Worker(self.settings, device, self.database, self.spool)
        self.worker.stopping.set()
        self.worker.run()
        self.worker.stopping.clear()

    def end(self) -> None:
        self.receiver.close()
        self.rows_database.close()
        self.database.close()

    # --- the client ------------------------------------------------------------------------------

    def flow(self) -> None:
        """Do all that the client wants and that was not answered with success before."""
        uids = list(material())
        for uid in uids[:2]:
            self.store(uid)
        self.store_together(uids[2:])
        self.store_newer(uids[0])
        self.store(uids[1], again=True)
        self.request(MEDIA, [uids[0], uids[1], uids[3]], copies=2)
        self.request(CANCELLED, [uids[2]])
        self.request(HOPELESS, [uids[0], "1.2.3"])
        self.request(IDLE, [uids[1]], initiate=False)
        self.run_task("index")
        self.run_task("admit")
        self.run_task("plan")
        self.cancel(CANCELLED)
        self.make()

    def has(self, fact: str, subject: str) -> bool:
        return (fact, subject) in self.diary.facts()

    def store(self, uid: str, *, again: bool = False) -> None:
        wanted = again or not self.has("stored", uid)
        if wanted and not self._answer(lambda: self._send_whole(material()[uid])):
            self.diary.write("stored", uid)

    def store_newer(self, uid: str) -> None:
        """Newer content of an instance that was stored."""
        if self.has("stored", uid) and not self.has("newer", uid):
            newer = newer_content(uid)
            if not self._answer(lambda: self.receiver.accept(self._sent(newer))):
                self.diary.write("newer", uid)

    def store_together(self, uids: Sequence[str]) -> None:
        """Instances of several associations, made durable as one group."""
        missing = [uid for uid in uids if not self.has("stored", uid)]
        opened = [(uid, self._opened(uid)) for uid in missing]
        receiver = self.receiver
        appender = receiver._appender
        appender._has_leader = True  # until all wait
        answers: dict[str, int] = {}

        def accept(uid: str, incoming: Incoming) -> None:
            answers[uid] = self._answer(lambda: receiver.accept(incoming))

        group = [(uid, incoming) for uid, incoming in opened if incoming is not None]
        threads = [threading.Thread(target=accept, args=arguments) for arguments in group]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and len(appender._pending) < sum(
            thread.is_alive() for thread in threads
        ):
            threading.Event().wait(0.001)
        appender._hand_over_lead()
        for thread in threads:
            thread.join()
        assert len(answers) == len(group), "an association ended by a defect"
        for uid, status in answers.items():
            if status == 0:
                self.diary.write("stored", uid)

    def request(
        self,
        uid: str,
        instances: Sequence[str],
        *,
        copies: int = 1,
        initiate: bool = True,
        profile: str = "",
        attributes: Mapping[str, str] = {},
        missing: str = "",
    ) -> None:
        """Create and initiate a request; the client knows that instance `missing` is missing."""
        by_uid = material()
        references = [
            operations.Reference(
                by_uid[instance_uid].sop_class_uid if instance_uid in by_uid else CT,
                instance_uid,
                profile,
            )
            for instance_uid in instances
        ]

        def create() -> None:
            with self.database.writing() as session:
                order = operations.NewRequest(references, attributes, sop_instance_uid=uid)
                operations.create(session, self.settings.request, order, origin="peer")

        def begin() -> None:
            with self.database.writing() as session:
                operations.initiate(session, self.settings.request, uid, number_of_copies=copies)

        sent = [needed for needed in instances if needed in by_uid and needed != missing]
        if not all(self.has("stored", needed) for needed in sent):
            return  # the client requests only instances that were acknowledged
        if not self.has("created", uid):
            if self._answer(create, 0x0111) not in (0, 0x0111):
                return
            self.diary.write("created", uid)
        if initiate and not self.has("initiated", uid):
            self.diary.write("initiating", uid)
            if self._answer(begin, 0xA510) in (0, 0xA510):
                self.diary.write("initiated", uid)

    def cancel(self, uid: str) -> None:
        def cancel() -> None:
            with self.database.writing() as session:
                operations.cancel(session, uid)

        if self.has("initiated", uid) and not self.has("cancelled", uid):
            self.diary.write("cancelling", uid)
            if self._answer(cancel, 0x0112, 0xC201) in (0, 0x0112):
                self.diary.write("cancelled", uid)

    def _send_whole(self, sample: SampleInstance) -> None:
        """Send an instance that arrives as a whole, after others like it."""
        data_set = memoryview(sample.data_set)
        for _ in range(2):
            header.index(data_set, len(data_set), sample.transfer_syntax_uid, io.BytesIO)
        origin = Origin(
            sop_class_uid=sample.sop_class_uid,
            transfer_syntax_uid=sample.transfer_syntax_uid,
            calling_ae_title="MODALITY",
            called_ae_title="BURNISH",
        )
        self.receiver.receive_from(origin, sample.sop_instance_uid, data_set)

    def _sent(self, sample: SampleInstance, called_ae_title: str = "BURNISH") -> Incoming:
        incoming = self.receiver.open(
            sop_class_uid=sample.sop_class_uid,
            sop_instance_uid=sample.sop_instance_uid,
            transfer_syntax_uid=sample.transfer_syntax_uid,
            calling_ae_title="MODALITY",
            called_ae_title=called_ae_title,
        )
        try:
            for start in range(0, len(sample.data_set), 16_000):
                incoming.write(memoryview(sample.data_set)[start : start + 16_000])
        except BurnishError:
            incoming.abandon()
            raise
        return incoming

    def _opened(self, uid: str) -> Incoming | None:
        try:
            return self._sent(material()[uid])
        except BurnishError as error:
            if statuses.of(error).c_store == 0xA700:
                return None
            raise

    def _answer(self, operation: Callable[[], None], *expected: int) -> int:
        """The DIMSE status of an operation: success, no resources, or one that is expected."""
        try:
            operation()
        except BurnishError as error:
            responses = statuses.of(error)
            allowed = {responses.c_store, responses.dimse_n} & {0xA700, 0x0213, 0xC111, *expected}
            if allowed:
                return allowed.pop()
            raise
        return 0

    # --- the service -----------------------------------------------------------------------------

    def run_task(self, name: str) -> None:
        """Run a task of the schedule; a failure is noted, as the service would log it."""
        task = self.receiver.index if name == "index" else getattr(self.schedule, name)
        try:
            task()
        except Exception as error:  # noqa: BLE001  as the schedule does
            self.failed_tasks.append(f"{name}: {type(error).__name__}: {error}")

    def make(self) -> None:
        """Have the worker make all pieces; if it ends by an error, another takes its place."""
        try:
            self.worker.make_all()
        except (BurnishError, OSError) as error:
            self.deaths.append(f"{type(error).__name__}: {error}")
            self.diary.write("death", f"{type(error).__name__}: {error}")
            try:
                self._begin_writing()
            except (BurnishError, OSError) as again:
                self.deaths.append(f"{type(again).__name__}: {again}")

    def go_on(self, rounds: int = 4) -> None:
        """Run the tasks until everything that can be done is done."""
        past = datetime(2020, 1, 1, tzinfo=UTC)
        for _ in range(rounds):
            with self.database.writing() as session:
                session.execute(update(Piece).values(not_before=None))
                held = update(Piece).where(Piece.lease_until.is_not(None))
                session.execute(held.values(lease_until=past))
            for name in self.tasks:
                self.run_task(name)
            self.make()

    def clean(self) -> None:
        """Release and sweep whatever may be released and swept, however young."""
        self.diary.write("cleaning")
        retention.release(self.database, self.spool, NOTHING_KEPT)
        retention.sweep(self.database, self.spool, self.settings, orphan_age=0)

    # --- what must hold ---------------------------------------------------------------------------

    def kept(self) -> dict[str, bytes]:
        """The data sets that must be in the spool: those that were acknowledged.

        After retention has run, only those that an open request still needs.
        """
        facts = self.diary.facts()
        stored = {uid for fact, uid in facts if fact == "stored"}
        if ("cleaning", "") in facts:
            stored &= open_references(Root(self.storage))
        return {uid: material()[uid].data_set for uid in stored}

    def faults(self, *, rows_may_follow: bool = False) -> Iterator[str]:
        """What is wrong, at whatever moment this is asked.

        `rows_may_follow`: instances may have no row yet.
        """
        root = Root(self.storage)
        yield from root.faults(self.kept(), rows_may_follow=rows_may_follow)
        yield from root.published()

    def unsettled(self) -> Iterator[str]:
        """What has not ended as it must, once everything has had its turn."""
        root, facts = Root(self.storage), self.diary.facts()
        yield from root.unsettled()
        ends = {
            MEDIA: {("DONE", "NORMAL")},
            CANCELLED: {("DONE", "NORMAL"), ("DELETED", "NORMAL")},
            HOPELESS: {("FAILURE", "NO_INSTANCE")},
            IDLE: {("IDLE", "NORMAL")},
        }
        if ("cancelled", CANCELLED) in facts:
            ends[CANCELLED] = {("DELETED", "NORMAL")}
        yield from wrong_ends(root, facts, ends)
        newest = {
            row["sop_instance_uid"]: row["digest"]
            for row in root.rows(
                "SELECT * FROM instance WHERE released_at IS NULL AND replaced_at IS NULL"
            )
        }
        for fact, uid in facts:
            if fact == "newer" and newest.get(uid, "") not in (
                "",
                digest_of(newer_content(uid).data_set),
            ):
                yield f"{uid}: its newest content is not what was sent last"

    def refused(self) -> Iterator[str]:
        """What the client wanted and never got, though the disk is well again."""
        for uid in material():
            if not self.has("stored", uid):
                yield f"never stored: {uid}"
        for uid in (MEDIA, CANCELLED, HOPELESS):
            if not self.has("initiated", uid):
                yield f"never initiated: {uid}"

    def orphans(self) -> Iterator[str]:
        """Files that nobody needs, once retention and the sweep have run."""
        return Root(self.storage).orphans()


def wrong_ends(
    root: Root,
    facts: Sequence[tuple[str, str]],
    ends: Mapping[str, Collection[tuple[str, str]]],
) -> Iterator[str]:
    """The requests, by SOP Instance UID, that are gone or have not one of the expected ends.

    A request that was not initiated is IDLE; before it was created it may be missing.
    """
    status = {
        row["sop_instance_uid"]: (row["execution_status"], row["execution_status_info"])
        for row in root.rows("SELECT * FROM media_creation_request")
    }
    for uid, expected in ends.items():
        if uid not in status:
            if ("created", uid) in facts:
                yield f"{uid} is gone"
        elif ("initiated", uid) in facts and status[uid] not in expected:
            yield f"{uid}: {status[uid]}"
        elif ("initiating", uid) not in facts and status[uid] != ("IDLE", "NORMAL"):
            yield f"{uid}: {status[uid]}, but nobody initiated it"


def new_root(path: Path, *, begun: bool = True) -> Path:
    """A storage root with a database, and if the service has begun there, with its folders."""
    path.mkdir()
    new_database(path / "burnish.db")
    if not begun:
        return path
    with in_one_process():
        life = Life(path, Diary(path.with_name("nobody")))
        life.begin()
        life.end()
    return path
