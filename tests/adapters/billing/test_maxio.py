"""Maxio beside the contract: holds and their charges, coupons, prices, plans and trials."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

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
from app.core.calendar import add_months, iso
from app.core.direct import Active, Canceled, Paused
from demo.billing.faults import Point
from tests.adapters.billing.contract import (
    BEN,
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
    yearly_pause,
)
from tests.adapters.billing.simulated import simulated
from tests.support.maxio.world import MaxioWorld

RENEWS: Final = datetime(2026, 12, 12, 9, 0, tzinfo=UTC)  # Ben's
HALF: Final = Discount(percent_off=Decimal(50), duration="repeating", months=3)


@pytest.fixture
async def world() -> AsyncIterator[MaxioWorld]:
    async with simulated(MaxioWorld, "maxio") as world:
        yield world


class TestMaxio(ProviderContract):
    pass


# --- Pauses: what was shown is what is charged ----------------------------------------------------


@pytest.mark.parametrize(
    ("resumes_at", "charged"),
    [
        (
            datetime(2027, 1, 12, 9, 0, tzinfo=UTC),
            ["2027-01-12", "2027-02-12"],
        ),  # a month: Maxio charges on that day
        (
            datetime(2026, 12, 26, 9, 0, tzinfo=UTC),
            ["2027-01-12", "2027-02-12"],
        ),  # two weeks: at the renewal after
        (datetime(2027, 3, 1, 0, 0, tzinfo=UTC), ["2027-03-12"]),
        (datetime(2026, 12, 1, 0, 0, tzinfo=UTC), ["2026-12-12", "2027-01-12", "2027-02-12"]),
    ],
)
async def test_after_a_pause_the_first_charge_is_at_the_renewal_that_was_shown(
    world: MaxioWorld, resumes_at: datetime, charged: list[str]
) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=resumes_at)))
    paused = await world.seen()
    assert isinstance(paused.status, Paused)
    assert (paused.status.pause.start, paused.status.pause.end) == (NOW, resumes_at)
    assert paused.period_end == RENEWS, "what is paid for is not what the renewal was moved to"
    world.at(resumes_at + timedelta(minutes=1))
    assert isinstance((await world.seen()).status, Active)
    world.at(datetime(2027, 3, 12, 12, 0, tzinfo=UTC))
    assert [day for day, _ in world.charges()][: len(charged)] == charged


async def test_a_pause_that_begins_the_day_before_the_renewal_is_possible(world: MaxioWorld) -> None:
    world.at(RENEWS - timedelta(hours=3))
    await world.provider.apply(world.ask(Pause(resumes_at=add_months(RENEWS, 1))))
    world.at(add_months(RENEWS, 1) + timedelta(minutes=1))
    assert world.charges() == [("2027-01-12", 2900)]


async def test_ending_a_pause_while_time_is_paid_for_brings_the_old_renewal_back(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=RENEWS + timedelta(weeks=6))))
    world.at(NOW + timedelta(days=3))
    await world.provider.apply(world.ask(Resume(), "eff_2"))
    seen = await world.seen()
    assert isinstance(seen.status, Active)
    assert seen.period_end == RENEWS
    world.at(RENEWS + timedelta(hours=1))
    assert world.charges() == [("2026-12-12", 2900)]


@pytest.mark.parametrize("length", [timedelta(days=31), timedelta(weeks=6)])
async def test_ending_a_pause_after_the_paid_time_begins_billing_again(
    world: MaxioWorld, length: timedelta
) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=RENEWS + length)))
    world.at(RENEWS + timedelta(days=5))
    assert world.charges() == []
    await world.provider.apply(world.ask(Resume(), "eff_2"))
    world.at(RENEWS + timedelta(days=5, hours=2))
    assert world.charges() == [("2026-12-17", 2900)]


@pytest.mark.parametrize("length", [timedelta(days=31), timedelta(weeks=6)])
async def test_who_cancels_in_a_pause_keeps_what_is_paid_for_and_is_charged_nothing(
    world: MaxioWorld, length: timedelta
) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=RENEWS + length)))
    await world.provider.apply(world.ask(Cancel(timing="period_end"), "eff_2"))
    assert (await world.seen()).end == RENEWS
    assert world.count_changes(world.bens) == 2
    world.at(RENEWS + timedelta(days=90))
    assert world.charges() == []
    assert isinstance((await world.seen()).status, Canceled)


async def test_who_cancels_in_a_pause_after_the_paid_time_is_out_at_once(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=add_months(RENEWS, 3))))
    world.at(add_months(RENEWS, 1))
    await world.provider.apply(world.ask(Cancel(timing="period_end"), "eff_2"))
    assert isinstance((await world.seen()).status, Canceled)
    assert world.charges() == []


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_pause_survives_a_fault_at_each_of_its_calls(
    world: MaxioWorld, number: int, point: Point
) -> None:
    request = world.ask(Pause(resumes_at=RENEWS + timedelta(weeks=6)))
    world.fail_write(number, point)
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(request)
    await world.provider.apply(request)
    await world.provider.apply(request)
    assert world.count_changes(world.bens) == 1
    seen = await world.seen()
    assert is_in_place(request.change, seen, NOW)
    assert seen.period_end == RENEWS
    world.at(datetime(2027, 2, 13, tzinfo=UTC))
    assert [day for day, _ in world.charges()] == ["2027-02-12"]


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
async def test_cancelling_in_a_pause_survives_a_fault_at_each_of_its_calls(
    world: MaxioWorld, number: int, point: Point
) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=RENEWS + timedelta(weeks=6))))
    request = world.ask(Cancel(timing="period_end"), "eff_2")
    world.fail_write(number, point)
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(request)
    await world.provider.apply(request)
    assert world.count_changes(world.bens) == 2
    assert (await world.seen()).end == RENEWS
    world.at(add_months(RENEWS, 3))
    assert world.charges() == []


async def test_a_pause_that_maxio_refuses_leaves_the_renewal_where_it_was(world: MaxioWorld) -> None:
    world.change(group={"uid": "grp_1", "scheme": 1})
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.ask(Pause(resumes_at=RENEWS + timedelta(weeks=6))))
    assert "group" in caught.value.reason
    assert (await world.seen()).period_end == RENEWS


@pytest.mark.parametrize(
    "values",
    [
        {"state": "trialing"},
        {"state": "past_due"},
        {"snap_day": 15},
        {"cancel_at_end_of_period": True},
    ],
)
async def test_a_pause_that_would_come_out_differently_is_refused_before_anything_is_written(
    world: MaxioWorld, values: dict[str, Any]
) -> None:
    world.change(**values)
    for change in (
        Pause(resumes_at=add_months(RENEWS, 1)),
        Pause(resumes_at=NOW, renews_at=add_months(RENEWS, 1)),
    ):
        with pytest.raises(ProviderRefused):
            await world.provider.preview(world.id_of(BEN), world.bens, change)
        with pytest.raises(ProviderRefused):
            await world.provider.apply(world.ask(change))
    assert world.writes() == []


async def test_a_yearly_pause_moves_the_renewal_by_one_call_and_charges_only_there(world: MaxioWorld) -> None:
    change = yearly_pause(world)
    await world.provider.apply(world.ask(change, who=CHEN, what=CHENS))
    assert len(world.writes()) == 1
    assert change.renews_at is not None
    world.at(change.renews_at - timedelta(hours=1))
    assert world.charges(CHENS) == []
    world.at(change.renews_at + timedelta(hours=1))
    assert world.charges(CHENS) == [(f"{change.renews_at:%Y-%m-%d}", 29000)]


async def test_a_renewal_on_a_leap_day_can_be_moved_to_one_without(world: MaxioWorld) -> None:
    leap = datetime(2028, 2, 29, 12, 0, tzinfo=UTC)
    given = monthly("sub_leap", "cus_leap", value=900, currency="USD", start=add_months(leap, -24), ends=leap)
    every = {"interval": "year", "intervalCount": 1}
    given["items"][0]["price"]["duration"] = given["duration"] = every
    world.put(person("cus_leap"), [given])
    moved = add_months(leap, 12)
    assert moved.day == 28
    change = Pause(resumes_at=add_months(NOW, 12), renews_at=moved)
    await world.provider.apply(world.ask(change, who="cus_leap", what="sub_leap"))
    assert (await world.seen("cus_leap", "sub_leap")).period_end == moved


# --- Discounts ------------------------------------------------------------------------------------


def coupons_made(world: MaxioWorld) -> list[dict[str, Any]]:
    return [each for each in world.books.state["coupons"].values() if each["code"].startswith("LEAVEWELL")]


async def test_a_discount_is_charged_for_its_months_and_no_longer(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(HALF))
    (discount,) = (await world.seen()).discounts
    assert (discount.coupon.duration, discount.coupon.duration_in_months) == ("repeating", 3)
    assert discount.end == add_months(RENEWS, 3)
    world.at(add_months(RENEWS, 3) + timedelta(hours=1))
    assert [amount for _, amount in world.charges()] == [1450, 1450, 1450, 2900]
    assert (await world.seen()).discounts == []


async def test_a_coupon_made_for_an_acceptance_serves_that_one_only(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(HALF, "eff_0a1b"))
    (made,) = coupons_made(world)
    assert (made["code"], made["conversion_limit"]) == ("LEAVEWELL_EFF_0A1B", "1")
    assert made["end_date"] == "2026-11-25"


async def test_months_count_as_charges_where_a_year_is_paid_at_once(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(HALF, who=CHEN, what=CHENS))
    assert coupons_made(world)[0]["duration_period_count"] == 1


@pytest.mark.parametrize(
    "lasts",
    [
        {"duration_period_count": 3},  # three years
        {"duration_period_count": None, "duration_interval": 3, "duration_interval_unit": "month"},  # nothing
    ],
)
async def test_a_coupon_that_means_other_charges_than_it_is_shown_for_is_neither_shown_nor_taken(
    world: MaxioWorld, lasts: dict[str, Any]
) -> None:
    code = world.id_of(COUPON)
    with world.books.commit() as state:
        (coupon,) = [each for each in state["coupons"].values() if each["code"] == code]
        coupon |= lasts
    catalog = await world.provider.load_catalog([], [code])
    assert catalog.coupons[code].duration_in_months == 3
    change = Discount(coupon_id=code, percent_off=Decimal(50), duration="repeating", months=3)
    with pytest.raises(ProviderRefused):
        await world.provider.preview(world.id_of(CHEN), world.id_of(CHENS), change)
    with pytest.raises(ProviderRefused):
        await world.provider.apply(world.ask(change, who=CHEN, what=CHENS))
    assert world.count_changes(world.id_of(CHENS)) == 0
    assert await world.provider.preview(world.id_of(BEN), world.bens, change) is None


@pytest.mark.parametrize("point", ["before_commit", "after_commit"])
@pytest.mark.parametrize("number", [0, 1])
async def test_a_discount_survives_a_fault_at_each_of_its_calls(
    world: MaxioWorld, number: int, point: Point
) -> None:
    world.fail_write(number, point)
    with pytest.raises(ProviderUnavailable):
        await world.provider.apply(world.ask(HALF))
    await world.provider.apply(world.ask(HALF))
    assert world.count_changes(world.bens) == 1
    assert len(coupons_made(world)) == 1


async def test_a_discount_that_is_refused_leaves_no_coupon_behind(world: MaxioWorld) -> None:
    bound = Discount(coupon_id=world.id_of("coupon_thanks"), duration="once")
    await world.provider.apply(world.ask(bound, "eff_0"))  # the shop's coupon cannot be combined
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.ask(HALF))
    assert "stackable" in caught.value.reason
    assert [bool(each["archived_at"]) for each in coupons_made(world)] == [True]
    assert world.count_changes(world.bens) == 1


async def test_a_percentage_that_maxio_would_cut_is_refused(world: MaxioWorld) -> None:
    with pytest.raises(ProviderRefused):
        await world.provider.apply(world.ask(Discount(percent_off=Decimal("33.333333"), duration="once")))
    assert (await world.seen()).discounts == []
    assert all(each["archived_at"] for each in coupons_made(world))


async def test_a_list_tells_what_the_coupons_give(world: MaxioWorld) -> None:
    half = Discount(coupon_id=world.id_of(COUPON), duration="repeating", months=3)
    await world.provider.apply(world.ask(half))
    (listed,) = await world.provider.list_subscriptions(world.id_of(BEN))
    assert listed.discounts is not None
    assert listed.discounts[0].coupon is not None
    assert (listed.discounts[0].id, listed.discounts[0].coupon.percent_off) == ("COUPON_HALF_PRICE", 50)


async def test_coupons_of_which_the_price_cannot_be_told_are_not_offered(world: MaxioWorld) -> None:
    with world.books.commit() as state:
        first, second, third = list(state["coupons"].values())[:3]
        first["coupon_restrictions"] = [{"item_type": "Component", "item_id": 5}]
        second["end_date"] = "2026-11-01"
        twin = {**third, "id": 99, "product_family_id": 7, "amount_in_cents": 900}
        state["coupons"]["99"] = twin  # the same code in another product family
    assert (await world.provider.list_catalog()).coupons == ()


# --- Money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("currency", ["JPY", "KWD", "EUR"])
async def test_no_price_is_told_where_maxio_does_not_say_what_its_cents_are(
    world: MaxioWorld, currency: str
) -> None:
    ends = NOW + timedelta(days=12)
    start = add_months(ends, -6)
    given = monthly("sub_x", "cus_x", value=1500, currency=currency, start=start, ends=ends)
    world.put(person("cus_x", currency), [given])
    seen = await world.seen("cus_x", "sub_x")
    assert seen.price_total() is None
    assert seen.items[0].price.amount.currency == currency
    off = Discount(amount_off_minor=500, currency=currency, duration="once")
    request = world.ask(off, who="cus_x", what="sub_x")
    with pytest.raises(ProviderRefused):
        await world.provider.preview(request.customer_id, request.subscription_id, off)
    with pytest.raises(ProviderRefused):
        await world.provider.apply(request)
    assert world.writes() == []
    await world.provider.apply(
        world.ask(HALF, "eff_2", who="cus_x", what="sub_x")
    )  # a percentage is one anywhere


async def test_a_site_in_yen_has_no_prices_to_offer(world: MaxioWorld) -> None:
    with world.books.commit() as state:
        state["site"]["currency"] = "JPY"
    listed = await world.provider.list_catalog()
    assert listed.prices == ()
    assert all(coupon.percent_off for coupon in listed.coupons)


# --- Plans and trials -----------------------------------------------------------------------------


async def test_a_new_plan_costs_nothing_now_and_its_price_at_the_renewal(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(PlanChange(price=lite(world))))
    assert world.charges() == []
    world.at(RENEWS + timedelta(hours=1))
    assert world.charges() == [("2026-12-12", 600)]


@pytest.mark.parametrize(
    "values",
    [{"archived_at": "2026-11-01T00:00:00Z"}, {"price_in_cents": 700}, {"type": "custom"}, {"expiration_interval": 12,
      "expiration_interval_unit": "month"}],
)  # fmt: skip
async def test_a_plan_that_is_not_what_was_shown_is_refused(
    world: MaxioWorld, values: dict[str, Any]
) -> None:
    with world.books.commit() as state:
        state["price_points"][world.id_of(LITE)].update(values)
    with pytest.raises(ProviderRefused):
        await world.provider.apply(world.ask(PlanChange(price=lite(world))))
    assert world.writes() == []


async def test_a_trial_never_ends_before_the_date_that_was_shown(world: MaxioWorld) -> None:
    ends_at = NOW + timedelta(days=16, seconds=1)
    change = TrialExtension(days=7, ends_at=ends_at)
    await world.provider.apply(world.ask(change, who=DANA, what=DANAS))
    assert (await world.seen(DANA, DANAS)).status.trial.end == NOW + timedelta(days=16, minutes=1)
    world.at(ends_at)
    assert world.charges(DANAS) == []


async def test_an_end_on_a_date_of_its_own_is_shown_and_not_said_to_be_taken_back(world: MaxioWorld) -> None:
    ends = NOW + timedelta(days=4)
    world.change(scheduled_cancellation_at=iso(ends))
    assert (await world.seen()).end == ends
    with pytest.raises(ProviderRefused):
        await world.provider.apply(world.ask(Uncancel()))
