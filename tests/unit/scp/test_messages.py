"""Command sets and P-DATA-TF PDUs: there and back, and nothing but Malformed for the rest."""

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from burnish.errors import Malformed
from burnish.scp import messages
from burnish.scp.messages import Command

quick = settings(max_examples=150, deadline=None)

REQUEST = {
    messages.AFFECTED_SOP_CLASS_UID: b"1.2.840.10008.1.1\0",
    messages.COMMAND_FIELD: b"\x30\0",
    messages.MESSAGE_ID: b"\x07\0",
    messages.COMMAND_DATA_SET_TYPE: b"\x01\x01",
}


def fragments(data: bytes) -> list[tuple[int, int, bytes]]:
    """(context, control, fragment) of P-DATA-TF PDUs, which must be whole."""
    found = []
    while data:
        kind, _, length = struct.unpack_from(">BBI", data)
        assert kind == 4
        body, data = data[6 : 6 + length], data[6 + length :]
        size, context, control = struct.unpack_from(">IBB", body)
        assert size == len(body) - 4
        found.append((context, control, body[6:]))
    return found


@quick
@given(
    st.dictionaries(st.integers(1, 0xFFFF), st.binary(max_size=40), max_size=12),
    st.integers(0, 0xFFFF),
)
def test_there_and_back(elements: dict[int, bytes], field: int) -> None:
    elements[messages.COMMAND_FIELD] = field.to_bytes(2, "little")
    command = Command.decode(messages.encode(elements))
    assert set(command) == {0, *elements}
    for element, value in elements.items():
        assert command[element][: len(value)] == value
        assert len(command[element]) == len(value) + len(value) % 2
    assert int.from_bytes(command[0], "little") == len(messages.encode(elements)) - 12


def test_pydicom_reads_what_is_written() -> None:
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
def test_any_bytes(data: bytes) -> None:
    try:
        command = Command.decode(data)
    except Malformed:
        return
    assert command.number(messages.COMMAND_FIELD) >= 0
    for element in command:
        assert isinstance(command.text(element), str)


@quick
@given(st.integers(0, 60), st.integers(0, 255), st.integers(0, 80))
def test_damaged_command_sets(at: int, value: int, length: int) -> None:
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
def test_what_is_no_command_set(data: bytes) -> None:
    with pytest.raises(Malformed):
        Command.decode(data)


def test_what_is_not_there() -> None:
    command = Command(REQUEST)
    assert command.text(messages.AFFECTED_SOP_INSTANCE_UID) == ""
    assert not command.has_data_set
    with pytest.raises(Malformed):
        command.number(messages.ACTION_TYPE_ID)


@pytest.mark.parametrize("comment", ["x" * 200, "Ä" * 70, "a\\b", "odd"])
def test_a_comment_is_an_lo(comment: str) -> None:
    value = Command.decode(messages.response(Command(REQUEST), 1, comment=comment))[
        messages.ERROR_COMMENT
    ]
    assert len(value) <= 64
    assert b"\\" not in value
    assert value.isascii()


def test_an_answer_names_what_it_answers() -> None:
    request = Command(
        {
            messages.REQUESTED_SOP_CLASS_UID: b"1.2",
            messages.REQUESTED_SOP_INSTANCE_UID: b"1.3",
            messages.COMMAND_FIELD: b"\x30\x01",
            messages.MESSAGE_ID: b"\1\0",
            messages.ACTION_TYPE_ID: b"\1\0",
        }
    )
    good = Command.decode(messages.response(request, 0, has_data_set=True))
    assert (good.text(2), good.text(0x1000)) == ("1.2", "1.3")
    assert good.number(messages.ACTION_TYPE_ID) == 1
    assert good.has_data_set
    bad = Command.decode(messages.response(request, 0x0112, sop_instance="1.4"))
    assert messages.ACTION_TYPE_ID not in bad
    assert bad.text(0x1000) == "1.4"


@quick
@given(st.binary(min_size=1, max_size=500), st.binary(max_size=500), st.integers(0, 300))
def test_p_data_is_within_what_the_peer_takes(command: bytes, data: bytes, limit: int) -> None:
    limit = limit if limit == 0 or limit > 64 else 64
    found = fragments(messages.p_data(9, command, data, limit))
    assert {context for context, _, _ in found} == {9}
    assert b"".join(part for _, control, part in found if control & 1) == command
    assert b"".join(part for _, control, part in found if not control & 1) == data
    for kind in (1, 0):
        last = [bool(control & 2) for _, control, _ in found if control & 1 == kind]
        assert last == [False] * (len(last) - 1) + [True] * bool(last)
    if limit:
        assert all(len(part) + 6 <= limit for _, _, part in found)


def test_without_a_limit_pdus_are_still_of_bounded_size() -> None:
    found = fragments(messages.p_data(1, b"c", bytes(1_000_000), 0))
    assert max(len(part) for _, _, part in found) <= 131072
