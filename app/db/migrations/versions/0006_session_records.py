"""Data keys, records of closed sessions, and how much of them is asked for.

Sessions that were closed before get their record from the worker, in bites.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
RECORD_COLUMNS = (
    ("outcome", sa.String(), False),
    ("save_type", sa.String(), True),
    ("offer_type", sa.String(), True),
    ("reason_id", sa.String(), True),
    ("response", sa.String(), True),
    ("is_aborted", sa.Boolean(), False),
    ("is_canceled", sa.Boolean(), False),
    ("is_bounced", sa.Boolean(), False),
    ("is_trial", sa.Boolean(), True),
    ("is_cooled_down", sa.Boolean(), False),
    ("entry", sa.String(), False),
    ("flow_version_id", sa.String(), False),
    ("segment_id", sa.String(), True),
    ("test_id", sa.String(), True),
    ("plan_id", sa.String(), True),
    ("billing_interval", sa.String(), True),
    ("currency", sa.String(), True),
    ("session_currency", sa.String(), True),
    ("price_minor", sa.BigInteger(), True),
    ("invoice_month", sa.String(), True),
    ("age_months", sa.Integer(), True),
    ("coupon_id", sa.String(), True),
    ("pause_duration", sa.Integer(), True),
    ("customer_id", sa.String(), True),
    ("customer_email", sa.String(), True),
)


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("kind", sa.String(), nullable=False, server_default="flow"))
    op.add_column("api_keys", sa.Column("scopes", Json))
    op.create_table(
        "session_records",
        sa.Column("session_id", sa.String(), nullable=False),
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("begun_s", sa.BigInteger(), nullable=False),
        *(sa.Column(name, kind, nullable=nullable) for name, kind, nullable in RECORD_COLUMNS),
        sa.Column("updated_at", Moment, nullable=False),
        sa.Column("record", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("session_id", name="pk_session_records"),
        sa.ForeignKeyConstraint(
            ["app_id"], ["environments.app_id"], name="fk_session_records_app_id_environments"
        ),
    )
    for named in ((), ("customer_id",), ("customer_email",)):
        columns = ["app_id", *named, "created_at", "session_id"]
        op.create_index("_".join(("ix_session_records", *columns)), "session_records", columns)
    op.create_table(
        "api_usage",
        sa.Column("app_id", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "day", "key_id", "endpoint", name="pk_api_usage"),
        sa.ForeignKeyConstraint(["app_id"], ["environments.app_id"], name="fk_api_usage_app_id_environments"),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_api_usage_key_id_api_keys"),
    )
    _owe_records()


def _owe_records() -> None:
    """The records of the sessions that are there: the worker's to make."""
    if op.get_bind().execute(sa.text("SELECT 1 FROM cancel_sessions LIMIT 1")).first() is None:
        return
    jobs = sa.table(
        "outbox_jobs",
        *(sa.column(name, sa.String()) for name in ("id", "kind", "subject_id")),
        sa.column("due_at", Moment),
        sa.column("attempts", sa.Integer()),
        sa.column("payload", Json),
    )
    job = {
        "id": "job_session_records",
        "kind": "session_records",
        "subject_id": "",
        "attempts": 0,
        "payload": {},
    }
    op.bulk_insert(jobs, [{**job, "due_at": datetime(1970, 1, 1, tzinfo=UTC)}])  # whatever the clock says


def downgrade() -> None:
    op.drop_table("api_usage")
    op.drop_table("session_records")
    op.drop_column("api_keys", "scopes")
    op.drop_column("api_keys", "kind")
