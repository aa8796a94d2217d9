"""What a request or a sweep costs must not grow with the number of rows, so each of these goes through an index."""

import pytest
from sqlalchemy import text

from app.db.database import Database

PAGE = "app_id = 'a' AND (created_at, id) < ('2026', 'x') ORDER BY created_at DESC, id DESC LIMIT 50"


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT * FROM cancel_sessions WHERE {PAGE}",
        f"SELECT * FROM cancel_links WHERE {PAGE}",
        f"SELECT * FROM cancel_links WHERE customer_id = 'c' AND {PAGE}",
        f"SELECT * FROM events WHERE {PAGE}",
        "SELECT * FROM cancel_sessions WHERE app_id = 'a' AND customer_id = 'c' AND created_at > '2026'",
        "SELECT * FROM cancel_sessions WHERE link_id = 'l' AND browser_sha256 = 'b'",
        "SELECT * FROM cancel_sessions WHERE phase IN ('p', 'q') AND last_seen_at < '2026' AND closed_at IS NULL"
        " ORDER BY last_seen_at LIMIT 9",
        "SELECT * FROM cancel_links WHERE token_sha256 = 't'",
        "SELECT * FROM api_keys WHERE key_sha256 = 'k'",
        "SELECT * FROM api_keys WHERE app_id = 'a'",
        "SELECT * FROM session_offers WHERE session_id = 's'",
        "SELECT kind, max(accepted_at) FROM session_offers WHERE app_id = 'a' AND customer_id = 'c'"
        " AND accepted_at IS NOT NULL GROUP BY kind",
        "SELECT * FROM effects WHERE session_id = 's'",
        "SELECT * FROM effects WHERE status = 'pending' AND requested_at < '2026' ORDER BY requested_at LIMIT 9",
        "SELECT max(sequence) FROM events WHERE session_id = 's'",
        "SELECT * FROM flow_versions WHERE flow_id = 'f' ORDER BY number DESC LIMIT 1",
        "SELECT * FROM idempotency_records WHERE app_id = 'a' AND key_sha256 = 'k'",
        "SELECT * FROM idempotency_records WHERE expires_at < '2026'",
        "SELECT * FROM outbox_jobs WHERE due_at <= '2026' ORDER BY due_at LIMIT 9",
        "SELECT * FROM outbox_jobs WHERE subject_id = 's'",
        f"SELECT * FROM mails WHERE {PAGE}",
        "SELECT * FROM mails WHERE app_id = 'a' AND status = 'refused' ORDER BY created_at DESC LIMIT 9",
        "SELECT count(*) FROM mails WHERE subject_id = 's'",
        "SELECT * FROM verifications WHERE browser_sha256 = 'b' AND created_at > '2026' AND app_id = 'a'",
        "SELECT * FROM verifications WHERE expires_at < '2026' ORDER BY expires_at LIMIT 9",
        "SELECT * FROM rate_limits WHERE bucket = 'b'",
        "SELECT * FROM rate_limits WHERE expires_at < '2026' ORDER BY expires_at LIMIT 9",
        "SELECT * FROM receipts WHERE effect_id = 'e' AND status = 'requested'",
        "SELECT * FROM receipts WHERE session_id = 's'",
        f"SELECT * FROM cancellation_requests WHERE {PAGE}",
        "SELECT * FROM cancellation_requests WHERE session_id = 's'",
        "SELECT failures, rest_until FROM connections WHERE app_id = 'a'",
        "SELECT * FROM environments LEFT JOIN connections ON connections.app_id = environments.app_id"
        " WHERE provider_config IS NOT NULL AND environments.app_id > 'a' ORDER BY environments.app_id LIMIT 9",
        "SELECT * FROM inbound_events WHERE app_id = 'a' AND event_sha256 = 'e'",
        "SELECT * FROM inbound_events WHERE expires_at <= '2026' ORDER BY expires_at LIMIT 9",
        "SELECT id, types FROM webhook_endpoints WHERE app_id = 'a' AND disabled_at IS NULL AND removed_at IS NULL",
        "SELECT * FROM webhook_deliveries WHERE endpoint_id = 'e' AND due_at <= '2026' ORDER BY due_at LIMIT 4",
        "SELECT * FROM webhook_deliveries WHERE endpoint_id = 'e' AND (created_at, id) < ('2026', 'x')"
        " ORDER BY created_at DESC, id DESC LIMIT 50",
        "SELECT * FROM webhook_deliveries WHERE endpoint_id = 'e' AND event_id IN ('a', 'b')",
        "SELECT id FROM webhook_deliveries WHERE created_at < '2026' ORDER BY created_at LIMIT 9",
        "SELECT * FROM webhook_attempts WHERE delivery_id = 'd' ORDER BY tried_at LIMIT 9",
        "SELECT * FROM cancel_sessions WHERE (email_key = 'k' OR recipient_key = 'k') AND app_id IN ('a', 'b')",
        "SELECT * FROM cancel_links WHERE email_key = 'k' AND app_id IN ('a', 'b')",
        "SELECT * FROM mails WHERE recipient_key = 'k' AND app_id IN ('a', 'b')",
        "SELECT * FROM verifications WHERE address_key = 'k' AND app_id IN ('a', 'b')",
        "SELECT * FROM cancellation_requests WHERE address_key = 'k' AND app_id IN ('a', 'b')",
        "SELECT * FROM events WHERE app_id = 'a' AND created_at IN ('2026', '2027') AND session_id IS NULL",
        "SELECT * FROM cancel_sessions WHERE app_id = 'a' AND created_at >= '2025' AND created_at <= '2026'"
        " AND erased_at IS NULL ORDER BY created_at, id LIMIT 9",
        "SELECT * FROM erasures WHERE organization_id = 'o' AND finished_at IS NULL",
    ],
)
@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # its plans do not depend on what is stored
def test_nothing_is_read_row_by_row_or_sorted(database: Database, query: str) -> None:
    plan = database.read_sync(
        lambda db: [row.detail for row in db.connection().execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    )
    assert [step for step in plan if not step.startswith("SEARCH")] == []
