"""How connections to billing systems fare, which webhooks were seen, and when a change of ours was over."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "connections",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("account_name", sa.String(), nullable=True),
        sa.Column("account_mode", sa.String(), nullable=True),
        sa.Column("checked_at", Moment, nullable=True),
        sa.Column("saved_at", Moment, nullable=True),
        sa.Column("last_ok_at", Moment, nullable=True),
        sa.Column("last_failed_at", Moment, nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("rest_until", Moment, nullable=True),
        sa.Column("probe_until", Moment, nullable=True),
        sa.Column("needs_attention", sa.Boolean(), nullable=False),
        sa.Column("notified_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("app_id", name="pk_connections"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_connections_app_id_environments"
        ),
    )
    op.create_table(
        "inbound_events",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("event_sha256", sa.String(), nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "event_sha256", name="pk_inbound_events"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_inbound_events_app_id_environments"
        ),
    )
    op.create_index("ix_inbound_events_expires_at", "inbound_events", ["expires_at"])
    op.add_column("effects", sa.Column("ended_at", Moment))
    op.create_index(
        "ix_effects_app_id_customer_id_subscription_id",
        "effects",
        ["app_id", "customer_id", "subscription_id"],
    )
    op.create_index(
        "ix_cancel_sessions_app_id_subscription_id", "cancel_sessions", ["app_id", "subscription_id"]
    )


def downgrade() -> None:
    op.drop_index("ix_cancel_sessions_app_id_subscription_id", table_name="cancel_sessions")
    op.drop_index("ix_effects_app_id_customer_id_subscription_id", table_name="effects")
    op.drop_column("effects", "ended_at")
    op.drop_table("inbound_events")
    op.drop_table("connections")
