"""Stage: the instances that a request wants on media, as their rows describe them."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from burnish.application_profiles import ApplicationProfile
from burnish.artifacts import InstanceHeader
from burnish.db import headers
from burnish.db.tables import Instance, ReferencedInstance, TranscodedInstance
from burnish.fileset import dicomdir, profile_keys
from burnish.plan import fitness
from burnish.plan.grouping import Candidate
from burnish.vocabulary import EXPLICIT_VR_LITTLE_ENDIAN, ExecutionStatusInfo, FailureReason


@dataclass(frozen=True, slots=True)
class Icon:
    """The row of an icon that was made, and its item; b"" where none could be made."""

    icon_image_id: int
    item: bytes


@dataclass(slots=True, eq=False)
class Wanted:
    """One referenced instance, and what was made of it in Explicit VR Little Endian, if it was."""

    header: InstanceHeader
    instance_id: int
    profile: str
    transfer_syntax_uid: str
    size: int
    spool_key: str
    calling_ae_title: str
    transcoded_instance_id: int | None
    transcoded_size: int | None
    supplied_icon: bytes | None = None

    def needs_conversion(self, profile: ApplicationProfile) -> bool:
        return fitness.needs_conversion(self.header, self.transfer_syntax_uid, profile)

    def candidate(
        self, profile: ApplicationProfile, label: str = "", icon: Icon | None = None
    ) -> Candidate:
        """The instance as it will be on the medium; what it needs for that must have been made.

        `label` names the profiles of the File-set, `icon` was made of the instance.
        """
        transfer_syntax, size, made = self.transfer_syntax_uid, self.size, None
        if self.needs_conversion(profile):
            assert self.transcoded_size is not None  # noqa: S101
            transfer_syntax, size = EXPLICIT_VR_LITTLE_ENDIAN, self.transcoded_size
            made = self.transcoded_instance_id
        header = profile_keys.dressed(
            self.header, label, self.supplied_icon, icon.item if icon else b""
        )
        lengths = dicomdir.record_lengths(header, transfer_syntax)
        return Candidate(
            instance_id=self.instance_id,
            transcoded_instance_id=made,
            header=header,
            transfer_syntax_uid=transfer_syntax,
            size=size,
            patient_length=lengths.patient,
            study_length=lengths.study,
            series_length=lengths.series,
            record_length=lengths.instance,
            icon_image_id=icon.icon_image_id if icon else None,
        )


@dataclass(frozen=True, slots=True)
class Failures:
    """The instances for which a request fails, and why each."""

    reasons: Mapping[Wanted, FailureReason]

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def info(self) -> ExecutionStatusInfo:
        """NOT_SUPPORTED where a SOP Class is not supported, else a conflict with the profile."""
        if FailureReason.SOP_CLASS_NOT_SUPPORTED in self.reasons.values():
            return ExecutionStatusInfo.NOT_SUPPORTED
        return ExecutionStatusInfo.INST_AP_CONFLICT


def load(session: Session, request_id: int) -> list[Wanted]:
    """What a request wants, in the order of its references."""
    rows = session.execute(
        select(
            *headers.COLUMNS,
            Instance.id,
            ReferencedInstance.requested_media_application_profile,
            Instance.transfer_syntax_uid,
            Instance.size,
            Instance.spool_key,
            Instance.calling_ae_title,
            TranscodedInstance.id,
            TranscodedInstance.size,
            ReferencedInstance.icon_image_sequence,
        )
        .join(
            ReferencedInstance,
            ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid,
        )
        .outerjoin(
            TranscodedInstance,
            (TranscodedInstance.instance_id == Instance.id)
            & (TranscodedInstance.transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN),
        )
        .where(ReferencedInstance.request_id == request_id, Instance.released_at.is_(None))
        .order_by(ReferencedInstance.ordinal)
    )
    return [Wanted(headers.from_row(row), *row[len(headers.COLUMNS) :]) for row in rows]
