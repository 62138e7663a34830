"""An image that was compressed with loss is another SOP Instance, with keys of its own."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"

_TABLE = "transcoded_instance"


def upgrade() -> None:
    op.add_column(
        _TABLE,
        sa.Column(
            "derived_sop_instance_uid", sa.String(length=64), nullable=False, server_default=""
        ),
    )
    op.add_column(
        _TABLE,
        sa.Column(
            "derived_record_keys", sa.LargeBinary(), nullable=False, server_default=sa.text("''")
        ),
    )


def downgrade() -> None:
    op.drop_column(_TABLE, "derived_record_keys")
    op.drop_column(_TABLE, "derived_sop_instance_uid")
