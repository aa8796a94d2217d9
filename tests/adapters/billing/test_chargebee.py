"""Chargebee beside the contract: keys, discounts, pauses, plans, trials and previews."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal

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
from app.core.direct import Active, DirectPrice
from app.core.money import Money
from app.core.renewals import next_renewal
from demo.billing.seed import LITE, LITE_YEARLY
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CASES,
    CHEN,
    CHENS,
    DANA,
    DANAS,
    NOW,
    ProviderContract,
    change_of,
    monthly,
    person,
)
from tests.adapters.billing.contract import lite as lite_price
from tests.adapters.billing.simulated import simulated
from tests.support.chargebee.world import ChargebeeWorld

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
SOON = int((NOW + timedelta(days=3)).timestamp())


@pytest.fixture
async def world() -> AsyncIterator[ChargebeeWorld]:
    async with simulated(ChargebeeWorld, "chargebee") as world:
        yield world


class TestChargebee(ProviderContract):
    pass


# --- Keys, and what is done when Chargebee has forgotten them -------------------------------------


@pytest.mark.parametrize("name", CASES)
async def test_after_the_key_is_forgotten_the_change_is_still_made_once(
    world: ChargebeeWorld, name: str
) -> None:
    request = CASES[name].request(world)
    await world.provider.apply(request)
    sent = list(world.writes)
    world.clock.advance(minutes=31)
    await world.provider.apply(request)
    assert world.count_changes(request.subscription_id) == 1
    assert world.writes == sent


@pytest.mark.parametrize("name", ["cancel", "half for 3 months", "pause", "plan change", "yearly pause"])
async def test_where_reading_lags_the_key_does_its_work(world: ChargebeeWorld, name: str) -> None:
    request = CASES[name].request(world)
    await world.provider.apply(request)
    world.simulator.stale_reads = 1
    await world.provider.apply(request)
    assert world.count_changes(request.subscription_id) == 1


async def test_a_key_that_is_refused_for_a_change_that_was_made_is_no_refusal(world: ChargebeeWorld) -> None:
    request = CASES["cancel"].request(world)
    await world.provider.apply(request)
    before = world.books.before
    with world.books.commit() as state:
        state["idempotency"]["eff_1"]["signature"][2] = "Basic of-the-key-before"
    world.books.before = before
    world.simulator.stale_reads = 1
    await world.provider.apply(request)
    assert world.count_changes(BENS) == 1


async def test_the_effect_is_the_key(world: ChargebeeWorld) -> None:
    await world.provider.apply(CASES["cancel"].request(world, "eff_7"))
    assert list(world.books.state["idempotency"]) == ["eff_7"]
    long = "eff/" + "x" * 300
    await world.provider.apply(change_of(Uncancel(), effect_id=long))
    (key,) = world.books.state["idempotency"].keys() - {"eff_7"}
    assert len(key) == 40


# --- Discounts: a coupon is made, then put on the subscription ------------------------------------


async def test_a_coupon_is_for_one_redemption_within_the_hour(world: ChargebeeWorld) -> None:
    await world.provider.apply(change_of(HALF))
    (used,) = world.books.state["subscriptions"][BENS]["coupons"]
    made = world.books.state["coupons"][used["coupon_id"]]
    assert used["coupon_id"] == "lw-eff_1-1"
    assert (made["max_redemptions"], made["redemptions"]) == (1, 1)
    assert made["valid_till"] == int((NOW + timedelta(hours=1)).timestamp())


@pytest.mark.parametrize("kind", ["drop", "500"])
@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
async def test_a_fault_between_the_two_calls_leaves_nothing_twice(
    world: ChargebeeWorld, kind: str, point: str
) -> None:
    world.skip_one_then(kind, point)
    request = change_of(HALF)
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(request)
    await world.provider.apply(request)
    assert world.count_changes(BENS) == 1
    assert is_in_place(HALF, world.subscription(BENS), NOW)
    assert [name for name in world.books.state["coupons"] if name.startswith("lw-")] == ["lw-eff_1-1"]


async def test_months_of_a_discount_count_from_the_next_charge_of_a_yearly_plan(
    world: ChargebeeWorld,
) -> None:
    renews_at = world.period_end(CHENS)
    assert add_months(NOW, 3) < renews_at  # by Chargebee's count it would be over by then
    preview = await world.provider.preview(CHEN, CHENS, HALF)
    assert preview is not None
    assert preview.price_after == Money(14500, "USD")
    await world.provider.apply(change_of(HALF, customer_id=CHEN, subscription_id=CHENS))
    (discount,) = (await world.seen(CHENS, CHEN)).discounts or ()
    assert discount.end is not None
    assert renews_at < discount.end < add_months(renews_at, 2)


async def test_a_coupon_that_runs_out_before_the_yearly_renewal_is_neither_shown_nor_taken(
    world: ChargebeeWorld,
) -> None:
    change = Discount(coupon_id="coupon_half_price", percent_off=Decimal(50), duration="repeating", months=3)
    with pytest.raises(ProviderRefused, match="run out"):
        await world.provider.preview(CHEN, CHENS, change)
    with pytest.raises(ProviderRefused, match="run out"):
        await world.provider.apply(change_of(change, customer_id=CHEN, subscription_id=CHENS))
    assert world.count_changes(CHENS) == 0


async def test_a_coupon_that_expired_before_it_was_used_is_replaced(world: ChargebeeWorld) -> None:
    world.skip_one_then("drop", "before_commit")
    request = change_of(HALF)
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(request)
    world.clock.advance(hours=3)
    await world.provider.apply(request)
    assert [each["coupon_id"] for each in world.books.state["subscriptions"][BENS]["coupons"]] == [
        "lw-eff_1-2"
    ]
    assert world.count_changes(BENS) == 1


async def test_a_coupon_that_was_redeemed_and_taken_off_again_is_not_given_twice(
    world: ChargebeeWorld,
) -> None:
    await world.provider.apply(change_of(HALF))
    world.edit(coupons=[])
    world.clock.advance(minutes=31)
    await world.provider.apply(change_of(HALF))
    assert world.count_changes(BENS) == 1


async def test_discounts_run_out_when_they_were_said_to(world: ChargebeeWorld) -> None:
    first = world.period_end()
    await world.provider.apply(change_of(HALF))
    for months, is_at_work in ((0, True), (1, True), (2, True), (3, False)):
        at = add_months(first, months)
        world.clock.set(at - timedelta(hours=1))
        seen = await world.seen()
        renews_at = next_renewal(seen, world.clock.now())
        assert renews_at == at
        assert any(each.is_active(renews_at) for each in seen.discounts or ()) is is_at_work


async def test_a_discount_of_one_charge_is_over_once_that_is_made(world: ChargebeeWorld) -> None:
    once = Discount(percent_off=Decimal(20), duration="once")
    await world.provider.apply(change_of(once))
    assert is_in_place(once, await world.seen(), NOW)
    coupons = [{"coupon_id": "lw-eff_1-1", "applied_count": 1}]  # as a site shows it that keeps used ones
    world.edit(coupons=coupons)
    (discount,) = (await world.seen()).discounts or ()
    assert not discount.is_active(NOW)


async def test_manual_discounts_are_seen(world: ChargebeeWorld) -> None:
    given = {
        "id": "dis_1", "type": "fixed_amount", "amount": 500, "currency_code": "USD", "apply_on": "invoice_amount",
        "duration_type": "limited_period", "period": 2, "period_unit": "month", "apply_till": SOON,
    }  # fmt: skip
    world.edit(discounts=[given])
    (discount,) = (await world.seen()).discounts or ()
    assert discount.coupon is not None
    assert (discount.coupon.amount_off, discount.coupon.duration_in_months) == (500, 2)
    assert discount.end == NOW + timedelta(days=3)


# --- Pauses ---------------------------------------------------------------------------------------


async def test_a_pause_begins_with_the_next_term_and_is_charged_when_it_ends(world: ChargebeeWorld) -> None:
    end = world.period_end()
    change = await world.pause_ben()
    seen = await world.seen()
    assert (seen.status.name, seen.status.pause.start, seen.status.pause.end) == (
        "paused", end, change.resumes_at,
    )  # fmt: skip
    world.clock.set(end + timedelta(days=1))
    assert (await world.seen()).status.name == "paused"
    world.clock.set(change.resumes_at + timedelta(minutes=1))
    on = await world.seen()
    assert isinstance(on.status, Active)
    assert on.period_end == add_months(change.resumes_at, 1)


@pytest.mark.parametrize(("start", "first"), [("2026-08-31", "2026-11-30"), ("2024-02-29", "2026-11-29")])
async def test_a_pause_ends_on_a_renewal_at_the_end_of_months_too(
    world: ChargebeeWorld, start: str, first: str
) -> None:
    began, end = (datetime.fromisoformat(f"{day}T12:00:00+00:00") for day in (start, first))
    given = monthly("sub_end", "cus_end", value=900, currency="USD", start=began, ends=end)
    world.put(person("cus_end"), [given])
    resumes_at = add_months(end, 3)  # 28 February 2027
    request = change_of(Pause(resumes_at=resumes_at), customer_id="cus_end", subscription_id="sub_end")
    await world.provider.apply(request)
    assert is_in_place(request.change, world.subscription("sub_end"), NOW)


async def test_a_pause_that_would_be_charged_on_another_day_than_was_shown_is_not_made(
    world: ChargebeeWorld,
) -> None:
    for resumes_at in (world.period_end() + timedelta(weeks=2), NOW + timedelta(days=1)):
        change = Pause(resumes_at=resumes_at)
        with pytest.raises(ProviderRefused):
            await world.provider.preview(BEN, BENS, change)
        with pytest.raises(ProviderRefused):
            await world.provider.apply(change_of(change))
    assert world.writes == []


async def test_a_site_that_does_not_pause_says_so_beforehand(world: ChargebeeWorld) -> None:
    world.set_up(can_pause=False)
    change = Pause(resumes_at=add_months(world.period_end(), 1))
    with pytest.raises(ProviderRefused, match="configuration_incompatible"):
        await world.provider.preview(BEN, BENS, change)
    with pytest.raises(ProviderRefused, match="configuration_incompatible"):
        await world.provider.apply(change_of(change))
    assert world.count_changes(BENS) == 0


async def test_who_leaves_before_the_pause_begins_has_it_taken_away(world: ChargebeeWorld) -> None:
    end = world.period_end()
    await world.pause_ben()
    await world.provider.apply(change_of(Cancel(timing="period_end"), effect_id="eff_2"))
    world.clock.set(end + timedelta(days=80))
    after = world.subscription(BENS)
    assert (after.status.name, after.end) == ("canceled", end)


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
async def test_a_fault_between_unpausing_and_cancelling_ends_in_a_cancellation(
    world: ChargebeeWorld, point: str
) -> None:
    await world.pause_ben()
    world.skip_one_then("drop", point)
    request = change_of(Cancel(timing="period_end"), effect_id="eff_2")
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(request)
    await world.provider.apply(request)
    assert [each["type"] for each in world.books.changes_of(BENS)] == ["pause", "resume", "cancel"]
    assert is_in_place(request.change, world.subscription(BENS), NOW)


async def test_who_leaves_during_the_pause_is_gone_at_once(world: ChargebeeWorld) -> None:
    await world.pause_ben()
    world.clock.set(world.subscription(BENS).status.pause.start + timedelta(days=5))
    await world.provider.apply(change_of(Cancel(timing="period_end"), effect_id="eff_2"))
    after = await world.seen()
    assert (after.status.name, after.end) == ("canceled", world.clock.now())


async def test_a_pause_under_way_is_ended_by_a_new_term(world: ChargebeeWorld) -> None:
    await world.pause_ben()
    world.clock.set(world.subscription(BENS).status.pause.start + timedelta(days=5))
    await world.provider.apply(change_of(Resume(), effect_id="eff_2"))
    seen = await world.seen()
    assert isinstance(seen.status, Active)
    assert seen.period_end == add_months(world.clock.now(), 1)


async def test_a_payment_that_fails_leaves_the_pause_and_says_so_without_details(
    world: ChargebeeWorld,
) -> None:
    await world.pause_ben()
    world.clock.set(world.subscription(BENS).status.pause.start + timedelta(days=5))
    world.set_up(payments_fail=True)
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(change_of(Resume(), effect_id="eff_2"))
    assert "payment" in caught.value.user_message
    assert "payment_processing_failed" in caught.value.reason
    assert "4000" not in f"{caught.value.user_message} {caught.value.reason}"
    assert world.subscription(BENS).status.name == "paused"


async def test_a_yearly_pause_moves_the_one_renewal_and_costs_nothing_before(world: ChargebeeWorld) -> None:
    end = world.period_end(CHENS)
    change = Pause(resumes_at=add_months(NOW, 2), renews_at=add_months(end, 2))
    await world.provider.apply(change_of(change, customer_id=CHEN, subscription_id=CHENS))
    for at, renews_at in (
        (end + timedelta(days=1), add_months(end, 2)),
        (add_months(end, 2) + timedelta(days=1), add_months(end, 14)),
    ):
        world.clock.set(at)
        seen = await world.seen(CHENS, CHEN)
        assert (seen.status.name, seen.period_end) == ("active", renews_at)


async def test_a_renewal_is_never_moved_back(world: ChargebeeWorld) -> None:
    change = Pause(resumes_at=add_months(NOW, 2), renews_at=NOW + timedelta(days=2))
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(change, customer_id=CHEN, subscription_id=CHENS))
    assert world.writes == []


# --- Plans ----------------------------------------------------------------------------------------


async def test_the_quantity_goes_along_and_a_flat_fee_has_none(world: ChargebeeWorld) -> None:
    items = world.books.state["subscriptions"][BENS]["subscription_items"]
    world.edit(subscription_items=[{**items[0], "quantity": 3, "amount": 8700}])
    await world.provider.apply(change_of(PlanChange(price=lite_price(world))))
    assert world.subscription(BENS).items[0].quantity == 3
    with world.books.commit() as state:
        state["item_prices"]["flat"] = {
            **state["item_prices"][LITE["id"]], "id": "flat", "pricing_model": "flat_fee",
        }  # fmt: skip
    flat = lite_price(world).model_copy(update={"id": "flat"})
    await world.provider.apply(change_of(PlanChange(price=flat), effect_id="eff_2"))
    assert world.subscription(BENS).items[0].price.id == "flat"


@pytest.mark.parametrize("trouble", ["unknown", "archived", "yearly", "other currency", "setup charge"])
async def test_a_plan_that_would_cost_something_now_or_is_gone_is_refused_beforehand(
    world: ChargebeeWorld, trouble: str
) -> None:
    price = DirectPrice.model_validate(LITE_YEARLY if trouble == "yearly" else LITE, by_alias=True)
    with world.books.commit() as state:
        listed = state["item_prices"][LITE["id"]]
        match trouble:
            case "unknown":
                del state["item_prices"][LITE["id"]]
            case "archived":
                listed["status"] = "archived"
            case "other currency":
                listed["currency_code"] = "EUR"
            case "setup charge":
                state["settings"]["setup_charges"] = {LITE["id"]: 1000}
    with pytest.raises(ProviderRefused) as before:
        await world.provider.preview(BEN, BENS, PlanChange(price=price))
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(change_of(PlanChange(price=price)))
    assert before.value.reason == caught.value.reason
    assert world.writes == []


@pytest.mark.parametrize("name", ["plan change", "half for 3 months", "trial extension", "pause"])
async def test_one_that_is_over_is_not_brought_back_to_life(world: ChargebeeWorld, name: str) -> None:
    request = CASES[name].request(world)
    world.edit(request.subscription_id, status="cancelled", cancelled_at=SOON - 9 * 86_400)
    with pytest.raises(ProviderRefused):
        await world.provider.apply(request)
    assert world.writes == []
    assert world.subscription(request.subscription_id).status.name == "canceled"


# --- Trials ---------------------------------------------------------------------------------------


async def test_an_extended_trial_is_charged_at_its_new_end(world: ChargebeeWorld) -> None:
    ends_at = add_days(NOW, 16)
    change = TrialExtension(days=7, ends_at=ends_at)
    preview = await world.provider.preview(DANA, DANAS, change)
    assert preview is not None
    assert (preview.next_charge_at, preview.next_charge and preview.next_charge.minor) == (ends_at, 2900)
    await world.provider.apply(change_of(change, customer_id=DANA, subscription_id=DANAS))
    world.clock.set(ends_at - timedelta(minutes=1))
    assert (await world.seen(DANAS, DANA)).status.name == "trial"
    world.clock.set(ends_at)
    assert (await world.seen(DANAS, DANA)).period_end == add_months(ends_at, 1)


async def test_a_trial_that_was_cancelled_can_go_on_as_a_trial(world: ChargebeeWorld) -> None:
    who = {"customer_id": DANA, "subscription_id": DANAS}
    await world.provider.apply(change_of(Cancel(timing="period_end"), **who))
    seen = await world.seen(DANAS, DANA)
    assert (seen.status.name, seen.end) == ("trial", seen.period_end)
    await world.provider.apply(change_of(Uncancel(), effect_id="eff_2", **who))
    seen = await world.seen(DANAS, DANA)
    assert (seen.status.name, seen.end) == ("trial", None)


# --- Previews -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "after", "charge"), [("tax_exclusive", 1450, 1740), ("tax_inclusive", 1450, 1450)]
)
async def test_a_preview_says_how_the_price_stands_to_tax(
    world: ChargebeeWorld, kind: str, after: int, charge: int
) -> None:
    world.set_up(tax={"rate": 20, "price_type": kind})
    preview = await world.provider.preview(BEN, BENS, HALF)
    assert preview is not None
    assert preview.price_after is not None
    assert preview.next_charge is not None
    assert (preview.price_after.minor, preview.next_charge.minor) == (after, charge)
    assert preview.tax == ("added" if kind == "tax_exclusive" else "included")
    assert preview.next_charge_at == world.period_end()


async def test_where_there_are_no_manual_discounts_there_is_no_preview_of_one(world: ChargebeeWorld) -> None:
    world.set_up(manual_discounts=False)
    assert await world.provider.preview(BEN, BENS, HALF) is None
    coupon = Discount(coupon_id="coupon_half_price", percent_off=Decimal(50), duration="repeating", months=3)
    preview = await world.provider.preview(BEN, BENS, coupon)
    assert preview is not None
    assert preview.price_after is not None
    assert preview.price_after.minor == 1450
    with pytest.raises(ProviderRefused):
        await world.provider.preview(BEN, BENS, coupon.model_copy(update={"coupon_id": "coupon_gone"}))
    assert world.books.state["coupons"]["coupon_half_price"]["redemptions"] == 0


async def test_a_pause_is_previewed_with_the_day_of_its_charge(world: ChargebeeWorld) -> None:
    resumes_at = add_months(world.period_end(), 2)
    preview = await world.provider.preview(BEN, BENS, Pause(resumes_at=resumes_at))
    assert preview is not None
    assert preview.next_charge_at == resumes_at
    assert await world.provider.preview(BEN, BENS, Cancel(timing="period_end")) is None
    assert world.writes == []
