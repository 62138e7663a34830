"""Instances of earlier versions are examined anew: nobody looked into their sequences."""

from collections.abc import Sequence

from alembic import op

revision: str = "0030"
down_revision: str | Sequence[str] | None = "0029"


def upgrade() -> None:
    op.execute("UPDATE instance SET fault = 'not examined yet' WHERE fault = ''")
    # those with these faults go on media as well
    op.execute(
        "UPDATE instance SET fault = fault || '; not examined yet'"
        " WHERE fault LIKE '%(kept as it is)' OR fault LIKE '%it has no Pixel Data (7FE0,0010)'"
    )


def downgrade() -> None:
    """An earlier version examines what is not examined yet, too."""
