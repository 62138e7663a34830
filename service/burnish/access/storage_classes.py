"""Ground: the SOP Classes and transfer syntaxes of the instances that are received."""

from pynetdicom.presentation import (
    AllStoragePresentationContexts,
    NonPatientObjectPresentationContexts,
)

from burnish import registered_uids
from burnish.settings import StorageSettings
from burnish.settings.storage import ANY, STANDARD

#: Image SOP Classes that are retired and that old devices still send.
RETIRED_STORAGE_SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.3",  # Ultrasound Multi-frame Image
    "1.2.840.10008.5.1.4.1.1.5",  # Nuclear Medicine Image
    "1.2.840.10008.5.1.4.1.1.6",  # Ultrasound Image
    "1.2.840.10008.5.1.4.1.1.12.3",  # X-Ray Angiographic Bi-Plane Image
    "1.2.840.10008.5.1.4.1.1.77.1",  # VL Image
    "1.2.840.10008.5.1.4.1.1.77.2",  # VL Multi-frame Image
}
#: What the UIDs of the standard begin with, and those of its Storage SOP Classes.
_ROOT_OF_STANDARD = "1.2.840.10008."
_ROOT_OF_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: Storage (PS3.4 B.5), Non-Patient Object Storage (PS3.4 GG.3), and retired classes of Storage.
STORAGE_SOP_CLASSES: frozenset[str] = frozenset(
    {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    | {str(context.abstract_syntax) for context in NonPatientObjectPresentationContexts}
    | RETIRED_STORAGE_SOP_CLASSES
)
#: JPIP and SMPTE ST 2110 leave the pixels elsewhere: such instances cannot be put on media.
_EXCLUDED_TRANSFER_SYNTAXES = {
    "1.2.840.10008.1.2.4.94",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.204",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.7.1",
    "1.2.840.10008.1.2.7.2",
    "1.2.840.10008.1.2.7.3",
}
#: Every transfer syntax of the standard that media can hold, including the retired ones.
STORAGE_TRANSFER_SYNTAXES: frozenset[str] = (
    registered_uids.transfer_syntaxes() - _EXCLUDED_TRANSFER_SYNTAXES
)


def configured_storage_sop_classes(settings: StorageSettings) -> frozenset[str]:
    """The Storage SOP Classes that `storage.sop_classes` lists, those of "standard" among them."""
    listed = frozenset(settings.sop_classes) - {STANDARD, ANY}
    if STANDARD in settings.sop_classes or ANY in settings.sop_classes:
        return listed | STORAGE_SOP_CLASSES
    return listed


def may_be_storage(sop_class_uid: str) -> bool:
    """Whether a SOP Class without a row here may be one of Storage: a private or a new one."""
    is_of_standard = sop_class_uid.startswith(_ROOT_OF_STANDARD)
    return not is_of_standard or sop_class_uid.startswith(_ROOT_OF_STORAGE)


def is_received(settings: StorageSettings, sop_class_uid: str) -> bool:
    """Whether instances of a SOP Class are received, by `storage.sop_classes`."""
    if sop_class_uid in configured_storage_sop_classes(settings):
        return True
    return ANY in settings.sop_classes and may_be_storage(sop_class_uid)
