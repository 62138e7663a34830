"""Digests are kept with the name of their algorithm."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | Sequence[str] | None = "0001"

_TABLES = ("instance", "transcoded_instance")


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    hexadecimal = "encode(sha256, 'hex')" if postgresql else "lower(hex(sha256))"
    for table in _TABLES:
        column = sa.Column("digest", sa.String(length=80), nullable=False, server_default="")
        op.add_column(table, column)
        op.execute(f"UPDATE {table} SET digest = 'sha256:' || {hexadecimal}")  # noqa: S608
        op.drop_column(table, "sha256")


def downgrade() -> None:
    """What was received under another algorithm has no SHA-256, and would fail every volume."""
    connection = op.get_bind()
    for name in _TABLES:
        column = sa.Column("sha256", sa.LargeBinary(), nullable=False, server_default="")
        op.add_column(name, column)
        table = sa.table(name, sa.column("id"), sa.column("digest"), sa.column("sha256"))
        for row in connection.execute(sa.select(table.c.id, table.c.digest)).all():
            algorithm, _, hexadecimal = row.digest.partition(":")
            if algorithm != "sha256":
                raise RuntimeError("digests other than SHA-256 cannot be taken back")
            connection.execute(
                table.update().where(table.c.id == row.id).values(sha256=bytes.fromhex(hexadecimal))
            )
        op.drop_column(name, "digest")
