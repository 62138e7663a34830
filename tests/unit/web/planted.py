"""Work in which every text that comes from outside is one that a test has chosen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from burnish import devices, register
from burnish.contacts import Contact, ContactOutcome, ContactRecorder
from burnish.db import devices as device_rows
from burnish.db.history import fail, note
from burnish.db.tables import FailedInstance, Notice, RetrievedStudy, StudyRetrieval
from burnish.receive import Receiver
from burnish.request import changes, operations
from burnish.settings import DeviceSettings
from burnish.values import Actor
from burnish.vocabulary import ExecutionStatus, ExecutionStatusInfo, NoticeCause
from burnish.write.worker import Worker
from factories import SampleInstance, add_request, instance
from web_client import WebGround

#: What a test chooses: the text of each field, by its name.
Text = Callable[[str], str]
#: Fields that may tell of a patient.
OF_PATIENTS = (
    "name",
    "id",
    "acc",
    "born",
    "study",
    "series",
    "label",
    "barcode",
    "for",
    "fsid",
    "note",
    "told",
)
#: Other fields that a peer, a user or a device fills.
OF_OTHERS = ("ae", "ae2", "pause", "device", "remedy", "user", "why", "archive", "detail")


@contextmanager
def planted(root: Path, text: Text) -> Iterator[WebGround]:
    """A database with these texts, and the application on it."""
    spare = DeviceSettings(name="spare", directory=root / "spare")
    with (
        WebGround(root, device=(DeviceSettings(name="outbox"), spare)) as web,
        structlog.testing.capture_logs(),
    ):
        _fill(web, text)
        yield web


def _instance(text: Text, **more: str) -> SampleInstance:
    return instance(
        patient_name=text("name"),
        patient_id=text("id"),
        accession_number=text("acc"),
        birth_date=text("born"),
        study_description=text("study"),
        series_description=text("series"),
        **more,
    )


def _fill(web: WebGround, text: Text) -> None:
    actor = Actor("user", text("user"), "10.0.0.3")
    samples = [_instance(text, study="1.2.3"), _instance(text, study="1.2.4")]
    receiver = Receiver(web.database, web.spool)
    for sample in samples:
        receiver.receive(sample.arriving(calling_ae_title=text("ae")))
    receiver.index()
    receiver.close()
    web.admit(
        samples[:1],
        label_text=text("label"),
        barcode_value=text("barcode"),
        media_disposition=text("for"),
        storage_media_file_set_id=text("fsid"),
    )
    web.plan()
    worker = Worker(web.settings, web.device, web.database, web.spool)
    worker.make_all()
    waiting = web.create(samples[:1], label_text=text("label"))
    now = datetime.now(UTC)
    with web.database.writing() as session:
        changes.set_label(session, waiting, text=text("label") + "2", actor=actor)
        operations.hold(session, waiting, actor=actor)
        piece = register.entries(session, register.RegisterFilter(), limit=1)[0]
        given_out = register.NoteKind.GIVEN_OUT
        register.add_note(session, piece.name, given_out, text("note"), actor=actor)
        remark = register.NoteKind.REMARK
        register.add_note(session, piece.name, remark, text("told"), actor=actor)
        failed = add_request(session, status=ExecutionStatus.CREATING, requested_by=str(actor))
        failure = FailedInstance(
            ordinal=1,
            referenced_sop_class_uid="1.2",
            referenced_sop_instance_uid="1.2.3.4",
            failure_reason=0x0112,
        )
        fail(
            session,
            failed,
            ExecutionStatusInfo.PROC_FAILURE,
            why=text("why"),
            remedy=text("remedy"),
            failures=[failure],
        )
        note(session, failed.id, "PRIORITY", text("why"), actor=actor)
        devices.pause(session, web.settings, "spare", text("pause"), actor=actor)
        session.add(
            Notice(
                cause=NoticeCause.FAILED,
                subject="R000003",
                request_id=failed.id,
                began_at=now,
                noticed_at=now,
                reason=text("why"),
                remedy=text("remedy"),
                outcome="",
            )
        )
        session.add(
            StudyRetrieval(
                archive=text("archive"),
                actor=str(actor),
                asked_at=now,
                ended_at=now,
                problem=text("why"),
                remedy=text("remedy"),
                studies=[
                    RetrievedStudy(
                        ordinal=1,
                        study_instance_uid="1.2.9",
                        patient_name=text("name"),
                        patient_id=text("id"),
                        study_description=text("study"),
                    )
                ],
            )
        )
        device_rows.tell(
            session, "outbox", ExecutionStatusInfo.CHECK_MCD_OP, text("device"), text("remedy")
        )
    recorder = ContactRecorder(web.database)
    recorder.note(
        Contact(text("ae"), text("ae2"), "10.0.0.9", ContactOutcome.REJECTED, text("detail"))
    )
    recorder.note(Contact(text("ae"), "BURNISH", "10.0.0.7", ContactOutcome.ENDED, text("detail")))
    recorder.flush()
