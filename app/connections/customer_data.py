"""Asks the merchant's endpoint for a customer's attributes, once a session (DESIGN §2.5). Never the reason that a
customer has to wait or stop: every failure becomes a reason that is kept for the merchant."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from app.adapters import standard_webhooks
from app.adapters.http import OutboundError, OutboundHttp, dump_json
from app.core.facts import Scalar, sift_attributes

MAX_BYTES: Final = 65_536
BREAKER_FAILURES: Final = 5
BREAKER_REST: Final = timedelta(seconds=30)
_MAX_ID: Final = 255


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, and with which secrets. `api_key` signs the customer's id; `secret` the whole request."""

    url: str
    api_key: str
    secret: str | None


@dataclass(frozen=True, slots=True)
class CustomerData:
    """What the endpoint said, or in `reason` why it said nothing. `dropped` names attributes that cannot be used."""

    customer_id: str | None = None
    subscription_id: str | None = None
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def is_failure(self) -> bool:
        return self.reason is not None


def signature_of(customer_id: str, api_key: str) -> str:
    """Lower-case hex HMAC-SHA256 of the customer's id, as the published contract asks."""
    return hmac.new(api_key.encode(), customer_id.encode(), hashlib.sha256).hexdigest()


async def ask(
    http: OutboundHttp,
    endpoint: Endpoint,
    *,
    customer_id: str,
    message_id: str,
    now: datetime,
    deadline_s: float,
) -> CustomerData:
    """Call the endpoint and sift its answer. Raises nothing; `message_id` lets the merchant refuse a replay."""
    body = dump_json({"customerId": customer_id, "signature": signature_of(customer_id, endpoint.api_key)})
    headers = standard_webhooks.headers(endpoint.secret, message_id, now, body) if endpoint.secret else {}
    try:
        reply = await http.post_json(endpoint.url, body, headers, deadline_s=deadline_s, max_bytes=MAX_BYTES)
        if reply.status != 200:
            return CustomerData(reason=f"status_{reply.status}")
        answer = reply.json()
    except OutboundError as error:
        return CustomerData(reason=str(error.reason))
    return read_answer(answer)


def read_answer(answer: object) -> CustomerData:
    """Sift what the endpoint answered; a part of the wrong type is left out and named, never a failure of the rest."""
    if not isinstance(answer, dict):
        return CustomerData(reason="not_an_object")
    dropped: list[str] = []
    ids: dict[str, str | None] = {}
    for name in ("customerId", "subscriptionId"):
        value = answer.get(name)
        is_usable = isinstance(value, str) and 0 < len(value) <= _MAX_ID and value.isprintable()
        ids[name] = value if is_usable else None
        if value is not None and not is_usable:
            dropped.append(name)
    raw = answer.get("customerAttributes")
    sifted = sift_attributes(raw if isinstance(raw, dict) else {})
    if raw is not None and not isinstance(raw, dict):
        dropped.append("customerAttributes")
    return CustomerData(
        customer_id=ids["customerId"],
        subscription_id=ids["subscriptionId"],
        attributes=sifted.kept,
        dropped=(*dropped, *(f"customerAttributes.{error.field}" for error in sifted.dropped)),
    )
