"""N-CREATE, N-ACTION and N-GET of Media Creation Management, with every status."""

import random
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from sqlalchemy import select, text

from burnish.db.tables import Event
from burnish.errors import Unreadable
from burnish.scp import attributes, messages
from burnish.scp.media_creation import MediaCreationSCP
from burnish.scp.messages import Command
from burnish.scp.negotiation import Acceptance, Context
from burnish.vocabulary import MEDIA_CREATION_MANAGEMENT as MCM
from burnish.vocabulary import ExecutionStatus
from factories import CT, Ground, add_request
from peer import command

EXPLICIT = "1.2.840.10008.1.2.1"
CREATE, ACTION, GET = messages.N_CREATE_RQ, messages.N_ACTION_RQ, messages.N_GET_RQ


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def n_create(**values: Any) -> Dataset:
    data_set = Dataset()
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = "1.2.3"
    data_set.ReferencedSOPSequence = [item]
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def send(
    ground: Ground,
    field: int,
    data: Dataset | bytes = b"",
    *,
    sop_class: str = MCM,
    affected: str = "",
    requested: str = "",
    action: int | None = None,
    tags: list[int] | bytes = b"",
    may: frozenset[str] = frozenset({"echo", "store", "media", "commit"}),
    maximum_length: int = 16384,
) -> tuple[int, Command, Dataset]:
    """Sends a request; returns the status, command set and data set of the response."""
    more: dict[int, bytes] = {}
    without = []
    if field != CREATE:
        without.append(messages.AFFECTED_SOP_CLASS_UID)
        more[messages.REQUESTED_SOP_CLASS_UID] = sop_class.encode()
    if affected:
        more[messages.AFFECTED_SOP_INSTANCE_UID] = affected.encode()
    if requested:
        more[messages.REQUESTED_SOP_INSTANCE_UID] = requested.encode()
    if action is not None:
        more[messages.ACTION_TYPE_ID] = struct.pack("<H", action)
    if tags:
        more[messages.ATTRIBUTE_IDENTIFIER_LIST] = (
            tags
            if isinstance(tags, bytes)
            else b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
        )
    body = data if isinstance(data, bytes) else attributes.encode(data, EXPLICIT)
    request = Command.decode(
        command(field, sop_class, data_set=bool(body), more=more, without=without)
    )
    pdus = MediaCreationSCP(ground.settings, ground.database).answer(
        Acceptance("PACS", "BURNISH", maximum_length, {}, may, b"", address="10.0.0.5"),
        1,
        Context(MCM, EXPLICIT, storage=False),
        request,
        body,
    )
    answer = b"".join(pdus)
    parts = {0: b"", 1: b""}
    while answer:
        length = struct.unpack_from(">I", answer, 2)[0]
        parts[answer[11] & 1] += answer[12 : 6 + length]
        answer = answer[6 + length :]
    response = Command.decode(parts[1])
    assert response.has_data_set == bool(parts[0])
    assert response.number(messages.COMMAND_FIELD) == field | messages.RESPONSE
    return (
        response.number(messages.STATUS),
        response,
        attributes.decode(parts[0], EXPLICIT) if parts[0] else Dataset(),
    )


def create(ground: Ground, **values: Any) -> str:
    status, response, _ = send(ground, CREATE, n_create(**values))
    assert status == 0
    return response.text(messages.AFFECTED_SOP_INSTANCE_UID)


def get(ground: Ground, uid: str, *tags: int) -> Dataset:
    status, _, data_set = send(ground, GET, requested=uid, tags=list(tags))
    assert status == 0
    return data_set


def arguments(**values: Any) -> Dataset:
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def test_create_initiate_get_cancel(ground: Ground) -> None:
    uid = create(ground, LabelText="a label", AllowMediaSplitting="NO")
    idle = get(ground, uid)
    assert idle.ExecutionStatus == "IDLE"
    assert idle.LabelText == "a label"
    assert idle.AllowMediaSplitting == "NO"
    assert "NumberOfCopies" not in idle
    status, response, _ = send(
        ground, ACTION, arguments(NumberOfCopies=3, RequestPriority="LOW"), requested=uid, action=1
    )
    assert status == 0
    assert response.number(messages.ACTION_TYPE_ID) == 1
    pending = get(ground, uid)
    assert pending.ExecutionStatus == "PENDING"
    assert pending.ExecutionStatusInfo == "QUEUED"
    assert pending.NumberOfCopies == 3
    assert pending.RequestPriority == "LOW"
    assert send(ground, ACTION, requested=uid, action=2)[0] == 0
    assert send(ground, GET, requested=uid)[0] == 0x0112


def test_the_scu_may_choose_the_sop_instance_uid(ground: Ground) -> None:
    status, response, _ = send(ground, CREATE, n_create(), affected="1.2.77")
    assert status == 0
    assert response.text(messages.AFFECTED_SOP_INSTANCE_UID) == "1.2.77"
    assert send(ground, CREATE, n_create(), affected="1.2.77")[0] == 0x0111


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (Dataset(), 0x0120),
        (arguments(ReferencedSOPSequence=[]), 0x0121),
        (n_create(StorageMediaFileSetID="lower case"), 0x0106),
        (n_create(AllowMediaSplitting="MAYBE"), 0x0106),
    ],
)
def test_an_invalid_n_create_fails(ground: Ground, data: Dataset, status: int) -> None:
    assert send(ground, CREATE, data)[0] == status


def create_five(syntax: str = EXPLICIT, *, undefined: bool = False) -> bytes:
    """The data set of an N-CREATE with five references, the last one being 1.2.3.17."""
    items = [n_create().ReferencedSOPSequence[0] for _ in range(5)]
    for number, item in enumerate(items, start=13):
        item.ReferencedSOPInstanceUID = f"1.2.3.{number}"
        item.is_undefined_length_sequence_item = undefined
    data_set = n_create(ReferencedSOPSequence=items)
    data_set["ReferencedSOPSequence"].is_undefined_length = undefined
    return attributes.encode(data_set, syntax)


SYNTAXES = ("1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.2")
encoded = pytest.mark.parametrize("undefined", [False, True], ids=["defined", "undefined"])
in_each_syntax = pytest.mark.parametrize("syntax", SYNTAXES)


@encoded
@in_each_syntax
@pytest.mark.parametrize("icon", [False, True], ids=["usual", "with icon"])
def test_an_n_create_that_is_cut_anywhere_is_refused(
    syntax: str, undefined: bool, icon: bool
) -> None:
    whole = create_five(syntax, undefined=undefined)
    if icon:  # references with icons are read in another way
        data_set = attributes.decode(whole, syntax)
        data_set.ReferencedSOPSequence[0].IconImageSequence = [arguments(Rows=2)]
        whole = attributes.encode(data_set, syntax)
    assert len(attributes.decode_new_request(whole, syntax, "").references) == 5
    for length in range(1, len(whole)):
        with pytest.raises(Unreadable):
            attributes.decode_new_request(whole[:length], syntax, "")


@encoded
@in_each_syntax
@pytest.mark.parametrize(
    "more",
    [b"\0", b"\0\0", bytes(8), bytes(64), b"17", b"\x08\0", b"\xfe\xff\xdd\xe0\0\0\0\0", b"x" * 20],
    ids=repr,
)
def test_an_n_create_with_bytes_behind_its_end_is_refused(
    syntax: str, undefined: bool, more: bytes
) -> None:
    with pytest.raises(Unreadable):
        attributes.decode_new_request(create_five(syntax, undefined=undefined) + more, syntax, "")


@pytest.mark.parametrize(
    "tag", [b"\0\0\0\0", b"\x02\0\x10\0", b"\x04\0\0\x14", b"\xfe\xff\x0d\xe0"]
)
def test_an_element_that_no_data_set_can_have_is_refused(ground: Ground, tag: bytes) -> None:
    element = tag + b"UI\x02\x001\0"
    assert send(ground, CREATE, element + create_five())[0] == 0x0212
    assert send(ground, CREATE, create_five() + element)[0] == 0x0212


def test_an_element_that_is_there_twice_is_refused(ground: Ground) -> None:
    assert send(ground, CREATE, create_five() * 2)[0] == 0x0212


def test_data_behind_the_items_of_a_sequence_are_refused(ground: Ground) -> None:
    """The sequence says that it is longer than its items and their delimiter are."""
    data = bytearray(create_five())
    delimiter = b"\xfe\xff\xdd\xe0\0\0\0\0"
    data += delimiter * 2
    data[8:12] = struct.pack("<L", len(data) - 12)
    assert send(ground, CREATE, bytes(data))[0] == 0x0212
    assert send(ground, CREATE, create_five())[0] == 0


def test_an_n_create_or_n_action_that_is_cut_fails_with_0212h(ground: Ground) -> None:
    assert send(ground, CREATE, create_five()[:-1])[0] == 0x0212
    uid = create(ground)
    data = attributes.encode(arguments(NumberOfCopies=12), EXPLICIT)
    for cut in (data[:-1], data[:-2], data + b"\0", data + bytes(8)):
        assert send(ground, ACTION, cut, requested=uid, action=1)[0] == 0x0212
        assert send(ground, ACTION, cut, requested=uid, action=2)[0] == 0x0212
    assert get(ground, uid).ExecutionStatus == "IDLE"


def integer_string(value: bytes, vr: bytes = b"IS") -> bytes:
    """Number of Copies as an element with any bytes."""
    value += b" " * (len(value) % 2)
    return b"\0\x20\x10\0" + vr + struct.pack("<H", len(value)) + value


@pytest.mark.parametrize(
    ("value", "copies"),
    [
        (b"2", 2),
        (b" 2 ", 2),
        (b"+2", 2),
        (b"002", 2),
        (b"2\0", 2),
        (b"", 1),
        (b"  ", 1),
        (b"1.5", None),
        (b"1.0", None),
        (b"1e1", None),
        (b"1E0", None),
        (b"0x1", None),
        (b"1_0", None),
        (b"1 0", None),
        (b"1\\2", None),
        (b"\xd9\xa1", None),
        (b"two", None),
        (b"0", None),
        (b"-1", None),
        (b"99999999999999999999", None),
    ],
    ids=repr,
)
def test_number_of_copies_is_an_integer_string(
    ground: Ground, value: bytes, copies: int | None
) -> None:
    uid = create(ground)
    status = send(ground, ACTION, integer_string(value), requested=uid, action=1)[0]
    assert status == (0x0115 if copies is None else 0)
    if copies is not None:
        assert get(ground, uid).NumberOfCopies == copies


@pytest.mark.parametrize("vr", [b"DS", b"LO", b"US", b"SL"])
def test_number_of_copies_of_another_vr_is_refused(ground: Ground, vr: bytes) -> None:
    uid = create(ground)
    data = integer_string(b"0002", vr)
    assert send(ground, ACTION, data, requested=uid, action=1)[0] == 0x0115


@pytest.mark.parametrize(
    "character_set", ["ISO_IR 999", "ISO-IR 100", "LATIN1", "utf-8", "ISO_IR 100\\NO", "Ä"]
)
def test_an_unknown_specific_character_set_fails(ground: Ground, character_set: str) -> None:
    value = character_set.encode("latin-1")
    value += b" " * (len(value) % 2)
    element = b"\x08\0\x05\0CS" + struct.pack("<H", len(value)) + value
    uid = create(ground)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert send(ground, CREATE, element + create_five())[0] == 0x0106
        assert send(ground, ACTION, element, requested=uid, action=1)[0] == 0x0115
    assert get(ground, uid).ExecutionStatus == "IDLE"


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("BarcodeSymbology", b"CS", b"code128 "),
        ("MediaDisposition", b"UT", b"to the\x07ward"),
        ("LabelText", b"UT", b"\xff\xfe"),
        ("LabelText", b"UT", b"\x1b]0;a\x07 "),
        ("LabelText", b"OB", b"text"),
        ("StorageMediaFileSetUID", b"UI", b"1.2.03"),
    ],
)
def test_a_value_that_its_vr_does_not_allow_fails(
    ground: Ground, keyword: str, vr: bytes, value: bytes
) -> None:
    tag = int(tag_for_keyword(keyword) or 0)
    data = attributes.encode(n_create(SpecificCharacterSet="ISO_IR 192"), EXPLICIT)
    element = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"UT", b"OB"):
        element += b"\0\0" + struct.pack("<L", len(value)) + value
    else:
        element += struct.pack("<H", len(value)) + value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert send(ground, CREATE, data + element)[0] == 0x0106


@pytest.mark.parametrize(
    "data", [b"\x08\0\x99\x11SQ\0\0\x20\0\0\0", b"not a data set at all", b"x"]
)
def test_bytes_that_are_not_a_data_set_fail(ground: Ground, data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert send(ground, CREATE, data)[0] in (0x0106, 0x0120, 0x0121, 0x0212)


def test_an_invalid_sop_instance_uid_fails_with_0117h(ground: Ground) -> None:
    assert send(ground, CREATE, n_create(), affected="1.2.x")[0] == 0x0117


@pytest.mark.parametrize(
    "values",
    [
        {"NumberOfCopies": 0},
        {"NumberOfCopies": 100},
        {"NumberOfCopies": [1, 2]},
        {"RequestPriority": "URGENT"},
        {"RequestPriority": ["HIGH", "LOW"]},
    ],
)
def test_invalid_arguments_of_initiate_fail_with_0115h(
    ground: Ground, values: dict[str, Any]
) -> None:
    uid = create(ground)
    assert send(ground, ACTION, arguments(**values), requested=uid, action=1)[0] == 0x0115
    assert get(ground, uid).ExecutionStatus == "IDLE"


def test_empty_arguments_of_initiate_are_treated_as_absent(ground: Ground) -> None:
    uid = create(ground)
    values = arguments(NumberOfCopies=None, RequestPriority="")
    assert send(ground, ACTION, values, requested=uid, action=1)[0] == 0
    assert get(ground, uid).NumberOfCopies == 1


@pytest.mark.parametrize("status", list(ExecutionStatus))
def test_initiate_and_cancel_in_each_execution_status(
    ground: Ground, status: ExecutionStatus
) -> None:
    with ground.database.writing() as session:
        uid = add_request(session, status=status).sop_instance_uid
        to_cancel = add_request(session, status=status).sop_instance_uid
    initiated = {ExecutionStatus.IDLE: 0, ExecutionStatus.DELETED: 0x0112}.get(status, 0xA510)
    assert send(ground, ACTION, requested=uid, action=1)[0] == initiated
    cancelled = {
        ExecutionStatus.DONE: 0xC201,
        ExecutionStatus.FAILURE: 0xC201,
        ExecutionStatus.DELETED: 0x0112,
    }.get(status, 0)
    assert send(ground, ACTION, requested=to_cancel, action=2)[0] == cancelled


@pytest.mark.parametrize(
    ("request_options", "status"),
    [
        ({"field": ACTION, "requested": "1.2.99", "action": 1}, 0x0112),
        ({"field": ACTION, "requested": "1.2.99", "action": 2}, 0x0112),
        ({"field": ACTION, "action": 2}, 0x0112),
        ({"field": GET, "requested": "1.2.99"}, 0x0112),
        ({"field": GET}, 0x0112),
        ({"field": 0x0120, "requested": "1.2.99"}, 0x0211),
        ({"field": 0x0150, "requested": "1.2.99"}, 0x0211),
        ({"field": GET, "requested": "1.2.99", "sop_class": CT}, 0x0118),
        ({"field": GET, "requested": "1.2.99", "may": frozenset({"store"})}, 0x0124),
        ({"field": CREATE, "data": b"", "may": frozenset()}, 0x0124),
    ],
)
def test_a_request_that_fails_has_an_error_comment(
    ground: Ground, request_options: dict[str, Any], status: int
) -> None:
    actual_status, response, _ = send(ground, **request_options)
    assert actual_status == status
    assert response.text(messages.ERROR_COMMENT)


def test_an_unknown_or_missing_action_type_fails(ground: Ground) -> None:
    uid = create(ground)
    assert send(ground, ACTION, requested=uid, action=3)[0] == 0x0123
    assert send(ground, ACTION, requested=uid)[0] == 0x0212


def test_n_get_returns_the_attributes_of_the_list(ground: Ground) -> None:
    uid = create(ground)
    selected = get(ground, uid, 0x21000020, 0x00081199)
    assert [e.keyword for e in selected] == ["ReferencedSOPSequence", "ExecutionStatus"]
    status, _, data_set = send(ground, GET, requested=uid, tags=[0x21000020, 0x00100010])
    assert status == 0x0001
    assert [e.keyword for e in data_set] == ["ExecutionStatus"]
    assert send(ground, GET, requested=uid, tags=b"\0\x21\x20\0\0\0")[0] >= 0x0100


def test_an_answer_with_a_warning_is_not_logged_as_a_refusal(ground: Ground) -> None:
    uid = create(ground)
    with structlog.testing.capture_logs() as lines:
        assert send(ground, GET, requested=uid, tags=[0x21000020, 0x00100010])[0] == 0x0001
        assert lines == []
        assert send(ground, GET, requested="1.2.99")[0] == 0x0112
    assert [line["event"] for line in lines] == ["DIMSE-N failed"]


def test_a_long_response_is_sent_in_fragments(ground: Ground) -> None:
    data_set = n_create()
    for n in range(500):
        item = Dataset()
        item.ReferencedSOPClassUID = CT
        item.ReferencedSOPInstanceUID = f"1.2.3.{n}"
        data_set.ReferencedSOPSequence.append(item)
    status, response, _ = send(ground, CREATE, data_set)
    assert status == 0
    uid = response.text(messages.AFFECTED_SOP_INSTANCE_UID)
    status, _, answer = send(ground, GET, requested=uid, maximum_length=64)
    assert len(answer.ReferencedSOPSequence) == 501


#: Values of each attribute that are valid in an N-CREATE, and some that are not.
VALID = {
    "StorageMediaFileSetID": ["", "SET_1", "A" * 16],
    "StorageMediaFileSetUID": ["", "1.2.3.4"],
    "LabelUsingInformationExtractedFromInstances": ["", "YES", "NO"],
    "LabelText": ["", "Ward 7", "Überweisung", "日本語", "Ελληνικά"],
    "LabelStyleSelection": ["", "PLAIN"],
    "BarcodeValue": ["", "0123456789", "Ä"],
    "BarcodeSymbology": ["", "CODE128", "QR"],
    "MediaDisposition": ["", "by mail\r\nto Ward 7", "кому"],
    "AllowMediaSplitting": ["", "YES", "NO"],
    "AllowLossyCompression": ["", "YES", "NO"],
    "IncludeNonDICOMObjects": ["", "NO", "FOR_TEACHING", "FOR_COURT"],
    "IncludeDisplayApplication": ["", "YES", "NO"],
    "PreserveCompositeInstancesAfterMediaCreation": ["", "YES", "NO"],
}
INVALID = {
    "StorageMediaFileSetID": ["lower", "A" * 17, "Ä"],
    "LabelUsingInformationExtractedFromInstances": ["MAYBE"],
    "AllowMediaSplitting": ["yes"],
    "AllowLossyCompression": ["1"],
    "IncludeDisplayApplication": ["TRUE"],
    "PreserveCompositeInstancesAfterMediaCreation": ["Y"],
}
COPIES = {None: 0, 1: 0, 99: 0, 0: 0x0115, 100: 0x0115, -1: 0x0115}


def _attributes() -> st.SearchStrategy[dict[str, str]]:
    strategies = {
        keyword: st.sampled_from(values * 4 + INVALID.get(keyword, []))
        for keyword, values in VALID.items()
    }
    return st.fixed_dictionaries({}, optional=strategies)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(
    values=_attributes(),
    copies=st.sampled_from(list(COPIES)),
    priority=st.sampled_from([None, "HIGH", "MED", "LOW"]),
    keywords=st.lists(st.sampled_from([*VALID, "ExecutionStatus", "PatientID"]), max_size=4),
)
def test_any_combination_of_attributes_is_kept_or_fails(
    ground: Ground,
    values: dict[str, str],
    copies: int | None,
    priority: str | None,
    keywords: list[str],
) -> None:
    """Valid values are returned as they were sent; one invalid value fails the whole N-CREATE."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status, response, _ = send(
            ground, CREATE, n_create(SpecificCharacterSet="ISO_IR 192", **values)
        )
    if any(value in INVALID.get(keyword, ()) for keyword, value in values.items()):
        assert status == 0x0106
        return
    assert status == 0
    uid = response.text(messages.AFFECTED_SOP_INSTANCE_UID)
    kept = get(ground, uid)
    assert kept.ExecutionStatus == "IDLE"
    assert kept.ExecutionStatusInfo == "NORMAL"
    assert "NumberOfCopies" not in kept
    for keyword, value in values.items():
        if value:
            assert str(kept[keyword].value) == value
    information = arguments(
        **({} if copies is None else {"NumberOfCopies": copies}),
        **({} if priority is None else {"RequestPriority": priority}),
    )
    assert send(ground, ACTION, information, requested=uid, action=1)[0] == COPIES[copies]
    status, _, selected = send(
        ground, GET, requested=uid, tags=[int(tag_for_keyword(k) or 0) for k in keywords]
    )
    assert status == (0x0001 if "PatientID" in keywords else 0)
    initiated = COPIES[copies] == 0
    if "ExecutionStatus" in keywords or not keywords:
        assert selected.ExecutionStatus == ("PENDING" if initiated else "IDLE")
    if initiated:
        assert get(ground, uid).NumberOfCopies == (copies or 1)
        assert get(ground, uid).RequestPriority == (priority or "MED")
        assert send(ground, ACTION, requested=uid, action=1)[0] == 0xA510
    assert send(ground, ACTION, requested=uid, action=2)[0] == 0
    assert send(ground, GET, requested=uid)[0] == 0x0112


def test_requests_fail_with_0213h_if_the_database_does_not_answer(ground: Ground) -> None:
    with ground.database.writing() as session:
        session.execute(text("DROP TABLE media_creation_request"))
    assert send(ground, CREATE, n_create())[0] == 0x0213
    assert send(ground, GET, requested="1.2.3")[0] == 0x0213


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(seed=st.integers(0, 1 << 32))
def test_damaged_data_sets_are_answered(ground: Ground, seed: int) -> None:
    """There is a response to whatever a peer sends, and to an N-GET of what was kept of it."""
    chance = random.Random(seed)
    base = n_create(
        LabelText="text",
        SpecificCharacterSet="ISO_IR 192",
        MediaDisposition="Ä",
        NumberOfCopies=1,
        RequestPriority="LOW",
        StorageMediaFileSetID="A",
        BarcodeSymbology="X",
    )
    data = bytearray(attributes.encode(base, EXPLICIT))
    for _ in range(chance.randint(1, 4)):
        data[chance.randrange(len(data))] = chance.choice(
            (0, 0xFF, 0x5C, 0x1B, chance.randrange(256))
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        status, response, _ = send(ground, CREATE, bytes(data))
        if status == 0:
            uid = response.text(messages.AFFECTED_SOP_INSTANCE_UID)
            assert send(ground, GET, requested=uid)[0] == 0
            send(ground, ACTION, bytes(data), requested=uid, action=1)


def test_the_events_of_a_request_name_the_peer_and_its_address(ground: Ground) -> None:
    uid = create(ground)
    send(ground, ACTION, requested=uid, action=1)
    send(ground, ACTION, requested=uid, action=2)
    with ground.database.reading() as session:
        events = session.execute(select(Event.event, Event.actor).order_by(Event.id)).all()
    actor = "AE PACS (10.0.0.5)"
    assert events == [("CREATED", actor), ("INITIATED", actor), ("CANCELLED", actor)]
