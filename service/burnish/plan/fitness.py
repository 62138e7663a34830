"""Stage: whether an instance may go on media of a profile as it is, converted, or not (pure)."""

from dataclasses import dataclass

from burnish.application_profiles import ApplicationProfile
from burnish.artifacts import InstanceHeader
from burnish.fileset import transcode
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an instance may not: the reason (PS3.3 C.22.1.4), in words, and the attributes' tags."""

    reason: FailureReason
    why: str
    attributes: tuple[int, ...] = ()


def needs_conversion(
    header: InstanceHeader, transfer_syntax_uid: str, profile: ApplicationProfile
) -> bool:
    """Whether the profile does not permit the instance in the transfer syntax that it has."""
    permission = profile.permission(header.sop_class_uid, header.limited_attributes)
    return transfer_syntax_uid not in permission.transfer_syntaxes


def unfit(
    header: InstanceHeader, transfer_syntax_uid: str, profile: ApplicationProfile
) -> Unfit | None:
    """Why the instance cannot go on media of the profile; None where it can."""
    conflict = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
    if not header.directory_record_type:
        return Unfit(
            FailureReason.SOP_CLASS_NOT_SUPPORTED,
            f"SOP Class {header.sop_class_uid} has no place in a DICOMDIR",
        )
    permission = profile.permission(header.sop_class_uid, header.limited_attributes)
    if permission.why:
        return Unfit(conflict, permission.why, permission.attributes)
    if transfer_syntax_uid in permission.transfer_syntaxes:
        return None
    if permission.needs_loss:
        return Unfit(
            FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT,
            f"{profile.label} takes it only with lossy compression",
        )
    if EXPLICIT_VR_LITTLE_ENDIAN not in permission.transfer_syntaxes or not transcode.decodable(
        transfer_syntax_uid
    ):
        return Unfit(
            conflict,
            f"{profile.label} does not have its Transfer Syntax {transfer_syntax_uid},"
            " and it cannot be brought into one that it has",
        )
    return None
