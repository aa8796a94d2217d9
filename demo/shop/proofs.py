"""The three signatures the shop checks before it believes Leavewell. Pure: the time comes in."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

WEBHOOK_TOLERANCE: Final = timedelta(minutes=5)
RETURN_TOLERANCE: Final = timedelta(hours=1)


def _bytes(text: str) -> bytes:
    # JSON may carry half a surrogate pair; it is to be refused like any wrong text, not to fail.
    return text.encode("utf-8", "surrogatepass")


def _hex_hmac(key: str, text: str) -> str:
    return hmac.new(key.encode(), _bytes(text), hashlib.sha256).hexdigest()


def _matches_any(given: str, expected: Iterable[str]) -> bool:
    # Every candidate is compared, so that the time taken does not tell which key it was.
    return sum(hmac.compare_digest(_bytes(given), candidate.encode()) for candidate in expected) > 0


def is_customer_signature(signature: str, customer_id: str, api_keys: Iterable[str]) -> bool:
    """Customer data endpoint: lowercase hex HMAC-SHA256 of the customer id under one of our API keys."""
    return _matches_any(signature, [_hex_hmac(key, customer_id) for key in api_keys])


def is_return_signature(
    signature: str, *, session: str, result: str, t: str, api_keys: Iterable[str], now: datetime
) -> bool:
    """Return URL: hex HMAC-SHA256 of `{session}.{result}.{t}`. An old one is refused: its notice is stale."""
    if not (t.isascii() and t.isdigit() and len(t) <= 12):
        return False
    is_recent = abs(now.timestamp() - int(t)) <= RETURN_TOLERANCE.total_seconds()
    return is_recent and _matches_any(
        signature, [_hex_hmac(key, f"{session}.{result}.{t}") for key in api_keys]
    )


def sign_webhook(secret: str, *, message_id: str, timestamp: int, body: bytes) -> str:
    """Standard Webhooks 1.0: `v1,` + base64 HMAC-SHA256 of `{id}.{timestamp}.{body}` under `whsec_…`."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = b"%s.%d.%s" % (_bytes(message_id), timestamp, body)
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_webhook_signature(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime) -> bool:
    """Standard Webhooks 1.0: there may be several signatures (rotation), and the time must be near ours."""
    message_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(now.timestamp() - int(timestamp)) > WEBHOOK_TOLERANCE.total_seconds():
        return False
    try:
        expected = sign_webhook(secret, message_id=message_id, timestamp=int(timestamp), body=body)
    except (binascii.Error, ValueError):
        return False
    given = headers.get("webhook-signature", "").split(" ")[:10]
    return sum(hmac.compare_digest(_bytes(one), expected.encode()) for one in given) > 0
