"""Command sets and P-DATA-TF PDUs: encoding and decoding, and Malformed for invalid bytes."""

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from burnish.errors import Malformed
from burnish.scp import messages
from burnish.scp.messages import Command, StoreForm

quick = settings(max_examples=150, deadline=None)

REQUEST = {
    messages.AFFECTED_SOP_CLASS_UID: b"1.2.840.10008.1.1\0",
    messages.COMMAND_FIELD: b"\x30\0",
    messages.MESSAGE_ID: b"\x07\0",
    messages.COMMAND_DATA_SET_TYPE: b"\x01\x01",
}


def fragments(data: bytes) -> list[tuple[int, int, bytes]]:
    """(context id, control header, fragment) of each PDV item in complete P-DATA-TF PDUs."""
    items = []
    while data:
        kind, _, length = struct.unpack_from(">BBI", data)
        assert kind == 4
        body, data = data[6 : 6 + length], data[6 + length :]
        size, context, control = struct.unpack_from(">IBB", body)
        assert size == len(body) - 4
        items.append((context, control, body[6:]))
    return items


def store_request(message_id: int = 7, **others: bytes | None) -> bytes:
    """A C-STORE-RQ, with other values of some elements, or without them."""
    elements = {
        messages.AFFECTED_SOP_CLASS_UID: b"1.2.840.10008.5.1.4.1.1.2\0",
        messages.COMMAND_FIELD: b"\1\0",
        messages.MESSAGE_ID: message_id.to_bytes(2, "little"),
        0x0700: b"\2\0",
        messages.COMMAND_DATA_SET_TYPE: b"\1\0",
        messages.AFFECTED_SOP_INSTANCE_UID: b"1.2.3.4.",
    }
    for name, value in others.items():
        elements[getattr(messages, name)] = value or b""
        if value is None:
            del elements[getattr(messages, name)]
    return messages.encode(elements)


@quick
@given(
    st.integers(0, 0xFFFF),
    st.text("0123456789.", min_size=1, max_size=12),
    st.sampled_from((0, 38, 256)),
    st.sampled_from((1, 255)),
)
def test_a_request_of_the_form_of_another_decodes_as_it_would_alone(
    message_id: int, uid: str, maximum_length: int, context_id: int
) -> None:
    first = store_request()
    form = StoreForm(first, Command.decode(first))
    for identity in (b"1.2.3.40", uid.encode()):
        data = store_request(message_id, AFFECTED_SOP_INSTANCE_UID=identity)
        alone = Command.decode(data)
        parts = form.identify(data)
        if parts is None:
            assert len(data) != len(first)
            continue
        assert form.command(*parts) == alone
        success = messages.p_data(context_id, messages.response(alone, 0), b"", maximum_length)
        assert form.success(*parts, context_id, maximum_length) == success


@quick
@given(st.integers(0, len(store_request()) - 1), st.integers(0, 255))
def test_a_request_in_which_another_byte_differs_is_not_of_that_form(
    position: int, value: int
) -> None:
    data = bytearray(store_request())
    form = StoreForm(bytes(data), Command.decode(bytes(data)))
    data[position] = value
    parts = form.identify(bytes(data))
    if parts is not None:
        assert form.command(*parts) == Command.decode(bytes(data))


@quick
@given(st.data(), st.sampled_from((b"", b"data", bytes(70_000))), st.sampled_from((1, 255)))
def test_pdus_of_a_form_are_those_of_such_a_request_and_a_data_set_in_one_fragment(
    data: st.DataObject, data_set: bytes, context_id: int
) -> None:
    request = store_request()
    pdus = StoreForm(request, Command.decode(request)).in_pdus(context_id)
    length = struct.pack(">II", len(data_set) + 6, len(data_set) + 2)
    start = messages.p_data(context_id, request, b"", 0) + b"\4\0" + length
    start += bytes((context_id, 2))
    sent = bytearray(start + data_set)
    assert pdus.size == len(start)
    assert pdus.identify(sent, 0) == (b"\x07\0", b"1.2.3.4.", len(data_set))
    assert pdus.identify(b"before" + sent, 6) == pdus.identify(sent, 0)
    assert pdus.command_size == 12 + len(request)
    assert pdus.is_command(sent, 0)
    position = data.draw(st.integers(0, len(start) - 1))
    sent[position] ^= data.draw(st.integers(1, 255))
    if pdus.is_command(sent, 0) and position < pdus.command_size:
        assert Command.decode(bytes(sent[12 : 12 + len(request)])).has_data_set
    changed = pdus.identify(sent, 0)
    if changed is not None:
        message_id, uid, _ = changed
        decoded = Command.decode(bytes(sent[12 : 12 + len(request)]))
        assert decoded[messages.MESSAGE_ID] == message_id
        assert decoded[messages.AFFECTED_SOP_INSTANCE_UID] == uid
        assert sent[-len(data_set) - 12 :] == start[-12:] + data_set
        assert sum(decoded[name] != value for name, value in Command.decode(request).items()) == 1


@pytest.mark.parametrize(
    "data",
    [
        store_request(COMMAND_FIELD=b"\x30\0"),
        store_request(COMMAND_DATA_SET_TYPE=b"\1\1"),
        store_request(AFFECTED_SOP_INSTANCE_UID=None),
        store_request(AFFECTED_SOP_INSTANCE_UID=b""),
        store_request(MESSAGE_ID=None),
        store_request(MESSAGE_ID=b"\1\0\0\0"),
    ],
)
def test_an_unusual_request_has_no_form(data: bytes) -> None:
    with pytest.raises(Malformed):
        StoreForm(data, Command.decode(data))


@quick
@given(
    st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=40), max_size=12),
    st.integers(0, 0xFFFF),
)
def test_a_command_set_decodes_to_what_was_encoded(elements: dict[int, bytes], field: int) -> None:
    elements[messages.COMMAND_FIELD] = field.to_bytes(2, "little")
    command = Command.decode(messages.encode(elements))
    assert set(command) == {0, *elements}
    for element, value in elements.items():
        assert command[element][: len(value)] == value
        assert len(command[element]) == len(value) + len(value) % 2
    assert int.from_bytes(command[0], "little") == len(messages.encode(elements)) - 12


def test_pydicom_reads_a_response() -> None:
    answer = messages.response(Command(REQUEST), 0xA700, comment="no room\\here")
    data_set = read_dataset(BytesIO(answer), True, True)
    assert data_set.CommandField == 0x8030
    assert data_set.MessageIDBeingRespondedTo == 7
    assert data_set.Status == 0xA700
    assert data_set.ErrorComment == "no room/here"
    assert data_set.AffectedSOPClassUID == "1.2.840.10008.1.1"
    assert data_set.CommandDataSetType == 0x0101
    assert data_set.CommandGroupLength == len(answer) - 12


@quick
@given(st.binary(max_size=120))
def test_any_bytes_decode_or_are_malformed(data: bytes) -> None:
    try:
        command = Command.decode(data)
    except Malformed:
        return
    assert command.number(messages.COMMAND_FIELD) >= 0
    for element in command:
        assert isinstance(command.text(element), str)


@quick
@given(st.integers(0, 60), st.integers(0, 255), st.integers(0, 80))
def test_a_damaged_command_set_decodes_or_is_malformed(at: int, value: int, length: int) -> None:
    data = bytearray(messages.encode(REQUEST))
    data[at % len(data)] = value
    try:
        Command.decode(bytes(data[: length or len(data)]))
    except Malformed:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        messages.encode({messages.MESSAGE_ID: b"\1\0"}),
        messages.encode({messages.COMMAND_FIELD: b"\1\0\0\0"}),
        struct.pack("<HHI", 8, 0x16, 0),
        struct.pack("<HHI", 0, 0x100, 0xFFFFFFFF) + b"\1\0",
    ],
)
def test_bytes_that_are_not_a_command_set_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Command.decode(data)


def test_an_absent_element_is_empty_text_and_no_number() -> None:
    command = Command(REQUEST)
    assert command.text(messages.AFFECTED_SOP_INSTANCE_UID) == ""
    assert not command.has_data_set
    with pytest.raises(Malformed):
        command.number(messages.ACTION_TYPE_ID)


@pytest.mark.parametrize("comment", ["x" * 200, "Ä" * 70, "a\\b", "odd", "a\nb"])
def test_an_error_comment_is_a_valid_lo(comment: str) -> None:
    value = Command.decode(messages.response(Command(REQUEST), 1, comment=comment))[
        messages.ERROR_COMMENT
    ]
    assert len(value) <= 64
    assert b"\\" not in value
    assert value.isascii()
    assert value.decode().isprintable()


def test_a_response_names_the_sop_class_and_instance_of_its_request() -> None:
    request = Command(
        {
            messages.REQUESTED_SOP_CLASS_UID: b"1.2",
            messages.REQUESTED_SOP_INSTANCE_UID: b"1.3",
            messages.COMMAND_FIELD: b"\x30\x01",
            messages.MESSAGE_ID: b"\1\0",
            messages.ACTION_TYPE_ID: b"\1\0",
        }
    )
    success = Command.decode(messages.response(request, 0, has_data_set=True))
    assert success.text(2) == "1.2"
    assert success.text(0x1000) == "1.3"
    assert success.number(messages.ACTION_TYPE_ID) == 1
    assert success.has_data_set
    failure = Command.decode(messages.response(request, 0x0112, sop_instance="1.4"))
    assert messages.ACTION_TYPE_ID not in failure
    assert failure.text(0x1000) == "1.4"


@quick
@given(st.binary(min_size=1, max_size=500), st.binary(max_size=500), st.integers(0, 300))
def test_p_data_stays_within_the_maximum_length_of_the_peer(
    command: bytes, data: bytes, limit: int
) -> None:
    limit = limit if limit == 0 or limit > 64 else 64
    items = fragments(messages.p_data(9, command, data, limit))
    assert {context for context, _, _ in items} == {9}
    assert b"".join(part for _, control, part in items if control & 1) == command
    assert b"".join(part for _, control, part in items if not control & 1) == data
    for kind in (1, 0):
        last = [bool(control & 2) for _, control, _ in items if control & 1 == kind]
        assert last == [False] * (len(last) - 1) + [True] * bool(last)
    if limit:
        assert all(len(part) + 6 <= limit for _, _, part in items)


def test_pdus_have_a_bounded_size_for_a_peer_without_a_maximum_length() -> None:
    items = fragments(messages.p_data(1, b"c", bytes(1_000_000), 0))
    assert max(len(part) for _, _, part in items) <= 131072


@quick
@given(
    st.lists(st.binary(max_size=40).map(lambda piece: piece * 37), min_size=1, max_size=8),
    st.sampled_from([0, 64, 65, 4096, 16384, 65542, 1 << 20]),
    st.integers(1, 300),
)
def test_a_data_set_in_pieces_becomes_the_same_pdus(
    pieces: list[bytes], maximum_length: int, at_a_time: int
) -> None:
    command = messages.encode(REQUEST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages, "_SENT_AT_A_TIME", at_a_time)
        pdus = list(messages.p_data_of_pieces(3, command, pieces, maximum_length))
    assert b"".join(pdus) == messages.p_data(3, command, b"".join(pieces), maximum_length)
    longest = max(map(len, pieces)) + at_a_time + (maximum_length or 131072) + len(command)
    assert max(map(len, pdus)) <= 3 * longest
