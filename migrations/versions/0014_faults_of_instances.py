"""What is wrong with an instance, whether an image or not; earlier instances are examined anew."""

from collections.abc import Sequence

from alembic import op

revision: str = "0014"
down_revision: str | Sequence[str] | None = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE instance RENAME COLUMN pixel_fault TO fault")
    op.execute("UPDATE instance SET fault = 'not examined yet' WHERE fault = ''")


def downgrade() -> None:
    op.execute("UPDATE instance SET fault = '' WHERE fault = 'not examined yet'")
    op.execute("ALTER TABLE instance RENAME COLUMN fault TO pixel_fault")
