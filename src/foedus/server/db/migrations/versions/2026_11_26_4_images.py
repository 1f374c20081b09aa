"""Images that a site shows, and heat maps over them."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_4_images"
down_revision = "2026_11_26_3_projects"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "approved_images",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("label", sa.Integer(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("png", sa.LargeBinary(), nullable=False),
        sa.Column("example", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name=op.f("fk_approved_images_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approved_images")),
        sa.UniqueConstraint("dataset_id", "place", name=op.f("uq_approved_images_dataset_id_place")),
    )
    op.create_table(
        "image_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("places", sa.JSON(), nullable=False),
        sa.Column("per_label", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("cause", sa.String(length=4000), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name=op.f("fk_image_requests_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image_requests")),
    )
    with op.batch_alter_table("image_requests", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_image_requests_dataset_id"), ["dataset_id"], unique=False)
    op.create_table(
        "explanations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("image_id", sa.Integer(), nullable=False),
        sa.Column("cid", sa.String(length=64), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("layer", sa.String(length=200), nullable=False),
        sa.Column("asked_by", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("cause", sa.String(length=4000), nullable=False),
        sa.Column("found", sa.JSON(), nullable=True),
        sa.Column("heat", sa.LargeBinary(), nullable=True),
        sa.Column("mask", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["asked_by"], ["users.id"], name=op.f("fk_explanations_asked_by_users"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["image_id"],
            ["approved_images.id"],
            name=op.f("fk_explanations_image_id_approved_images"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_explanations")),
        sa.UniqueConstraint(
            "image_id", "cid", "wanted", "layer", name=op.f("uq_explanations_image_id_cid_wanted_layer")
        ),
    )
    with op.batch_alter_table("explanations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_explanations_asked_by"), ["asked_by"], unique=False)
        batch_op.create_index(batch_op.f("ix_explanations_state"), ["state"], unique=False)


def downgrade() -> None:
    """Remove them."""
    with op.batch_alter_table("explanations", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_explanations_state"))
        batch_op.drop_index(batch_op.f("ix_explanations_asked_by"))
    op.drop_table("explanations")
    with op.batch_alter_table("image_requests", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_image_requests_dataset_id"))
    op.drop_table("image_requests")
    op.drop_table("approved_images")
