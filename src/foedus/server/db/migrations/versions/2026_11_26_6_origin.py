"""The version of a model that a project was started from."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_6_origin"
down_revision = "2026_11_26_5_rewards"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for it; projects that exist have none."""
    with op.batch_alter_table("projects", schema=None) as batch_op:
        batch_op.add_column(sa.Column("origin", sa.String(length=64), nullable=True))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("projects", "origin")  # not in a batch, which would drop the table and what belongs to it
