"""What is read from Stripe: unsafe shapes, money, lists, and things that no documentation knows."""

import copy
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.billing.stripe.reading import subscription_of
from app.core.billing import Cancel, Discount, Pause, PlanChange, ProviderRefused
from app.core.calendar import add_months
from app.core.direct import Active, Trial, Unpaid
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from app.core.money import Money
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CHEN,
    COUPON,
    DANA,
    DANAS,
    LITE,
    NOW,
    Document,
    lite,
    monthly,
    person,
)
from tests.adapters.billing.simulated import simulated
from tests.adapters.billing.stripe_world import StripeWorld
from tests.support.stripe.objects import add_discount, stamp

pytestmark = pytest.mark.anyio


@pytest.fixture
async def world() -> AsyncIterator[StripeWorld]:
    async with simulated(StripeWorld, "stripe") as world:
        assert isinstance(world, StripeWorld)
        yield world


# --- Unsafe shapes ---


def _another_item(subscription: Document) -> None:
    first = subscription["items"]["data"][0]
    subscription["items"]["data"].append({**first, "id": "si_second"})


def _more_items(subscription: Document) -> None:
    subscription["items"]["has_more"] = True


def _no_items(subscription: Document) -> None:
    subscription["items"]["data"] = []


def _billed_ahead(subscription: Document) -> None:
    item = subscription["items"]["data"][0]
    item["billed_until"] = item["current_period_end"] + 86_400


def _own_trial(subscription: Document) -> None:
    subscription["items"]["data"][0]["current_trial"] = {
        "trial_offer": "to_1",
        "start_date": 1,
        "end_date": 2,
    }


def _changed(**changes: Any) -> Callable[[Document], None]:
    return lambda subscription: subscription.update(changes)


SHAPES: dict[str, tuple[Callable[[Document], None], ManualReason]] = {
    "past due": (_changed(status="past_due"), ManualReason.UNPAID),
    "unpaid": (_changed(status="unpaid"), ManualReason.UNPAID),
    "incomplete": (_changed(status="incomplete"), ManualReason.UNPAID),
    "paused by Stripe": (_changed(status="paused"), ManualReason.FOREIGN_PAUSE),
    "paused by somebody": (
        _changed(pause_collection={"behavior": "void", "resumes_at": None}),
        ManualReason.FOREIGN_PAUSE,
    ),
    "drafts kept": (
        _changed(pause_collection={"behavior": "keep_as_draft", "resumes_at": None}),
        ManualReason.FOREIGN_PAUSE,
    ),
    "written off": (
        _changed(
            pause_collection={"behavior": "mark_uncollectible", "resumes_at": stamp(add_months(NOW, 3))}
        ),
        ManualReason.FOREIGN_PAUSE,
    ),
    "schedule": (_changed(schedule="sub_sched_1"), ManualReason.SCHEDULE),
    "trial offer": (_own_trial, ManualReason.SCHEDULE),
    "pending update": (
        _changed(pending_update={"expires_at": stamp(NOW) + 60, "subscription_items": []}),
        ManualReason.PENDING_UPDATE,
    ),
    "cadence": (_changed(cadence="bc_1"), ManualReason.SHARED_BILLING),
    "two items": (_another_item, ManualReason.SEVERAL_ITEMS),
    "more items than sent": (_more_items, ManualReason.SEVERAL_ITEMS),
    "no items": (_no_items, ManualReason.UNKNOWN_STATE),
    "billed ahead": (_billed_ahead, ManualReason.CONTRACT),
    "billing schedule": (_changed(billing_schedules=[{"key": "ahead"}]), ManualReason.CONTRACT),
    "unheard-of status": (_changed(status="hibernating"), ManualReason.UNKNOWN_STATE),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_an_unsafe_subscription_is_for_a_person_and_nothing_is_written(
    world: StripeWorld, name: str
) -> None:
    change, reason = SHAPES[name]
    with world.by_hand() as subscription:
        change(subscription)

    seen = await world.read()
    assert automation_blockers(seen, History(), NOW) == (reason,)
    (listed,) = await world.provider.list_subscriptions(BEN)
    assert automation_blockers(listed, History(), NOW) == (reason,)

    offers = [Pause(resumes_at=add_months(NOW, 2)), Discount(percent_off=Decimal(50), duration="once")]
    for wanted in [*offers, PlanChange(price=lite(world))]:
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(world.request(wanted))
        assert caught.value.user_message.endswith(".")
    assert world.count_changes(BENS) == 0
    assert [method for method, _ in world.simulator.log if method != "GET"] == []


async def test_what_somebody_else_paused_in_another_way_is_not_resumed(world: StripeWorld) -> None:
    from_stripe = {"behavior": "keep_as_draft", "resumes_at": None}
    with world.by_hand() as subscription:
        subscription["pause_collection"] = from_stripe
    with pytest.raises(ProviderRefused, match="foreign_pause"):
        await world.provider.apply(world.request(Cancel(timing="now")))
    assert world.stored()["pause_collection"] == from_stripe


@pytest.mark.parametrize(
    ("changes", "is_overdue"),
    [
        ({"status": "open", "attempt_count": 1}, False),
        ({"status": "open", "attempt_count": 2}, True),
        ({"status": "open", "attempt_count": 0, "due_date": stamp(NOW) + 86_400}, False),
        ({"status": "open", "attempt_count": 0, "due_date": stamp(NOW) - 86_400}, True),
        ({"status": "uncollectible"}, True),
        ({"status": "void"}, False),
    ],
)
async def test_an_invoice_is_overdue_when_it_failed_again_or_its_date_is_past(
    world: StripeWorld, changes: Document, is_overdue: bool
) -> None:
    with world.books.commit() as state:
        state["invoices"][world.stored()["latest_invoice"]].update(changes)
    expected = (ManualReason.UNPAID,) if is_overdue else ()
    assert automation_blockers(await world.read(), History(), NOW) == expected
    (listed,) = await world.provider.list_subscriptions(BEN)
    assert automation_blockers(listed, History(), NOW) == expected


async def test_an_unpaid_subscription_says_so(world: StripeWorld) -> None:
    with world.by_hand() as subscription:
        subscription["status"] = "past_due"
    assert isinstance((await world.read()).status, Unpaid)


async def test_a_trial_is_a_trial(world: StripeWorld) -> None:
    trial = (await world.read(DANA, DANAS)).status
    assert isinstance(trial, Trial)
    assert trial.trial.end == NOW + timedelta(days=9)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "trial_end": "soon",
            "metadata": None,
            "latest_invoice": None,
            "discounts": None,
            "start_date": None,
        },
        {"trial_end": 10**20, "cancel_at": -1, "created": None, "customer": None, "currency": "x" * 9},
        {"discounts": ["di_1", None, {"id": 7, "source": None}, {"source": {"coupon": {"id": "x"}}}]},
        {"pause_collection": "yes", "items": {"data": [None, {"price": None}]}, "status": None},
        {"status": "trialing", "trial_end": None, "trial_start": None},
        {"status": "canceled", "canceled_at": None, "ended_at": None, "items": None},
        {"latest_invoice": {"status": "open", "due_date": "tomorrow", "attempt_count": "many"}},
        {"customer": {"id": BEN, "discount": {"start": 1, "source": {"coupon": "gone"}}}},
    ],
)
async def test_things_that_are_not_as_expected_are_survived(world: StripeWorld, changes: Document) -> None:
    seen = subscription_of({**copy.deepcopy(world.stored()), "discounts": [], **changes}, NOW)
    assert seen.id == BENS
    assert len(seen.items) == 1


async def test_a_customer_of_whom_little_is_known_is_one_all_the_same(world: StripeWorld) -> None:
    with world.books.commit() as state:
        state["customers"][BEN].update(email="not an address", name="  ", currency="x" * 9, phone=5)
        state["customers"][BEN]["address"] = {"country": "Utopia", "city": 5}
    customer = await world.provider.find_customer(BEN)
    assert customer is not None
    assert (customer.email, customer.country, customer.currency) == (None, None, None)


# --- Prices and discounts ---


async def test_an_amount_of_the_subscriptions_own_currency_is_found(world: StripeWorld) -> None:
    with world.books.commit() as state:
        state["prices"]["price_pro_monthly"]["currency_options"]["eur"] = {"unit_amount": 2700}
    with world.by_hand() as subscription:
        subscription["currency"] = "eur"
    assert (await world.read()).price_total() == Money(2700, "EUR")
    (listed,) = await world.provider.list_subscriptions(BEN)
    assert listed.price_total() == Money(2700, "EUR")


@pytest.mark.parametrize(
    "changes",
    [
        {"billing_scheme": "tiered", "unit_amount": None, "unit_amount_decimal": None},
        {"unit_amount": None, "unit_amount_decimal": "0.05"},
        {"transform_quantity": {"divide_by": 10, "round": "up"}},
        {"custom_unit_amount": {"minimum": 1}},
        {"recurring": {"interval": "month", "interval_count": 1, "usage_type": "metered"}},
    ],
)
async def test_a_price_that_depends_is_not_told(world: StripeWorld, changes: Document) -> None:
    with world.by_hand() as subscription:
        subscription["items"]["data"][0]["price"].update(changes)
    assert (await world.read()).price_total() is None


async def test_a_discount_of_the_customer_counts_where_the_subscription_has_none(world: StripeWorld) -> None:
    with world.books.commit() as state:
        subscription = state["subscriptions"][BENS]
        discount = add_discount(state, subscription, state["coupons"][COUPON], stamp(NOW))
        state["customers"][BEN]["discount"] = state["discounts"][discount]
    for seen in (await world.read(), (await world.provider.list_subscriptions(BEN))[0]):
        active = seen.active_discount(NOW)
        assert active is not None
        assert active.coupon is not None
        assert active.coupon.percent_off == 50


async def test_a_discount_of_the_item_is_seen_with_its_coupon(world: StripeWorld) -> None:
    with world.books.commit() as state:
        subscription = state["subscriptions"][BENS]
        discount = add_discount(state, subscription, state["coupons"][COUPON], stamp(NOW))
        subscription["items"]["data"][0]["discounts"] = [discount]
    for seen in (await world.read(), (await world.provider.list_subscriptions(BEN))[0]):
        active = seen.active_discount(NOW)
        assert active is not None
        assert active.coupon is not None
        assert active.coupon.percent_off == 50


async def test_a_discount_outlives_its_coupon(world: StripeWorld) -> None:
    change = Discount(coupon_id=COUPON, duration="repeating", months=3)
    await world.provider.apply(world.request(change))
    world.remove_coupon(COUPON)
    active = (await world.read()).active_discount(NOW)
    assert active is not None
    assert active.coupon is not None
    assert active.coupon.percent_off == 50
    await world.provider.apply(world.request(change))
    assert world.count_changes(BENS) == 1


async def test_what_is_kept_with_a_subscription_can_be_targeted_but_our_own_marks_cannot(
    world: StripeWorld,
) -> None:
    kept = {"team": "blue", "leavewell_renews_at": "17", "": "nameless", "bell": "\a", "long": "x" * 501}
    with world.by_hand() as subscription:
        subscription["metadata"] = kept
    assert (await world.read()).metadata == {"team": "blue"}


async def test_names_are_told_apart_except_of_a_business(world: StripeWorld) -> None:
    customer = await world.provider.find_customer(CHEN)
    assert customer is not None
    assert (customer.name, customer.last_name) == ("Chen", "Wei")
    with world.books.commit() as state:
        state["customers"][CHEN].update(name="Wei Trading", business_name="Wei Trading")
    customer = await world.provider.find_customer(CHEN)
    assert customer is not None
    assert (customer.name, customer.last_name) == ("Wei Trading", None)


# --- Lists ---


async def test_of_many_subscriptions_the_newest_twenty_are_listed(world: StripeWorld) -> None:
    given = []
    for number in range(130):
        end = NOW + timedelta(days=12, minutes=number)
        begun = add_months(NOW, -6) + timedelta(minutes=number)
        given.append(
            monthly(f"sub_{number:03}", "cus_many", value=900 + number, currency="USD", start=begun, ends=end)
        )
    world.put(person("cus_many"), given)
    with world.by_hand("sub_000") as subscription:
        subscription["start_date"] = stamp(NOW)  # the newest, though it was entered first
    listed = await world.provider.list_subscriptions("cus_many")
    assert [one.id for one in listed] == ["sub_000", *(f"sub_{number:03}" for number in range(129, 110, -1))]
    assert all(isinstance(one.status, Active) for one in listed)
    looked_up = [path for _, path in world.simulator.log if path.startswith("/v1/prices/")]
    assert len(looked_up) == 20, "a name is asked for each that is listed, and for no other"


async def test_the_price_list_goes_on_past_a_page_and_leaves_out_what_cannot_be_used(
    world: StripeWorld,
) -> None:
    with world.books.commit() as state:
        for number in range(120):
            name = f"coupon_{number:03}"
            state["coupons"][name] = {**state["coupons"][COUPON], "id": name, "created": 1_700_000_000 + number,
                                      "redeem_by": stamp(NOW) - 1}  # fmt: skip
    world.put_coupon("leavewell_eff_9")
    world.put_price("price_once", type="one_time", recurring=None)
    listed = await world.provider.list_catalog()
    assert {coupon.id for coupon in listed.coupons} == {COUPON, "coupon_thanks", "coupon_five_dollars"}
    assert "price_once" not in {price.id for price in listed.prices}
    assert LITE in {price.id for price in listed.prices}


async def test_the_catalog_leaves_out_what_can_no_longer_be_used(world: StripeWorld) -> None:
    world.put_coupon("coupon_over", redeem_by=stamp(NOW) - 1)
    world.put_price("price_over", active=False)
    catalog = await world.provider.load_catalog(["price_over", LITE], ["coupon_over", COUPON])
    assert set(catalog.prices) == {LITE}
    assert set(catalog.coupons) == {COUPON}


async def test_the_search_is_no_customer(world: StripeWorld) -> None:
    assert await world.provider.find_customer("search") is None
    assert await world.provider.list_subscriptions("..") == []
    assert world.simulator.log == []


# --- By email ---


async def test_an_address_in_another_case_is_found_once_the_search_knows_it(world: StripeWorld) -> None:
    world.put({**person("cus_grete"), "email": "Grete@Example.COM"}, [])
    assert await world.provider.find_customers_by_email("grete@example.com") == []
    world.clock.advance(minutes=2)
    (found,) = await world.provider.find_customers_by_email("grete@example.com")
    assert found.id == "cus_grete"


async def test_an_address_that_only_the_search_still_knows_is_not_believed(world: StripeWorld) -> None:
    with world.books.commit() as state:
        state["customers"][BEN]["email"] = "new@example.com"
    world.clock.advance(minutes=2)
    assert await world.provider.find_customers_by_email("ben@example.com") == []


async def test_everyone_with_the_address_is_found_but_not_more_than_twenty(world: StripeWorld) -> None:
    for number in range(30):
        world.put(
            {**person(f"cus_{number}"), "email": "Same@example.com" if number % 2 else "same@example.com"}, []
        )
    world.clock.advance(minutes=2)
    found = await world.provider.find_customers_by_email("Same@example.com")
    assert len(found) == 20
    assert len({one.id for one in found}) == 20


async def test_quotes_in_an_address_stay_within_the_search(world: StripeWorld) -> None:
    world.clock.advance(minutes=2)
    assert await world.provider.find_customers_by_email('x" OR email:"ben@example.com') == []
    assert await world.provider.find_customers_by_email('a\\"b@example.com') == []


# --- Previews ---


async def test_a_preview_says_how_prices_stand_to_tax(world: StripeWorld) -> None:
    change = PlanChange(price=lite(world))
    for behavior, tax, next_charge in (("exclusive", "added", 720), ("inclusive", "included", 600)):
        with world.books.commit() as state:
            state["tax"] = [20, behavior]
        preview = await world.provider.preview(BEN, BENS, change)
        assert preview is not None
        assert preview.tax == tax
        assert preview.price_now == Money(2900, "USD")
        assert preview.price_after == Money(600, "USD")
        assert preview.next_charge == Money(next_charge, "USD")
    assert world.count_changes(BENS) == 0


async def test_a_coupon_is_previewed_by_stripe_itself(world: StripeWorld) -> None:
    change = Discount(coupon_id=COUPON, duration="repeating", months=3)
    preview = await world.provider.preview(BEN, BENS, change)
    assert preview is not None
    assert preview.price_after == Money(1450, "USD")
    assert preview.next_charge == Money(1450, "USD")
    assert preview.tax is None
    assert world.state["coupons"][COUPON]["times_redeemed"] == 0


async def test_where_no_invoice_comes_there_is_no_preview(world: StripeWorld) -> None:
    await world.provider.apply(world.request(Cancel(timing="period_end")))
    assert await world.provider.preview(BEN, BENS, PlanChange(price=lite(world))) is None
    assert await world.provider.preview(BEN, "sub_none", PlanChange(price=lite(world))) is None
    assert await world.provider.preview(BEN, BENS, Cancel(timing="now")) is None


async def test_a_preview_of_what_stripe_would_not_take_is_a_refusal(world: StripeWorld) -> None:
    world.put_coupon("coupon_over", redeem_by=stamp(NOW) - 1)
    with pytest.raises(ProviderRefused, match="coupon_expired"):
        await world.provider.preview(BEN, BENS, Discount(coupon_id="coupon_over", duration="once"))
