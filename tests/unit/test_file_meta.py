"""File Meta Information as pydicom reads it."""

import io

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from burnish import file_meta
from burnish.dicom_elements import NeedMore, encode
from burnish.errors import Unreadable
from burnish.vocabulary import IMPLEMENTATION_CLASS_UID


def test_pydicom_reads_what_was_written() -> None:
    encoded = file_meta.encode("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1", "AE")
    dataset = dcmread(io.BytesIO(encoded))
    assert dataset.preamble == bytes(128)
    meta = dataset.file_meta
    assert meta.FileMetaInformationGroupLength == len(encoded) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"
    assert meta.MediaStorageSOPInstanceUID == UID("1.2.3")
    assert meta.TransferSyntaxUID == UID("1.2.840.10008.1.2.1")
    assert meta.ImplementationClassUID == UID(IMPLEMENTATION_CLASS_UID)
    assert meta.SourceApplicationEntityTitle == "AE"


def test_without_source_ae_title_its_element_is_absent() -> None:
    encoded = file_meta.encode("1.2", "1.3", "1.4")
    assert b"\x02\0\x16\0AE" not in encoded
    assert encoded == file_meta.encode("1.2", "1.3", "1.4")


@pytest.mark.parametrize("tag", [0x00020010, 0x00020000])
def test_an_element_of_group_0002_that_is_left_in_the_data_set_is_no_transfer_syntax(
    tag: int,
) -> None:
    """The data set would be read in JPEG, although its File Meta Information says otherwise."""
    stale = encode(tag, b"UI", b"1.2.840.10008.1.2.4.70")
    meta = file_meta.encode("1.2.840.10008.5.1.4.1.1.2", "1.2.3", "1.2.840.10008.1.2.1")
    with pytest.raises(Unreadable, match=r"begins with \(0002,00.0\)"):
        file_meta.locate(meta + stale + bytes(64))


def test_a_file_without_a_data_set_is_named_as_such() -> None:
    with pytest.raises(NeedMore, match="no data set"):
        file_meta.locate(bytes(128) + b"DICM")


def test_file_meta_information_may_be_out_of_order() -> None:
    """Real files have it so; each element is there once."""
    version = encode(0x00020013, b"SH", b"VENDOR")
    class_uid = encode(0x00020012, b"UI", b"1.2.3")
    syntax = encode(0x00020010, b"UI", b"1.2.840.10008.1.2.1")
    meta = bytes(128) + b"DICM" + version + class_uid + syntax
    assert file_meta.locate(meta + bytes(64)) == (len(meta), "1.2.840.10008.1.2.1")
