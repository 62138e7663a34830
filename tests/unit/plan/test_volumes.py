"""A volume laid out: its File IDs, and its size under any File-set ID and UID."""

from hypothesis import given
from hypothesis import strategies as st

from burnish.media import FileSystem
from burnish.plan import packing
from burnish.plan.candidates import Candidate
from burnish.plan.grouping import group_into_series
from burnish.plan.volumes import fixed_part, lay_out_volume
from factories import candidate, header
from trees import few, instances

CD = FileSystem.ISO_9660_LEVEL_1


def test_file_ids_number_patients_studies_series_and_instances() -> None:
    candidates = [
        candidate(
            n,
            header(
                patient_id=f"P{n // 4}", study=f"1.2.{n // 2}", series=f"1.3.{n}", uid=f"1.4.{n}"
            ),
            10,
        )
        for n in range(6)
    ]
    candidates.append(candidate(6, header(record_type="HANGING PROTOCOL", uid="1.5"), 10))
    volume = lay_out_volume(group_into_series(candidates), CD)
    assert [file.file_id for file in volume.files] == [
        r"DICOM\PA000001\ST000001\SE000001\IM000001",
        r"DICOM\PA000001\ST000001\SE000002\IM000001",
        r"DICOM\PA000001\ST000002\SE000001\IM000001",
        r"DICOM\PA000001\ST000002\SE000002\IM000001",
        r"DICOM\PA000002\ST000001\SE000001\IM000001",
        r"DICOM\PA000002\ST000001\SE000002\IM000001",
        r"DICOM\RO000001",
    ]


@few
@given(
    instances(minimum=1, agreeing=True, maximum=8),
    st.text("ABCXYZ019_", max_size=16),
    st.integers(0, 10**60),
)
def test_no_file_set_id_or_uid_makes_a_volume_larger_than_its_largest_size(
    candidates: list[Candidate], file_set_id: str, number: int
) -> None:
    for group_ in packing.pack_series(group_into_series(candidates), fixed_part(10**9, CD)):
        volume = lay_out_volume(group_, CD)
        assert volume.size(file_set_id, f"2.25.{number}"[:64]) <= volume.largest_size()


def test_the_largest_size_is_that_with_the_longest_file_set_id_and_uid() -> None:
    """Of volumes with 1 to 60 instances, the names take one sector more of the DICOMDIR of some."""
    candidates = [
        candidate(n, header(uid=f"1.4.{n}", instance_number=n), 1000) for n in range(1, 61)
    ]
    grown = 0
    for count in range(1, 61):
        volume = lay_out_volume(group_into_series(candidates[:count]), CD)
        assert volume.largest_size() == volume.size("A" * 16, "1." + "2" * 62)
        grown += volume.largest_size() > volume.size("A", "1.2")
    assert grown > 0


@few
@given(instances(minimum=1))
def test_every_instance_has_a_file_id_of_its_own(candidates: list[Candidate]) -> None:
    volume = lay_out_volume(group_into_series(candidates), CD)
    assert len({file.file_id for file in volume.files}) == len(candidates)
    assert {file.candidate.instance_id for file in volume.files} == {
        item.instance_id for item in candidates
    }
