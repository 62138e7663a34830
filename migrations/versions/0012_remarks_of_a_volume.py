"""What the README of a volume warns of."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | Sequence[str] | None = "0011"


def upgrade() -> None:
    # the README of a volume that is planned already must keep its size: it gets no remarks
    op.add_column(
        "file_set", sa.Column("readme_remarks", sa.Text(), nullable=False, server_default="")
    )


def downgrade() -> None:
    op.drop_column("file_set", "readme_remarks")
