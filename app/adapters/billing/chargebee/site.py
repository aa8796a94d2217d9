"""What a Chargebee site has: subscriptions with what their items and coupons mean. Reads, and keeps nothing."""

from asyncio import gather
from collections.abc import Iterable, Sequence
from typing import Final

from app.adapters.billing.chargebee import reading, shapes
from app.adapters.billing.chargebee.wire import PAGE, Document, Wire, any_of, is_id
from app.adapters.billing.chargebee.writing import path
from app.adapters.clock import Clock
from app.core.direct import DirectSubscription

_MOST_RAMPS: Final = 900

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
        prices, coupons, ramped = await gather(
            self.item_prices(named),
            self.coupons([name for each in found for name in reading.coupon_ids(each)]),
            self._ramped([str(each.get("id")) for each in found]),
        )
        now = self._clock.now()
        read = [
            reading.subscription(
                part(entry, "subscription"),
                part(entry, "customer"),
                prices=prices,
                coupons=coupons,
                has_ramp=part(entry, "subscription").get("id") in ramped,
                now=now,
            )
            for entry in entries
        ]
        return [subscription for subscription in read if subscription is not None]

    def outline(self, entry: Entry) -> DirectSubscription | None:
        """As far as the entry itself tells: its dates and its rhythm. Asks nobody."""
        return reading.subscription(
            part(entry, "subscription"),
            part(entry, "customer"),
            prices={},
            coupons={},
            has_ramp=False,
            now=self._clock.now(),
        )

    async def item_prices(self, ids: Iterable[str]) -> dict[str, Document]:
        return await self._defined("/item_prices", "item_price", ids)

    async def coupons(self, ids: Iterable[str]) -> dict[str, Document]:
        return await self._defined("/coupons", "coupon", ids)

    async def _ramped(self, ids: Iterable[str]) -> list[object]:
        """Those for which changes are scheduled as ramps, which a change of ours would undo.

        Not every site has ramps.
        """
        ramps: list[Document] = []
        for some in any_of("subscription_id", ids):
            asked = (some, ("status[is]", "scheduled"))
            ramps += await self._wire.list("/ramps", asked, most=_MOST_RAMPS, is_optional=True)
        return [part(entry, "ramp").get("subscription_id") for entry in ramps]

    async def _defined(self, address: str, kind: str, ids: Iterable[str]) -> dict[str, Document]:
        found: dict[str, Document] = {}
        for some in any_of("id", ids):
            for entry in await self._wire.list(address, (some,), most=PAGE):
                thing = part(entry, kind)
                if (name := shapes.identifier(thing.get("id"))) is not None:
                    found[name] = thing
        return found


def part(entry: Document, name: str) -> Document:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}
