"""Paddle beside the contract: discounts, pauses, cancellations, plans, trials and previews."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
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
from app.core.calendar import add_days, add_months, iso
from app.core.direct import Active, Canceled, Paused, Trial
from app.core.money import Money
from demo.billing.faults import Fault as Planned
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CASES,
    CHENS,
    COUPON,
    DANAS,
    LITE,
    NOW,
    ProviderContract,
    lite,
)
from tests.adapters.billing.simulated import simulated
from tests.support.paddle.ids import translated
from tests.support.paddle.world import PaddleWorld
from tests.support.simulator.http import Answer

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
PERIOD_END = Cancel(timing="period_end")


@pytest.fixture
async def world() -> AsyncIterator[PaddleWorld]:
    async with simulated(PaddleWorld, "paddle") as world:
        yield world


class TestPaddle(ProviderContract):
    pass


# --- Discounts ----------------------------------------------------------------------------------------


async def test_a_made_discount_is_for_one_acceptance_only(world: PaddleWorld) -> None:
    await world.provider.apply(world.request(HALF))
    made = world.books.state["discounts"][world.raw()["discount"]["id"]]
    assert (made["usage_limit"], made["times_used"], made["enabled_for_checkout"]) == (1, 1, False)
    assert made["expires_at"] == iso(NOW + timedelta(hours=1))
    assert (made["type"], made["amount"], made["maximum_recurring_intervals"]) == ("percentage", "50", 3)
    assert [each["idempotencyKey"] for each in world.books.changes_of(world.id_of(BENS))] == ["eff_1"]
    made["status"] = "active"  # as it is until it is used
    assert made["id"] not in [coupon.id for coupon in (await world.provider.list_catalog()).coupons]


async def test_a_discount_of_months_is_one_charge_of_a_yearly_plan(world: PaddleWorld) -> None:
    await world.provider.apply(world.request(HALF, name=CHENS))
    made = world.books.state["discounts"][world.raw(CHENS)["discount"]["id"]]
    assert made["maximum_recurring_intervals"] == 1
    assert is_in_place(HALF, await world.seen(CHENS), NOW)


async def test_a_discount_counts_charges_not_months_begun(world: PaddleWorld) -> None:
    await world.provider.apply(world.request(HALF))
    assert is_in_place(HALF, await world.seen(), NOW)
    first = datetime.fromisoformat(world.raw()["next_billed_at"])
    for charge in range(3):
        world.clock.set(add_months(first, charge) + timedelta(hours=1))
        assert (await world.seen()).active_discount(world.clock.now()) is not None
    world.clock.set(add_months(first, 3) + timedelta(hours=1))
    assert (await world.seen()).discounts == []


async def test_a_discount_on_trial_waits_for_the_first_charge(world: PaddleWorld) -> None:
    once = Discount(percent_off=Decimal(20), duration="once")
    await world.provider.apply(world.request(once, name=DANAS))
    assert is_in_place(once, await world.seen(DANAS), NOW)
    assert is_in_place(once, world.subscription(world.id_of(DANAS)), NOW)


async def test_after_an_answer_was_lost_the_same_discount_is_found_by_its_code(world: PaddleWorld) -> None:
    world.simulator.faults.plan(
        Planned("after_commit", "drop")
    )  # the discount is made, and nobody hears of it
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(world.request(HALF))
    world.clock.advance(hours=3)  # it has expired meanwhile: Paddle still puts it on a subscription
    (made,) = [each for each in world.books.state["discounts"].values() if each["code"]]
    made["status"] = "expired"
    await world.provider.apply(world.request(HALF))
    assert world.raw()["discount"]["id"] == made["id"]
    assert len([each for each in world.books.state["discounts"].values() if each["code"]]) == 1


async def test_a_coupon_that_was_used_up_meanwhile_is_not_given_again(world: PaddleWorld) -> None:
    once = Discount(coupon_id=translated("coupon_thanks"), percent_off=Decimal(20), duration="once")
    world.raw()["custom_data"] = {"plan": "gold"}
    await world.provider.apply(world.request(once))
    assert world.raw()["custom_data"] == {"plan": "gold", "leavewell_effect": "eff_1"}
    world.clock.set(add_months(NOW, 3))
    assert (await world.seen()).discounts == []
    await world.provider.apply(world.request(once))
    assert (await world.seen()).discounts == []
    assert world.types() == ["discount"]


async def test_a_refused_discount_leaves_nothing_behind(world: PaddleWorld) -> None:
    price = world.raw()["items"][0]["price"]["id"]
    refused = Answer({"error": {"code": "subscription_discount_not_valid_for_items", "detail": price}}, 400)
    world.answer_with(refused, "PATCH", translated(BENS))
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.request(HALF))
    assert price not in f"{caught.value.reason} {caught.value.user_message}"
    (made,) = [each for each in world.books.state["discounts"].values() if each["code"]]
    assert made["status"] == "archived"


async def test_another_discount_is_not_replaced_without_a_word(world: PaddleWorld) -> None:
    await world.provider.apply(world.request(HALF))
    other = Discount(percent_off=Decimal(10), duration="forever")
    with pytest.raises(ProviderRefused, match="in the place"):
        await world.provider.apply(world.request(other, "eff_2"))
    assert world.types() == ["discount"]


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        ({"recur": False, "maximum_recurring_intervals": None}, "only recurring"),
        ({"maximum_recurring_intervals": 6}, "billing periods"),
        ({"status": "expired"}, "not active"),
        ({"type": "flat_per_seat", "currency_code": "USD"}, "only recurring"),
    ],
)
async def test_a_coupon_that_would_not_give_what_was_shown_is_refused_before_and_after(
    world: PaddleWorld, tamper: dict[str, Any], says: str
) -> None:
    world.books.state["discounts"][translated(COUPON)].update(tamper)
    request = CASES["a coupon"].request(world)
    with pytest.raises(ProviderRefused):
        await world.provider.preview(request.customer_id, request.subscription_id, request.change)
    with pytest.raises(ProviderRefused, match=says):
        await world.provider.apply(request)
    assert world.writes() == []


async def test_a_discount_that_expired_between_its_two_calls_is_made_good_by_the_next_try(
    world: PaddleWorld,
) -> None:
    world.simulator.faults.plan(Planned("before_commit", "slow", seconds=0))
    world.simulator.faults.plan(Planned("before_commit", "drop"))
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(world.request(HALF))
    world.clock.advance(hours=3)
    await world.provider.apply(world.request(HALF))
    assert is_in_place(HALF, await world.seen(), world.clock.now())
    assert world.types() == ["discount"]
    assert len([each for each in world.books.state["discounts"].values() if each["code"]]) == 1


async def test_a_monthly_coupon_is_not_stretched_to_years(world: PaddleWorld) -> None:
    change = Discount(coupon_id=translated(COUPON), percent_off=Decimal(50), duration="repeating", months=3)
    with pytest.raises(ProviderRefused, match="billing periods"):
        await world.provider.apply(world.request(change, name=CHENS))
    assert world.writes() == []


async def test_a_finer_percentage_than_paddle_has_is_refused(world: PaddleWorld) -> None:
    with pytest.raises(ProviderRefused, match="two decimals"):
        await world.provider.apply(world.request(Discount(percent_off=Decimal("12.345"), duration="once")))
    assert world.writes() == []


# --- Pauses, cancels, plans, trials -------------------------------------------------------------------


async def test_a_pause_begins_with_the_next_renewal_and_ends_by_itself(world: PaddleWorld) -> None:
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    resumes_at = add_months(renews_at, 2)
    await world.provider.apply(world.request(Pause(resumes_at=resumes_at)))
    status = (await world.seen()).status
    assert isinstance(status, Paused)
    assert (status.pause.start, status.pause.end) == (renews_at, resumes_at)
    assert status.current_period is not None
    assert status.current_period.end == renews_at
    world.clock.set(renews_at + timedelta(days=1))
    status = (await world.seen()).status
    assert isinstance(status, Paused)
    assert (status.pause.start, status.pause.end) == (renews_at, resumes_at)
    world.clock.set(resumes_at + timedelta(hours=1))
    status = (await world.seen()).status
    assert isinstance(status, Active)
    assert status.current_period.start == resumes_at


async def test_a_pause_that_ends_before_the_next_renewal_is_none(world: PaddleWorld) -> None:
    with pytest.raises(ProviderRefused, match="next renewal"):
        await world.provider.apply(world.request(Pause(resumes_at=add_days(NOW, 1))))
    assert world.writes() == []


async def test_a_pause_that_paddle_would_charge_earlier_than_shown_is_refused(world: PaddleWorld) -> None:
    """Two weeks away: the customer is told of the charge at the renewal after, Paddle charges on the day of return."""
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    pause = Pause(resumes_at=add_days(renews_at, 14))
    with pytest.raises(ProviderRefused, match="day of resumption"):
        await world.provider.preview(translated(BENS), translated(BENS), pause)
    with pytest.raises(ProviderRefused, match="day of resumption"):
        await world.provider.apply(world.request(pause))
    assert world.writes() == []


async def test_a_pause_that_has_begun_is_ended_with_a_new_period(world: PaddleWorld) -> None:
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    await world.provider.apply(world.request(Pause(resumes_at=add_months(renews_at, 2))))
    world.clock.set(add_days(renews_at, 10))
    await world.provider.apply(world.request(Resume(), "eff_2"))
    status = (await world.seen()).status
    assert isinstance(status, Active)
    assert status.current_period.start == world.clock.now()


async def test_who_was_paused_in_a_paid_period_is_not_charged_for_it_again(world: PaddleWorld) -> None:
    before = await world.seen()
    world.raw().update({"status": "paused", "paused_at": iso(NOW), "next_billed_at": None})
    await world.provider.apply(world.request(Resume()))
    assert (await world.seen()).period_end == before.period_end
    assert "_charges" not in world.raw()


async def test_cancelling_within_a_pause_ends_at_once(world: PaddleWorld) -> None:
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    await world.provider.apply(world.request(Pause(resumes_at=add_months(renews_at, 2))))
    world.clock.set(add_days(renews_at, 10))
    await world.provider.apply(world.request(PERIOD_END, "eff_2"))
    assert isinstance((await world.seen()).status, Canceled)
    with pytest.raises(ProviderRefused, match="canceled"):
        await world.provider.apply(world.request(Uncancel(), "eff_3"))


@pytest.mark.parametrize("fault", ["drop", "500"])
async def test_a_cancel_goes_on_where_it_was_cut_off_after_taking_a_pause_away(
    world: PaddleWorld, fault: Any
) -> None:
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    await world.provider.apply(world.request(Pause(resumes_at=add_months(renews_at, 2))))
    world.simulator.faults.plan(Planned("after_commit", fault))
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(world.request(PERIOD_END, "eff_2"))
    await world.provider.apply(world.request(PERIOD_END, "eff_2"))
    assert (await world.seen()).end == renews_at
    assert world.types() == ["pause", "resume", "cancel"]


async def test_a_pause_comes_back_where_the_cancellation_in_its_place_is_refused(world: PaddleWorld) -> None:
    renews_at = datetime.fromisoformat(world.raw()["next_billed_at"])
    pause = Pause(resumes_at=add_months(renews_at, 2))
    await world.provider.apply(world.request(pause))
    no = {"error": {"type": "request_error", "code": "subscription_cannot_be_canceled"}}
    world.answer_with(Answer(no, 400), "POST", "/cancel")
    with pytest.raises(ProviderRefused, match="cannot_be_canceled"):
        await world.provider.apply(world.request(PERIOD_END, "eff_2"))
    assert is_in_place(pause, await world.seen(), NOW)


async def test_a_cancel_of_a_trial_ends_with_it(world: PaddleWorld) -> None:
    ends_at = (await world.seen(DANAS)).period_end
    await world.provider.apply(world.request(PERIOD_END, name=DANAS))
    seen = await world.seen(DANAS)
    assert isinstance(seen.status, Trial)
    assert (seen.end, seen.period_end) == (ends_at, ends_at)
    world.clock.set(add_days(NOW, 30))
    assert isinstance((await world.seen(DANAS)).status, Canceled)


async def test_half_an_hour_before_a_renewal_a_cancel_waits_and_an_offer_is_off(world: PaddleWorld) -> None:
    world.clock.set(datetime.fromisoformat(world.raw()["next_billed_at"]) - timedelta(minutes=20))
    with pytest.raises(ProviderUnavailable) as caught:
        await world.provider.apply(world.request(PERIOD_END))
    assert caught.value.retry_after == 900
    with pytest.raises(ProviderRefused, match="locked_renewal"):
        await world.provider.apply(world.request(HALF, "eff_2"))
    assert not [each for each in world.books.state["discounts"].values() if each["code"]]
    world.clock.advance(minutes=30)
    await world.provider.apply(world.request(PERIOD_END))
    assert world.types() == ["cancel"]


async def test_a_plan_keeps_its_quantity_and_costs_nothing_now(world: PaddleWorld) -> None:
    world.raw()["items"][0]["quantity"] = 3
    await world.provider.apply(world.request(PlanChange(price=lite(world))))
    seen = await world.seen()
    assert (seen.items[0].price.id, seen.items[0].quantity) == (translated(LITE), 3)
    assert "_charges" not in world.raw()


async def test_a_plan_of_another_interval_a_gone_one_and_one_during_a_trial_are_refused(
    world: PaddleWorld,
) -> None:
    change = PlanChange(price=lite(world))
    for name in (CHENS, DANAS):
        with pytest.raises(ProviderRefused):
            await world.provider.preview(world.id_of(name), world.id_of(name), change)
        with pytest.raises(ProviderRefused):
            await world.provider.apply(world.request(change, name=name))
    world.books.state["prices"][translated(LITE)]["status"] = "archived"
    with pytest.raises(ProviderRefused, match="not active"):
        await world.provider.apply(world.request(change))
    assert world.writes() == []


async def test_a_yearly_pause_moves_the_renewal_and_charges_nothing(world: PaddleWorld) -> None:
    request = CASES["yearly pause"].request(world)
    await world.provider.apply(request)
    seen = await world.seen(CHENS)
    assert isinstance(seen.status, Active)
    assert isinstance(request.change, Pause)
    assert seen.period_end == request.change.renews_at
    assert "_charges" not in world.raw(CHENS)


async def test_nothing_is_offered_on_top_of_a_change_that_waits(world: PaddleWorld) -> None:
    await world.provider.apply(world.request(PERIOD_END))
    pause = Pause(resumes_at=add_months(NOW, 3))
    for number, change in enumerate((HALF, pause, PlanChange(price=lite(world)))):
        with pytest.raises(ProviderRefused, match="already scheduled"):
            await world.provider.apply(world.request(change, f"eff_{number + 2}"))
    assert world.types() == ["cancel"]


async def test_a_trial_is_extended_once_to_the_very_day(world: PaddleWorld) -> None:
    change = TrialExtension(days=7, ends_at=add_days(NOW, 16))
    for _ in range(2):
        await world.provider.apply(world.request(change, name=DANAS))
    assert (await world.seen(DANAS)).period_end == add_days(NOW, 16)
    assert world.types(DANAS) == ["extend-trial"]


# --- Previews -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tax_mode", "tax", "after", "charge"),
    [
        ("external", "added", 600, 720),
        ("internal", "included", 600, 600),
        ("location", "included", 600, 600),
        ("account_setting", "added", 600, 720),
    ],
)
async def test_a_preview_says_how_tax_stands_to_the_price(
    world: PaddleWorld, tax_mode: str, tax: str, after: int, charge: int
) -> None:
    world.vendor.tax_rate = Decimal("0.2")  # type: ignore[attr-defined]  # Paddle's own
    world.books.state["prices"][translated(LITE)]["tax_mode"] = tax_mode
    preview = await world.provider.preview(world.id_of(BEN), world.id_of(BENS), PlanChange(price=lite(world)))
    assert preview is not None
    assert (preview.tax, preview.price_after, preview.next_charge) == (
        tax,
        Money(after, "USD"),
        Money(charge, "USD"),
    )
    assert preview.price_now == Money(2900, "USD")


async def test_a_coupon_is_previewed_by_paddle(world: PaddleWorld) -> None:
    request = CASES["a coupon"].request(world)
    preview = await world.provider.preview(request.customer_id, request.subscription_id, request.change)
    assert preview is not None
    assert preview.price_after == Money(1450, "USD")
    assert preview.next_charge_at == (await world.seen()).period_end
    assert world.writes() == []


async def test_what_ends_needs_no_preview(world: PaddleWorld) -> None:
    assert await world.provider.preview(world.id_of(BEN), world.id_of(BENS), PERIOD_END) is None
    assert await world.provider.preview("sub_nothing", "sub_nothing", PlanChange(price=lite(world))) is None
