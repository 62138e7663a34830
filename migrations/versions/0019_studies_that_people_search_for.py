"""Studies with their search terms, and indexes for what people search requests by.

The studies of the instances that are here already are noted in the background by the service.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0019"
down_revision: str | Sequence[str] | None = "0018"

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TERM = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_TEXTS = (
    "patient_id",
    "issuer_of_patient_id",
    "patient_name",
    "birth_date",
    "sex",
    "study_date",
    "study_time",
    "accession_number",
    "study_description",
    "modalities",
)


def _partial_index(name: str, table_name: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table_name, [column], sqlite_where=where, postgresql_where=where)


def upgrade() -> None:
    op.create_table(
        "known_study",
        sa.Column("id", _ID, nullable=False),
        sa.Column("identity", sa.String(32), nullable=False),
        sa.Column("study_instance_uid", sa.String(64), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in _TEXTS],
        sa.Column("first_received_at", sa.DateTime(), nullable=False),
        sa.Column("last_received_at", sa.DateTime(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_known_study"),
        sa.UniqueConstraint("identity", name="uq_known_study_identity"),
    )
    for column in ("study_instance_uid", "study_date", "last_received_at"):
        op.create_index(f"ix_known_study_{column}", "known_study", [column])
    _partial_index("ix_known_study_open", "known_study", "last_received_at", "is_open")
    op.create_table(
        "search_term",
        sa.Column("kind", sa.String(1), nullable=False),
        sa.Column("term", _TERM, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["known_study.id"],
            name="fk_search_term_study_id_known_study",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("kind", "term", "study_id", name="pk_search_term"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_search_term_study_id", "search_term", ["study_id"])
    op.create_table(
        "request_study",
        sa.Column("request_id", _ID, nullable=False),
        sa.Column("study_id", _ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["media_creation_request.id"],
            name="fk_request_study_request_id_media_creation_request",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["known_study.id"],
            name="fk_request_study_study_id_known_study",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("request_id", "study_id", name="pk_request_study"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_request_study_study_id", "request_study", ["study_id", "request_id"])
    op.create_table(
        "search_fill",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("instances", _ID, nullable=True),
        sa.Column("requests", _ID, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_search_fill"),
    )
    request = "media_creation_request"
    op.create_index(f"ix_{request}_calling_ae_title", request, ["calling_ae_title"])
    _partial_index(f"ix_{request}_barcode_value", request, "barcode_value", "barcode_value <> ''")
    _partial_index(
        f"ix_{request}_supplements_id", request, "supplements_id", "supplements_id IS NOT NULL"
    )
    op.create_index("ix_file_set_file_set_id", "file_set", ["file_set_id"])


def downgrade() -> None:
    op.drop_index("ix_file_set_file_set_id", "file_set")
    for column in ("supplements_id", "barcode_value", "calling_ae_title"):
        op.drop_index(f"ix_media_creation_request_{column}", "media_creation_request")
    for table_name in ("search_fill", "request_study", "search_term", "known_study"):
        op.drop_table(table_name)
