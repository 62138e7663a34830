"""What the last checks of database and spool have found."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0027"
down_revision: str | Sequence[str] | None = "0026"


def upgrade() -> None:
    op.create_table(
        "check_report",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("asked_at", sa.DateTime()),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("began_at", sa.DateTime()),
        sa.Column("ended_at", sa.DateTime()),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name=op.f("pk_check_report")),
    )


def downgrade() -> None:
    op.drop_table("check_report")
