"""Finding and deleting by reference takes as long for a large set as for a small one."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"

_REFERENCES = "ix_referenced_instance_uid"
_ENTRY_COLUMNS = ("transcoded_instance_id", "icon_image_id")


def upgrade() -> None:
    op.drop_index(_REFERENCES, "referenced_instance")
    op.create_index(
        _REFERENCES, "referenced_instance", ["referenced_sop_instance_uid", "request_id"]
    )
    op.create_index("ix_piece_file_set_id", "piece", ["file_set_id"])
    for column in _ENTRY_COLUMNS:
        given = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_file_set_entry_{column}",
            "file_set_entry",
            [column],
            sqlite_where=given,
            postgresql_where=given,
        )


def downgrade() -> None:
    for column in _ENTRY_COLUMNS:
        op.drop_index(f"ix_file_set_entry_{column}", "file_set_entry")
    op.drop_index("ix_piece_file_set_id", "piece")
    op.drop_index(_REFERENCES, "referenced_instance")
    op.create_index(_REFERENCES, "referenced_instance", ["referenced_sop_instance_uid"])
