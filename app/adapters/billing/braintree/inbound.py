"""Checks Braintree's webhooks, with the library's own check of the signature, and proves our address to him. Believes
ids only."""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs

from app.adapters.billing.braintree.wire import UNREADABLE, gateway
from app.core.billing import CLOCK_TOLERANCE, InboundMessage, InboundNotice, InboundRefused

_FORM: Final = "application/x-www-form-urlencoded"
_CHALLENGE: Final = re.compile(r"[a-f0-9]{20,32}")


def verify(config: Mapping[str, str], message: InboundMessage) -> InboundNotice | None:
    """See `BillingProvider.verify_inbound`.

    Braintree signs once with each of the merchant's API keys, so that one of them can be replaced at a time.
    """
    signature, payload = _parts(message)
    try:
        notification = gateway(config, None).webhook_notification.parse(signature, payload)
        happened_at = notification.timestamp
        kind = notification.kind
    except UNREADABLE:
        raise InboundRefused("The signature does not fit, or the message cannot be read.") from None
    if not isinstance(happened_at, datetime):
        raise InboundRefused("The message does not say when it was sent.")
    if abs(happened_at.replace(tzinfo=UTC) - message.received_at) > CLOCK_TOLERANCE:
        raise InboundRefused("The message is too old, or from the future.")
    subscription_id = getattr(getattr(notification, "subscription", None), "id", None)
    if not str(kind).startswith("subscription_") or not isinstance(subscription_id, str):
        return None
    digest = hashlib.sha256("".join(payload.split()).encode()).hexdigest()
    return InboundNotice(event_id=f"bt_{digest[:40]}", subscription_ids=(subscription_id,))


def answer(config: Mapping[str, str], challenge: str) -> str:
    """See `AnswersChallenges`. The public key, and the challenge signed with the private one.

    Webhooks are signed with the same key, but none is so written: its payload is XML in base64, and no text of these
    letters decodes to what begins with `<`.
    """
    if _CHALLENGE.fullmatch(challenge) is None:  # the library's own check lets a line feed pass
        raise InboundRefused("The challenge is none of Braintree's.")
    answer: str = gateway(config, None).webhook_notification.verify(challenge)
    return answer


def _parts(message: InboundMessage) -> tuple[str, str]:
    if message.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise InboundRefused("The message is not a form.")
    try:
        fields = parse_qs(message.body.decode("ascii"), strict_parsing=True, max_num_fields=10)
        (signature,), (payload,) = fields["bt_signature"], fields["bt_payload"]
        payload.encode("ascii")
        signature.encode("ascii")
    except (ValueError, KeyError):
        raise InboundRefused("The message has no bt_signature and bt_payload.") from None
    return signature, payload
