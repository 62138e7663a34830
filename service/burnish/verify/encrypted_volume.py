"""Craft: judges a Secure File-set without its key, by what is around the content of its files."""

from burnish.application_profiles import ApplicationProfile
from burnish.errors import Unreadable
from burnish.values import SecureVolume, VolumeReport
from burnish.verify import file_meta_checks
from burnish.verify.faults import FaultCode, Faults

NOT_SECURE = "it is no Secure DICOM File, as all DICOM files on this volume should be"


def examine_encrypted_volume(
    volume: SecureVolume, profile: ApplicationProfile | None = None
) -> VolumeReport:
    """Whether every DICOM File is a Secure DICOM File as PS3.15 D.1 says, its content unseen."""
    faults = Faults()
    for where, message in volume.disagreements().items():
        faults.add(FaultCode.FILE_SYSTEM_CONTRADICTORY, where, message)
    unexamined = 0
    for name in volume.files():
        try:
            if volume.is_secure(name):
                unexamined += 1
            elif file_meta_checks.is_dicom(volume.read(name, 0, file_meta_checks.PREAMBLE)):
                faults.add(FaultCode.FILE_NOT_SECURE, name, NOT_SECURE)
        except Unreadable as error:
            faults.add(FaultCode.SECURE_FILE_UNSOUND, name, f"it is not sound: {error}")
    if profile and not profile.secure:
        faults.add(FaultCode.FILE_SECURE, "volume", f"{profile.label} has no Secure DICOM Files")
    return VolumeReport(
        volume_identifier=volume.volume_identifier,
        file_set_uid="",
        instances=0,
        files=len(volume.files()),
        bytes_read=0,
        faults=faults.all(),
        unexamined=unexamined,
    )
