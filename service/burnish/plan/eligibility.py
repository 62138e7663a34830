"""Stage: whether an instance may go on media of a profile as it is, converted, or not (pure)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from burnish.application_profiles import ApplicationProfile, Permission
from burnish.application_profiles.limits import unpack
from burnish.transcode import conform, lossy
from burnish.values import InstanceHeader
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, FailureReason

#: How many different reasons an event tells; the Failed SOP Sequence has all the instances.
_REASONS = 5


class Kind(NamedTuple):
    """What decides where an instance may go, and in what form: a request has few kinds of them."""

    sop_class_uid: str
    directory_record_type: str
    limited_attributes: bytes
    transfer_syntax_uid: str

    def permission(self, profile: ApplicationProfile) -> Permission:
        return profile.permission(self.sop_class_uid, self.limited_attributes)


def kind_of(header: InstanceHeader, transfer_syntax_uid: str) -> Kind:
    """The kind of an instance in a transfer syntax."""
    return _kind(
        header.sop_class_uid,
        header.directory_record_type,
        header.limited_attributes,
        transfer_syntax_uid,
    )


#: One object for each kind.
_kind = lru_cache(maxsize=1024)(Kind)


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why an instance may not: the reason (PS3.3 C.22.1.4), in words, and the attributes' tags."""

    reason: FailureReason
    why: str
    attributes: tuple[int, ...] = ()


@lru_cache(maxsize=1024)
def permitted_form(kind: Kind, profile: ApplicationProfile) -> str | None:
    """The transfer syntax it must be in for the profile; None where it cannot be in any."""
    permitted = kind.permission(profile).transfer_syntaxes
    return conform.permitted_form(kind.transfer_syntax_uid, permitted)


@lru_cache(maxsize=1024)
def compressed_form(kind: Kind, profile: ApplicationProfile) -> str | None:
    """The one it may be compressed into without loss, where it must not be compressed anyhow."""
    if permitted_form(kind, profile) != EXPLICIT_VR_LITTLE_ENDIAN:
        return None
    return conform.compressed_form(kind.permission(profile).transfer_syntaxes)


@lru_cache(maxsize=1024)
def lossy_form(kind: Kind, profile: ApplicationProfile) -> str | None:
    """The one it may be compressed into with loss, where nothing of it has been lost yet.

    None also for what only looks like an image, as a dose or a contour does.
    """
    if kind.directory_record_type != "IMAGE":
        return None
    permitted = kind.permission(profile).transfer_syntaxes
    return lossy.form(kind.transfer_syntax_uid, permitted, unpack(kind.limited_attributes))


def in_words(found: Iterable[Unfit]) -> str:
    """Why, the commonest reasons first, and of how many instances each is true."""
    counted = Counter(one.why for one in found).most_common()
    said = [f"{why} ({count} of them)" for why, count in counted[:_REASONS]]
    others = len(counted) - len(said)
    return "; ".join(said) + (f"; and {others} other reasons" if others else "")


@lru_cache(maxsize=1024)
def unfit(kind: Kind, profile: ApplicationProfile, *, lossy: bool = False) -> Unfit | None:
    """Why such an instance cannot go on media of the profile; None where it can.

    With `lossy`, compression with loss is allowed, so it is no reason; but no profile that needs
    it has anything but video, of which Burnish makes none (PS3.4 S.3.2.1.1.9).
    """
    conflict = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
    if not kind.directory_record_type:
        return Unfit(
            FailureReason.SOP_CLASS_NOT_SUPPORTED,
            f"SOP Class {kind.sop_class_uid} has no place in a DICOMDIR",
        )
    permission = kind.permission(profile)
    if permission.why:
        return Unfit(conflict, permission.why, permission.attributes)
    if kind.transfer_syntax_uid in permission.transfer_syntaxes:
        return None
    if permission.needs_loss:
        compression = FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT
        return Unfit(
            conflict if lossy else compression,
            f"{profile.label} takes it only with lossy compression, as video of another Transfer"
            " Syntax, which Burnish does not encode",
        )
    if permitted_form(kind, profile) is None:
        return Unfit(
            conflict,
            f"{profile.label} does not have its Transfer Syntax {kind.transfer_syntax_uid},"
            " and it cannot be brought into one that it has",
        )
    return None
