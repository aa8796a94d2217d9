"""What is still personal is found by an index of its own, not by how far a sweep has come; what is erased is nobody's.

"erased" stood where the customer's id had been, and a customer may be called that. No customer's id is empty.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

PERSONAL = (
    ("cancel_sessions", ["app_id", "closed_at", "id"], "erased_at IS NULL AND closed_at IS NOT NULL"),
    ("cancel_links", ["app_id", "created_at", "id"], "customer_id <> ''"),
    (
        "cancellation_requests",
        ["app_id", "created_at", "id"],
        "address IS NOT NULL AND session_id IS NULL AND closed_at IS NOT NULL",
    ),
    ("session_records", ["app_id", "created_at", "session_id"], "customer_id IS NOT NULL"),
)
# Erasing takes all of this out of a link: one of a customer who is called so has some of it, or is as good as erased.
BARE_LINK = (
    "revoked_at IS NOT NULL AND subscription_id IS NULL AND return_url IS NULL AND browser_sha256 IS NULL"
    " AND email_key IS NULL AND direct_customer IS NULL AND direct_subscriptions IS NULL"
    " AND CAST(attributes AS TEXT) = '{}'"
)


def upgrade() -> None:
    _rename_nobody("erased", "")
    for table, columns, condition in PERSONAL:
        where = sa.text(condition)
        op.create_index(f"ix_{table}_personal", table, columns, sqlite_where=where, postgresql_where=where)
    op.drop_column("environments", "retention_marks")


def _rename_nobody(old: str, new: str) -> None:
    """Of what is erased, and of nothing else."""
    names = {"old": old, "new": new}
    erased = "SELECT id FROM cancel_sessions WHERE erased_at IS NOT NULL"
    for table, condition in (
        ("session_offers", f"session_id IN ({erased})"),
        ("effects", f"session_id IN ({erased})"),
        ("cancel_sessions", "erased_at IS NOT NULL"),
        ("cancel_links", BARE_LINK),
    ):
        op.get_bind().execute(
            sa.text(f"UPDATE {table} SET customer_id = :new WHERE customer_id = :old AND {condition}"),  # noqa: S608 (our own names)
            names,
        )


def downgrade() -> None:
    op.add_column("environments", sa.Column("retention_marks", Json, nullable=True))
    for table, _, _ in reversed(PERSONAL):
        op.drop_index(f"ix_{table}_personal", table_name=table)
    _rename_nobody("", "erased")
