"""Surface: what the scheduler does by itself: after each commit, and by the clock.

After a commit there may be a request to admit or to plan: the scheduler sleeps until then. All
other tasks are run by the clock. Each task looks for what there is to do, so that it makes no
difference if it runs twice.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import wraps
from time import monotonic, thread_time

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor as ClockThreads
from apscheduler.schedulers.background import BackgroundScheduler

from burnish import (
    checks,
    commitment,
    compaction,
    devices,
    recovery,
    register,
    retention,
    storage_register,
)
from burnish.db import instance_count, known_studies, signs_of_life
from burnish.db.session import Database
from burnish.errors import OutOfResources, StaleLease
from burnish.memory import release_memory
from burnish.notices import deciding
from burnish.notices.sender import Sender
from burnish.plan.planner import Planner
from burnish.receive import Receiver
from burnish.receive.following import rows_are_complete
from burnish.receive.replay import replay
from burnish.request import admission, archive_studies, fetch_missing, replacements, standing_orders
from burnish.request.event_log import EventLog
from burnish.settings import Settings
from burnish.spool import Spool
from burnish.values import WholeInstance
from burnish.wording import quantity

log = structlog.get_logger(__name__)

#: Seconds that a task waits for the rows of instances that were just received.
_WAIT_FOR_ROWS = 1.0


class Schedule:
    """The tasks of the scheduler role. `send_reports` sends the Storage Commitment reports due."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        spool: Spool,
        send_reports: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool
        self._send_reports = send_reports
        self._open_commitments = database.question(commitment.open_transactions())
        self._planner = Planner(settings, database, spool)
        self._receiver = Receiver(database, spool, same_uid=settings.storage.same_uid)
        self._retriever = fetch_missing.Retriever(
            settings, database, self._keep, self._rows_are_complete
        )
        self._study_retriever = archive_studies.StudyRetriever(
            settings, database, self._keep, self._rows_are_complete
        )
        self._retrieve_for = timedelta(0)
        if fetch_missing.archives(settings):
            self._retrieve_for = settings.retrieval.give_up_after
        self._sender = Sender(settings, database)
        self._asked_checks = database.question(checks.asked())
        self._event_log = EventLog(database)
        self._last_request = 0
        self._notes_older_studies = True
        self._began_at = monotonic()
        self._admitting_since: float | None = None
        self.stopping = threading.Event()

    def run(self) -> None:
        """Run the tasks until `stopping` is set."""
        clock = self._clock()
        clock.start()
        self._follow_commits()
        clock.shutdown(wait=True)
        _logged(self.log_events)()
        self._planner.close()
        self._retriever.close()
        self._study_retriever.close()
        self._receiver.close()
        self._sender.close()

    def _follow_commits(self) -> None:
        """Admit and plan requests after each commit.

        Planning has a thread of its own, since it takes as long as conversions do. What is admitted
        while it runs is planned in the end: to admit is a commit too.
        """
        admit, plan = _logged(self.admit), _logged(self.plan)
        planning: Future[None] | None = None
        with (
            ThreadPoolExecutor(1, thread_name_prefix="plan") as planning_thread,
            self._database.wakeup(self.stopping, admission.unplanned_requests()) as wakeup,
        ):
            while wakeup.wait():
                self._admitting_since = monotonic()
                admit()
                self._admitting_since = None
                if planning is None or planning.done():
                    planning = planning_thread.submit(plan)
            self._planner.stopping.set()

    def _clock(self) -> BackgroundScheduler:
        # it warns of each task that takes longer than its interval, as some are expected to
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        clock = BackgroundScheduler(
            executors={"default": ClockThreads(10)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        start = datetime.now(UTC)  # the same for all, so that tasks due together share one waking
        for seconds, task in self._clock_tasks():
            clock.add_job(
                _logged(task),
                "interval",
                id=task.__name__,
                seconds=seconds,
                start_date=start,
                next_run_time=start,
            )
        return clock

    def _clock_tasks(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """Each task that this site needs, and its interval in seconds."""
        silent_after = self._settings.notify.silent_after
        yield signs_of_life.interval(silent_after), self.give_sign_of_life
        yield 1, self.log_events
        yield 1, self.judge_commitments
        yield 1, self.report_commitments
        yield 5, self.return_dead_work
        yield 3, _limited(self.watch_writers)
        yield 5, self.replay
        yield 60, _limited(self.release)
        yield 5, _limited(self.note_replacements)
        yield 5, release_memory
        yield 3600, self.sweep
        yield 3600, self.compact
        yield 3600, self.fill_register
        yield 1, self.note_older_studies
        yield 30, _limited(self.close_studies)
        yield 3600, self.forget_studies
        yield 2, self.run_checks
        yield 1800, self.ask_for_checks
        if self._settings.standing_order:
            yield 1, _limited(self.issue_standing_orders)
        if self._retrieve_for:
            yield 1, self.retrieve
            yield 1, self.retrieve_studies
        yield 3600, self.forget_notices
        if self._settings.notify.receiver:
            yield 3, _limited(self.decide_notices)
            yield 1, self.send_notices

    def give_sign_of_life(self) -> None:
        """Record that this process runs, unless its work on requests is stuck."""
        began = self._admitting_since
        silent_after = self._settings.notify.silent_after.total_seconds()
        if began is not None and monotonic() - began > silent_after:
            return
        with self._database.writing() as session:
            signs_of_life.give(session)

    def log_events(self) -> None:
        """Log what was committed since the last time."""
        self._event_log.tick()

    def admit(self) -> None:
        """Admit requests whose instances are here; fail those that have waited long enough."""
        with self._database.reading() as session:
            waiting = admission.waiting_requests(session)
        if waiting and max(waiting) > self._last_request:
            # before anything is planned: numbers that media may have are not given away again
            storage_register.raise_last_request(self._settings.storage.root, max(waiting))
            self._last_request = max(waiting)
        if not waiting:
            return
        rows_complete = self._rows_are_complete()
        for request_id in waiting:
            with self._database.writing() as session:
                admission.admit(
                    session,
                    request_id,
                    self._settings.request.wait_for_instances,
                    self._retrieve_for,
                    rows_complete=rows_complete,
                )

    def _rows_are_complete(self) -> bool:
        """Whether all that was acknowledged until now has its row, or gets it very soon."""
        return rows_are_complete(self._database, self._spool, _WAIT_FOR_ROWS)

    def plan(self) -> None:
        """Plan what is admitted; returns when its conversions are done."""
        self._planner.tick()

    def retrieve(self) -> None:
        """Begin to fetch, from archives, instances that requests name and that are not here."""
        self._retriever.tick()

    def retrieve_studies(self) -> None:
        """Begin to retrieve the studies of archives that people have asked for."""
        self._study_retriever.tick()

    def _keep(self, instance: WholeInstance) -> None:
        """Receive an instance that an archive sent by C-GET."""
        self._receiver.receive(instance)
        self._receiver.index()

    def issue_standing_orders(self) -> None:
        """Issue the requests that standing orders ask for."""
        for order in self._settings.standing_order:
            with self._database.reading() as session:
                is_due = standing_orders.is_due(session, order)
            if is_due:
                with self._database.writing() as session:
                    standing_orders.join_late_instances(session, order)
                    standing_orders.issue_requests(session, self._settings.request, order)
                    standing_orders.make_again(session, self._settings.request, order)
                    standing_orders.retry_corrected(session, order)

    def note_replacements(self) -> None:
        """Tell requests that instances on their media have newer content."""
        with self._database.reading() as session:
            is_due = bool(replacements.requests_to_note(session))
        if is_due:
            with self._database.writing() as session:
                replacements.note_replacements(session)

    def judge_commitments(self) -> None:
        """Decide, for each open Storage Commitment transaction, what is committed."""
        if not self._open_commitments.is_true():
            return
        with self._database.reading() as session:
            unjudged = commitment.unjudged(session)
        if not unjudged:
            return
        rows_complete = self._rows_are_complete()
        for commitment_id in unjudged:
            with self._database.writing() as session:
                commitment.judge(
                    session,
                    self._settings,
                    self._spool,
                    commitment_id,
                    rows_complete=rows_complete,
                )

    def report_commitments(self) -> None:
        """Begin to send the Storage Commitment reports that are due."""
        if self._open_commitments.is_true():
            self._send_reports()

    def return_dead_work(self) -> None:
        """Return pieces whose worker has died to the queue."""
        retention.return_dead_work(self._database)

    def release(self) -> None:
        """Release what nobody needs any more."""
        retention.release(self._database, self._spool, self._settings.retention)

    def replay(self) -> None:
        """Insert the rows of what was received by processes that have died."""
        replay(self._database, self._spool, self._settings.storage.same_uid)

    def sweep(self) -> None:
        """Remove files that no row names, unless some may have no row yet."""
        if not self._rows_are_complete():
            return
        self._check_no_row_is_lost()
        retention.sweep(self._database, self._spool, self._settings)

    def fill_register(self) -> None:
        """Enter media that were made before there was a register of media."""
        register.fill(self._database, self._settings.retention.media_register)

    def note_older_studies(self) -> None:
        """Note some studies of a database that an earlier version has made."""
        if self._notes_older_studies:
            self._notes_older_studies = known_studies.fill(self._database)

    def close_studies(self) -> None:
        """Note which studies have no instance left that nobody has requested."""
        with self._database.writing() as session:
            known_studies.close_requested(session)

    def forget_studies(self) -> None:
        """Delete the studies of which no instance and no request is kept, and old retrievals."""
        with self._database.writing() as session:
            known_studies.forget_unneeded(session)
            archive_studies.forget_old(session)

    def watch_writers(self) -> None:
        """Note which writers are silent, and which are heard again."""
        devices.watch_writers(
            self._database,
            self._settings,
            watched_for=timedelta(seconds=monotonic() - self._began_at),
        )

    def decide_notices(self) -> None:
        """Begin and end notices, as requests, devices and the disk are now."""
        now = datetime.now(UTC)
        with self._database.reading() as session:
            is_due = deciding.is_change_due(session, self._settings, now=now)
        if is_due:
            with self._database.writing() as session:
                deciding.decide(session, self._settings, now=now)

    def send_notices(self) -> None:
        """Begin to send the messages that are due."""
        self._sender.tick()

    def forget_notices(self) -> None:
        """Delete old notices, and what waits for receivers that are not configured any more."""
        before = datetime.now(UTC) - self._settings.retention.finished_requests
        with self._database.writing() as session:
            deciding.forget_receivers(session, self._settings)
            deciding.delete_old(session, before)

    def run_checks(self) -> None:
        """Run the checks of database and spool that are asked for."""
        if self._asked_checks.is_true():
            checks.run_asked(
                self._database,
                self._settings,
                lambda: recovery.findings(self._database, self._spool),
            )

    def ask_for_checks(self) -> None:
        """Ask for the checks that are due at night."""
        checks.ask_at_night(self._database)

    def compact(self) -> None:
        """Give back the room of segments in which little or nothing is wanted any more."""
        self._check_no_row_is_lost()
        compaction.compact(self._database, self._spool)

    def _check_no_row_is_lost(self) -> None:
        """Raise OutOfResources if the database has lost rows of instances.

        What it does not know of the spool would be removed.
        """
        with self._database.reading() as session:
            lost = instance_count.lost_rows(session)
        if lost:
            raise OutOfResources(
                f"the database has lost {quantity(lost, 'row')} of instances: restart"
                " `burnish serve`, which restores them; or stop all roles and run"
                " `burnish db recover`"
            )


def _limited(task: Callable[[], None]) -> Callable[[], None]:
    """A task that goes through all instances: it runs less often the longer it takes.

    However many instances there are, it uses a twentieth of a core at most.
    """
    not_before = 0.0

    @wraps(task)
    def limited() -> None:
        nonlocal not_before
        if monotonic() < not_before:
            return
        started = thread_time()
        task()
        not_before = monotonic() + 20 * (thread_time() - started)

    return limited


def _logged(task: Callable[[], None]) -> Callable[[], None]:
    """A task that logs an error and runs again next time; one that has to wait logs that once."""
    waits_for = ""

    def logged() -> None:
        nonlocal waits_for
        try:
            task()
        except StaleLease:
            log.info("another process was faster", task=task.__name__)
        except OutOfResources as error:
            if not waits_for:
                waits_for = str(error)
                log.error("task has to wait", task=task.__name__, why=waits_for)
        except Exception:
            log.exception("task failed", task=task.__name__)
        else:
            if waits_for:
                waits_for = ""
                log.info("task resumed", task=task.__name__)

    return logged
