"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "organizations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_organizations"),
        sa.UniqueConstraint("slug", name="uq_organizations_slug"),
    )

    op.create_table(
        "environments",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_config", sa.String(), nullable=True),
        sa.Column("customer_data_url", sa.String(), nullable=True),
        sa.Column("customer_data_secret", sa.String(), nullable=True),
        sa.Column("customer_data_timeout_ms", sa.Integer(), nullable=False),
        sa.Column("customer_data_failures", sa.Integer(), nullable=False),
        sa.Column("customer_data_skip_until", Moment, nullable=True),
        sa.Column("return_url", sa.String(), nullable=True),
        sa.Column("return_origins", Json, nullable=False),
        sa.Column("contact_email", sa.String(), nullable=True),
        sa.Column("contact_url", sa.String(), nullable=True),
        sa.Column("exit_policy", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("theme", Json, nullable=False),
        sa.Column("hosted_enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("app_id", name="pk_environments"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_environments_organization_id_organizations"
        ),
        sa.UniqueConstraint("organization_id", "mode", name="uq_environments_organization_id_mode"),
        sa.CheckConstraint("mode IN ('live', 'test')", name=op.f("ck_environments_mode")),
    )

    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("key_encrypted", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.Column("last_used_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_api_keys_app_id_environments"),
        sa.UniqueConstraint("key_sha256", name="uq_api_keys_key_sha256"),
    )
    op.create_index("ix_api_keys_app_id", "api_keys", ["app_id"])

    op.create_table(
        "flows",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("draft", Json, nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flows"),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_flows_organization_id_organizations"
        ),
        sa.UniqueConstraint("organization_id", name="uq_flows_organization_id"),
    )

    op.create_table(
        "flow_versions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("flow_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("definition", Json, nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("published_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flow_versions"),
        sa.ForeignKeyConstraint(["flow_id"], ["flows.id"], name="fk_flow_versions_flow_id_flows"),
        sa.UniqueConstraint("flow_id", "number", name="uq_flow_versions_flow_id_number"),
    )

    op.create_table(
        "cancel_links",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("single_use", sa.Boolean(), nullable=False),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("return_url", sa.String(), nullable=True),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("exchanged_at", Moment, nullable=True),
        sa.Column("consumed_at", Moment, nullable=True),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.Column("exchange_count", sa.Integer(), nullable=False),
        sa.Column("browser_sha256", sa.String(), nullable=True),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("direct_customer", Json, nullable=True),
        sa.Column("direct_subscriptions", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_cancel_links"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_cancel_links_app_id_environments"
        ),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name="fk_cancel_links_api_key_id_api_keys"),
        sa.UniqueConstraint("token_sha256", name="uq_cancel_links_token_sha256"),
    )
    op.create_index("ix_cancel_links_app_id_created_at_id", "cancel_links", ["app_id", "created_at", "id"])
    op.create_index(
        "ix_cancel_links_app_id_customer_id_created_at_id",
        "cancel_links",
        ["app_id", "customer_id", "created_at", "id"],
    )

    op.create_table(
        "idempotency_records",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("body_sha256", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response_encrypted", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "key_sha256", name="pk_idempotency_records"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_idempotency_records_app_id_environments"
        ),
    )
    op.create_index("ix_idempotency_records_expires_at", "idempotency_records", ["expires_at"])

    op.create_table(
        "cancel_sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("link_id", sa.String(), nullable=True),
        sa.Column("flow_version_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("browser_sha256", sa.String(), nullable=True),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("event_count", sa.Integer(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("return_url", sa.String(), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("last_seen_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("opened_at", Moment, nullable=True),
        sa.Column("closed_at", Moment, nullable=True),
        sa.Column("opening_by", sa.String(), nullable=True),
        sa.Column("opening_until", Moment, nullable=True),
        sa.Column("data_call_claimed_at", Moment, nullable=True),
        sa.Column("data_call_reason", sa.String(), nullable=True),
        sa.Column("state", Json, nullable=False),
        sa.Column("steps_viewed", Json, nullable=False),
        sa.Column("explanations", Json, nullable=False),
        sa.Column("snapshot", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cancel_sessions"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_cancel_sessions_app_id_environments"
        ),
        sa.ForeignKeyConstraint(
            ["link_id"], ["cancel_links.id"], name="fk_cancel_sessions_link_id_cancel_links"
        ),
        sa.ForeignKeyConstraint(
            ["flow_version_id"], ["flow_versions.id"], name="fk_cancel_sessions_flow_version_id_flow_versions"
        ),
    )
    op.create_index(
        "ix_cancel_sessions_app_id_created_at_id", "cancel_sessions", ["app_id", "created_at", "id"]
    )
    op.create_index(
        "ix_cancel_sessions_app_id_customer_id_created_at",
        "cancel_sessions",
        ["app_id", "customer_id", "created_at"],
    )
    op.create_index(
        "ix_cancel_sessions_link_id_browser_sha256", "cancel_sessions", ["link_id", "browser_sha256"]
    )
    op.create_index("ix_cancel_sessions_phase_last_seen_at", "cancel_sessions", ["phase", "last_seen_at"])

    op.create_table(
        "session_offers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("offer_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("placement", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("effect_id", sa.String(), nullable=True),
        sa.Column("presented_at", Moment, nullable=False),
        sa.Column("accepted_at", Moment, nullable=True),
        sa.Column("declined_at", Moment, nullable=True),
        sa.Column("settled_at", Moment, nullable=True),
        sa.Column("shown", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session_offers"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["cancel_sessions.id"], name="fk_session_offers_session_id_cancel_sessions"
        ),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_session_offers_app_id_environments"
        ),
    )
    op.create_index(
        "ix_session_offers_app_id_customer_id_kind_accepted_at",
        "session_offers",
        ["app_id", "customer_id", "kind", "accepted_at"],
        sqlite_where=sa.text("accepted_at IS NOT NULL"),
        postgresql_where=sa.text("accepted_at IS NOT NULL"),
    )
    op.create_index("ix_session_offers_session_id", "session_offers", ["session_id"])

    op.create_table(
        "effects",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("decision_id", sa.String(), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("requested_at", Moment, nullable=False),
        sa.Column("applied_at", Moment, nullable=True),
        sa.Column("withdrawn_at", Moment, nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("confirmation", sa.String(), nullable=True),
        sa.Column("failed_reason", sa.String(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("change", Json, nullable=False),
        sa.Column("shown", Json, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_effects"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_effects_app_id_environments"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["cancel_sessions.id"], name="fk_effects_session_id_cancel_sessions"
        ),
    )
    op.create_index("ix_effects_session_id", "effects", ["session_id"])
    op.create_index("ix_effects_status_requested_at", "effects", ["status", "requested_at"])

    op.create_table(
        "events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("session_id", sa.String(), nullable=True),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_events_app_id_environments"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["cancel_sessions.id"], name="fk_events_session_id_cancel_sessions"
        ),
        sa.UniqueConstraint("session_id", "sequence", name="uq_events_session_id_sequence"),
    )
    op.create_index("ix_events_app_id_created_at_id", "events", ["app_id", "created_at", "id"])

    op.create_table(
        "outbox_jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("locked_by", sa.String(), nullable=True),
        sa.Column("locked_until", Moment, nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("payload", Json, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_jobs"),
    )
    op.create_index("ix_outbox_jobs_due_at", "outbox_jobs", ["due_at"])
    op.create_index("ix_outbox_jobs_subject_id", "outbox_jobs", ["subject_id"])


def downgrade() -> None:
    op.drop_table("outbox_jobs")
    op.drop_table("events")
    op.drop_table("effects")
    op.drop_table("session_offers")
    op.drop_table("cancel_sessions")
    op.drop_table("idempotency_records")
    op.drop_table("cancel_links")
    op.drop_table("flow_versions")
    op.drop_table("flows")
    op.drop_table("api_keys")
    op.drop_table("environments")
    op.drop_table("organizations")
