"""Volumes built of files without a service: which file of an instance goes on them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import material
from burnish import file_meta
from burnish.application_profiles import PROFILES
from burnish.dicom_elements import encode
from burnish.errors import Conflict
from burnish.image.reader import open_volume
from burnish.media import MEDIA
from burnish.offline.disc_build import BuildOptions, build
from burnish.vocabulary import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000_LOSSLESS,
    JPEG_LOSSLESS_SV1,
)
from factories import encapsulated, instance, undecodable_frame
from images import smooth, written

OPTIONS = BuildOptions(
    PROFILES["STD-GEN-DVD-JPEG"], MEDIA["DVD"], None, "BUILD", split=True, lossless=True
)
SMOOTH = smooth((1, 64, 64, 1), 8, signed=False, seed=1)
NOISE = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 1)).astype(np.uint8)


@pytest.mark.parametrize(
    ("cells", "transfer_syntax_uid"),
    [(SMOOTH, JPEG_LOSSLESS_SV1), (NOISE, EXPLICIT_VR_LITTLE_ENDIAN)],
    ids=["smooth", "noise"],
)
def test_an_image_is_compressed_where_that_makes_it_smaller(
    tmp_path: Path, cells: np.ndarray, transfer_syntax_uid: str
) -> None:
    source = written(tmp_path / "source", cells, 8)
    result = build([source], tmp_path / "output", OPTIONS, lambda *_: None)
    assert result.skipped == []
    assert result.refused == []
    (built,) = result.built
    assert built.report.faults == ()
    with open_volume(built.image) as volume:
        (name,) = [name for name in volume.files() if name.startswith("DICOM\\")]
        assert transfer_syntax_uid.encode() in volume.read(name, 0, 512)


def test_files_that_contradict_each_other_are_on_separate_volumes(tmp_path: Path) -> None:
    paths = []
    for number, patient_id in enumerate(("OLD", "NEW")):
        sample = instance(patient_id=patient_id, instance_number=number)
        meta = file_meta.encode(
            sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
        )
        paths.append(tmp_path / patient_id)
        paths[-1].write_bytes(meta + sample.data_set)
    result = build(paths, tmp_path / "output", OPTIONS, lambda *_: None)
    assert [built.report.faults for built in result.built] == [(), ()]
    (contradiction,) = result.contradictions
    assert "belongs to 2 Patient IDs" in contradiction
    for built in result.built:
        with open_volume(built.image) as volume:
            assert b"belongs to 2" in volume.read("README.TXT")
    with pytest.raises(Conflict, match="belongs to 2 Patient IDs"):
        build(paths, tmp_path / "one", replace(OPTIONS, split=False), lambda *_: None)


def test_an_instance_that_is_given_twice_is_put_on_the_volume_once(tmp_path: Path) -> None:
    first = written(tmp_path / "first", NOISE, 8)
    second = tmp_path / "second"
    second.write_bytes(first.read_bytes())
    changed = tmp_path / "third"
    changed.write_bytes(first.read_bytes()[:-1] + bytes([first.read_bytes()[-1] ^ 1]))
    result = build([first, second, changed], tmp_path / "output", OPTIONS, lambda *_: None)
    assert [(left.path, left.why) for left in result.skipped] == [
        (second, f"the same instance as {first}")
    ]
    assert [left.path for left in result.refused] == [first, changed]
    assert f"that of {changed}, which has other content" in result.refused[0].why
    assert f"that of {first}, which has other content" in result.refused[1].why
    assert result.built == []


def test_an_instance_that_is_given_in_two_encodings_is_put_on_the_volume_once(
    tmp_path: Path,
) -> None:
    first = written(tmp_path / "first", NOISE, 8)
    second = tmp_path / "second"
    data_set = material.read(first)
    data_set.file_meta.TransferSyntaxUID = IMPLICIT_VR_LITTLE_ENDIAN
    data_set.save_as(second, implicit_vr=True, little_endian=True)
    assert first.read_bytes() != second.read_bytes()
    result = build([first, second], tmp_path / "output", OPTIONS, lambda *_: None)
    assert [left.path for left in result.skipped] == [second]
    assert result.refused == []
    assert [built.report.instances for built in result.built] == [1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is an empty file"),
        (bytes(512), "it is 512 bytes with no more than zeros"),
        (bytes(128) + b"DICM", "the file has no data set"),
    ],
)
def test_a_file_without_content_is_named_as_such(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    result = build([path], tmp_path / "output", OPTIONS, lambda *_: None)
    assert [left.why for left in result.refused] == [reason]


def test_missing_keys_for_which_the_dicomdir_has_other_values_are_told(tmp_path: Path) -> None:
    sample = instance(study_date="", patient_id="")
    meta = file_meta.encode(
        sample.sop_class_uid, sample.sop_instance_uid, sample.transfer_syntax_uid
    )
    path = tmp_path / "file"
    path.write_bytes(meta + sample.data_set)
    result = build([path], tmp_path / "output", OPTIONS, lambda *_: None)
    assert "Study Date (0008,0020)" in result.stand_ins
    assert "Patient ID (0010,0020)" in result.stand_ins


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("study", "", "Study Instance UID (0020,000D) is missing or empty"),
        ("series", "", "Series Instance UID (0020,000E) is missing or empty"),
        ("series", "1.2.x", "Series Instance UID (0020,000E) is not a UID"),
        ("sop_instance_uid", "1..2", "SOP Instance UID (0008,0018) is not a UID"),
    ],
)
def test_the_uid_that_is_missing_or_wrong_is_named(
    tmp_path: Path, keyword: str, value: str, reason: str
) -> None:
    sample = instance(**{keyword: value})  # type: ignore[arg-type]
    meta = file_meta.encode(sample.sop_class_uid, "1.2.3", sample.transfer_syntax_uid)
    path = tmp_path / "file"
    path.write_bytes(meta + sample.data_set)
    result = build([path], tmp_path / "output", OPTIONS, lambda *_: None)
    assert [left.why for left in result.refused] == [reason]


@pytest.mark.parametrize(
    ("profile", "medium"),
    [
        ("STD-GEN-CD", "CD"),
        ("STD-GEN-DVD-JPEG", "DVD"),
        ("STD-GEN-BD", "BD"),
        ("STD-GEN-USB-JPEG", "USB"),
        ("STD-GEN-MIME", "MIME"),
    ],
)
def test_the_instances_of_the_image_of_a_volume_are_put_on_media(
    tmp_path: Path, profile: str, medium: str
) -> None:
    options = BuildOptions(PROFILES[profile], MEDIA[medium], None, "BUILD", split=True)
    source = written(tmp_path / "source", NOISE, 8)
    (built,) = build([source], tmp_path / "output", options, lambda *_: None).built
    result = build([built.image], tmp_path / "again", options, lambda *_: None)
    assert result.refused == []
    (again,) = result.built
    assert again.report.faults == ()
    assert again.report.instances == built.report.instances


def test_a_damaged_image_is_left_out_and_a_repaired_one_is_told(tmp_path: Path) -> None:
    samples = {
        "good": instance(),
        "padded": instance(instance_number=2),
        "short": instance(instance_number=3, pixels=encode(0x7FE00010, b"OW", bytes(50))),
        "empty": instance(instance_number=4, pixels=encode(0xFFFCFFFC, b"OB", bytes(2))),
    }
    sources = []
    for name, content in samples.items():
        tail = bytes(2048) if name == "padded" else b""
        meta = file_meta.encode(
            content.sop_class_uid, content.sop_instance_uid, content.transfer_syntax_uid
        )
        path = tmp_path / name
        path.write_bytes(meta + content.data_set + tail)
        sources.append(path)
    result = build(sources, tmp_path / "output", OPTIONS, lambda *_: None)
    (built,) = result.built
    assert built.report.faults == ()
    assert [(left.path.name, left.why) for left in result.refused] == [
        ("short", "its Pixel Data (7FE0,0010) has 50 bytes, where 64 are required")
    ]
    assert {left.path.name: left.why for left in result.doubtful} == {
        "padded": "2048 zero bytes behind the data set removed",
        "empty": "it has no Pixel Data (7FE0,0010)",
    }


def test_a_damaged_image_goes_on_the_volume_if_that_is_asked_for(tmp_path: Path) -> None:
    short = instance(pixels=encode(0x7FE00010, b"OW", bytes(50)))
    meta = file_meta.encode(short.sop_class_uid, short.sop_instance_uid, short.transfer_syntax_uid)
    source = tmp_path / "short"
    source.write_bytes(meta + short.data_set)
    options = replace(OPTIONS, keep_damaged=True)
    result = build([source], tmp_path / "output", options, lambda *_: None)
    assert result.refused == []
    (told,) = result.doubtful
    assert told.path == source
    assert "has 50 bytes" in told.why
    (built,) = result.built
    with open_volume(built.image) as volume:
        assert short.sop_instance_uid.encode() in volume.read("README.TXT")


def test_a_damaged_image_that_the_profile_does_not_permit_as_it_is_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    frame = encapsulated(undecodable_frame(JPEG_2000_LOSSLESS))
    broken = instance(transfer_syntax_uid=JPEG_2000_LOSSLESS, pixels=frame)
    meta = file_meta.encode(
        broken.sop_class_uid, broken.sop_instance_uid, broken.transfer_syntax_uid
    )
    source = tmp_path / "broken"
    source.write_bytes(meta + broken.data_set)
    options = replace(OPTIONS, keep_damaged=True)
    result = build([source], tmp_path / "output", options, lambda *_: None)
    assert result.built == []
    [told] = result.refused
    assert told.path == source
    assert told.why.endswith(
        "; it cannot be kept as it is, for STD-GEN-DVD-JPEG does not permit its Transfer Syntax"
        f" {JPEG_2000_LOSSLESS}"
    )
    permitted = replace(options, profile=PROFILES["STD-GEN-DVD-J2K"])
    kept = build([source], tmp_path / "other", permitted, lambda *_: None)
    assert kept.refused == []
    assert len(kept.built) == 1
