"""Maxio Advanced Billing (once Chargify): one site, over its HTTP API.

Its own Python client is not used: it fixes its addresses, brings a transport without our deadlines, caps and address
guard, and installs stray top-level packages.
"""

from asyncio import gather
from collections.abc import Sequence

from app.adapters.billing.connection import Connection
from app.adapters.billing.maxio import inbound
from app.adapters.billing.maxio.catalog import MOST_LISTED
from app.adapters.billing.maxio.checks import refuse_impossible
from app.adapters.billing.maxio.coupons import Coupons
from app.adapters.billing.maxio.lookup import Lookup
from app.adapters.billing.maxio.wire import Wire
from app.adapters.billing.maxio.writing import Writer
from app.core.billing import (
    Account,
    Applied,
    Capability,
    Catalog,
    Change,
    ChangeRequest,
    Discount,
    InboundMessage,
    InboundNotice,
    Preview,
    PriceList,
    ProviderRefused,
)
from app.core.direct import DirectCustomer, DirectSubscription


class MaxioBilling:
    """One site. Writes set a state and are preceded by a read, so a repeated one changes nothing."""

    capabilities = frozenset(Capability)
    reads_back = True
    has_previews = True

    def __init__(self, connection: Connection) -> None:
        self._wire = Wire(connection)
        self._lookup = Lookup(self._wire, connection.clock)
        self._coupons = Coupons(self._wire, connection.clock)
        self._writer = Writer(self._wire, self._lookup, connection.clock)
        self._clock = connection.clock
        self._shared_keys = connection.config.get("shared_key", "")

    async def find_customer(self, customer_id: str) -> DirectCustomer | None:
        return await self._lookup.find_customer(customer_id)

    async def find_customers_by_email(self, email: str) -> list[DirectCustomer]:
        return await self._lookup.find_customers_by_email(email)

    async def list_subscriptions(self, customer_id: str) -> list[DirectSubscription]:
        return await self._lookup.list_subscriptions(customer_id)

    async def find_subscription(self, customer_id: str, subscription_id: str) -> DirectSubscription | None:
        return await self._lookup.find_subscription(customer_id, subscription_id)

    async def load_catalog(self, price_ids: Sequence[str], coupon_ids: Sequence[str]) -> Catalog:
        prices, coupons = await gather(
            self._lookup.load_prices(price_ids), self._lookup.load_coupons(coupon_ids)
        )
        return Catalog({price.id: price for price in prices}, {coupon.id or "": coupon for coupon in coupons})

    async def list_catalog(self) -> PriceList:
        prices = await self._lookup.list_prices()
        coupons = await self._lookup.list_coupons()
        return PriceList(tuple(prices[:MOST_LISTED]), tuple(coupons[:MOST_LISTED]))

    async def preview(self, customer_id: str, subscription_id: str, change: Change) -> Preview | None:
        """None: Maxio previews renewals as they stand and prorated migrations, neither of which is what we do."""
        seen = await self._lookup.see(customer_id, subscription_id, is_brief=True)
        if seen is None:
            raise ProviderRefused("There is no such subscription.")
        refuse_impossible(change, seen, self._clock.now())
        if isinstance(change, Discount) and change.coupon_id is not None:
            subscription = self._lookup.read(seen, customer_id)
            if subscription is not None:
                await self._coupons.check(change, seen, subscription)
        return None

    async def check(self) -> Account:
        site = await self._lookup.site()
        mode = {True: "test", False: "live", None: None}[site.is_test]
        return Account(id=site.id, name=site.name, mode=mode)  # type: ignore[arg-type]  # one of the literals

    def verify_inbound(self, message: InboundMessage) -> InboundNotice | None:
        return inbound.verify(message, self._shared_keys)

    async def apply(self, request: ChangeRequest) -> Applied:
        return await self._writer.apply(request)


def connect(connection: Connection) -> MaxioBilling:
    return MaxioBilling(connection)
