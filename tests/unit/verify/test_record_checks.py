"""Directory records are checked one by one; File Meta Information of a kind is parsed alike."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.dicomdir.reader import DicomdirReader
from burnish.errors import Unreadable
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.record_checks import RecordChecks
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from made_volume import SECONDARY_CAPTURE, Made, leaf
from made_volume import file_meta as made_meta

_CHANGES = st.lists(
    st.tuples(st.integers(0), st.sampled_from([0, 1, 2, 4, 0x20, 0x31, 0x41, 0xE9, 0xFF])),
    max_size=4,
)


def _changed(data: bytes, changes: list[tuple[int, int]], low: int, high: int) -> bytes:
    out = bytearray(data)
    for at, value in changes:
        out[low + at % (high - low)] = value
    return bytes(out)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (b"IS\x02\x0015", b"IS\x02\x00  ", FaultCode.KEY_EMPTY),
        (b"CS\x06\x00IMAGE ", b"CS\x06\x00IMAGES", FaultCode.RECORD_TYPE_UNKNOWN),
        (
            b"\x10\x14US\x02\x00\xff\xff",
            b"\x10\x14US\x02\x00\xff\x7f",
            FaultCode.RECORD_IN_USE_FLAG,
        ),
        (b"PN\x06\x00Doe^J ", b"PN\x06\x00Doe^\xe9 ", FaultCode.CHARACTER_SET_MISSING),
    ],
)
def test_a_fault_in_one_of_many_similar_records_is_found(
    old: bytes, new: bytes, code: FaultCode
) -> None:
    made = Made()
    made.at(0, 0, 0).below = [leaf(number, f"DICOM\\I{number}") for number in range(10, 20)]
    data = made.dicomdir()
    position = data.rindex(old)
    damaged = data[:position] + new + data[position + len(old) :]
    reader = DicomdirReader(damaged, file_meta_checks.parse(damaged).data_set_offset)
    faults = Faults()
    checks = RecordChecks(faults, explicit=True)
    for number, stored in enumerate(reader.records(), start=1):
        checks.check(stored, number)
    assert [fault.code for fault in faults.all()] == [code]


_UIDS = st.sampled_from(["1.2.3", "1.2.4", "1.2.345", "1" * 64, "1" * 66, ""])
_SYNTAXES = st.sampled_from([EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])


@given(st.lists(st.tuples(_UIDS, _SYNTAXES, _CHANGES), min_size=2, max_size=6))
@example([("1" * 66, EXPLICIT_VR_LITTLE_ENDIAN, []), ("2" * 66, EXPLICIT_VR_LITTLE_ENDIAN, [])])
def test_file_meta_information_of_a_kind_is_parsed_as_each_by_itself(
    files: list[tuple[str, str, list[tuple[int, int]]]],
) -> None:
    parser = file_meta_checks.Parser()
    for uid, syntax, changes in files:
        data = made_meta(SECONDARY_CAPTURE, uid, syntax) + b"\0\0"
        data = _changed(data, changes, file_meta_checks.PREAMBLE, len(data))
        assert _parsed(parser.parse, data) == _parsed(file_meta_checks.parse, data)


def _parsed(
    parse: Callable[[bytes], file_meta_checks.FileMeta], data: bytes
) -> file_meta_checks.FileMeta | str:
    try:
        return parse(data)
    except Unreadable as error:
        return str(error)
