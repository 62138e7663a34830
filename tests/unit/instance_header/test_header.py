"""The header index of sound and damaged instances in every transfer syntax."""

import io
import random
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.sequence import Sequence

import made_entries
import material
from burnish.dicom_elements import encode, scan
from burnish.directory_records import KEYS, ROOT_TYPES, all_keys
from burnish.errors import BurnishError, Unreadable
from burnish.instance_header.header import index, index_file
from burnish.vocabulary import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from made_entries import empty, instance, item

SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
SR = "1.2.840.10008.5.1.4.1.1.88.11"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def elements(blob: bytes) -> dict[int, bytes]:
    return {
        element.tag: blob[element.value : element.value + element.length]
        for element in scan(blob, 0, len(blob), explicit=True)
    }


def test_headers_of_real_files_agree_with_pydicom(real_studies: material.RealStudies) -> None:
    for path in real_studies.all:
        header = index_file(path).header
        dataset = material.read(path)
        assert header.sop_instance_uid == dataset.SOPInstanceUID
        assert header.study_instance_uid == dataset.get("StudyInstanceUID", "")
        assert header.series_instance_uid == dataset.get("SeriesInstanceUID", "")
        assert header.patient_id == dataset.get("PatientID", "")
        assert header.instance_number == dataset.get("InstanceNumber")
        tags = list(elements(header.record_keys))
        assert tags == sorted(tags)
        keys = all_keys(header.directory_record_type)
        assert {key.tag for key in keys if key.type == "2"} <= set(tags)
        type_1_tags = {key.tag for key in keys if key.type == "1"}
        assert type_1_tags - set(tags) == set(header.missing_keys)


def test_a_head_of_any_length_gives_the_same_header(real_studies: material.RealStudies) -> None:
    chance = random.Random(1)
    for path in (*real_studies.others, *real_studies.transfer_syntaxes.values()):
        indexed = index_file(path)
        data = path.read_bytes()[indexed.data_set_offset :]
        for length in (0, 1, 9, *(chance.randrange(min(len(data), 20_000)) for _ in range(8))):
            header = index(
                memoryview(data)[:length],
                len(data),
                indexed.transfer_syntax_uid,
                lambda data=data: io.BytesIO(data),  # type: ignore[misc]
            )
            assert header == indexed.header, (path.name, length)


def _header_or_error(data: bytes, syntax: str) -> object:
    try:
        return index(data[: 1 << 16], len(data), syntax, lambda: io.BytesIO(data))
    except BurnishError as error:
        return str(error)


def test_earlier_instances_do_not_change_the_header_of_a_later_one(
    real_studies: material.RealStudies,
) -> None:
    """Sound and damaged instances, of one series or not, in one order and in another."""
    chance = random.Random(2)
    data_sets = []
    for path in (*real_studies.all, *real_studies.tiny[:50]):
        file = index_file(path)
        data = path.read_bytes()[file.data_set_offset :]
        for damages in range(3):
            damaged = bytearray(data)
            for _ in range(damages):
                damaged[chance.randrange(min(len(data), 3000))] = chance.randrange(256)
            data_sets.append((bytes(damaged), file.transfer_syntax_uid))
    headers = [_header_or_error(*data_set) for data_set in data_sets]
    for number in chance.sample(range(len(data_sets)), len(data_sets)):
        assert _header_or_error(*data_sets[number]) == headers[number], number


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_instances_of_a_series_may_differ_in_elements_and_lengths(syntax: str) -> None:
    """Values of other lengths, none at all, and elements that only some have."""
    data_sets, headers = [], []
    for number in range(60):
        dataset = instance("1.2.840.10008.5.1.4.1.1.2")
        dataset.InstanceNumber = 10 ** (number % 7)
        dataset.ImagePositionPatient = [-number * 1.5, 10.0**number, number]
        dataset.ImageComments = "x" * (number % 5 * 300)
        dataset.PatientName = "Müller" if number % 11 == 0 else "Doe^John"
        dataset.SpecificCharacterSet = "ISO_IR 100"
        if number % 3:
            dataset.ReferencedImageSequence = [
                item(ReferencedSOPInstanceUID=f"1.{10 ** (number % 9)}")
            ]
        if number % 13 == 0:
            dataset.PixelSpacing = ["0.5", "0.5"]
        data = made_entries.encoded(dataset, syntax)
        data_sets.append(data)
        headers.append(_header_or_error(data, syntax))
        assert not isinstance(headers[-1], str), headers[-1]
    for number in reversed(range(len(data_sets))):
        assert _header_or_error(data_sets[number], syntax) == headers[number], number


def test_the_header_does_not_depend_on_the_encoding(real_studies: material.RealStudies) -> None:
    dataset = material.read(real_studies.file("test-SR.dcm"))
    explicit, implicit, big_endian = (made_entries.indexed(dataset, syntax) for syntax in SYNTAXES)
    assert explicit.entity_keys == implicit.entity_keys == big_endian.entity_keys
    assert len(implicit.record_keys) == len(big_endian.record_keys)
    assert set(elements(explicit.record_keys)) == set(elements(implicit.record_keys))
    modifiers = (0x0040A730, 0x0040A043)
    for tag, value in elements(explicit.record_keys).items():
        if tag not in modifiers:
            assert elements(implicit.record_keys)[tag] == value


def test_a_truncated_data_set_is_unreadable(real_studies: material.RealStudies) -> None:
    chance = random.Random(2)
    for path in (*real_studies.others, *real_studies.transfer_syntaxes.values()):
        indexed = index_file(path)
        data = path.read_bytes()[indexed.data_set_offset :]
        for cut in (1, 2, 9, len(data) // 2, chance.randrange(1, len(data))):
            short = data[: len(data) - cut]
            try:
                header = index(
                    short[: 1 << 16],
                    len(short),
                    indexed.transfer_syntax_uid,
                    lambda short=short: io.BytesIO(short),  # type: ignore[misc]
                )
            except Unreadable:
                continue
            # Cut between two elements, nothing shows that there was more.
            between = _ends_between_elements(data, len(short), indexed.transfer_syntax_uid)
            assert between, path.name
            assert header


def _ends_between_elements(data: bytes, length: int, transfer_syntax_uid: str) -> bool:
    if transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        inflater.decompress(data[:length])
        return inflater.eof
    explicit = transfer_syntax_uid != IMPLICIT_VR_LITTLE_ENDIAN
    top_level_elements = scan(data, 0, len(data), explicit=explicit)
    return any(element.end == length for element in top_level_elements)


def test_truncated_files_are_unreadable(real_studies: material.RealStudies) -> None:
    for name in ("MR_truncated.dcm", "rtplan_truncated.dcm"):
        with pytest.raises(Unreadable, match="truncated"):
            index_file(real_studies.file(name))


def test_files_without_file_meta_information_are_indexed(tmp_path: Path) -> None:
    dataset = instance("1.2.840.10008.5.1.4.1.1.2", Modality="CT", PatientID="X")
    for syntax in SYNTAXES:
        path = tmp_path / syntax
        path.write_bytes(made_entries.encoded(dataset, syntax))
        indexed = index_file(path)
        assert indexed.transfer_syntax_uid == syntax
        assert indexed.data_set_offset == 0
        assert indexed.header.patient_id == "X"


@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 is no DICOM", bytes(200), b"\xff" * 300])
def test_files_that_are_not_dicom_are_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        index_file(path)


@cache
def _bytes(name: str) -> bytes:
    return material.real_studies().file(name).read_bytes()


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([0, 1, 2]))
def test_a_damaged_file_is_indexed_or_unreadable(chance: random.Random, which: int) -> None:
    names = ("MR_small.dcm", "test-SR.dcm", "rtplan.dcm")
    data = bytearray(_bytes(names[which]))
    for _ in range(chance.randrange(1, 20)):
        data[chance.randrange(132, min(len(data), 6000))] = chance.randrange(256)
    try:
        header = index(
            bytes(data[344 : 344 + 65536]),
            len(data) - 344,
            SYNTAXES[which % 2],
            lambda: io.BytesIO(data[344:]),
        )
    except Unreadable:
        return
    assert elements(header.record_keys) is not None


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_only_the_concept_modifiers_of_a_report_are_kept(syntax: str) -> None:
    code = item(CodeValue="1", CodingSchemeDesignator="DCM", CodeMeaning="x")
    modifier = item(
        RelationshipType="HAS CONCEPT MOD", ValueType="CODE", ConceptCodeSequence=Sequence([code])
    )
    finding = item(RelationshipType="CONTAINS", ValueType="TEXT", TextValue="secret")
    finding.ContentSequence = Sequence([modifier])
    dataset = instance(
        SR,
        InstanceNumber="1",
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        ContentDate="20240101",
        ContentTime="1200",
        ConceptNameCodeSequence=Sequence([code]),
        ContentSequence=Sequence([finding, modifier, finding]),
        VerifyingObserverSequence=Sequence(
            [item(VerificationDateTime=when) for when in ("20240101", "20240301", "20240201")]
        ),
    )
    header = made_entries.indexed(dataset, syntax)
    keys = elements(header.record_keys)
    assert header.missing_keys == ()
    assert b"secret" not in header.record_keys
    assert keys[0x0040A730].count(b"HAS CONCEPT MOD") == 1
    assert keys[0x0040A030].strip() == b"20240301"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_geometry_is_found_in_shared_functional_groups(syntax: str) -> None:
    axes = ["1", "0", "0", "0", "1", "0"]
    groups = item(
        PlanePositionSequence=Sequence([item(ImagePositionPatient=["1", "2", "3"])]),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=axes)]),
        PixelMeasuresSequence=Sequence([item(PixelSpacing=["0.5", "0.5"])]),
        ReferencedImageSequence=Sequence([item(ReferencedSOPInstanceUID="1.9.9")]),
    )
    header = made_entries.indexed(
        instance(ENHANCED_MR, SharedFunctionalGroupsSequence=Sequence([groups])), syntax
    )
    keys = elements(header.record_keys)
    assert keys[0x00200032].strip() == b"1\\2\\3"
    assert keys[0x00200037].strip() == b"1\\0\\0\\0\\1\\0"
    assert keys[0x00280030].strip() == b"0.5\\0.5"
    assert b"1.9.9" in keys[0x00081140]


@pytest.mark.parametrize(
    ("character_set", "name", "expected"),
    [
        ("ISO_IR 100", "Jérôme", b"ISO_IR 100"),
        ("ISO_IR 192", "Jérôme", b"ISO_IR 192"),
        ("ISO_IR 192", "Jerome", None),
    ],
)
def test_keys_have_a_character_set_if_they_need_one(
    character_set: str, name: str, expected: bytes | None
) -> None:
    header = made_entries.indexed(
        instance(SR, SpecificCharacterSet=character_set, PatientName=name, PatientID="1")
    )
    assert header.patient_name == name
    assert elements(header.entity_keys).get(0x00080005) == expected
    assert 0x00080005 not in elements(header.record_keys)


def test_bad_values_count_as_missing() -> None:
    data = b"".join(
        (
            encode(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.2"),
            encode(0x00080018, b"UI", b"1.2.3"),
            encode(0x00080020, b"DA", b"tomorrow"),
            encode(0x00080021, b"DA", b"20200102"),
            encode(0x00080031, b"TM", b"0304"),
            encode(0x00200011, b"IS", b"first"),
            encode(0x00200013, b"IS", b"x"),
            encode(0x00280010, b"US", b"\1\0"),
            encode(0x00280011, b"US", b"\1\0"),
        )
    )
    header = index(data, len(data), EXPLICIT_VR_LITTLE_ENDIAN, lambda: io.BytesIO(data))
    assert header.missing_keys == (0x00200013,)
    assert header.series_number is None
    assert header.instance_number is None
    assert header.study_date == ""
    assert elements(header.entity_keys) == {0x00080021: b"20200102", 0x00080031: b"0304"}


def test_related_general_sop_class_precedes_the_keys() -> None:
    dataset = instance(SR, RelatedGeneralSOPClassUID="1.2.840.10008.5.1.4.1.1.88.33")
    blob = made_entries.indexed(dataset).record_keys
    assert next(iter(elements(blob))) == 0x0004151A


class CountingFile(io.FileIO):
    """A file that counts the bytes that are read from it."""

    bytes_read = 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        self.bytes_read += count or 0
        return count


def test_an_encapsulated_document_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "document"
    before = encode(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.104.1")
    before += encode(0x00080018, b"UI", b"1.2.3")
    with path.open("wb") as document:
        length = 1 << 31
        document.write(before + struct.pack("<HH2sHL", 0x0042, 0x0011, b"OB", 0, length))
        document.seek(length, io.SEEK_CUR)
        document.write(encode(0x00420012, b"LO", b"application/pdf"))
    file = CountingFile(path)
    size = path.stat().st_size
    header = index(before, size, EXPLICIT_VR_LITTLE_ENDIAN, lambda: io.BufferedReader(file))
    assert 0 < file.bytes_read < 1 << 20
    assert elements(header.record_keys)[0x00420012].strip() == b"application/pdf"
    assert index_file(path).header == header


def test_a_deflate_bomb_is_unreadable() -> None:
    deflate = zlib.compressobj(1, wbits=-15)
    huge = struct.pack("<HH2sHL", 0x0009, 0x1001, b"OB", 0, 1 << 30)
    data = deflate.compress(encode(0x00080016, b"UI", b"1.2") + huge)
    zeros = bytes(1 << 20)
    data += b"".join(deflate.compress(zeros) for _ in range(20)) + deflate.flush()
    with pytest.raises(Unreadable):
        index(b"", len(data), DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, lambda: io.BytesIO(data))


@pytest.mark.parametrize("record", sorted(KEYS.keys() - {"PATIENT", "STUDY", "SERIES"}))
def test_an_empty_instance_of_each_record_type_lacks_its_keys(record: str) -> None:
    header = empty(record)
    assert header.directory_record_type == record
    assert set(header.missing_keys) == {key.tag for key in all_keys(record) if key.type == "1"}
    assert bool(header.entity_keys) != (record in ROOT_TYPES)


def test_the_wider_collection_is_indexed_or_unreadable(
    wider_collection: material.WiderCollection,
) -> None:
    if not wider_collection:
        pytest.skip("no wider collection beside the checkout")
    refused = []
    for path in sorted(wider_collection.root.rglob("*")):
        if path.is_file() and path.suffix not in {".csv", ".txt", ".md", ".json"}:
            try:
                index_file(path)
            except BurnishError:
                refused.append(path)
    regular = [p for p in refused if "nasty" not in p.parts and "DICOMDIR" not in p.name]
    assert len(regular) < 5
