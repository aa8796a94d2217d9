"""Braintree: the contract, and what its cycles make of our changes as time goes by."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    Cancel,
    Capability,
    Change,
    Discount,
    Pause,
    PlanChange,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    Uncancel,
    is_in_place,
)
from app.core.calendar import add_months
from app.core.direct import Active, Canceled, DirectPrice, Paused, Trial
from demo.billing.seed import LITE, LITE_YEARLY
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CHEN,
    CHENS,
    DANA,
    DANAS,
    NOW,
    ProviderContract,
    coupon,
    lite,
    monthly,
    pause,
    person,
)
from tests.adapters.billing.simulated import simulated
from tests.support.braintree.canonical import OFFER_ID, PAUSE_ID
from tests.support.braintree.world import BraintreeWorld

pytestmark = pytest.mark.anyio

RENEWS_AT = datetime(2026, 12, 12, tzinfo=UTC)  # Ben's next charge
TRIAL_ENDS_AT = datetime(2026, 11, 30, tzinfo=UTC)  # Dana's
AN_HOUR = timedelta(hours=1)
HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
ONCE = Discount(percent_off=Decimal(20), duration="once")
AT_PERIOD_END = Cancel(timing="period_end")


@pytest.fixture
async def world() -> AsyncIterator[BraintreeWorld]:
    async with simulated(BraintreeWorld, "braintree") as world:
        assert isinstance(world, BraintreeWorld)
        yield world


class TestBraintree(ProviderContract):
    pass


def price(document: dict[str, Any], **amount: object) -> DirectPrice:
    changed = {**document, "amount": {**document["amount"], **amount}}
    return DirectPrice.model_validate(changed, by_alias=True)


async def refusal(
    world: BraintreeWorld, change: Change, customer: str = BEN, subscription: str = BENS
) -> str:
    """Why the change is refused: the same beforehand as when it is made, and nothing was written."""
    before = world.count_changes(subscription)
    with pytest.raises(ProviderRefused) as beforehand:
        await world.provider.preview(customer, subscription, change)
    with pytest.raises(ProviderRefused) as caught:
        await world.make(change, "eff_refused", customer, subscription)
    assert caught.value.user_message.endswith(".")
    assert beforehand.value.reason == caught.value.reason
    assert world.count_changes(subscription) == before
    return caught.value.reason


# --- Ends -----------------------------------------------------------------------------------------


async def test_it_ends_with_what_is_paid_for_and_without_another_charge(world: BraintreeWorld) -> None:
    await world.make(AT_PERIOD_END)
    assert (await world.seen()).end == RENEWS_AT
    charges = len(world.raw()["transactions"])
    world.wait_until(RENEWS_AT + AN_HOUR)
    assert world.raw()["status"] == "Expired"
    assert len(world.raw()["transactions"]) == charges
    assert isinstance((await world.seen()).status, Canceled)
    assert await world.provider.list_subscriptions(BEN) == []


async def test_a_cancelled_trial_is_never_charged_and_is_over_when_the_trial_is(
    world: BraintreeWorld,
) -> None:
    await world.make(AT_PERIOD_END, customer=DANA, subscription=DANAS)
    seen = await world.seen(DANA, DANAS)
    assert (seen.status.name, seen.end, seen.obstacles) == ("trial", TRIAL_ENDS_AT, None)
    world.wait_until(TRIAL_ENDS_AT + AN_HOUR)
    assert world.raw(DANAS)["status"] == "Active"  # Braintree keeps it for one cycle that costs nothing
    assert (await world.seen(DANA, DANAS)).status == Canceled(canceled_at=TRIAL_ENDS_AT)
    assert await world.provider.list_subscriptions(DANA) == []
    world.wait_until(add_months(TRIAL_ENDS_AT, 2))
    assert (world.raw(DANAS)["status"], world.raw(DANAS)["transactions"]) == ("Expired", [])


async def test_on_trial_a_discount_already_taken_makes_what_is_left_to_waive_smaller(
    world: BraintreeWorld,
) -> None:
    await world.make(ONCE, "eff_1", DANA, DANAS)
    await world.make(AT_PERIOD_END, "eff_2", DANA, DANAS)
    assert world.discounts(DANAS)[PAUSE_ID]["amount"] == "23.20"
    world.wait_until(add_months(TRIAL_ENDS_AT, 2))
    assert (world.raw(DANAS)["transactions"], world.raw(DANAS)["balance"]) == ([], "0.00")


async def test_a_trials_cancel_taken_back_is_charged_as_if_nothing_had_been(world: BraintreeWorld) -> None:
    await world.make(AT_PERIOD_END, "eff_1", DANA, DANAS)
    await world.make(Uncancel(), "eff_2", DANA, DANAS)
    seen = await world.seen(DANA, DANAS)
    assert isinstance(seen.status, Trial)
    assert (seen.end, world.discounts(DANAS)) == (None, {})
    world.wait_until(TRIAL_ENDS_AT + AN_HOUR)
    assert world.raw(DANAS)["transactions"][0]["amount"] == "29.00"


async def test_what_is_over_cannot_be_brought_back(world: BraintreeWorld) -> None:
    await world.make(Cancel(timing="now"))
    assert "over" in await refusal(world, Uncancel())


async def test_a_term_of_the_plans_own_is_not_taken_away(world: BraintreeWorld) -> None:
    """It ends because twelve payments were agreed, not because somebody cancelled."""
    with world.books.commit() as state:
        state["plans"]["price_pro_monthly"]["number_of_billing_cycles"] = 18
    world.alter(number_of_billing_cycles=18, current_billing_cycle=18)
    assert "billing cycles" in await refusal(world, Uncancel())


# --- Discounts ------------------------------------------------------------------------------------


async def test_a_percent_is_kept_as_the_money_it_comes_to_and_recognised_by_it(world: BraintreeWorld) -> None:
    odd = Discount(percent_off=Decimal("12.5"), duration="once")
    await world.make(odd)
    assert world.discounts()[OFFER_ID]["amount"] == "3.63"  # of 29.00, half a cent goes up
    seen = await world.seen()
    assert is_in_place(odd, seen, NOW)
    for other in (Decimal(12), Decimal("12.6"), Decimal(50)):
        assert not is_in_place(odd.model_copy(update={"percent_off": other}), seen, NOW)


async def test_a_discount_for_months_reduces_as_many_charges_and_no_more(world: BraintreeWorld) -> None:
    await world.make(HALF)
    assert [each.end for each in (await world.seen()).discounts or ()] == [add_months(RENEWS_AT, 3)]
    world.wait_until(add_months(RENEWS_AT, 4))
    amounts = [charge["amount"] for charge in world.raw()["transactions"]]
    assert amounts[:5] == ["29.00", "29.00", "14.50", "14.50", "14.50"]


async def test_of_a_yearly_plan_months_are_the_charges_that_fall_into_them(world: BraintreeWorld) -> None:
    await world.make(HALF, "eff_1", CHEN, CHENS)
    assert world.discounts(CHENS)[OFFER_ID]["number_of_billing_cycles"] == 1


async def test_a_coupon_of_a_yearly_plan_lasts_as_long_as_was_shown(world: BraintreeWorld) -> None:
    await world.make(coupon(world), "eff_1", CHEN, CHENS)
    given = world.discounts(CHENS)["coupon_five_dollars"]
    assert (given["amount"], given["number_of_billing_cycles"]) == ("5.00", 1)


@pytest.mark.parametrize("keeps_used_up", [False, True])
async def test_a_repeat_after_the_renewal_finds_the_discount_that_the_charge_was_reduced_by(
    world: BraintreeWorld, keeps_used_up: bool
) -> None:
    world.braintree.keeps_used_up = keeps_used_up
    await world.make(ONCE)
    world.wait_until(RENEWS_AT + AN_HOUR)
    await world.make(ONCE)
    assert world.count_changes(BENS) == 1
    world.wait_until(add_months(RENEWS_AT, 1) + AN_HOUR)
    assert (await world.seen()).discounts == []
    await world.make(ONCE, "eff_2")  # another offer, much later
    world.wait_until(add_months(RENEWS_AT, 3))
    amounts = [charge["amount"] for charge in world.raw()["transactions"]]
    assert amounts[:4] == ["29.00", "23.20", "29.00", "23.20"]


async def test_a_discount_larger_than_the_price_is_refused(world: BraintreeWorld) -> None:
    """Braintree would keep the rest as a balance that it owes."""
    too_much = Discount(amount_off_minor=2901, currency="USD", duration="once")
    assert "more than the price" in await refusal(world, too_much)
    with world.books.commit() as state:
        state["discounts"]["coupon_five_dollars"]["amount"] = "30.00"
    assert "more than the price" in await refusal(world, coupon(world))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (Discount(amount_off_minor=500, currency="EUR", duration="once"), "currency"),
        (Discount(percent_off=Decimal("0.001"), duration="once"), "nothing"),
        (Discount(coupon_id="coupon_no", duration="once"), "no Discount of that ID"),
    ],
)
async def test_a_discount_that_does_not_fit_is_refused(
    world: BraintreeWorld, change: Change, why: str
) -> None:
    assert why in await refusal(world, change)


async def test_a_second_discount_is_refused(world: BraintreeWorld) -> None:
    await world.make(HALF)
    assert "Another discount" in await refusal(world, ONCE)


async def test_a_discount_that_the_merchant_has_not_made_is_refused_beforehand(world: BraintreeWorld) -> None:
    for name in (OFFER_ID, PAUSE_ID):
        world.remove_coupon(name)
    for change in (ONCE, pause(world)):
        with pytest.raises(ProviderRefused, match="does not exist"):
            await world.provider.preview(BEN, BENS, change)
        with pytest.raises(ProviderRefused, match="92013"):
            await world.make(change)
    assert world.count_changes(BENS) == 0
    await world.make(AT_PERIOD_END, "eff_2")  # the way out needs neither


async def test_money_without_decimals_is_written_without_any(world: BraintreeWorld) -> None:
    ends = NOW + timedelta(days=12)
    subscription = monthly(
        "sub_jpy", "cus_jpy", value=1500, currency="JPY", start=add_months(ends, -6), ends=ends
    )
    world.put(person("cus_jpy", "JPY"), [subscription])
    await world.make(ONCE, "eff_1", "cus_jpy", "sub_jpy")
    assert world.discounts("sub_jpy")[OFFER_ID]["amount"] == "300"
    assert (await world.provider.load_catalog([], ["coupon_five_dollars"])).coupons == {}  # 5 of what?


# --- Pauses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeps_used_up", [False, True])
async def test_nothing_is_charged_in_a_pause_and_it_ends_by_itself(
    world: BraintreeWorld, keeps_used_up: bool
) -> None:
    world.braintree.keeps_used_up = keeps_used_up
    charges = len(world.raw()["transactions"])
    await world.make(pause(world))
    ends = add_months(RENEWS_AT, 2)
    for moment in (NOW, RENEWS_AT + AN_HOUR, add_months(RENEWS_AT, 1) + AN_HOUR, ends - AN_HOUR):
        world.wait_until(moment)
        status = (await world.seen()).status
        assert isinstance(status, Paused)
        assert (status.pause.start, status.pause.end) == (RENEWS_AT, ends)
    assert len(world.raw()["transactions"]) == charges
    world.wait_until(ends + AN_HOUR)
    assert isinstance((await world.seen()).status, Active)
    assert world.raw()["transactions"][0]["amount"] == "29.00"


@pytest.mark.parametrize("keeps_used_up", [False, True])
async def test_a_second_pause_after_the_first_is_a_pause_again(
    world: BraintreeWorld, keeps_used_up: bool
) -> None:
    world.braintree.keeps_used_up = keeps_used_up
    await world.make(pause(world))
    world.wait_until(add_months(RENEWS_AT, 2) + AN_HOUR)
    again = pause(world)
    await world.make(again, "eff_2")
    assert is_in_place(again, await world.seen(), world.clock.now())
    world.wait_until(add_months(RENEWS_AT, 5) + AN_HOUR)
    assert len(world.raw()["transactions"]) == 3  # before, between, and after


async def test_a_pause_ends_on_the_last_day_of_short_months_too(world: BraintreeWorld) -> None:
    ends = datetime(2027, 1, 31, tzinfo=UTC)
    start = datetime(2026, 8, 31, tzinfo=UTC)
    world.put(
        person("cus_end"), [monthly("sub_end", "cus_end", value=900, currency="USD", start=start, ends=ends)]
    )
    for months, day in ((1, datetime(2027, 2, 28, tzinfo=UTC)), (2, datetime(2027, 3, 31, tzinfo=UTC))):
        change = Pause(resumes_at=day)
        await world.make(change, f"eff_{months}", "cus_end", "sub_end")
        assert world.discounts("sub_end")[PAUSE_ID]["number_of_billing_cycles"] == months
        assert is_in_place(change, world.subscription("sub_end"), NOW)
        await world.make(Resume(), f"eff_{months}_back", "cus_end", "sub_end")


@pytest.mark.parametrize(
    "resumes_at",
    [RENEWS_AT + timedelta(weeks=2), RENEWS_AT, RENEWS_AT - timedelta(days=5), add_months(RENEWS_AT, 400)],
)
async def test_a_pause_that_does_not_end_on_a_renewal_is_refused(
    world: BraintreeWorld, resumes_at: datetime
) -> None:
    assert "whole billing cycles" in await refusal(world, Pause(resumes_at=resumes_at))


async def test_a_trial_and_a_pause_cannot_be_paused(world: BraintreeWorld) -> None:
    later = Pause(resumes_at=add_months(TRIAL_ENDS_AT, 1))
    assert "trial" in await refusal(world, later, DANA, DANAS)
    await world.make(pause(world))
    longer = Pause(resumes_at=add_months(RENEWS_AT, 3))
    assert "paused" in await refusal(world, longer)


async def test_a_pause_takes_what_a_discount_has_left_and_not_more(world: BraintreeWorld) -> None:
    await world.make(HALF)
    await world.make(pause(world), "eff_2")
    assert world.discounts()[PAUSE_ID]["amount"] == "14.50"
    world.wait_until(add_months(RENEWS_AT, 1) + AN_HOUR)
    assert isinstance((await world.seen()).status, Paused)
    assert world.raw()["balance"] == "0.00"


async def test_a_pause_over_the_end_of_a_discount_is_refused(world: BraintreeWorld) -> None:
    await world.make(ONCE)
    assert "not all the same" in await refusal(world, pause(world))


async def test_who_resumes_early_pays_at_the_next_renewal(world: BraintreeWorld) -> None:
    await world.make(pause(world))
    world.wait_until(RENEWS_AT + AN_HOUR)
    await world.make(Resume(), "eff_2")
    assert (isinstance((await world.seen()).status, Active), world.discounts()) == (True, {})
    world.wait_until(add_months(RENEWS_AT, 1) + AN_HOUR)
    assert world.raw()["transactions"][0]["billing_period_start_date"] == "2027-01-12"


async def test_a_cancel_takes_the_pause_away_and_ends_at_the_next_renewal(world: BraintreeWorld) -> None:
    await world.make(pause(world))
    await world.make(AT_PERIOD_END, "eff_2")
    assert (world.discounts(), (await world.seen()).end) == ({}, RENEWS_AT)
    world.wait_until(RENEWS_AT + AN_HOUR)
    assert world.raw()["status"] == "Expired"


# --- Plans ----------------------------------------------------------------------------------------


async def test_a_new_plan_is_paid_from_the_next_charge_on_and_nothing_before(world: BraintreeWorld) -> None:
    charges = len(world.raw()["transactions"])
    await world.make(PlanChange(price=lite(world)))
    assert len(world.raw()["transactions"]) == charges
    world.wait_until(RENEWS_AT + AN_HOUR)
    assert world.raw()["transactions"][0]["amount"] == "6.00"


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (price(LITE, currency="EUR"), "currency"),
        (price(LITE_YEARLY), "rhythm"),
        (price({**LITE, "id": "price_no"}), "no plan of that ID"),
        (price({**LITE, "id": "../plans"}), "no plan of that ID"),
        (price(LITE, model="tiered", value=None), "price is not known"),
    ],
)
async def test_a_plan_that_does_not_fit_is_refused(
    world: BraintreeWorld, wanted: DirectPrice, why: str
) -> None:
    assert why in await refusal(world, PlanChange(price=wanted))


async def test_a_plan_cheaper_than_the_discount_at_work_is_refused(world: BraintreeWorld) -> None:
    await world.make(HALF)
    assert "more than the new price" in await refusal(world, PlanChange(price=lite(world)))


# --- Once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["half", "pause", "cancel"])
async def test_whoever_sees_an_old_state_does_not_make_the_change_twice(
    world: BraintreeWorld, name: str
) -> None:
    change = {"half": HALF, "pause": pause(world), "cancel": AT_PERIOD_END}[name]
    await world.make(change)
    world.simulator.stale_reads = 3
    if name == "cancel":
        await world.make(change)  # the same number of cycles again is no change
    else:
        with pytest.raises(ProviderUnavailable, match="91911"):
            await world.make(change)
        await world.make(change)
    assert world.count_changes(BENS) == 1


async def test_a_cancel_that_a_renewal_overtakes_is_tried_again(world: BraintreeWorld) -> None:
    with world.books.commit() as state:
        state["subscriptions"][BENS]["current_billing_cycle"] += 1
    world.simulator.stale_reads = 3
    with pytest.raises(ProviderUnavailable, match="91909"):
        await world.make(AT_PERIOD_END)
    await world.make(AT_PERIOD_END)
    assert world.raw()["number_of_billing_cycles"] == world.raw()["current_billing_cycle"]


@pytest.mark.parametrize(
    "changes",
    [
        (HALF, AT_PERIOD_END, Uncancel()),
        ("pause", Resume()),
        ("pause", AT_PERIOD_END, Uncancel()),
        ("plan", Cancel(timing="now")),
    ],
)
async def test_no_change_charges_or_credits_the_rest_of_a_period(
    world: BraintreeWorld, changes: tuple[Change | str, ...]
) -> None:
    """The simulated account prorates wherever it is not told to leave it."""
    made = {"pause": pause(world), "plan": PlanChange(price=lite(world))}
    charges = world.raw()["transactions"]
    for number, change in enumerate(changes):
        await world.make(made[change] if isinstance(change, str) else change, f"eff_{number}")
        assert (world.raw()["transactions"], world.raw()["balance"]) == (charges, "0.00")


async def test_what_braintree_cannot_do_is_not_promised(world: BraintreeWorld) -> None:
    missing = {Capability.TRIAL_EXTENSION, Capability.MOVE_RENEWAL, Capability.PAUSE_TO_ANY_DAY}
    assert frozenset(Capability) - world.provider.capabilities == missing
