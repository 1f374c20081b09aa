"""Whose account an identity is being linked to."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_26_7_linking"
down_revision = "2026_11_26_6_origin"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make room for it; what is under way are sign-ins."""
    with op.batch_alter_table("sign_in_attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_id", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Forget it; what is under way is begun again."""
    op.execute(sa.text("DELETE FROM sign_in_attempts WHERE user_id IS NOT NULL"))
    op.drop_column("sign_in_attempts", "user_id")
