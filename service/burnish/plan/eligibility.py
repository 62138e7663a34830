"""Stage: whether an instance may go on media of a profile, and in which syntaxes (pure)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from burnish.application_profiles import ApplicationProfile, ProfilePermission
from burnish.application_profiles.limits import unpack
from burnish.dicom_elements import PIXEL_DATA
from burnish.instance_header import instance_faults
from burnish.instance_header.pixel_data import absent_attributes
from burnish.transcode import transfer_syntaxes
from burnish.transcode.transfer_syntaxes import MediaSyntaxes
from burnish.values import InstanceHeader
from burnish.vocabulary import FailureReason
from burnish.wording import quantity

#: How many different reasons an event lists; the Failed SOP Sequence has all the instances.
_LISTED_REASONS = 5


class InstanceKind(NamedTuple):
    """The values that decide on which media an instance may go, and in which transfer syntaxes.

    A request has few kinds: what follows from a kind is decided once for all instances of it.
    """

    sop_class_uid: str
    directory_record_type: str
    limited_attributes: bytes
    transfer_syntax_uid: str

    def permission(self, profile: ApplicationProfile) -> ProfilePermission:
        return profile.permission(self.sop_class_uid, self.limited_attributes)


def kind_of(header: InstanceHeader, transfer_syntax_uid: str) -> InstanceKind:
    """The kind of an instance that is in this transfer syntax."""
    return _shared_kind(
        header.sop_class_uid,
        header.directory_record_type,
        header.limited_attributes,
        transfer_syntax_uid,
    )


#: Instances of a kind share one object: what follows from a kind is then looked up in a third of
#: the time, which saves a 40th of all planning.
_shared_kind = lru_cache(maxsize=1024)(InstanceKind)


@dataclass(frozen=True, slots=True)
class InstanceFailure:
    """Why an instance cannot go on media, as a Failed SOP Sequence tells it (PS3.3 C.22.1.4).

    `attributes` are the tags for Failure Attributes (2200,000E). `encoder_fault` tells that an
    encoder gave back other pixel values: then the instance does not go on media uncompressed
    either (PS3.4 S.3.2.1.1.6).
    """

    reason: FailureReason
    why: str
    attributes: tuple[int, ...] = ()
    encoder_fault: bool = False

    @property
    def is_damage(self) -> bool:
        """Whether the instance itself is damaged, or cannot be decoded."""
        return not self.encoder_fault and self.reason in (
            FailureReason.PROCESSING_FAILURE,
            FailureReason.MISSING_ATTRIBUTE,
            FailureReason.MISSING_ATTRIBUTE_VALUE,
        )


@lru_cache(maxsize=1024)
def media_syntaxes(kind: InstanceKind, profile: ApplicationProfile) -> MediaSyntaxes:
    """The transfer syntaxes that instances of a kind may have on media of the profile."""
    return transfer_syntaxes.media_syntaxes(
        kind.transfer_syntax_uid,
        kind.permission(profile).transfer_syntaxes,
        unpack(kind.limited_attributes),
        is_image=kind.directory_record_type == "IMAGE",
    )


@lru_cache(maxsize=1024)
def conflict(
    kind: InstanceKind, profile: ApplicationProfile, *, lossy_allowed: bool = False
) -> InstanceFailure | None:
    """Why instances of a kind cannot go on media of the profile; None where they can.

    Where loss is needed but not allowed, that is the reason. Where it is allowed, the instance
    still cannot go there: the only profiles that need loss have video, which Burnish does not
    encode (PS3.4 S.3.2.1.1.9).
    """
    profile_conflict = FailureReason.MEDIA_APPLICATION_PROFILE_INSTANCE_CONFLICT
    if not kind.directory_record_type:
        return InstanceFailure(
            FailureReason.SOP_CLASS_NOT_SUPPORTED,
            f"SOP Class {kind.sop_class_uid} has no place in a DICOMDIR",
        )
    permission = kind.permission(profile)
    if permission.why:
        return InstanceFailure(profile_conflict, permission.why, permission.attributes)
    if kind.transfer_syntax_uid in permission.transfer_syntaxes:
        return None
    if permission.needs_loss:
        return InstanceFailure(
            profile_conflict
            if lossy_allowed
            else FailureReason.MEDIA_APPLICATION_PROFILE_COMPRESSION_CONFLICT,
            f"{profile.label} permits it only as compressed video, which Burnish does not encode",
        )
    if media_syntaxes(kind, profile).default is None:
        return InstanceFailure(
            profile_conflict,
            f"{profile.label} does not permit {_transfer_syntax(kind, profile)},"
            " and Burnish cannot convert it to one that the profile permits",
        )
    return None


def _transfer_syntax(kind: InstanceKind, profile: ApplicationProfile) -> str:
    """The transfer syntax of an instance, with the attributes that keep it from the profile."""
    syntax = f"its Transfer Syntax {kind.transfer_syntax_uid}"
    attributes = profile.attributes_against(
        kind.sop_class_uid, kind.limited_attributes, kind.transfer_syntax_uid
    )
    return f"{syntax} with {attributes}" if attributes else syntax


def damage(header: InstanceHeader) -> InstanceFailure:
    """Why an instance with a `fault` cannot go on media."""
    absent = absent_attributes(header.limited_attributes)
    is_image = header.directory_record_type == "IMAGE"
    if is_image and absent.missing:
        reason, attributes = FailureReason.MISSING_ATTRIBUTE, absent.missing
    elif is_image and absent.empty:
        reason, attributes = FailureReason.MISSING_ATTRIBUTE_VALUE, absent.empty
    else:
        reason = FailureReason.PROCESSING_FAILURE
        attributes = instance_faults.attributes(header.fault) or (PIXEL_DATA,)
    return InstanceFailure(reason, header.fault, attributes)


def in_words(failures: Iterable[InstanceFailure]) -> str:
    """The reasons, the most frequent first, each with the number of its instances."""
    counts = Counter(failure.why for failure in failures).most_common()
    listed = [f"{why} ({quantity(count, 'instance')})" for why, count in counts[:_LISTED_REASONS]]
    if len(counts) > len(listed):
        listed.append(f"and {quantity(len(counts) - len(listed), 'other reason')}")
    return "; ".join(listed)
