"""Stage: whether an instance may go on media of a profile as it is, converted, or not (pure)."""

from dataclasses import dataclass

from burnish.application_profiles import ApplicationProfile
from burnish.artifacts import InstanceHeader
from burnish.fileset import conform
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an instance may not: the reason (PS3.3 C.22.1.4), in words, and the attributes' tags."""

    reason: FailureReason
    why: str
    attributes: tuple[int, ...] = ()


def permitted_form(
    header: InstanceHeader, transfer_syntax_uid: str, profile: ApplicationProfile
) -> str | None:
    """The transfer syntax it must be in for the profile; None where it cannot be in any."""
    permission = profile.permission(header.sop_class_uid, header.limited_attributes)
    return conform.permitted_form(transfer_syntax_uid, permission.transfer_syntaxes)


def compressed_form(
    header: InstanceHeader, transfer_syntax_uid: str, profile: ApplicationProfile
) -> str | None:
    """The one it may be compressed into without loss, where it must not be compressed anyhow."""
    permission = profile.permission(header.sop_class_uid, header.limited_attributes)
    permitted = permission.transfer_syntaxes
    if conform.permitted_form(transfer_syntax_uid, permitted) != EXPLICIT_VR_LITTLE_ENDIAN:
        return None
    return conform.compressed_form(permitted)


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
    if conform.permitted_form(transfer_syntax_uid, permission.transfer_syntaxes) is None:
        return Unfit(
            conflict,
            f"{profile.label} does not have its Transfer Syntax {transfer_syntax_uid},"
            " and it cannot be brought into one that it has",
        )
    return None
