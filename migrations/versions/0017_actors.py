"""Who has caused each event, and who has asked for each request."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0017"
down_revision: str | Sequence[str] | None = "0016"


def upgrade() -> None:
    for table_name, column in _COLUMNS:
        op.add_column(table_name, sa.Column(column, sa.Text(), nullable=False, server_default=""))
    op.execute(
        "UPDATE media_creation_request SET requested_by = CASE"
        " WHEN calling_ae_title <> '' THEN 'AE ' || calling_ae_title"
        " WHEN origin = 'administrator' THEN 'command line'"
        " ELSE origin END"
    )


def downgrade() -> None:
    for table_name, column in _COLUMNS:
        with op.batch_alter_table(table_name) as table:
            table.drop_column(column)


_COLUMNS = (("event", "actor"), ("media_creation_request", "requested_by"))
