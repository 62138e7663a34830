"""Storage Commitment, what is retrieved, and what standing orders and administrators ask."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REQUEST = (
    ("device", sa.String(32), ""),
    ("standing_order", sa.String(32), ""),
    ("supplements_id", _ID, None),
    ("held_at", sa.DateTime(), None),
    ("retrieval_began_at", sa.DateTime(), None),
    ("retrieval_ended_at", sa.DateTime(), None),
)


def upgrade() -> None:
    for name, kind, default in _REQUEST:
        op.add_column(
            "media_creation_request",
            sa.Column(name, kind, nullable=default is None, server_default=default),
        )
    op.create_table(
        "storage_commitment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("transaction_uid", sa.String(64), nullable=False),
        sa.Column("calling_ae_title", sa.String(16), nullable=False),
        sa.Column("called_ae_title", sa.String(16), nullable=False),
        sa.Column("requested_at", sa.DateTime(), nullable=False),
        sa.Column("judged_at", sa.DateTime(), nullable=True),
        sa.Column("promised_until", sa.DateTime(), nullable=True),
        sa.Column("reported_at", sa.DateTime(), nullable=True),
        sa.Column("given_up_at", sa.DateTime(), nullable=True),
        sa.Column("not_before", sa.DateTime(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_storage_commitment")),
    )
    op.create_index(
        "ix_storage_commitment_open",
        "storage_commitment",
        ["reported_at", "given_up_at", "not_before"],
    )
    op.create_table(
        "committed_instance",
        sa.Column("storage_commitment_id", _ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("referenced_sop_class_uid", sa.String(64), nullable=False),
        sa.Column("referenced_sop_instance_uid", sa.String(64), nullable=False),
        sa.Column("failure_reason", sa.Integer(), nullable=False),
        sa.Column("storage_media_file_set_id", sa.String(16), nullable=False),
        sa.Column("storage_media_file_set_uid", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["storage_commitment_id"],
            ["storage_commitment.id"],
            name=op.f("fk_committed_instance_storage_commitment_id_storage_commitment"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "storage_commitment_id", "ordinal", name=op.f("pk_committed_instance")
        ),
    )
    op.create_index(
        "ix_committed_instance_uid", "committed_instance", ["referenced_sop_instance_uid"]
    )


def downgrade() -> None:
    op.drop_table("committed_instance")
    op.drop_table("storage_commitment")
    for name, *_ in _REQUEST:
        op.drop_column("media_creation_request", name)
