"""Paddle's webhooks: whether one is genuine, and which subscription it is about. Asks nobody.

https://developer.paddle.com/webhooks/about/signature-verification
"""

import hmac
import json
import re
from datetime import timedelta
from hashlib import sha256
from typing import Final

from app.adapters.billing.paddle.wire import is_id
from app.core.billing import InboundMessage, InboundNotice, InboundRefused

TOLERANCE: Final = timedelta(minutes=5)
_MOST_PROOFS: Final = 10

_EVENT_ID = re.compile(r"evt_[a-z\d]{26}", re.ASCII)


def read_message(message: InboundMessage, secrets: str) -> InboundNotice | None:
    """The subscription that a webhook is about; None for one about something else. Raises InboundRefused.

    `secrets`: one, or the new and the old one of a destination with a space between.
    """
    if not secrets.split():
        raise InboundRefused("No webhook secret is set for this connection.")
    _prove(message, secrets.split())
    return _read(message.body)


def _prove(message: InboundMessage, secrets: list[str]) -> None:
    parts = [part.partition("=") for part in message.headers.get("paddle-signature", "").split(";")]
    times = [value for name, _, value in parts if name.strip() == "ts"]
    proofs = [value for name, _, value in parts if name.strip() == "h1"][:_MOST_PROOFS]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdecimal() and len(times[0]) <= 12):
        raise InboundRefused("The webhook has no Paddle-Signature with a time.")
    if abs(message.received_at.timestamp() - int(times[0])) > TOLERANCE.total_seconds():
        raise InboundRefused("The webhook was signed more than five minutes ago, or ahead.")
    signed = times[0].encode() + b":" + message.body
    expected = [hmac.new(secret.encode(), signed, sha256).hexdigest().encode() for secret in secrets]
    matches = [hmac.compare_digest(ours, theirs.encode()) for ours in expected for theirs in proofs]
    if not any(matches):
        raise InboundRefused("The webhook's signature does not fit.")


def _read(body: bytes) -> InboundNotice | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise InboundRefused("The webhook is not JSON.") from None
    match value:
        case {
            "event_id": str() as event_id,
            "event_type": str() as event_type,
            "data": {"id": str() as subscription_id, **data},
        } if _EVENT_ID.fullmatch(event_id):
            if not event_type.startswith("subscription.") or not is_id(subscription_id, "sub"):
                return None
            owner = data.get("customer_id")
            owners = (owner,) if isinstance(owner, str) and is_id(owner, "ctm") else ()
            # A subscription's id stands for its customer too.
            return InboundNotice(event_id, (subscription_id,), (subscription_id, *owners))
        case {"event_id": str(), "event_type": str()}:
            return None
    raise InboundRefused("The webhook is not one of Paddle's.")
