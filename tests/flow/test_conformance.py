"""Every status of the Conformance Statement, asked of running services."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom.dsutils import encode

import raw_dicom
from burnish.conformance import network_tables, status_tables
from burnish.conformance.media_creation_tables import n_get_attributes
from burnish.conformance.names import tag_text
from burnish.conformance.status_tables import STATUSES_BY_OPERATION
from burnish.scp import messages
from burnish.settings import Settings, read_settings
from burnish.vocabulary import (
    MEDIA_CREATION_MANAGEMENT,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
    VERIFICATION,
)
from factories import CT
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from flow.statement_checks import not_in_the_statement
from peer import command
from raw_dicom import EXPLICIT, Raw, pdv
from waiting import wait_until

#: Statuses of a database or a storage that fails; other tests provoke these failures.
OF_FAILING_DISKS = {0x0110, 0x0213}
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture(scope="module")
def service(start_shared: StartBurnish) -> Service:
    """A service that refuses other content of a SOP Instance UID."""
    return start_shared(storage={"same_uid": "first"})


def explicit(**attributes: object) -> bytes:
    """A data set in Explicit VR Little Endian."""
    data_set = Dataset()
    for keyword, value in attributes.items():
        setattr(data_set, keyword, value)
    encoded = encode(data_set, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    return encoded


def ask(
    service: Service,
    sop_class: str,
    field: int,
    *,
    data: bytes = b"",
    instance: str = "",
    context: str = "",
    **elements: bytes,
) -> int:
    """The status of one request on an association of its own.

    `context` is the SOP Class of the presentation context if it is another than that of the
    command.
    """
    is_create_or_store = field in (messages.N_CREATE_RQ, messages.C_STORE_RQ, messages.C_ECHO_RQ)
    more = {getattr(messages, name): value for name, value in elements.items()}
    if instance:
        uid_element = (
            messages.AFFECTED_SOP_INSTANCE_UID
            if is_create_or_store
            else messages.REQUESTED_SOP_INSTANCE_UID
        )
        more[uid_element] = instance.encode()
    if not is_create_or_store:
        more[messages.REQUESTED_SOP_CLASS_UID] = sop_class.encode()
    without = () if is_create_or_store else (messages.AFFECTED_SOP_CLASS_UID,)
    request = command(field, sop_class, data_set=bool(data), more=more, without=without)
    with Raw(service.port, [(context or sop_class, (EXPLICIT,))]) as raw:
        raw.send_values([pdv(1, 3, request)])
        if data:
            raw.send_values([pdv(1, 2, data)])
        answer = raw.receive()
        assert answer is not None
        assert answer.kind == raw_dicom.P_DATA_TF, answer
        length = int.from_bytes(answer.body[:4], "big")
        elements_of_answer = messages.Command.decode(answer.body[6 : 4 + length])
        return elements_of_answer.number(messages.STATUS)


def listed(operation: str) -> set[int]:
    """The statuses that the statement lists for an operation, without those of failing disks."""
    return {row.code for row in STATUSES_BY_OPERATION[operation]} - OF_FAILING_DISKS


def image(uid: str, sop_class: str = CT, **attributes: object) -> bytes:
    return explicit(
        SOPClassUID=sop_class,
        SOPInstanceUID=uid,
        PatientID="1",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.4",
        **attributes,
    )


def test_each_status_of_c_store(service: Service, start_burnish: StartBurnish) -> None:
    uid = generate_uid()

    def store(data: bytes, instance: str = uid, sop_class: str = CT, **more: str) -> int:
        return ask(service, sop_class, messages.C_STORE_RQ, data=data, instance=instance, **more)

    answers = [
        (store(image(uid)), 0x0000),
        (store(image(uid, sop_class=MR)), 0xA900),
        (store(image(uid)[:-3]), 0xC000),
        (store(image(uid, RescaleSlope="2")), 0xC111),
        (store(image(uid), instance="1..2"), 0x0117),
        (store(image(uid), context=MEDIA_CREATION_MANAGEMENT), 0x0211),
    ]
    full = start_burnish(storage={"high_water": 1e-6, "low_water": 1e-6})
    status = ask(full, CT, messages.C_STORE_RQ, data=image(uid), instance=uid)
    answers.append((status, 0xA700))
    assert all(status == expected for status, expected in answers), answers
    assert {status for status, _ in answers} == listed("C-STORE")


def test_an_instance_without_study_instance_uid_is_answered_a900(service: Service) -> None:
    uid = generate_uid()
    data = explicit(SOPClassUID=CT, SOPInstanceUID=uid, PatientID="1")
    assert ask(service, CT, messages.C_STORE_RQ, data=data, instance=uid) == 0xA900


def test_each_status_of_c_echo(service: Service) -> None:
    answers = {
        ask(service, VERIFICATION, messages.C_ECHO_RQ),
        ask(service, VERIFICATION, messages.N_GET_RQ),
    }
    assert answers == listed("C-ECHO")


def references(uid: str = "1.2.3.4.5", **attributes: object) -> bytes:
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = uid
    return explicit(ReferencedSOPSequence=[item], **attributes)


Ask = Callable[..., int]


def has_ended(service: Service, uid: str) -> bool:
    with MediaCreation(service.port) as scu:
        status, attributes = scu.get(uid, "ExecutionStatus")
        assert status == 0
        return attributes.ExecutionStatus in ("DONE", "FAILURE")


def on_media_creation(service: Service, field: int) -> Ask:
    return lambda **more: ask(
        service, more.pop("sop_class", MEDIA_CREATION_MANAGEMENT), field, **more
    )


def test_each_status_of_n_create(service: Service) -> None:
    create = on_media_creation(service, messages.N_CREATE_RQ)
    uid = generate_uid()
    answers = [
        (create(data=references(), instance=uid), 0x0000),
        (create(data=references(), instance=uid), 0x0111),
        (create(data=references(AllowMediaSplitting="MAYBE")), 0x0106),
        (create(data=references(), instance="1..2"), 0x0117),
        (create(data=explicit(LabelText="no references")), 0x0120),
        (create(data=explicit(ReferencedSOPSequence=[])), 0x0121),
        (create(data=references()[:-1]), 0x0212),
        (
            create(data=references(), sop_class=CT, context=MEDIA_CREATION_MANAGEMENT),
            0x0118,
        ),
        (ask(service, MEDIA_CREATION_MANAGEMENT, 0x0150, instance=uid), 0x0211),  # N-DELETE
    ]
    assert all(status == expected for status, expected in answers), answers
    assert {status for status, _ in answers} == listed("N-CREATE")


def test_unknown_attributes_of_n_create_are_ignored(service: Service) -> None:
    data = references(StudyDescription="not an attribute of the SOP Class")
    create = on_media_creation(service, messages.N_CREATE_RQ)
    assert create(data=data, instance=generate_uid()) == 0x0000


def test_each_status_of_n_action_of_media_creation(service: Service) -> None:
    create = on_media_creation(service, messages.N_CREATE_RQ)
    act = on_media_creation(service, messages.N_ACTION_RQ)
    initiate, cancel, unknown = (struct.pack("<H", number) for number in (1, 2, 3))
    uid = generate_uid()
    assert create(data=references(), instance=uid) == 0
    too_many = explicit(NumberOfCopies="100")
    answers = [
        (act(instance=uid, ACTION_TYPE_ID=initiate, data=too_many), 0x0115),
        (act(instance=uid, ACTION_TYPE_ID=initiate, data=too_many[:-1]), 0x0212),
        (act(instance=uid, ACTION_TYPE_ID=unknown), 0x0123),
        (act(instance=uid), 0x0212),
        (act(instance=uid, ACTION_TYPE_ID=initiate), 0x0000),
        (act(instance=uid, ACTION_TYPE_ID=initiate), 0xA510),
        (act(instance="1.2.3.4", ACTION_TYPE_ID=initiate), 0x0112),
        (
            act(
                instance=uid,
                ACTION_TYPE_ID=cancel,
                sop_class=CT,
                context=MEDIA_CREATION_MANAGEMENT,
            ),
            0x0118,
        ),
        (ask(service, MEDIA_CREATION_MANAGEMENT, 0x0120, instance=uid), 0x0211),  # N-SET
    ]
    wait_until(lambda: has_ended(service, uid), what="the end of a request without instances")
    answers.append((act(instance=uid, ACTION_TYPE_ID=cancel), 0xC201))
    assert all(status == expected for status, expected in answers), answers
    assert {status for status, _ in answers} == listed("N-ACTION")


def test_each_status_of_n_get(service: Service) -> None:
    create = on_media_creation(service, messages.N_CREATE_RQ)
    get = on_media_creation(service, messages.N_GET_RQ)
    uid = generate_uid()
    assert create(data=references(), instance=uid) == 0
    study_description = b"\x08\x00\x30\x10"
    answers = [
        (get(instance=uid), 0x0000),
        (get(instance=uid, ATTRIBUTE_IDENTIFIER_LIST=study_description), 0x0001),
        (get(instance="1.2.3.4"), 0x0112),
        (get(instance=uid, ATTRIBUTE_IDENTIFIER_LIST=b"\x08\x00"), 0x0120),
        (get(instance=uid, data=references()[:-1]), 0x0212),
        (get(instance=uid, sop_class=CT, context=MEDIA_CREATION_MANAGEMENT), 0x0118),
        (ask(service, MEDIA_CREATION_MANAGEMENT, 0x0100, instance=uid), 0x0211),  # N-EVENT-REPORT
    ]
    assert all(status == expected for status, expected in answers), answers
    assert {status for status, _ in answers} == listed("N-GET")


def test_n_get_returns_the_attributes_of_the_statement(service: Service) -> None:
    request = Dataset()
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = "1.2.3.4.5"
    request.ReferencedSOPSequence = [item]
    request.LabelText = "second opinion"
    with MediaCreation(service.port) as scu:
        assert scu.create(request)[0] == 0
        uid = scu.sop_instance_uid
        status, created = scu.get(uid)
        assert status == 0
        assert scu.initiate(uid, copies=2, priority="HIGH")[0] == 0
        status, initiated = scu.get(uid)
        assert status == 0
    rows = {row[1]: row for row in n_get_attributes().rows}
    assert {tag_text(int(tag)) for tag in initiated.keys()} <= set(rows)  # noqa: SIM118
    always = {tag for tag, row in rows.items() if row[4].startswith("always")}
    assert always <= {tag_text(int(tag)) for tag in created.keys()}  # noqa: SIM118
    later = {tag for tag, row in rows.items() if row[4] == "once the request was initiated"}
    new_tags = {tag_text(int(tag)) for tag in initiated.keys() - created.keys()}
    assert new_tags == later


def test_each_status_of_storage_commitment(service: Service) -> None:
    request = struct.pack("<H", 1)

    def commit(
        data: bytes, instance: str = STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, **more: bytes
    ) -> int:
        elements = {"ACTION_TYPE_ID": request, **more}
        return ask(
            service,
            STORAGE_COMMITMENT_PUSH_MODEL,
            messages.N_ACTION_RQ,
            data=data,
            instance=instance,
            **elements,
        )

    good = references(TransactionUID=generate_uid())
    answers = [
        (commit(good), 0x0000),
        (commit(references(TransactionUID=generate_uid()), instance="1.2.3"), 0x0112),
        (commit(references()), 0x0115),
        (commit(good, ACTION_TYPE_ID=struct.pack("<H", 2)), 0x0123),
        (commit(good[:-1]), 0x0212),
        (
            ask(
                service,
                CT,
                messages.N_ACTION_RQ,
                data=good,
                instance=STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
                context=STORAGE_COMMITMENT_PUSH_MODEL,
                ACTION_TYPE_ID=request,
            ),
            0x0118,
        ),
        (
            ask(
                service,
                STORAGE_COMMITMENT_PUSH_MODEL,
                messages.N_GET_RQ,
                instance=STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
            ),
            0x0211,
        ),
    ]
    assert all(status == expected for status, expected in answers), answers
    assert {status for status, _ in answers} == listed("Storage Commitment N-ACTION")


def test_each_reason_of_an_abort(start_burnish: StartBurnish) -> None:
    impatient = start_burnish(dicom={"acse_timeout": "1s"})
    unknown_pdu = raw_dicom.pdu(9, bytes(4))
    release_first = raw_dicom.pdu(raw_dicom.A_RELEASE_RQ, bytes(4))
    without_contexts = raw_dicom.associate_rq([], called=b" " * 16, calling=b" " * 16)
    answers = [
        (abort_after(impatient, b""), 0),
        (abort_after(impatient, unknown_pdu), 1),
        (abort_after(impatient, release_first), 2),
        (abort_after(impatient, without_contexts), 6),
    ]
    assert all(reason == (2, expected) for reason, expected in answers), answers
    listed_reasons = {int(row[0].split(" ")[0]) for row in network_tables.aborts().rows}
    assert {reason for (_, reason), _ in answers} == listed_reasons


def abort_after(service: Service, data: bytes) -> tuple[int, int]:
    """Source and reason of the A-ABORT that follows these bytes on a new connection."""
    with Raw(service.port, silent=True) as raw:
        if data:
            raw.send(data)
        answer = raw.receive()
        assert answer is not None
        return answer.source_and_reason


def test_an_answer_that_the_statement_lacks_is_noticed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(service, VERIFICATION, messages.N_GET_RQ) == 0x0211
    settings = read_settings(service.config)
    assert not_in_the_statement(service.record, settings) == []
    without = {**STATUSES_BY_OPERATION, "C-ECHO": STATUSES_BY_OPERATION["C-ECHO"][1:]}
    monkeypatch.setattr(status_tables, "STATUSES_BY_OPERATION", without)
    (fault,) = not_in_the_statement(service.record, settings)
    assert fault.endswith("0000H to 0030H of Verification")


#: Lines of a record that no Conformance Statement of Burnish allows.
NEVER_SENT = (
    ("response", "acceptor", CT, messages.C_STORE_RQ, 0xB000),
    ("response", "acceptor", MEDIA_CREATION_MANAGEMENT, messages.N_CREATE_RQ, 0x0107),
    ("response", "acceptor", VERIFICATION, messages.N_GET_RQ, 0x0122),
    ("response", "requestor", CT, messages.C_STORE_RQ, 0xA900),
    ("request", "acceptor", MEDIA_CREATION_MANAGEMENT, messages.N_EVENT_REPORT_RQ + 1),
    ("request", "requestor", STORAGE_COMMITMENT_PUSH_MODEL, messages.N_ACTION_RQ),
    ("rejection", 1, 1, 1),
    ("abort", "acceptor", 0, 0),
    ("abort", "acceptor", 2, 4),
    ("context", CT, EXPLICIT, 2, ""),
    ("context", CT, EXPLICIT, 3, ""),
    ("context", CT, "1.2.840.10008.1.2.4.94", 0, ""),
    ("context", VERIFICATION, "1.2.840.10008.1.2.4.90", 0, ""),
    ("context", "1.2.826.0.1.3680043.2.1396.999", EXPLICIT, 0, ""),
    ("context", "1.2.826.0.1.3680043.2.1396.999", EXPLICIT, 0, "1.2.840.10008.4.1"),
    ("negotiated", 0x51, "", "00000000"),
    ("negotiated", 0x53, "", ""),
    ("negotiated", 0x54, CT, "0101"),
    ("negotiated", 0x56, CT, "010000000000"),
    ("proposed", VERIFICATION, ["1.2.840.10008.1.2.4.90"]),
    ("proposed role", VERIFICATION, False, True),
    ("element", MEDIA_CREATION_MANAGEMENT, 0x8110, "00081030", None),
    ("element", MEDIA_CREATION_MANAGEMENT, 0x8110, "21000020", "LATER"),
    ("element", STORAGE_COMMITMENT_PUSH_MODEL, messages.N_EVENT_REPORT_RQ, "00080054", None),
    ("element", STORAGE_COMMITMENT_PUSH_MODEL, messages.N_EVENT_REPORT_RQ, "00081197", 0x0106),
)


@pytest.mark.parametrize("parts", NEVER_SENT, ids=str)
def test_what_no_statement_lists_is_noticed(tmp_path: Path, parts: tuple[object, ...]) -> None:
    record = tmp_path / "sent.jsonl"
    record.write_text(json.dumps(parts) + "\n")
    assert len(not_in_the_statement(record, Settings())) == 1
