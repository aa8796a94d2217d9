"""What was erased says in words of ours alone why a person was needed: a refusal was told in the billing system's own,
and these outlived the customer whom they may have named."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NOT_MADE: Final = "not_made"
# Without what keeps an offer back: no cancellation is left to a person for that.
OURS: Final = (
    *("unpaid", "canceled", "not_started", "foreign_pause", "several_items", "schedule", "pending_update"),
    *("shared_billing", "contract", "unknown_state", "subscription_unclear", "subscription_not_found"),
    *("withdrawn", "changed_since_shown", "provider_unavailable", "not_verified", "email_not_verified"),
    NOT_MADE,
)
SILENCE: Final = "The billing system did not answer in time."  # ours, and read

# One statement a table: no row comes into memory.
ON_SQLITE: Final = (
    """
    UPDATE cancel_sessions SET state = json_set(state, '$.manual_reasons', json((
        SELECT json_group_array(CASE WHEN value IN :ours THEN value ELSE :not_made END)
        FROM json_each(cancel_sessions.state, '$.manual_reasons'))))
    WHERE erased_at IS NOT NULL
        AND EXISTS (SELECT 1 FROM json_each(cancel_sessions.state, '$.manual_reasons') WHERE value NOT IN :ours)
    """,
    """
    UPDATE cancellation_requests SET reasons = (
        SELECT json_group_array(CASE WHEN value IN :ours THEN value ELSE :not_made END)
        FROM json_each(cancellation_requests.reasons))
    WHERE customer_id IS NULL AND address IS NULL
        AND EXISTS (SELECT 1 FROM json_each(cancellation_requests.reasons) WHERE value NOT IN :ours)
    """,
)
ON_POSTGRESQL: Final = (
    """
    UPDATE cancel_sessions SET state = jsonb_set(state, '{manual_reasons}', (
        SELECT jsonb_agg(CASE WHEN one IN :ours THEN one ELSE CAST(:not_made AS text) END ORDER BY place)
        FROM jsonb_array_elements_text(state -> 'manual_reasons') WITH ORDINALITY AS given (one, place)))
    WHERE erased_at IS NOT NULL AND EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(state -> 'manual_reasons') AS given (one) WHERE one NOT IN :ours)
    """,
    """
    UPDATE cancellation_requests SET reasons = (
        SELECT jsonb_agg(CASE WHEN one IN :ours THEN one ELSE CAST(:not_made AS text) END ORDER BY place)
        FROM jsonb_array_elements_text(reasons) WITH ORDINALITY AS given (one, place))
    WHERE customer_id IS NULL AND address IS NULL AND EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(reasons) AS given (one) WHERE one NOT IN :ours)
    """,
)
# What a billing system said when it last failed, before somebody was forgotten: nobody can tell whom it is about.
FAILURES: Final = """
    UPDATE connections SET last_error = NULL
    WHERE last_error IS NOT NULL AND last_error <> :silence AND EXISTS (
        SELECT 1 FROM erasures JOIN environments ON environments.organization_id = erasures.organization_id
        WHERE environments.app_id = connections.app_id AND erasures.finished_at >= connections.last_failed_at)
"""
# A try that ended after its change was settled, and its customer forgotten, wrote down what it had met.
LATE_TRIES: Final = "UPDATE effects SET last_error = NULL WHERE customer_id = '' AND last_error IS NOT NULL"


def upgrade() -> None:
    connection = op.get_bind()
    for statement in ON_POSTGRESQL if connection.dialect.name == "postgresql" else ON_SQLITE:
        bare = sa.text(statement).bindparams(sa.bindparam("ours", expanding=True))
        connection.execute(bare, {"ours": OURS, "not_made": NOT_MADE})
    connection.execute(sa.text(FAILURES), {"silence": SILENCE})
    connection.execute(sa.text(LATE_TRIES))


def downgrade() -> None:
    """What was forgotten does not come back."""
