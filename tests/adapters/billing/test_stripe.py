"""Changes at Stripe: the contract, and what only Stripe does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    Cancel,
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
from app.core.direct import Active, DirectPrice, Paused, Trial
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CHEN,
    CHENS,
    COUPON,
    DANA,
    DANAS,
    LITE,
    NOW,
    ProviderContract,
    lite,
    monthly,
    person,
)
from tests.adapters.billing.simulated import simulated
from tests.adapters.billing.stripe_world import StripeWorld

pytestmark = pytest.mark.anyio

AN_HOUR = timedelta(hours=1)
HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
THEIRS = Discount(coupon_id=COUPON, percent_off=Decimal(50), duration="repeating", months=3)


@pytest.fixture
async def world() -> AsyncIterator[StripeWorld]:
    async with simulated(StripeWorld, "stripe") as world:
        assert isinstance(world, StripeWorld)
        yield world


class TestStripe(ProviderContract):
    pass


def stamp(moment: datetime) -> int:
    return int(moment.timestamp())


def plan(price_id: str) -> PlanChange:
    amount = {"value": 600, "currency": "USD"}
    return PlanChange(price=DirectPrice.model_validate({"id": price_id, "amount": amount}, by_alias=True))


# --- Pauses ---


async def test_a_pause_ends_before_the_renewal_that_is_paid_again(world: StripeWorld) -> None:
    renewal = (await world.read()).period_end
    assert renewal is not None
    resumes_at = add_months(renewal, 2)

    paused = await world.apply(Pause(resumes_at=resumes_at))

    assert world.stored()["pause_collection"] == {
        "behavior": "void",
        "resumes_at": stamp(resumes_at - AN_HOUR),
    }
    assert isinstance(paused.status, Paused)
    assert paused.status.pause.end == resumes_at
    world.pass_time(resumes_at + AN_HOUR)
    assert world.invoices(after=NOW) == [
        (renewal, 2900, "void"),
        (add_months(renewal, 1), 2900, "void"),
        (resumes_at, 2900, "paid"),
    ]


async def test_the_last_day_of_the_month_is_found_again(world: StripeWorld) -> None:
    ends = datetime(2026, 11, 30, 12, tzinfo=UTC)
    began = datetime(2026, 8, 31, 12, tzinfo=UTC)
    given = monthly("sub_end", "cus_end", value=900, currency="USD", start=began, ends=ends)
    world.put(person("cus_end"), [given])
    resumes_at = datetime(2027, 1, 31, 12, tzinfo=UTC)

    paused = await world.apply(Pause(resumes_at=resumes_at), customer="cus_end", subscription="sub_end")

    assert world.stored("sub_end")["pause_collection"]["resumes_at"] == stamp(resumes_at - AN_HOUR)
    assert isinstance(paused.status, Paused)
    assert paused.status.pause.end == resumes_at


async def test_a_pause_to_any_other_day_ends_as_asked(world: StripeWorld) -> None:
    resumes_at = add_days(NOW, 45)
    paused = await world.apply(Pause(resumes_at=resumes_at))
    assert world.stored()["pause_collection"]["resumes_at"] == stamp(resumes_at)
    assert isinstance(paused.status, Paused)
    assert paused.status.pause.end == resumes_at


async def test_a_pause_is_over_when_its_time_is(world: StripeWorld) -> None:
    await world.apply(Pause(resumes_at=add_days(NOW, 45)))
    world.pass_time(add_days(NOW, 46))
    assert isinstance((await world.read()).status, Active)


async def test_who_cancels_during_a_pause_sees_the_end_and_undoing_it_brings_the_pause_back(
    world: StripeWorld,
) -> None:
    period_end = (await world.read()).period_end
    pause = Pause(resumes_at=add_months(NOW, 3))
    await world.apply(pause)

    leaving = await world.apply(Cancel(timing="period_end"), effect_id="eff_2")
    assert leaving.is_scheduled_to_end(NOW)
    assert leaving.end == period_end

    back = await world.apply(Uncancel(), effect_id="eff_3")
    assert is_in_place(pause, back, NOW)
    assert [change["type"] for change in world.books.changes_of(BENS)] == ["pause", "cancel", "uncancel"]


async def test_a_pause_and_its_end_leave_the_rest_alone(world: StripeWorld) -> None:
    before = {**world.stored()}
    await world.apply(Pause(resumes_at=add_months(NOW, 2)))
    await world.apply(Resume(), effect_id="eff_2")
    assert world.stored() == before


# --- Yearly pauses ---


async def test_a_yearly_pause_moves_the_renewal_and_charges_nobody_before(world: StripeWorld) -> None:
    renews_at = (await world.read(CHEN, CHENS)).period_end
    assert renews_at is not None
    moved = add_months(renews_at, 2)

    paused = await world.apply(
        Pause(resumes_at=add_months(NOW, 2), renews_at=moved), customer=CHEN, subscription=CHENS
    )

    assert isinstance(paused.status, Active)
    assert paused.period_end == moved
    assert paused.metadata == {}
    assert "prorations" not in world.state
    world.pass_time(moved + AN_HOUR)
    assert world.invoices(CHENS, after=NOW) == [(moved, 29000, "paid")]
    after = await world.read(CHEN, CHENS)
    assert isinstance(after.status, Active)
    assert after.period_end == add_months(moved, 12)


async def test_a_moved_renewal_is_no_trial_to_be_extended_and_a_later_trial_is_one(
    world: StripeWorld,
) -> None:
    renews_at = (await world.read(CHEN, CHENS)).period_end
    assert renews_at is not None
    moved = Pause(resumes_at=add_months(NOW, 1), renews_at=add_months(renews_at, 1))
    await world.apply(moved, customer=CHEN, subscription=CHENS)

    longer = TrialExtension(days=7, ends_at=add_days(add_months(renews_at, 1), 7))
    with pytest.raises(ProviderRefused):
        await world.apply(longer, effect_id="eff_2", customer=CHEN, subscription=CHENS)

    with world.by_hand(CHENS) as subscription:
        subscription["trial_end"] += 86_400
    assert isinstance((await world.read(CHEN, CHENS)).status, Trial)


async def test_a_renewal_can_only_move_to_a_later_day(world: StripeWorld) -> None:
    renews_at = (await world.read(CHEN, CHENS)).period_end
    assert renews_at is not None
    for earlier in (add_days(renews_at, -1), add_days(NOW, -1)):
        with pytest.raises(ProviderRefused):
            await world.apply(
                Pause(resumes_at=add_months(NOW, 1), renews_at=earlier), customer=CHEN, subscription=CHENS
            )
    assert world.count_changes(CHENS) == 0


async def test_a_renewal_further_off_than_stripe_allows_is_refused_in_words(world: StripeWorld) -> None:
    far = Pause(resumes_at=add_months(NOW, 1), renews_at=add_months(NOW, 30))
    with pytest.raises(ProviderRefused) as caught:
        await world.apply(far, customer=CHEN, subscription=CHENS)
    assert caught.value.user_message.endswith(".")
    assert "trial_end" in caught.value.reason


async def test_a_leap_day_is_kept_by_a_moved_renewal(world: StripeWorld) -> None:
    leap_day = datetime(2028, 2, 29, 8, 30, tzinfo=UTC)
    paused = await world.apply(
        Pause(resumes_at=add_months(NOW, 1), renews_at=leap_day), customer=CHEN, subscription=CHENS
    )
    assert paused.period_end == leap_day


# --- Discounts ---


async def test_a_coupon_is_made_for_one_acceptance_and_an_hour(world: StripeWorld) -> None:
    await world.apply(HALF)
    coupon = world.state["coupons"]["leavewell_eff_1"]
    assert (coupon["percent_off"], coupon["duration"], coupon["duration_in_months"]) == (50, "repeating", 3)
    assert (coupon["max_redemptions"], coupon["redeem_by"]) == (1, stamp(NOW + AN_HOUR))
    assert coupon["name"] == "50% off"
    assert (coupon["times_redeemed"], coupon["valid"]) == (1, True)


async def test_a_discount_covers_the_charges_that_were_promised(world: StripeWorld) -> None:
    renewal = (await world.read()).period_end
    assert renewal is not None
    await world.apply(HALF)
    world.pass_time(add_months(renewal, 3) + AN_HOUR)
    assert [amount for _, amount, _ in world.invoices(after=NOW)] == [1450, 1450, 1450, 2900]


async def test_months_of_a_discount_count_from_the_next_charge_of_a_yearly_plan(world: StripeWorld) -> None:
    renews_at = (await world.read(CHEN, CHENS)).period_end
    assert renews_at is not None
    assert add_months(NOW, 3) < renews_at
    await world.apply(HALF, customer=CHEN, subscription=CHENS)
    world.pass_time(add_months(renews_at, 12) + AN_HOUR)
    assert [amount for _, amount, _ in world.invoices(CHENS, after=NOW)] == [14500, 29000]


async def test_a_crash_between_the_coupon_and_the_subscription_leaves_one_of_each(world: StripeWorld) -> None:
    world.fail_write(2, "before_commit", "drop")
    with pytest.raises(ProviderUnavailable):
        await world.apply(HALF)
    assert world.state["coupons"]["leavewell_eff_1"]["times_redeemed"] == 0
    assert world.count_changes(BENS) == 0

    discounted = await world.apply(HALF)
    assert is_in_place(HALF, discounted, NOW)
    assert world.count_changes(BENS) == 1
    assert world.state["coupons"]["leavewell_eff_1"]["times_redeemed"] == 1


async def test_a_coupon_that_ran_out_before_it_was_used_is_made_anew(world: StripeWorld) -> None:
    world.fail_write(2, "before_commit", "drop")
    with pytest.raises(ProviderUnavailable):
        await world.apply(HALF)
    world.clock.advance(hours=2)

    discounted = await world.apply(HALF)
    assert is_in_place(HALF, discounted, world.clock.now())
    assert world.count_changes(BENS) == 1


async def test_a_coupon_that_stripe_will_not_attach_is_taken_away_again(world: StripeWorld) -> None:
    known = set(world.state["coupons"])
    with pytest.raises(ProviderRefused):
        await world.apply(Discount(amount_off_minor=500, currency="EUR", duration="once"))
    assert set(world.state["coupons"]) == known
    assert world.count_changes(BENS) == 0


async def test_a_discount_that_was_taken_away_again_does_not_come_back_with_its_effect(
    world: StripeWorld,
) -> None:
    await world.apply(HALF)
    with world.by_hand() as subscription:
        subscription["discounts"] = []
    world.clock.advance(hours=30)
    await world.apply(HALF)
    assert world.stored()["discounts"] == []
    assert world.count_changes(BENS) == 1


async def test_a_coupon_of_the_merchant_is_given_once_though_it_is_used_up(world: StripeWorld) -> None:
    once = Discount(coupon_id="coupon_thanks", percent_off=Decimal(20), duration="once")
    await world.apply(once)
    world.pass_time(add_months(NOW, 1))
    assert world.stored()["discounts"] == []
    await world.apply(once)
    assert world.stored()["discounts"] == []
    assert world.count_changes(BENS) == 1
    assert (await world.read()).metadata == {}


async def test_a_discount_that_is_there_stays_beside_a_new_one(world: StripeWorld) -> None:
    await world.apply(THEIRS)
    await world.apply(Discount(percent_off=Decimal(10), duration="once"), effect_id="eff_2")
    found = (await world.read()).discounts or []
    assert [one.coupon and one.coupon.percent_off for one in found] == [50, 10]
    assert world.state["coupons"][COUPON]["times_redeemed"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"valid": False, "redeem_by": stamp(NOW) - 1},
        {"max_redemptions": 5, "times_redeemed": 5},
        {"percent_off": None, "amount_off": 500, "currency": "eur", "currency_options": {"eur": {}}},
        {"applies_to": {"products": ["prod_another"]}},
    ],
    ids=["expired", "used up", "other currency", "other product"],
)
async def test_a_coupon_that_would_give_nothing_is_refused(
    world: StripeWorld, changes: dict[str, Any]
) -> None:
    world.put_coupon("coupon_no_use", **changes)
    with pytest.raises(ProviderRefused) as caught:
        await world.apply(Discount(coupon_id="coupon_no_use", duration="repeating", months=3))
    assert caught.value.user_message.endswith(".")
    assert world.count_changes(BENS) == 0


async def test_a_coupon_that_runs_out_before_the_yearly_renewal_is_refused(world: StripeWorld) -> None:
    with pytest.raises(ProviderRefused, match="run out"):
        await world.apply(THEIRS, customer=CHEN, subscription=CHENS)
    assert world.count_changes(CHENS) == 0


async def test_a_coupon_that_runs_out_before_the_second_yearly_charge_is_neither_shown_nor_taken(
    world: StripeWorld,
) -> None:
    """Two charges fall into 18 months from the renewal on, but only one into the 18 months from now."""
    world.put_coupon("coupon_long", duration_in_months=18)
    change = Discount(coupon_id="coupon_long", percent_off=Decimal(50), duration="repeating", months=18)
    renews_at = (await world.read(CHEN, CHENS)).period_end
    assert renews_at is not None
    assert renews_at < add_months(NOW, 18) < add_months(renews_at, 12)
    with pytest.raises(ProviderRefused, match="run out"):
        await world.provider.preview(CHEN, CHENS, change)
    with pytest.raises(ProviderRefused, match="run out"):
        await world.apply(change, customer=CHEN, subscription=CHENS)
    assert world.count_changes(CHENS) == 0


async def test_a_coupon_of_the_subscriptions_product_is_taken(world: StripeWorld) -> None:
    world.put_coupon("coupon_pro", applies_to={"products": ["prod_pro"]})
    change = Discount(coupon_id="coupon_pro", duration="repeating", months=3)
    assert is_in_place(change, await world.apply(change), NOW)


@pytest.mark.parametrize(
    ("currency", "minor", "stripes"), [("ISK", 500, 50_000), ("UGX", 9_000, 900_000), ("MGA", 50_000, 500)]
)
async def test_amounts_are_converted_where_stripe_counts_otherwise(
    world: StripeWorld, currency: str, minor: int, stripes: int
) -> None:
    end = NOW + timedelta(days=12)
    start = add_months(end, -6)
    world.put(
        person("cus_x", currency),
        [monthly("sub_x", "cus_x", value=minor * 10, currency=currency, start=start, ends=end)],
    )
    off = Discount(amount_off_minor=minor, currency=currency, duration="once")
    discounted = await world.apply(off, customer="cus_x", subscription="sub_x")
    price = discounted.price_total()
    assert price is not None
    assert (price.minor, price.currency) == (minor * 10, currency)
    assert world.state["coupons"]["leavewell_eff_1"]["amount_off"] == stripes
    assert is_in_place(off, discounted, NOW)


async def test_a_part_of_a_unit_that_stripe_does_not_bill_is_refused(world: StripeWorld) -> None:
    with pytest.raises(ProviderRefused, match="whole units"):
        await world.apply(Discount(amount_off_minor=50_050, currency="MGA", duration="once"))


# --- Plans ---


async def test_a_new_plan_keeps_the_quantity_and_bills_nothing_now(world: StripeWorld) -> None:
    with world.by_hand() as subscription:
        subscription["items"]["data"][0]["quantity"] = 3
    renewal = (await world.read()).period_end
    assert renewal is not None

    changed = await world.apply(PlanChange(price=lite(world)))

    assert (changed.items[0].price.id, changed.items[0].quantity) == (LITE, 3)
    assert len(changed.items) == 1
    assert "prorations" not in world.state
    world.pass_time(renewal + AN_HOUR)
    assert world.invoices(after=NOW) == [(renewal, 1800, "paid")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"currency": "eur"}, "currency"),
        ({"recurring": {"interval": "year", "interval_count": 1, "usage_type": "licensed"}}, "interval"),
        ({"recurring": {"interval": "month", "interval_count": 3, "usage_type": "licensed"}}, "interval"),
        ({"recurring": {"interval": "month", "interval_count": 1, "usage_type": "metered"}}, "metered"),
        ({"billing_scheme": "tiered", "unit_amount": None}, "tiered"),
        ({"active": False}, "active"),
        ({"tax_behavior": "exclusive"}, "tax"),
    ],
)
async def test_a_plan_that_stripe_would_bill_otherwise_than_shown_is_refused(
    world: StripeWorld, changes: dict[str, Any], reason: str
) -> None:
    world.put_price("price_other", **changes)
    with world.by_hand() as subscription:
        subscription["items"]["data"][0]["price"]["tax_behavior"] = "inclusive"
    with pytest.raises(ProviderRefused, match=reason) as caught:
        await world.apply(plan("price_other"))
    assert caught.value.user_message.endswith(".")
    assert world.count_changes(BENS) == 0


async def test_a_plan_of_a_product_that_is_no_longer_sold_is_refused(world: StripeWorld) -> None:
    with world.books.commit() as state:
        state["products"]["prod_lite"]["active"] = False
    with pytest.raises(ProviderRefused):
        await world.apply(plan(LITE))
    assert LITE not in (await world.provider.load_catalog([LITE], [])).prices


# --- Trials ---


async def test_a_longer_trial_bills_nobody_and_keeps_what_happens_at_its_end(world: StripeWorld) -> None:
    with world.by_hand(DANAS) as subscription:
        subscription["trial_settings"] = {"end_behavior": {"missing_payment_method": "pause"}}
    ends_at = add_days(NOW, 16)
    await world.apply(TrialExtension(days=7, ends_at=ends_at), customer=DANA, subscription=DANAS)
    stored = world.stored(DANAS)
    assert stored["trial_end"] == stamp(ends_at)
    assert stored["trial_settings"] == {"end_behavior": {"missing_payment_method": "pause"}}
    world.pass_time(ends_at + AN_HOUR)
    assert world.invoices(DANAS, after=NOW) == [(ends_at, 2900, "paid")]


# --- Ends ---


async def test_an_end_that_was_set_to_a_date_is_taken_away_too(world: StripeWorld) -> None:
    ends_at = add_days(NOW, 40)
    with world.by_hand() as subscription:
        subscription.update(cancel_at=stamp(ends_at), billing_mode={"type": "flexible"})
    assert (await world.read()).end == ends_at
    after = await world.apply(Uncancel())
    assert after.end is None
    assert world.count_changes(BENS) == 1


async def test_a_cancel_now_makes_no_invoice_and_no_credit(world: StripeWorld) -> None:
    after = await world.apply(Cancel(timing="now"))
    assert after.status.name == "canceled"
    assert after.end == NOW
    assert world.invoices(after=NOW - AN_HOUR) == []
    assert await world.provider.list_subscriptions(BEN) == []


@pytest.mark.parametrize(
    "change",
    [
        Pause(resumes_at=add_months(NOW, 2)),
        HALF,
        plan(LITE),
    ],
    ids=lambda change: change.type,
)
async def test_what_is_to_end_takes_no_offer_any_more(world: StripeWorld, change: Any) -> None:
    await world.apply(Cancel(timing="period_end"))
    with pytest.raises(ProviderRefused):
        await world.apply(change, effect_id="eff_2")
    assert world.count_changes(BENS) == 1


# --- Idempotency keys ---


async def test_a_failure_that_stripe_keeps_under_the_key_does_not_stop_the_next_try(
    world: StripeWorld,
) -> None:
    world.fail_write(1, "before_commit", "500")
    with pytest.raises(ProviderUnavailable):
        await world.apply(Cancel(timing="period_end"))
    assert world.count_changes(BENS) == 0
    assert (await world.apply(Cancel(timing="period_end"))).end is not None
    assert world.count_changes(BENS) == 1


async def test_a_key_that_stripe_knows_from_another_request_does_not_stop_the_change(
    world: StripeWorld,
) -> None:
    await world.apply(Cancel(timing="period_end"))
    await world.apply(Uncancel(), effect_id="eff_2")
    paused = await world.apply(Pause(resumes_at=add_months(NOW, 2)), effect_id="eff_1")
    assert isinstance(paused.status, Paused)


async def test_a_request_still_under_way_is_waited_for(world: StripeWorld) -> None:
    world.vendor.in_flight.add("eff_1")
    with pytest.raises(ProviderUnavailable, match="409"):
        await world.apply(Cancel(timing="period_end"))
    world.vendor.in_flight.clear()
    await world.apply(Cancel(timing="period_end"))
    assert world.count_changes(BENS) == 1


@pytest.mark.parametrize(
    "change",
    [Cancel(timing="period_end"), Pause(resumes_at=add_months(NOW, 2)), HALF, plan(LITE)],
    ids=lambda change: change.type,
)
async def test_when_the_key_is_forgotten_the_state_still_tells(world: StripeWorld, change: Any) -> None:
    await world.apply(change)
    world.clock.advance(hours=30)
    with world.books.commit() as state:
        state["keys"].clear()
    await world.apply(change)
    assert world.count_changes(BENS) == 1


@pytest.mark.parametrize("change", [Cancel(timing="now"), HALF], ids=["cancel now", "discount"])
async def test_who_was_told_no_because_another_was_faster_finds_it_done(
    world: StripeWorld, change: Any
) -> None:
    await world.apply(change)
    world.simulator.stale_reads = 1
    await world.provider.apply(world.request(change))
    assert world.count_changes(BENS) == 1


@pytest.mark.parametrize(
    "change",
    [Cancel(timing="period_end"), Pause(resumes_at=add_months(NOW, 2)), HALF, THEIRS, plan(LITE)],
    ids=["cancel", "pause", "discount", "coupon", "plan"],
)
async def test_of_tries_at_once_one_makes_the_change(world: StripeWorld, change: Any) -> None:
    request = world.request(change)
    await asyncio.gather(*(world.provider.apply(request) for _ in range(4)))
    assert world.count_changes(BENS) == 1
    assert is_in_place(change, await world.read(), NOW)


async def test_a_change_is_recorded_under_its_effect(world: StripeWorld) -> None:
    await world.apply(HALF, effect_id="eff_of_ben")
    (change,) = world.books.changes_of(BENS)
    assert change["idempotencyKey"] == "eff_of_ben"
