"""Maxio's webhooks: form-encoded, signed with the site's shared key over the raw body, without a time.

Facts: docs.maxio.com, Webhooks Reference; the id in the body is the same whenever one is sent again.
"""

import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl

from app.adapters.billing.maxio.values import is_number
from app.core.billing import InboundMessage, InboundNotice, InboundRefused

SIGNATURE: Final = "x-chargify-webhook-signature-hmac-sha-256"
_MOST_FIELDS: Final = 5_000
_SUBSCRIPTION: Final = ("payload[subscription][id]", "payload[subscription_id]")
_CUSTOMER: Final = ("payload[subscription][customer][id]", "payload[customer][id]", "payload[customer_id]")


def verify(message: InboundMessage, shared_keys: str) -> InboundNotice | None:
    """Raises InboundRefused. The id in the header is not signed, so the one in the body counts."""
    keys = shared_keys.split()
    if not keys:
        raise InboundRefused("No shared key is set for this connection.")
    given = message.headers.get(SIGNATURE, "").strip().lower().encode()
    proofs = [hmac.new(key.encode(), message.body, sha256).hexdigest().encode() for key in keys]
    fitting = [hmac.compare_digest(given, proof) for proof in proofs]  # all of them: no early way out
    if not any(fitting):
        raise InboundRefused("The signature does not fit.")
    try:
        found = dict(parse_qsl(message.body.decode("ascii"), max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise InboundRefused("The body is not a form.") from None
    event_id = found.get("id", "").strip()
    if not event_id or len(event_id) > 255:
        raise InboundRefused("The body has no id.")
    subscriptions, customers = _ids(found, _SUBSCRIPTION), _ids(found, _CUSTOMER)
    if not subscriptions and not customers:
        return None  # a test, or about a product or a payout
    return InboundNotice(event_id, subscriptions, customers)


def _ids(found: dict[str, str], names: tuple[str, ...]) -> tuple[str, ...]:
    values = (found.get(name, "") for name in names)
    return tuple(dict.fromkeys(value for value in values if is_number(value)))
