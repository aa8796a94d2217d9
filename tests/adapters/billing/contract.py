"""What every billing provider has to do, whichever vendor is behind it: subclass `ProviderContract`."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import pytest

from app.core.billing import (
    BillingProvider,
    Cancel,
    Capability,
    Change,
    ChangeRequest,
    Discount,
    Pause,
    PlanChange,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.calendar import add_days, add_months
from app.core.direct import Active, DirectPrice, DirectSubscription
from tests.support.clock import START

NOW = START
LITE = DirectPrice.model_validate(
    {"id": "price_lite_monthly", "name": "Lite", "amount": {"value": 600, "currency": "USD"}}, by_alias=True
)
BEN, BENS = "cus_ben", "sub_ben_pro"  # Pro, monthly
DANA, DANAS = "cus_dana", "sub_dana_pro"  # on trial

Fault = Literal["drop_before", "drop_after", "500", "429"]


class World(ABC):
    """A vendor for one test: six customers as in the demo, a provider connected to it, and its inner books."""

    provider: BillingProvider

    @abstractmethod
    def subscription(self, subscription_id: str) -> DirectSubscription:
        """The truth, past the provider."""

    @abstractmethod
    def count_changes(self, subscription_id: str) -> int:
        """How many changes were really made."""

    @abstractmethod
    def fail(self, fault: Fault) -> None:
        """Let the next call that changes something go wrong."""


def change_of(
    change: Change, *, effect_id: str = "eff_1", customer_id: str = BEN, subscription_id: str = BENS
) -> ChangeRequest:
    return ChangeRequest(effect_id, "cs_1", customer_id, subscription_id, "test", change, None, NOW)


CHANGES: Sequence[tuple[Change, str, str]] = [
    (Cancel(timing="period_end"), BEN, BENS),
    (Cancel(timing="now"), BEN, BENS),
    (Discount(percent_off=Decimal(50), duration="repeating", months=3), BEN, BENS),
    (Discount(percent_off=Decimal("12.5"), duration="once"), BEN, BENS),
    (Discount(amount_off_minor=500, currency="USD", duration="forever"), BEN, BENS),
    (Pause(resumes_at=add_months(NOW, 2)), BEN, BENS),
    (PlanChange(price=LITE), BEN, BENS),
    (TrialExtension(days=7, ends_at=add_days(NOW, 16)), DANA, DANAS),
]


class ProviderContract:
    """The contract of `core.billing.BillingProvider`, as tests. Subclasses give the fixture `world`."""

    pytestmark = pytest.mark.anyio

    @pytest.mark.parametrize(("change", "customer_id", "subscription_id"), CHANGES)
    async def test_a_change_is_made_and_proven(
        self, world: World, change: Change, customer_id: str, subscription_id: str
    ) -> None:
        request = change_of(change, customer_id=customer_id, subscription_id=subscription_id)
        applied = await world.provider.apply(request)
        assert is_in_place(change, world.subscription(subscription_id), NOW)
        assert world.count_changes(subscription_id) == 1
        if world.provider.reads_back:
            assert applied.confirmation == "read_back"
            seen = await world.provider.find_subscription(customer_id, subscription_id)
            assert seen is not None
            assert is_in_place(change, seen, NOW)
        else:
            assert applied.confirmation == "merchant"
            assert applied.subscription is not None
            assert is_in_place(change, applied.subscription, NOW)

    async def test_a_repeated_effect_is_made_once(self, world: World) -> None:
        request = change_of(Pause(resumes_at=add_months(NOW, 1)))
        for _ in range(3):
            await world.provider.apply(request)
        assert world.count_changes(BENS) == 1

    @pytest.mark.parametrize("fault", ["drop_before", "drop_after", "500", "429"])
    async def test_after_a_failure_the_next_try_makes_it_once(self, world: World, fault: Fault) -> None:
        world.fail(fault)
        request = change_of(Cancel(timing="period_end"))
        with pytest.raises(ProviderUnavailable):
            await world.provider.apply(request)
        await world.provider.apply(request)
        assert world.count_changes(BENS) == 1
        assert is_in_place(request.change, world.subscription(BENS), NOW)

    async def test_a_busy_vendor_says_when_to_come_back(self, world: World) -> None:
        world.fail("429")
        with pytest.raises(ProviderUnavailable) as caught:
            await world.provider.apply(change_of(Cancel(timing="period_end")))
        assert caught.value.retry_after == 7

    async def test_what_the_vendor_will_not_do_is_final_and_said_in_words(self, world: World) -> None:
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(change_of(TrialExtension(days=7, ends_at=add_days(NOW, 16))))
        assert caught.value.user_message.endswith(".")
        assert world.count_changes(BENS) == 0

    async def test_a_cancel_can_be_taken_back(self, world: World) -> None:
        await world.provider.apply(change_of(Cancel(timing="period_end")))
        await world.provider.apply(change_of(Uncancel(), effect_id="eff_2"))
        assert world.subscription(BENS).end is None

    async def test_a_pause_can_be_ended(self, world: World) -> None:
        await world.provider.apply(change_of(Pause(resumes_at=add_months(NOW, 1))))
        await world.provider.apply(change_of(Resume(), effect_id="eff_2"))
        assert isinstance(world.subscription(BENS).status, Active)

    async def test_a_customer_is_found_by_id(self, world: World) -> None:
        customer = await world.provider.find_customer(BEN)
        assert customer is not None
        assert (customer.id, customer.email, customer.country) == (BEN, "ben@example.com", "US")
        assert await world.provider.find_customer("cus_nobody") is None

    async def test_subscriptions_belong_to_their_customer(self, world: World) -> None:
        assert [each.id for each in await world.provider.list_subscriptions(BEN)] == [BENS]
        assert await world.provider.list_subscriptions("cus_nobody") == []
        mine = await world.provider.find_subscription(BEN, BENS)
        assert mine is not None
        assert await world.provider.find_subscription(DANA, BENS) is None
        assert await world.provider.find_subscription(BEN, "sub_nothing") is None
        price = mine.price_total()
        assert price is not None
        assert (price.minor, price.currency) == (2900, "USD")

    async def test_strange_ids_find_nothing(self, world: World) -> None:
        for strange in ("../cus_ben", "cus_ben/subscriptions", "cus ben?x=1#y", "ü🎈", "%2e%2e", "a" * 255):
            assert await world.provider.find_customer(strange) is None
            assert await world.provider.list_subscriptions(strange) == []
            assert await world.provider.find_subscription(BEN, strange) is None

    async def test_a_customer_is_found_by_email(self, world: World) -> None:
        if Capability.FIND_BY_EMAIL not in world.provider.capabilities:
            pytest.fail("connect the simulator so that it can look up")
        found = await world.provider.find_customers_by_email("Ben@Example.com")
        assert [customer.id for customer in found] == [BEN]
        assert await world.provider.find_customers_by_email("nobody@example.com") == []

    async def test_the_catalog_leaves_out_what_is_not_known(self, world: World) -> None:
        catalog = await world.provider.load_catalog(["price_no"], ["coupon_no"])
        assert (dict(catalog.prices), dict(catalog.coupons)) == ({}, {})
