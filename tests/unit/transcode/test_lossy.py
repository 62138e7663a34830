"""Images compressed with loss: other SOP Instances, that say so, as other programs see them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import pixel_array

import material
from burnish.application_profiles.limits import unpack
from burnish.file_slice import Slice
from burnish.identifiers import is_uid
from burnish.instance_header.header import index_file
from burnish.transcode import lossy
from burnish.transcode.lossless import NotCompressible
from burnish.transcode.transfer_syntaxes import media_syntaxes
from burnish.vocabulary import JPEG_2000, JPEG_BASELINE, JPEG_EXTENDED
from digesting import digest_of
from images import smooth, written

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")
JPEG = frozenset({JPEG_BASELINE, JPEG_EXTENDED})
J2K = frozenset({JPEG_2000})
CASES = [
    ("examples_rgb_color.dcm", JPEG, JPEG_BASELINE, "YBR_FULL_422", "dcmdjpeg"),
    ("examples_overlay.dcm", JPEG, JPEG_EXTENDED, "MONOCHROME2", "dcmdjpeg"),
    ("examples_rgb_color.dcm", J2K, JPEG_2000, "YBR_ICT", "gdcmconv"),
    ("examples_overlay.dcm", J2K, JPEG_2000, "MONOCHROME2", "gdcmconv"),
]


def errors(path: Path) -> set[str]:
    report = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
    return {line for line in report.splitlines() if "Error" in line}


def decoded(tool: str, path: Path) -> np.ndarray:
    theirs = path.with_name("theirs")
    command = [tool, *(["-w"] if tool == "gdcmconv" else []), path, theirs]
    subprocess.run(command, check=True, capture_output=True)
    return np.asarray(pixel_array(material.read(theirs)))


@pytest.mark.parametrize(("name", "permitted", "syntax", "photometric", "tool"), CASES)
def test_a_real_image_becomes_a_derived_instance(
    real_studies: material.RealStudies,
    tmp_path: Path,
    name: str,
    permitted: frozenset[str],
    syntax: str,
    photometric: str,
    tool: str,
) -> None:
    path, target = real_studies.file(name), tmp_path / "t"
    indexed = index_file(path)
    values = unpack(indexed.header.limited_attributes)
    syntaxes = media_syntaxes(indexed.transfer_syntax_uid, permitted, values, is_image=True)
    assert syntaxes.lossy == syntax
    done = lossy.compress(Slice.of_file(path), target, syntax, source_ae_title="BURNISH")
    source, result = material.read(path), material.read(target)
    assert done.digest == digest_of(target.read_bytes()[done.data_set_offset :])
    assert done.size == target.stat().st_size < path.stat().st_size / 4
    says_whose_it_is(source, result, syntax)
    assert result.PhotometricInterpretation == photometric
    assert done.derived_record_keys == index_file(target).header.record_keys
    assert done.derived_sop_instance_uid == result.SOPInstanceUID
    assert errors(target) <= errors(path)
    apart = np.abs(decoded(tool, target).astype(float) - pixel_array(source))
    assert apart.mean() < np.ptp(pixel_array(source)) / 50
    again = tmp_path / "again"
    lossy.compress(Slice.of_file(path), again, syntax, source_ae_title="BURNISH")
    assert again.read_bytes() == target.read_bytes(), "the same image is another instance"


def says_whose_it_is(source: FileDataset, result: FileDataset, syntax: str) -> None:
    """PS3.3 C.7.6.1.1.5, C.12.4; all else is as it was."""
    assert result.file_meta.TransferSyntaxUID == syntax
    assert result.SOPInstanceUID == result.file_meta.MediaStorageSOPInstanceUID
    assert result.SOPInstanceUID != source.SOPInstanceUID
    assert is_uid(result.SOPInstanceUID)
    assert result.ImageType[0] == "DERIVED"
    assert result.ImageType[1:] == source.ImageType[1:]
    assert result.LossyImageCompression == "01"
    method = "ISO_15444_1" if syntax == JPEG_2000 else "ISO_10918_1"
    assert result.LossyImageCompressionMethod == method
    ratio = len(source.PixelData) / len(result.PixelData)
    assert float(result.LossyImageCompressionRatio) == pytest.approx(ratio, rel=0.05)
    assert method in result.DerivationDescription
    assert result.DerivationCodeSequence[-1].CodeValue == "113040"
    image = result.SourceImageSequence[-1]
    assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.ReferencedSOPClassUID == source.SOPClassUID == result.SOPClassUID
    assert image.PurposeOfReferenceCodeSequence[0].CodeValue == "121320"
    changed = {
        *("SOPInstanceUID", "ImageType", "PixelData", "PhotometricInterpretation"),
        *("DerivationDescription", "SourceImageSequence", "DerivationCodeSequence"),
        *("InstanceCreationDate", "InstanceCreationTime", "InstanceCreatorUID"),
        *("SmallestImagePixelValue", "LargestImagePixelValue", "PlanarConfiguration"),
    }
    for element in source:
        if element.keyword not in changed and element.tag.element:
            assert result[element.tag].value == element.value, element


CELLS = smooth((1, 64, 64, 1), 8, signed=False, seed=1)


def test_an_earlier_derivation_is_kept(tmp_path: Path) -> None:
    earlier = Dataset()
    earlier.ReferencedSOPClassUID, earlier.ReferencedSOPInstanceUID = "1.2.3", "1.2.4"
    signature = Dataset()
    signature.MACIDNumber = 1
    source = written(
        tmp_path / "source",
        CELLS,
        8,
        SourceImageSequence=[earlier],
        DerivationDescription="smoothed",
        ImageType=["ORIGINAL", "SECONDARY", "OTHER"],
        SmallestImagePixelValue=0,
        InstanceCreationDate="20240101",
        DigitalSignaturesSequence=[signature],
    )
    lossy.compress(Slice.of_file(source), tmp_path / "t", JPEG_BASELINE)
    result = material.read(tmp_path / "t")
    assert [item.ReferencedSOPInstanceUID for item in result.SourceImageSequence] == [
        "1.2.4",
        material.read(source).SOPInstanceUID,
    ]
    assert result.DerivationDescription.startswith("smoothed; Lossy")
    assert result.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
    for gone in ("SmallestImagePixelValue", "InstanceCreationDate", "DigitalSignaturesSequence"):
        assert gone not in result


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"LossyImageCompression": "01"}, "before"),
        ({"LossyImageCompressionRatio": "10"}, "before"),
        ({"LossyImageCompressionMethod": "ISO_10918_1"}, "before"),
        ({"PixelPaddingValue": 0}, "padding"),
        ({"SharedFunctionalGroupsSequence": [Dataset()]}, "functional groups"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
        ({"PixelRepresentation": 1}, "unsigned"),
    ],
)
def test_images_that_loss_would_damage_are_refused(
    tmp_path: Path, attributes: dict[str, object], why: str
) -> None:
    source = written(tmp_path / "source", CELLS, 8, **attributes)
    with pytest.raises(NotCompressible, match=why):
        lossy.compress(Slice.of_file(source), tmp_path / "t", JPEG_BASELINE)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_image_that_would_differ_too_much_is_refused(tmp_path: Path) -> None:
    """Colours that change from column to column."""
    noise = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    source = written(tmp_path / "source", noise, 8)
    with pytest.raises(NotCompressible, match="differ too much"):
        lossy.compress(Slice.of_file(source), tmp_path / "t", JPEG_BASELINE)
