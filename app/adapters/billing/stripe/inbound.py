"""Stripe's webhooks: are they his, are they new, are they about this account and mode. Believes only ids.

https://docs.stripe.com/webhooks#verify-manually
"""

import hmac
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from app.adapters.billing.stripe.shapes import fitting
from app.core.billing import InboundMessage, InboundNotice, InboundRefused
from app.core.fields import Id

TOLERANCE_S: Final = 300
_MOST_SIGNATURES: Final = 10


def verify(message: InboundMessage, signing_secrets: str, mode: str | None) -> InboundNotice | None:
    """`signing_secrets`: one or two, with a space between. Raises InboundRefused."""
    if not signing_secrets.split():
        raise InboundRefused("No signing secret of a Stripe webhook is set.")
    if not _is_signed(message, signing_secrets.split()):
        raise InboundRefused("The signature does not fit, or is older than five minutes.")
    try:
        event = json.loads(message.body)
    except (ValueError, RecursionError):
        raise InboundRefused("The body is not JSON.") from None
    if not isinstance(event, dict) or fitting(Id, event.get("id")) is None:
        raise InboundRefused("The body is no event.")
    if (
        mode is not None
        and isinstance(event.get("livemode"), bool)
        and event["livemode"] is not (mode == "live")
    ):
        raise InboundRefused("The event is of the other mode, live or test.")
    return _notice(event)


def _is_signed(message: InboundMessage, signing_secrets: list[str]) -> bool:
    parts = [part.partition("=") for part in message.headers.get("stripe-signature", "").split(",")]
    times = [value for name, _, value in parts if name.strip() == "t"]
    given = [value.strip().encode() for name, _, value in parts if name.strip() == "v1"][:_MOST_SIGNATURES]
    if len(times) != 1 or not (times[0].isascii() and times[0].isdecimal() and len(times[0]) <= 12):
        return False
    if abs(message.received_at.timestamp() - int(times[0])) > TOLERANCE_S:
        return False
    signed = times[0].encode() + b"." + message.body
    expected = [hmac.new(secret.encode(), signed, sha256).hexdigest().encode() for secret in signing_secrets]
    matches = [hmac.compare_digest(ours, theirs) for ours in expected for theirs in given]
    return any(matches)


def _notice(event: dict[str, Any]) -> InboundNotice | None:
    """None for other objects than these, and for events of accounts that are connected to this one."""
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict) or event.get("account"):
        return None
    subscriptions = tuple(dict.fromkeys(_subscriptions(about)))
    customers = tuple(dict.fromkeys(_customers(about)))
    if not subscriptions and not customers:
        return None
    return InboundNotice(event["id"], subscription_ids=subscriptions, customer_ids=customers)


def _subscriptions(about: dict[str, Any]) -> Iterator[str]:
    match about:
        case {"object": "subscription", "id": given}:
            yield from _ids(given)
        case {"object": "subscription_schedule" | "discount", "subscription": given}:
            yield from _ids(given)
        case {"object": "invoice", "parent": {"subscription_details": {"subscription": given}}}:
            yield from _ids(given)


def _customers(about: dict[str, Any]) -> Iterator[str]:
    match about:
        case {"object": "customer", "id": given}:
            yield from _ids(given)
        case {"object": "subscription" | "subscription_schedule" | "discount", "customer": given}:
            yield from _ids(given)
        case {"object": "invoice", "parent": {"subscription_details": dict()}, "customer": given}:
            yield from _ids(given)


def _ids(given: object) -> Iterator[str]:
    found = given.get("id") if isinstance(given, dict) else given
    if isinstance(found, str) and fitting(Id, found) is not None:
        yield found
