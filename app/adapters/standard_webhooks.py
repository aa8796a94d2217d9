"""Signs messages as Standard Webhooks 1.0 has it: symmetric (`v1`) and asymmetric (`v1a`); checks the former. Sends
nothing.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

from app.adapters import ed25519

SECRET_PREFIX = "whsec_"  # noqa: S105  (a prefix, not a secret)
SECRET_BYTES = range(24, 65)
PRIVATE_PREFIX = "whsk_"  # of an Ed25519 key, which stays here
PUBLIC_PREFIX = "whpk_"  # of its public half, which receivers have
PRIVATE_KEY_BYTES = 32
TOLERANCE = timedelta(minutes=5)
_MOST_SIGNATURES = 10


class BadSecret(ValueError):
    """A signing secret is not `whsec_` and the base64 of 24 to 64 bytes, or a private key not `whsk_` and of 32."""


def new_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(32)).decode()


def new_private_key() -> str:
    return PRIVATE_PREFIX + b64encode(ed25519.new_private_key()).decode()


def public_key(private_key: str) -> str:
    """The public half of a `whsk_` key, as receivers are given it: `whpk_…`. Raises BadSecret."""
    return PUBLIC_PREFIX + b64encode(ed25519.public_key(_private_key(private_key))).decode()


def sign(secret: str, message_id: str, sent_at: datetime, body: bytes) -> str:
    """Return one signature: `v1,` and base64 by a `whsec_` secret, `v1a,` and base64 by a `whsk_` key.

    Raises BadSecret.
    """
    timestamp = str(int(sent_at.timestamp()))
    if secret.startswith(PRIVATE_PREFIX):
        signature = ed25519.sign(_private_key(secret), _signed(message_id, timestamp, body))
        return "v1a," + b64encode(signature).decode()
    return _signature(_key(secret), message_id, timestamp, body)


def headers(signing_secrets: str, message_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of a message.

    While a secret is being changed, `signing_secrets` is the new and the old one with a space between, and the
    message carries a signature by each. Raises BadSecret.
    """
    signatures = [sign(secret, message_id, sent_at, body) for secret in signing_secrets.split()]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def is_signed(
    signing_secrets: str,
    message_headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    tolerance: timedelta = TOLERANCE,
) -> bool:
    """Whether one of the secrets signed exactly this message, not longer ago (or ahead) than `tolerance`.

    Header names in lower case. The message id is signed too: whoever keeps the ids can refuse a replay.
    """
    message_id, timestamp = (
        message_headers.get("webhook-id", ""),
        message_headers.get("webhook-timestamp", ""),
    )
    if not message_id or not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    if abs(now.timestamp() - int(timestamp)) > tolerance.total_seconds():
        return False
    given = message_headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    expected = [_signature(_key(secret), message_id, timestamp, body) for secret in signing_secrets.split()]
    matches = [hmac.compare_digest(ours.encode(), theirs.encode()) for ours in expected for theirs in given]
    return any(matches)


def compatible_signature(secret: str, body: bytes) -> str:
    """The value of `ck-signature`: lower-case hex HMAC-SHA256 of the body; the key is the secret as it is shown."""
    return hmac.new(secret.encode(), body, sha256).hexdigest()


def check_secrets(signing_secrets: str) -> None:
    """Raises BadSecret unless each of them (there is at least one) is well-formed."""
    for secret in signing_secrets.split() or [""]:
        _key(secret)


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise BadSecret("A signing secret is whsec_ followed by the base64 of 24 to 64 bytes.")
    return key


def _private_key(private_key: str) -> bytes:
    try:
        key = b64decode(private_key.removeprefix(PRIVATE_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not private_key.startswith(PRIVATE_PREFIX) or len(key) != PRIVATE_KEY_BYTES:
        raise BadSecret("A private signing key is whsk_ followed by the base64 of 32 bytes.")
    return key


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    return "v1," + b64encode(hmac.digest(key, _signed(message_id, timestamp, body), sha256)).decode()


def _signed(message_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((message_id.encode(), timestamp.encode(), body))
