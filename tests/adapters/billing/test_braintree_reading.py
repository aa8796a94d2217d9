"""Braintree: what its objects are read as, the unusual ones above all."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.billing import Account, Cancel, Change, PlanChange, ProviderRefused
from app.core.calendar import add_months
from app.core.direct import Paused
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from demo.billing.seed import PRO
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    DANA,
    DANAS,
    NOW,
    change_of,
    lite,
    monthly,
    pause,
    person,
)
from tests.adapters.billing.simulated import simulated
from tests.adapters.billing.test_braintree import AT_PERIOD_END, HALF, RENEWS_AT
from tests.support.braintree.canonical import PAUSE_ID, modification
from tests.support.braintree.world import BraintreeWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[BraintreeWorld]:
    async with simulated(BraintreeWorld, "braintree") as world:
        assert isinstance(world, BraintreeWorld)
        yield world


# --- Shapes that only a person may touch ----------------------------------------------------------

PAST_DUE = {"status": "Past Due", "balance": "29.00", "days_past_due": 3}
PENDING = {
    "status": "Pending",
    "current_billing_cycle": 0,
    "billing_period_start_date": None,
    "billing_period_end_date": None,
    "first_billing_date": "2026-12-24",
    "next_billing_date": "2026-12-24",
}
ADD_ON = {"add_ons": [modification("storage", "2.50", None, kind="add_on", quantity=2)]}
HALF_A_PAUSE = {"discounts": [modification(PAUSE_ID, "10.00", 2)]}

UNSAFE: Mapping[str, tuple[dict[str, Any], ManualReason]] = {
    "a payment is overdue": (PAST_DUE, ManualReason.UNPAID),
    "active, and something is owed": ({"balance": "4.20"}, ManualReason.UNPAID),
    "not begun": (PENDING, ManualReason.NOT_STARTED),
    "a fixed number of payments": ({"number_of_billing_cycles": 24}, ManualReason.CONTRACT),
    "an add-on": (ADD_ON, ManualReason.SEVERAL_ITEMS),
    "the pause discount, for less than the price": (HALF_A_PAUSE, ManualReason.FOREIGN_PAUSE),
    "a status of a later version": ({"status": "On Hold"}, ManualReason.UNKNOWN_STATE),
    "canceled": ({"status": "Canceled"}, ManualReason.CANCELED),
    "expired": ({"status": "Expired"}, ManualReason.CANCELED),
}


@pytest.mark.parametrize("name", UNSAFE)
async def test_an_unsafe_shape_is_named_and_left_alone(world: BraintreeWorld, name: str) -> None:
    fields, reason = UNSAFE[name]
    world.alter(**fields)
    assert reason in automation_blockers(await world.seen(), History(), NOW)
    with pytest.raises(ProviderRefused):
        await world.make(HALF)
    assert world.count_changes(BENS) == 0


@pytest.mark.parametrize("fields", [PAST_DUE, PENDING, {"status": "Expired"}, {"status": "On Hold"}])
@pytest.mark.parametrize("change", [HALF, AT_PERIOD_END, "pause", "plan"])
async def test_no_change_gets_past_a_status_that_does_not_allow_it(
    world: BraintreeWorld, fields: dict[str, Any], change: Change | str
) -> None:
    made = {"pause": pause(world), "plan": PlanChange(price=lite(world))}
    wanted = made[change] if isinstance(change, str) else change
    world.alter(**fields)
    if isinstance(wanted, Cancel) and fields["status"] == "Expired":
        return  # that is so already
    with pytest.raises(ProviderRefused):
        await world.make(wanted)
    assert world.count_changes(BENS) == 0


async def test_a_pause_that_somebody_else_set_is_one(world: BraintreeWorld) -> None:
    """Set with the same Discount it is of our kind; whether it is ours, our own history knows."""
    world.alter(discounts=[modification(PAUSE_ID, "29.00", None)])
    seen = await world.seen()
    assert isinstance(seen.status, Paused)
    assert seen.status.pause.end is None
    assert automation_blockers(seen, History(), NOW) == (ManualReason.FOREIGN_PAUSE,)


async def test_a_pause_on_trial_is_not_ours(world: BraintreeWorld) -> None:
    world.alter(DANAS, discounts=[modification(PAUSE_ID, "29.00", 1)])
    seen = await world.seen(DANA, DANAS)
    assert ManualReason.FOREIGN_PAUSE in automation_blockers(seen, History(), NOW)


MONTH = {"start": "2026-11-12T00:00:00Z", "end": "2026-12-12T00:00:00Z"}
STANDS: Mapping[str, dict[str, Any]] = {
    "active": {"status": {"name": "active", "currentPeriod": MONTH}},
    "to end": {"status": {"name": "active", "currentPeriod": MONTH}, "end": MONTH["end"]},
    "trial": {"status": {"name": "trial", "trial": MONTH}},
    "paused": {"status": {"name": "paused", "pause": {"start": MONTH["end"], "end": "2027-02-12T00:00:00Z"}}},
    "unpaid": {"status": {"name": "unpaid", "currentPeriod": MONTH}},
    "future": {"status": {"name": "future"}, "start": "2026-12-01T00:00:00Z"},
    "canceled": {"status": {"name": "canceled", "canceledAt": "2026-11-12T00:00:00Z"}},
    "discounted": {
        "status": {"name": "active", "currentPeriod": MONTH},
        "discounts": [{"coupon": {"amountOff": 250, "currency": "USD", "duration": "forever"}}],
    },
}


@pytest.mark.parametrize("name", STANDS)
async def test_where_a_subscription_stands_is_read_as_it_is(world: BraintreeWorld, name: str) -> None:
    ends = datetime(2026, 12, 12, tzinfo=UTC)
    usual = monthly("sub_x", "cus_x", value=900, currency="USD", start=add_months(ends, -5), ends=ends)
    world.put(person("cus_x"), [{**usual, **STANDS[name]}])
    truth, seen = world.subscription("sub_x"), await world.seen("cus_x", "sub_x")
    assert seen.status == truth.status
    assert (seen.end, seen.start, seen.price_total()) == (truth.end, truth.start, truth.price_total())
    assert [each.end for each in seen.discounts or ()] == [each.end for each in truth.discounts or ()]
    assert seen.status.name == STANDS[name]["status"]["name"]


# --- What is read of the others -------------------------------------------------------------------


async def test_add_ons_are_items_and_part_of_the_price(world: BraintreeWorld) -> None:
    used_up = modification("setup", "9.00", 1, kind="add_on", had=1)
    world.alter(add_ons=[*ADD_ON["add_ons"], used_up])
    seen = await world.seen()
    total = seen.price_total()
    assert total is not None
    assert (len(seen.items), total.minor) == (2, 2900 + 2 * 250)


async def test_the_last_cycle_of_a_term_is_its_end(world: BraintreeWorld) -> None:
    world.alter(number_of_billing_cycles=18, current_billing_cycle=18)
    seen = await world.seen()
    assert (seen.end, seen.obstacles) == (RENEWS_AT, None)


async def test_the_rhythm_is_the_plans_in_months_and_years(world: BraintreeWorld) -> None:
    for months, wanted in ((3, ("month", 3)), (24, ("year", 2)), (12, ("year", 1))):
        with world.books.commit() as state:
            state["plans"][PRO["id"]]["billing_frequency"] = months
        every = (await world.seen()).interval
        assert every is not None
        assert (every.interval, every.interval_count) == wanted


async def test_a_subscription_whose_plan_is_gone_is_still_seen_and_can_end(world: BraintreeWorld) -> None:
    with world.books.commit() as state:
        state["plans"]["price_gone"] = {**state["plans"][PRO["id"]], "id": "price_gone"}
        state["subscriptions"][BENS]["plan_id"] = "price_gone"
    world.braintree.hidden_plans = {"price_gone"}
    seen = await world.seen()
    assert seen.interval is None
    price = seen.price_total()
    assert price is not None
    assert (price.minor, price.currency) == (2900, "USD")
    await world.make(AT_PERIOD_END)
    assert world.subscription(BENS).end == RENEWS_AT


async def test_who_a_customer_is(world: BraintreeWorld) -> None:
    ben = await world.provider.find_customer(BEN)
    assert ben is not None
    assert (ben.name, ben.last_name, ben.currency) == ("Ben", "Halvorsen", None)


async def test_custom_fields_are_kept_where_they_fit(world: BraintreeWorld) -> None:
    with world.books.commit() as state:
        state["customers"][BEN]["custom_fields"] = {"team_size": "4", "essay": "x" * 9_000}
        state["customers"][BEN] |= {"email": "no address", "country": "Nowhere", "phone": ""}
    ben = await world.provider.find_customer(BEN)
    assert ben is not None
    assert ben.metadata == {"team_size": "4"}
    assert (ben.email, ben.country, ben.phone) == (None, None, None)


@pytest.mark.parametrize("kind", ["paypal_account", "crypto_wallet"])
async def test_subscriptions_hang_on_every_kind_of_payment_method(world: BraintreeWorld, kind: str) -> None:
    """Also on one that the library has no class for."""
    with world.books.commit() as state:
        state["customers"][BEN]["method"] = kind
    assert [each.id for each in await world.provider.list_subscriptions(BEN)] == [BENS]
    assert (await world.seen()).customer_id == BEN


async def test_a_subscription_whose_card_was_deleted_is_still_the_customers(world: BraintreeWorld) -> None:
    world.alter(payment_method_token="gone", status="Canceled")
    assert (await world.seen()).id == BENS
    assert await world.provider.find_subscription(DANA, BENS) is None


async def test_at_most_twenty_are_listed_newest_first(world: BraintreeWorld) -> None:
    ends = NOW + timedelta(days=9)
    world.put(
        person("cus_many"),
        [
            monthly(
                f"sub_{number:02}",
                "cus_many",
                value=900,
                currency="USD",
                start=add_months(ends, -1 - number),
                ends=ends,
            )
            for number in range(23)
        ],
    )
    listed = await world.provider.list_subscriptions("cus_many")
    assert [each.id for each in listed] == [f"sub_{number:02}" for number in range(20)]


async def test_customers_of_one_address_are_found_page_by_page(world: BraintreeWorld) -> None:
    world.braintree.page_size = 2
    for number in range(23):
        world.put({**person(f"cus_twin_{number:02}"), "email": "twin@example.com"}, [])
    found = await world.provider.find_customers_by_email("twin@example.com")
    assert len(found) == 20
    assert len({each.id for each in found}) == 20
    world.put({**person("cus_caps"), "email": "CAPS@example.com"}, [])
    assert [each.id for each in await world.provider.find_customers_by_email("CAPS@example.com")] == [
        "cus_caps"
    ]


async def test_our_own_discounts_are_no_coupons(world: BraintreeWorld) -> None:
    listed = await world.provider.list_catalog()
    assert [each.id for each in listed.coupons] == ["coupon_five_dollars"]


async def test_a_coupons_currency_is_the_one_that_all_plans_have(world: BraintreeWorld) -> None:
    assert (await world.provider.list_catalog()).coupons[0].currency == "USD"
    with world.books.commit() as state:
        state["plans"]["price_lite_yearly"]["currency"] = "EUR"
    (coupon,) = (await world.provider.list_catalog()).coupons
    assert (coupon.currency, coupon.amount_off) == (None, 500)


async def test_live_keys_are_told_from_those_of_the_sandbox(world: BraintreeWorld) -> None:
    live = world.connect(**world.vendor.credentials("live"))
    assert await live.check() == Account(id="examplelivemerchant", mode="live")
    assert await world.provider.check() == Account(id="exampletestmerchant", mode="test")
    await live.apply(change_of(AT_PERIOD_END))
    assert world.count_changes(BENS) == 0


async def test_dates_are_midnights(world: BraintreeWorld) -> None:
    assert (await world.seen()).period_end == datetime(2026, 12, 12, tzinfo=UTC)
