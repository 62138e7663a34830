"""Surface: the Media Creation Management module (PS3.3 C.22.1) between data sets and requests."""

import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from pydicom.charset import convert_encodings
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as ItemSequence

from burnish.db.tables import FileSet, MediaCreationRequest
from burnish.errors import InvalidValue, MissingAttribute, MissingValue, Unreadable
from burnish.request.operations import NewRequest, Reference
from burnish.scp import references
from burnish.vocabulary import (
    EXPLICIT_VR_BIG_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PieceState,
    YesNo,
)


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of an N-CREATE that is kept with the request, and its Enumerated Values."""

    keyword: str
    column: str
    enumerated: type[StrEnum] | None = None


#: PS3.4 Table S.3.2.1.1-1, but for the sequences. Include Non-DICOM Objects and Barcode Symbology
#: have Defined Terms, which others may extend, so any CS is kept.
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
_LENGTHS = {"CS": 16, "SH": 16, "LO": 64, "LT": 10240, "UI": 64}

#: What pydicom raises on bytes that are no data set, or on a value that is none of its VR.
PARSER_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    OSError,
    NotImplementedError,
    RecursionError,
    BytesLengthException,
    IndexError,
    OverflowError,
    LookupError,
    struct.error,
)


def decode(data: bytes, transfer_syntax_uid: str) -> Dataset:
    """A data set of a DIMSE-N message; raises Unreadable."""
    if not data:
        return Dataset()
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


def decode_order(data: bytes, transfer_syntax_uid: str, sop_instance_uid: str) -> NewRequest:
    """What an N-CREATE asks for: `order` of its bytes.

    Raises Unreadable, InvalidValue, MissingAttribute, MissingValue.
    """
    usual, rest = references.taken_out(data, transfer_syntax_uid) or ((), data)
    return order(decode(rest, transfer_syntax_uid), sop_instance_uid, usual)


def order(
    data_set: Dataset, sop_instance_uid: str, usual: tuple[Reference, ...] = ()
) -> NewRequest:
    """What an N-CREATE asks for; unknown attributes are passed over.

    Its references are `usual` where these have been taken out of it. Raises InvalidValue,
    MissingAttribute, MissingValue.
    """
    try:
        values = dict(_values(data_set))
        return NewRequest(usual or tuple(_references(data_set)), values, sop_instance_uid)
    except PARSER_ERRORS as error:
        raise InvalidValue(f"an attribute cannot be read: {type(error).__name__}") from None


def _values(data_set: Dataset) -> Iterator[tuple[str, str]]:
    for attribute in ATTRIBUTES:
        element = _element(data_set, attribute.keyword)
        if element is None or element.is_empty:
            continue
        value = _text(element, attribute.keyword)
        if not value:
            continue
        if attribute.enumerated and value not in list(attribute.enumerated):
            raise InvalidValue(f"{attribute.keyword} has a value it may not have")
        yield attribute.column, value
    element = data_set.get("SpecificCharacterSet")
    if element:
        terms = [element] if isinstance(element, str) else list(element)
        yield "specific_character_set", "\\".join(terms)


def _element(data_set: Dataset, keyword: str) -> DataElement | None:
    return next((data_set[tag] for tag in [keyword] if tag in data_set), None)


def _text(element: DataElement, keyword: str) -> str:
    if isinstance(element.value, MultiValue):
        raise InvalidValue(f"{keyword} has more than one value")
    value = str(element.value).strip("\0 ")
    limit = _LENGTHS.get(element.VR)
    if limit is not None and len(value) > limit:
        raise InvalidValue(f"{keyword} is longer than {limit} characters")
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
            sop_class_uid=_required(item, "ReferencedSOPClassUID"),
            sop_instance_uid=_required(item, "ReferencedSOPInstanceUID"),
            profile=_profile(item),
            icon_image_sequence=encode(icon[0], "") if icon else None,
        )


def _required(item: Dataset, keyword: str) -> str:
    if keyword not in item:
        raise MissingAttribute(f"{keyword} is missing in an item")
    value = _text(item[keyword], keyword)
    if not value:
        raise MissingValue(f"{keyword} is empty in an item")
    return value


def _profile(item: Dataset) -> str:
    element = _element(item, "RequestedMediaApplicationProfile")
    return (
        ""
        if element is None or element.is_empty
        else _text(element, "RequestedMediaApplicationProfile")
    )


def present(request: MediaCreationRequest, tags: Collection[int] = ()) -> Dataset:
    """What an N-GET can say of a request (PS3.4 Table S.3.2.4.1-1), with `tags` only those.

    A PACS that polls asks for two of them, a hundred times for each disc.
    """
    data_set = Dataset()
    if request.specific_character_set:
        data_set.SpecificCharacterSet = request.specific_character_set.split("\\")
    for keyword, value in _MAINTAINED.items():
        if not tags or _TAGS[keyword] in tags:
            setattr(data_set, keyword, value(request))
    for attribute in ATTRIBUTES:
        if not tags or _TAGS[attribute.keyword] in tags:
            text = getattr(request, attribute.column)
            if text:
                setattr(data_set, attribute.keyword, text)
    if request.initiated_at is not None:
        for keyword, value in _INITIATED.items():
            if not tags or _TAGS[keyword] in tags:
                setattr(data_set, keyword, value(request))
    _widen_character_set(data_set)
    return data_set


def _created(file_set: FileSet) -> list[object]:
    return [piece for piece in file_set.pieces if piece.state is PieceState.CREATED]


def _volume(file_set: FileSet) -> Dataset:
    item = Dataset()
    item.StorageMediaFileSetID = file_set.file_set_id
    item.StorageMediaFileSetUID = file_set.file_set_uid
    return item


def _failed(request: MediaCreationRequest) -> Iterator[Dataset]:
    for failure in request.failures:
        item = Dataset()
        item.ReferencedSOPClassUID = failure.referenced_sop_class_uid
        item.ReferencedSOPInstanceUID = failure.referenced_sop_instance_uid
        if failure.requested_media_application_profile:
            item.RequestedMediaApplicationProfile = failure.requested_media_application_profile
        item.FailureReason = failure.failure_reason
        if failure.failure_attributes:
            item.FailureAttributes = [int(tag, 16) for tag in failure.failure_attributes.split()]
        yield item


def _referenced(request: MediaCreationRequest) -> Iterator[Dataset]:
    for reference in request.references:
        item = Dataset()
        item.ReferencedSOPClassUID = reference.referenced_sop_class_uid
        item.ReferencedSOPInstanceUID = reference.referenced_sop_instance_uid
        if reference.requested_media_application_profile:
            item.RequestedMediaApplicationProfile = reference.requested_media_application_profile
        if reference.icon_image_sequence:
            item.IconImageSequence = [decode(reference.icon_image_sequence, "")]
        yield item


def _widen_character_set(data_set: Dataset) -> None:
    """Text that came in one character set goes out in it, or in UTF-8 where it has outgrown it."""
    text = [
        str(data_set[attribute.keyword].value)
        for attribute in ATTRIBUTES
        if attribute.keyword in data_set
    ]
    letters = {letter for letter in "".join(text) if not letter.isascii()}
    if not letters:
        return
    terms = data_set.get("SpecificCharacterSet")
    codecs = convert_encodings(terms) if terms else []
    if not all(any(_has(codec, letter) for codec in codecs) for letter in letters):
        data_set.SpecificCharacterSet = "ISO_IR 192"


def _has(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def select(data_set: Dataset, tags: list[int]) -> tuple[Dataset, bool]:
    """What an Attribute Identifier List asks of `data_set`; whether all of it is supported.

    Sequences are returned whole (PS3.4 S.3.2.4). An empty list asks for everything.
    """
    if not tags:
        return data_set, True
    chosen = Dataset()
    if "SpecificCharacterSet" in data_set:
        chosen.SpecificCharacterSet = data_set.SpecificCharacterSet
    supported = SUPPORTED_TAGS
    for tag in tags:
        if tag in data_set:
            chosen[tag] = data_set[tag]
    return chosen, all(tag in supported for tag in tags)


#: What a request has from its beginning, by keyword.
_MAINTAINED: dict[str, Callable[[MediaCreationRequest], object]] = {
    "ExecutionStatus": lambda request: str(request.execution_status),
    "ExecutionStatusInfo": lambda request: str(request.execution_status_info),
    "TotalNumberOfPiecesOfMediaCreated": lambda request: sum(
        len(_created(file_set)) for file_set in request.file_sets
    ),
    "FailedSOPSequence": lambda request: ItemSequence(_failed(request)),
    "ReferencedStorageMediaSequence": lambda request: ItemSequence(
        _volume(file_set) for file_set in request.file_sets if _created(file_set)
    ),
    "ReferencedSOPSequence": lambda request: ItemSequence(_referenced(request)),
}
#: What it has once its creation was initiated.
_INITIATED: dict[str, Callable[[MediaCreationRequest], object]] = {
    "NumberOfCopies": lambda request: request.number_of_copies,
    "RequestPriority": lambda request: str(request.request_priority),
}
_TAGS = {
    keyword: int(tag_for_keyword(keyword) or 0)
    for keyword in (
        "SpecificCharacterSet",
        *_MAINTAINED,
        *_INITIATED,
        *(attribute.keyword for attribute in ATTRIBUTES),
    )
}
#: Every attribute that the service maintains: another one in an N-GET is answered 0001H.
SUPPORTED_TAGS = frozenset(_TAGS.values())
