"""Braintree, simulated, as a world of the billing contract; with a hand on its own objects."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.core.billing import Applied, Change
from app.core.direct import DirectSubscription
from tests.adapters.billing.contract import BEN, BENS, change_of
from tests.adapters.billing.simulated import SimulatedWorld
from tests.support.braintree.vendor import BraintreeVendor


class BraintreeWorld(SimulatedWorld):
    secret = "private_key"
    currencies = ("USD", "JPY")  # of those with three decimals it bills in none
    inbound = "signed"
    coupon = "coupon_five_dollars"  # it has amounts only

    def surprise(self) -> None:
        self.braintree.has_surprises = True

    @property
    def braintree(self) -> BraintreeVendor:
        """The vendor, with his own switches."""
        assert isinstance(self.vendor, BraintreeVendor)
        return self.vendor

    def raw(self, subscription_id: str = BENS) -> dict[str, Any]:
        """Braintree's own object, to look at."""
        found: dict[str, Any] = self.books.state["subscriptions"][subscription_id]
        return found

    def alter(self, subscription_id: str = BENS, **fields: object) -> None:
        """As somebody at the merchant's would in the Control Panel."""
        with self.books.commit() as state:
            state["subscriptions"][subscription_id] |= fields

    def discounts(self, subscription_id: str = BENS) -> Mapping[str, dict[str, Any]]:
        return {each["id"]: each for each in self.raw(subscription_id)["discounts"]}

    def wait_until(self, moment: datetime) -> None:
        self.clock.set(moment)
        for books in self.simulator.books.values():
            self.vendor.settle(books, moment)

    async def make(
        self, change: Change, effect_id: str = "eff_1", customer: str = BEN, subscription: str = BENS
    ) -> Applied:
        return await self.provider.apply(
            change_of(change, effect_id=effect_id, customer_id=customer, subscription_id=subscription)
        )

    async def seen(self, customer: str = BEN, subscription: str = BENS) -> DirectSubscription:
        found = await self.provider.find_subscription(customer, subscription)
        assert found is not None
        return found
