"""Volumes as no writer should make them: each command says so in words, and ends.

No command may raise anything, wait for ever, or take memory without bound.
"""

import os
import re
import resource
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import oracles
from burnish.dicom_elements import encode, encode_item
from burnish.vocabulary import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
from made_volume import (
    SECONDARY_CAPTURE,
    Node,
    SampleVolume,
    file_meta,
    instance,
    leaf,
    patient,
    series,
    study,
)
from unit.cli.conftest import Run

#: Exit codes that say in words what is wrong, or that nothing is.
IN_WORDS = {0, 3, 4, 5, 8, 10, 12, 22, 23, 24}
#: The most bytes that a command may take beyond what it had before.
MOST_MEMORY = 600 << 20


def folder(root: Path, sample: SampleVolume) -> Path:
    """The volume as a directory."""
    for name, data in {"DICOMDIR": sample.dicomdir(), **sample.files}.items():
        path = root / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def sound(root: Path) -> Path:
    return folder(root, SampleVolume())


def image(root: Path, *options: str) -> Path:
    """An image of the directory, by genisoimage."""
    target = root.with_suffix(".iso")
    oracles.run("genisoimage", "-quiet", "-V", "TEST", "-sysid", "", *options, "-o", target, root)
    return target


def nested(root: Path) -> Path:
    deep = sound(root).joinpath(*["D"] * 60)
    deep.mkdir(parents=True)
    (deep / "FILE").write_bytes(instance("1.2.9.50"))
    return root


def lower_case(root: Path) -> Path:
    sound(root)
    for path in sorted(root.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    return root


def two_cases(root: Path) -> Path:
    shutil.copy(sound(root) / "DICOMDIR", root / "dicomdir")
    shutil.copy(root / "DICOM" / "I0", root / "DICOM" / "i0")
    return root


def joliet(root: Path) -> Path:
    sound(root)
    (root / "a long name with spaces and ä.dcm").write_bytes(instance("1.2.9.51"))
    return image(root, "-J", "-input-charset", "utf-8")


def udf_bridge(root: Path) -> Path:
    return image(sound(root), "-udf")


def hybrid(root: Path) -> Path:
    """An image that begins with a table of partitions, as sticks have it."""
    path = image(sound(root))
    data = bytearray(path.read_bytes())
    data[446:462] = struct.pack("<8BLL", 0x80, 0, 1, 0, 0x0B, 0, 1, 0, 0, len(data) // 512)
    data[510:512] = b"\x55\xaa"
    path.write_bytes(data)
    return path


def apple(root: Path) -> Path:
    return image(sound(root), "-hfs")


def cut_image(root: Path) -> Path:
    path = image(sound(root))
    path.write_bytes(path.read_bytes()[:60_000])
    return path


def in_sub_folder(root: Path) -> Path:
    sound(root / "DISC")
    return root


def two_dicomdirs(root: Path) -> Path:
    sound(root)
    sound(root / "COPY")
    return root


def dicomdir_is_a_folder(root: Path) -> Path:
    sound(root / "DICOMDIR")
    return root


def dicomdir_is_a_link(root: Path) -> Path:
    sound(root)
    (root / "DICOMDIR").unlink()
    (root / "DICOMDIR").symlink_to("DICOMDIR")
    os.mkfifo(root / "FIFO")
    (root / "UP").symlink_to(root)
    return root


def empty_files(root: Path) -> Path:
    sound(root)
    for path in root.rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    return root


def empty_folder(root: Path) -> Path:
    root.mkdir()
    return root


def empty_image(root: Path) -> Path:
    path = root.with_suffix(".iso")
    path.write_bytes(b"")
    return path


def old_records(root: Path) -> Path:
    sample = SampleVolume()
    retired = ("VISIT", "RESULTS", "STUDY COMPONENT", "STORED PRINT", "CURVE", "OVERLAY")
    for name in retired:
        sample.at(0, 0).below.append(Node({0x00041430: (b"CS", name.encode())}))
    interpretation = Node({0x00041430: (b"CS", b"INTERPRETATION")})
    sample.at(0, 0).below[3].below.append(interpretation)
    sample.root.append(Node({0x00041430: (b"CS", b"TOPIC")}, [study(9, series(9, leaf(9, "X")))]))
    return folder(root, sample)


def private_records(root: Path) -> Path:
    sample = SampleVolume()
    node = Node({0x00041430: (b"CS", b"PRIVATE"), 0x00041432: (b"UI", b"1.2.3.4")})
    sample.at(0, 0, 0, 0).below.append(node)
    for _ in range(10):
        node.below = [Node({0x00041430: (b"CS", b"PRIVATE"), 0x00041432: (b"UI", b"1.2.3.4")})]
        node = node.below[0]
    return folder(root, sample)


def records_without_end(root: Path) -> Path:
    """More levels of records than any reader needs."""
    sample = SampleVolume()
    node = sample.at(0, 0, 0, 0)
    for _ in range(3000):
        node.below = [Node({0x00041430: (b"CS", b"NOVEL")})]
        node = node.below[0]
    return folder(root, sample)


def offsets(tag: int, value: int, *path: int) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        sample = SampleVolume()
        sample.at(*path).set(tag, b"UL", value.to_bytes(4, "little"))
        return folder(root, sample)

    return make


def cycle(*path: int) -> Callable[[Path], Path]:
    """The record at `path` leads to the first record as its next and as its lower one."""

    def make(root: Path) -> Path:
        sample = SampleVolume()
        sample.dicomdir()
        for tag in (0x00041400, 0x00041420):
            sample.at(*path).set(tag, b"UL", sample.at(0).offset.to_bytes(4, "little"))
        return folder(root, sample)

    return make


def references_itself(root: Path) -> Path:
    """A record leads to its file by itself."""
    sample = SampleVolume()
    node = sample.at(0, 0, 0, 0)
    for tag in (0x00041500, 0x00041510, 0x00041511, 0x00041512):
        del node.elements[tag]
    node.set(0x00041430, b"CS", "MRDR")
    node.reference = node
    return folder(root, sample)


def many_records(root: Path) -> Path:
    leaves = [leaf(number, f"DICOM\\I{number}") for number in range(20_000)]
    sample = SampleVolume()
    sample.root = [patient(1, study(1, series(1, *leaves)))]
    return folder(root, sample)


def file_ids(file_id: str) -> Callable[[Path], Path]:
    def make(root: Path) -> Path:
        sample = SampleVolume()
        sample.at(0, 0, 0, 0).set(0x00041500, b"CS", file_id)
        return folder(root, sample)

    return make


def terminal_commands(root: Path) -> Path:
    """Text that would move the cursor and colour the terminal."""
    sample = SampleVolume()
    sample.at(0).set(0x00100010, b"PN", "\x1b[2J\x1b]0;title\x07Doe\x00")
    sample.at(0, 0, 0, 0).set(0x00041430, b"CS", "\x1b[31m")
    folder(root, sample)
    (root / "\x1b[2Jname").write_bytes(instance("1.2.9.52"))
    return root


def length_of_4_gib(root: Path) -> Path:
    sample = SampleVolume()
    data = sample.dicomdir()
    at = data.index(b"\x04\0\x20\x12SQ")
    folder(root, sample)
    (root / "DICOMDIR").write_bytes(data[: at + 8] + b"\xfe\xff\xff\xff" + data[at + 12 :])
    return root


def nested_sequences(root: Path) -> Path:
    sample = SampleVolume()
    value = b""
    for _ in range(4000):
        value = encode(0x00081140, b"SQ", encode_item(value))
    whole = sample.files["DICOM\\I0"]
    at = whole.index(b"\x10\0\x10\0PN")
    sample.files["DICOM\\I0"] = whole[:at] + value + whole[at:]
    return folder(root, sample)


def deflated_bomb(root: Path) -> Path:
    """A file of 1 MB that inflates to 1 GB."""
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = instance("1.2.9.0")
    head = head[head.index(b"\x08\0\x16\0UI") : head.index(b"\xe0\x7f\x10\0")]
    pieces = [deflater.compress(head + struct.pack("<HH2sHL", 0x7FE0, 0x10, b"OW", 0, 1 << 30))]
    pieces += [deflater.compress(bytes(1 << 20)) for _ in range(1 << 10)]
    data = b"".join(pieces) + deflater.flush()
    sample = SampleVolume()
    meta = file_meta(SECONDARY_CAPTURE, "1.2.9.0", DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    sample.files["DICOM\\I0"] = meta + data + bytes(len(data) % 2)
    return folder(root, sample)


def zip_of_strange_names(root: Path) -> Path:
    target = root.with_suffix(".zip")
    sample = SampleVolume()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {"DICOMDIR": sample.dicomdir(), **sample.files}.items():
            archive.writestr(name.replace("\\", "/"), data)
        archive.writestr("../../OUTSIDE", instance("1.2.9.53"))
        archive.writestr("/ABSOLUTE", instance("1.2.9.54"))
        archive.writestr("BOMB", bytes(200 << 20))
    return target


def cut_zip(root: Path) -> Path:
    path = zip_of_strange_names(root)
    path.write_bytes(path.read_bytes()[:-30])
    return path


def not_a_volume(root: Path) -> Path:
    path = root.with_suffix(".txt")
    path.write_text("a text\n" * 1000)
    return path


def pipe(root: Path) -> Path:
    """A reader that waits for a writer of it would wait for ever."""
    path = root.with_suffix(".pipe")
    os.mkfifo(path)
    return path


def endless_device(_: Path) -> Path:
    return Path("/dev/zero")


def without_preamble(root: Path) -> Path:
    sound(root)
    for path in (root / "DICOM").iterdir():
        path.write_bytes(path.read_bytes()[132:])
    return root


VOLUMES: dict[str, Callable[[Path], Path]] = {
    "60 folders deep": nested,
    "names in lower case": lower_case,
    "names in both cases": two_cases,
    "Joliet": joliet,
    "UDF and ISO 9660": udf_bridge,
    "hybrid": hybrid,
    "HFS and ISO 9660": apple,
    "image cut off": cut_image,
    "DICOMDIR in a folder": in_sub_folder,
    "two DICOMDIRs": two_dicomdirs,
    "a folder called DICOMDIR": dicomdir_is_a_folder,
    "links in circles": dicomdir_is_a_link,
    "empty files": empty_files,
    "empty folder": empty_folder,
    "empty image": empty_image,
    "records of old editions": old_records,
    "private records": private_records,
    "3,000 levels of records": records_without_end,
    "next record beyond the end": offsets(0x00041400, 0xFFFFFFFE, 0),
    "lower record in the middle of another": offsets(0x00041420, 400, 0, 0),
    "first record leads to itself": cycle(0),
    "an image leads to its patient": cycle(0, 0, 0, 0),
    "a record leads to its file by itself": references_itself,
    "20,000 records": many_records,
    "File ID above the volume": file_ids("..\\..\\ETC\\PASSWD"),
    "File ID of 1,000 components": file_ids("\\".join(["A"] * 1000)),
    "File ID of a folder": file_ids("DICOM"),
    "commands for the terminal": terminal_commands,
    "sequence of 4 GiB": length_of_4_gib,
    "4,000 sequences in each other": nested_sequences,
    "file that inflates to 1 GB": deflated_bomb,
    "ZIP of strange names": zip_of_strange_names,
    "ZIP cut off": cut_zip,
    "no volume": not_a_volume,
    "pipe": pipe,
    "device without end": endless_device,
    "files without preamble": without_preamble,
}


@pytest.fixture
def bounded() -> Iterator[None]:
    """Memory beyond the bound raises MemoryError."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("make", VOLUMES.values(), ids=VOLUMES.keys())
@pytest.mark.usefixtures("bounded")
def test_each_command_answers_a_strange_volume_in_words(
    make: Callable[[Path], Path], run: Run, tmp_path: Path
) -> None:
    volume = make(tmp_path / "volume")
    assert run("db", "upgrade", "--config", _config(tmp_path)).code == 0
    for command in (
        ("disc", "verify", volume),
        ("disc", "verify", volume, "--profile", "STD-GEN-CD", "--pdi"),
        ("disc", "label", volume, "--output", tmp_path / "a.pdf"),
        ("disc", "import", volume, "--into", "--config", _config(tmp_path)),
        ("disc", "build", volume, "--output", tmp_path / "out"),
        ("disc", "append", f"stdio:{volume}", tmp_path / "nothing", "--no-eject"),
    ):
        (tmp_path / "nothing").mkdir(exist_ok=True)
        done = run(*command)
        assert done.code in IN_WORDS, (command, done.out, done.err)
        assert (done.out + done.err).strip()
        assert not re.search("[\x00-\x08\x0b-\x1f]", done.out + done.err)
    assert not (tmp_path.parent / "OUTSIDE").exists()


def _config(folder: Path) -> Path:
    path = folder / "burnish.toml"
    path.write_text(f'[storage]\nroot = "{folder / "storage"}"\n', encoding="utf-8")
    return path


def test_a_disc_that_is_mounted_with_the_versions_of_its_names_has_no_fault(
    run: Run, tmp_path: Path
) -> None:
    """With map=off, Linux shows the names of ISO 9660 as they are: `DICOMDIR.;1`."""
    root = sound(tmp_path / "volume")
    for path in [path for path in root.rglob("*") if path.is_file()]:
        separator = "" if path.suffix else "."
        path.rename(path.with_name(f"{path.name}{separator};1"))
    done = run("disc", "verify", root)
    assert done.code == 0, done.out
