"""Media Creation Management with two clients: all operations, statuses and ends of a request."""

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE
from pynetdicom.dsutils import encode

import material
import oracles
import raw_dicom
from burnish.access.outgoing_associations import RELIABLE_CHECKPOINT
from flow import clients
from flow.clients import MEDIA_CREATION_MANAGEMENT, MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from raw_dicom import EXPLICIT, IMPLICIT, Raw, pdv
from waiting import wait_until

CT = "1.2.840.10008.5.1.4.1.1.2"
ORDER = ["IDLE", "PENDING", "CREATING", "DONE"]
ENDED = ("DONE", "FAILURE")
JAPANESE = "山田^太郎 やまだ"


@pytest.fixture(scope="module")
def files(real_studies: material.RealStudies) -> tuple[Path, ...]:
    """Images in Explicit VR Little Endian of three patients."""
    return real_studies.patients


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish, real_studies: material.RealStudies) -> Service:
    """One service that has every real instance."""
    service = start_shared(request={"attempts": 1})
    report = clients.dcmsend(service.port, *real_studies.all)
    assert report.statuses == {0: len(real_studies.all)}
    return service


@pytest.fixture(scope="module")
def waiting_service(start_shared: StartBurnish) -> Service:
    """A service that has no instances and waits an hour for those of a request."""
    return start_shared(request={"wait_for_instances": "1h"})


@pytest.fixture(scope="module")
def small_media(start_shared: StartBurnish, files: tuple[Path, ...]) -> Service:
    """A service whose blanks hold 120 KB."""
    service = start_shared(device=[{"name": "outbox", "media": ["CD"], "capacity": "120KB"}])
    assert clients.dcmsend(service.port, *files).exit_code == 0
    return service


def outcome(scu: MediaCreation, uid: str, deadline: float = 300) -> Dataset:
    """All attributes of a request once it has ended."""

    def ended() -> bool:
        status, attributes = scu.get(uid, "ExecutionStatus")
        assert status == 0
        return attributes.ExecutionStatus in ENDED

    wait_until(ended, deadline=deadline, what=f"the end of request {uid}")
    status, attributes = scu.get(uid)
    assert status == 0
    return attributes


def create_and_initiate(service: Service, request: Dataset, **action: Any) -> Dataset:
    """Creates and initiates a request; all its attributes at its end."""
    with MediaCreation(service.port) as scu:
        assert scu.create(request)[0] == 0, scu.error_comment
        uid = scu.sop_instance_uid
        assert scu.initiate(uid, **action)[0] == 0, scu.error_comment
        return outcome(scu, uid)


def failure_reasons(attributes: Dataset) -> dict[str, int]:
    """The Failure Reason of each failed instance, by SOP Instance UID."""
    return {
        str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
        for item in attributes.FailedSOPSequence
    }


def uids(paths: tuple[Path, ...]) -> list[str]:
    return [str(material.read(path).SOPInstanceUID) for path in paths]


def images(service: Service, uid: str) -> list[Path]:
    """The published images of a request."""
    [row] = oracles.rows(
        service, "SELECT id FROM media_creation_request WHERE sop_instance_uid = ?", uid
    )
    return sorted((service.outbox / f"R{row['id']:06d}").glob("*.iso"))


def minimal_request(**attributes: object) -> Dataset:
    """The Attribute List of an N-CREATE for one instance that the service does not have."""
    request = clients.references([], **attributes)
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = "1.2.3.4.5"
    request.ReferencedSOPSequence.append(item)
    return request


def as_json(attributes: Dataset) -> dict[str, Any]:
    """The Attribute List as the client on dcmjs takes it."""
    return {
        element.keyword: [as_json(item) for item in element.value]
        if element.VR == "SQ"
        else (str(element.value) if element.VM == 1 else list(element.value))
        for element in attributes
    }


# --- N-CREATE ------------------------------------------------------------------------------------


def test_a_request_may_have_only_the_required_attributes(burnish: Service) -> None:
    with MediaCreation(burnish.port) as scu:
        uid = str(generate_uid())
        status, returned = scu.create(minimal_request(), uid)
        assert status == 0
        assert scu.sop_instance_uid == uid
        status, attributes = scu.get(uid)
    assert status == 0
    assert attributes.ExecutionStatus == "IDLE"
    assert attributes.ExecutionStatusInfo == "NORMAL"
    assert attributes.TotalNumberOfPiecesOfMediaCreated == 0
    assert list(attributes.FailedSOPSequence) == []
    assert list(attributes.ReferencedStorageMediaSequence) == []
    assert attributes.AllowMediaSplitting == "YES"
    assert attributes.AllowLossyCompression == "NO"
    if len(returned):
        assert returned == attributes, "a returned Attribute List is the complete one"


def test_a_request_may_have_every_attribute(burnish: Service) -> None:
    values = {
        "SpecificCharacterSet": "ISO_IR 100",
        "StorageMediaFileSetID": "ALL_ATTRIBUTES",
        "StorageMediaFileSetUID": str(generate_uid()),
        "LabelUsingInformationExtractedFromInstances": "NO",
        "LabelText": "Müller, Jérôme\r\nzweite Zeile",
        "LabelStyleSelection": "PLAIN",
        "BarcodeValue": "0123456",
        "BarcodeSymbology": "CODE39",
        "MediaDisposition": "Postfach 12, für Station Süd",
        "AllowMediaSplitting": "NO",
        "AllowLossyCompression": "YES",
        "IncludeNonDICOMObjects": "FOR_TEACHING",
        "IncludeDisplayApplication": "YES",
        "PreserveCompositeInstancesAfterMediaCreation": "YES",
    }
    request = minimal_request(**values)
    item = request.ReferencedSOPSequence[0]
    item.RequestedMediaApplicationProfile = "STD-GEN-DVD-JPEG"
    icon = Dataset()
    icon.SamplesPerPixel = 1
    icon.PhotometricInterpretation = "MONOCHROME2"
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated = icon.BitsStored = 8
    icon.HighBit = 7
    icon.PixelRepresentation = 0
    icon.PixelData = b"\1\2\3\4"
    icon["PixelData"].VR = "OB"
    item.IconImageSequence = [icon]
    with MediaCreation(burnish.port) as scu:
        assert scu.create(request)[0] == 0, scu.error_comment
        status, attributes = scu.get(scu.sop_instance_uid)
    assert status == 0
    for keyword, value in values.items():
        assert attributes.get(keyword) == value, keyword
    [item] = attributes.ReferencedSOPSequence
    assert item.RequestedMediaApplicationProfile == "STD-GEN-DVD-JPEG"
    [icon] = item.IconImageSequence
    assert icon.Rows == 2
    assert bytes(icon.PixelData) == b"\1\2\3\4"


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ("ISO_IR 100", "Jérôme Müller"),
        ("ISO_IR 192", "Jérôme Юлия 山田 قباني"),
        (["", "ISO 2022 IR 87"], JAPANESE),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "ﾔﾏﾀﾞ^ﾀﾛｳ 山田"),
        ("ISO_IR 144", "Юлия Ёлкина"),
        (["", "ISO 2022 IR 149"], "김희중"),
    ],
)
def test_text_comes_back_as_it_went_in(burnish: Service, terms: Any, text: str) -> None:
    request = minimal_request(SpecificCharacterSet=terms, LabelText=text, MediaDisposition=text)
    with MediaCreation(burnish.port) as scu:
        assert scu.create(request)[0] == 0, scu.error_comment
        status, attributes = scu.get(scu.sop_instance_uid)
        assert status == 0
        _, part = scu.get(scu.sop_instance_uid, "LabelText")
    assert attributes.LabelText == text
    assert attributes.MediaDisposition == text
    assert part.LabelText == text, "the character set goes with the text"


def test_the_other_client_creates_and_reads(burnish: Service) -> None:
    uid = str(generate_uid())
    request = minimal_request(LabelText="LABEL", AllowMediaSplitting="NO")
    answer = clients.mcm_client(burnish.port, "create", "--uid", uid, attributes=as_json(request))
    assert answer["status"] == 0, answer
    assert answer["sopInstanceUid"] == uid
    answer = clients.mcm_client(burnish.port, "get", uid)
    assert answer["status"] == 0
    assert answer["attributes"]["LabelText"] == "LABEL"
    assert answer["attributes"]["ExecutionStatus"] == "IDLE"
    assert answer["attributes"]["AllowMediaSplitting"] == "NO"


def test_the_service_assigns_a_uid_if_the_scu_gives_none(burnish: Service) -> None:
    answer = clients.mcm_client(burnish.port, "create", attributes=as_json(minimal_request()))
    assert answer["status"] == 0, answer
    uid = answer["sopInstanceUid"]
    assert clients.mcm_client(burnish.port, "get", uid)["status"] == 0
    with MediaCreation(burnish.port) as scu:
        scu.create(minimal_request())
        assert scu.sop_instance_uid not in ("", uid)


def _wrong(name: str) -> Dataset | None:
    request = minimal_request()
    item = request.ReferencedSOPSequence[0]
    match name:
        case "no data set":
            return None
        case "no sequence":
            del request.ReferencedSOPSequence
            request.LabelText = "x"
        case "empty sequence":
            request.ReferencedSOPSequence = []
        case "no class":
            del item.ReferencedSOPClassUID
        case "no instance":
            del item.ReferencedSOPInstanceUID
        case "empty class":
            item.ReferencedSOPClassUID = ""
        case "empty instance":
            item.ReferencedSOPInstanceUID = ""
    return request


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("no data set", 0x0120),
        ("no sequence", 0x0120),
        ("empty sequence", 0x0121),
        ("no class", 0x0120),
        ("no instance", 0x0120),
        ("empty class", 0x0121),
        ("empty instance", 0x0121),
    ],
)
def test_a_missing_attribute_is_rejected(burnish: Service, name: str, status: int) -> None:
    uid = str(generate_uid())
    with MediaCreation(burnish.port) as scu:
        assert scu.create(_wrong(name), uid)[0] == status
        assert scu.error_comment
        assert scu.get(uid)[0] == 0x0112, "a failed N-CREATE makes no instance"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("AllowMediaSplitting", "MAYBE"),
        ("AllowLossyCompression", "yes"),
        ("LabelUsingInformationExtractedFromInstances", "Y"),
        ("IncludeDisplayApplication", "TRUE"),
        ("PreserveCompositeInstancesAfterMediaCreation", "1"),
        ("StorageMediaFileSetID", "lower case"),
        ("StorageMediaFileSetID", "SEVENTEEN_LETTERS"),
        ("StorageMediaFileSetUID", "1.2.x"),
        ("AllowMediaSplitting", ["YES", "NO"]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_bad_value_is_rejected(burnish: Service, keyword: str, value: object) -> None:
    with MediaCreation(burnish.port) as scu:
        assert scu.create(minimal_request(**{keyword: value}))[0] == 0x0106
        assert scu.error_comment


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keyword", ["ReferencedSOPClassUID", "ReferencedSOPInstanceUID"])
def test_a_reference_that_is_not_a_uid_is_rejected(burnish: Service, keyword: str) -> None:
    request = minimal_request()
    setattr(request.ReferencedSOPSequence[0], keyword, "1.2.zebra")
    with MediaCreation(burnish.port) as scu:
        assert scu.create(request)[0] in (0x0106, 0x0117)


def test_defined_terms_can_be_extended(burnish: Service) -> None:
    with MediaCreation(burnish.port) as scu:
        status, _ = scu.create(
            minimal_request(IncludeNonDICOMObjects="FOR_LAWYERS", BarcodeSymbology="QR")
        )
        assert status == 0


def test_an_attribute_that_is_not_in_the_table_brings_no_warning(burnish: Service) -> None:
    """Warnings shall not be returned (PS3.4 S.3.2.1.3)."""
    request = minimal_request(
        PatientName="Nobody^Special", RequestPriority="HIGH", NumberOfCopies="3"
    )
    block = request.private_block(0x2201, "SOMEBODY ELSE", create=True)
    block.add_new(1, "LO", "what is this")
    with MediaCreation(burnish.port) as scu:
        assert scu.create(request)[0] == 0, scu.error_comment


def test_a_sop_instance_uid_that_is_in_use_is_rejected(burnish: Service) -> None:
    uid = str(generate_uid())
    with MediaCreation(burnish.port) as scu:
        assert scu.create(minimal_request(), uid)[0] == 0
        assert scu.create(minimal_request(), uid)[0] == 0x0111
        assert scu.get(uid)[0] == 0
        assert scu.cancel(uid)[0] == 0
        assert scu.get(uid)[0] == 0x0112
        assert scu.create(minimal_request(), uid)[0] == 0


def _n_create_rq(sop_class: str, uid: str) -> bytes:
    return raw_dicom.command(
        {
            0x0002: sop_class.encode(),
            0x0100: b"\x40\x01",
            0x0110: b"\x01\x00",
            0x0800: b"\x01\x00",
            0x1000: uid.encode(),
        }
    )


def _raw_status(service: Service, command: bytes, data: bytes = b"") -> int:
    contexts = [(str(MEDIA_CREATION_MANAGEMENT), [IMPLICIT])]
    with Raw(service.port, contexts) as raw:
        raw.send_values([pdv(1, 3, command), *([pdv(1, 2, data)] if data else [])])
        answer = raw.receive()
        raw.send(raw_dicom.pdu(raw_dicom.A_ABORT, bytes(4)))
    assert answer is not None
    assert answer.kind == raw_dicom.P_DATA_TF, answer
    at = answer.body.index(b"\0\0\0\x09\x02\0\0\0") + 8
    return int.from_bytes(answer.body[at : at + 2], "little")


def _encoded(data_set: Dataset) -> bytes:
    return encode(data_set, is_implicit_vr=True, is_little_endian=True) or b""


@pytest.mark.parametrize("uid", ["1.2.zebra", "1" + ".2" * 40, "hello"])
def test_a_bad_uid_is_rejected(burnish: Service, uid: str) -> None:
    command = _n_create_rq(str(MEDIA_CREATION_MANAGEMENT), uid)
    assert _raw_status(burnish, command, _encoded(minimal_request())) == 0x0117


@pytest.mark.parametrize(
    "data",
    [
        b"garbage that is no data set at all, not even by chance....",
        b"\x08\x00\x99\x11\xff\xff\xff\xff\xfe\xff\x00\xe0" + b"\xff" * 4 + b"\x08\0",
        b"\x08\x00\x99\x11\xff\xff\xff\x7f" + bytes(20),
        b"\x08\x00\x05\x00\x0a\0\0\0ISO_IR 999\x00\x22\x02\x00\x02\0\0\0ab",
        (b"\x08\x00\x99\x11\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff") * 5000,
    ],
    ids=["text", "endless item", "long", "character set", "nested 5000 deep"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_n_create_is_rejected(burnish: Service, data: bytes) -> None:
    command = _n_create_rq(str(MEDIA_CREATION_MANAGEMENT), str(generate_uid()))
    status = _raw_status(burnish, command, data)
    assert status in range(0x0100, 0x0300), f"{status:04X}"
    assert status not in (0x0107, 0x0116), "warnings shall not be returned (PS3.4 S.3.2.1.3)"
    assert clients.echo(burnish.port) == 0


def test_an_n_create_of_another_sop_class_is_rejected(burnish: Service) -> None:
    film_session = "1.2.840.10008.5.1.1.1"
    assert (
        _raw_status(burnish, _n_create_rq(film_session, "1.2.3"), _encoded(minimal_request()))
        == 0x0118
    )


@pytest.mark.parametrize("field", [0x0150, 0x0120, 0x0100, 0x0020])
def test_an_operation_that_is_not_supported_is_rejected(burnish: Service, field: int) -> None:
    """N-DELETE, N-SET, N-EVENT-REPORT, C-FIND."""
    command = raw_dicom.command(
        {
            0x0003: str(MEDIA_CREATION_MANAGEMENT).encode(),
            0x0100: field.to_bytes(2, "little"),
            0x0110: b"\x01\x00",
            0x0800: b"\x01\x01",
            0x1001: b"1.2.3",
        }
    )
    assert _raw_status(burnish, command) == 0x0211


def test_a_request_of_five_thousand_instances(burnish: Service) -> None:
    request = Dataset()
    request.ReferencedSOPSequence = []
    for number in range(5000):
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = f"1.2.826.0.1.3680043.10.999.2.{number}"
        request.ReferencedSOPSequence.append(item)
    with MediaCreation(burnish.port) as scu:
        assert scu.create(request)[0] == 0
        uid = scu.sop_instance_uid
        status, attributes = scu.get(uid, "ReferencedSOPSequence")
        assert status == 0
        assert len(attributes.ReferencedSOPSequence) == 5000
        assert scu.initiate(uid)[0] == 0
        attributes = outcome(scu, uid)
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "NO_INSTANCE"
    assert len(attributes.FailedSOPSequence) == 5000


# --- N-ACTION ------------------------------------------------------------------------------------


def test_number_of_copies_and_priority_must_be_possible(waiting_service: Service) -> None:
    with MediaCreation(waiting_service.port) as scu:
        scu.create(minimal_request())
        uid = scu.sop_instance_uid
        for copies in (0, -1, 100, 2_000_000_000):
            assert scu.initiate(uid, copies=copies)[0] == 0x0115, copies
            assert scu.error_comment
        assert scu.initiate(uid, priority="URGENT")[0] == 0x0115
        _, attributes = scu.get(uid)
        assert attributes.ExecutionStatus == "IDLE", "a rejected action changes nothing"
        assert scu.initiate(uid, copies=99, priority="LOW")[0] == 0
        _, attributes = scu.get(uid)
        assert attributes.ExecutionStatus == "PENDING"
        assert attributes.ExecutionStatusInfo == "QUEUED"
        assert attributes.NumberOfCopies == 99
        assert attributes.RequestPriority == "LOW"


def test_a_second_initiate_is_rejected(waiting_service: Service) -> None:
    with MediaCreation(waiting_service.port) as scu:
        scu.create(minimal_request())
        uid = scu.sop_instance_uid
        assert scu.initiate(uid, copies=2)[0] == 0
        assert scu.initiate(uid)[0] == 0xA510
        assert scu.initiate(uid, copies=5, priority="HIGH")[0] == 0xA510
        _, attributes = scu.get(uid)
        assert attributes.NumberOfCopies == 2, "a rejected action changes nothing"
        assert attributes.RequestPriority == "MED"


def test_an_unknown_action_is_rejected(waiting_service: Service) -> None:
    with MediaCreation(waiting_service.port) as scu:
        scu.create(minimal_request())
        for number in (0, 3, 99):
            assert scu.action(number, scu.sop_instance_uid, None)[0] == 0x0123


def test_an_unknown_request_is_rejected(burnish: Service) -> None:
    with MediaCreation(burnish.port) as scu:
        assert scu.initiate("1.2.3.4")[0] == 0x0112
        assert scu.cancel("1.2.3.4")[0] == 0x0112
        assert scu.get("1.2.3.4")[0] == 0x0112
        assert scu.action(3, "1.2.3.4", None)[0] in (0x0112, 0x0123)


@pytest.mark.parametrize("state", ["IDLE", "PENDING"])
@pytest.mark.parametrize("client", ["pynetdicom", "dcmjs-dimse"])
def test_a_request_cancelled_before_it_is_made_is_removed(
    waiting_service: Service, state: str, client: str
) -> None:
    with MediaCreation(waiting_service.port) as scu:
        scu.create(minimal_request())
        uid = scu.sop_instance_uid
        if state == "PENDING":
            assert scu.initiate(uid)[0] == 0
        if client == "pynetdicom":
            assert scu.cancel(uid)[0] == 0
        else:
            assert clients.mcm_client(waiting_service.port, "cancel", uid)["status"] == 0
        assert scu.get(uid)[0] == 0x0112
        assert scu.initiate(uid)[0] == 0x0112
        assert scu.cancel(uid)[0] == 0x0112


def test_a_request_that_has_ended_cannot_be_cancelled(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    with MediaCreation(burnish.port) as scu:
        scu.create(clients.references(files[:1]))
        done = scu.sop_instance_uid
        scu.initiate(done)
        scu.create(minimal_request())
        gone = scu.sop_instance_uid
        scu.initiate(gone)
        for uid, status in ((done, "DONE"), (gone, "FAILURE")):
            assert outcome(scu, uid).ExecutionStatus == status
            assert scu.cancel(uid)[0] == 0xC201
            assert scu.get(uid, "ExecutionStatus")[1].ExecutionStatus == status
            assert scu.initiate(uid)[0] == 0xA510


def test_cancel_at_any_moment_leaves_no_half_piece(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    """Either the request is cancelled or it ends as DONE, whatever the writer does meanwhile."""
    for _ in range(6):
        with MediaCreation(burnish.port) as scu:
            scu.create(clients.references(files))
            uid = scu.sop_instance_uid
            scu.initiate(uid, copies=2)
            status, _ = scu.cancel(uid)
            assert status in (0, 0xC201, 0xC202)
            if status == 0:
                assert scu.get(uid)[0] == 0x0112
            else:
                assert outcome(scu, uid).ExecutionStatus == "DONE"

        def settled(uid: str = uid) -> bool:
            return not oracles.rows(
                burnish,
                "SELECT 1 FROM piece p JOIN file_set f ON p.file_set_id = f.id"
                " JOIN media_creation_request r ON f.request_id = r.id"
                " WHERE r.sop_instance_uid = ?"
                " AND p.state NOT IN ('CREATED', 'SPOILED', 'DROPPED')",
                uid,
            )

        wait_until(settled, what="no piece that is queued or being written")
        created = oracles.rows(
            burnish,
            "SELECT p.id FROM piece p JOIN file_set f ON p.file_set_id = f.id"
            " JOIN media_creation_request r ON f.request_id = r.id"
            " WHERE r.sop_instance_uid = ? AND p.state = 'CREATED'",
            uid,
        )
        count = len(created)
        wait_until(
            lambda uid=uid, count=count: len(images(burnish, uid)) == count,
            what="an image for each created piece and no other",
        )


# --- N-GET ---------------------------------------------------------------------------------------


def test_an_attribute_list_is_honoured(burnish: Service) -> None:
    with MediaCreation(burnish.port) as scu:
        scu.create(minimal_request(LabelText="LABEL"))
        uid = scu.sop_instance_uid
        status, attributes = scu.get(uid, "ExecutionStatus", "LabelText")
        assert status == 0
        assert [element.keyword for element in attributes] == ["ExecutionStatus", "LabelText"]
        status, attributes = scu.get(uid, "LabelText", "ReferencedSOPSequence", "ExecutionStatus")
        assert status == 0
        assert attributes.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4.5"


@pytest.mark.parametrize("keyword", ["PatientName", "PixelData"])
def test_an_attribute_that_is_not_supported_is_answered_with_a_warning(
    burnish: Service, keyword: str
) -> None:
    with MediaCreation(burnish.port) as scu:
        scu.create(minimal_request())
        uid = scu.sop_instance_uid
        status, attributes = scu.get(uid, keyword, "ExecutionStatus")
        assert status == 0x0001
        assert attributes.ExecutionStatus == "IDLE"
        assert keyword not in attributes
        assert scu.get(uid, keyword)[0] == 0x0001
    answer = clients.mcm_client(burnish.port, "get", uid, "PatientName", "ExecutionStatus")
    assert answer["status"] == 1
    assert answer["attributes"]["ExecutionStatus"] == "IDLE"


def test_a_supported_attribute_without_a_value_is_not_in_the_answer(burnish: Service) -> None:
    """Supported, but not maintained for this request: no data element, and no warning."""
    with MediaCreation(burnish.port) as scu:
        scu.create(minimal_request())
        status, attributes = scu.get(scu.sop_instance_uid, "LabelText", "ExecutionStatus")
    assert status in (0, 1)
    assert attributes.ExecutionStatus == "IDLE"


# --- from beginning to end -----------------------------------------------------------------------


def test_from_idle_to_done_and_never_backwards(burnish: Service, files: tuple[Path, ...]) -> None:
    observed: list[tuple[str, int]] = []
    with MediaCreation(burnish.port) as scu:
        scu.create(clients.references(files))
        uid = scu.sop_instance_uid

        def observe() -> bool:
            """Notes the status and the number of pieces; whether the request has ended."""
            status, attributes = scu.get(uid)
            assert status == 0
            now = attributes.ExecutionStatus, int(attributes.TotalNumberOfPiecesOfMediaCreated)
            if not observed or observed[-1] != now:
                observed.append(now)
            return now[0] in ENDED

        observe()
        scu.initiate(uid, copies=2)
        wait_until(observe, what="the end")
        _, attributes = scu.get(uid)
    assert observed[0][0] == "IDLE"
    assert observed[-1] == ("DONE", 2), observed
    in_order = sorted(observed, key=lambda state: (ORDER.index(state[0]), state[1]))
    assert observed == in_order
    assert attributes.ExecutionStatusInfo == "NORMAL"
    [volume] = attributes.ReferencedStorageMediaSequence
    assert len(images(burnish, uid)) == 2
    first, second = images(burnish, uid)
    assert first.read_bytes() == second.read_bytes(), "copies carry the same ID and UID"
    assert oracles.volume_identifier(first) == volume.StorageMediaFileSetID
    history = oracles.rows(
        burnish,
        "SELECT e.before, e.after FROM event e JOIN media_creation_request r"
        " ON e.request_id = r.id WHERE r.sop_instance_uid = ? AND e.piece_id IS NULL"
        " AND e.after <> '' ORDER BY e.id",
        uid,
    )
    assert [(row["before"], row["after"]) for row in history] == list(pairwise(ORDER))


def test_the_other_client_from_create_to_done(burnish: Service, files: tuple[Path, ...]) -> None:
    port = burnish.port
    answer = clients.mcm_client(port, "create", attributes=as_json(clients.references(files[:3])))
    uid = answer["sopInstanceUid"]
    answer = clients.mcm_client(port, "initiate", uid, "--copies", "2", "--priority", "HIGH")
    assert answer["status"] == 0, answer
    assert clients.mcm_client(port, "initiate", uid)["status"] == 0xA510

    def ended() -> dict[str, Any] | None:
        attributes: dict[str, Any] = clients.mcm_client(port, "get", uid)["attributes"]
        return attributes if attributes["ExecutionStatus"] in ENDED else None

    attributes = wait_until(ended, what="the end")
    assert attributes["ExecutionStatus"] == "DONE", attributes
    assert int(attributes["TotalNumberOfPiecesOfMediaCreated"]) == 2
    assert clients.mcm_client(port, "cancel", uid)["status"] == 0xC201


def test_the_scus_file_set_id_and_uid_are_used(
    burnish: Service, files: tuple[Path, ...], tmp_path: Path
) -> None:
    uid = str(generate_uid())
    request = clients.references(
        files[:2], StorageMediaFileSetID="MINE_123", StorageMediaFileSetUID=uid
    )
    with MediaCreation(burnish.port) as scu:
        scu.create(request)
        name = scu.sop_instance_uid
        scu.initiate(name)
        attributes = outcome(scu, name)
    [volume] = attributes.ReferencedStorageMediaSequence
    assert volume.StorageMediaFileSetID == "MINE_123"
    assert volume.StorageMediaFileSetUID == uid
    [image] = images(burnish, name)
    assert oracles.volume_identifier(image) == "MINE_123"
    directory = oracles.read(oracles.extract(image, tmp_path / "disc") / "DICOMDIR")
    assert directory.FileSetID == "MINE_123"
    assert directory.file_meta.MediaStorageSOPInstanceUID == uid


def test_a_split_set_has_a_uid_for_each_volume(
    small_media: Service, files: tuple[Path, ...]
) -> None:
    uid = str(generate_uid())
    request = clients.references(
        files, StorageMediaFileSetID="A_LONG_ID_OF_16C", StorageMediaFileSetUID=uid
    )
    attributes = create_and_initiate(small_media, request, copies=2)
    assert attributes.ExecutionStatus == "DONE", attributes
    volumes = attributes.ReferencedStorageMediaSequence
    assert len(volumes) > 1
    assert attributes.TotalNumberOfPiecesOfMediaCreated == 2 * len(volumes)
    file_set_uids = {volume.StorageMediaFileSetUID for volume in volumes}
    assert len(file_set_uids) == len(volumes)
    assert len({volume.StorageMediaFileSetID for volume in volumes}) == len(volumes)
    assert all(len(volume.StorageMediaFileSetID) <= 16 for volume in volumes)
    assert uid in file_set_uids


def test_each_instance_may_name_its_own_profile(burnish: Service, files: tuple[Path, ...]) -> None:
    request = clients.references(files[:2], "STD-GEN-DVD-JPEG")
    request.ReferencedSOPSequence[1].RequestedMediaApplicationProfile = "STD-GEN-DVD-J2K"
    attributes = create_and_initiate(burnish, request)
    assert attributes.ExecutionStatus == "DONE", attributes


# --- ways to fail --------------------------------------------------------------------------------


def test_instances_that_have_not_been_received_fail_the_request(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    request = clients.references(files[:2])
    for number in (1, 2):
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = f"1.2.3.4.{number}"
        request.ReferencedSOPSequence.append(item)
    attributes = create_and_initiate(burnish, request)
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "NO_INSTANCE"
    assert failure_reasons(attributes) == {"1.2.3.4.1": 0x0112, "1.2.3.4.2": 0x0112}
    assert attributes.TotalNumberOfPiecesOfMediaCreated == 0
    assert list(attributes.ReferencedStorageMediaSequence) == []


def test_a_reference_with_the_wrong_sop_class_fails_the_request(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    request = clients.references(files[:2])
    item = request.ReferencedSOPSequence[0]
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.128"
    attributes = create_and_initiate(burnish, request)
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "INST_AP_CONFLICT"
    assert failure_reasons(attributes) == {item.ReferencedSOPInstanceUID: 0x0119}


def test_an_instance_that_is_referenced_twice_fails_the_request(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    attributes = create_and_initiate(burnish, clients.references([files[0], files[1], files[0]]))
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "DUPL_REF_INST"


def test_an_unknown_profile_fails_the_request(burnish: Service, files: tuple[Path, ...]) -> None:
    attributes = create_and_initiate(burnish, clients.references(files[:2], "STD-GEN-WAX-CYLINDER"))
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "NOT_SUPPORTED"
    assert failure_reasons(attributes) == dict.fromkeys(uids(files[:2]), 0x0204)
    assert (
        attributes.FailedSOPSequence[0].RequestedMediaApplicationProfile == "STD-GEN-WAX-CYLINDER"
    )


def test_two_profiles_in_one_request_that_exclude_one_another_fail_it(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    request = clients.references(files[:2], "STD-GEN-CD")
    request.ReferencedSOPSequence[1].RequestedMediaApplicationProfile = "STD-GEN-DVD-JPEG"
    attributes = create_and_initiate(burnish, request)
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "INST_AP_CONFLICT"
    assert set(failure_reasons(attributes)) == set(uids(files[:2]))
    assert set(failure_reasons(attributes).values()) == {0x0201}


def _video(source: Path) -> pydicom.FileDataset:
    """A real image's data set with a video's transfer syntax, class and some bytes of a stream."""
    data = material.read(source)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(
        "1.2.840.10008.5.1.4.1.1.77.1.2.1"
    )
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID("1.2.840.10008.1.2.4.100")
    data.NumberOfFrames = 2
    data.PixelData = pydicom.encaps.encapsulate([b"\0\0\1\xb3" + bytes(60)])
    data["PixelData"].is_undefined_length = True
    data["PixelData"].VR = "OB"
    return data


@pytest.mark.parametrize("profile", ["STD-GEN-CD", "STD-GEN-DVD-JPEG"])
def test_video_is_not_permitted_by_the_profile(
    burnish: Service, files: tuple[Path, ...], profile: str
) -> None:
    video = _video(files[0])
    assert clients.send(burnish.port, [video]) == [0]
    attributes = create_and_initiate(burnish, clients.references([files[0], video], profile))
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "INST_AP_CONFLICT"
    assert failure_reasons(attributes) == {str(video.SOPInstanceUID): 0x0202}


def test_video_without_a_profile_gets_one_that_permits_it(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    video = _video(files[0])
    assert clients.send(burnish.port, [video]) == [0]
    attributes = create_and_initiate(burnish, clients.references([files[0], video]))
    assert attributes.ExecutionStatus == "DONE"
    (medium,) = attributes.ReferencedStorageMediaSequence
    (request,) = burnish.cli("request", "list", "--limit", "1")["items"]
    (piece,) = burnish.cli("request", "show", request["short_id"])["pieces"]
    assert piece["file_set_uid"] == medium.StorageMediaFileSetUID
    assert piece["media_application_profile"] == "STD-GEN-BD-MPEG2-MPML"
    assert piece["medium"] == "BD"


def test_a_sop_class_without_a_record_type_fails_the_request(
    burnish: Service, files: tuple[Path, ...]
) -> None:
    private = "1.2.826.0.1.3680043.10.999.7"
    data = material.read(files[0])
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(private)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    encoded = _explicit(data)
    with Raw(
        burnish.port, [(private, [EXPLICIT])], user_items=raw_dicom.common_extended(private)
    ) as raw:
        assert raw.store(private, str(data.SOPInstanceUID), encoded) == (0, "")
        raw.release()
    attributes = create_and_initiate(burnish, clients.references([files[1], data]))
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "NOT_SUPPORTED"
    assert failure_reasons(attributes) == {str(data.SOPInstanceUID): 0x0122}


def _explicit(data_set: Dataset) -> bytes:
    plain_set = Dataset()
    plain_set.update({element.tag: element for element in data_set})
    return encode(plain_set, is_implicit_vr=False, is_little_endian=True) or b""


def test_an_instance_larger_than_the_medium_fails_the_request(
    small_media: Service, real_studies: material.RealStudies, files: tuple[Path, ...]
) -> None:
    large = max(real_studies.others, key=lambda path: path.stat().st_size)
    assert large.stat().st_size > 200_000
    assert clients.dcmsend(small_media.port, large).statuses == {0: 1}
    attributes = create_and_initiate(
        small_media, clients.references([*files[:2], large], "STD-GEN-CD")
    )
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "INST_OVERSIZED"
    assert failure_reasons(attributes) == {uids((large,))[0]: 0x0205}


def test_a_set_that_must_not_be_split_fails_the_request(
    small_media: Service, files: tuple[Path, ...]
) -> None:
    attributes = create_and_initiate(
        small_media, clients.references(files, "STD-GEN-CD", AllowMediaSplitting="NO")
    )
    assert attributes.ExecutionStatus == "FAILURE"
    assert attributes.ExecutionStatusInfo == "SET_OVERSIZED"
    assert attributes.TotalNumberOfPiecesOfMediaCreated == 0


# --- instances that come later, and restarts -----------------------------------------------------


def test_a_request_waits_for_instances_that_are_on_their_way(
    waiting_service: Service, files: tuple[Path, ...]
) -> None:
    with MediaCreation(waiting_service.port) as scu:
        scu.create(clients.references(files[:3]))
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0
        assert clients.dcmsend(waiting_service.port, *files[:2]).exit_code == 0
        assert scu.get(uid)[1].ExecutionStatus == "PENDING"
        assert clients.dcmsend(waiting_service.port, files[2]).exit_code == 0
        assert outcome(scu, uid).ExecutionStatus == "DONE"


def test_requests_and_results_survive_restart_and_kill(
    start_burnish: StartBurnish, files: tuple[Path, ...]
) -> None:
    service = start_burnish(request={"wait_for_instances": "1h"})
    assert clients.dcmsend(service.port, *files[:3]).exit_code == 0
    with MediaCreation(service.port) as scu:
        scu.create(
            clients.references(files[:1], LabelText="ÄÖÜ", SpecificCharacterSet="ISO_IR 100")
        )
        done = scu.sop_instance_uid
        scu.initiate(done)
        outcome(scu, done)
        scu.create(minimal_request())
        waiting = scu.sop_instance_uid
        scu.initiate(waiting)
        scu.create(clients.references(files[1:3]))
        idle = scu.sop_instance_uid
        scu.create(minimal_request())
        cancelled = scu.sop_instance_uid
        scu.cancel(cancelled)
        before = {uid: scu.get(uid)[1] for uid in (done, waiting, idle)}
    for end in (service.stop, service.kill):
        end()
        service.start()
        with MediaCreation(service.port) as scu:
            for uid, attributes_before in before.items():
                status, attributes = scu.get(uid)
                assert status == 0
                assert attributes == attributes_before
            assert scu.get(cancelled)[0] == 0x0112
            assert scu.initiate(done)[0] == 0xA510
    with MediaCreation(service.port) as scu:
        assert scu.initiate(idle)[0] == 0
        assert outcome(scu, idle).ExecutionStatus == "DONE"
        assert scu.cancel(waiting)[0] == 0


def test_media_creation_is_served_in_each_transfer_syntax(burnish: Service) -> None:
    """Explicit, implicit and big endian contexts are all served."""
    for syntax in (IMPLICIT, EXPLICIT, "1.2.840.10008.1.2.2"):
        ae = AE("SYNTAX")
        ae.acse_timeout = ae.dimse_timeout = 300
        ae.add_requested_context(MEDIA_CREATION_MANAGEMENT, syntax)
        association = ae.associate(
            "127.0.0.1", burnish.port, ae_title="BURNISH", evt_handlers=[RELIABLE_CHECKPOINT]
        )
        assert association.is_established
        status, _ = association.send_n_create(
            minimal_request(LabelText="SYNTAX"), MEDIA_CREATION_MANAGEMENT, None
        )
        association.release()
        assert status.Status == 0, syntax


def test_large_answers_that_peers_do_not_read_take_no_memory(waiting_service: Service) -> None:
    """Twenty peers ask for a request of 20,000 references and read nothing of the answer."""
    uid = str(generate_uid())
    items = []
    for number in range(20_000):
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = f"1.2.826.0.1.3680043.10.999.3.{number}"
        items.append(item)
    request = Dataset()
    request.ReferencedSOPSequence = items
    command = _n_create_rq(MEDIA_CREATION_MANAGEMENT, uid)
    assert _raw_status(waiting_service, command, _encoded(request)) == 0
    contexts = [(str(MEDIA_CREATION_MANAGEMENT), [IMPLICIT])]
    n_get = raw_dicom.command(
        {
            0x0003: str(MEDIA_CREATION_MANAGEMENT).encode(),
            0x0100: b"\x10\x01",
            0x0110: b"\x01\x00",
            0x0800: b"\x01\x01",
            0x1001: uid.encode(),
        }
    )

    def memory() -> int:
        infos = [process.memory_info() for process in waiting_service.processes()]
        return sum(info.rss - info.shared for info in infos)

    before = memory()
    with ExitStack() as stack:
        for _ in range(20):
            raw = stack.enter_context(Raw(waiting_service.port, contexts))
            raw.send_values([pdv(1, 3, n_get)])
            answer = raw.receive()
            assert answer is not None
            assert answer.kind == raw_dicom.P_DATA_TF
        with MediaCreation(waiting_service.port) as scu:
            for _ in range(20):
                status, attributes = scu.get(uid, "ExecutionStatus")
                assert status == 0
                assert attributes.ExecutionStatus == "IDLE"
            status, attributes = scu.get(uid)
        assert memory() - before < 200e6
    assert status == 0
    assert [item.ReferencedSOPInstanceUID for item in attributes.ReferencedSOPSequence] == [
        item.ReferencedSOPInstanceUID for item in items
    ]
    with MediaCreation(waiting_service.port) as scu:
        assert scu.cancel(uid)[0] == 0


def test_no_process_of_the_service_has_died(
    burnish: Service, waiting_service: Service, small_media: Service
) -> None:
    for service in (burnish, waiting_service, small_media):
        assert service.defects() == []
