"""File Meta Information that resembles that of an earlier file is parsed no less exactly."""

from burnish import file_meta
from burnish.errors import Unreadable
from burnish.verify.file_meta_checks import FileMeta, FileMetaParser, parse_file_meta
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def encode(sop_instance_uid: str) -> bytes:
    return file_meta.encode(CT_IMAGE_STORAGE, sop_instance_uid, EXPLICIT_VR_LITTLE_ENDIAN, "CT1")


def parsed_alone(data: bytes) -> FileMeta | str:
    try:
        return parse_file_meta(data, data_set_follows=False)
    except Unreadable as error:
        return str(error)


def parsed_after(earlier: bytes, data: bytes) -> FileMeta | str:
    parser = FileMetaParser()
    parser.parse(earlier)
    try:
        return parser.parse(data)
    except Unreadable as error:
        return str(error)


def test_files_of_one_kind_differ_in_their_sop_instance_uid() -> None:
    parser = FileMetaParser()
    for number in (1, 7, 9, 10, 11, 123, 8):
        data = encode(f"1.2.3.{number}")
        meta = parser.parse(data)
        assert meta.sop_instance_uid == f"1.2.3.{number}"
        assert meta == parsed_alone(data)


def test_a_change_of_any_byte_has_the_same_result_as_for_a_single_file() -> None:
    earlier, data = encode("1.2.3.4"), encode("1.2.3.5")
    for position in range(128, len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x01
        assert parsed_after(earlier, bytes(changed)) == parsed_alone(bytes(changed)), position


def test_a_file_without_a_sop_instance_uid_has_the_same_result_as_for_a_single_file() -> None:
    data = encode("1.2.3.4")
    start = data.index(b"\x02\x00\x03\x00UI")
    without_uid = data[:start] + data[start + 16 :]
    assert parsed_after(without_uid, without_uid) == parsed_alone(without_uid)
    assert parsed_after(without_uid, data) == parsed_alone(data)
