"""Stage: whether an instance may go on media of a profile as it is, converted, or not (pure)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from burnish.application_profiles import ApplicationProfile
from burnish.application_profiles.limits import unpack
from burnish.artifacts import InstanceHeader
from burnish.fileset import conform, lossy
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason

#: How many different reasons an event tells; the Failed SOP Sequence has all the instances.
_REASONS = 5


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


def lossy_form(
    header: InstanceHeader, transfer_syntax_uid: str, profile: ApplicationProfile
) -> str | None:
    """The one it may be compressed into with loss, where nothing of it has been lost yet.

    None also for what only looks like an image, as a dose or a contour does.
    """
    if header.directory_record_type != "IMAGE":
        return None
    permission = profile.permission(header.sop_class_uid, header.limited_attributes)
    values = unpack(header.limited_attributes)
    return lossy.form(transfer_syntax_uid, permission.transfer_syntaxes, values)


def in_words(found: Iterable[Unfit]) -> str:
    """Why, the commonest reasons first, and of how many instances each is true."""
    counted = Counter(one.why for one in found).most_common()
    said = [f"{why} ({count} of them)" for why, count in counted[:_REASONS]]
    others = len(counted) - len(said)
    return "; ".join(said) + (f"; and {others} other reasons" if others else "")


def unfit(
    header: InstanceHeader,
    transfer_syntax_uid: str,
    profile: ApplicationProfile,
    *,
    lossy: bool = False,
) -> Unfit | None:
    """Why the instance cannot go on media of the profile; None where it can.

    With `lossy`, compression with loss is allowed, so it is no reason; but no profile that needs
    it has anything but video, of which Burnish makes none (PS3.4 S.3.2.1.1.9).
    """
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
        compression = FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT
        return Unfit(
            conflict if lossy else compression,
            f"{profile.label} takes it only with lossy compression, as video of another Transfer"
            " Syntax, which Burnish does not encode",
        )
    if conform.permitted_form(transfer_syntax_uid, permission.transfer_syntaxes) is None:
        return Unfit(
            conflict,
            f"{profile.label} does not have its Transfer Syntax {transfer_syntax_uid},"
            " and it cannot be brought into one that it has",
        )
    return None
