"""What profiles limit is kept with each instance, icons with what they were made of."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"


def upgrade() -> None:
    op.create_table(
        "icon_image",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("pixels", sa.Integer(), nullable=False),
        sa.Column("item", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["instance.id"],
            name=op.f("fk_icon_image_instance_id_instance"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_icon_image")),
        sa.UniqueConstraint("instance_id", "pixels", name=op.f("uq_icon_image_instance_id_pixels")),
    )
    empty = "x''" if op.get_bind().dialect.name == "sqlite" else "''"
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "limited_attributes",
                sa.LargeBinary(),
                nullable=False,
                server_default=sa.text(empty),
            )
        )
    with op.batch_alter_table("file_set", schema=None) as batch_op:
        batch_op.alter_column(
            "media_application_profile",
            existing_type=sa.String(length=64),
            type_=sa.Text(),
            existing_nullable=False,
        )
    with op.batch_alter_table("file_set_entry", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column(
                "icon_image_id",
                sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
                nullable=True,
            )
        )
        batch_op.create_foreign_key(
            op.f("fk_file_set_entry_icon_image_id_icon_image"),
            "icon_image",
            ["icon_image_id"],
            ["id"],
        )


def downgrade() -> None:
    """The longer labels of File-sets stay as they are."""
    with op.batch_alter_table("file_set_entry", schema=None) as batch_op:
        batch_op.drop_constraint(
            op.f("fk_file_set_entry_icon_image_id_icon_image"), type_="foreignkey"
        )
        batch_op.drop_column("icon_image_id")
    with op.batch_alter_table("instance", schema=None) as batch_op:
        batch_op.drop_column("limited_attributes")
    op.drop_table("icon_image")
