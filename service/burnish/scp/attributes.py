"""Surface: reads the attributes of Media Creation Management in an N-CREATE (PS3.3 C.22.1)."""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from burnish import character_sets
from burnish.application_profiles import canonical_label
from burnish.errors import InvalidValue, MissingAttribute, MissingValue, Unreadable
from burnish.request.operations import NewRequest, Reference
from burnish.scp import references
from burnish.scp.data_set_structure import check_structure
from burnish.vocabulary import (
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    YesNo,
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of N-CREATE that is kept in a column of the request, as text.

    `enumerated` are its Enumerated Values, if it has them.
    """

    keyword: str
    column: str
    enumerated: type[StrEnum] | None = None


#: PS3.4 Table S.3.2.1.1-1 without the sequences. Include Non-DICOM Objects and Barcode Symbology
#: have Defined Terms, which other implementations may extend. So any value of their VR is kept.
ATTRIBUTES = (
    Attribute("StorageMediaFileSetID", "storage_media_file_set_id"),
    Attribute("StorageMediaFileSetUID", "storage_media_file_set_uid"),
    Attribute(
        "LabelUsingInformationExtractedFromInstances",
        "label_using_information_extracted_from_instances",
        YesNo,
    ),
    Attribute("LabelText", "label_text"),
    Attribute("LabelStyleSelection", "label_style_selection"),
    Attribute("BarcodeValue", "barcode_value"),
    Attribute("BarcodeSymbology", "barcode_symbology"),
    Attribute("MediaDisposition", "media_disposition"),
    Attribute("AllowMediaSplitting", "allow_media_splitting", YesNo),
    Attribute("AllowLossyCompression", "allow_lossy_compression", YesNo),
    Attribute("IncludeNonDICOMObjects", "include_non_dicom_objects"),
    Attribute("IncludeDisplayApplication", "include_display_application", YesNo),
    Attribute(
        "PreserveCompositeInstancesAfterMediaCreation",
        "preserve_composite_instances_after_media_creation",
        YesNo,
    ),
)
#: The letters of a code string, and the control characters of text with several lines (PS3.5 6.2).
_CODE_STRING = re.compile(r"[A-Z0-9_ ]*")
_CONTROL_CHARACTERS = {"LT": "\t\n\f\r", "UT": "\t\n\f\r"}
_MAXIMUM_LENGTHS = {"CS": 16, "SH": 16, "LO": 64, "LT": 10240, "UI": 64}

#: What pydicom raises on bytes that are not a data set, or on a value that its VR does not allow.
PARSER_ERRORS = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
    BytesLengthException,
    OverflowError,
    struct.error,
)


def decode(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """The data set of a DIMSE-N message; raises Unreadable, also if it is cut."""
    if not data:
        return Dataset()
    check_structure(data, transfer_syntax_uid)
    implicit = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    little = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    try:
        return read_dataset(BytesIO(data), implicit, little, bytelength=len(data))
    except PARSER_ERRORS as error:
        raise Unreadable(f"the data set cannot be read: {type(error).__name__}") from None


def encode(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """The bytes of a data set of a DIMSE-N message."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN
    buffer.is_little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    write_dataset(buffer, data_set)
    return bytes(buffer.getvalue())


# --- N-CREATE ---


def decode_new_request(data: bytes, transfer_syntax_uid: str, sop_instance_uid: str) -> NewRequest:
    """The request that the data set of an N-CREATE makes.

    Raises Unreadable, InvalidValue, MissingAttribute, MissingValue.
    """
    references_and_rest = references.split_references(data, transfer_syntax_uid)
    if references_and_rest is None:
        return new_request(decode(data, transfer_syntax_uid), sop_instance_uid)
    usual_references, rest = references_and_rest
    return new_request(decode(rest, transfer_syntax_uid), sop_instance_uid, usual_references)


def new_request(
    data_set: Dataset, sop_instance_uid: str, usual_references: tuple[Reference, ...] = ()
) -> NewRequest:
    """The media that an N-CREATE asks for. Attributes that Burnish does not know are ignored.

    `usual_references` are the references if they have been split off the data set. Raises
    InvalidValue, MissingAttribute, MissingValue.
    """
    try:
        values = dict(_column_values(data_set))
        return NewRequest(
            usual_references or tuple(_references(data_set)), values, sop_instance_uid
        )
    except PARSER_ERRORS as error:
        raise InvalidValue(f"an attribute cannot be read: {type(error).__name__}") from None


def _column_values(data_set: Dataset) -> Iterator[tuple[str, str]]:
    character_set = specific_character_set(data_set)
    if character_set:
        yield "specific_character_set", character_set
    for attribute in ATTRIBUTES:
        value = _text(data_set, attribute.keyword)
        if not value:
            continue
        if attribute.enumerated and value not in list(attribute.enumerated):
            allowed = ", ".join(attribute.enumerated)
            raise InvalidValue(f"{attribute.keyword}: not one of {allowed}")
        yield attribute.column, value


def specific_character_set(data_set: Dataset) -> str:
    """Specific Character Set (0008,0005), "" if it is absent or empty.

    Raises InvalidValue unless it has Defined Terms (PS3.3 C.12.1.1.2).
    """
    value = data_set.get("SpecificCharacterSet")
    if not value:
        return ""
    terms = "\\".join([value] if isinstance(value, str) else value)
    if not terms.isascii() or not character_sets.codecs(terms.encode()):
        raise InvalidValue("Specific Character Set is not known")
    return terms


def _text(data_set: Dataset, keyword: str) -> str:
    """The single value of an attribute without its padding, "" if it is absent or empty.

    Raises InvalidValue if its VR does not allow the value (PS3.5 6.2).
    """
    if keyword not in data_set:
        return ""
    element = data_set[keyword]
    if element.is_empty:
        return ""
    if isinstance(element.value, MultiValue):
        raise InvalidValue(f"{keyword} has more than one value")
    if not isinstance(element.value, str):
        raise InvalidValue(f"{keyword} is not text")
    value = str(element.value).strip("\0 ")
    vr = dictionary_VR(keyword)
    maximum_length = _MAXIMUM_LENGTHS.get(vr)
    if maximum_length is not None and len(value) > maximum_length:
        raise InvalidValue(f"{keyword} is longer than {maximum_length} characters")
    if vr == "CS" and _CODE_STRING.fullmatch(value) is None:
        raise InvalidValue(f"{keyword} is not a code string")
    permitted = _CONTROL_CHARACTERS.get(vr, "")
    if any(ord(letter) < ord(" ") and letter not in permitted for letter in value):
        raise InvalidValue(f"{keyword} has a control character")
    if "\ufffd" in value:
        raise InvalidValue(f"{keyword} is not text in its Specific Character Set")
    return value


def _references(data_set: Dataset) -> Iterator[Reference]:
    if "ReferencedSOPSequence" not in data_set:
        raise MissingAttribute("Referenced SOP Sequence is missing")
    items = data_set.ReferencedSOPSequence
    if not items:
        raise MissingValue("Referenced SOP Sequence has no item")
    for item in items:
        icon = item.get("IconImageSequence")
        yield Reference(
            sop_class_uid=_required_text(item, "ReferencedSOPClassUID"),
            sop_instance_uid=_required_text(item, "ReferencedSOPInstanceUID"),
            profile=canonical_label(_text(item, "RequestedMediaApplicationProfile")),
            icon_image_sequence=encode(icon[0], "") if icon else None,
        )


def _required_text(item: Dataset, keyword: str) -> str:
    if keyword not in item:
        raise MissingAttribute(f"{keyword} is missing in an item")
    value = _text(item, keyword)
    if not value:
        raise MissingValue(f"{keyword} is empty in an item")
    return value
