"""Ground: terms and UIDs of the standard that Burnish uses, spelled as the standard spells them."""

from enum import IntEnum, StrEnum

#: Identifies Burnish in File Meta Information and in associations (PS3.10 7.1, PS3.7 D.3.3.2).
IMPLEMENTATION_CLASS_UID = "2.25.92338630323159070116276556938433792027"
IMPLEMENTATION_VERSION_NAME = "BURNISH_0_1"

VERIFICATION = "1.2.840.10008.1.1"
MEDIA_STORAGE_DIRECTORY_STORAGE = "1.2.840.10008.1.3.10"
MEDIA_CREATION_MANAGEMENT = "1.2.840.10008.5.1.1.33"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE_COMMITMENT_PUSH_MODEL = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
STORAGE_SERVICE_CLASS = "1.2.840.10008.4.2"
NON_PATIENT_OBJECT_STORAGE_SERVICE_CLASS = "1.2.840.10008.4.5"

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_2000_LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
RLE_LOSSLESS = "1.2.840.10008.1.2.5"


class ExecutionStatus(StrEnum):
    """Execution Status (2100,0020) of Media Creation Management (PS3.3 C.22.1.2).

    `DELETED` is not in the standard: a cancelled request, which no N-GET returns (PS3.4 S.3.2.3.3).
    """

    IDLE = "IDLE"
    PENDING = "PENDING"
    CREATING = "CREATING"
    DONE = "DONE"
    FAILURE = "FAILURE"
    DELETED = "DELETED"


#: The states of a request that has not ended: it may still need its instances.
OPEN_STATES = (ExecutionStatus.IDLE, ExecutionStatus.PENDING, ExecutionStatus.CREATING)


class ExecutionStatusInfo(StrEnum):
    """Execution Status Info (2100,0030), Defined Terms of PS3.3 C.22.1.3."""

    NORMAL = "NORMAL"
    CHECK_MCD_OP = "CHECK_MCD_OP"
    CHECK_MCD_SRV = "CHECK_MCD_SRV"
    DIR_PROC_ERR = "DIR_PROC_ERR"
    DUPL_REF_INST = "DUPL_REF_INST"
    INST_AP_CONFLICT = "INST_AP_CONFLICT"
    INST_OVERSIZED = "INST_OVERSIZED"
    INSUFFIC_MEMORY = "INSUFFIC_MEMORY"
    MCD_BUSY = "MCD_BUSY"
    MCD_FAILURE = "MCD_FAILURE"
    NO_INSTANCE = "NO_INSTANCE"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    OUT_OF_SUPPLIES = "OUT_OF_SUPPLIES"
    PROC_FAILURE = "PROC_FAILURE"
    QUEUED = "QUEUED"
    SET_OVERSIZED = "SET_OVERSIZED"
    UNKNOWN = "UNKNOWN"


#: The Execution Status Info of a request that waits for a device.
DEVICE_HOLDS = (
    ExecutionStatusInfo.CHECK_MCD_OP,
    ExecutionStatusInfo.CHECK_MCD_SRV,
    ExecutionStatusInfo.OUT_OF_SUPPLIES,
    ExecutionStatusInfo.MCD_BUSY,
)


class FailureReason(IntEnum):
    """Failure Reason (0008,1197) in Media Creation Management (PS3.3 C.22.1.4)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    MEDIA_APPLICATION_PROFILES_CONFLICT = 0x0201
    MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT = 0x0202
    MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT = 0x0203
    MEDIA_APPLICATION_PROFILE_NOT_SUPPORTED = 0x0204
    INSTANCE_SIZE_EXCEEDED = 0x0205


class CommitmentFailure(IntEnum):
    """Failure Reason (0008,1197) in Storage Commitment (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    REFERENCED_SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213


class RequestPriority(StrEnum):
    """Request Priority (2200,0020), Enumerated Values of PS3.3 C.22.1."""

    HIGH = "HIGH"
    MED = "MED"
    LOW = "LOW"


class YesNo(StrEnum):
    """The Enumerated Values of the Media Creation Management flags (PS3.3 C.22.1)."""

    YES = "YES"
    NO = "NO"


class IncludeNonDICOMObjects(StrEnum):
    """Include Non-DICOM Objects (2200,0008), Defined Terms of PS3.3 C.22.1."""

    NO = "NO"
    FOR_PHYSICIAN = "FOR_PHYSICIAN"
    FOR_PATIENT = "FOR_PATIENT"
    FOR_TEACHING = "FOR_TEACHING"
    FOR_RESEARCH = "FOR_RESEARCH"


class NoticeCause(StrEnum):
    """Why people are told something."""

    NEEDS_PERSON = "needs_person"  #: a request goes on only after somebody has done something
    FAILED = "failed"  #: a request ended in FAILURE
    STUCK = "stuck"  #: a request waits, and nobody has to do anything about it
    DISK = "disk"
    DEVICE = "device"


class NoticePhase(StrEnum):
    """Whether a cause has begun or ended."""

    BEGUN = "begun"
    ENDED = "ended"


class PieceState(StrEnum):
    """The state of one piece of media: one copy of one volume."""

    QUEUED = "QUEUED"
    IMAGING = "IMAGING"
    WRITING = "WRITING"
    VERIFYING = "VERIFYING"
    CREATED = "CREATED"
    SPOILED = "SPOILED"
    DROPPED = "DROPPED"
