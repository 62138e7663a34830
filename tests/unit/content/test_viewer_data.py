"""DATA.JS: the order of images, values that a series shares, references, and what is left out."""

import json
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

import viewer_material as material
from burnish.content import viewer_data, viewer_objects
from burnish.content.viewer_data import (
    InstanceRecorder,
    PackedPixels,
    ViewedInstance,
    ViewedPatient,
    ViewedSeries,
    ViewedStudy,
    ViewedVolume,
)


def record(data_set: Dataset, pixels: PackedPixels = PackedPixels.NONE) -> dict[str, Any]:
    recorder = InstanceRecorder(data_set, pixels)
    if recorder.has_pictures:
        recorder.frame_line(data_set.pixel_array)
    list(recorder.extra_lines())
    return recorder.to_json()


def built(*series: ViewedSeries) -> dict[str, Any]:
    volume = ViewedVolume((ViewedPatient((ViewedStudy(series),), "Doe^Jane", "P1"),))
    script = viewer_data.build_data(volume)
    assert script.isascii()
    value = json.loads(script[len(b"BURNISH_DISC(") : -len(b");\n")])
    assert isinstance(value, dict)
    return value


def series_of(value: dict[str, Any], number: int = 0) -> dict[str, Any]:
    series = value["patients"][0]["studies"][0]["series"][number]
    assert isinstance(series, dict)
    return series


def described(**values: Any) -> dict[str, Any]:
    return {"description": values}


def slices(*places: float, group: str = "") -> list[dict[str, Any]]:
    return [
        described(
            number=number, position=[0, 0, place], orientation=[1, 0, 0, 0, 1, 0], group=group
        )
        for number, place in enumerate(places, 1)
    ]


def test_slices_are_in_the_order_of_their_places() -> None:
    assert viewer_data.display_order(slices(0, 10, 5, 15)) == [0, 2, 1, 3]


def test_the_order_runs_in_the_direction_of_the_instance_numbers() -> None:
    assert viewer_data.display_order(slices(15, 5, 10, 0)) == [0, 2, 1, 3]


def test_stacks_of_one_series_follow_one_another() -> None:
    first, second = slices(0, 10, group="1"), slices(0, 10, group="2")
    mixed = [first[0], second[0], first[1], second[1]]
    assert viewer_data.display_order(mixed) == [0, 2, 1, 3]


def test_slices_at_the_same_place_are_in_the_order_of_their_numbers() -> None:
    assert viewer_data.display_order(slices(5, 0, 5)) == [0, 1, 2]


def test_images_without_a_place_are_in_the_order_of_their_numbers() -> None:
    records = [described(number=number) for number in (3, 1, 2)]
    assert viewer_data.display_order(records) == [1, 2, 0]


def test_values_that_all_instances_have_are_written_once() -> None:
    instances = tuple(ViewedInstance(record(item)) for item in material.ct_volume()[:3])
    series = series_of(built(ViewedSeries(1, instances)))
    assert series["common"]["columns"] == 96
    assert series["common"]["unit"] == "HU"
    assert series["instances"][1]["position"] == [-48, -48, 1]
    assert "columns" not in series["instances"][1]


def test_uids_are_not_written() -> None:
    volume = material.ct_volume()[:2]
    instances = tuple(
        ViewedInstance(record(item)) for item in (*volume, material.key_objects(volume[0]))
    )
    text = json.dumps(built(ViewedSeries(1, instances)))
    assert material.FRAME not in text
    assert all(item.SOPInstanceUID not in text for item in volume)


def test_references_lead_to_instances_of_the_volume_in_their_order() -> None:
    volume = material.ct_volume()[:2]
    images = tuple(ViewedInstance(record(item)) for item in volume)
    keys = ViewedInstance(record(material.key_objects(volume[1], volume[0])))
    value = series_of(built(ViewedSeries(1, images), ViewedSeries(2, (keys,))), 1)["instances"][0]
    assert value["references"] == [[0, 1], [0, 0], 0]
    assert value["missing"] == 1


def test_blocks_are_numbered_through_a_series() -> None:
    volume = material.ct_volume()[:3]
    records = [record(item, PackedPixels.LOSSLESS) for item in volume]
    instances = tuple(ViewedInstance(item) for item in records)
    series = series_of(built(ViewedSeries(1, instances, pack_contents=(3,))))
    assert [item["block"] for item in series["instances"]] == [0, 1, 2]
    assert series["common"]["pixels"] == 1
    assert series["packs"] == [3]


def test_pictures_of_the_folder_are_numbers() -> None:
    paths = ("IHE_PDI/S0000001/I0000012.JPG", "", "IHE_PDI/OTHER.JPG")
    instance = ViewedInstance(described(kind="image"), paths)
    series = series_of(built(ViewedSeries(1, (instance,))))
    assert series["instances"][0]["pictures"] == [12, 0, "IHE_PDI/OTHER.JPG"]


@pytest.mark.parametrize(
    ("spacing", "kind"),
    [
        ({"PixelSpacing": [0.5, 0.5]}, "patient"),
        ({"ImagerPixelSpacing": [0.2, 0.2]}, "detector"),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2]}, "detector"),
        ({"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2]}, "patient"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, "nominal"),
        ({}, None),
    ],
)
def test_where_a_spacing_holds_is_known(spacing: dict[str, Any], kind: str | None) -> None:
    data_set = material.image(material.CR, "CR", "Hand", material.noise(8, 8), **spacing)
    assert record(data_set)["description"].get("spacing_kind") == kind


def test_colours_have_no_block_where_values_are_nearly_lossless() -> None:
    pixels = material.noise(8, 8, 3, high=256, dtype=np.uint8)
    colours = material.image(material.US, "US", "Colours", pixels)
    recorder = InstanceRecorder(colours, PackedPixels.NEAR)
    assert recorder.frame_line(pixels) == b""
    assert "frames" not in recorder.to_json()


def test_damaged_values_are_left_out() -> None:
    data_set = material.image(material.CT, "CT", "Odd", material.noise(8, 8))
    data_set.PixelSpacing = [0, 0]
    data_set.ImageOrientationPatient = [1, 0, 0, 1, 0, 0]
    data_set.WindowCenter, data_set.WindowWidth = "5", "0"
    description = record(data_set)["description"]
    assert not {"spacing", "orientation", "windows"} & set(description)
    assert description["default_window"]


def test_structures_have_the_outlines_of_their_numbers() -> None:
    data_set = material.structure_set(5.0)
    (structure,), (outlines,) = data_set.StructureSetROISequence, data_set.ROIContourSequence
    structure.ROINumber = outlines.ReferencedROINumber = 7
    other = Dataset()
    other.ROINumber, other.ROIName = 1, "Without outlines"
    data_set.StructureSetROISequence = [other, structure]
    extras: list[Any] = []
    viewer_objects.structure_set(data_set, extras)
    (structures,) = extras
    square = [-28, -28, 5, 12, -28, 5, 12, 12, 5, -28, 12, 5]
    assert [(each["name"], each["contours"]) for each in structures] == [
        ("Without outlines", []),
        ("Target", [[1, square]]),
    ]
    assert structures[1]["colour"] == "#ff0000"


@pytest.mark.parametrize(("rotation", "flip"), [(0, "N"), (0, "Y"), (90, "N"), (270, "Y")])
def test_a_presentation_state_turns_and_flips_its_images(rotation: int, flip: str) -> None:
    data_set = material.presentation_state(material.ct_volume()[0])
    data_set.ImageRotation, data_set.ImageHorizontalFlip = rotation, flip
    extras: list[Any] = []
    viewer_objects.presentation_state(data_set, extras)
    (state,) = extras
    assert (state.get("rotation", 0), state.get("flip", 0)) == (rotation, int(flip == "Y"))


def test_points_of_a_shutter_have_their_column_first() -> None:
    """DICOM has the row first (PS3.3 C.7.6.11)."""
    data_set = material.presentation_state(material.ct_volume()[0])
    data_set.ShutterShape = ["CIRCULAR", "POLYGONAL"]
    data_set.CenterOfCircularShutter, data_set.RadiusOfCircularShutter = [10, 20], 5
    data_set.VerticesOfThePolygonalShutter = [1, 2, 3, 4, 5, 6]
    extras: list[Any] = []
    viewer_objects.presentation_state(data_set, extras)
    (state,) = extras
    assert state["shutter"] == {"circle": [20, 10, 5], "polygon": [2, 1, 4, 3, 6, 5]}


def uptake(**values: Any) -> float | None:
    """The factor for the SUV of a PET image of 75 kg and 200 MBq, injected an hour before."""
    from pydicom.sequence import Sequence

    drug = Dataset()
    drug.RadiopharmaceuticalStartTime = "100000.00"
    drug.RadionuclideTotalDose = "200000000"
    drug.RadionuclideHalfLife = "6588"
    attributes = {
        "Units": "BQML",
        "CorrectedImage": ["ATTN", "DECY"],
        "DecayCorrection": "START",
        "PatientWeight": "75",
        "SeriesDate": "20240131",
        "SeriesTime": "110000.00",
        "AcquisitionDate": "20240131",
        "AcquisitionTime": "110500.00",
        "RadiopharmaceuticalInformationSequence": Sequence([drug]),
        **values,
    }
    pixels = material.noise(8, 8)
    image = material.image(material.PET, "PT", "PET", pixels, **attributes)
    factor = record(image)["description"].get("suv")
    assert factor is None or isinstance(factor, float)
    return factor


def test_the_uptake_of_pet_is_known_where_the_image_says_all_of_it() -> None:
    decayed = 200e6 * 0.5 ** (3600 / 6588)
    assert uptake() == pytest.approx(75_000 / decayed, rel=1e-5)
    assert uptake(DecayCorrection="ADMIN") == pytest.approx(75_000 / 200e6, rel=1e-5)
    assert uptake(Units="GML") == 1


@pytest.mark.parametrize(
    "values",
    [
        {"Units": "CNTS"},
        {"CorrectedImage": ["ATTN"]},
        {"DecayCorrection": "NONE"},
        {"PatientWeight": None},
        {"SeriesTime": "090000"},
        {"AcquisitionTime": "105900"},
    ],
)
def test_an_uptake_is_never_guessed(values: dict[str, Any]) -> None:
    assert uptake(**values) is None
