"""`burnish disc append`: sessions on discs that were left open, read by other programs.

A disc with sessions is one of tests/cd_recorder.py, one that grows a pseudo-drive of libburn.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import cd_recorder
import factories
import material
import oracles
import profile_instances
from burnish import file_meta
from burnish.application_profiles import PROFILES
from burnish.burn.burner import BurnJob, BurnOutcome
from burnish.burn.optical import OpticalBurner
from burnish.dicom_elements import encode
from burnish.dicomdir import appending
from burnish.image import iso9660_reader, iso9660_session
from burnish.image.file_extents import Section
from burnish.image.image_source import Source
from burnish.image.reader import open_volume
from burnish.media import MEDIA, SECTOR
from content_checks import check_content
from unit.cli.conftest import Done, Run

HOME = ("1.2.3.1", "1.2.3.1.1")
Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """`put("folder", …)`: an instance in a file of a folder."""

    def write(folder: str, **values: object) -> Path:
        instance = factories.instance(**values)  # type: ignore[arg-type]
        uids = instance.sop_class_uid, instance.sop_instance_uid, instance.transfer_syntax_uid
        path = tmp_path / folder / f"{instance.sop_instance_uid}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file_meta.encode(*uids) + instance.data_set)
        return path

    return write


@dataclass
class OpenDisc:
    """A disc that was left open, and the arguments that name its drive on the command line."""

    path: Path
    drive: tuple[str, ...]
    run: Run

    def append(self, *arguments: object) -> Done:
        return self.run("disc", "append", *self.drive, *arguments, "--json")


def recorder(folder: Path) -> Path:
    program = folder / "recorder"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {cd_recorder.__file__} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def image(put: Put, run: Run, tmp_path: Path) -> Path:
    """An image of three instances."""
    for number in (1, 2, 3):
        put("first", study=HOME[0], series=HOME[1], instance_number=number, size=40_000)
    done = run("disc", "build", tmp_path / "first", "--output", tmp_path, "--file-set-id", "OPEN")
    assert done.code == 0, done.err
    return tmp_path / "VOLUME01.iso"


def burn(image: Path, drive: str, program: str) -> None:
    burner = OpticalBurner("drive", drive=drive, program=program, finalise=False, eject=False)
    job = BurnJob(image, 1, 1, 1, 1, "R1", "OPEN", "1.2", medium="CD")
    assert burner.write(job).outcome is BurnOutcome.WRITTEN
    assert image.read_bytes() == burner.written(job).read_bytes()[: image.stat().st_size]


@pytest.fixture
def cd(image: Path, run: Run, tmp_path: Path) -> OpenDisc:
    """A CD-R with one session."""
    disc, program = tmp_path / "cd", str(recorder(tmp_path))
    burn(image, str(disc), program)
    return OpenDisc(disc, (str(disc), "--program", program), run)


@pytest.fixture
def grown(image: Path, run: Run, tmp_path: Path) -> OpenDisc:
    """A pseudo-drive, which has no sessions."""
    disc = tmp_path / "grown"
    burn(image, f"stdio:{disc}", "xorriso")
    return OpenDisc(disc, (f"stdio:{disc}",), run)


@pytest.fixture
def with_pages(put: Put, run: Run, tmp_path: Path) -> OpenDisc:
    """A CD-R with one session, which has pages."""
    put("first", study=HOME[0], series=HOME[1], instance_number=1)
    folder = tmp_path / "with_pages"
    program = tmp_path / "applications" / "PROGRAMS" / "SHOW.EXE"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"a program")
    (tmp_path / "site.toml").write_text(
        f'[content]\ncontact = "contact 0123"\napplications = "{tmp_path / "applications"}"\n'
    )
    options = ("--file-set-id", "OPEN", "--content", "FOR_PATIENT")
    options = (*options, "--config", str(tmp_path / "site.toml"))
    done = run("disc", "build", tmp_path / "first", "--output", folder, *options)
    assert done.code == 0, done.err
    disc, device = tmp_path / "cd", str(recorder(tmp_path))
    burn(folder / "VOLUME01.iso", str(disc), device)
    return OpenDisc(disc, (str(disc), "--program", device), run)


def sections(image: Path) -> Mapping[str, Sequence[Section]]:
    """Where the files of an image of ISO 9660 lie, by name."""
    with image.open("rb") as file:
        return iso9660_reader.read_file_table(Source(file.fileno())).sections


def contents(disc: Path, session: int = 0) -> dict[str, bytes]:
    with open_volume(disc, session=session) as volume:
        return {name: volume.read(name) for name in volume.files()}


def extracted(files: dict[str, bytes], root: Path) -> Path:
    for name, data in files.items():
        path = root / name.replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def directory(contents: dict[str, bytes]) -> appending.EarlierDirectory:
    return appending.read_earlier(contents["DICOMDIR"])


def bodies(directory: appending.EarlierDirectory) -> list[bytes]:
    return [record.body for record in directory.all_records()]


def check_tree(root: Path, expected: dict[str, bytes]) -> None:
    """What others extracted has all the files, and a DICOMDIR that leads to every instance."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    assert {name.replace("/", "\\"): path.read_bytes() for name, path in files.items()} == expected
    assert oracles.dciodvfy_errors(root / "DICOMDIR") == []
    oracles.dcdirdmp(root / "DICOMDIR")
    instances = [name for name in expected if name not in ("DICOMDIR", "README.TXT")]
    assert sorted(oracles.file_ids(root)) == sorted(name.replace("\\", "/") for name in instances)
    assert len(oracles.file_set(root)) == len(instances)


def test_instances_are_added_to_a_cd_as_sessions(cd: OpenDisc, put: Put, tmp_path: Path) -> None:
    """Earlier files stay where they are, and the last session describes all of the disc."""
    first, before = contents(cd.path), cd.path.read_bytes()
    put("more", study=HOME[0], series=HOME[1], instance_number=4)
    put("more", study=HOME[0], series="1.2.3.1.2", series_number=2)
    put("more", study="1.2.3.2", series="1.2.3.2.1")
    done = cd.append("more")
    assert done.code == 0, done.err
    assert done.json["added"] == 3
    start = done.json["first_sector"]
    assert start == len(before) // SECTOR + cd_recorder.GAPS[0]
    assert cd.path.read_bytes().startswith(before)
    assert cd.path.stat().st_size == start * SECTOR + done.json["size"] + 150 * SECTOR
    second = contents(cd.path, start)
    kept = [name for name in first if name not in ("DICOMDIR", "README.TXT")]
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}
    assert b"DICOM instances:   6  " in second["README.TXT"]
    old, new = directory(first), directory(second)
    assert new.file_set_uid == old.file_set_uid
    assert new.identification == old.identification
    assert [body for body in bodies(new) if body in bodies(old)] == bodies(old)
    assert contents(cd.path) == first
    earlier, later = (iso9660_session.read_extents(cd.path, at) for at in (0, start))
    assert {name: later[name] for name in kept} == {name: earlier[name] for name in kept}

    listed = oracles.run("isoinfo", "-l", "-T", str(start), "-i", cd.path)
    at = {int(sector) for sector in re.findall(r"\[\s*(\d+) 00\]", listed)}
    assert len([sector for sector in at if sector < start]) == len(kept) == 3
    target = tmp_path / "second"
    oracles.run(
        *("xorriso", "-osirrox", "on", "-report_about", "FAILURE", "-load", "sbsector", str(start)),
        *("-indev", f"stdio:{cd.path}", "-extract", "/", target),
    )
    oracles.run("chmod", "-R", "u+rwX", target)
    check_tree(target, second)

    put("last", patient_id="P2", patient_name="Roe^Richard", study="1.9", series="1.9.1")
    assert cd.append("last").code == 5
    done = cd.append("last", "--other-patient", "--finalise")
    assert done.code == 0, done.err
    assert done.json["volume"]["instances"] == 7, done.err
    third = contents(cd.path, done.json["first_sector"])
    assert {name: third[name] for name in kept} == {name: first[name] for name in kept}
    refused = cd.append("last")
    assert refused.code == 5
    assert "finalised" in refused.err


def test_instances_are_added_to_an_image_that_grows(
    grown: OpenDisc, put: Put, tmp_path: Path
) -> None:
    """libburn overwrites its first 32 sectors, in which earlier files may lie."""
    first = contents(grown.path)
    assert min(start for [(start, _)] in sections(grown.path).values()) < 32 * SECTOR
    for number in (4, 5):
        put(f"more{number}", study=HOME[0], series=HOME[1], instance_number=number)
        done = grown.append(f"more{number}")
        assert done.code == 0, done.err
        assert done.json["volume"]["good"] is True, done.err
    files = contents(grown.path)
    kept = [name for name in first if name not in ("DICOMDIR", "README.TXT")]
    assert {name: files[name] for name in kept} == {name: first[name] for name in kept}
    check_tree(oracles.extract(grown.path, tmp_path / "by 7z"), files)
    assert oracles.volume_identifier(grown.path) == "OPEN"
    with open_volume(grown.path, twice=True) as volume:
        assert volume.disagreements() == {}

    again = grown.append("more4", "more5")
    assert again.code == 0
    assert again.json["added"] == 0
    assert len(again.json["skipped"]) == 2
    assert grown.append("more4", "--profile", "STD-GEN-DVD-JPEG").code == 2


@pytest.mark.parametrize(
    "label", ["STD-XABC-CD", "STD-XA1K-CD", "STD-US-CC-MF-CDR", "STD-CTMR-CD", "STD-DEN-CD"]
)
def test_each_transfer_syntax_of_a_profile_is_added_to(
    label: str, run: Run, tmp_path: Path
) -> None:
    counts = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        counts.append(len(profile_instances.instances_of(PROFILES[label], tmp_path / folder)))
    options = ("--profile", label)
    done = run("disc", "build", tmp_path / "first", "--output", tmp_path, *options)
    assert done.code == 0, done.err
    disc = tmp_path / "grown"
    burn(tmp_path / "VOLUME01.iso", f"stdio:{disc}", "xorriso")
    added = run("disc", "append", f"stdio:{disc}", tmp_path / "second", *options, "--json")
    assert added.code == 0, added.err
    assert added.json["added"] == counts[1]
    report = run("disc", "verify", disc, *options, "--json")
    assert report.code == 0, report.out
    assert report.json["instances"] == sum(counts)


def test_nothing_is_written_where_an_instance_is_refused(grown: OpenDisc, put: Put) -> None:
    before = grown.path.read_bytes()
    file_on_disc = next((grown.path.parent / "first").iterdir())
    other_content = put(
        "other", sop_instance_uid=file_on_disc.stem, study=HOME[0], series=HOME[1], size=2
    )
    for done, reason in (
        (grown.append(other_content), "has other content"),
        (grown.append(put("bad", sop_class_uid=factories.STANDALONE_CURVE)), "no place in a DIC"),
    ):
        assert done.code == 23
        assert done.json["added"] == 0
        assert done.json["volume"] is None
        assert reason in done.json["refused"][0]["why"]
    for values, reason in (
        ({"patient_name": "Roe^Richard", "study": "1.8", "series": "1.8.1"}, "for another patient"),
        ({"study": "1.8", "series": HOME[1]}, "belongs to another study on the disc"),
        ({"patient_id": "P2", "study": "1.8", "series": "1.8.1"}, "of 1 patient not on the disc"),
        (
            {"patient_id": "P2", "study": HOME[0], "series": "1.8.1"},
            f"Study Instance UID {HOME[0]} of the files belongs to another Patient ID on the disc",
        ),
    ):
        done = grown.append(put(f"no {reason}", **values))
        assert done.code == 5, done.err
        assert reason in done.err, done.err
    assert grown.path.read_bytes() == before


def test_a_damaged_image_is_added_if_that_is_asked_for(cd: OpenDisc, put: Put) -> None:
    short = encode(0x7FE00010, b"OW", bytes(50))
    path = put("second", study=HOME[0], series=HOME[1], instance_number=4, pixels=short)
    refused = cd.append(path, "--no-eject")
    assert refused.code == 23
    added = cd.append(path, "--no-eject", "--keep-damaged")
    assert added.code == 0, added.err
    assert added.json["added"] == 1
    readme = contents(cd.path, added.json["first_sector"])["README.TXT"]
    assert path.stem.encode() in b"".join(readme.split())
    # the damaged image is on the disc now
    another = put("third", study=HOME[0], series=HOME[1], instance_number=5)
    assert cd.append(another, "--no-eject").code == 5
    assert cd.append(another, "--no-eject", "--keep-damaged").code == 0


def test_nothing_is_written_where_the_disc_has_no_room(cd: OpenDisc, put: Put) -> None:
    beside = cd.path.with_name("cd.json")
    beside.write_text(json.dumps(json.loads(beside.read_text()) | {"free": 200}))
    before = cd.path.read_bytes()
    done = cd.append(put("more", study=HOME[0], series=HOME[1], size=60_000))
    assert done.code == 8
    assert cd.path.read_bytes() == before
    assert f"the disc has {200 * SECTOR} free; nothing was written" in done.err


def test_an_image_grows_no_larger_than_a_cd(
    grown: OpenDisc, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = grown.path.read_bytes()
    sectors = len(before) // SECTOR  # the image and its padding
    monkeypatch.setitem(MEDIA, "CD", replace(MEDIA["CD"], capacity=sectors * SECTOR))
    done = grown.append(put("more", study=HOME[0], series=HOME[1]))
    assert done.code == 8, done.err
    assert "nothing was written" in done.err, done.err
    assert grown.path.read_bytes() == before


@pytest.mark.parametrize(
    ("facts", "code", "reason"),
    [
        ({"medium": "DVD+R"}, 5, "to a CD only"),
        ({"sessions": []}, 5, "blank"),
        ({"closed": True}, 5, "finalised"),
        ({"medium": "is not recognizable"}, 10, "no disc"),
    ],
)
def test_a_disc_that_cannot_be_added_to_is_refused(
    run: Run, put: Put, tmp_path: Path, facts: dict[str, object], code: int, reason: str
) -> None:
    disc = tmp_path / "cd"
    disc.with_name("cd.json").write_text(json.dumps({"sessions": [(0, 9)], **facts}))
    cd = OpenDisc(disc, (str(disc), "--program", str(recorder(tmp_path))), run)
    done = cd.append(put("more"))
    assert done.code == code, done.err
    assert reason in done.err, done.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-sysid", ""), "no sound File-set"),
        (("-J",), "Joliet"),
        (("-R",), "Rock Ridge"),
        (("-udf",), "not ISO 9660 alone"),
    ],
)
def test_a_disc_that_cannot_be_continued_is_refused(
    image: Path, run: Run, put: Put, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    """A File-set of another creator is continued if all of it can be kept."""
    root = oracles.extract(image, tmp_path / "tree")
    if reason == "no sound File-set":
        next((root / "DICOM").rglob("IM*")).unlink()
    disc = tmp_path / "disc"
    oracles.run("genisoimage", "-quiet", "-V", "OPEN", *options, "-o", disc, root)
    before = disc.read_bytes()
    done = OpenDisc(disc, (f"stdio:{disc}",), run).append(put("more"))
    assert done.code == 5, done.err
    assert reason in done.err, done.err
    assert disc.read_bytes() == before


def test_a_file_set_of_another_creator_is_continued(run: Run, put: Put, tmp_path: Path) -> None:
    """Made by dcmmkdir and genisoimage: its records stay as they are."""
    root = tmp_path / "root"
    root.mkdir()
    put("first", study=HOME[0], series=HOME[1]).rename(root / "ONE")
    oracles.run("dcmmkdir", "-q", "-Pgp", "+id", root, "+D", root / "DICOMDIR", "ONE")
    disc = tmp_path / "disc"
    oracles.run("genisoimage", "-quiet", "-sysid", "", "-V", "DCMTK_MEDIA_DEMO", "-o", disc, root)
    before = contents(disc)
    more = put("more", study=HOME[0], series=HOME[1], instance_number=2)
    done = OpenDisc(disc, (f"stdio:{disc}",), run).append(more)
    assert done.code == 0, done.err
    files = contents(disc)
    assert files["ONE"] == before["ONE"]
    assert sorted(files) == ["DICOMDIR", "DICOM\\PA000001\\ST000001\\SE000001\\IM000001", "ONE"]
    old = bodies(directory(before))
    assert [body for body in bodies(directory(files)) if body in old] == old
    check_tree(oracles.extract(disc, tmp_path / "extracted"), files)


@pytest.mark.parametrize("unknown", ["private SOP Class", "transfer syntax", "record type"])
def test_what_is_not_known_on_a_disc_stays_as_it_is(
    unknown: str,
    run: Run,
    put: Put,
    tmp_path: Path,
    real_studies: material.RealStudies,
) -> None:  # PS3.2 7.2
    root = tmp_path / "root"
    root.mkdir()
    put("first", study=HOME[0], series=HOME[1]).rename(root / "ONE")
    if unknown == "transfer syntax":
        shutil.copy(real_studies.file("MR_small.dcm"), root / "TWO")
    names = [path.name for path in sorted(root.iterdir())]
    oracles.run("dcmmkdir", "-q", "-Pgp", "+id", root, "+D", root / "DICOMDIR", *names)
    dicomdir = (root / "DICOMDIR").read_bytes()
    if unknown == "record type":
        (root / "DICOMDIR").write_bytes(dicomdir.replace(b"IMAGE ", b"NOVEL "))
    if unknown == "transfer syntax":
        shutil.copy(real_studies.file("MR_small_RLE.dcm"), root / "TWO")
        uid = material.read(root / "TWO").SOPInstanceUID.encode()
        start = dicomdir.index(uid)
        record = dicomdir[start:].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
        (root / "DICOMDIR").write_bytes(dicomdir[:start] + record)
    if unknown == "private SOP Class":
        sop_class = material.read(root / "ONE").SOPClassUID.encode()
        private = b"1.2.826.0.1.3680043.2.1396.99"[: len(sop_class)]
        assert len(private) == len(sop_class)
        for name in ("ONE", "DICOMDIR"):
            path = root / name
            path.write_bytes(path.read_bytes().replace(sop_class, private))
    disc = tmp_path / "disc"
    oracles.run("genisoimage", "-quiet", "-sysid", "", "-V", "DCMTK_MEDIA_DEMO", "-o", disc, root)
    before = contents(disc)
    more = put("more", study=HOME[0], series=HOME[1], instance_number=2)
    done = OpenDisc(disc, (f"stdio:{disc}",), run).append(more)
    assert done.code == 0, done.err
    assert any("stays as it is" in file["why"] for file in done.json["doubtful"])
    files = contents(disc)
    old = bodies(directory(before))
    assert [body for body in bodies(directory(files)) if body in old] == old
    assert files["ONE"] == before["ONE"]
    assert len(files) == len(before) + 1
    assert run("disc", "label", disc, "--output", tmp_path / "label.pdf").code == 0


def test_a_session_that_damages_earlier_files_is_detected(
    grown: OpenDisc, put: Put, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    [(start, _)] = sections(grown.path)["DICOM\\PA000001\\ST000001\\SE000001\\IM000002"]
    program.write_text(
        f'#!/bin/sh\nxorriso "$@"\n[ "$1" != -as ] || '
        f"printf X | dd of={grown.path} bs=1 seek={start} conv=notrunc status=none\n"
    )
    program.chmod(0o755)
    more = put("more", study=HOME[0], series=HOME[1])
    done = grown.append(more, "--program", program)
    assert done.code == 22
    assert [fault["code"] for fault in done.json["volume"]["faults"]] == ["FILE_CHANGED"]


def test_secure_media_are_refused(run: Run, put: Put, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("words that nobody guesses\n")
    put("first", study=HOME[0], series=HOME[1])
    secure = ("--profile", "STD-GEN-SEC-CD", "--password-file", tmp_path / "password")
    assert run("disc", "build", "first", "--output", tmp_path, *secure).code == 0
    disc = OpenDisc(tmp_path / "VOLUME01.iso", (f"stdio:{tmp_path / 'VOLUME01.iso'}",), run)
    done = disc.append(put("more"))
    assert done.code == 5, done.err
    assert "Secure DICOM Files" in done.err, done.err


def test_a_failing_drive_is_named(cd: OpenDisc, put: Put, tmp_path: Path) -> None:
    more = put("more", study=HOME[0], series=HOME[1])
    program = tmp_path / "recorder"
    working, before = program.read_text(), contents(cd.path)
    for message, hint in (("Beginning to write data track", "ruined"), ("no such luck", "nothing")):
        failing = (
            f'#!/bin/sh\n[ "$1" = -as ] && {{ echo {message}; echo FAILURE : cold; exit 5; }}\n'
        )
        program.write_text(failing + working)
        done = cd.append(more)
        assert done.code == 10
        assert "FAILURE : cold" in done.err
        assert hint in done.err
    assert contents(cd.path) == before


def test_pages_of_a_session_show_all_that_is_on_the_disc(
    with_pages: OpenDisc, put: Put, tmp_path: Path
) -> None:
    before = contents(with_pages.path)
    put("second", study=HOME[0], series=HOME[1], instance_number=2)
    put("second", study=HOME[0], series="1.2.3.1.2", instance_number=3)
    done = with_pages.append(tmp_path / "second")
    assert done.code == 0, done.err
    assert done.json["volume"]["faults"] == []
    assert not done.json["old_pages"]
    after = contents(with_pages.path, done.json["first_sector"])
    patients = [name for name in after if name.startswith("DICOM\\PA")]
    assert len({name.split("\\")[1] for name in patients}) == 2  # folders of each session
    front = after["INDEX.HTM"].decode()
    assert front.count("<h3>") == 1  # one patient
    assert "contact 0123" in front
    assert "PROGRAMS" in front.partition('<div class="foot">')[2]
    assert after["PROGRAMS\\SHOW.EXE"] == b"a program"
    assert b"IHE_PDI\\S0000002\\INDEX.HTM".decode() in after
    check_content(extracted(after, tmp_path / "extracted"))
    kept = {name for name, data in before.items() if after.get(name) == data}
    assert "IHE_PDI\\STYLE.CSS" in kept
    assert not [name for name in before if "IHE_PDI" in name and name not in after]
    listing = oracles.run(
        "isoinfo", "-f", "-R", "-T", str(done.json["first_sector"]), "-i", with_pages.path
    )
    assert "/IHE_PDI/S0000001/INDEX.HTM" in listing


def test_pages_stay_as_they_are_on_a_disc_where_new_ones_are_not_wanted(
    with_pages: OpenDisc, put: Put, tmp_path: Path
) -> None:
    before = contents(with_pages.path)
    put("second", study=HOME[0], series=HOME[1], instance_number=2)
    done = with_pages.append(tmp_path / "second", "--no-pages")
    assert done.code == 0, done.err
    assert done.json["old_pages"]
    after = contents(with_pages.path, done.json["first_sector"])
    assert {name: data for name, data in before.items() if "IHE_PDI" in name}
    assert {name for name in before if after.get(name) != before[name]} == {
        "DICOMDIR",
        "README.TXT",
    }
    listing = oracles.run(
        "isoinfo", "-f", "-R", "-T", str(done.json["first_sector"]), "-i", with_pages.path
    )
    assert "/IHE_PDI/S0000001/INDEX.HTM" in listing
