"""A SOP Instance UID may be received again with other content, which replaces the older one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"

_TABLE = "instance"
_LIVE = "uq_instance_live"
_REPLACED = "ix_instance_replaced"


def _create_index(name: str, columns: list[str], where: str, *, unique: bool = False) -> None:
    op.create_index(
        name,
        _TABLE,
        columns,
        unique=unique,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def upgrade() -> None:
    op.add_column(_TABLE, sa.Column("replaced_at", sa.DateTime(), nullable=True))
    op.drop_index(_LIVE, _TABLE)
    _create_index(
        _LIVE, ["sop_instance_uid"], "released_at IS NULL AND replaced_at IS NULL", unique=True
    )
    _create_index(_REPLACED, ["sop_instance_uid", "replaced_at"], "replaced_at IS NOT NULL")


def downgrade() -> None:
    # an older version knows one content for each UID: the newest
    op.execute(
        "UPDATE instance SET released_at = replaced_at"
        " WHERE replaced_at IS NOT NULL AND released_at IS NULL"
    )
    op.drop_index(_REPLACED, _TABLE)
    op.drop_index(_LIVE, _TABLE)
    op.drop_column(_TABLE, "replaced_at")
    _create_index(_LIVE, ["sop_instance_uid"], "released_at IS NULL", unique=True)
