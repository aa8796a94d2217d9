"""Stripe Billing. Its own library builds the requests; everything goes out by our one door."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final, Literal

from app.adapters.billing.connection import Connection
from app.adapters.billing.stripe import inbound, previews, wire
from app.adapters.billing.stripe.changes import Changes
from app.adapters.billing.stripe.gateway import Gateway
from app.adapters.billing.stripe.reading import subscription_of
from app.adapters.billing.stripe.shapes import OURS, coupon_of, customer_of, is_usable, price_of
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    InboundMessage,
    InboundNotice,
    Preview,
    PriceList,
)
from app.core.direct import DirectCustomer, DirectSubscription

MOST_CUSTOMERS: Final = 20
MOST_SUBSCRIPTIONS: Final = 20
MOST_LISTED: Final = 100

_KEY: Final = re.compile(r"(?:sk|rk)_(live|test)_")


class StripeBilling:
    """One Stripe account in the mode of its key. What was written can be read back at once."""

    capabilities = frozenset(Capability)
    reads_back = True
    has_previews = True

    def __init__(self, connection: Connection) -> None:
        config = connection.config
        self._key = config["api_key"].strip()
        self._clock = connection.clock
        self._webhook_secrets = config.get("webhook_secret", "")
        self._mode = connection.mode
        base = config.get("api_base", "").strip() or wire.DEFAULT_BASE
        self._gateway = Gateway(wire.open_client(self._key, base, connection.http))
        self._changes = Changes(self._gateway, connection.clock)

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        found = await self._gateway.customer(customer_id)
        return None if found is None else customer_of(found)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        found = await self._gateway.customers_by_email(email.strip(), most=MOST_CUSTOMERS)
        customers = [customer_of(one) for one in found]
        wanted = email.strip().casefold()
        return [one for one in customers if (one.email or "").casefold() == wanted][:MOST_CUSTOMERS]

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        now = self._clock.now()
        found = await self._gateway.subscriptions(customer_id, most=MOST_SUBSCRIPTIONS)
        return [subscription_of(one, now) for one in found]

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        found = await self._gateway.subscription(customer_id, subscription_id)
        return None if found is None else subscription_of(found, self._clock.now())

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        prices, coupons = await asyncio.gather(
            asyncio.gather(*map(self._gateway.price, dict.fromkeys(price_ids))),
            asyncio.gather(*map(self._gateway.coupon, dict.fromkeys(coupon_ids))),
        )
        return Catalog(
            {one["id"]: price_of(one) for one in prices if one is not None and _can_be_chosen(one)},
            {one["id"]: coupon_of(one) for one in coupons if one is not None and one.get("valid") is True},
        )

    async def list_catalog(self) -> PriceList:
        prices = [one for one in await self._gateway.newest_prices() if _can_be_chosen(one)]
        coupons = [
            one
            for one in await self._gateway.newest_coupons()
            if one.get("valid") is True and not one["id"].startswith(OURS)
        ]
        return PriceList(
            tuple(map(price_of, prices[:MOST_LISTED])), tuple(map(coupon_of, coupons[:MOST_LISTED]))
        )

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        return await previews.preview(self._gateway, customer_id, subscription_id, change, self._clock.now())

    async def check(self) -> Account:
        """Restricted keys may not read the account; they are tried on what they are needed for."""
        mode = self._mode_of_key()
        try:
            found = await wire.find(self._gateway.api.accounts.retrieve_current_async())
        except wire.NotPermitted as refused:
            await self._gateway.try_reading()
            return Account(id=refused.account or "the account of a restricted key", mode=mode)
        if found is None or not isinstance(found.get("id"), str):
            raise CredentialsRefused("Stripe has no account for this API key.")
        return Account(id=found["id"], name=_account_name(found), mode=mode)

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return inbound.verify(message, self._webhook_secrets, self._mode_of_key() or self._mode)

    async def apply(self, request: ChangeRequest) -> Applied:
        return await self._changes.make(request)

    def _mode_of_key(self) -> Literal["live", "test"] | None:
        found = _KEY.match(self._key)
        if found is None:
            return None
        return "live" if found[1] == "live" else "test"


def connect(connection: Connection) -> StripeBilling:
    return StripeBilling(connection)


def _can_be_chosen(price: wire.Raw) -> bool:
    return is_usable(price) and price.get("type") == "recurring"


def _account_name(account: wire.Raw) -> str | None:
    profile, settings = account.get("business_profile"), account.get("settings")
    dashboard = settings.get("dashboard") if isinstance(settings, dict) else None
    for place, name in ((dashboard, "display_name"), (profile, "name")):
        found = place.get(name) if isinstance(place, dict) else None
        if isinstance(found, str) and found.strip():
            return found.strip()[:200]
    return None
