"""The register of media answers each question by an index; writers that are silent are noted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0028"
down_revision: str | Sequence[str] | None = "0027"

_OLD = {"device": ["device", "id"], "device_state": ["device", "state"]}
_NEW = {
    "device_ended_at": ["device", "ended_at"],
    "device_state_ended_at": ["device", "state", "ended_at"],
    "state_ended_at": ["state", "ended_at"],
}


def upgrade() -> None:
    for name in _OLD:
        op.drop_index(f"ix_registered_piece_{name}", "registered_piece")
    for name, columns in _NEW.items():
        op.create_index(f"ix_registered_piece_{name}", "registered_piece", columns)
    op.drop_index("ix_register_term_piece", "register_term")
    if op.get_bind().dialect.name == "postgresql":
        # words are searched by how they begin, which needs the order of their bytes
        op.alter_column("register_term", "term", type_=sa.String(64, collation="C"))
    op.create_index("ix_register_term_piece", "register_term", ["registered_piece_id", "term"])
    op.add_column("piece", sa.Column("active_at", sa.DateTime(), nullable=True))
    op.add_column("device_state", sa.Column("silent_since", sa.DateTime(), nullable=True))
    op.add_column(
        "device_state", sa.Column("silence", sa.Text(), nullable=False, server_default="")
    )


def downgrade() -> None:
    with op.batch_alter_table("device_state") as table:
        table.drop_column("silence")
        table.drop_column("silent_since")
    with op.batch_alter_table("piece") as table:
        table.drop_column("active_at")
    op.drop_index("ix_register_term_piece", "register_term")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("register_term", "term", type_=sa.String(64, collation="default"))
    op.create_index("ix_register_term_piece", "register_term", ["registered_piece_id"])
    for name in _NEW:
        op.drop_index(f"ix_registered_piece_{name}", "registered_piece")
    for name, columns in _OLD.items():
        op.create_index(f"ix_registered_piece_{name}", "registered_piece", columns)
