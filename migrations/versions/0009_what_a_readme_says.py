"""Whether the README of a volume says in full what labels say of patients."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | Sequence[str] | None = "0008"


def upgrade() -> None:
    op.add_column(
        "file_set",
        sa.Column("readme_patients", sa.Boolean(), nullable=False, server_default=sa.false()),
    )


def downgrade() -> None:
    op.drop_column("file_set", "readme_patients")
