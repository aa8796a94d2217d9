"""Sessions that were left alone are looked for among those that are open: a phase says little, for what was closed for
being left alone keeps its own."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    is_open = sa.text("closed_at IS NULL")
    op.create_index(
        "ix_cancel_sessions_last_seen_at",
        "cancel_sessions",
        ["last_seen_at"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    op.drop_index("ix_cancel_sessions_phase_last_seen_at", table_name="cancel_sessions")


def downgrade() -> None:
    op.create_index("ix_cancel_sessions_phase_last_seen_at", "cancel_sessions", ["phase", "last_seen_at"])
    op.drop_index("ix_cancel_sessions_last_seen_at", table_name="cancel_sessions")
