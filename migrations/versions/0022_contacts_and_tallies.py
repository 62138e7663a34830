"""Contacts with peers, and counters that are kept for ever and by the hour."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0022"
down_revision: str | Sequence[str] | None = "0021"


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "peer_contact",
        _text("calling_ae_title", 16),
        _text("called_ae_title", 16),
        _text("address", 64),
        _text("outcome", 16),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("last_at", sa.DateTime(), nullable=False),
        sa.Column("tls", sa.Boolean(), nullable=False),
        _text("certificate", 64),
        sa.Column("user_name", sa.Text(), nullable=False),
        _count("associations"),
        _count("rejections"),
        _count("messages"),
        sa.PrimaryKeyConstraint(
            "calling_ae_title", "called_ae_title", "address", name=op.f("pk_peer_contact")
        ),
    )
    op.create_index("ix_peer_contact_last_at", "peer_contact", ["last_at"])
    op.create_table(
        "tally",
        _text("name", 40),
        _text("label", 64),
        _count("count"),
        sa.Column("amount", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_tally")),
    )
    op.create_table(
        "hourly_rate",
        sa.Column("hour", sa.Integer(), nullable=False),
        _text("name", 40),
        _text("label", 64),
        _count("count"),
        sa.Column("amount", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "name", "label", name=op.f("pk_hourly_rate")),
    )


def downgrade() -> None:
    op.drop_table("hourly_rate")
    op.drop_table("tally")
    op.drop_table("peer_contact")
