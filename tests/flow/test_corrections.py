"""Instances that contradict each other, are corrected, or are damaged: what media hold then.

Each disc is made by a running service, and read by 7-Zip and DCMTK.
"""

import json
from pathlib import Path

import pytest

import oracles
from burnish.vocabulary import JPEG_BASELINE
from factories import SampleInstance, encapsulated, instance, jpeg_frame, undecodable_frame
from flow.conftest import StartBurnish
from flow.service import Service
from raw_dicom import Raw
from waiting import wait_until

STUDY = "2.25.1503"
GOOD_FRAME = jpeg_frame()
DAMAGED_FRAME = undecodable_frame(JPEG_BASELINE)


@pytest.fixture(scope="module")
def burnish(start_shared: StartBurnish) -> Service:
    """A service that makes media again for those who call it AGAIN."""
    return start_shared(
        standing_order=[
            {
                "name": "again",
                "called_ae_titles": ["AGAIN"],
                "corrected": "make_again",
                "quiet_period": "0s",
                "scope": "study",
                "profile": "STD-GEN-CD",
            }
        ]
    )


@pytest.fixture
def damaged_study() -> list[SampleInstance]:
    """A study of a good image and of one that cannot be decoded."""
    return [compressed(STUDY, GOOD_FRAME, 1), compressed(STUDY, DAMAGED_FRAME, 2)]


def send(service: Service, *samples: SampleInstance, called: str = "BURNISH") -> None:
    contexts = [(samples[0].sop_class_uid, [samples[0].transfer_syntax_uid])]
    with Raw(service.port, contexts, called=called.encode().ljust(16)) as raw:
        for sample in samples:
            status, comment = raw.store(
                sample.sop_class_uid, sample.sop_instance_uid, sample.data_set
            )
            assert status == 0, comment
        raw.release()
    oracles.wait_for_rows(service)


def images_of(service: Service, number: int) -> list[Path]:
    """The images of a request, once it is DONE."""
    request = f"R{number:06d}"
    assert service.run("request", "watch", request).returncode == 0, service.tail()
    return sorted((service.outbox / request).glob("*.iso"))


def made_by_order(service: Service, study: str, count: int = 1) -> list[int]:
    """The numbers of the requests for a study, once standing orders have made so many."""
    query = (
        "SELECT DISTINCT r.id FROM media_creation_request r"
        " JOIN referenced_instance i ON i.request_id = r.id"
        " JOIN instance s ON s.sop_instance_uid = i.referenced_sop_instance_uid"
        " WHERE s.study_instance_uid = ? AND r.execution_status = 'DONE' ORDER BY r.id"
    )
    wait_until(
        lambda: len(oracles.rows(service, query, study)) == count, what=f"{count} requests DONE"
    )
    return [row["id"] for row in oracles.rows(service, query, study)]


def events_of(service: Service, number: int) -> list[str]:
    shown = service.cli("request", "show", f"R{number:06d}")
    return [event["event"] for event in shown["events"]]


def requested(service: Service, study: str) -> int:
    created = service.cli("request", "create", "--study", study, "--several-patients", "--initiate")
    return int(created["short_id"].removeprefix("R"))


def files_on(image: Path, folder: Path) -> list[Path]:
    """The DICOM files of an image, as 7-Zip reads them."""
    root = oracles.extract(image, folder)
    return sorted(path for path in (root / "DICOM").rglob("*") if path.is_file())


def text_on(image: Path, folder: Path) -> str:
    """README.TXT of an image, on one line."""
    root = oracles.extract(image, folder)
    return " ".join((root / "README.TXT").read_text("utf-8").split())


def compressed(study: str, frame: bytes, number: int) -> SampleInstance:
    return instance(
        study=study,
        series=f"{study}.1",
        instance_number=number,
        transfer_syntax_uid=JPEG_BASELINE,
        pixels=encapsulated(frame),
    )


def test_a_study_of_two_patient_ids_is_on_one_medium_once_it_is_corrected(
    burnish: Service, tmp_path: Path
) -> None:
    study = "2.25.1501"
    samples = [
        instance(study=study, series=f"{study}.1", instance_number=number, patient_id=patient_id)
        for number, patient_id in enumerate(("OLD1", "NEW1"), 1)
    ]
    send(burnish, *samples)
    before = images_of(burnish, requested(burnish, study))
    assert len(before) == 2, "one medium cannot hold them together"
    for number, image in enumerate(before):
        assert "belongs to 2 Patient IDs" in text_on(image, tmp_path / f"before{number}")

    corrected = burnish.run(
        "instance", "correct", "--study", study, "--patient-id", "NEW1", "--yes"
    )
    assert corrected.returncode == 0, corrected.stderr
    assert "OLD1 -> NEW1, 1 instance" in corrected.stdout
    assert "1 instance right already" in corrected.stdout

    [image] = images_of(burnish, requested(burnish, study))
    assert "PLEASE NOTE" not in text_on(image, tmp_path / "text")
    dumps = [oracles.dcmdump(path) for path in files_on(image, tmp_path / "after")]
    assert len(dumps) == 2
    for dump in dumps:
        assert "(0010,0020) LO [NEW1]" in dump
    [history] = [dump for dump in dumps if "(0400,0561)" in dump]
    assert "LO [OLD1]" in history, "the Original Attributes Sequence has the value of before"
    assert "CS [CORRECT]" in history
    directory = oracles.dcmdump(tmp_path / "after" / "DICOMDIR")
    assert "NEW1" in directory
    assert "OLD1" not in directory
    shown = burnish.cli("instance", "show", samples[0].sop_instance_uid)
    assert [content["changed"] for content in shown["instance"]["replaces"]] == ["Patient ID"]


def test_a_standing_order_makes_media_of_corrected_instances_again(
    burnish: Service, tmp_path: Path
) -> None:
    study = "2.25.1502"
    older = instance(study=study, series=f"{study}.1", patient_name="Wrong^Name")
    send(burnish, older, called="AGAIN")
    [first] = made_by_order(burnish, study)
    newer = instance(
        study=study,
        series=f"{study}.1",
        sop_instance_uid=older.sop_instance_uid,
        patient_name="Right^Name",
    )
    send(burnish, newer)
    numbers = made_by_order(burnish, study, count=2)
    assert numbers[0] == first
    for number, name in zip(numbers, ("Wrong^Name", "Right^Name"), strict=True):
        [image] = images_of(burnish, number)
        [path] = files_on(image, tmp_path / name)
        assert f"(0010,0010) PN [{name}]" in oracles.dcmdump(path)
        assert f"PN [{name}]" in oracles.dcmdump(tmp_path / name / "DICOMDIR")
    wait_until(lambda: "REPLACED" in events_of(burnish, first), what="the first request is told")


def test_damaged_images_are_kept_and_told_if_the_site_says_so(
    start_burnish: StartBurnish, damaged_study: list[SampleInstance], tmp_path: Path
) -> None:
    burnish = start_burnish(request={"damaged_images": "keep"})
    send(burnish, *damaged_study)
    [image] = images_of(burnish, requested(burnish, STUDY))
    decoded = []
    for path in files_on(image, tmp_path / "files"):
        output = oracles.run("dcmdjpeg", path, tmp_path / "decoded", ok=range(256))
        decoded.append("F: " not in output)
    assert sorted(decoded) == [False, True]
    uid = damaged_study[1].sop_instance_uid
    assert "damaged" in text_on(image, tmp_path / "text")
    [kept] = json.loads(image.with_suffix(".json").read_bytes())["damaged"].values()
    assert kept == "it cannot be decoded"
    shown = burnish.run("request", "show", "R000001").stdout
    assert uid in shown
    verified = burnish.run("disc", "verify", str(image), "--pixels")
    assert verified.returncode == 0, verified.stdout
    assert "damaged" in verified.stdout


def test_damaged_images_are_left_out_and_told_if_the_site_says_so(
    start_burnish: StartBurnish, damaged_study: list[SampleInstance], tmp_path: Path
) -> None:
    burnish = start_burnish(request={"damaged_images": "leave_out"})
    send(burnish, *damaged_study)
    [image] = images_of(burnish, requested(burnish, STUDY))
    [path] = files_on(image, tmp_path / "files")
    assert damaged_study[0].sop_instance_uid in oracles.dcmdump(path)
    oracles.run("dcmdjpeg", path, tmp_path / "decoded")
    assert "damaged and NOT on the media" in text_on(image, tmp_path / "text")
    shown = burnish.cli("request", "show", "R000001")
    [left_out] = [event for event in shown["events"] if event["event"] == "LEFT OUT"]
    assert damaged_study[1].sop_instance_uid in left_out["why"]
    assert [failure["referenced_sop_instance_uid"] for failure in shown["failures"]] == [
        damaged_study[1].sop_instance_uid
    ]


def test_a_request_with_a_damaged_image_fails_otherwise_and_names_it(
    burnish: Service, damaged_study: list[SampleInstance]
) -> None:
    send(burnish, *damaged_study)
    request = f"R{requested(burnish, STUDY):06d}"
    assert burnish.run("request", "watch", request).returncode != 0
    shown = burnish.cli("request", "show", request)
    assert shown["execution_status"] == "FAILURE"
    assert [failure["referenced_sop_instance_uid"] for failure in shown["failures"]] == [
        damaged_study[1].sop_instance_uid
    ]
    assert not (burnish.outbox / request).exists()
