"""Directory records are checked one by one; where File Meta Information ends."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.dicom_elements import Element, scan
from burnish.dicomdir.reader import DicomdirReader
from burnish.errors import Unreadable
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_meta_checks import PREAMBLE, FileMeta, parse_file_meta
from burnish.verify.record_checks import RecordChecks
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from made_volume import SECONDARY_CAPTURE, SampleVolume, leaf
from made_volume import file_meta as made_meta

_CHANGES = st.lists(
    st.tuples(st.integers(0), st.sampled_from([0, 1, 2, 4, 0x20, 0x31, 0x41, 0xE9, 0xFF])),
    max_size=4,
)


def _changed(data: bytes, changes: list[tuple[int, int]], low: int, high: int) -> bytes:
    changed = bytearray(data)
    for position, value in changes:
        changed[low + position % (high - low)] = value
    return bytes(changed)


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
    sample = SampleVolume()
    sample.at(0, 0, 0).below = [leaf(number, f"DICOM\\I{number}") for number in range(10, 20)]
    data = sample.dicomdir()
    position = data.rindex(old)
    damaged = data[:position] + new + data[position + len(old) :]
    reader = DicomdirReader(damaged, parse_file_meta(damaged).data_set_offset)
    faults = Faults()
    checks = RecordChecks(faults, faults, explicit=True)
    for number, stored in enumerate(reader.records(), start=1):
        checks.check(stored, number)
    assert [fault.code for fault in faults.all()] == [code]


def test_a_record_like_others_has_the_elements_that_it_has_alone() -> None:
    """Whatever byte of it is changed, also where the elements then lie in another way."""
    sample = SampleVolume()
    sample.at(0, 0, 0).below = [leaf(number, f"DICOM\\I{number}") for number in range(10, 20)]
    data = sample.dicomdir()
    offset = parse_file_meta(data).data_set_offset
    start = list(DicomdirReader(data, offset).records())[-1].offset + 8
    for position in range(start, len(data)):
        for bit in (1, 2, 0x20, 0x80):
            changed = data[:position] + bytes([data[position] ^ bit]) + data[position + 1 :]
            assert _last_record(changed, offset) == _scanned(changed[start:]), (position, bit)


def _last_record(data: bytes, offset: int) -> list[Element] | None:
    try:
        return list(list(DicomdirReader(data, offset).records())[-1].elements.by_tag.values())
    except Unreadable:
        return None


def _scanned(record: bytes) -> list[Element] | None:
    try:
        return list({e.tag: e for e in scan(record, 0, len(record), explicit=True)}.values())
    except Unreadable:
        return None


_UIDS = st.sampled_from(["1.2.3", "1.2.4", "1.2.345", "1" * 64, "1" * 66, ""])
_SYNTAXES = st.sampled_from([EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN])


@given(_UIDS, _SYNTAXES, _CHANGES)
@example("1" * 66, EXPLICIT_VR_LITTLE_ENDIAN, [])
def test_file_meta_information_ends_with_the_data_or_with_another_group(
    uid: str, syntax: str, changes: list[tuple[int, int]]
) -> None:
    data = made_meta(SECONDARY_CAPTURE, uid, syntax)
    data = _changed(data, changes, PREAMBLE, len(data))
    alone = _parsed(data, data_set_follows=False)
    with_data_set = _parsed(data + b"\0\0", data_set_follows=True)
    if isinstance(with_data_set, FileMeta) or isinstance(alone, FileMeta):
        assert alone == with_data_set


def _parsed(data: bytes, *, data_set_follows: bool) -> FileMeta | None:
    try:
        return parse_file_meta(data, data_set_follows=data_set_follows)
    except Unreadable:
        return None
