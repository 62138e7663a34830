"""How far the work on a piece is, who has paused a device, and an index of its media."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0020"
down_revision: str | Sequence[str] | None = "0019"


def upgrade() -> None:
    op.add_column(
        "piece", sa.Column("bytes_done", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("piece", sa.Column("step_began_at", sa.DateTime(), nullable=True))
    op.add_column(
        "device_state", sa.Column("paused_by", sa.Text(), nullable=False, server_default="")
    )
    op.create_index("ix_registered_piece_device_state", "registered_piece", ["device", "state"])


def downgrade() -> None:
    op.drop_index("ix_registered_piece_device_state", "registered_piece")
    with op.batch_alter_table("device_state") as table:
        table.drop_column("paused_by")
    with op.batch_alter_table("piece") as table:
        table.drop_column("step_began_at")
        table.drop_column("bytes_done")
