"""Standings, single rewards and shared examples in the index."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_5_rewards"
down_revision = "2026_11_26_4_images"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room; the index, whose rows are of an older form now, is then written anew."""
    op.create_table(
        "chain_standings",
        sa.Column("project", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String(length=32), nullable=False),
        sa.Column("points", sa.String(length=40), nullable=False),
        sa.Column("registrations", sa.Integer(), nullable=False),
        sa.Column("paid", sa.Integer(), nullable=False),
        sa.Column("votes", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("recent", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("project", "run", "client", name=op.f("pk_chain_standings")),
    )
    with op.batch_alter_table("chain_standings", schema=None) as batch_op:
        batch_op.create_index("ix_chain_standings_run_points", ["run", "points"], unique=False)

    with op.batch_alter_table("chain_answers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("num_shared", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("paid_at", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("paid_place", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("paid_tx", sa.String(length=66), nullable=True))
        batch_op.create_index("ix_chain_answers_paid_at_paid_place", ["paid_at", "paid_place"], unique=False)
        batch_op.create_index("ix_chain_answers_num_shared_time", ["num_shared", "time"], unique=False)

    with op.batch_alter_table("chain_head", schema=None) as batch_op:
        batch_op.add_column(sa.Column("form", sa.Integer(), nullable=True))

    with op.batch_alter_table("chain_runs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ended_rounds", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Remove it."""
    with op.batch_alter_table("chain_runs", schema=None) as batch_op:
        batch_op.drop_column("ended_rounds")

    with op.batch_alter_table("chain_head", schema=None) as batch_op:
        batch_op.drop_column("form")

    with op.batch_alter_table("chain_answers", schema=None) as batch_op:
        batch_op.drop_index("ix_chain_answers_num_shared_time")
        batch_op.drop_index("ix_chain_answers_paid_at_paid_place")
        batch_op.drop_column("paid_tx")
        batch_op.drop_column("paid_place")
        batch_op.drop_column("paid_at")
        batch_op.drop_column("num_shared")

    with op.batch_alter_table("chain_standings", schema=None) as batch_op:
        batch_op.drop_index("ix_chain_standings_run_points")

    op.drop_table("chain_standings")
