"""The outline of a volume: whose pictures and documents stand under which name."""

import pytest

from burnish.content.content_terms import ContentTerms, Site
from burnish.content.model import ContentKind, InstanceDescription, Rendition
from burnish.content.outline import (
    ChosenPictures,
    VolumeEntry,
    outline_volume,
    without_identity,
)
from burnish.content.pages.front import VolumeInSet, front_page
from burnish.vocabulary import IncludeNonDICOMObjects

NOTHING_CHOSEN = ChosenPictures(frozenset(), frozenset())


def entry(file_id: str, patient_name: str = "", study: str = "", series: str = "") -> VolumeEntry:
    instance = InstanceDescription(
        ContentKind.OTHER,
        sop_instance_uid=file_id,
        patient_name=patient_name,
        study_description=study,
        series_description=series,
    )
    return VolumeEntry(file_id, Rendition(file_id, instance))


def test_each_patient_has_their_own_studies_and_series() -> None:
    outline = outline_volume(
        [
            entry("DICOM\\PA000001\\ST000001\\SE000001\\IM000001", "Doe^Jane", "head", "1"),
            entry("DICOM\\PA000001\\ST000001\\SE000002\\IM000001", "Doe^Jane", "head", "2"),
            entry("DICOM\\PA000001\\ST000002\\SE000001\\IM000001", "Doe^Jane", "knee", "3"),
            entry("DICOM\\PA000002\\ST000001\\SE000001\\IM000001", "Roe^Richard", "foot", "4"),
            entry("DICOM\\RO000001"),
        ],
        NOTHING_CHOSEN,
    )
    shown = [
        (
            patient.first.patient_name,
            study.first.study_description,
            [series.first.series_description for series in study.series],
        )
        for patient, study in outline.studies()
    ]
    assert shown == [
        ("Doe^Jane", "head", ["1", "2"]),
        ("Doe^Jane", "knee", ["3"]),
        ("Roe^Richard", "foot", ["4"]),
    ]
    assert [rendition.key for rendition in outline.in_root] == ["DICOM\\RO000001"]
    assert len({series.folder for series in outline.series()}) == 4


def test_nothing_of_a_rendition_for_teaching_has_the_name_of_the_patient() -> None:
    instance = InstanceDescription(
        ContentKind.IMAGE, patient_name="Doe^Jane", patient_id="P1", may_show=True
    )
    rendition = Rendition(
        "key", instance, viewer={"patient": "Doe^Jane"}, viewer_blobs=(b"Doe^Jane",)
    )
    anonymous = without_identity(rendition)
    assert "Doe" in str(rendition)
    assert "Doe" not in str(anonymous)
    assert "P1" not in str(anonymous)


@pytest.mark.parametrize("audience", list(IncludeNonDICOMObjects))
def test_the_first_page_for_teaching_does_not_say_where_the_images_are_from(
    audience: IncludeNonDICOMObjects,
) -> None:
    site = Site("St. Elsewhere", "telephone 77", "For research only", logo=b"a picture")
    terms = ContentTerms(audience, site=site)
    volume = VolumeInSet(1, outline_volume([], NOTHING_CHOSEN))
    page = front_page(volume, [], terms).decode()
    assert ("St. Elsewhere" in page) == (not terms.teaching)
    assert ("telephone 77" in page) == (not terms.teaching)
    assert ("LOGO.JPG" in page) == (not terms.teaching)
    assert "For research only" in page
