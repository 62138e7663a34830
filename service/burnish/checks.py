"""Stage: checks of the database and the spool, asked for by a person or due at night.

The scheduler runs them. What the last one has found stays, with its time, until the next has ended.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from burnish.db import backup, schema
from burnish.db.session import Database
from burnish.db.tables import CheckReport
from burnish.errors import BurnishError
from burnish.settings import Settings
from burnish.values import SERVICE, Actor, CheckFinding

log = structlog.get_logger(__name__)

#: The hours of the night, in local time, in which checks are run by themselves.
_NIGHT = range(1, 5)
#: A check that ended this long ago is due again at night.
_DUE_AFTER = timedelta(hours=20)


class CheckKind(StrEnum):
    """The subject of a check."""

    DATABASE = "database"
    SPOOL = "spool"


@dataclass(frozen=True, slots=True)
class CheckView:
    """The last check of one kind; `ended_at` is None if there was none.

    `asked_at` is set while a new one is asked for or under way; `is_running` tells these apart.
    """

    kind: CheckKind
    asked_at: datetime | None = None
    asked_by: str = ""
    is_running: bool = False
    ended_at: datetime | None = None
    findings: tuple[str, ...] = ()
    problem: str = ""
    remedy: str = ""


def ask(session: Session, kind: CheckKind, *, actor: Actor = SERVICE) -> CheckView:
    """Ask for a check; one that is asked for or under way already goes on."""
    report = _report(session, kind)
    if report.asked_at is None:
        report.asked_at = datetime.now(UTC)
        report.asked_by = str(actor)
        report.began_at = None
    session.flush()
    return _view(kind, report)


def views(session: Session) -> list[CheckView]:
    """The last check of each kind."""
    return [_view(kind, session.get(CheckReport, kind)) for kind in CheckKind]


def asked() -> Select[Any]:
    """Selects the kinds of checks that are asked for."""
    return select(CheckReport.kind).where(CheckReport.asked_at.is_not(None))


def ask_at_night(database: Database) -> None:
    """Ask for the checks that are due, if it is night."""
    if datetime.now().astimezone().hour not in _NIGHT:
        return
    before = datetime.now(UTC) - _DUE_AFTER
    with database.writing() as session:
        for view in views(session):
            if view.ended_at is None or view.ended_at < before:
                ask(session, view.kind)


def run_asked(
    database: Database, settings: Settings, compare: Callable[[], Sequence[CheckFinding]]
) -> None:
    """Run the checks that are asked for; `compare` compares the spool with every row."""
    with database.reading() as session:
        kinds = [CheckKind(kind) for kind in session.scalars(asked())]
    for kind in kinds:
        with database.writing() as session:
            _report(session, kind).began_at = datetime.now(UTC)
        try:
            findings = _check(database, settings) if kind is CheckKind.DATABASE else compare()
        except BurnishError as error:
            findings = [CheckFinding(str(error), error.hint or "see the log of the service")]
        with database.writing() as session:
            _note(_report(session, kind), findings)
        problems = [finding.text for finding in findings if finding.remedy]
        if problems:
            log.error("check has found a problem", check=str(kind), why="; ".join(problems))
        else:
            log.info("check has found no problem", check=str(kind))


def _check(database: Database, settings: Settings) -> list[CheckFinding]:
    """Check that the database is of this version and undamaged; raises BurnishError."""
    schema.check(database)
    path = backup.file_of(settings.database_url)
    if path is not None:
        backup.check_pages(path)
    return [CheckFinding("the database is undamaged and of this version")]


def _note(report: CheckReport, findings: Sequence[CheckFinding]) -> None:
    problems = [finding for finding in findings if finding.remedy]
    report.ended_at = datetime.now(UTC)
    report.asked_at = None
    report.findings = "\n".join(finding.text for finding in findings if not finding.remedy)
    report.problem = problems[0].text if problems else ""
    report.remedy = problems[0].remedy if problems else ""


def _report(session: Session, kind: CheckKind) -> CheckReport:
    report = session.get(CheckReport, kind)
    if report is None:
        report = CheckReport(kind=kind, asked_by="", findings="", problem="", remedy="")
        session.add(report)
    return report


def _view(kind: CheckKind, report: CheckReport | None) -> CheckView:
    if report is None:
        return CheckView(kind)
    return CheckView(
        kind=kind,
        asked_at=report.asked_at,
        asked_by=report.asked_by,
        is_running=report.asked_at is not None and report.began_at is not None,
        ended_at=report.ended_at,
        findings=tuple(report.findings.splitlines()),
        problem=report.problem,
        remedy=report.remedy,
    )
