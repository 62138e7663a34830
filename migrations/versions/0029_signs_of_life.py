"""The scheduler gives signs of life, so that one that is stopped is told."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | Sequence[str] | None = "0028"


def upgrade() -> None:
    op.create_table(
        "sign_of_life",
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("role", name="pk_sign_of_life"),
    )


def downgrade() -> None:
    op.drop_table("sign_of_life")
