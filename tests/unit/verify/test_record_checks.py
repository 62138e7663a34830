"""Records and File Meta Information of a kind are read as each of them is by itself."""

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from burnish import dicom_elements
from burnish.errors import Unreadable
from burnish.values import Fault
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.record_checks import Record, RecordReader
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from made_volume import SECONDARY_CAPTURE, Made, leaf
from made_volume import file_meta as made_meta

_SEQUENCE = 0x00041220
_CHANGES = st.lists(
    st.tuples(st.integers(0), st.sampled_from([0, 1, 2, 4, 0x20, 0x31, 0x41, 0xE9, 0xFF])),
    max_size=4,
)


def _dicomdir(*, explicit: bool) -> tuple[bytes, list[tuple[int, int]]]:
    """A DICOMDIR with many records of a kind, and where each record lies in it."""
    made = Made(explicit=explicit)
    made.at(0, 0, 0).below = [leaf(number, f"DICOM\\I{number}") for number in range(10, 20)]
    data = made.dicomdir()
    start = file_meta_checks.parse(data).data_set_offset
    span = dicom_elements.scan(data, start, len(data), explicit=explicit)
    [sequence] = [element for element in span if element.tag == _SEQUENCE]
    end = sequence.value + sequence.length
    return data, list(dicom_elements.items(data, sequence.value, end, explicit=explicit))


_DICOMDIRS = {explicit: _dicomdir(explicit=explicit) for explicit in (True, False)}


def _changed(data: bytes, changes: list[tuple[int, int]], low: int, high: int) -> bytes:
    out = bytearray(data)
    for at, value in changes:
        out[low + at % (high - low)] = value
    return bytes(out)


def _all(
    spans: list[tuple[int, int]], reader: Callable[[], RecordReader], faults: Faults
) -> tuple[list[Record], tuple[Fault, ...], str]:
    found: list[Record] = []
    try:
        for number, (begin, stop) in enumerate(spans, start=1):
            found.append(reader().read(begin, stop, number))
    except Unreadable as error:
        return found, faults.all(), str(error)
    return found, faults.all(), ""


@given(st.booleans(), _CHANGES)
def test_records_of_a_kind_are_read_as_each_by_itself(
    explicit: bool, changes: list[tuple[int, int]]
) -> None:
    whole, spans = _DICOMDIRS[explicit]
    data = _changed(whole, changes, spans[0][0], spans[-1][1])
    together, apart = Faults(), Faults()
    one = RecordReader(data, together, explicit=explicit)
    assert _all(spans, lambda: one, together) == _all(
        spans, lambda: RecordReader(data, apart, explicit=explicit), apart
    )


def test_what_is_wrong_with_one_of_a_kind_is_found() -> None:
    whole, spans = _DICOMDIRS[True]
    for old, new, code in (
        (b"IS\x02\x0015", b"IS\x02\x00  ", FaultCode.KEY_EMPTY),
        (b"CS\x06\x00IMAGE ", b"CS\x06\x00IMAGES", FaultCode.RECORD_TYPE_UNKNOWN),
        (
            b"\x10\x14US\x02\x00\xff\xff",
            b"\x10\x14US\x02\x00\xff\x7f",
            FaultCode.RECORD_IN_USE_FLAG,
        ),
        (b"PN\x06\x00Doe^J ", b"PN\x06\x00Doe^\xe9 ", FaultCode.CHARACTER_SET_MISSING),
    ):
        at = whole.rindex(old)
        data = whole[:at] + new + whole[at + len(old) :]
        faults = Faults()
        reader = RecordReader(data, faults, explicit=True)
        for number, (begin, stop) in enumerate(spans, start=1):
            reader.read(begin, stop, number)
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
