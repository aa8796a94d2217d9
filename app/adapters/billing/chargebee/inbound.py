"""Chargebee's webhooks: basic authentication is all the proof there is, so nothing in them is believed but ids.

The body is not signed and has no time that a replay could be told by. https://apidocs.chargebee.com/docs/api/events
"""

import hmac
import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final

from app.adapters.billing.chargebee.wire import is_id
from app.core.billing import InboundMessage, InboundNotice, InboundRefused

_LONGEST_ID: Final = 100


def verify(message: InboundMessage, *, user: str, passwords: str) -> InboundNotice | None:
    """`passwords` is one, or while it is being changed two with a space between."""
    if not user or not passwords.split():
        raise InboundRefused("The connection has no user name and password for webhooks.")
    given = _credentials(message.headers.get("authorization", ""))
    expected = [f"{user}:{password}".encode() for password in passwords.split()]
    matches = [hmac.compare_digest(each, given) for each in expected]
    if not any(matches):
        raise InboundRefused("The webhook's user name and password are not those of the connection.")
    event = _event(message.body)
    content = event.get("content")
    content = content if isinstance(content, dict) else {}
    subscriptions = tuple(
        dict.fromkeys(_ids(content, ("subscription", "id"), ("invoice", "subscription_id")))
    )
    customers = tuple(dict.fromkeys(_ids(content, ("customer", "id"), ("subscription", "customer_id"))))
    if not subscriptions and not customers:
        return None
    return InboundNotice(event["id"], subscriptions, customers)


def _credentials(header: str) -> bytes:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return b64decode(encoded.strip(), validate=True)
    except ValueError:
        return b""


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise InboundRefused("The webhook is not JSON.") from None
    if not isinstance(event, dict):
        raise InboundRefused("The webhook is not an event.")
    name = event.get("id")
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST_ID:
        raise InboundRefused("The webhook's event has no id.")
    return event


def _ids(content: dict[str, Any], *places: tuple[str, str]) -> Iterator[str]:
    for kind, key in places:
        thing = content.get(kind)
        name = thing.get(key) if isinstance(thing, dict) else None
        if isinstance(name, str) and is_id(name):
            yield name
