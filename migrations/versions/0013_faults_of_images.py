"""Why an image cannot be shown, as far as its header tells."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | Sequence[str] | None = "0012"


def upgrade() -> None:
    op.add_column(
        "instance", sa.Column("pixel_fault", sa.Text(), nullable=False, server_default="")
    )


def downgrade() -> None:
    op.drop_column("instance", "pixel_fault")
