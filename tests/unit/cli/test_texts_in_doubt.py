"""Text that is not in the Specific Character Set of its instance: kept as it is, and told."""

from pathlib import Path
from typing import NamedTuple

import pytest

import factories
import oracles
from burnish import file_meta
from burnish.dicom_elements import encode
from burnish.dicomdir.reader import SPECIFIC_CHARACTER_SET, DicomdirReader, Elements
from burnish.image.reader import open_volume
from unit.cli.conftest import Run
from unit.write.test_labels import text

NAME = 0x00100010
GUENTHER = "Günther^A".encode("latin-1")


class Text(NamedTuple):
    """A character set and a name, the character set of its record, and what people see."""

    character_set: bytes
    name: bytes
    in_record: bytes
    shown: str
    told: str


CASES = {
    "unknown": Text(b"ISO_IR 999", GUENTHER, b"ISO_IR 999", "G\\374nther", "ISO_IR 999"),
    "no code": Text(b"iso 999-x", GUENTHER, b"ISO_IR 100", "G\\374nther", "iso 999-x"),
    "misspelt": Text(b"ISO-IR 100", GUENTHER, b"ISO_IR 100", "Günther", "ISO-IR 100"),
    "several": Text(
        b"ISO_IR 100\\ISO 2022 IR 999",
        GUENTHER,
        b"ISO_IR 100\\ISO 2022 IR 999",
        "Günther",
        "ISO 2022 IR 999",
    ),
    "escape sequence": Text(
        b"\\ISO 2022 IR 87",
        b"Doe^A=\x1b$(X\x30\x21\x1b(B^B",
        b"\\ISO 2022 IR 87",
        "Doe",
        "not in its Specific Character Set",
    ),
    "invalid UTF-8": Text(
        b"ISO_IR 192",
        GUENTHER,
        b"ISO_IR 192",
        "G\\374nther",
        "not in its Specific Character Set",
    ),
    "none, Latin-1": Text(b"", GUENTHER, b"ISO_IR 100", "Günther", "without a Specific Char"),
    "none, UTF-8": Text(b"", "Günther^A".encode(), b"ISO_IR 192", "Günther", "without a Spec"),
}
SOUND = Text(b"GB18030", "王^小东".encode("gb18030"), b"GB18030", "王", "")


def written(folder: Path, case: Text, size: int = 64) -> Path:
    instance = factories.instance(patient_name="X^Y", size=size)
    data = instance.data_set
    if case.character_set:
        data = encode(SPECIFIC_CHARACTER_SET, b"CS", case.character_set) + data
    data = data.replace(encode(NAME, b"PN", b"X^Y"), encode(NAME, b"PN", case.name))
    uids = instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid
    folder.mkdir()
    path = folder / "one.dcm"
    path.write_bytes(file_meta.encode(*uids) + data)
    return path


def patient_record(dicomdir: bytes) -> Elements:
    offset, _ = file_meta.locate(dicomdir)
    records = DicomdirReader(dicomdir, offset).records()
    return next(record.elements for record in records if NAME in record.elements)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_text_in_doubt_is_kept_as_it_is_and_told(case: Text, run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "source", case)
    done = run("disc", "build", source, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    assert case.told in done.err
    image = tmp_path / "out" / "VOLUME01.iso"
    with open_volume(image) as volume:
        record = patient_record(volume.read("DICOMDIR"))
        readme = volume.read("README.TXT").decode("ascii")
        [name] = [name for name in volume.files() if name.endswith("IM000001")]
        assert volume.read(name).endswith(source.read_bytes()[-400:])
        assert encode(NAME, b"PN", case.name) in volume.read(name)
    assert record.value(NAME).rstrip(b" ") == case.name
    assert record.value(SPECIFIC_CHARACTER_SET).rstrip(b" ") == case.in_record
    assert "Text of 1 instance of this set" in " ".join(readme.split())
    verified = run("disc", "verify", image, "--json")
    assert verified.code == 0, verified.out
    assert {"CHARACTER_SET_UNKNOWN", "TEXT_UNDECODABLE"} & {
        note["code"] for note in verified.json["notes"]
    }
    assert run("disc", "label", image, "--output", tmp_path / "a.pdf").code == 0
    if case.in_record != b"ISO_IR 100" or case.character_set in (b"", b"ISO-IR 100"):
        assert case.shown in text(tmp_path / "a.pdf")


def test_text_in_its_character_set_is_not_told(run: Run, tmp_path: Path) -> None:
    source = written(tmp_path / "source", SOUND)
    done = run("disc", "build", source, "--output", tmp_path / "out")
    assert done.code == 0, done.err
    assert "character set" not in done.err.lower()
    verified = run("disc", "verify", tmp_path / "out" / "VOLUME01.iso", "--json")
    codes = {note["code"] for note in verified.json["notes"]}
    assert codes == {"PIXEL_DATA_WRONG"}  # a CT image of 8 bits


def test_a_converted_instance_keeps_its_text(run: Run, tmp_path: Path) -> None:
    case = CASES["unknown"]
    source = written(tmp_path / "source", case, size=40_000)
    done = run(
        *("disc", "build", source, "--output", tmp_path / "out", "--lossless"),
        *("--profile", "STD-GEN-DVD-JPEG"),
    )
    assert done.code == 0, done.err
    root = oracles.extract(tmp_path / "out" / "VOLUME01.iso", tmp_path / "tree")
    [path] = root.rglob("IM000001")
    assert file_meta.locate(path.read_bytes())[1] == "1.2.840.10008.1.2.4.70"
    assert encode(NAME, b"PN", case.name) in path.read_bytes()
    assert encode(SPECIFIC_CHARACTER_SET, b"CS", case.character_set) in path.read_bytes()
