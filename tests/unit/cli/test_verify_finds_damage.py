"""Every kind of damage to a good volume is found and named by `burnish disc verify`."""

import shutil
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

import material
from burnish.dicom_elements import encode, encode_item, scan
from unit.cli import file_set_folder
from unit.cli.conftest import Done, Run
from unit.cli.file_set_folder import (
    FILE_SET_UID,
    STUDY_UID,
    change_fragment,
    fragments,
    replace,
    set_element,
    set_frames,
    set_number,
    split,
)

ROWS, COLUMNS = 0x00280010, 0x00280011
SAMPLES, PHOTOMETRIC, FRAMES = 0x00280002, 0x00280004, 0x00280008
ALLOCATED, STORED, HIGH_BIT = 0x00280100, 0x00280101, 0x00280102
PIXEL_DATA = 0x7FE00010
CT_CLASS, MR_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"


class Damage(NamedTuple):
    """A change to the folder; the place and the texts that the line about it must have.

    With `pixels`, only --pixels finds it.
    """

    change: Callable[[Path], object]
    place: str
    texts: tuple[str, ...]
    is_note: bool = False
    pixels: bool = False


def in_file(
    name: str, change: Callable[[Path], object], *texts: str, is_note: bool = False
) -> Damage:
    return Damage(lambda root: change(root / "DICOM" / name), f"DICOM\\{name}: ", texts, is_note)


def in_dicomdir(old: bytes, new: bytes, place: str, *texts: str, is_note: bool = False) -> Damage:
    return Damage(lambda root: replace(root / "DICOMDIR", old, new), place, texts, is_note)


def removing(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def writing(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(data)


def cut(count: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes()[:count])


def appended(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(path.read_bytes() + data)


def swapped(first: str, second: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        paths = root / "DICOM" / first, root / "DICOM" / second
        contents = [path.read_bytes() for path in paths]
        for path, data in zip(paths, reversed(contents), strict=True):
            path.write_bytes(data)

    return change


def offset_of(tag: int, number: int, new: int) -> Callable[[Path], None]:
    """Sets a UL of the DICOMDIR; `number` counts its occurrences from 0."""

    def change(root: Path) -> None:
        data = bytearray((root / "DICOMDIR").read_bytes())
        head = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, b"UL", 4)
        place = -1
        for _ in range(number + 1):
            place = data.index(head, place + 1)
        data[place + 8 : place + 12] = new.to_bytes(4, "little")
        (root / "DICOMDIR").write_bytes(data)

    return change


# --- records ---

RECORDS = {
    "name of the patient": in_dicomdir(
        b"Doe^Jane",
        b"Roe^Jane",
        "(PATIENT): ",
        "Patient's Name (0010,0010)",
        "Roe^Jane",
        "Doe^Jane",
    ),
    "Patient ID": in_dicomdir(
        b"P-77", b"P-78", "(PATIENT): ", "Patient ID (0010,0020)", "'P-78'", "'P-77'"
    ),
    "birth date": in_dicomdir(
        b"19700101", b"19700102", "(PATIENT): ", "(0010,0030)", "19700102", is_note=True
    ),
    "sex": in_dicomdir(
        b"CS\x02\0F ", b"CS\x02\0M ", "(PATIENT): ", "(0010,0040)", "'M'", is_note=True
    ),
    "study": in_dicomdir(
        STUDY_UID.encode() + b"\0",
        STUDY_UID[:-1].encode() + b"9\0",
        "(STUDY): ",
        "Study Instance UID (0020,000D)",
        STUDY_UID,
    ),
    "study date": in_dicomdir(
        b"20240102", b"20240103", "(STUDY): ", "Study Date (0008,0020)", "20240103", is_note=True
    ),
    "study description": in_dicomdir(
        b"Knee", b"Head", "(STUDY): ", "(0008,1030)", "Head", is_note=True
    ),
    "series": in_dicomdir(
        f"{STUDY_UID}.2\0".encode(),
        f"{STUDY_UID}.3\0".encode(),
        "(SERIES): ",
        "Series Instance UID (0020,000E)",
        f"{STUDY_UID}.2",
    ),
    "modality": in_dicomdir(
        b"CS\x02\0CT", b"CS\x02\0MR", "(SERIES): ", "Modality (0008,0060)", "'MR'", is_note=True
    ),
    "rows": in_dicomdir(
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 128),
        struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 129),
        "(IMAGE): ",
        "Rows (0028,0010) is 129",
        "is 128",
        is_note=True,
    ),
    "title of a report": Damage(
        lambda root: change_title(root / "DICOMDIR"),
        "(SR DOCUMENT): ",
        ("Concept Name Code Sequence (0040,A043)", "item 1", "Code Meaning (0008,0104)"),
        is_note=True,
    ),
    "reference to a file": in_dicomdir(
        b"DICOM\\CT", b"DICOM\\CX", "DICOM\\CX: ", "references it, but it is not on the volume"
    ),
    "referenced SOP Class": in_dicomdir(
        CT_CLASS.encode() + b"\0", MR_CLASS.encode() + b"\0", "(IMAGE): ", CT_CLASS, MR_CLASS
    ),
    "referenced SOP Instance": in_dicomdir(
        f"{STUDY_UID}.2.1".encode(),
        f"{STUDY_UID}.2.9".encode(),
        "(IMAGE): ",
        "(0004,1511)",
        f"{STUDY_UID}.2.9",
        f"{STUDY_UID}.2.1",
    ),
    "referenced transfer syntax": in_dicomdir(
        b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.51", "(IMAGE): ", "(0004,1512)", "4.51"
    ),
    "type of a record": in_dicomdir(
        b"CS\x06\0IMAGE ", b"CS\x06\0PIXEL ", "(PIXEL): ", "(0004,1430)"
    ),
    "a record not in use": in_dicomdir(
        b"\x04\0\x10\x14US\x02\0\xff\xff", b"\x04\0\x10\x14US\x02\0\0\0", "record 1", "(0004,1410)"
    ),
    "offset of the next record": Damage(
        offset_of(0x00041400, 2, 77), "(SERIES): ", ("offset", "is 77", "none begins")
    ),
    "offset of the lower level": Damage(
        offset_of(0x00041420, 0, 0), "(PATIENT): ", ("no record below it",)
    ),
    "offset of the first record": Damage(
        offset_of(0x00041200, 0, 99), "DICOMDIR: ", ("(0004,1200) is 99", "not that of a record")
    ),
    "offset of the last record": Damage(
        offset_of(0x00041202, 0, 99),
        "DICOMDIR: ",
        ("(0004,1202) is 99", "that of the last root record is"),
    ),
    "consistency flag": in_dicomdir(
        b"\x12\x12US\x02\0\0\0", b"\x12\x12US\x02\0\xff\xff", "DICOMDIR: ", "(0004,1212)"
    ),
    "File-set ID": in_dicomdir(b"CS\x04\0TEST", b"CS\x04\0T-ST", "DICOMDIR: ", "(0004,1130)"),
    "File-set UID": in_dicomdir(
        FILE_SET_UID.encode(), FILE_SET_UID[:-1].encode() + b"X", "DICOMDIR: ", "(0002,0003)"
    ),
    "transfer syntax of the DICOMDIR": in_dicomdir(
        b"UI\x14\x001.2.840.10008.1.2.1\0",
        b"UI\x14\x001.2.840.10008.1.2.2\0",
        "DICOMDIR: ",
        "Transfer Syntax",
    ),
    "DICOMDIR cut": Damage(
        lambda root: cut(900)(root / "DICOMDIR"), "DICOMDIR: ", ("cannot be read",)
    ),
    "DICOMDIR gone": Damage(removing("DICOMDIR"), "DICOMDIR: ", ("there is no DICOMDIR",)),
}


def change_title(dicomdir: Path) -> None:
    """Changes the last letter of the Code Meaning in the record of the report."""
    data = bytearray(dicomdir.read_bytes())
    record = data.index(b"SR DOCUMENT")
    meaning = data.index(b"\x08\0\x04\x01LO", record)
    data[meaning + 8] ^= 1
    dicomdir.write_bytes(data)


# --- files and their File Meta Information ---

FILES = {
    "file gone": Damage(removing("DICOM/CT"), "DICOM\\CT: ", ("not on the volume",)),
    "file of no record": Damage(
        lambda root: shutil.copy(root / "DICOM/CT", root / "DICOM/MORE"),
        "DICOM\\MORE: ",
        ("no directory record references",),
    ),
    "files swapped": Damage(swapped("CT", "MRI"), "(IMAGE): ", ("(0004,1511)", f"{STUDY_UID}.2.1")),
    "file of another kind": in_file("CT", lambda path: path.write_text("text"), "not a DICOM file"),
    "file name": Damage(
        lambda root: (root / "README.TXT").rename(root / "readme please.txt"),
        "readme please.txt: ",
        ("A-Z, 0-9 and underscore",),
    ),
    "second DICOMDIR": Damage(
        lambda root: shutil.copy(root / "DICOMDIR", root / "DICOM/DICOMDIR"),
        "DICOM\\DICOMDIR: ",
        ("second DICOMDIR",),
    ),
    "file cut in its pixels": in_file(
        "CT", cut(-1000), "truncated", "Pixel Data (7FE0,0010)", "ends at"
    ),
    "file cut in its meta": in_file("CT", cut(200), "truncated", "File Meta Information"),
    "prefix": in_file("CT", lambda path: replace(path, b"DICM", b"DICN"), "not a DICOM file"),
    "group length": in_file(
        "CT",
        lambda path: replace(path, split(path)[0][132:144], encode(0x00020000, b"UL", b"\1\0\0\0")),
        "(0002,0000)",
        "byte 145",
    ),
    "SOP Instance UID in the meta": in_file(
        "CT",
        lambda path: replace(path, f"{STUDY_UID}.2.1".encode(), f"{STUDY_UID}.2.7".encode()),
        "SOP Instance UID (0008,0018)",
        f"{STUDY_UID}.2.1",
        f"{STUDY_UID}.2.7",
    ),
    "transfer syntax in the meta": in_file(
        "JPEG",
        lambda path: replace(path, b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.4.90"),
        "FFD8",
        "JPEG 2000",
    ),
    "implementation missing": in_file(
        "CT",
        lambda path: replace(path, b"\x02\0\x12\0UI", b"\x02\0\x14\0UI"),
        "Implementation Class UID (0002,0012)",
    ),
}

# --- data sets ---

SOME_TEXT = encode(0x00080070, b"LO", b"Maker ")


def out_of_order(path: Path) -> None:
    before, data_set = split(path)
    elements = list(scan(data_set, 0, len(data_set), explicit=True))
    first, second = elements[4], elements[5]
    path.write_bytes(
        before
        + data_set[: first.start]
        + data_set[second.start : second.end]
        + data_set[first.start : first.end]
        + data_set[second.end :]
    )


def set_nested(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Sets a Referenced Image Sequence with the items that `change` makes of good ones."""
    set_element(path, 0x00081140, encode(0x00081140, b"SQ", change(nested_items())))


def nested_items() -> bytes:
    """An item with two elements, and a sequence in it."""
    inner = encode(0x00081150, b"UI", CT_CLASS.encode()) + encode(0x00081155, b"UI", b"1.2.3")
    nested = encode(0x0040A170, b"SQ", encode_item(encode(0x00080100, b"SH", b"CODE")))
    return encode_item(inner + nested)


def nested(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return partial(set_nested, change=change)


def reordered(items: bytes) -> bytes:
    first = encode(0x00081150, b"UI", CT_CLASS.encode())
    second = encode(0x00081155, b"UI", b"1.2.3")
    return items.replace(first + second, second + first)


DATA_SETS = {
    "order": in_file("CT", out_of_order, "comes behind", "(00", is_note=True),
    "element twice": in_file(
        "CT",
        lambda path: set_element(path, ROWS, 2 * encode(ROWS, b"US", b"\x80\0")),
        "Rows (0028,0010)",
        "twice",
    ),
    "group 0002": in_file(
        "CT",
        appended(encode(0x00020010, b"UI", b"1.2")),
        "Transfer Syntax UID (0002,0010)",
        "belongs outside",
    ),
    "odd length": in_file(
        "CT",
        lambda path: set_element(path, 0x00080070, b"\x08\0\x70\0LO\x03\0abc"),
        "Manufacturer (0008,0070)",
        "3 bytes",
        is_note=True,
    ),
    "zeros behind it": in_file("MRI", appended(bytes(64)), "64 zero bytes"),
    "bytes behind it": in_file("CT", appended(b"rubbish behind it"), "cannot be read"),
    "no VR": in_file(
        "CT", lambda path: replace(path, b"\x28\0\x10\0US", b"\x28\0\x10\0??"), "(0028,0010)"
    ),
    "nested order": in_file(
        "CT",
        nested(reordered),
        "Referenced Image Sequence (0008,1140)",
        "(0008,1150)",
        "comes behind",
        is_note=True,
    ),
    "nested group 0002": in_file(
        "CT",
        nested(lambda items: encode_item(encode(0x00020010, b"UI", b"1.2") + items[8:])),
        "in its Referenced Image Sequence (0008,1140)",
        "Transfer Syntax UID (0002,0010)",
        "belongs outside",
        is_note=True,
    ),
    "length of an item": in_file(
        "CT",
        nested(lambda items: items[:4] + (len(items) + 40).to_bytes(4, "little") + items[8:]),
        "(0008,1140)",
        "item 1 should have 128 bytes, of which 80 are there",
    ),
    "length of a nested element": in_file(
        "CT",
        nested(lambda items: items.replace(b"SH\x04\0CODE", b"SH\x44\0CODE")),
        "(0008,1140)",
        "Code Value (0008,0100) should have 68 bytes, of which",
    ),
    "no item": in_file(
        "CT",
        nested(lambda items: b"\x08\0\0\1" + items[4:]),
        "(0008,1140)",
        "Code Value (0008,0100) is where an item should begin",
    ),
    "delimiter gone": in_file(
        "RLE",
        lambda path: path.write_bytes(path.read_bytes()[:-8]),
        "truncated",
    ),
    "deflated stream": in_file("DEFLATED", cut(-200), "deflated data set is truncated"),
    "big endian": in_file("BIG", cut(-100), "truncated", "Pixel Data (7FE0,0010)"),
}

# --- pixels ---


def pixel_length(change: int) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        length = 128 * 128 * 2 + change
        set_element(path, PIXEL_DATA, encode(PIXEL_DATA, b"OW", bytes(length)))

    return apply


def text(tag: int, value: bytes) -> Callable[[Path], None]:
    vr = b"IS" if tag == FRAMES else b"CS"
    return lambda path: set_element(path, tag, encode(tag, vr, value))


PIXELS = {
    "rows": in_file(
        "CT", lambda path: set_number(path, ROWS, 200), "(7FE0,0010)", "32768", "51200"
    ),
    "rows in big endian": in_file(
        "BIG",
        lambda path: replace(path, b"\0\x28\0\x10US\0\2\0\x40", b"\0\x28\0\x10US\0\2\0\x41"),
        "8192 bytes",
        "8320 are required",
    ),
    "rows of 0": in_file("CT", lambda path: set_number(path, ROWS, 0), "Rows (0028,0010)", "0"),
    "columns missing": in_file(
        "CT", lambda path: set_element(path, COLUMNS, b""), "Columns (0028,0011)", "missing"
    ),
    "Bits Allocated of 12": in_file(
        "CT", lambda path: set_number(path, ALLOCATED, 12), "Bits Allocated (0028,0100)", "12"
    ),
    "Bits Stored above": in_file(
        "CT", lambda path: set_number(path, STORED, 17), "Bits Stored (0028,0101)", "17", "16"
    ),
    "High Bit impossible": in_file(
        "CT", lambda path: set_number(path, HIGH_BIT, 3), "High Bit (0028,0102)", "3", "15"
    ),
    "Photometric Interpretation unknown": in_file(
        "CT", text(PHOTOMETRIC, b"GREY"), "Photometric Interpretation (0028,0004)", "'GREY'"
    ),
    "samples": in_file(
        "JPEG", lambda path: set_number(path, SAMPLES, 1), "Samples per Pixel (0028,0002)", "1", "3"
    ),
    "Photometric Interpretation of JPEG 2000": in_file(
        "CT",
        lambda path: (text(PHOTOMETRIC, b"YBR_RCT")(path), set_number(path, SAMPLES, 3)),
        "(0028,0004)",
        "YBR_RCT",
        "JPEG 2000",
    ),
    "Number of Frames": in_file("CT", text(FRAMES, b"2"), "32768", "65536"),
    "Number of Frames unreadable": in_file("CT", text(FRAMES, b"2A"), "(0028,0008)", "'2A'"),
    "pixels short": in_file("CT", pixel_length(-2), "(7FE0,0010)", "32766", "32768"),
    "pixels long": in_file("CT", pixel_length(10), "32778 bytes", "10 more", is_note=True),
    "pixels gone": in_file(
        "CT", lambda path: set_element(path, PIXEL_DATA, b""), "no Pixel Data", is_note=True
    ),
    "native under JPEG": in_file(
        "JPEG",
        lambda path: set_element(path, PIXEL_DATA, encode(PIXEL_DATA, b"OB", bytes(30000))),
        "is native",
        "requires encapsulated",
    ),
    "encapsulated under native": in_file(
        "CT", lambda path: set_frames(path, bytes(32768)), "is encapsulated", "requires native"
    ),
}

# --- frames ---


def patched(offset: int, data: bytes) -> Callable[[bytes], bytes]:
    return lambda frame: frame[:offset] + data + frame[offset + len(data) :]


def in_header(marker: bytes, offset: int, data: bytes) -> Callable[[bytes], bytes]:
    """Bytes at an offset behind a marker of a codestream."""
    return lambda frame: patched(frame.index(marker) + offset, data)(frame)


def frame(
    name: str, change: Callable[[bytes], bytes], *texts: str, is_note: bool = False
) -> Damage:
    return in_file(name, partial(change_fragment, number=0, change=change), *texts, is_note=is_note)


def table(*offsets: int) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        set_frames(path, *fragments(path), table=struct.pack(f"<{len(offsets)}I", *offsets))

    return change


def extended_table(offsets: tuple[int, ...], lengths: tuple[int, ...]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        set_frames(path, *fragments(path))
        for tag, numbers in ((0x7FE00001, offsets), (0x7FE00002, lengths)):
            data = struct.pack(f"<{len(numbers)}Q", *numbers)
            set_element(path, tag, encode(tag, b"OV", data))

    return change


CODESTREAMS = {
    "frame missing": in_file(
        "RLE",
        lambda path: set_frames(path, fragments(path)[0]),
        "Number of Frames (0028,0008) is 2",
        "1 fragment",
    ),
    "no frame": in_file("JPEG", set_frames, "no fragment"),
    "offset table": in_file("RLE", table(0, 11), "Basic Offset Table", "byte 11", "frame 2"),
    "length of the offset table": in_file("RLE", table(0, 8, 9), "3 offsets", "is 2"),
    "extended offset table": in_file(
        "RLE", extended_table((0, 7), (10, 10)), "Extended Offset Table (7FE0,0001)", "byte 7"
    ),
    "JPEG begins otherwise": frame("JPEG", patched(0, b"\0\0"), "frame 1", "0000H", "FFD8H"),
    "rows of JPEG": frame(
        "JPEG", in_header(b"\xff\xc0", 5, b"\0\x07"), "7 rows", "(0028,0010)", "100"
    ),
    "columns of JPEG": frame(
        "JPEG", in_header(b"\xff\xc0", 7, b"\0\x07"), "7 columns", "(0028,0011)"
    ),
    "components of JPEG": frame("JPEG", in_header(b"\xff\xc0", 9, b"\1"), "1 component ", "is 3"),
    "bits of JPEG": frame(
        "JPEG", in_header(b"\xff\xc0", 4, b"\x0c"), "12 bits", "(0028,0100) is 8"
    ),
    "process of JPEG": frame(
        "JPEG", in_header(b"\xff\xc0", 1, b"\xc2"), "FFC2H", "FFC0H", is_note=True
    ),
    "JPEG truncated": frame("JPEG", lambda data: data[:-40], "EOI", "truncated"),
    "JPEG Lossless truncated": frame("LOSSLESS", lambda data: data[:-40], "EOI", "truncated"),
    "rows of JPEG-LS": frame("JPEGLS", in_header(b"\xff\xf7", 5, b"\0\x07"), "7 rows", "is 64"),
    "JPEG-LS truncated": frame("JPEGLS", lambda data: data[:-40], "EOI", "truncated"),
    "columns of JPEG 2000": frame(
        "J2K", in_header(b"\xff\x4f\xff\x51", 8, b"\0\0\0\x09"), "9 columns", "is 64"
    ),
    "components of JPEG 2000": frame(
        "J2K", in_header(b"\xff\x4f\xff\x51", 40, b"\0\3"), "3 components", "is 1"
    ),
    "JPEG 2000 truncated": frame("J2K", lambda data: data[:-40], "EOC", "truncated"),
    "segments of RLE": frame("RLE", patched(0, b"\2"), "2 segments", "instead of 3"),
    "offset of an RLE segment": frame("RLE", patched(8, b"\xff\xff\xff\0"), "segments at", "bytes"),
    "RLE cut": frame("RLE", lambda data: data[:70], "segments at", "70 bytes"),
    "content of JPEG": Damage(
        frame("LOSSLESS", lambda data: data[:300] + data[500:]).change,
        "DICOM\\LOSSLESS: ",
        ("cannot be decoded", "frame 1"),
        pixels=True,
    ),
    "content of RLE": Damage(
        frame("RLE", lambda data: data[:64] + bytes(len(data) - 64)).change,
        "DICOM\\RLE: ",
        ("cannot be decoded", "frame 1"),
        pixels=True,
    ),
}

DAMAGE = {
    f"{kind}: {name}": damage
    for kind, table_of_kind in (
        ("records", RECORDS),
        ("files", FILES),
        ("data sets", DATA_SETS),
        ("pixels", PIXELS),
        ("codestreams", CODESTREAMS),
    )
    for name, damage in table_of_kind.items()
}


@pytest.fixture(scope="module")
def good_folder(
    tmp_path_factory: pytest.TempPathFactory, real_studies: material.RealStudies
) -> Path:
    return file_set_folder.make(tmp_path_factory.mktemp("file-set"), real_studies)


def test_the_volume_without_damage_has_no_fault_and_no_note(good_folder: Path, run: Run) -> None:
    for options in ((), ("--pixels",)):
        done = run("disc", "verify", good_folder, *options, "--json")
        assert done.code == 0, done.out
        assert done.json["notes"] == []
    assert done.json["decoded_frames"] == 6


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_a_folder_is_found_and_named(
    name: str, good_folder: Path, run: Run, tmp_path: Path
) -> None:
    damage = DAMAGE[name]
    root = tmp_path / "volume"
    shutil.copytree(good_folder, root)
    damage.change(root)
    options = ("--pixels",) if damage.pixels else ()
    if damage.pixels:
        assert run("disc", "verify", root).code == 0, "this damage needs no --pixels"
    done = run("disc", "verify", root, *options)
    assert_named(done, damage)


def assert_named(done: Done, damage: Damage) -> None:
    lines = [line for line in done.out.splitlines() if damage.place in line]
    named = [line for line in lines if all(text in line for text in damage.texts)]
    assert named, done.out
    assert done.err == ""
    assert named[0].startswith("note: ") is damage.is_note
    if not damage.is_note:
        assert done.code == 22
