"""Addresses proven by mail, receipts, and cancellations that a person carries out."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("environments", sa.Column("time_zone", sa.String()))
    op.add_column(
        "environments", sa.Column("link_life_s", sa.Integer(), nullable=False, server_default="86400")
    )
    op.add_column(
        "environments", sa.Column("code_life_s", sa.Integer(), nullable=False, server_default="600")
    )
    op.add_column("environments", sa.Column("sender_name", sa.String()))
    op.add_column("environments", sa.Column("sender_address", sa.String()))
    op.add_column("environments", sa.Column("mail_subjects", Json))
    op.add_column(
        "environments", sa.Column("pause_reminder_days", sa.Integer(), nullable=False, server_default="3")
    )

    op.add_column("cancel_sessions", sa.Column("entry", sa.String(), nullable=False, server_default="link"))
    op.add_column("cancel_sessions", sa.Column("verification_id", sa.String()))
    op.add_column("cancel_sessions", sa.Column("receipt_id", sa.String()))
    op.add_column("cancel_sessions", sa.Column("recipient", sa.String()))
    op.add_column("cancel_sessions", sa.Column("time_zone", sa.String()))

    op.create_table(
        "cancellation_requests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("reasons", Json, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("closed_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_cancellation_requests"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_cancellation_requests_app_id_environments"
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["cancel_sessions.id"], name="fk_cancellation_requests_session_id_cancel_sessions"
        ),
    )
    op.create_index(
        "ix_cancellation_requests_app_id_created_at_id",
        "cancellation_requests",
        ["app_id", "created_at", "id"],
    )
    op.create_index("ix_cancellation_requests_session_id", "cancellation_requests", ["session_id"])

    op.create_table(
        "receipt_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.Column("private_key_encrypted", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_receipt_keys"),
    )

    op.create_table(
        "receipts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.Column("effect_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("signature", sa.String(), nullable=True),
        sa.Column("content", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_receipts"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_receipts_app_id_environments"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["cancel_sessions.id"], name="fk_receipts_session_id_cancel_sessions"
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["cancellation_requests.id"], name="fk_receipts_request_id_cancellation_requests"
        ),
        sa.ForeignKeyConstraint(["key_id"], ["receipt_keys.id"], name="fk_receipts_key_id_receipt_keys"),
        sa.UniqueConstraint("effect_id", "status", name="uq_receipts_effect_id_status"),
    )
    op.create_index("ix_receipts_request_id", "receipts", ["request_id"])
    op.create_index("ix_receipts_session_id", "receipts", ["session_id"])

    op.create_table(
        "verifications",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("browser_sha256", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("link_id", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("asked_at", Moment, nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("looked_up_at", Moment, nullable=True),
        sa.Column("found_encrypted", sa.String(), nullable=True),
        sa.Column("code_mac", sa.String(), nullable=True),
        sa.Column("code_encrypted", sa.String(), nullable=True),
        sa.Column("code_expires_at", Moment, nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("used_at", Moment, nullable=True),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verifications"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_verifications_app_id_environments"
        ),
        sa.ForeignKeyConstraint(
            ["link_id"], ["cancel_links.id"], name="fk_verifications_link_id_cancel_links"
        ),
    )
    op.create_index(
        "ix_verifications_browser_sha256_created_at", "verifications", ["browser_sha256", "created_at"]
    )
    op.create_index("ix_verifications_expires_at", "verifications", ["expires_at"])

    op.create_table(
        "mails",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("sent_at", Moment, nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("data_encrypted", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_mails"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_mails_app_id_environments"),
    )
    op.create_index("ix_mails_app_id_created_at_id", "mails", ["app_id", "created_at", "id"])
    op.create_index("ix_mails_app_id_status_created_at", "mails", ["app_id", "status", "created_at"])
    op.create_index("ix_mails_subject_id", "mails", ["subject_id"])

    op.create_table(
        "rate_limits",
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("bucket", name="pk_rate_limits"),
    )
    op.create_index("ix_rate_limits_expires_at", "rate_limits", ["expires_at"])


def downgrade() -> None:
    op.drop_table("rate_limits")
    op.drop_table("mails")
    op.drop_table("verifications")
    op.drop_table("receipts")
    op.drop_table("receipt_keys")
    op.drop_table("cancellation_requests")
    op.drop_column("cancel_sessions", "time_zone")
    op.drop_column("cancel_sessions", "recipient")
    op.drop_column("cancel_sessions", "receipt_id")
    op.drop_column("cancel_sessions", "verification_id")
    op.drop_column("cancel_sessions", "entry")
    op.drop_column("environments", "pause_reminder_days")
    op.drop_column("environments", "mail_subjects")
    op.drop_column("environments", "sender_address")
    op.drop_column("environments", "sender_name")
    op.drop_column("environments", "code_life_s")
    op.drop_column("environments", "link_life_s")
    op.drop_column("environments", "time_zone")
