"""Surface: the clock: which stage function ticks when. A double tick is harmless."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from burnish import retain
from burnish.db.session import Database
from burnish.errors import OutOfResources, StaleLease
from burnish.plan.planner import Planner
from burnish.request import checks, standing
from burnish.settings import Settings
from burnish.spool import Spool

log = structlog.get_logger(__name__)

#: Seconds between two looks whether anything was committed.
_LOOK = 0.05


class Schedule:
    """Everything that happens by itself, but for receiving and writing."""

    def __init__(self, settings: Settings, database: Database, spool: Spool) -> None:
        self._settings = settings
        self._database = database
        self._spool = spool
        self._planner = Planner(settings, database, spool)
        self._watch = database.watch(checks.pending())
        self._to_admit, self._to_plan = threading.Event(), threading.Event()
        self.stopping = threading.Event()

    def run(self) -> None:
        """Ticks until told to stop."""
        # a tick that takes longer than its interval is as it should be
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(6)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone=UTC,
        )
        for seconds, tick in (
            (2, self.admit),
            (2, self.plan),
            (1, self.issue_standing_orders),
            (5, self.return_dead_work),
            (60, self.release),
            (3600, self.sweep),
        ):
            scheduler.add_job(
                _guarded(tick),
                "interval",
                id=tick.__name__,
                seconds=seconds,
                next_run_time=datetime.now(UTC),
            )
        scheduler.start()
        while not self.stopping.wait(_LOOK):
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

    def admit(self) -> None:
        """Admits the requests whose instances are here; fails those that have waited enough."""
        self._to_admit.clear()
        with self._database.reading() as session:
            waiting = checks.waiting(session)
        for request_id in waiting:
            with self._database.writing() as session:
                checks.examine(session, request_id, self._settings.request.wait_for_instances)
            self._to_plan.set()

    def plan(self) -> None:
        """Plans what is admitted; takes as long as conversions do."""
        self._to_plan.clear()
        self._planner.tick()

    def issue_standing_orders(self) -> None:
        for order in self._settings.standing_order:
            with self._database.reading() as session:
                due = standing.due(session, order)
            if due:
                with self._database.writing() as session:
                    standing.issue(session, self._settings.request, order)

    def return_dead_work(self) -> None:
        retain.return_dead_work(self._database)

    def release(self) -> None:
        retain.release(self._database, self._spool, self._settings.retention)

    def sweep(self) -> None:
        retain.sweep(self._database, self._spool, self._settings)


def _guarded(tick: Callable[[], None]) -> Callable[[], None]:
    """A tick that fails is logged and ticks again."""

    def guarded() -> None:
        try:
            tick()
        except StaleLease:
            log.info("somebody else was faster", tick=tick.__name__)
        except OutOfResources as error:
            log.error("a tick has to wait", tick=tick.__name__, why=str(error))
        except Exception:
            log.exception("a tick failed", tick=tick.__name__)

    return guarded
