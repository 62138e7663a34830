"""Devices that go on by themselves, what each device said last, and whether it is paused."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | Sequence[str] | None = "0007"


def upgrade() -> None:
    op.add_column(
        "piece", sa.Column("custody", sa.String(32), nullable=False, server_default="AGAIN")
    )
    op.add_column(
        "piece", sa.Column("device_job", sa.String(64), nullable=False, server_default="")
    )
    op.create_table(
        "device_state",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("execution_status_info", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("paused_at", sa.DateTime(), nullable=True),
        sa.Column("paused_because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_device_state")),
    )


def downgrade() -> None:
    op.drop_table("device_state")
    op.drop_column("piece", "device_job")
    op.drop_column("piece", "custody")
