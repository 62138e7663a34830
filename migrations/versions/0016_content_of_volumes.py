"""The files for people of each planned volume."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | Sequence[str] | None = "0015"


def upgrade() -> None:
    with op.batch_alter_table("file_set") as table:
        table.add_column(sa.Column("content", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("file_set") as table:
        table.drop_column("content")
