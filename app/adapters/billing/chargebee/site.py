"""What a Chargebee site has: subscriptions with what their items and coupons mean. Reads, and keeps nothing."""

from asyncio import gather
from collections.abc import Iterable, Sequence

from app.adapters.billing.chargebee import reading, shapes
from app.adapters.billing.chargebee.wire import PAGE, Document, Wire, any_of, is_id
from app.adapters.billing.chargebee.writing import path
from app.adapters.clock import Clock
from app.core.direct import DirectSubscription

Entry = Document
"""A subscription as Chargebee answers with it: `subscription` and its `customer`."""


class Site:
    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire = wire
        self._clock = clock

    async def find(self, customer_id: str, subscription_id: str) -> Entry | None:
        """One subscription of that customer, as Chargebee has it now."""
        if not is_id(customer_id) or not is_id(subscription_id):
            return None
        entry = await self._wire.find(path(subscription_id))
        if entry is None or part(entry, "subscription").get("deleted") is True:
            return None
        return entry if part(entry, "subscription").get("customer_id") == customer_id else None

    async def read(self, entries: Sequence[Entry], *, with_prices: bool = True) -> list[DirectSubscription]:
        """The subscriptions in canonical form; asks the catalog what their prices and coupons are.

        Without prices they have no names: enough to see whether a change is in place.
        """
        found = [part(entry, "subscription") for entry in entries]
        named = [name for each in found for name in reading.item_price_ids(each)] if with_prices else []
        prices, coupons = await gather(
            self.item_prices(named),
            self.coupons([name for each in found for name in reading.coupon_ids(each)]),
        )
        now = self._clock.now()
        read = [
            reading.subscription(
                part(entry, "subscription"), part(entry, "customer"), prices=prices, coupons=coupons, now=now
            )
            for entry in entries
        ]
        return [subscription for subscription in read if subscription is not None]

    async def item_prices(self, ids: Iterable[str]) -> dict[str, Document]:
        return await self._defined("/item_prices", "item_price", ids)

    async def coupons(self, ids: Iterable[str]) -> dict[str, Document]:
        return await self._defined("/coupons", "coupon", ids)

    async def _defined(self, address: str, kind: str, ids: Iterable[str]) -> dict[str, Document]:
        wanted = list(dict.fromkeys(ids))
        found: dict[str, Document] = {}
        for start in range(0, len(wanted), PAGE):
            asked = (any_of("id", wanted[start : start + PAGE]),)
            for entry in await self._wire.list(address, asked, most=PAGE):
                thing = part(entry, kind)
                name = shapes.identifier(thing.get("id"))
                if name in wanted and name is not None:
                    found[name] = thing
        return found


def part(entry: Document, name: str) -> Document:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}
