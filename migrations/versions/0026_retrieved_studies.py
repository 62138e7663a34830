"""Studies that people retrieve from archives."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | Sequence[str] | None = "0025"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "study_retrieval",
        sa.Column("id", _ID, nullable=False),
        sa.Column("archive", sa.String(16), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("asked_at", sa.DateTime(), nullable=False),
        sa.Column("began_at", sa.DateTime()),
        sa.Column("ended_at", sa.DateTime()),
        sa.Column("cancelled_at", sa.DateTime()),
        sa.Column("located", sa.Integer()),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_study_retrieval")),
    )
    op.create_index(
        "ix_study_retrieval_ended_at",
        "study_retrieval",
        ["ended_at"],
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "retrieved_study",
        sa.Column("retrieval_id", _ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        sa.Column("patient_name", sa.Text(), nullable=False),
        sa.Column("patient_id", sa.Text(), nullable=False),
        sa.Column("study_date", sa.Text(), nullable=False),
        sa.Column("study_description", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["retrieval_id"],
            ["study_retrieval.id"],
            name=op.f("fk_retrieved_study_retrieval_id_study_retrieval"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("retrieval_id", "ordinal", name=op.f("pk_retrieved_study")),
    )


def downgrade() -> None:
    op.drop_table("retrieved_study")
    op.drop_table("study_retrieval")
