"""The indexes of the register are in the order of its lists: by time, then by id."""

from collections.abc import Sequence

from alembic import op

revision: str = "0031"
down_revision: str | Sequence[str] | None = "0030"

_COLUMNS = {
    "ended_at": ["ended_at"],
    "device_ended_at": ["device", "ended_at"],
    "device_state_ended_at": ["device", "state", "ended_at"],
    "state_ended_at": ["state", "ended_at"],
}


def upgrade() -> None:
    for name, columns in _COLUMNS.items():
        op.drop_index(f"ix_registered_piece_{name}", "registered_piece")
        op.create_index(f"ix_registered_piece_{name}", "registered_piece", [*columns, "id"])


def downgrade() -> None:
    for name, columns in _COLUMNS.items():
        op.drop_index(f"ix_registered_piece_{name}", "registered_piece")
        op.create_index(f"ix_registered_piece_{name}", "registered_piece", columns)
