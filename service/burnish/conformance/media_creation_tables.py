"""Surface: tables of a statement on Media Creation Management and on Storage Commitment.

PS3.4 annexes S and J.
"""

from collections.abc import Mapping

from burnish.conformance.document import StatementTable
from burnish.conformance.names import attribute_name, tag_of, tag_text, vr_of
from burnish.label import attribute_uses
from burnish.label.barcode import SYMBOLOGIES
from burnish.scp.attributes import ATTRIBUTES, Attribute
from burnish.scp.request_attributes import SUPPORTED_TAGS
from burnish.settings import Settings
from burnish.vocabulary import (
    CommitmentFailure,
    ExecutionStatus,
    ExecutionStatusInfo,
    FailureReason,
    IncludeNonDICOMObjects,
    RequestPriority,
)

#: Types for SCU and SCP in N-CREATE (PS3.4 Table S.3.2.1.1-1), and what is done with the value.
CREATE_USES: dict[str, tuple[str, str]] = {
    "StorageMediaFileSetID": (
        "3/3",
        "used on the media; of a set of several volumes, each gets the ID with a number; without"
        " it, `request.file_set_id_prefix`, `_` and 8 digits",
    ),
    "StorageMediaFileSetUID": (
        "3/3",
        "used on the media; of a set of several volumes, the first one has it and the others get"
        " new UIDs; copies share ID and UID; without it a new UID",
    ),
    "LabelUsingInformationExtractedFromInstances": (
        "3/1C",
        "NO: label and README.TXT have no data of patients",
    ),
    "LabelText": ("3/1C", "printed on the label, and in README.TXT in full"),
    "LabelStyleSelection": ("3/1C", "the name of a label style; another value is ignored"),
    "BarcodeValue": ("3/3", "printed as bars; as text if the symbology cannot hold it"),
    "BarcodeSymbology": ("3/3", "the symbology; CODE128 if absent; with another term: as text"),
    "MediaDisposition": ("3/3", "printed on an address label of its own"),
    "AllowMediaSplitting": ("3/1C", "NO: what does not fit on one volume fails"),
    "AllowLossyCompression": (
        "3/1C",
        "YES: images may be compressed with loss where the profile or the size requires it",
    ),
    "IncludeNonDICOMObjects": ("3/1C", "for whom media have pages: see the table of contents"),
    "IncludeDisplayApplication": ("3/1C", "YES: with pages also the viewer"),
    "PreserveCompositeInstancesAfterMediaCreation": (
        "3/3",
        "YES: instances are kept for `retention.unrequested_instances` after the media, NO: for"
        " `retention.instances_after_media`",
    ),
}
#: The attributes of the items of the Referenced SOP Sequence: keyword, types and use.
REFERENCE_USES = (
    ("ReferencedSOPClassUID", "1/1", "compared with the received instance"),
    ("ReferencedSOPInstanceUID", "1/1", "an instance that is named twice fails the request"),
    ("RequestedMediaApplicationProfile", "3/1", "the profile of the instance"),
    (
        "IconImageSequence",
        "3/1C",
        "goes into the directory record if the profile permits it; otherwise, one is made if the"
        " profile requires it",
    ),
)
#: Types for SCU and SCP in N-GET (PS3.4 Table S.3.2.4.1-1), and what is returned.
GET_USES: dict[str, tuple[str, str]] = {
    "SpecificCharacterSet": (
        "3/1C",
        "that of the N-CREATE; ISO_IR 192 if that cannot hold a letter; absent without text",
    ),
    "ExecutionStatus": ("3/1", "always"),
    "ExecutionStatusInfo": ("3/1", "always"),
    "TotalNumberOfPiecesOfMediaCreated": ("3/1", "always; 0 before the first piece is verified"),
    "FailedSOPSequence": ("3/2", "always; without items unless instances have failed"),
    "ReferencedStorageMediaSequence": (
        "3/2",
        "always; an item with File-set ID and UID for each volume of which a piece was created",
    ),
    "ReferencedSOPSequence": (
        "3/3",
        "as received, with the profile and the icon of each item as they were received",
    ),
    "NumberOfCopies": ("3/3", "once the request was initiated"),
    "RequestPriority": ("3/3", "once the request was initiated"),
}
_AS_CREATED = ("3/3", "the value of the N-CREATE, or the default that applies")
#: What each Execution Status Info means here.
INFO_MEANINGS: dict[ExecutionStatusInfo, str] = {
    ExecutionStatusInfo.NORMAL: "IDLE, CREATING or DONE",
    ExecutionStatusInfo.QUEUED: "PENDING: waits for instances, planning, release or a device",
    ExecutionStatusInfo.CHECK_MCD_OP: "the device needs a person; the request goes on after that",
    ExecutionStatusInfo.CHECK_MCD_SRV: "the device needs service; the request goes on after that",
    ExecutionStatusInfo.OUT_OF_SUPPLIES: "no blanks, ink or ribbon; goes on once there are",
    ExecutionStatusInfo.MCD_BUSY: "the device is busy with something else; goes on by itself",
    ExecutionStatusInfo.INSUFFIC_MEMORY: "no room for the volume image; goes on once there is",
    ExecutionStatusInfo.DIR_PROC_ERR: "no DICOMDIR can list the instances",
    ExecutionStatusInfo.DUPL_REF_INST: "an instance is named twice",
    ExecutionStatusInfo.INST_AP_CONFLICT: "instances and profiles contradict each other",
    ExecutionStatusInfo.INST_OVERSIZED: "an instance is larger than the medium",
    ExecutionStatusInfo.MCD_FAILURE: "the device has spoiled `request.attempts` blanks",
    ExecutionStatusInfo.NO_INSTANCE: "instances have not been received and cannot be retrieved",
    ExecutionStatusInfo.NOT_SUPPORTED: "a profile or SOP Class is not supported",
    ExecutionStatusInfo.PROC_FAILURE: "damaged instances, or another failure, with its reason in"
    " the log and `burnish request show`",
    ExecutionStatusInfo.SET_OVERSIZED: "the set does not fit on one volume and may not be split",
    ExecutionStatusInfo.UNKNOWN: "never in this version",
}
_FAILURE_MEANINGS: dict[FailureReason, str] = {
    FailureReason.PROCESSING_FAILURE: "the instance is damaged, or its data cannot be listed",
    FailureReason.NO_SUCH_OBJECT_INSTANCE: "not received, and no archive has it",
    FailureReason.CLASS_INSTANCE_CONFLICT: "received with another SOP Class",
    FailureReason.MISSING_ATTRIBUTE: "attributes that pixels need are missing; Failure Attributes"
    " lists them",
    FailureReason.MISSING_ATTRIBUTE_VALUE: "attributes that pixels need are empty; Failure"
    " Attributes lists them",
    FailureReason.SOP_CLASS_NOT_SUPPORTED: "the SOP Class has no type of directory record",
    FailureReason.MEDIA_APPLICATION_PROFILES_CONFLICT: "the requested profiles cannot be together",
    FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT: "the profile does not permit it;"
    " Failure Attributes lists what is beyond its limits",
    FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT: "the profile would need lossy"
    " compression, which is not allowed",
    FailureReason.MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED: "the profile is unknown, or no device"
    " makes its media",
    FailureReason.INSTANCE_SIZE_EXCEEDED: "larger than the medium",
}
_STATUS_MEANINGS: dict[ExecutionStatus, str] = {
    ExecutionStatus.IDLE: "created, not initiated",
    ExecutionStatus.PENDING: "initiated; waits for instances, planning or a device",
    ExecutionStatus.CREATING: "a piece of media is being made",
    ExecutionStatus.DONE: "all pieces were made and compared with what was to be written",
    ExecutionStatus.FAILURE: "ended without success; an administrator can have it tried again",
}
_COMMITMENT_MEANINGS: dict[CommitmentFailure, str] = {
    CommitmentFailure.PROCESSING_FAILURE: "the file of the instance is damaged or lost",
    CommitmentFailure.NO_SUCH_OBJECT_INSTANCE: "not received, also not within"
    " `storage_commitment.wait_for_instances`",
    CommitmentFailure.CLASS_INSTANCE_CONFLICT: "received with another SOP Class",
    CommitmentFailure.REFERENCED_SOP_CLASS_NOT_SUPPORTED: "never in this version",
    CommitmentFailure.DUPLICATE_TRANSACTION_UID: "the UID is in use for other instances; all fail",
    CommitmentFailure.RESOURCE_LIMITATION: "not received, and the spool accepts nothing more",
}
_CONTENT_MEANINGS: dict[IncludeNonDICOMObjects, str] = {
    IncludeNonDICOMObjects.NO: "DICOMDIR and DICOM files alone, without README.TXT",
    IncludeNonDICOMObjects.FOR_PATIENT: "README.TXT, and pages with pictures that begin in plain"
    " words",
    IncludeNonDICOMObjects.FOR_PHYSICIAN: "README.TXT, and pages with pictures",
    IncludeNonDICOMObjects.FOR_TEACHING: "README.TXT, and pages without identification; never the"
    " viewer. README.TXT and labels name neither institution nor patients, whatever Label Using"
    " Information Extracted From Instances says; Label Text is on labels alone",
    IncludeNonDICOMObjects.FOR_RESEARCH: "README.TXT, and MANIFEST.CSV and MANIFEST.JSN, which"
    " list the instances",
}


def _default_of(attribute: Attribute, settings: Settings) -> str:
    default = getattr(settings.request, attribute.column, None)
    return "none" if default is None else f"{default}; `request.{attribute.column}`"


def _values_of(attribute: Attribute) -> str:
    if attribute.enumerated is not None:
        return ", ".join(attribute.enumerated)
    if attribute.keyword == "IncludeNonDICOMObjects":
        return f"{', '.join(IncludeNonDICOMObjects)}; another term: the default"
    if attribute.keyword == "BarcodeSymbology":
        return ", ".join(SYMBOLOGIES)
    return "any of its VR"


def n_create_attributes(settings: Settings) -> StatementTable:
    """Every attribute of N-CREATE (PS3.4 Table S.3.2.1.1-1)."""
    rows: list[tuple[object, ...]] = [
        (
            "Specific Character Set",
            "(0008,0005)",
            "CS 1-n",
            "1C/1C",
            "those of the table of character sets",
            "none: ASCII",
            "applied to the text of the request; an unknown one fails with 0106H",
        )
    ]
    for attribute in ATTRIBUTES:
        tag = tag_of(attribute.keyword)
        types, use = CREATE_USES.get(attribute.keyword, ("", ""))
        values, default = _values_of(attribute), _default_of(attribute, settings)
        name = attribute_name(tag)
        rows.append((name, tag_text(tag), vr_of(tag), types, values, default, use))
    sequence = tag_of("ReferencedSOPSequence")
    rows.append(
        (
            attribute_name(sequence),
            tag_text(sequence),
            vr_of(sequence),
            "1/1",
            "at least one item",
            "none",
            "the instances",
        )
    )
    default_profile = settings.request.requested_media_application_profile or "see item 4 of S.4.2"
    for keyword, types, use in REFERENCE_USES:
        tag = tag_of(keyword)
        default = default_profile if keyword == "RequestedMediaApplicationProfile" else "none"
        name = f">{attribute_name(tag)}"
        rows.append((name, tag_text(tag), vr_of(tag), types, "any of its VR", default, use))
    return StatementTable.of(
        "Attributes of N-CREATE",
        ("Attribute", "Tag", "VR, VM", "Type SCU/SCP", "Values", "Default", "What is done"),
        rows,
    )


def n_action_attributes(settings: Settings) -> StatementTable:
    """The Action Information of Initiate Media Creation (PS3.4 Table S.3.2.2.1-1)."""
    request = settings.request
    return StatementTable.of(
        "Action Information of Initiate Media Creation",
        ("Attribute", "Tag", "VR, VM", "Type SCU/SCP", "Values", "Default", "What is done"),
        [
            (
                "Number of Copies",
                "(2000,0010)",
                "IS 1",
                "3/1",
                f"1 to {request.maximum_copies}; `request.maximum_copies`",
                f"{request.number_of_copies}; `request.number_of_copies`",
                "so many sets of media are made; all copies share File-set ID and UID",
            ),
            (
                "Request Priority",
                "(2200,0020)",
                "CS 1",
                "3/3",
                ", ".join(RequestPriority),
                f"{request.request_priority}; `request.request_priority`",
                "pieces of a higher priority are made first; a piece in progress is not"
                " interrupted",
            ),
        ],
    )


def n_get_attributes() -> StatementTable:
    """Every attribute that N-GET returns (PS3.4 Table S.3.2.4.1-1)."""
    uses: Mapping[int, tuple[str, str]] = {tag_of(key): use for key, use in GET_USES.items()}
    rows = []
    for tag in sorted(SUPPORTED_TAGS):
        types, use = uses.get(tag, _AS_CREATED)
        rows.append((attribute_name(tag), tag_text(tag), vr_of(tag), types, use))
    return StatementTable.of(
        "Attributes of N-GET", ("Attribute", "Tag", "VR, VM", "Type SCU/SCP", "Returned"), rows
    )


def items_of_failed_instances() -> StatementTable:
    """The items of the Failed SOP Sequence."""
    rows = [
        ("ReferencedSOPClassUID", "always"),
        ("ReferencedSOPInstanceUID", "always"),
        ("RequestedMediaApplicationProfile", "if a profile was requested or used"),
        ("FailureReason", "always"),
        ("FailureAttributes", "if attributes are the reason"),
    ]
    return StatementTable.of(
        "Items of the Failed SOP Sequence",
        ("Attribute", "Tag", "VR, VM", "Returned"),
        [
            (attribute_name(tag_of(key)), tag_text(tag_of(key)), vr_of(tag_of(key)), when)
            for key, when in rows
        ],
    )


def execution_statuses() -> StatementTable:
    """Execution Status (2100,0020)."""
    return StatementTable.of(
        "Execution Status (2100,0020)",
        ("Value", "Meaning in this product"),
        [
            (status, _STATUS_MEANINGS[status])
            for status in ExecutionStatus
            if status is not ExecutionStatus.DELETED
        ],
    )


def execution_status_infos() -> StatementTable:
    """Execution Status Info (2100,0030)."""
    return StatementTable.of(
        "Execution Status Info (2100,0030)",
        ("Value", "Meaning in this product"),
        [(info, INFO_MEANINGS[info]) for info in ExecutionStatusInfo],
    )


def failure_reasons() -> StatementTable:
    """Failure Reason (0008,1197) of Media Creation Management."""
    return StatementTable.of(
        "Failure Reason (0008,1197) of Media Creation Management",
        ("Value", "Meaning", "When"),
        [
            (f"{reason:04X}H", _readable(reason.name), _FAILURE_MEANINGS[reason])
            for reason in FailureReason
        ],
    )


def commitment_failures() -> StatementTable:
    """Failure Reason (0008,1197) of Storage Commitment."""
    return StatementTable.of(
        "Failure Reason (0008,1197) of Storage Commitment",
        ("Value", "Meaning", "When"),
        [
            (f"{reason:04X}H", _readable(reason.name), _COMMITMENT_MEANINGS[reason])
            for reason in CommitmentFailure
        ],
    )


def _readable(name: str) -> str:
    words = name.replace("_", " ").capitalize()
    return words.replace("sop ", "SOP ").replace("Sop ", "SOP ").replace("uid", "UID")


def content_terms() -> StatementTable:
    """The content of media for each term of Include Non-DICOM Objects."""
    rows = [(term, _CONTENT_MEANINGS[term]) for term in IncludeNonDICOMObjects]
    rows_of_text = [(str(term), meaning) for term, meaning in rows]
    rows_of_text.append(("another term", "what `request.include_non_dicom_objects` says"))
    return StatementTable.of(
        "Include Non-DICOM Objects (2200,0008)", ("Term", "The media hold"), rows_of_text
    )


def label_uses() -> StatementTable:
    """How labels use the attributes of a request."""
    return StatementTable.of("Attributes on labels", ("Attribute", "Use"), attribute_uses())


def commitment_attributes() -> StatementTable:
    """The attributes of its N-ACTION and N-EVENT-REPORT (PS3.4 Tables J.3-1 and J.3-2)."""
    return StatementTable.of(
        "Attributes of Storage Commitment",
        ("Attribute", "Tag", "N-ACTION", "N-EVENT-REPORT"),
        [
            ("Transaction UID", "(0008,1195)", "required", "returned"),
            (
                "Referenced SOP Sequence",
                "(0008,1199)",
                "required, at least one item",
                "the committed instances, if there are any",
            ),
            (
                ">Referenced SOP Class UID, >Referenced SOP Instance UID",
                "(0008,1150), (0008,1155)",
                "required",
                "returned",
            ),
            (
                ">Storage Media File-Set ID, >Storage Media File-Set UID",
                "(0088,0130), (0088,0140)",
                "ignored",
                "the verified volume that holds the instance, with"
                " `storage_commitment.report_media`",
            ),
            (
                "Failed SOP Sequence",
                "(0008,1198)",
                "not used",
                "the other instances, each with its Failure Reason (0008,1197)",
            ),
            ("Retrieve AE Title", "(0008,0054)", "not used", "never: there is no retrieval"),
        ],
    )
