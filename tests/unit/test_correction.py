"""Corrections of what instances say of their patient."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from burnish import correction
from burnish.correction import Correction
from burnish.db.instance_rows import Selection
from burnish.db.tables import Instance
from burnish.errors import InvalidValue, Unknown
from burnish.receive import Receiver
from burnish.receive.receiver import receiving_corrections
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE, ExecutionStatus
from factories import Ground, SampleInstance, encapsulated, instance, jpeg_frame

BY = "anna@pacs, Burnish"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with Ground(tmp_path) as ground:
        yield ground


def receive(ground: Ground, *samples: SampleInstance) -> None:
    receiver = Receiver(ground.database, ground.spool)
    for sample in samples:
        receiver.receive(sample.arriving(called_ae_title="BURN_US"))
    receiver.close()


def correct(ground: Ground, values: dict[str, str], **selection: Any) -> Correction:
    with receiving_corrections(ground.database, ground.spool) as keep:
        return correction.correct(
            ground.database, ground.spool, Selection(**selection), values, keep=keep, by=BY
        )


def newest(ground: Ground) -> dict[str, tuple[Instance, Dataset]]:
    with ground.database.reading() as session:
        rows = session.query(Instance).filter(Instance.is_newest()).all()
    return {row.sop_instance_uid: (row, content_of(ground, row)) for row in rows}


def content_of(ground: Ground, row: Instance) -> Dataset:
    with ground.spool.slice(row.spool_key, row.size).open() as file:
        return dcmread(file)


def two_patients() -> list[SampleInstance]:
    return [
        instance(sop_instance_uid=f"1.2.3.{number}", patient_id=patient_id, birth_date="19600101")
        for number, patient_id in enumerate(("OLD", "NEW"))
    ]


def test_the_corrected_copy_is_the_newest_content_and_says_what_was_changed(
    ground: Ground,
) -> None:
    receive(ground, *two_patients())
    values = {"PatientID": "NEW", "PatientSex": "F"}
    done = correct(ground, values, study_instance_uids=["1.2.3.1"])
    assert (done.instances, done.unchanged, done.failed) == (2, 0, {})
    assert done.changes[0].present == {"OLD": 1}
    row, data_set = newest(ground)["1.2.3.0"]
    assert row.patient_id == "NEW"
    assert row.calling_ae_title == "MODALITY"
    assert row.called_ae_title == "BURN_US"
    assert data_set.PatientID == "NEW"
    assert data_set.PatientSex == "F"
    assert data_set.PatientBirthDate == "19600101"
    [item] = data_set.OriginalAttributesSequence
    [modified] = item.ModifiedAttributesSequence
    assert modified.PatientID == "OLD"
    assert "PatientSex" not in modified
    assert item.ModifyingSystem == BY
    assert item.ReasonForTheAttributeModification == "CORRECT"
    assert item.AttributeModificationDateTime
    with ground.database.reading() as session:
        older = session.query(Instance).filter(Instance.replaced_at.is_not(None)).all()
    assert {row.patient_id for row in older} == {"OLD", "NEW"}


def test_an_instance_that_is_right_is_left_alone(ground: Ground) -> None:
    receive(ground, *two_patients())
    done = correct(ground, {"PatientID": "NEW"}, study_instance_uids=["1.2.3.1"])
    assert (done.instances, done.unchanged) == (1, 1)
    again = correct(ground, {"PatientID": "NEW"}, study_instance_uids=["1.2.3.1"])
    assert (again.instances, again.unchanged) == (0, 2)


def test_nothing_but_the_correction_changes(ground: Ground) -> None:
    before = instance(
        sop_instance_uid="1.2.3.0",
        transfer_syntax_uid=JPEG_BASELINE,
        pixels=encapsulated(jpeg_frame()),
    )
    receive(ground, before)
    _, original = newest(ground)["1.2.3.0"]
    correct(ground, {"PatientName": "Roe^Jane"}, sop_instance_uids=["1.2.3.0"])
    row, corrected = newest(ground)["1.2.3.0"]
    assert row.transfer_syntax_uid == JPEG_BASELINE
    assert corrected.PatientName == "Roe^Jane"
    del corrected.OriginalAttributesSequence, corrected.PatientName, original.PatientName
    assert [str(element) for element in corrected] == [str(element) for element in original]
    assert corrected.PixelData == original.PixelData


def test_a_second_correction_adds_to_the_history(ground: Ground) -> None:
    receive(ground, instance(sop_instance_uid="1.2.3.0", patient_id="A"))
    for patient_id in ("B", "C"):
        correct(ground, {"PatientID": patient_id}, sop_instance_uids=["1.2.3.0"])
    _, data_set = newest(ground)["1.2.3.0"]
    history = [
        item.ModifiedAttributesSequence[0].PatientID for item in data_set.OriginalAttributesSequence
    ]
    assert history == ["A", "B"]


def test_describing_changes_nothing(ground: Ground) -> None:
    receive(ground, *two_patients())
    described = correction.describe(
        ground.database, ground.spool, Selection(patient_ids=["OLD"]), {"PatientID": "NEW"}
    )
    assert described.instances == 1
    assert newest(ground)["1.2.3.0"][0].patient_id == "OLD"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientSex", "X"),
        ("PatientBirthDate", "01.02.1960"),
        ("PatientBirthDate", "19601301"),
        ("PatientID", "A\\B"),
        ("PatientName", "A\nB"),
    ],
)
def test_a_value_that_its_vr_does_not_allow_is_refused(
    ground: Ground, keyword: str, value: str
) -> None:
    receive(ground, instance())
    with pytest.raises(InvalidValue):
        correct(ground, {keyword: value}, study_instance_uids=["1.2.3.1"])


def test_what_matches_nothing_is_unknown(ground: Ground) -> None:
    with pytest.raises(Unknown):
        correct(ground, {"PatientID": "A"}, study_instance_uids=["9.9"])


def test_an_instance_that_cannot_be_corrected_is_named_and_the_others_are_corrected(
    ground: Ground,
) -> None:
    receive(ground, *two_patients())
    row, _ = newest(ground)["1.2.3.0"]
    ground.spool.erase(row.spool_key, row.size)
    done = correct(ground, {"PatientID": "X"}, study_instance_uids=["1.2.3.1"])
    assert done.instances == 1
    assert done.failed == {"1.2.3.0": "its file is not in the spool"}


def test_a_name_in_another_character_set_is_refused(ground: Ground) -> None:
    receive(ground, instance(sop_instance_uid="1.2.3.0"))
    done = correct(ground, {"PatientName": "Дое^Jane"}, sop_instance_uids=["1.2.3.0"])
    assert done.instances == 0
    assert "character set" in done.failed["1.2.3.0"]


def test_media_have_the_correction_and_no_contradiction_any_more(ground: Ground) -> None:
    samples = two_patients()
    receive(ground, *samples)
    correct(ground, {"PatientID": "NEW"}, study_instance_uids=["1.2.3.1"])
    uid = ground.admit(samples)
    ground.plan()
    request = ground.request(uid)
    assert request.execution_status is ExecutionStatus.PENDING
    assert len(request.file_sets) == 1
    assert request.file_sets[0].readme_remarks == ""
    assert newest(ground)["1.2.3.0"][0].transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
