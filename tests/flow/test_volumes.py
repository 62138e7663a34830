"""Images that Burnish makes, read by programs of others."""

import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

import material
import oracles
from flow import clients
from flow.clients import MediaCreation
from flow.conftest import StartBurnish
from flow.service import Service
from waiting import wait_until

EXPLICIT = "1.2.840.10008.1.2.1"
#: Transfer syntaxes that each profile permits, so that the instance stays as it is (PS3.11 D, H).
AS_THEY_ARE = {
    "STD-GEN-CD": {EXPLICIT},
    "STD-GEN-DVD-JPEG": {
        EXPLICIT,
        "1.2.840.10008.1.2.4.50",
        "1.2.840.10008.1.2.4.51",
        "1.2.840.10008.1.2.4.70",
    },
    "STD-GEN-DVD-J2K": {EXPLICIT, "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"},
}

#: Errors that dciodvfy (2022) reports of a correct DICOMDIR, and why they are none.
ORACLE_GAPS = {
    r"Unrecognized enumerated value <(PLAN|SURFACE SCAN|TRACT|ASSESSMENT|ANNOTATION|INVENTORY"
    r"|WF PRESENTATION)>": "record types newer than the program (PS3.3 F.5)",
    r"Stereometric.*(ContentLabel|ContentDescription)": "no such keys in F.5",
    r"(BlendingSequence|ReferencedSeriesSequence).*Presentation": "1C, and the condition unknown",
    r"ReferencedImageEvidenceSequence.*Spectroscopy": "1C, and the condition unknown",
    r"HangingProtocolUserIdentificationCodeSequence|ProcedureCodeSequence.*HP": "may have no item",
}


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish, real_studies: material.RealStudies) -> Service:
    service = start_shared()
    assert clients.dcmsend(service.port, *real_studies.all).statuses == {0: len(real_studies.all)}
    return service


@pytest.fixture(scope="module")
def small_media(start_shared: StartBurnish, real_studies: material.RealStudies) -> Service:
    """A device whose blanks hold 160 KB."""
    service = start_shared(device=[{"name": "outbox", "media": ["CD"], "capacity": "160KB"}])
    assert clients.dcmsend(service.port, *real_studies.patients, *real_studies.tiny).exit_code == 0
    return service


def make_media(
    service: Service, files: tuple[Path, ...], profile: str, **attributes: object
) -> tuple[str, list[Path]]:
    """Requests media and waits until it is made: the UID of the request and the images."""
    with MediaCreation(service.port) as scu:
        status, _ = scu.create(clients.references(files, profile, **attributes))
        assert status == 0, scu.error_comment
        uid = scu.sop_instance_uid
        assert scu.initiate(uid)[0] == 0

        def ended() -> Any:
            request = scu.get(uid)[1]
            return request if request.ExecutionStatus in ("DONE", "FAILURE") else None

        outcome = wait_until(ended, what="the end of the request")
    assert outcome.ExecutionStatus == "DONE", outcome
    [row] = oracles.rows(
        service, "SELECT id FROM media_creation_request WHERE sop_instance_uid = ?", uid
    )
    return uid, sorted((service.outbox / f"R{row['id']:06d}").glob("*.iso"))


@pytest.fixture(scope="module")
def everything(
    burnish: Service,
    real_studies: material.RealStudies,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[str, Path, Path]]:
    """All real instances on one volume by each profile: request, image, and its tree."""
    volumes = {}
    for profile in AS_THEY_ARE:
        uid, [image] = make_media(burnish, real_studies.all, profile)
        volumes[profile] = uid, image, oracles.extract(image, tmp_path_factory.mktemp("disc"))
    return volumes


@pytest.fixture(params=sorted(AS_THEY_ARE))
def volume(
    request: pytest.FixtureRequest, everything: dict[str, tuple[str, Path, Path]]
) -> tuple[str, str, Path, Path]:
    return request.param, *everything[request.param]


Volume = tuple[str, str, Path, Path]


def test_the_volume_id_is_the_file_set_id(volume: Volume, burnish: Service) -> None:
    _, uid, image, root = volume
    name = oracles.volume_identifier(image)
    assert name == oracles.read(root / "DICOMDIR").FileSetID
    [row] = file_sets(burnish, uid)
    assert row["file_set_id"] == name
    assert row["instances"] == len(oracles.file_ids(root))
    assert row["predicted_size"] == image.stat().st_size
    assert row["file_set_uid"] == oracles.read(root / "DICOMDIR").file_meta.get(
        "MediaStorageSOPInstanceUID"
    )


def file_sets(service: Service, uid: str) -> list[Any]:
    return oracles.rows(
        service,
        "SELECT f.* FROM file_set f JOIN media_creation_request r ON f.request_id = r.id"
        " WHERE r.sop_instance_uid = ? ORDER BY f.volume_number",
        uid,
    )


def test_the_dicomdir_is_first_and_the_files_follow_in_its_order(volume: Volume) -> None:
    _, _, image, root = volume
    extents = [extent for extent in oracles.extents(image) if extent.size]
    extents.sort(key=lambda extent: extent.extent)
    assert extents[0].path == "/DICOMDIR"
    instances = [
        extent.path[1:]
        for extent in extents
        if extent.path.startswith("/") and "." not in extent.path
    ]
    ids = oracles.file_ids(root)
    assert [path for path in instances if path in set(ids)] == ids
    text = oracles.run("xorriso", "-indev", image, "-find", "/", "-type", "f")
    assert set(re.findall(r"^'/(.*)'$", text, re.MULTILINE)) >= {"DICOMDIR", *ids}


def test_file_names_are_iso_9660_level_1_and_have_no_patient_id(
    volume: Volume, real_studies: material.RealStudies
) -> None:
    _, _, _, root = volume
    patients = {str(material.read(path).get("PatientID", "")) for path in real_studies.all}
    for path in oracles.tree(root):
        assert re.fullmatch(r"([A-Z0-9_]{1,8}/)*[A-Z0-9_]{1,8}(\.[A-Z0-9_]{1,3})?", path), path
        assert len(path.split("/")) <= 8
        assert not any(len(name) > 4 and name in path for name in patients)


def test_three_readers_see_the_same_tree(volume: Volume, tmp_path: Path) -> None:
    _, _, image, root = volume
    tree = oracles.tree(root)
    assert oracles.tree(oracles.extract_with_xorriso(image, tmp_path / "x")) == tree
    listed = {extent.path[1:]: extent.size for extent in oracles.extents(image)}
    assert listed == {name: (root / name).stat().st_size for name in tree}


def test_every_instance_is_on_the_volume_once_byte_for_byte(
    volume: Volume, real_studies: material.RealStudies, burnish: Service
) -> None:
    """The bytes of the spool, if the profile permits the transfer syntax of the instance."""
    profile, _, _, root = volume
    paths = oracles.file_set(root)
    sources = {str(material.read(path).SOPInstanceUID): path for path in real_studies.all}
    assert set(paths) == set(sources)
    ids = oracles.file_ids(root)
    assert Counter(ids).most_common(1)[0][1] == 1
    assert {path.relative_to(root).as_posix() for path in paths.values()} == set(ids)
    stored = {row["sop_instance_uid"]: row for row in oracles.live_instances(burnish)}
    for uid, path in paths.items():
        syntax, data = oracles.data_set_bytes(path)
        row = stored[uid]
        if row["transfer_syntax_uid"] in AS_THEY_ARE[profile]:
            assert syntax == row["transfer_syntax_uid"], sources[uid]
            assert data == oracles.spooled(burnish, row), sources[uid]
        else:
            assert syntax == EXPLICIT, sources[uid]


@pytest.mark.filterwarnings("ignore")
def test_transcoded_instances_have_the_same_pixels_and_values(
    everything: dict[str, tuple[str, Path, Path]],
    real_studies: material.RealStudies,
    tmp_path: Path,
) -> None:
    """Pixels are compared with those of DCMTK's decoders where they exist, values with pydicom."""
    _, _, root = everything["STD-GEN-CD"]
    paths = oracles.file_set(root)
    decoders = {
        "1.2.840.10008.1.2.4.50": ("dcmdjpeg", "+cn"),
        "1.2.840.10008.1.2.4.51": ("dcmdjpeg", "+cn"),
        "1.2.840.10008.1.2.4.70": ("dcmdjpeg", "+cn"),
        "1.2.840.10008.1.2.4.80": ("dcmdjpls",),
        "1.2.840.10008.1.2.5": ("dcmdrle",),
    }
    compared = 0
    for source in real_studies.all:
        before = material.read(source)
        syntax = before.file_meta.TransferSyntaxUID
        if syntax == EXPLICIT:
            continue
        after = oracles.read(paths[str(before.SOPInstanceUID)])
        differing = {
            element.keyword or str(element.tag)
            for element in before
            if element.keyword not in ("PixelData", "IconImageSequence")
            and element.tag.element != 0
            and after.get_item(element.tag) is not None
            and after[element.tag].value != element.value
        }
        assert differing <= {"PhotometricInterpretation", "PlanarConfiguration"}, source
        lost = {
            element.tag
            for element in before
            if element.tag.element != 0 and element.tag not in after
        }
        assert not lost, (source, lost)
        if "PixelData" not in before or after.PhotometricInterpretation.startswith("YBR"):
            continue
        if syntax in decoders:
            target = tmp_path / "decoded.dcm"
            program, *options = decoders[syntax]
            oracles.run(program, *options, source, target)
            reference = oracles.read(target)
            if reference.PhotometricInterpretation != after.PhotometricInterpretation:
                continue
        else:
            reference = before
        ours, theirs = after.pixel_array, reference.pixel_array
        assert ours.shape == theirs.shape, source
        lossy = syntax in ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
        difference = np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max()
        assert difference <= (3 if lossy else 0), (source, difference)
        compared += 1
    assert compared >= 5


def test_file_meta_is_written_by_burnish(volume: Volume) -> None:
    _, _, _, root = volume
    for name in oracles.file_ids(root):
        file = oracles.read(root / name)
        meta = file.file_meta
        assert meta.MediaStorageSOPInstanceUID == file.SOPInstanceUID
        assert meta.MediaStorageSOPClassUID == file.SOPClassUID
        assert meta.ImplementationVersionName.startswith("BURNISH")


def test_dcmtk_and_dicom3tools_read_the_directory(volume: Volume) -> None:
    _, _, _, root = volume
    text = oracles.dcdirdmp(root / "DICOMDIR")
    for name in oracles.file_ids(root)[:5]:
        assert name.split("/")[-1] in text
    assert "DirectoryRecordSequence" in oracles.dcmdump(root / "DICOMDIR")
    for name in oracles.file_ids(root)[::10]:
        oracles.dcmdump(root / name)


def test_dciodvfy_finds_no_error_that_is_not_in_the_instances(
    volume: Volume, real_studies: material.RealStudies
) -> None:
    _, _, _, root = volume
    errors = {
        line
        for line in oracles.dciodvfy_errors(root / "DICOMDIR")
        if not any(re.search(gap, line) for gap in ORACLE_GAPS)
    }
    if errors:
        errors -= {line for path in real_studies.all for line in oracles.dciodvfy_errors(path)}
    assert not errors, "\n".join(sorted(errors))


def test_media_of_each_patient_have_the_predicted_size(
    burnish: Service, real_studies: material.RealStudies
) -> None:
    patients: dict[str, list[Path]] = {}
    for path in real_studies.patients:
        patients.setdefault(str(material.read(path).PatientID), []).append(path)
    assert len(patients) in (2, 3)
    for files in patients.values():
        uid, [image] = make_media(burnish, tuple(files), "")
        [row] = file_sets(burnish, uid)
        assert row["media_application_profile"] == "STD-GEN-CD"
        assert row["instances"] == len(files)
        assert image.stat().st_size == row["predicted_size"]


def test_a_set_split_over_volumes_is_complete(
    small_media: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    files = real_studies.patients + real_studies.tiny
    uid, images = make_media(small_media, files, "STD-GEN-CD")
    sets = file_sets(small_media, uid)
    assert len(images) == len(sets) > 1
    assert [row["volume_number"] for row in sets] == list(range(1, len(sets) + 1))
    all_instances: list[str] = []
    file_set_uids = set()
    for number, (image, row) in enumerate(zip(images, sets, strict=True)):
        assert image.stat().st_size == row["predicted_size"] <= 160_000
        root = oracles.extract(image, tmp_path / str(number))
        directory = oracles.read(root / "DICOMDIR")
        assert oracles.volume_identifier(image) == directory.FileSetID == row["file_set_id"]
        file_set_uids.add(str(directory.file_meta.MediaStorageSOPInstanceUID))
        file_set = oracles.file_set(root)
        all_instances += file_set
        assert len(file_set) == row["instances"]
        oracles.dcdirdmp(root / "DICOMDIR")
    assert len(file_set_uids) == len(sets)
    assert Counter(all_instances) == Counter(
        str(material.read(path).SOPInstanceUID) for path in files
    )


def test_the_manifest_describes_the_image(
    everything: dict[str, tuple[str, Path, Path]],
) -> None:
    for uid, image, root in everything.values():
        manifest = json.loads(image.with_suffix(".json").read_text(encoding="utf-8"))
        assert manifest["size"] == image.stat().st_size
        assert manifest["sha256"] == hashlib.sha256(image.read_bytes()).hexdigest()
        assert manifest["file_set_id"] == oracles.read(root / "DICOMDIR").FileSetID
        assert manifest["request"] == uid


def test_database_and_images_are_not_readable_by_others(
    everything: dict[str, tuple[str, Path, Path]], burnish: Service
) -> None:
    assert everything
    for path in (*burnish.root.rglob("*.db*"), *burnish.root.rglob("VOLUME*")):
        assert not path.stat().st_mode & 0o007, path.name


def _other_patient(source: Path, name: str) -> pydicom.FileDataset:
    """The instance in a new study of another person under the same Patient ID."""
    data = material.read(source)
    data.PatientName = name
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    return data


def test_two_patients_of_one_patient_id_share_no_volume(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    people = [_other_patient(real_studies.patients[0], name) for name in ("Doe^John", "Roe^Jane")]
    assert clients.send(burnish.port, people) == [0, 0]
    _, images = make_media(burnish, tuple(people), "STD-GEN-CD")  # type: ignore[arg-type]
    assert len(images) == 2
    for number, image in enumerate(images):
        root = oracles.extract(image, tmp_path / str(number))
        records = [
            record
            for record in oracles.read(root / "DICOMDIR").DirectoryRecordSequence
            if record.DirectoryRecordType == "PATIENT"
        ]
        assert len(records) == 1


def test_the_same_request_twice_makes_the_same_files(
    burnish: Service, real_studies: material.RealStudies, tmp_path: Path
) -> None:
    trees = []
    for number in range(2):
        _, [image] = make_media(burnish, real_studies.tiny, "STD-GEN-DVD-JPEG")
        tree = oracles.tree(oracles.extract(image, tmp_path / str(number)))
        trees.append({name: digest for name, digest in tree.items() if "/" in name})
    assert trees[0] == trees[1]
