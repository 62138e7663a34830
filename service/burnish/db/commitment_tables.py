"""Ground: the tables of Storage Commitment (PS3.4 J)."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from burnish.db.tables import UID, Id, Table


class StorageCommitment(Table):
    """One Storage Commitment transaction (PS3.4 J.3): asked for, judged, then reported.

    Open until `reported_at` or `given_up_at`; `not_before` is when its report is next tried, and
    whoever moves it on has the report for himself until then.
    """

    __tablename__ = "storage_commitment"
    __table_args__ = (
        Index("ix_storage_commitment_open", "reported_at", "given_up_at", "not_before"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    transaction_uid: Mapped[str] = mapped_column(UID)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    requested_at: Mapped[datetime]
    judged_at: Mapped[datetime | None]
    promised_until: Mapped[datetime | None]
    reported_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    why: Mapped[str] = mapped_column(Text, default="")

    instances: Mapped[list["CommittedInstance"]] = relationship(
        order_by="CommittedInstance.ordinal", cascade="all, delete-orphan"
    )


class CommittedInstance(Table):
    """One item of a transaction: committed where `failure_reason` is 0 once it is judged."""

    __tablename__ = "committed_instance"
    __table_args__ = (Index("ix_committed_instance_uid", "referenced_sop_instance_uid"),)

    storage_commitment_id: Mapped[int] = mapped_column(
        ForeignKey("storage_commitment.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    referenced_sop_class_uid: Mapped[str] = mapped_column(UID)
    referenced_sop_instance_uid: Mapped[str] = mapped_column(UID)
    failure_reason: Mapped[int] = mapped_column(default=0)
    storage_media_file_set_id: Mapped[str] = mapped_column(String(16), default="")
    storage_media_file_set_uid: Mapped[str] = mapped_column(UID, default="")
