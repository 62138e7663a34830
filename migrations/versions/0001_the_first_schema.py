"""The first schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "instance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("series_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("issuer_of_patient_id", sa.Text(), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("study_date", sa.Text(), nullable=False),
        sa.Column("study_time", sa.Text(), nullable=False),
        sa.Column("modality", sa.Text(), nullable=False),
        sa.Column("series_number", sa.BigInteger(), nullable=True),
        sa.Column("instance_number", sa.BigInteger(), nullable=True),
        sa.Column("directory_record_type", sa.String(length=16), nullable=False),
        sa.Column("entity_keys", sa.LargeBinary(), nullable=False),
        sa.Column("record_keys", sa.LargeBinary(), nullable=False),
        sa.Column("missing_keys", sa.Text(), nullable=False),
        sa.Column("spool_key", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data_set_offset", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("called_ae_title", sa.String(length=16), nullable=False),
        sa.Column("received_at", sa.DateTime(), nullable=False),
        sa.Column("released_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance")),
    )
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.create_index(
            "ix_instance_released_at", ["released_at", "received_at"], unique=False
        )
        batch_op.create_index("ix_instance_study", ["study_instance_uid"], unique=False)
        batch_op.create_index(
            "uq_instance_live",
            ["sop_instance_uid"],
            unique=True,
            sqlite_where=sa.text("released_at IS NULL"),
            postgresql_where=sa.text("released_at IS NULL"),
        )

    op.create_table(
        "media_creation_request",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("origin", sa.String(length=40), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column(
            "execution_status",
            sa.Enum(
                "IDLE",
                "PENDING",
                "CREATING",
                "DONE",
                "FAILURE",
                "DELETED",
                name="executionstatus",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "execution_status_info",
            sa.Enum(
                "NORMAL",
                "CHECK_MCD_OP",
                "CHECK_MCD_SRV",
                "DIR_PROC_ERR",
                "DUPL_REF_INST",
                "INST_AP_CONFLICT",
                "INST_OVERSIZED",
                "INSUFFIC_MEMORY",
                "MCD_BUSY",
                "MCD_FAILURE",
                "NO_INSTANCE",
                "NOT_SUPPORTED",
                "OUT_OF_SUPPLIES",
                "PROC_FAILURE",
                "QUEUED",
                "SET_OVERSIZED",
                "UNKNOWN",
                name="executionstatusinfo",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("specific_character_set", sa.Text(), nullable=False),
        sa.Column("storage_media_file_set_id", sa.Text(), nullable=False),
        sa.Column("storage_media_file_set_uid", sa.String(length=64), nullable=False),
        sa.Column(
            "label_using_information_extracted_from_instances", sa.String(length=16), nullable=False
        ),
        sa.Column("label_text", sa.Text(), nullable=False),
        sa.Column("label_style_selection", sa.String(length=16), nullable=False),
        sa.Column("barcode_value", sa.Text(), nullable=False),
        sa.Column("barcode_symbology", sa.String(length=16), nullable=False),
        sa.Column("media_disposition", sa.Text(), nullable=False),
        sa.Column("allow_media_splitting", sa.String(length=16), nullable=False),
        sa.Column("allow_lossy_compression", sa.String(length=16), nullable=False),
        sa.Column("include_non_dicom_objects", sa.String(length=16), nullable=False),
        sa.Column("include_display_application", sa.String(length=16), nullable=False),
        sa.Column(
            "preserve_composite_instances_after_media_creation",
            sa.String(length=16),
            nullable=False,
        ),
        sa.Column("number_of_copies", sa.Integer(), nullable=False),
        sa.Column(
            "request_priority",
            sa.Enum("HIGH", "MED", "LOW", name="requestpriority", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("initiated_at", sa.DateTime(), nullable=True),
        sa.Column("admitted_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_media_creation_request")),
        sa.UniqueConstraint(
            "sop_instance_uid", name=op.f("uq_media_creation_request_sop_instance_uid")
        ),
    )
    with op.batch_alter_table("media_creation_request", schema=None) as batch_op:
        batch_op.create_index(
            "ix_media_creation_request_execution_status",
            ["execution_status", "initiated_at"],
            unique=False,
        )

    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("piece_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("before", sa.String(length=32), nullable=False),
        sa.Column("after", sa.String(length=32), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["media_creation_request.id"],
            name=op.f("fk_event_request_id_media_creation_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index("ix_event_request_id", ["request_id", "id"], unique=False)

    op.create_table(
        "failed_instance",
        sa.Column(
            "request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("referenced_sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("referenced_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("requested_media_application_profile", sa.String(length=64), nullable=False),
        sa.Column("failure_reason", sa.Integer(), nullable=False),
        sa.Column("failure_attributes", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["media_creation_request.id"],
            name=op.f("fk_failed_instance_request_id_media_creation_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "ordinal", name=op.f("pk_failed_instance")),
    )
    op.create_table(
        "file_set",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("file_set_id", sa.String(length=16), nullable=False),
        sa.Column("file_set_uid", sa.String(length=64), nullable=False),
        sa.Column("volume_number", sa.Integer(), nullable=False),
        sa.Column("volume_count", sa.Integer(), nullable=False),
        sa.Column("media_application_profile", sa.String(length=64), nullable=False),
        sa.Column("medium", sa.String(length=32), nullable=False),
        sa.Column("capacity", sa.BigInteger(), nullable=False),
        sa.Column("predicted_size", sa.BigInteger(), nullable=False),
        sa.Column("instances", sa.Integer(), nullable=False),
        sa.Column("planned_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["media_creation_request.id"],
            name=op.f("fk_file_set_request_id_media_creation_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_file_set")),
        sa.UniqueConstraint(
            "request_id", "volume_number", name=op.f("uq_file_set_request_id_volume_number")
        ),
    )
    op.create_table(
        "referenced_instance",
        sa.Column(
            "request_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("referenced_sop_class_uid", sa.String(length=64), nullable=False),
        sa.Column("referenced_sop_instance_uid", sa.String(length=64), nullable=False),
        sa.Column("requested_media_application_profile", sa.String(length=64), nullable=False),
        sa.Column("icon_image_sequence", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["media_creation_request.id"],
            name=op.f("fk_referenced_instance_request_id_media_creation_request"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "ordinal", name=op.f("pk_referenced_instance")),
    )
    with op.batch_alter_table("referenced_instance", schema=None) as batch_op:
        batch_op.create_index(
            "ix_referenced_instance_uid", ["referenced_sop_instance_uid"], unique=False
        )

    op.create_table(
        "transcoded_instance",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("transfer_syntax_uid", sa.String(length=64), nullable=False),
        sa.Column("spool_key", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("data_set_offset", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instance.id"],
            name=op.f("fk_transcoded_instance_instance_id_instance"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transcoded_instance")),
        sa.UniqueConstraint(
            "instance_id",
            "transfer_syntax_uid",
            name=op.f("uq_transcoded_instance_instance_id_transfer_syntax_uid"),
        ),
    )
    op.create_table(
        "file_set_entry",
        sa.Column(
            "file_set_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "transcoded_instance_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=True,
        ),
        sa.Column("referenced_file_id", sa.String(length=71), nullable=False),
        sa.ForeignKeyConstraint(
            ["file_set_id"],
            ["file_set.id"],
            name=op.f("fk_file_set_entry_file_set_id_file_set"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name=op.f("fk_file_set_entry_instance_id_instance")
        ),
        sa.ForeignKeyConstraint(
            ["transcoded_instance_id"],
            ["transcoded_instance.id"],
            name=op.f("fk_file_set_entry_transcoded_instance_id_transcoded_instance"),
        ),
        sa.PrimaryKeyConstraint("file_set_id", "ordinal", name=op.f("pk_file_set_entry")),
        sa.UniqueConstraint(
            "file_set_id", "instance_id", name=op.f("uq_file_set_entry_file_set_id_instance_id")
        ),
    )
    with op.batch_alter_table("file_set_entry", schema=None) as batch_op:
        batch_op.create_index("ix_file_set_entry_instance_id", ["instance_id"], unique=False)

    op.create_table(
        "piece",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "file_set_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("copy_number", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "QUEUED",
                "IMAGING",
                "WRITING",
                "VERIFYING",
                "CREATED",
                "SPOILED",
                "DROPPED",
                name="piecestate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("device", sa.String(length=32), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["file_set_id"],
            ["file_set.id"],
            name=op.f("fk_piece_file_set_id_file_set"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_piece")),
    )
    with op.batch_alter_table("piece", schema=None) as batch_op:
        batch_op.create_index("ix_piece_state", ["state"], unique=False)
        batch_op.create_index(
            "uq_piece_live",
            ["file_set_id", "copy_number"],
            unique=True,
            sqlite_where=sa.text("state NOT IN ('SPOILED', 'DROPPED')"),
            postgresql_where=sa.text("state NOT IN ('SPOILED', 'DROPPED')"),
        )


def downgrade() -> None:
    with op.batch_alter_table("piece", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_piece_live",
            sqlite_where=sa.text("state NOT IN ('SPOILED', 'DROPPED')"),
            postgresql_where=sa.text("state NOT IN ('SPOILED', 'DROPPED')"),
        )
        batch_op.drop_index("ix_piece_state")

    op.drop_table("piece")
    with op.batch_alter_table("file_set_entry", schema=None) as batch_op:
        batch_op.drop_index("ix_file_set_entry_instance_id")

    op.drop_table("file_set_entry")
    op.drop_table("transcoded_instance")
    with op.batch_alter_table("referenced_instance", schema=None) as batch_op:
        batch_op.drop_index("ix_referenced_instance_uid")

    op.drop_table("referenced_instance")
    op.drop_table("file_set")
    op.drop_table("failed_instance")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index("ix_event_request_id")

    op.drop_table("event")
    with op.batch_alter_table("media_creation_request", schema=None) as batch_op:
        batch_op.drop_index("ix_media_creation_request_execution_status")

    op.drop_table("media_creation_request")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_instance_live",
            sqlite_where=sa.text("released_at IS NULL"),
            postgresql_where=sa.text("released_at IS NULL"),
        )
        batch_op.drop_index("ix_instance_study")
        batch_op.drop_index("ix_instance_released_at")

    op.drop_table("instance")
