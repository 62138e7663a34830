"""Ground: the tables, which are the domain records and the queue."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Enum,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from burnish.lifecycle import Custody
from burnish.values import AccountRole
from burnish.vocabulary import (
    ExecutionStatus,
    ExecutionStatusInfo,
    NoticeCause,
    NoticePhase,
    PieceState,
    RequestPriority,
)


class UTCDateTime(TypeDecorator[datetime]):
    """A point in time, always aware and in UTC, even if the database has no such type."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


#: 64 bits on PostgreSQL; SQLite wants plain INTEGER for its row ids, which has 64 bits too.
Id = BigInteger().with_variant(Integer(), "sqlite")
UID = String(64)
#: Text that is compared by its characters, so that an index finds what begins with a prefix.
_BYTE_ORDER = String(64).with_variant(String(64, collation="C"), "postgresql")


def _enum(kind: type) -> Enum:
    return Enum(kind, native_enum=False, length=32, values_callable=lambda e: [m.value for m in e])


class Table(DeclarativeBase):
    """The base of every table. Constraints have fixed names, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UTCDateTime, bytes: LargeBinary}  # noqa: RUF012


def _index_of_set(table_name: str, column: str, is_set: str) -> Index:
    """An index of the few rows whose `column` is set."""
    condition = text(f"{column} {is_set}")
    return Index(
        f"ix_{table_name}_{column}", column, sqlite_where=condition, postgresql_where=condition
    )


class Instance(Table):
    """One received SOP Instance: its identity, its directory keys, and its file in the spool.

    `digest` is that of the data set as received. `size` is that of the file, in which
    `data_set_offset` bytes of File Meta Information precede the data set. The file is in the spool
    until `released_at`.

    A SOP Instance UID can be received again with other content, for example with a corrected name:
    that gets a row of its own, and the older row has `replaced_at`. Only the newest content goes
    onto media that are planned from then on (`is_newest`). The rows of older contents are the
    history of the instance; they are deleted after it.
    """

    __tablename__ = "instance"
    __table_args__ = (
        Index(
            "uq_instance_live",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("released_at IS NULL AND replaced_at IS NULL"),
            postgresql_where=text("released_at IS NULL AND replaced_at IS NULL"),
        ),
        Index(
            "ix_instance_replaced",
            "sop_instance_uid",
            "replaced_at",
            sqlite_where=text("replaced_at IS NOT NULL"),
            postgresql_where=text("replaced_at IS NOT NULL"),
        ),
        Index("ix_instance_released_at", "released_at", "received_at"),
        Index("ix_instance_study", "study_instance_uid"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sop_class_uid: Mapped[str] = mapped_column(UID)
    sop_instance_uid: Mapped[str] = mapped_column(UID)
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    series_instance_uid: Mapped[str] = mapped_column(UID)
    patient_id: Mapped[str] = mapped_column(Text)
    issuer_of_patient_id: Mapped[str] = mapped_column(Text)
    patient_name: Mapped[str] = mapped_column(Text)
    study_date: Mapped[str] = mapped_column(Text)
    study_time: Mapped[str] = mapped_column(Text)
    modality: Mapped[str] = mapped_column(Text)
    series_number: Mapped[int | None] = mapped_column(BigInteger)
    instance_number: Mapped[int | None] = mapped_column(BigInteger)
    directory_record_type: Mapped[str] = mapped_column(String(16))
    entity_keys: Mapped[bytes]
    record_keys: Mapped[bytes]
    missing_keys: Mapped[str] = mapped_column(Text)
    limited_attributes: Mapped[bytes]
    fault: Mapped[str] = mapped_column(Text, default="")
    spool_key: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    data_set_offset: Mapped[int]
    digest: Mapped[str] = mapped_column(String(80))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    called_ae_title: Mapped[str] = mapped_column(String(16))
    received_at: Mapped[datetime]
    released_at: Mapped[datetime | None]
    replaced_at: Mapped[datetime | None]

    @classmethod
    def is_newest(cls) -> ColumnElement[bool]:
        """The condition for the newest content of each instance that is in the spool."""
        return cls.released_at.is_(None) & cls.replaced_at.is_(None)


class Segment(Table):
    """One segment of the spool: how much of it has rows, and how it was sealed.

    Records before `indexed_offset` have their rows. A segment that has no row yet has no rows of
    instances either. The segment is immutable from `sealed_at` on: it has `sealed_size` bytes, and
    `digest` is that of its record headers, in order.
    """

    __tablename__ = "segment"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    indexed_offset: Mapped[int] = mapped_column(BigInteger)
    sealed_at: Mapped[datetime | None]
    sealed_size: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(80), default="")


class TranscodedInstance(Table):
    """One instance in another transfer syntax, made once for all copies, volumes and retries.

    If it was compressed with loss it is another SOP Instance: `derived_sop_instance_uid` is its
    UID, `derived_record_keys` are the keys of its directory record. Otherwise both are empty.
    """

    __tablename__ = "transcoded_instance"
    __table_args__ = (UniqueConstraint("instance_id", "transfer_syntax_uid"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id", ondelete="CASCADE"))
    transfer_syntax_uid: Mapped[str] = mapped_column(UID)
    spool_key: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    data_set_offset: Mapped[int]
    digest: Mapped[str] = mapped_column(String(80))
    derived_sop_instance_uid: Mapped[str] = mapped_column(UID, default="")
    derived_record_keys: Mapped[bytes] = mapped_column(default=b"")


class IconImage(Table):
    """The icon of one instance: the item of its Icon Image Sequence (PS3.3 F.7).

    It is `pixels` wide and high. `item` is in Explicit VR Little Endian; empty if no icon can be
    made.
    """

    __tablename__ = "icon_image"
    __table_args__ = (UniqueConstraint("instance_id", "pixels"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id", ondelete="CASCADE"))
    pixels: Mapped[int]
    item: Mapped[bytes]


class MediaCreationRequest(Table):
    """One SOP Instance of Media Creation Management (PS3.4 Annex S), whoever asked for it.

    `recipients` (certificates in PEM) and `password_file` (a path) tell who can open secure media;
    if both are empty, the settings do. No row holds a password or a key. `device` is the name of
    the device that makes the media, or "" for any. `supplements_id` is the earlier request that
    these instances were too late for. `requested_by` is the person, peer or standing order that
    asked for it, in words.
    """

    __tablename__ = "media_creation_request"
    __table_args__ = (
        Index("ix_media_creation_request_execution_status", "execution_status", "initiated_at"),
        Index("ix_media_creation_request_calling_ae_title", "calling_ae_title"),
        _index_of_set("media_creation_request", "barcode_value", "<> ''"),
        _index_of_set("media_creation_request", "supplements_id", "IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    sop_instance_uid: Mapped[str] = mapped_column(UID, unique=True)
    origin: Mapped[str] = mapped_column(String(40))
    calling_ae_title: Mapped[str] = mapped_column(String(16), default="")
    requested_by: Mapped[str] = mapped_column(Text, default="", server_default="")
    execution_status: Mapped[ExecutionStatus] = mapped_column(_enum(ExecutionStatus))
    execution_status_info: Mapped[ExecutionStatusInfo] = mapped_column(_enum(ExecutionStatusInfo))
    remedy: Mapped[str] = mapped_column(Text, default="")
    specific_character_set: Mapped[str] = mapped_column(Text, default="")
    storage_media_file_set_id: Mapped[str] = mapped_column(Text, default="")
    storage_media_file_set_uid: Mapped[str] = mapped_column(UID, default="")
    label_using_information_extracted_from_instances: Mapped[str] = mapped_column(String(16))
    label_text: Mapped[str] = mapped_column(Text, default="")
    label_style_selection: Mapped[str] = mapped_column(String(16), default="")
    barcode_value: Mapped[str] = mapped_column(Text, default="")
    barcode_symbology: Mapped[str] = mapped_column(String(16), default="")
    media_disposition: Mapped[str] = mapped_column(Text, default="")
    recipients: Mapped[str] = mapped_column(Text, default="")
    password_file: Mapped[str] = mapped_column(Text, default="")
    allow_media_splitting: Mapped[str] = mapped_column(String(16))
    allow_lossy_compression: Mapped[str] = mapped_column(String(16))
    include_non_dicom_objects: Mapped[str] = mapped_column(String(16))
    include_display_application: Mapped[str] = mapped_column(String(16))
    preserve_composite_instances_after_media_creation: Mapped[str] = mapped_column(String(16))
    number_of_copies: Mapped[int] = mapped_column(Integer, default=1)
    request_priority: Mapped[RequestPriority] = mapped_column(_enum(RequestPriority))
    created_at: Mapped[datetime]
    initiated_at: Mapped[datetime | None]
    admitted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    device: Mapped[str] = mapped_column(String(32), default="")
    standing_order: Mapped[str] = mapped_column(String(32), default="")
    supplements_id: Mapped[int | None] = mapped_column(Id)
    held_at: Mapped[datetime | None]
    retrieval_began_at: Mapped[datetime | None]
    retrieval_ended_at: Mapped[datetime | None]

    references: Mapped[list["ReferencedInstance"]] = relationship(
        order_by="ReferencedInstance.ordinal", cascade="all, delete-orphan"
    )
    failures: Mapped[list["FailedInstance"]] = relationship(
        order_by="FailedInstance.ordinal", cascade="all, delete-orphan"
    )
    file_sets: Mapped[list["FileSet"]] = relationship(
        order_by="FileSet.volume_number", cascade="all, delete-orphan"
    )


def short_id(request_id: int) -> str:
    """The name of a request for people and for directories: R000042.

    It holds nothing of the patient or the peer.
    """
    return f"R{request_id:06d}"


class ReferencedInstance(Table):
    """One item of the Referenced SOP Sequence (0008,1199) of a request."""

    __tablename__ = "referenced_instance"
    __table_args__ = (
        # with the UID alone, SQLite would read all references of a request for each instance
        Index("ix_referenced_instance_uid", "referenced_sop_instance_uid", "request_id"),
    )

    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    referenced_sop_class_uid: Mapped[str] = mapped_column(UID)
    referenced_sop_instance_uid: Mapped[str] = mapped_column(UID)
    requested_media_application_profile: Mapped[str] = mapped_column(String(64), default="")
    icon_image_sequence: Mapped[bytes | None]


class KnownStudy(Table):
    """One study as its instances describe it, for people who search; of one patient.

    If instances of a study differ in their patient, each patient has a row. `identity` is a digest
    of the study and the patient. `modalities` are separated by commas. `is_open`: instances of it
    may be here that no request names.
    """

    __tablename__ = "known_study"
    __table_args__ = (
        Index("ix_known_study_study_instance_uid", "study_instance_uid"),
        Index("ix_known_study_study_date", "study_date"),
        Index("ix_known_study_last_received_at", "last_received_at"),
        Index(
            "ix_known_study_open",
            "last_received_at",
            sqlite_where=text("is_open"),
            postgresql_where=text("is_open"),
        ),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    identity: Mapped[str] = mapped_column(String(32), unique=True)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    patient_id: Mapped[str] = mapped_column(Text)
    issuer_of_patient_id: Mapped[str] = mapped_column(Text)
    patient_name: Mapped[str] = mapped_column(Text)
    birth_date: Mapped[str] = mapped_column(Text)
    sex: Mapped[str] = mapped_column(Text)
    study_date: Mapped[str] = mapped_column(Text)
    study_time: Mapped[str] = mapped_column(Text)
    accession_number: Mapped[str] = mapped_column(Text)
    study_description: Mapped[str] = mapped_column(Text)
    modalities: Mapped[str] = mapped_column(Text)
    first_received_at: Mapped[datetime]
    last_received_at: Mapped[datetime]
    is_open: Mapped[bool]


class SearchTerm(Table):
    """One word by which a study is found, folded (`db.search_terms`)."""

    __tablename__ = "search_term"
    __table_args__ = (
        Index("ix_search_term_study_id", "study_id"),
        {"sqlite_with_rowid": False},
    )

    kind: Mapped[str] = mapped_column(String(1), primary_key=True)
    term: Mapped[str] = mapped_column(_BYTE_ORDER, primary_key=True)
    study_id: Mapped[int] = mapped_column(
        ForeignKey("known_study.id", ondelete="CASCADE"), primary_key=True
    )


class RequestStudy(Table):
    """One study that a request has instances of."""

    __tablename__ = "request_study"
    __table_args__ = (
        Index("ix_request_study_study_id", "study_id", "request_id"),
        {"sqlite_with_rowid": False},
    )

    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE"), primary_key=True
    )
    study_id: Mapped[int] = mapped_column(
        ForeignKey("known_study.id", ondelete="CASCADE"), primary_key=True
    )


class SearchFill(Table):
    """How far the studies of an older database are noted: one row, or none yet.

    The studies of instances and requests above these ids are noted; null: of all.
    """

    __tablename__ = "search_fill"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    instances: Mapped[int | None] = mapped_column(Id)
    requests: Mapped[int | None] = mapped_column(Id)


class FailedInstance(Table):
    """One item of the Failed SOP Sequence (0008,1198) of a request."""

    __tablename__ = "failed_instance"

    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    referenced_sop_class_uid: Mapped[str] = mapped_column(UID)
    referenced_sop_instance_uid: Mapped[str] = mapped_column(UID)
    requested_media_application_profile: Mapped[str] = mapped_column(String(64), default="")
    failure_reason: Mapped[int]
    failure_attributes: Mapped[str] = mapped_column(Text, default="")


class FileSet(Table):
    """One planned volume: its File-set, and the exact size of its image.

    `readme_patients`: whether its README.TXT names the patients. `readme_remarks` are warnings in
    its README.TXT, one on each line. `content` are all its files that are not DICOM files, encoded
    by `content.stored_content`; None: README.TXT alone.
    """

    __tablename__ = "file_set"
    __table_args__ = (
        UniqueConstraint("request_id", "volume_number"),
        Index("ix_file_set_file_set_id", "file_set_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE")
    )
    file_set_id: Mapped[str] = mapped_column(String(16))
    file_set_uid: Mapped[str] = mapped_column(UID)
    volume_number: Mapped[int]
    volume_count: Mapped[int]
    media_application_profile: Mapped[str] = mapped_column(Text)
    medium: Mapped[str] = mapped_column(String(32))
    capacity: Mapped[int] = mapped_column(BigInteger)
    predicted_size: Mapped[int] = mapped_column(BigInteger)
    instances: Mapped[int]
    planned_at: Mapped[datetime]
    readme_patients: Mapped[bool] = mapped_column(default=False)
    readme_remarks: Mapped[str] = mapped_column(Text, default="")
    content: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)

    entries: Mapped[list["FileSetEntry"]] = relationship(
        order_by="FileSetEntry.ordinal", cascade="all, delete-orphan"
    )
    pieces: Mapped[list["Piece"]] = relationship(
        order_by="Piece.copy_number", cascade="all, delete-orphan"
    )


class FileSetEntry(Table):
    """One instance on one volume, with its File ID."""

    __tablename__ = "file_set_entry"
    __table_args__ = (
        UniqueConstraint("file_set_id", "instance_id"),
        Index("ix_file_set_entry_instance_id", "instance_id"),
        _index_of_set("file_set_entry", "transcoded_instance_id", "IS NOT NULL"),
        _index_of_set("file_set_entry", "icon_image_id", "IS NOT NULL"),
    )

    file_set_id: Mapped[int] = mapped_column(
        ForeignKey("file_set.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("instance.id"))
    transcoded_instance_id: Mapped[int | None] = mapped_column(ForeignKey("transcoded_instance.id"))
    referenced_file_id: Mapped[str] = mapped_column(String(71))
    icon_image_id: Mapped[int | None] = mapped_column(ForeignKey("icon_image.id"))


class Piece(Table):
    """One copy of one volume. A worker holds it under a lease; `lease_epoch` numbers the leases.

    Its `device` leaves it alone until `not_before`; another device may take it sooner. `device_job`
    is the name of the job of a device that goes on by itself; it is stored before the device gets
    the job. `bytes_done` of its volume are imaged or written, since `step_began_at`, when its state
    last changed; the worker notes them each time it renews its lease. `active_at` is when its work
    was last seen to go on: of a worker that is stuck in a call of the system, only the lease is
    renewed.
    """

    __tablename__ = "piece"
    __table_args__ = (
        Index(
            "uq_piece_live",
            "file_set_id",
            "copy_number",
            unique=True,
            sqlite_where=text("state NOT IN ('SPOILED', 'DROPPED')"),
            postgresql_where=text("state NOT IN ('SPOILED', 'DROPPED')"),
        ),
        Index("ix_piece_state", "state"),
        Index("ix_piece_file_set_id", "file_set_id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    file_set_id: Mapped[int] = mapped_column(ForeignKey("file_set.id", ondelete="CASCADE"))
    copy_number: Mapped[int]
    state: Mapped[PieceState] = mapped_column(_enum(PieceState))
    device: Mapped[str] = mapped_column(String(32), default="")
    lease_owner: Mapped[str] = mapped_column(String(64), default="")
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    created_at: Mapped[datetime | None]
    custody: Mapped[Custody] = mapped_column(_enum(Custody), default=Custody.AGAIN)
    device_job: Mapped[str] = mapped_column(String(64), default="")
    bytes_done: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    step_began_at: Mapped[datetime | None]
    active_at: Mapped[datetime | None]

    file_set: Mapped[FileSet] = relationship(viewonly=True)


class DeviceState(Table):
    """The last report of a device, and whether it is paused.

    `seen_at` is when its writer last gave a sign of life. While the writer is silent,
    `silent_since` is since when, and `silence` says in a sentence what is not heard of it.
    """

    __tablename__ = "device_state"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    execution_status_info: Mapped[ExecutionStatusInfo] = mapped_column(
        _enum(ExecutionStatusInfo), default=ExecutionStatusInfo.NORMAL
    )
    detail: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    since: Mapped[datetime]
    paused_at: Mapped[datetime | None]
    paused_because: Mapped[str] = mapped_column(Text, default="")
    paused_by: Mapped[str] = mapped_column(Text, default="", server_default="")
    seen_at: Mapped[datetime | None]
    silent_since: Mapped[datetime | None]
    silence: Mapped[str] = mapped_column(Text, default="", server_default="")


class SignOfLife(Table):
    """When a role of the service last showed that it runs."""

    __tablename__ = "sign_of_life"

    role: Mapped[str] = mapped_column(String(32), primary_key=True)
    at: Mapped[datetime]


class DatabaseIdentity(Table):
    """The identity of this database in the register of the storage root: one row, or none yet."""

    __tablename__ = "database_identity"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    identity: Mapped[str] = mapped_column(String(64))


class Event(Table):
    """One transition or fact of a request or a piece, written in the transaction of the change.

    `actor` is the person, peer or process that caused it, in words; "" if Burnish did by itself.
    """

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_request_id", "request_id", "id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE")
    )
    piece_id: Mapped[int | None] = mapped_column(Id)
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(32))
    before: Mapped[str] = mapped_column(String(32), default="")
    after: Mapped[str] = mapped_column(String(32), default="")
    why: Mapped[str] = mapped_column(Text, default="")
    actor: Mapped[str] = mapped_column(Text, default="", server_default="")


class InstanceEvent(Table):
    """One fact of a received instance that a person has to do with: who uploaded it, from where.

    `actor` is that person or program, in words. What peers send has no events: the row of the
    instance says who sent it.
    """

    __tablename__ = "instance_event"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    instance_id: Mapped[int] = mapped_column(
        ForeignKey("instance.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime]
    event: Mapped[str] = mapped_column(String(32))
    actor: Mapped[str] = mapped_column(Text)


class StudyRetrieval(Table):
    """Studies that somebody retrieves from an archive: asked for, begun, ended.

    `located` is the number of instances that the archive has and that were not here, `received` how
    many of them are here by now. `problem` says why it ended without all of them.
    """

    __tablename__ = "study_retrieval"
    __table_args__ = (_index_of_set("study_retrieval", "ended_at", "IS NULL"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    archive: Mapped[str] = mapped_column(String(16))
    actor: Mapped[str] = mapped_column(Text)
    asked_at: Mapped[datetime]
    began_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    located: Mapped[int | None]
    received: Mapped[int] = mapped_column(default=0)
    problem: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")

    studies: Mapped[list["RetrievedStudy"]] = relationship(
        cascade="all, delete-orphan", order_by="RetrievedStudy.ordinal", passive_deletes=True
    )


class RetrievedStudy(Table):
    """One study of a retrieval, as the archive has described it."""

    __tablename__ = "retrieved_study"

    retrieval_id: Mapped[int] = mapped_column(
        ForeignKey("study_retrieval.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    patient_name: Mapped[str] = mapped_column(Text, default="")
    patient_id: Mapped[str] = mapped_column(Text, default="")
    study_date: Mapped[str] = mapped_column(Text, default="")
    study_description: Mapped[str] = mapped_column(Text, default="")


class CommitmentTransaction(Table):
    """One Storage Commitment transaction (PS3.4 J.3): requested, judged, then reported.

    It is open until `reported_at` or `given_up_at`. `not_before` is when its report is sent next: a
    process that sets it to a later time has claimed the report until then.
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
    """One item of a transaction: committed if `failure_reason` is 0 once it is judged."""

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


class RegisteredPiece(Table):
    """One piece of media that was made or spoiled, as the register of media keeps it.

    It says by itself all that people ask of a disc: the rows of its request, File-set and instances
    may be gone. `state` is CREATED or SPOILED. Of a spoiled piece, `why` says why, and
    `medium_begun` whether anything was written to a medium. `verified` says what was examined after
    writing. `requested_by` is who asked for it.
    """

    __tablename__ = "registered_piece"
    __table_args__ = (
        # not unique: SQLite gives the ids of pieces that were deleted to later ones
        Index("ix_registered_piece_request", "request_id", "piece_id"),
        # with `id`, the order of the list, PostgreSQL goes through the index alone
        Index("ix_registered_piece_ended_at", "ended_at", "id"),
        Index("ix_registered_piece_file_set_id", "file_set_id"),
        Index("ix_registered_piece_file_set_uid", "file_set_uid"),
        Index("ix_registered_piece_barcode_value", "barcode_value"),
        Index("ix_registered_piece_device_ended_at", "device", "ended_at", "id"),
        Index("ix_registered_piece_device_state_ended_at", "device", "state", "ended_at", "id"),
        Index("ix_registered_piece_state_ended_at", "state", "ended_at", "id"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    request_id: Mapped[int] = mapped_column(Id)
    piece_id: Mapped[int] = mapped_column(Id)
    request_sop_instance_uid: Mapped[str] = mapped_column(UID)
    requested_by: Mapped[str] = mapped_column(Text)
    state: Mapped[PieceState] = mapped_column(_enum(PieceState))
    ended_at: Mapped[datetime]
    why: Mapped[str] = mapped_column(Text, default="")
    medium_begun: Mapped[bool]
    verified: Mapped[str] = mapped_column(Text, default="")
    file_set_id: Mapped[str] = mapped_column(String(16))
    file_set_uid: Mapped[str] = mapped_column(UID)
    volume_number: Mapped[int]
    volume_count: Mapped[int]
    copy_number: Mapped[int]
    number_of_copies: Mapped[int]
    media_application_profile: Mapped[str] = mapped_column(Text)
    medium: Mapped[str] = mapped_column(String(32))
    device: Mapped[str] = mapped_column(String(32))
    size: Mapped[int] = mapped_column(BigInteger)
    instances: Mapped[int]
    label_text: Mapped[str] = mapped_column(Text, default="")
    barcode_value: Mapped[str] = mapped_column(Text, default="")
    media_disposition: Mapped[str] = mapped_column(Text, default="")

    studies: Mapped[list["RegisteredStudy"]] = relationship(
        order_by="RegisteredStudy.ordinal", cascade="all, delete-orphan"
    )
    notes: Mapped[list["RegisterNote"]] = relationship(
        order_by="RegisterNote.id", cascade="all, delete-orphan"
    )


class RegisteredStudy(Table):
    """One study on a registered piece, with its patient as the instances name them."""

    __tablename__ = "registered_study"
    __table_args__ = (Index("ix_registered_study_study", "study_instance_uid"),)

    registered_piece_id: Mapped[int] = mapped_column(
        ForeignKey("registered_piece.id", ondelete="CASCADE"), primary_key=True
    )
    ordinal: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str] = mapped_column(Text)
    issuer_of_patient_id: Mapped[str] = mapped_column(Text)
    patient_name: Mapped[str] = mapped_column(Text)
    patient_birth_date: Mapped[str] = mapped_column(Text)
    study_instance_uid: Mapped[str] = mapped_column(UID)
    study_date: Mapped[str] = mapped_column(Text)
    study_description: Mapped[str] = mapped_column(Text)
    accession_number: Mapped[str] = mapped_column(Text)
    modalities: Mapped[str] = mapped_column(Text)
    instances: Mapped[int]


class RegisterTerm(Table):
    """A word by which a registered piece is found: folded by `folding.fold`."""

    __tablename__ = "register_term"
    __table_args__ = (Index("ix_register_term_piece", "registered_piece_id", "term"),)

    term: Mapped[str] = mapped_column(_BYTE_ORDER, primary_key=True)
    registered_piece_id: Mapped[int] = mapped_column(
        ForeignKey("registered_piece.id", ondelete="CASCADE"), primary_key=True
    )


class RegisterNote(Table):
    """A later event of a registered piece: it was given out, destroyed, or other news."""

    __tablename__ = "register_note"
    __table_args__ = (Index("ix_register_note_piece", "registered_piece_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    registered_piece_id: Mapped[int] = mapped_column(
        ForeignKey("registered_piece.id", ondelete="CASCADE")
    )
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)


class Account(Table):
    """A user of the web. `password_hash` is empty until the user has followed a one-time link."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[AccountRole] = mapped_column(_enum(AccountRole))
    password_hash: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    signed_in_at: Mapped[datetime | None]


class AccountSession(Table):
    """A user who has signed in with a browser. The cookie itself is not stored, only its digest."""

    __tablename__ = "account_session"
    __table_args__ = (Index("ix_account_session_account_id", "account_id"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    csrf_token: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(Text, default="")
    began_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class ApiToken(Table):
    """A token by which a program uses the web. It is shown once; only its digest is stored."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[AccountRole] = mapped_column(_enum(AccountRole))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_by: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class IdempotencyKey(Table):
    """A key with which a program has created a request: the same again creates no second one.

    `digest` is that of the key with the name of the program, `body_digest` that of what it sent.
    """

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("ix_idempotency_key_at", "at"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    body_digest: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[int] = mapped_column(
        ForeignKey("media_creation_request.id", ondelete="CASCADE"), index=True
    )
    at: Mapped[datetime]


class OneTimeLink(Table):
    """A link by which a user sets a password, once; without an account: the first administrator."""

    __tablename__ = "one_time_link"

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(ForeignKey("account.id", ondelete="CASCADE"))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime]


class FailedSignIn(Table):
    """An attempt to sign in that failed; kept only as long as it counts."""

    __tablename__ = "failed_sign_in"
    __table_args__ = (Index("ix_failed_sign_in_at", "at"),)

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    address: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]


class PeerContact(Table):
    """The contacts with one calling AE title at one address: the last one, and how many there were.

    `certificate` is the fingerprint of the certificate that the peer presented.
    """

    __tablename__ = "peer_contact"
    __table_args__ = (Index("ix_peer_contact_last_at", "last_at"),)

    calling_ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    called_ae_title: Mapped[str] = mapped_column(String(16), primary_key=True)
    address: Mapped[str] = mapped_column(String(64), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text)
    last_at: Mapped[datetime]
    tls: Mapped[bool]
    certificate: Mapped[str] = mapped_column(String(64))
    user_name: Mapped[str] = mapped_column(Text)
    associations: Mapped[int] = mapped_column(BigInteger)
    rejections: Mapped[int] = mapped_column(BigInteger)
    messages: Mapped[int] = mapped_column(BigInteger)


class CheckReport(Table):
    """The last check of the database or the spool, and whether somebody has asked for a new one.

    `findings` are sentences, one on each line; `problem` and `remedy` are "" if all is well.
    """

    __tablename__ = "check_report"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    asked_at: Mapped[datetime | None]
    asked_by: Mapped[str] = mapped_column(Text, default="")
    began_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    findings: Mapped[str] = mapped_column(Text, default="")
    problem: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")


class Tally(Table):
    """A counter that is kept for ever: raised in the transactions of what it counts.

    `name` and `label` are those of `db.tallies`. `amount` is a sum beside the count: bytes, or
    seconds.
    """

    __tablename__ = "tally"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[float] = mapped_column(Float)


class HourlyRate(Table):
    """How much of a tally came in one hour; `hour` are hours since 1970 (UTC)."""

    __tablename__ = "hourly_rate"

    hour: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    amount: Mapped[float] = mapped_column(Float)


class Notice(Table):
    """Something that people are told of, from its beginning to its end.

    `subject` is the request or device, or which limit of the disk. `noticed_at` is when the service
    saw it first, `told_at` when its messages were ordered: None as long as it may pass by itself.
    `outcome` is what became of it.
    """

    __tablename__ = "notice"
    __table_args__ = (
        Index(
            "uq_notice_open",
            "cause",
            "subject",
            unique=True,
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_notice_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(Id, primary_key=True)
    cause: Mapped[NoticeCause] = mapped_column(_enum(NoticeCause))
    subject: Mapped[str] = mapped_column(String(64))
    request_id: Mapped[int | None] = mapped_column(Id)
    device: Mapped[str] = mapped_column(String(32), default="")
    began_at: Mapped[datetime]
    noticed_at: Mapped[datetime]
    told_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    info: Mapped[str] = mapped_column(String(32), default="")
    reason: Mapped[str] = mapped_column(Text, default="")
    remedy: Mapped[str] = mapped_column(Text, default="")
    outcome: Mapped[str] = mapped_column(Text, default="")


class NoticeDelivery(Table):
    """One beginning or end that one receiver is told.

    `message_id` is that of the message that it is part of; "" as long as it is in none.
    """

    __tablename__ = "notice_delivery"
    __table_args__ = (
        Index(
            "ix_notice_delivery_waiting",
            "receiver",
            "notice_id",
            sqlite_where=text("sent_at IS NULL AND given_up_at IS NULL"),
            postgresql_where=text("sent_at IS NULL AND given_up_at IS NULL"),
        ),
    )

    notice_id: Mapped[int] = mapped_column(
        ForeignKey("notice.id", ondelete="CASCADE"), primary_key=True
    )
    phase: Mapped[NoticePhase] = mapped_column(_enum(NoticePhase), primary_key=True)
    receiver: Mapped[str] = mapped_column(String(32), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(36), default="")
    sent_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]


class NoticeReceiver(Table):
    """One receiver: the message that is being sent to it, who sends it, and how that goes.

    The message `message_id`, put together at `message_at`, stays the same until the receiver has
    taken it or it is given up. A process sends it while it has the lease. `problem` is why the last
    attempt failed. Since `window_began_at`, `window_messages` messages were put together.
    """

    __tablename__ = "notice_receiver"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    message_id: Mapped[str] = mapped_column(String(36), default="")
    message_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[datetime | None]
    lease_owner: Mapped[str] = mapped_column(String(64), default="")
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    problem: Mapped[str] = mapped_column(Text, default="")
    failing_since: Mapped[datetime | None]
    last_sent_at: Mapped[datetime | None]
    window_began_at: Mapped[datetime | None]
    window_messages: Mapped[int] = mapped_column(default=0)
