"""The merchant's own billing: one signed POST for each change. Reads only what the merchant sent along."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from app.adapters import standard_webhooks
from app.adapters.billing.connection import Connection, Snapshot
from app.adapters.http import OutboundError, Reply, dump_json
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    InboundMessage,
    InboundNotice,
    InboundRefused,
    Preview,
    PriceList,
    ProviderRefused,
    ProviderUnavailable,
    dump_change,
)
from app.core.calendar import iso
from app.core.direct import Canceled, DirectCustomer, DirectSubscription, parse_customer, parse_subscriptions
from app.core.errors import InvalidInput
from app.core.fields import MAX_TEXT, is_clean

ACTION_S = 15.0
LOOKUP_S = 5.0
MAX_BYTES = 65_536
MOST_SUBSCRIPTIONS = 20

_DECLINED = "The change was declined."


class DirectBilling:
    """Changes go to the merchant's action URL; the effect id is the message id, so a repeat can be told.

    The answer is the proof. Customers and subscriptions are those of the snapshot, or of the last look-up.
    """

    reads_back = False
    has_previews = False

    def __init__(self, connection: Connection) -> None:
        self._http = connection.http
        self._clock = connection.clock
        self._action_url = connection.config["action_url"]
        self._secrets = connection.config["action_secret"]
        self._lookup_url = connection.config.get("lookup_url", "")
        self._known = connection.snapshot
        can_look_up = {Capability.FIND_BY_EMAIL} if self._lookup_url else set()
        self.capabilities = (frozenset(Capability) - {Capability.FIND_BY_EMAIL}) | can_look_up

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        customer = self._known.customer
        return customer if customer and customer.id == customer_id else None

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        if not self._lookup_url:
            return []
        reply = await self._post(
            self._lookup_url, f"msg_{secrets.token_hex(12)}", dump_json({"email": email}), deadline_s=LOOKUP_S
        )
        if reply.status == 404:
            return []
        self._known = _read_snapshot(reply)
        return [self._known.customer] if self._known.customer else []

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        going_on = [each for each in self._owned(customer_id) if not isinstance(each.status, Canceled)]
        return sorted(going_on, key=lambda each: each.start, reverse=True)[:MOST_SUBSCRIPTIONS]

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        return next((each for each in self._owned(customer_id) if each.id == subscription_id), None)

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        return Catalog()  # the flow describes its own prices and discounts

    async def list_catalog(self) -> PriceList:
        return PriceList()

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        return None

    async def check(self) -> Account:
        """Who the merchant's program is, its address says; no call is harmless enough to make without a reason."""
        return Account(urlsplit(self._action_url).hostname or self._action_url)

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        raise InboundRefused("A merchant's own billing sends no webhooks; it calls the API.")

    async def apply(self, request: ChangeRequest) -> Applied:
        body = dump_json(
            {
                "effectId": request.effect_id,
                "sessionId": request.session_id,
                "type": request.change.type,
                "customerId": request.customer_id,
                "subscriptionId": request.subscription_id,
                "mode": request.mode,
                "change": dump_change(request.change),
                "offer": request.shown,
                "requestedAt": iso(request.requested_at),
            }
        )
        reply = await self._post(self._action_url, request.effect_id, body, deadline_s=ACTION_S)
        match reply.status, _object(reply):
            case 409, {"status": "rejected", **answer} if answer.get("effectId") in (None, request.effect_id):
                raise ProviderRefused(_fit_to_show(answer.get("message")))
            case _, {"effectId": request.effect_id, "status": "applied" | "accepted", **answer} if (
                reply.is_success
            ):
                subscription = _read_subscription(answer.get("subscription"), self._known.customer)
                if subscription and subscription.id != request.subscription_id:
                    subscription = None
                return Applied(subscription=subscription, confirmation="merchant")
        raise ProviderUnavailable(
            f"The action URL answered {reply.status} without saying that the change was applied.",
            retry_after=reply.retry_after,
        )

    def _owned(self, customer_id: str) -> tuple[DirectSubscription, ...]:
        """The subscriptions of the snapshot; one without a customer is about the customer of the link."""
        customer = self._known.customer
        if customer and customer.id != customer_id:
            return ()
        return tuple(each for each in self._known.subscriptions if each.customer_id in (None, customer_id))

    async def _post(self, url: str, message_id: str, body: bytes, *, deadline_s: float) -> Reply:
        signed = standard_webhooks.headers(self._secrets, message_id, self._clock.now(), body)
        try:
            return await self._http.post_json(url, body, signed, deadline_s=deadline_s, max_bytes=MAX_BYTES)
        except OutboundError as error:
            raise ProviderUnavailable(error.sentence) from None


def connect(connection: Connection) -> DirectBilling:
    return DirectBilling(connection)


def _object(reply: Reply) -> Mapping[str, Any]:
    try:
        value = reply.json()
    except OutboundError:
        return {}
    return value if isinstance(value, dict) else {}


def _read_snapshot(reply: Reply) -> Snapshot:
    match reply.status, _object(reply):
        case 200, {"customer": customer_object, "subscriptions": list() as subscription_objects}:
            try:
                customer = parse_customer(customer_object)
                return Snapshot(customer, tuple(parse_subscriptions(subscription_objects, customer)))
            except InvalidInput as error:
                raise ProviderUnavailable(f"The look-up's answer is not valid: {error}") from None
    raise ProviderUnavailable(
        f"The look-up URL answered {reply.status} without customer and subscriptions.",
        retry_after=reply.retry_after,
    )


def _read_subscription(value: object, customer: DirectCustomer | None) -> DirectSubscription | None:
    """The subscription in a merchant's proof. A malformed one takes nothing from the proof itself."""
    try:
        return parse_subscriptions([value], customer)[0]
    except InvalidInput:
        return None


def _fit_to_show(message: object) -> str:
    if not isinstance(message, str) or not message.strip() or not is_clean(message, allowed="\n"):
        return _DECLINED
    return message.strip()[:MAX_TEXT]
