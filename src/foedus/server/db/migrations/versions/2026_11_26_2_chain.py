"""The index of the chain."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_2_chain"
down_revision = "2026_11_26_1_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "chain_answers",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String(length=32), nullable=False),
        sa.Column("cid", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("num_examples", sa.BigInteger(), nullable=False),
        sa.Column("score_ppb", sa.BigInteger(), nullable=False),
        sa.Column("base_score_ppb", sa.BigInteger(), nullable=False),
        sa.Column("reward", sa.String(length=80), nullable=False),
        sa.Column("paid", sa.String(length=80), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tx", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "step", "client", name=op.f("pk_chain_answers")),
    )
    with op.batch_alter_table("chain_answers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_answers_cid"), ["cid"], unique=False)
    op.create_table(
        "chain_blocks",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("parent", sa.String(length=66), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("gas_used", sa.BigInteger(), nullable=False),
        sa.Column("state_root", sa.String(length=66), nullable=False),
        sa.Column("transactions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_chain_blocks")),
        sa.UniqueConstraint("hash", name=op.f("uq_chain_blocks_hash")),
    )
    op.create_table(
        "chain_events",
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx", sa.String(length=66), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("project", sa.Integer(), nullable=True),
        sa.Column("address", sa.String(length=42), nullable=True),
        sa.Column("cid", sa.String(length=64), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "position", name=op.f("pk_chain_events")),
    )
    with op.batch_alter_table("chain_events", schema=None) as batch_op:
        batch_op.create_index("ix_chain_events_address_block", ["address", "block"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_events_cid"), ["cid"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_events_name"), ["name"], unique=False)
        batch_op.create_index("ix_chain_events_project_block", ["project", "block"], unique=False)
        batch_op.create_index("ix_chain_events_run_block", ["run", "block"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_events_tx"), ["tx"], unique=False)
    op.create_table(
        "chain_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_head")),
    )
    op.create_table(
        "chain_members",
        sa.Column("project", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", sa.String(length=42), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("role", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project", "address", name=op.f("pk_chain_members")),
    )
    op.create_table(
        "chain_rounds",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("phase", sa.Integer(), nullable=False),
        sa.Column("base", sa.String(length=64), nullable=False),
        sa.Column("candidate", sa.String(length=64), nullable=True),
        sa.Column("proposer", sa.String(length=32), nullable=True),
        sa.Column("electorate", sa.Integer(), nullable=False),
        sa.Column("beta_ppb", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("proposed_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("opened_block", sa.Integer(), nullable=False),
        sa.Column("ended_tx", sa.String(length=66), nullable=True),
        sa.PrimaryKeyConstraint("run", "number", name=op.f("pk_chain_rounds")),
    )
    op.create_table(
        "chain_runs",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("terms", sa.String(length=64), nullable=False),
        sa.Column("version0", sa.String(length=64), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("current", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended", sa.String(length=64), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_chain_runs")),
    )
    with op.batch_alter_table("chain_runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_runs_project"), ["project"], unique=False)
    op.create_table(
        "chain_transactions",
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=66), nullable=False),
        sa.Column("sender", sa.String(length=42), nullable=False),
        sa.Column("function", sa.String(length=64), nullable=False),
        sa.Column("args", sa.JSON(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("project", sa.Integer(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(length=1000), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block", "position", name=op.f("pk_chain_transactions")),
        sa.UniqueConstraint("hash", name=op.f("uq_chain_transactions_hash")),
    )
    with op.batch_alter_table("chain_transactions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_transactions_project"), ["project"], unique=False)
        batch_op.create_index("ix_chain_transactions_run_block", ["run", "block"], unique=False)
        batch_op.create_index("ix_chain_transactions_sender_block", ["sender", "block"], unique=False)
    op.create_table(
        "chain_versions",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cid", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("score_ppb", sa.BigInteger(), nullable=True),
        sa.Column("weights", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tx", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("run", "version", name=op.f("pk_chain_versions")),
    )
    with op.batch_alter_table("chain_versions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_chain_versions_cid"), ["cid"], unique=False)
        batch_op.create_index(batch_op.f("ix_chain_versions_weights"), ["weights"], unique=False)
    op.create_table(
        "chain_votes",
        sa.Column("run", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("client", sa.String(length=32), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.Column("score_ppb", sa.BigInteger(), nullable=False),
        sa.Column("base_score_ppb", sa.BigInteger(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("tx", sa.String(length=66), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "client", name=op.f("pk_chain_votes")),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("chain_votes")
    with op.batch_alter_table("chain_versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_versions_weights"))
        batch_op.drop_index(batch_op.f("ix_chain_versions_cid"))
    op.drop_table("chain_versions")
    with op.batch_alter_table("chain_transactions", schema=None) as batch_op:
        batch_op.drop_index("ix_chain_transactions_sender_block")
        batch_op.drop_index("ix_chain_transactions_run_block")
        batch_op.drop_index(batch_op.f("ix_chain_transactions_project"))
    op.drop_table("chain_transactions")
    with op.batch_alter_table("chain_runs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_runs_project"))
    op.drop_table("chain_runs")
    op.drop_table("chain_rounds")
    op.drop_table("chain_members")
    op.drop_table("chain_head")
    with op.batch_alter_table("chain_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_events_tx"))
        batch_op.drop_index("ix_chain_events_run_block")
        batch_op.drop_index("ix_chain_events_project_block")
        batch_op.drop_index(batch_op.f("ix_chain_events_name"))
        batch_op.drop_index(batch_op.f("ix_chain_events_cid"))
        batch_op.drop_index("ix_chain_events_address_block")
    op.drop_table("chain_events")
    op.drop_table("chain_blocks")
    with op.batch_alter_table("chain_answers", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_chain_answers_cid"))
    op.drop_table("chain_answers")
