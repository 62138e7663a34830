"""Every page of a service with work in every state, in German: no English of a stage is left."""

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog
from sqlalchemy import select

from burnish import devices, register
from burnish.contacts import Contact, ContactOutcome, ContactRecorder
from burnish.db import devices as device_rows
from burnish.db.history import fail, inform, move, note
from burnish.db.tables import FailedInstance, MediaCreationRequest, Notice, short_id
from burnish.lifecycle import RequestEvent
from burnish.receive import Receiver
from burnish.request import changes, operations
from burnish.request.states import FAILURES
from burnish.sentences import catalogue
from burnish.settings import DeviceSettings
from burnish.values import AccountRole, Actor
from burnish.vocabulary import (
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    NoticeCause,
    RequestPriority,
)
from burnish.write.worker import Worker
from factories import add_request, instance
from web_client import SignedInClient, WebGround

ANNA = Actor("user", "anna", "10.0.0.3")
GERMAN = {"accept-language": "de"}
#: The shortest part of a text that shows that it is English: shorter ones are in German words too.
SHORTEST = 9
#: What a page shows as it is in the configuration or the standard.
UNTRANSLATED = re.compile(r"<(code|pre|script|style)\b.*?</\1>", re.DOTALL)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    with structlog.testing.capture_logs():
        yield


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebGround]:
    root = tmp_path_factory.mktemp("german")
    stick = DeviceSettings(name="stick", kind="mounted", directory=root / "absent")
    folder = DeviceSettings(name="outbox")
    paused = DeviceSettings(name="spare", directory=root / "spare")
    with WebGround(root, device=(folder, stick, paused)) as web, structlog.testing.capture_logs():
        fill(web)
        yield web


def fill(web: WebGround) -> None:
    """Requests in every state with every kind of event, devices in every state, contacts."""
    samples = [instance(study=f"1.2.3.{number}") for number in range(1, 4)]
    receiver = Receiver(web.database, web.spool)
    for sample in samples:
        receiver.receive(sample.arriving())
    receiver.index()
    receiver.close()
    web.admit(samples[:1])
    web.plan()
    worker = Worker(web.settings, web.device, web.database, web.spool)
    worker.make_all()
    web.create(samples[1:2])
    with web.database.writing() as session:
        statuses = (ExecutionStatus.PENDING, ExecutionStatus.CREATING, ExecutionStatus.IDLE)
        for status in statuses:
            add_request(session, status=status)
        add_request(session, status=ExecutionStatus.PENDING, device="stick")
        waiting = add_request(session, volumes=0, admitted_at=None)
        retrieving = add_request(session, volumes=0, admitted_at=None)
        retrieving.retrieval_began_at = datetime.now(UTC)
        note(session, retrieving.id, "RETRIEVING", "missing instances are requested from archives")
        held = add_request(session)
        operations.hold(session, held.sop_instance_uid, actor=ANNA)
        changes.set_priority(session, held.sop_instance_uid, RequestPriority.HIGH, actor=ANNA)
        cancelled = add_request(session)
        move(session, cancelled, RequestEvent.CANCELLED, actor=ANNA)
        blank = add_request(session)
        inform(
            session,
            blank,
            ExecutionStatusInfo.OUT_OF_SUPPLIES,
            why="device drive: there is no disc",
            remedy="Put in a blank CD.",
        )
        for why, remedy in REASONS:
            failed = add_request(session, status=ExecutionStatus.CREATING)
            failures = [
                FailedInstance(
                    ordinal=ordinal,
                    referenced_sop_class_uid="1.2",
                    referenced_sop_instance_uid=f"1.2.{ordinal}",
                    failure_reason=reason,
                )
                for ordinal, reason in enumerate(FAILURES)
            ]
            fail(
                session,
                failed,
                ExecutionStatusInfo.PROC_FAILURE,
                why=why,
                remedy=remedy,
                failures=failures,
            )
        devices.pause(session, web.settings, "spare", "", actor=ANNA)
        device_rows.tell(
            session,
            "stick",
            ExecutionStatusInfo.CHECK_MCD_OP,
            "device stick: the stick is not empty",
            "Put in an empty stick.",
        )
        session.add(notice(waiting.id))
        piece = register.entries(session, register.RegisterFilter(), limit=1)[0]
        register.add_note(session, piece.name, register.NoteKind.DESTROYED, "", actor=ANNA)
    recorder = ContactRecorder(web.database)
    for detail in ("called AE title not recognized: X", "calling AE title not recognized: X"):
        recorder.note(Contact(detail[:6], "X", "10.0.0.9", ContactOutcome.REJECTED, detail))
    recorder.note(Contact("CT2", "BURNISH", "10.0.0.7", ContactOutcome.ENDED, "released"))
    recorder.flush()


REASONS = (
    (
        "2 instances have not been received",
        "send the missing instances, then request again or `burnish request retry`",
    ),
    ("larger than one volume CD (3 instances)", "ask for a profile of a larger medium"),
    (
        "the set does not fit on one CD, and splitting it is not allowed",
        "allow splitting, or ask for a profile of a larger medium",
    ),
    ("its plan cannot be read: KeyError", "look at the log, then `burnish request retry`"),
)


def notice(request_id: int) -> Notice:
    now = datetime.now(UTC)
    return Notice(
        cause=NoticeCause.STUCK,
        subject=short_id(request_id),
        request_id=request_id,
        began_at=now,
        noticed_at=now,
        reason="It waits for instances that have not been received.",
        remedy="",
        outcome="",
    )


def english_parts() -> set[str]:
    """What of the texts of stages is the same in each of them, if German has other words for it."""
    german = catalogue("de")
    parts = set()
    for key, text in catalogue("said").items():
        for part in re.split(r"\{[a-z_]+\}", text):
            stripped = part.strip(" .:;,()")
            if len(stripped) >= SHORTEST and stripped not in german[key]:
                parts.add(stripped)
    return parts


def shown(page: str) -> str:
    """The text of a page for people, with the attributes that are read to them."""
    page = UNTRANSLATED.sub(" ", page)
    read_out = re.findall(r'(?:aria-label|title|placeholder|hx-confirm)="([^"]*)"', page)
    return html.unescape(re.sub(r"<[^>]*>", " ", page) + " ".join(read_out))


def pages(client: SignedInClient) -> dict[str, str]:
    """Every page that the pages of the navigation lead to, and some that are not there."""
    waiting = ["/", "/requests/R999999", "/devices/x", "/register/999", "/nothing"]
    seen: dict[str, str] = {}
    while waiting:
        address = waiting.pop()
        page = client.get(address, headers=GERMAN)
        is_html = "text/html" in page.headers["content-type"]
        seen[address] = page.text if is_html else ""
        for link in re.findall(r'href="(/[^"#]*)"', seen[address]):
            target = html.unescape(link)
            is_page = not re.search(r"static|image|label\.|zip|/pages/|sign-out|download", target)
            if is_page and target not in seen and target not in waiting:
                waiting.append(target)
    return seen


def test_no_page_in_german_has_an_english_text_of_a_stage(filled: WebGround) -> None:
    seen = pages(filled.signed_in(AccountRole.ADMINISTRATOR))
    assert len(seen) > 25
    parts = "|".join(map(re.escape, sorted(english_parts(), key=len, reverse=True)))
    english = re.compile(rf"(?<![\w-])(?:{parts})(?![\w-])")
    left = {
        address: texts
        for address, page in seen.items()
        if (texts := set(english.findall(" ".join(shown(page).split()))))
    }
    assert left == {}


def test_the_walk_has_seen_every_state(filled: WebGround) -> None:
    with filled.database.reading() as session:
        statuses = set(session.scalars(select(MediaCreationRequest.execution_status)))
    assert statuses == set(ExecutionStatus)
    assert FailureReason.NO_SUCH_OBJECT_INSTANCE in FAILURES


def test_problems_are_told_in_german(filled: WebGround) -> None:
    client = filled.signed_in(AccountRole.DESK)
    page = client.client.get("/requests/R999999", headers=GERMAN)
    assert "Es gibt nichts mit diesem Namen" in page.text
    assert "keine Anforderung R999999" in page.text
