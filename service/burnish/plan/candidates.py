"""Stage: the instances that a request wants on media, as their rows describe them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import Session

from burnish.application_profiles import ApplicationProfile
from burnish.db import instance_rows
from burnish.db.tables import Instance, ReferencedInstance, TranscodedInstance
from burnish.dicomdir import encoder, profile_keys
from burnish.plan import eligibility
from burnish.plan.eligibility import Kind, kind_of
from burnish.plan.grouping import Candidate
from burnish.values import InstanceHeader
from burnish.vocabulary import ExecutionStatusInfo, FailureReason


@dataclass(frozen=True, slots=True)
class Icon:
    """The row of an icon that was made, and its item; b"" where none could be made."""

    icon_image_id: int
    item: bytes


class Form(NamedTuple):
    """An instance as it lies in the spool in one transfer syntax; `size` is the file's, in bytes.

    `transcoded_instance_id` is None for what was received. Of what is another SOP Instance,
    being compressed with loss, there are its UID and the keys of its directory record.
    """

    transfer_syntax_uid: str
    transcoded_instance_id: int | None
    size: int
    spool_key: str
    derived_sop_instance_uid: str = ""
    derived_record_keys: bytes = b""


@dataclass(slots=True, eq=False)
class Wanted:
    """One referenced instance as it was received, and the forms that were made of it.

    `profile` is the label that the request names for it, "" where it names none.
    """

    header: InstanceHeader
    kind: Kind
    instance_id: int
    size: int
    spool_key: str
    profile: str = ""
    calling_ae_title: str = ""
    supplied_icon: bytes | None = None
    made: Sequence[Form] = ()

    @property
    def received(self) -> Form:
        return Form(self.kind.transfer_syntax_uid, None, self.size, self.spool_key)

    def form(self, transfer_syntax_uid: str | None) -> Form | None:
        """The instance in this transfer syntax, if that was received or made."""
        if transfer_syntax_uid == self.kind.transfer_syntax_uid:
            return self.received
        return next((f for f in self.made if f.transfer_syntax_uid == transfer_syntax_uid), None)

    def lacks(self, transfer_syntax_uid: str | None) -> bool:
        """Whether it should be in this transfer syntax, and is not."""
        if not transfer_syntax_uid or transfer_syntax_uid == self.kind.transfer_syntax_uid:
            return False
        return self.form(transfer_syntax_uid) is None

    def permitted_form(self, profile: ApplicationProfile) -> str | None:
        """The transfer syntax it must be in for `profile`; None where it cannot be in any."""
        return eligibility.permitted_form(self.kind, profile)

    def compressed_form(self, profile: ApplicationProfile) -> str | None:
        """The transfer syntax it may be compressed into, where it is not compressed."""
        return eligibility.compressed_form(self.kind, profile)

    def lossy_form(self, profile: ApplicationProfile) -> str | None:
        """The transfer syntax it may be compressed into with loss, where it has not been."""
        return eligibility.lossy_form(self.kind, profile)

    def candidate(
        self,
        profile: ApplicationProfile,
        label: str = "",
        icon: Icon | None = None,
        *,
        compressed: bool = False,
        lossy: bool = False,
    ) -> Candidate:
        """The instance as it will be on the medium; what it needs for that must have been made.

        `label` names the profiles of the File-set, `icon` was made of the instance. With
        `compressed`, in its compressed form, where that is there and smaller, and with `lossy` in
        that with loss.
        """
        header, syntax, size, transcoded = (
            self.header,
            self.kind.transfer_syntax_uid,
            self.size,
            None,
        )
        derived_uid, derived_keys = "", b""
        if self.made:
            form = self._form_for(profile, compressed=compressed, lossy=lossy)
            syntax, transcoded, size, _, derived_uid, derived_keys = form
        header = profile_keys.header_on_media(
            header,
            label,
            derived_sop_instance_uid=derived_uid,
            derived_record_keys=derived_keys,
            supplied_icon=self.supplied_icon,
            made_icon=icon.item if icon else b"",
        )
        return Candidate(
            self.instance_id,
            transcoded,
            header,
            syntax,
            size,
            *encoder.record_lengths(header, syntax),
            icon.icon_image_id if icon else None,
        )

    def _form_for(self, profile: ApplicationProfile, *, compressed: bool, lossy: bool) -> Form:
        form = self.form(self.permitted_form(profile))
        assert form is not None  # noqa: S101
        for wish in (
            self.compressed_form(profile) if compressed else None,
            self.lossy_form(profile) if lossy else None,
        ):
            smaller = self.form(wish)
            if smaller and smaller.size < form.size:
                form = smaller
        return form


@dataclass(frozen=True, slots=True)
class Failures:
    """The instances for which a request fails, why each, and the tags of what stands against it.

    The last are the Failure Attributes (2200,000E).
    """

    reasons: Mapping[Wanted, FailureReason]
    attributes: Mapping[Wanted, tuple[int, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def info(self) -> ExecutionStatusInfo:
        """NOT_SUPPORTED where a SOP Class is not supported, else a conflict with the profile."""
        if FailureReason.SOP_CLASS_NOT_SUPPORTED in self.reasons.values():
            return ExecutionStatusInfo.NOT_SUPPORTED
        return ExecutionStatusInfo.INST_AP_CONFLICT


def load(session: Session, request_id: int) -> list[Wanted]:
    """What a request wants, in the order of its references."""
    of_request = (
        (ReferencedInstance.referenced_sop_instance_uid == Instance.sop_instance_uid)
        & (ReferencedInstance.request_id == request_id)
        & Instance.released_at.is_(None)
    )
    connection = session.connection()
    made = _made(connection, of_request)
    rows = connection.execute(
        select(
            *instance_rows.HEADER_COLUMNS,
            Instance.transfer_syntax_uid,
            Instance.id,
            Instance.size,
            Instance.spool_key,
            ReferencedInstance.requested_media_application_profile,
            Instance.calling_ae_title,
            ReferencedInstance.icon_image_sequence,
        )
        .join(ReferencedInstance, of_request)
        .order_by(ReferencedInstance.ordinal)
    )
    header_of = instance_rows.HeaderReader().header
    wanted = []
    for row in instance_rows.in_chunks(rows):
        header = header_of(row)
        syntax, number, size, key, profile, title, icon = row[len(instance_rows.HEADER_COLUMNS) :]
        kind, forms = kind_of(header, syntax), made.get(number, ())
        wanted.append(Wanted(header, kind, number, size, key, profile, title, icon, forms))
    return wanted


def _made(connection: Connection, of_request: ColumnElement[bool]) -> dict[int, list[Form]]:
    """What was made of instances, by their row ids."""
    forms: dict[int, list[Form]] = {}
    for row in connection.execute(
        select(
            TranscodedInstance.instance_id,
            TranscodedInstance.transfer_syntax_uid,
            TranscodedInstance.id,
            TranscodedInstance.size,
            TranscodedInstance.spool_key,
            TranscodedInstance.derived_sop_instance_uid,
            TranscodedInstance.derived_record_keys,
        )
        .join(Instance, Instance.id == TranscodedInstance.instance_id)
        .join(ReferencedInstance, of_request)
    ):
        forms.setdefault(row.instance_id, []).append(
            Form(
                *(row.transfer_syntax_uid, row.id, row.size, row.spool_key),
                *(row.derived_sop_instance_uid, row.derived_record_keys),
            )
        )
    return forms
