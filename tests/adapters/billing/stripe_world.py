"""Simulated Stripe as a world, and what its tests do behind the adapter's back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from app.core.billing import Change, ChangeRequest
from app.core.direct import DirectSubscription
from demo.billing.faults import Fault, Point
from tests.adapters.billing.contract import BEN, BENS, Document, change_of
from tests.adapters.billing.simulated import SimulatedWorld


class StripeWorld(SimulatedWorld):
    secret = "api_key"
    inbound = "signed"

    @property
    def state(self) -> Document:
        return self.books.state

    def stored(self, subscription_id: str = BENS) -> Document:
        """The subscription as Stripe keeps it."""
        found: Document = self.state["subscriptions"][subscription_id]
        return found

    @contextmanager
    def by_hand(self, subscription_id: str = BENS) -> Iterator[Document]:
        """What somebody changes in Stripe's dashboard."""
        with self.books.commit() as state:
            yield state["subscriptions"][subscription_id]

    def put_price(self, price_id: str, **changes: Any) -> None:
        """Another price like Lite, with these differences."""
        with self.books.commit() as state:
            price = {**state["prices"]["price_lite_monthly"], "id": price_id, **changes}
            if "currency" in changes:
                price["currency_options"] = {changes["currency"]: {"unit_amount": price["unit_amount"]}}
            state["prices"][price_id] = price

    def put_coupon(self, coupon_id: str, **changes: Any) -> None:
        """Another coupon like the half price one, with these differences."""
        with self.books.commit() as state:
            state["coupons"][coupon_id] = {
                **state["coupons"]["coupon_half_price"],
                "id": coupon_id,
                **changes,
            }

    def pass_time(self, until: datetime) -> None:
        self.clock.set(until)
        self.vendor.settle(self.books, until)

    def invoices(self, subscription_id: str = BENS, *, after: datetime) -> list[tuple[datetime, int, str]]:
        """What has been billed since: when, how much, and whether it was paid."""
        found = [
            (datetime.fromtimestamp(one["created"], after.tzinfo), one["total"], one["status"])
            for one in self.state["invoices"].values()
            if one["parent"]["subscription_details"]["subscription"] == subscription_id
        ]
        return sorted(one for one in found if one[0] > after)

    def fail_write(self, number: int, point: Point, kind: Any) -> None:
        """Let the write with that number, counted from now, go wrong."""
        for _ in range(number - 1):
            self.simulator.faults.plan(Fault(point, "slow", seconds=0))
        self.simulator.faults.plan(Fault(point, kind))

    async def apply(
        self,
        change: Change,
        *,
        effect_id: str = "eff_1",
        customer: str = BEN,
        subscription: str = BENS,
    ) -> DirectSubscription:
        """Make the change, and read the subscription."""
        await self.provider.apply(self.request(change, effect_id, customer, subscription))
        return await self.read(customer, subscription)

    async def read(self, customer: str = BEN, subscription: str = BENS) -> DirectSubscription:
        found = await self.provider.find_subscription(customer, subscription)
        assert found is not None
        return found

    def request(
        self, change: Change, effect_id: str = "eff_1", customer: str = BEN, subscription: str = BENS
    ) -> ChangeRequest:
        return change_of(change, effect_id=effect_id, customer_id=customer, subscription_id=subscription)
