"""File Meta Information as pydicom reads it."""

import io

from pydicom import dcmread
from pydicom.uid import UID

from burnish import file_meta
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
