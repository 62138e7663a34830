"""DICOMDIRs of real and invented entries, checked by independent tools."""

import io
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.fileset import FileSet

import made_entries
import material
from burnish.dicom_elements import scan
from burnish.dicomdir import encoder
from burnish.dicomdir.records import EntityRecord
from burnish.directory_records import KEYS, ROOT_TYPES
from burnish.errors import BurnishError, Conflict, InvalidUID, InvalidValue, MissingValue
from burnish.values import DirectoryEntry, InstanceHeader
from made_entries import EVERY_KEY, empty, instance

CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "2.25.1"
LEAVES = sorted(KEYS.keys() - {"PATIENT", "STUDY", "SERIES"})
#: Errors that dciodvfy of 2022 reports of correct records: newer terms, and keys of Type 1C.
GAPS = re.compile(
    r"value <(ANNOTATION|ASSESSMENT|INVENTORY|PLAN|SURFACE SCAN|TRACT|WF PRESENTATION)>"
    r"|standard attribute - \(0x0008,0x04(00|01|03|26|27)\)"
    r"|<(ReferencedSeriesSequence|BlendingSequence)> Module=<PresentationDirectoryRecord>"
    r"|<ReferencedImageEvidenceSequence> Module=<SpectroscopyDirectoryRecord>"
)
STEREOMETRIC_GAPS = re.compile("Module=<ContentIdentificationMacro>")


def encode(entries: Sequence[DirectoryEntry]) -> bytes:
    data = encoder.encode(entries, keys=EVERY_KEY, file_set_id="TEST", file_set_uid=UID)
    assert encoder.size(entries, keys=EVERY_KEY, file_set_id="TEST", file_set_uid=UID) == len(data)
    return data


def errors(path: Path, *, allowed: re.Pattern[str] | None = None) -> list[str]:
    """The errors that dciodvfy and dcdirdmp find in a DICOMDIR."""
    for tool in ("dciodvfy", "dcdirdmp"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    dciodvfy = subprocess.run(["dciodvfy", path], capture_output=True, check=False)
    lines = (dciodvfy.stdout + dciodvfy.stderr).decode("latin-1").splitlines()
    dciodvfy_errors = [line for line in lines if line.startswith("Error")]
    dciodvfy_errors = [
        line for line in dciodvfy_errors if allowed is None or not allowed.search(line)
    ]
    dcdirdmp = subprocess.run(["dcdirdmp", path], capture_output=True, check=False)
    return dciodvfy_errors + ([dcdirdmp.stderr.decode("latin-1")] if dcdirdmp.returncode else [])


def walked(data: bytes) -> list[tuple[str, pydicom.Dataset]]:
    """Type and content of the records in the order of their offsets, each once."""
    dataset = pydicom.dcmread(io.BytesIO(data))
    by_offset = {item.seq_item_tell: item for item in dataset.DirectoryRecordSequence}
    records: list[tuple[str, pydicom.Dataset]] = []

    def follow(offset: int) -> int:
        last = 0
        while offset:
            item = by_offset.pop(offset)
            records.append((item.DirectoryRecordType, item))
            assert item.RecordInUseFlag == 0xFFFF
            follow(item.OffsetOfReferencedLowerLevelDirectoryEntity)
            last, offset = offset, item.OffsetOfTheNextDirectoryRecord
        return last

    last = follow(dataset.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity)
    assert last == dataset.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    assert not by_offset
    assert dataset.FileSetConsistencyFlag == 0
    return records


def test_the_dicomdir_of_all_files_of_pydicom_is_valid(
    real_studies: material.RealStudies, tmp_path: Path
) -> None:
    entries = made_entries.entries(made_entries.headers(real_studies.all))
    data = encode(entries)
    path = tmp_path / "DICOMDIR"
    path.write_bytes(data)
    assert errors(path) == []
    leaves = [item for kind, item in walked(data) if kind not in {"PATIENT", "STUDY", "SERIES"}]
    assert [(r"\\".join(i.ReferencedFileID), i.ReferencedSOPInstanceUIDInFile) for i in leaves] == [
        (entry.file_id.replace("\\", r"\\"), entry.header.sop_instance_uid) for entry in entries
    ]


def test_the_dicomdir_of_the_wider_collection_is_valid(
    wider_collection: material.WiderCollection, tmp_path: Path
) -> None:
    if not wider_collection:
        pytest.skip("no wider collection beside the checkout")
    folders = sorted(p.name for p in wider_collection.root.iterdir() if p.is_dir())
    for folder in folders:
        headers = made_entries.headers(wider_collection.files(folder))
        headers = [header for header in headers if header.directory_record_type]
        entries = made_entries.entries(headers)
        try:
            data = encode(entries)
        except (Conflict, InvalidUID):
            assert folder in {"nasty", "mr-multiecho", "transfer-syntaxes"}, folder
            continue
        path = tmp_path / "DICOMDIR"
        path.write_bytes(data)
        assert errors(path) == [], folder
        walked(data)


def test_pydicom_loads_the_file_set(real_studies: material.RealStudies, tmp_path: Path) -> None:
    headers = made_entries.headers(real_studies.patients)
    sources = {material.read(path).SOPInstanceUID: path for path in real_studies.patients}
    entries = made_entries.entries(headers)
    for entry in entries:
        target = tmp_path.joinpath(*entry.file_id.split("\\"))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources[entry.header.sop_instance_uid], target)
    (tmp_path / "DICOMDIR").write_bytes(encode(entries))
    file_set = FileSet(tmp_path / "DICOMDIR")
    assert len(file_set) == len(entries) == 31
    assert {i.load().SOPInstanceUID for i in file_set} == set(sources)
    # FileSet leaves its temporary folder to the garbage collector, which warns.
    file_set._stage["t"].cleanup()


@pytest.mark.parametrize("record", LEAVES)
def test_missing_keys_of_each_record_type_are_supplied(record: str, tmp_path: Path) -> None:
    header = empty(record)
    data = encode(made_entries.entries([header]))
    kind, item = walked(data)[-1]
    assert kind == record
    for tag, _, type_ in KEYS[record]:
        assert tag in item or type_ == "1C", hex(tag)
        assert type_ != "1" or item[tag].value not in ("", None, [])
    path = tmp_path / "DICOMDIR"
    path.write_bytes(data)
    gaps = STEREOMETRIC_GAPS if record == "STEREOMETRIC" else GAPS
    assert errors(path, allowed=gaps) == []


def test_a_dicomdir_without_entries(tmp_path: Path) -> None:
    data = encode([])
    assert len(data) == encoder.base_length("TEST", UID)
    path = tmp_path / "DICOMDIR"
    path.write_bytes(data)
    assert walked(data) == []


def test_the_lengths_of_records_add_up_to_the_size(real_studies: material.RealStudies) -> None:
    entries = made_entries.entries(made_entries.headers(real_studies.tiny))
    total = encoder.base_length("TEST", UID)
    for number, entry in enumerate(entries):
        lengths = encoder.record_lengths(entry.header, entry.transfer_syntax_uid, EVERY_KEY)
        total += sum(lengths) if number == 0 else lengths.instance
    assert total == len(encode(entries))


def _header(
    patient: int, study: int, series: int, number: int, name: str, *, numbered: bool
) -> InstanceHeader:
    uid = f"1.2.{patient}.{study}"
    dataset = instance(CT, PatientName=name, Rows=1, Columns=1)
    if patient:
        dataset.PatientID = f"P{patient}"
    if numbered:
        dataset.InstanceNumber = str(number)
        dataset.StudyDate, dataset.StudyTime, dataset.StudyID = "20240101", "12", "S"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyInstanceUID = uid
    dataset.SeriesInstanceUID = f"{uid}.{series}"
    dataset.SOPInstanceUID = f"{uid}.{series}.{number}"
    return made_entries.indexed(dataset)


@settings(max_examples=30, deadline=None)
@given(
    st.sets(
        st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2), st.integers(1, 5)),
        max_size=20,
    ),
    st.sampled_from(["Doe^Jane", "Dœ^Jané", ""]),
    st.booleans(),
    st.sets(st.sampled_from(sorted(ROOT_TYPES))),
)
def test_the_offsets_of_any_tree_lead_to_every_record(
    places: set[tuple[int, int, int, int]], name: str, numbered: bool, roots: set[str]
) -> None:
    headers = [_header(*place, name, numbered=numbered) for place in places]
    headers += [
        empty(record)._replace(sop_instance_uid=f"1.3.{n}")
        for n, record in enumerate(sorted(roots))
    ]
    entries = made_entries.entries(headers)
    data = encode(entries)
    records = walked(data)
    kinds = [kind for kind, _ in records]
    assert kinds.count("IMAGE") == len(places)
    # Without Patient ID, each study has a separate patient.
    patients = {p[:2] if p[0] == 0 else p[:1] for p in places}
    assert kinds.count("PATIENT") == len(patients)
    assert kinds.count("STUDY") == len({p[:2] for p in places})
    assert kinds.count("SERIES") == len({p[:3] for p in places})
    ids = [item.PatientID for kind, item in records if kind == "PATIENT"]
    assert len(set(ids)) == len(ids)
    assert all(ids)
    total = encoder.base_length("TEST", UID)
    counted: set[tuple[str | None, ...]] = {()}
    for entry in entries:
        lengths = encoder.record_lengths(entry.header, entry.transfer_syntax_uid, EVERY_KEY)
        place = made_entries.place(entry.header)
        total += lengths.instance
        for depth, length in enumerate(lengths[:3], start=1):
            if place[:depth] not in counted:
                counted.add(place[:depth])
                total += length
    assert total == len(data)


def test_an_entity_takes_keys_from_all_its_instances() -> None:
    first = _header(1, 1, 1, 1, "", numbered=True)
    second = _header(1, 1, 1, 2, "Jané", numbered=True)
    records = walked(encode(made_entries.entries([first, second])))
    assert str(records[0][1].PatientName) == "Jané"
    assert records[0][1].SpecificCharacterSet == "ISO_IR 192"
    assert "SpecificCharacterSet" not in records[1][1]


def test_a_record_has_texts_of_one_character_set() -> None:
    """Latin-1 in one instance and UTF-8 in another of the same study."""
    study = EntityRecord("STUDY", 1, EVERY_KEY)
    description, accession_number = 0x00081030, 0x00080050
    study.add(b"ISO_IR 100", {description: "Schädel".encode("latin-1")})
    study.add(b"ISO_IR 192", {accession_number: "Größe".encode()})
    encoded = study.encode()
    values = {element.tag: element for element in scan(encoded, 0, len(encoded), explicit=True)}

    def text(tag: int) -> bytes:
        element = values[tag]
        return encoded[element.value : element.value + element.length].rstrip()

    assert text(0x00080005) == b"ISO_IR 100"
    assert text(description).decode("latin-1") == "Schädel"
    assert accession_number not in values or text(accession_number) == b""


def test_another_date_replaces_a_missing_study_date() -> None:
    dataset = instance(CT, PatientID="1", AcquisitionDate="20200102", AcquisitionTime="0304")
    study = walked(encode(made_entries.entries([made_entries.indexed(dataset)])))[1][1]
    assert study.StudyDate == "20200102"
    assert study.StudyTime == "0304"


def test_a_surrogate_differs_from_every_real_patient_id() -> None:
    anonymous = _header(0, 1, 1, 1, "A", numbered=True)
    surrogate = walked(encode(made_entries.entries([anonymous])))[0][1].PatientID
    real = _header(1, 1, 1, 1, "B", numbered=True)
    keys = real.entity_keys.replace(b"P1", b"P2")
    same_id = real._replace(patient_id=surrogate, entity_keys=keys)
    entries = [
        DirectoryEntry("A", same_id, "1.2.840.10008.1.2.1"),
        DirectoryEntry("B", anonymous, "1.2.840.10008.1.2.1"),
    ]
    ids = [item.PatientID for kind, item in walked(encode(entries)) if kind == "PATIENT"]
    assert ids[1] != surrogate


def _two_entries(**changes: str) -> list[DirectoryEntry]:
    header = _header(1, 1, 1, 1, "A", numbered=True)
    second = _header(1, 1, 1, 2, "A", numbered=True)._replace(**changes)  # type: ignore[arg-type]
    second_entry = DirectoryEntry(r"DICOM\OTHER", second, "1.2.840.10008.1.2.1")
    return [*made_entries.entries([header]), second_entry]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"sop_instance_uid": "1.2.1.1.1.1"}, Conflict),
        ({"sop_instance_uid": "x"}, InvalidUID),
        ({"sop_class_uid": "x"}, InvalidUID),
        ({"patient_name": "B"}, Conflict),
        ({"patient_id": "P2"}, Conflict),
        ({"study_instance_uid": "1.9"}, Conflict),
        ({"study_instance_uid": ""}, MissingValue),
        ({"directory_record_type": ""}, Conflict),
    ],
)
def test_entries_that_form_no_directory_are_rejected(
    changes: dict[str, str], error: type[BurnishError]
) -> None:
    for make in (encoder.encode, encoder.size):
        with pytest.raises(error) as caught:
            make(_two_entries(**changes), keys=EVERY_KEY, file_set_id="TEST", file_set_uid=UID)
        assert "P1" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"file_set_id": "lower"}, {"file_set_id": "A" * 17}, {"descriptor_file_id": "README.TXT"}],
)
def test_invalid_file_set_ids_and_descriptors_are_rejected(wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        encoder.encode([], keys=EVERY_KEY, **{"file_set_id": "A", "file_set_uid": UID, **wrong})


def test_invalid_file_ids_are_rejected() -> None:
    header = _header(1, 1, 1, 1, "A", numbered=True)
    for file_id in ("lower", "A.B", "NINECHARS", "", "\\".join("ABCDEFGHI")):
        with pytest.raises(InvalidValue):
            encode([DirectoryEntry(file_id, header, "1.2.840.10008.1.2.1")])


def test_the_descriptor_file_is_referenced() -> None:
    data = encoder.encode(
        [], keys=EVERY_KEY, file_set_id="A", file_set_uid=UID, descriptor_file_id="README"
    )
    assert pydicom.dcmread(io.BytesIO(data)).FileSetDescriptorFileID == "README"
