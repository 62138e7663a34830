"""Segments, to which received instances are appended."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | Sequence[str] | None = "0014"


def upgrade() -> None:
    op.create_table(
        "segment",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("indexed_offset", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at", sa.DateTime(), nullable=True),
        sa.Column("sealed_size", sa.BigInteger(), nullable=True),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_segment"),
    )


def downgrade() -> None:
    op.drop_table("segment")
