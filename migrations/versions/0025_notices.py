"""Notices: what people are told of, to whom, and how the sending goes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0025"
down_revision: str | Sequence[str] | None = "0024"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_WAITING = sa.text("sent_at IS NULL AND given_up_at IS NULL")
_OPEN = sa.text("ended_at IS NULL")


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False)


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    op.add_column("device_state", _time("seen_at"))
    op.create_table(
        "notice",
        sa.Column("id", _ID, nullable=False),
        _text("cause", 32),
        _text("subject", 64),
        sa.Column("request_id", _ID, nullable=True),
        _text("device", 32),
        _time("began_at", nullable=False),
        _time("noticed_at", nullable=False),
        _time("told_at"),
        _time("ended_at"),
        _text("info", 32),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(
        "uq_notice_open",
        "notice",
        ["cause", "subject"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_notice_ended_at", "notice", ["ended_at"])
    op.create_table(
        "notice_delivery",
        sa.Column("notice_id", _ID, nullable=False),
        _text("phase", 32),
        _text("receiver", 32),
        _text("message_id", 36),
        _time("sent_at"),
        _time("given_up_at"),
        sa.ForeignKeyConstraint(
            ["notice_id"],
            ["notice.id"],
            name=op.f("fk_notice_delivery_notice_id_notice"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("notice_id", "phase", "receiver", name=op.f("pk_notice_delivery")),
    )
    op.create_index(
        "ix_notice_delivery_waiting",
        "notice_delivery",
        ["receiver", "notice_id"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )
    op.create_table(
        "notice_receiver",
        _text("name", 32),
        _text("message_id", 36),
        _time("message_at"),
        _number("attempts"),
        _time("not_before"),
        _text("lease_owner", 64),
        _number("lease_epoch"),
        _time("lease_until"),
        sa.Column("problem", sa.Text(), nullable=False),
        _time("failing_since"),
        _time("last_sent_at"),
        _time("window_began_at"),
        _number("window_messages"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_notice_receiver")),
    )


def downgrade() -> None:
    op.drop_table("notice_receiver")
    op.drop_table("notice_delivery")
    op.drop_table("notice")
    with op.batch_alter_table("device_state") as table:
        table.drop_column("seen_at")
