"""Craft: examines a Secure File-set without its keys: only the envelopes of its files."""

from burnish.application_profiles import ApplicationProfile
from burnish.errors import Unreadable
from burnish.values import SecureVolume, VolumeReport
from burnish.verify.faults import FaultCode, Faults
from burnish.verify.file_meta_checks import PREAMBLE, is_dicom

NOT_SECURE = "it is a DICOM file but not a Secure DICOM File, as this volume requires"


def examine_encrypted_volume(
    volume: SecureVolume, profile: ApplicationProfile | None = None
) -> VolumeReport:
    """Checks that every DICOM file is a Secure DICOM File (PS3.15 D.1); contents stay unread."""
    faults = Faults()
    for where, message in volume.disagreements().items():
        faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)
    unexamined = 0
    for name in volume.files():
        try:
            if volume.is_secure(name):
                unexamined += 1
            elif is_dicom(volume.read(name, 0, PREAMBLE)):
                faults.add(FaultCode.FILE_NOT_SECURE, name, NOT_SECURE)
        except Unreadable as error:
            faults.add(FaultCode.SECURE_FILE_UNSOUND, name, f"its envelope is damaged: {error}")
    if profile and not profile.secure:
        message = f"it has Secure DICOM Files, which {profile.label} does not permit"
        faults.add(FaultCode.FILE_SECURE, "volume", message)
    return VolumeReport(
        volume_identifier=volume.volume_identifier,
        file_set_uid="",
        instances=0,
        files=len(volume.files()),
        bytes_read=0,
        faults=faults.all(),
        unexamined=unexamined,
    )
