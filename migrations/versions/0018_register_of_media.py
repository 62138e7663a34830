"""The register of media."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | Sequence[str] | None = "0017"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PIECE_STATES = ("QUEUED", "IMAGING", "WRITING", "VERIFYING", "CREATED", "SPOILED", "DROPPED")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _piece_id(**options: bool) -> sa.Column[int]:
    return sa.Column("registered_piece_id", _ID, nullable=False, **options)


def _of_piece(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["registered_piece_id"],
        ["registered_piece.id"],
        name=op.f(f"fk_{table}_registered_piece_id_registered_piece"),
        ondelete="CASCADE",
    )


def upgrade() -> None:
    op.create_table(
        "registered_piece",
        sa.Column("id", _ID, nullable=False),
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("piece_id", _ID, nullable=False),
        sa.Column("request_sop_instance_uid", sa.String(64), nullable=False),
        _text("requested_by"),
        sa.Column(
            "state",
            sa.Enum(*_PIECE_STATES, name="piecestate", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("ended_at", sa.DateTime(), nullable=False),
        _text("why"),
        sa.Column("medium_begun", sa.Boolean(), nullable=False),
        _text("verified"),
        sa.Column("file_set_id", sa.String(16), nullable=False),
        sa.Column("file_set_uid", sa.String(64), nullable=False),
        _number("volume_number"),
        _number("volume_count"),
        _number("copy_number"),
        _number("number_of_copies"),
        _text("media_application_profile"),
        sa.Column("medium", sa.String(32), nullable=False),
        sa.Column("device", sa.String(32), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        _number("instances"),
        _text("label_text"),
        _text("barcode_value"),
        _text("media_disposition"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registered_piece")),
    )
    for column in ("ended_at", "file_set_id", "file_set_uid", "barcode_value"):
        op.create_index(f"ix_registered_piece_{column}", "registered_piece", [column])
    op.create_index("ix_registered_piece_device", "registered_piece", ["device", "id"])
    op.create_index("ix_registered_piece_request", "registered_piece", ["request_id", "piece_id"])
    op.create_table(
        "registered_study",
        _piece_id(),
        _number("ordinal"),
        _text("patient_id"),
        _text("issuer_of_patient_id"),
        _text("patient_name"),
        _text("patient_birth_date"),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        _text("study_date"),
        _text("study_description"),
        _text("accession_number"),
        _text("modalities"),
        _number("instances"),
        sa.PrimaryKeyConstraint("registered_piece_id", "ordinal", name=op.f("pk_registered_study")),
        _of_piece("registered_study"),
    )
    op.create_index("ix_registered_study_study", "registered_study", ["study_instance_uid"])
    op.create_table(
        "register_term",
        sa.Column("term", sa.String(64), nullable=False),
        _piece_id(),
        sa.PrimaryKeyConstraint("term", "registered_piece_id", name=op.f("pk_register_term")),
        _of_piece("register_term"),
    )
    op.create_index("ix_register_term_piece", "register_term", ["registered_piece_id"])
    op.create_table(
        "register_note",
        sa.Column("id", _ID, nullable=False),
        _piece_id(),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        _text("text"),
        _text("actor"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_register_note")),
        _of_piece("register_note"),
    )
    op.create_index("ix_register_note_piece", "register_note", ["registered_piece_id"])


def downgrade() -> None:
    op.drop_table("register_note")
    op.drop_table("register_term")
    op.drop_table("registered_study")
    op.drop_table("registered_piece")
