"""Surface: the clock: which stage function ticks when. A double tick is harmless."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import wraps
from time import monotonic, thread_time

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from burnish import commitment, memory, retention
from burnish.db import queue
from burnish.db.session import Database
from burnish.db.wakeup import LOOK, Bell, rest
from burnish.errors import BurnishError, OutOfResources, StaleLease
from burnish.plan.planner import Planner
from burnish.receive import Receiver
from burnish.request import admission, fetch_missing, standing_orders
from burnish.request.query_retrieve import RetrievedInstance
from burnish.settings import Settings
from burnish.spool import Spool

log = structlog.get_logger(__name__)


class Schedule:
    """Everything that happens by itself, but for receiving and writing.

    `bell` rings when something was committed; without one, the schedule looks for itself.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        spool: Spool,
        send_reports: Callable[[], None],
        bell: Bell | None = None,
    ) -> None:
        self._bell = bell
        self._send_reports = send_reports
        self._settings = settings
        self._database = database
        self._spool = spool
        self._planner = Planner(settings, database, spool)
        self._receiver = Receiver(database, spool)
        self._retriever = fetch_missing.Retriever(settings, database, self._keep)
        self._retrieve_for = timedelta(0)
        if fetch_missing.archives(settings):
            self._retrieve_for = settings.retrieval.give_up_after
        self._watch = database.watch(admission.pending_requests())
        self._waiting = database.work(admission.pending_requests())
        self._plannable = database.work(admission.pending_requests())
        self._unjudged = database.work(commitment.pending())
        self._unreported = database.work(commitment.pending())
        self._in_hand = database.work(queue.IN_HAND)
        self._to_admit, self._to_plan = threading.Event(), threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Ticks until told to stop."""
        # a tick that takes longer than its interval is as it should be
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(10)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        begun = datetime.now(UTC)  # of all, so that what is due together needs one waking
        for seconds, tick in self._ticks():
            scheduler.add_job(
                _guarded(tick),
                "interval",
                id=tick.__name__,
                seconds=seconds,
                start_date=begun,
                next_run_time=begun,
            )
        scheduler.start()
        while not self.stopping.is_set():
            begins = self._to_admit.is_set() or self._to_plan.is_set()
            rest(self._bell, self.stopping, LOOK if begins else self._watch.patience)
            if self._watch.changed():
                self._to_admit.set()
                self._to_plan.set()
            # a tick that is under way is not begun again, so it stays to be done until it begins
            for due, tick in ((self._to_admit, self.admit), (self._to_plan, self.plan)):
                if due.is_set():
                    scheduler.modify_job(tick.__name__, next_run_time=datetime.now(UTC))
        self._planner.stopping.set()
        scheduler.shutdown(wait=True)
        self._planner.close()
        self._retriever.close()

    def _ticks(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Every how many seconds what is done; nothing that this site has no use for."""
        yield 2, self.admit
        yield 2, self.plan
        yield 1, self.judge_commitments
        yield 1, self.report_commitments
        yield 5, self.return_dead_work
        yield 60, _seldom(self.release)
        yield 5, self.give_back_memory
        yield 3600, self.sweep
        if self._settings.standing_order:
            yield 1, _seldom(self.issue_standing_orders)
        if self._retrieve_for:
            yield 1, self.retrieve

    def admit(self) -> None:
        """Admits the requests whose instances are here; fails those that have waited enough."""
        self._to_admit.clear()
        if not self._waiting.is_there():
            return
        with self._database.reading() as session:
            waiting = admission.waiting_requests(session)
        for request_id in waiting:
            with self._database.writing() as session:
                admission.admit(
                    session,
                    request_id,
                    self._settings.request.wait_for_instances,
                    self._retrieve_for,
                )
            self._to_plan.set()
            if self._bell is not None:
                self._bell.ring()

    def plan(self) -> None:
        """Plans what is admitted; takes as long as conversions do."""
        self._to_plan.clear()
        if self._plannable.is_there():
            self._planner.tick()

    def retrieve(self) -> None:
        """Fetches from archives what requests name and is not here."""
        self._retriever.tick()

    def _keep(self, arrived: RetrievedInstance) -> None:
        """Has the receive stage keep what came by C-GET."""
        incoming = self._receiver.open(
            sop_class_uid=arrived.sop_class_uid,
            sop_instance_uid=arrived.sop_instance_uid,
            transfer_syntax_uid=arrived.transfer_syntax_uid,
            calling_ae_title=arrived.calling_ae_title,
            called_ae_title=arrived.called_ae_title,
        )
        try:
            incoming.write(memoryview(arrived.data_set))
        except BurnishError:
            incoming.abandon()
            raise
        self._receiver.accept(incoming)

    def issue_standing_orders(self) -> None:
        for order in self._settings.standing_order:
            with self._database.reading() as session:
                wanted = standing_orders.requests_with_late_instances(
                    session, order
                ) or standing_orders.groups_due(session, order)
            if wanted:
                with self._database.writing() as session:
                    standing_orders.join_late_instances(session, order)
                    standing_orders.issue_requests(session, self._settings.request, order)

    def judge_commitments(self) -> None:
        if not self._unjudged.is_there():
            return
        with self._database.reading() as session:
            unjudged = commitment.unjudged(session)
        for commitment_id in unjudged:
            with self._database.writing() as session:
                commitment.judge(session, self._settings, self._spool, commitment_id)

    def report_commitments(self) -> None:
        if self._unreported.is_there():
            self._send_reports()

    def return_dead_work(self) -> None:
        if self._in_hand.is_there():
            retention.return_dead_work(self._database)

    def release(self) -> None:
        retention.release(self._database, self._spool, self._settings.retention)

    def sweep(self) -> None:
        retention.sweep(self._database, self._spool, self._settings)

    def give_back_memory(self) -> None:
        memory.give_back()


def _seldom(tick: Callable[[], None]) -> Callable[[], None]:
    """A tick that looks at all instances: it ticks less often the longer it takes.

    However many there are, it has a twentieth of a core and leaves the rest to who receives.
    """
    again_at = 0.0

    @wraps(tick)
    def seldom() -> None:
        nonlocal again_at
        if monotonic() < again_at:
            return
        started = thread_time()
        tick()
        again_at = monotonic() + 20 * (thread_time() - started)

    return seldom


def _guarded(tick: Callable[[], None]) -> Callable[[], None]:
    """A tick that fails is logged and ticks again; what it waits for is said once."""
    waits = ""

    def guarded() -> None:
        nonlocal waits
        try:
            tick()
        except StaleLease:
            log.info("somebody else was faster", tick=tick.__name__)
        except OutOfResources as error:
            if not waits:
                waits = str(error)
                log.error("a tick has to wait", tick=tick.__name__, why=waits)
        except Exception:
            log.exception("a tick failed", tick=tick.__name__)
        else:
            if waits:
                waits = ""
                log.info("a tick goes on", tick=tick.__name__)

    return guarded
