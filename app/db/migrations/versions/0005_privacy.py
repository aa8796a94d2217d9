"""Who is found by an address, what was erased, for how long personal data is kept, and where Slack is told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

Moment = sa.DateTime(timezone=True)
Json = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

KEYS = (
    ("cancel_sessions", "email_key"),
    ("cancel_sessions", "recipient_key"),
    ("cancel_links", "email_key"),
    ("mails", "recipient_key"),
    ("verifications", "address_key"),
    ("cancellation_requests", "address_key"),
)
TYPED = {"recipient_key": "recipient", "address_key": "address"}
IN_JSON = {
    "cancel_sessions": ("snapshot", "customer", "email"),
    "cancel_links": ("direct_customer", "email"),
}


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("address_mac", sa.String(), nullable=False),
        sa.Column("address_encrypted", sa.String(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", Moment, nullable=False),
        sa.Column("finished_at", Moment, nullable=True),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name="fk_erasures_organization_id_organizations"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index(
        "ix_erasures_organization_id_requested_at_id", "erasures", ["organization_id", "requested_at", "id"]
    )
    op.create_index("ix_erasures_organization_id_finished_at", "erasures", ["organization_id", "finished_at"])
    op.add_column(
        "environments", sa.Column("retention_days", sa.Integer(), server_default="400", nullable=False)
    )
    op.add_column("environments", sa.Column("retention_marks", Json, nullable=True))
    op.add_column("environments", sa.Column("slack_url_encrypted", sa.String(), nullable=True))
    op.add_column("cancel_sessions", sa.Column("erased_at", Moment, nullable=True))
    for table, name in KEYS:
        op.add_column(table, sa.Column(name, sa.String(), nullable=True))
        _fill(table, name)
        known = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_{table}_{name}", table, [name], sqlite_where=known, postgresql_where=known)


def _fill(table: str, name: str) -> None:
    """The keys of what is there already. `lower` folds what it can; addresses beyond ASCII are rare."""
    if name in TYPED:
        value = f"trim({TYPED[name]})"
    elif op.get_bind().dialect.name == "postgresql":
        column, *path = IN_JSON[table]
        value = f"{column} #>> '{{{','.join(path)}}}'"
    else:
        column, *path = IN_JSON[table]
        value = f"json_extract({column}, '$.{'.'.join(path)}')"
    op.execute(f"UPDATE {table} SET {name} = lower({value}) WHERE {value} IS NOT NULL")  # noqa: S608 (our own names)


def downgrade() -> None:
    for table, name in reversed(KEYS):
        op.drop_index(f"ix_{table}_{name}", table_name=table)
        op.drop_column(table, name)
    op.drop_column("cancel_sessions", "erased_at")
    op.drop_column("environments", "slack_url_encrypted")
    op.drop_column("environments", "retention_marks")
    op.drop_column("environments", "retention_days")
    op.drop_table("erasures")
