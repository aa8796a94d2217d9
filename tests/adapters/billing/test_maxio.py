"""Maxio beside the contract: holds and their charges, coupons, shapes for a person, errors, webhooks."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from app.adapters.billing.registry import connect
from app.adapters.http import OutboundHttp
from app.core.billing import (
    BillingProvider,
    Cancel,
    Catalog,
    Change,
    ChangeRequest,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
    Pause,
    PlanChange,
    PriceList,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.calendar import add_months, iso
from app.core.direct import Active, Canceled, Paused
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from demo.billing.faults import Fault as Planned
from demo.billing.faults import Point
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
    change_of,
    lite,
    monthly,
    person,
    yearly_pause,
)
from tests.adapters.billing.simulated import LOOPBACK, SimulatedWorld, simulated
from tests.support.clock import FakeClock
from tests.support.maxio.vendor import Maxio
from tests.support.server import served
from tests.support.simulator.http import Answer

RENEWS: Final = datetime(2026, 12, 12, 9, 0, tzinfo=UTC)  # Ben's
HALF: Final = Discount(percent_off=Decimal(50), duration="repeating", months=3)


class MaxioWorld(SimulatedWorld):
    currencies = ("USD",)
    inbound = "signed"
    inbound_has_time = False

    @property
    def maxio(self) -> Maxio:
        assert isinstance(self.vendor, Maxio)
        return self.vendor

    @property
    def bens(self) -> str:
        return self.id_of(BENS)

    def ask(
        self, change: Change, effect_id: str = "eff_1", *, who: str = BEN, what: str = BENS
    ) -> ChangeRequest:
        return change_of(
            change, effect_id=effect_id, customer_id=self.id_of(who), subscription_id=self.id_of(what)
        )

    async def seen(self, who: str = BEN, what: str = BENS) -> Any:
        return await self.provider.find_subscription(self.id_of(who), self.id_of(what))

    def raw(self, what: str = BENS) -> dict[str, Any]:
        found: dict[str, Any] = self.books.state["subscriptions"][self.id_of(what)]
        return found

    def change(self, what: str = BENS, **values: object) -> None:
        self.maxio.change_subscription(self.books, self.id_of(what), **values)

    def at(self, moment: datetime) -> None:
        self.clock.set(moment)
        self.maxio.settle(self.books, moment)

    def charges(self, what: str = BENS) -> list[tuple[str, int]]:
        made = self.books.state.get("charges", [])
        own = [each for each in made if str(each["subscription_id"]) == self.id_of(what)]
        moments = [datetime.fromisoformat(each["at"]).astimezone(UTC) for each in own]
        return [(f"{at:%Y-%m-%d}", each["amount_in_cents"]) for at, each in zip(moments, own, strict=True)]

    def writes(self) -> list[str]:
        return [path.rpartition("/")[2] for method, path in self.simulator.log if method != "GET"]

    def fail_write(self, number: int, point: Point) -> None:
        """Let the write of that number (from 0) drop, and the ones before it pass."""
        if number:
            self.simulator.faults.plan(Planned("before_commit", "slow", times=number, seconds=0))
            self.simulator.faults.plan(Planned("after_commit", "slow", times=number, seconds=0))
        self.simulator.faults.plan(Planned(point, "drop"))


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(MaxioWorld, "maxio") as world:
        yield world


class TestMaxio(ProviderContract):
    pass


pytestmark = pytest.mark.anyio

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


# --- Shapes for a person --------------------------------------------------------------------------

UNSAFE: Final = {
    "past due": ({"state": "past_due"}, ManualReason.UNPAID),
    "gateway failure": ({"state": "soft_failure"}, ManualReason.UNPAID),
    "unpaid": ({"state": "unpaid"}, ManualReason.UNPAID),
    "prepayment used up": ({"state": "suspended"}, ManualReason.UNPAID),
    "trial without a card": ({"state": "trial_ended"}, ManualReason.UNPAID),
    "open balance": ({"balance_in_cents": 2900}, ManualReason.UNPAID),
    "renewing just now": ({"state": "assessing"}, ManualReason.PENDING_UPDATE),
    "delayed product change": ({"next_product_id": 5}, ManualReason.PENDING_UPDATE),
    "delayed price change": ({"next_product_price_point_id": 5}, ManualReason.PENDING_UPDATE),
    "merchant in arrears": ({"state": "paused"}, ManualReason.FOREIGN_PAUSE),
    "put on hold by others": ({"state": "on_hold"}, ManualReason.FOREIGN_PAUSE),
    "cancelling on hold": (
        {"state": "on_hold", "cancel_at_end_of_period": True},
        ManualReason.PENDING_UPDATE,
    ),
    "not begun": ({"state": "awaiting_signup"}, ManualReason.NOT_STARTED),
    "being made": ({"state": "pending"}, ManualReason.NOT_STARTED),
    "canceled": ({"state": "canceled", "canceled_at": "2026-11-01T00:00:00Z"}, ManualReason.CANCELED),
    "expired": ({"state": "expired", "expires_at": "2026-11-01T00:00:00Z"}, ManualReason.CANCELED),
    "in a group": ({"group": {"uid": "grp_1", "primary": False}}, ManualReason.SHARED_BILLING),
    "prepaid": ({"payment_collection_method": "prepaid"}, ManualReason.CONTRACT),
    "fixed term": ({"expires_at": "2027-11-21T00:00:00Z"}, ManualReason.CONTRACT),
    "state of a later version": ({"state": "hibernating"}, ManualReason.UNKNOWN_STATE),
    "no state": ({"state": None}, ManualReason.UNKNOWN_STATE),
    "no dates": ({"current_period_ends_at": None, "next_assessment_at": None}, ManualReason.UNKNOWN_STATE),
    "dates that are none": ({"current_period_started_at": "soon"}, ManualReason.UNKNOWN_STATE),
}


@pytest.mark.parametrize("name", UNSAFE)
async def test_an_unsafe_shape_is_left_to_a_person_by_its_name(world: MaxioWorld, name: str) -> None:
    values, reason = UNSAFE[name]
    world.change(**values)
    assert reason in automation_blockers(await world.seen(), History(), NOW)
    assert world.writes() == []


async def test_components_in_use_are_items_without_a_price(world: MaxioWorld) -> None:
    unused = {"component_id": 1, "name": "Calls", "kind": "metered_component", "allocated_quantity": None}
    seats = {
        "component_id": 2,
        "name": "Seats",
        "kind": "quantity_based_component",
        "allocated_quantity": "3.0",
    }
    with world.books.commit() as state:
        state["components"][world.bens] = [{**unused, "unit_balance": 0, "enabled": None}]
    assert len((await world.seen()).items) == 1
    with world.books.commit() as state:
        state["components"][world.bens].append(seats)
    seen = await world.seen()
    assert seen.price_total() is None
    assert ManualReason.SEVERAL_ITEMS in automation_blockers(seen, History(), NOW)


async def test_a_renewal_contract_is_asked_for_where_the_site_has_such(world: MaxioWorld) -> None:
    with world.books.commit() as state:
        state["site"]["auto_renewals_enabled"] = True
        state["renewals"][world.bens] = [
            {"id": 1, "status": "fulfilled", "contract": {"id": 1}},
            {"id": 2, "status": "scheduled", "contract": None},
        ]
    provider = world.connect()
    seen = await provider.find_subscription(world.id_of(BEN), world.bens)
    assert seen is not None
    assert automation_blockers(seen, History(), NOW) == (ManualReason.SCHEDULE,)


async def test_a_subscription_without_a_product_is_told_and_left_alone(world: MaxioWorld) -> None:
    answer = {"id": int(world.bens), "state": "active", "product": None, "customer": {"id": 7}}
    async with canned(world, 200, {"subscription": answer}) as provider:
        seen = await provider.find_subscription("7", world.bens)
    assert seen is not None
    assert seen.price_total() is None
    assert ManualReason.SEVERAL_ITEMS in automation_blockers(seen, History(), NOW)


# --- Customers ------------------------------------------------------------------------------------


async def test_the_merchants_own_reference_names_a_customer_too(world: MaxioWorld) -> None:
    customer = await world.provider.find_customer(BEN)
    assert customer is not None
    assert (customer.id, customer.email) == (BEN, "ben@example.com")
    (listed,) = await world.provider.list_subscriptions(BEN)
    assert (listed.id, listed.customer_id) == (world.bens, BEN)
    assert await world.provider.find_subscription(BEN, world.bens) == listed
    assert await world.provider.find_subscription(DANA, world.bens) is None
    await world.provider.apply(change_of(Cancel(timing="period_end"), subscription_id=world.bens))
    assert world.count_changes(world.bens) == 1


async def test_a_reference_fits_to_the_letter_and_digits_are_never_one(world: MaxioWorld) -> None:
    with world.books.commit() as state:
        state["customers"][world.id_of(DANA)]["reference"] = "4711"
    for other in ("CUS_BEN", "Cus_ben", "4711", "0" + world.id_of(BEN), f" {world.id_of(BEN)}"):
        assert await world.provider.find_customer(other) is None
        assert await world.provider.list_subscriptions(other) == []
        assert await world.provider.find_subscription(other, world.bens) is None


async def test_of_hundreds_that_the_search_finds_only_the_very_address_counts(world: MaxioWorld) -> None:
    for number in range(230):
        world.put({**person(f"cus_many{number}"), "email": f"a.ben@example.com{number}"}, [])
    world.put({**person("cus_last"), "email": "BEN@example.com"}, [])
    found = await world.provider.find_customers_by_email(" ben@example.com ")
    assert {each.id for each in found} == {world.id_of(BEN), world.id_of("cus_last")}
    assert sum(path == "/customers.json" for _, path in world.simulator.log) == 2


async def test_of_many_subscriptions_the_newest_come(world: MaxioWorld) -> None:
    given = [
        monthly(
            f"sub_{n}", "cus_many", value=900, currency="USD", start=NOW - timedelta(days=40 + n), ends=RENEWS
        )
        for n in range(25)
    ]
    world.put(person("cus_many"), given)
    world.change("sub_3", state="canceled", canceled_at=iso(NOW))
    listed = await world.provider.list_subscriptions(world.id_of("cus_many"))
    assert [each.id for each in listed] == [world.id_of(f"sub_{n}") for n in range(21) if n != 3]


async def test_four_calls_at_once_are_made_and_no_more(world: MaxioWorld) -> None:
    """Nobody is answered before four have come: calls made one after the other would never be."""
    renews = [RENEWS + timedelta(minutes=number) for number in range(20)]
    given = [
        monthly(f"sub_{number}", "cus_many", value=900, currency="USD", start=NOW, ends=ends)
        for number, ends in enumerate(renews)
    ]
    world.put(person("cus_many"), given)
    real, company, under_way = world.simulator._vendors_answer, asyncio.Barrier(4), [0, 0]

    async def instead(ask: Any) -> Answer:
        under_way[0] += 1
        under_way[1] = max(under_way)
        if ask.path.endswith(("/components.json", "/metadata.json")):
            await company.wait()
        answer = await real(ask)
        under_way[0] -= 1
        return answer

    world.simulator._vendors_answer = instead  # type: ignore[method-assign] - another answer
    assert len(await world.provider.list_subscriptions(world.id_of("cus_many"))) == 20
    assert under_way[1] == 4


async def test_custom_fields_are_metadata_and_our_own_marker_is_not(world: MaxioWorld) -> None:
    await world.provider.apply(world.ask(Pause(resumes_at=add_months(RENEWS, 1))))
    with world.books.commit() as state:
        own = state["metadata"]["subscriptions"][world.bens]
        own |= {"Shirt size": "L", "long": "x" * 9000, " ": "no", "nul": "a\x01"}
        state["metadata"]["customers"][world.id_of(BEN)] = {"tier": "gold"}
    assert (await world.seen()).metadata == {"Shirt size": "L"}
    customer = await world.provider.find_customer(world.id_of(BEN))
    assert customer is not None
    assert customer.metadata == {"tier": "gold"}


# --- What goes wrong on the way -------------------------------------------------------------------


@asynccontextmanager
async def canned(
    world: MaxioWorld, status: int, body: object, *, headers: Mapping[str, str] | None = None
) -> AsyncIterator[BillingProvider]:
    """A Maxio that gives one answer to everything but to who it is."""
    answer = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while scope["type"] == "lifespan":
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
        is_site = scope["path"] == "/site.json" and status < 300
        told = b'{"site": {"id": 1, "currency": "USD"}}' if is_site else answer
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": told})

    with served(app) as url:
        yield world.connect(api_base=url)


BLOCKED: Final = {"errors": ["Your Chargify account has been canceled. Please contact support@chargify.com."]}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"HTTP Basic: Access denied.", CredentialsRefused),
        (403, {"errors": ["This key is read only."]}, CredentialsRefused),
        (409, {"errors": ["DuplicatePrevention::DuplicateSubmissionError"]}, ProviderUnavailable),
        (422, BLOCKED, CredentialsRefused),
        (422, {"error": "something"}, ProviderUnavailable),
        (429, {"errors": ["denied due to a usage violation"]}, ProviderUnavailable),
        (500, b"<html>", ProviderUnavailable),
        (503, b"", ProviderUnavailable),
        (302, b"", ProviderUnavailable),
        (200, b"<html>hello</html>", ProviderUnavailable),
        (200, b'{"customer": {"id": 5', ProviderUnavailable),
        (200, b'"' + b"x" * 2_100_000 + b'"', ProviderUnavailable),
    ],
)
async def test_an_answer_that_is_none_is_named_and_tells_no_secret(
    world: MaxioWorld, status: int, body: object, error: type[ProviderError]
) -> None:
    async with canned(world, status, body) as provider:
        with pytest.raises(error) as caught:
            await provider.find_customer("5")
        assert type(caught.value) is error
        with pytest.raises(error):
            await provider.find_subscription("5", "6")
    said = f"{caught.value!r} {caught.value.__cause__!r}"
    assert world.vendor.credentials("test")["api_key"] not in said
    assert "support@" not in said


@pytest.mark.parametrize(
    "body", [[], {}, None, 5, "text", {"customer": []}, {"customer": {"id": "x"}}, [[1]]]
)
async def test_an_answer_of_another_shape_is_nothing_found(world: MaxioWorld, body: object) -> None:
    async with canned(world, 200, body) as provider:
        assert await provider.find_customer("5") is None
        assert await provider.find_subscription("5", "6") is None
        assert await provider.list_subscriptions("5") == []
        assert await provider.find_customers_by_email("ben@example.com") == []
        assert await provider.list_catalog() == PriceList()
        assert await provider.load_catalog(["5"], ["HALF"]) == Catalog()


async def test_a_busy_site_is_left_alone_for_minutes_unless_it_says_otherwise(world: MaxioWorld) -> None:
    for headers, wait in (({}, 120), ({"retry-after": "30"}, 30)):
        async with canned(world, 429, {}, headers=headers) as provider:
            with pytest.raises(ProviderUnavailable) as caught:
                await provider.find_customer("5")
            assert caught.value.retry_after == wait


async def test_what_maxio_refuses_is_told_to_the_merchant_and_not_to_the_customer(world: MaxioWorld) -> None:
    world.change(state="past_due")
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(world.ask(Cancel(timing="period_end")))
    assert "Cannot set a delayed cancellation" in caught.value.reason
    assert caught.value.user_message == "The billing system does not allow this change."


async def test_another_customers_subscription_is_never_changed(world: MaxioWorld) -> None:
    for change in (Cancel(timing="now"), HALF, Resume(), Uncancel(), Pause(resumes_at=RENEWS)):
        with pytest.raises(ProviderRefused):
            await world.provider.apply(world.ask(change, who=DANA, what=BENS))
    assert world.writes() == []


async def test_what_is_in_place_already_is_not_written_again(world: MaxioWorld) -> None:
    world.change(cancel_at_end_of_period=True, delayed_cancel_at=iso(RENEWS))
    await world.provider.apply(world.ask(Cancel(timing="period_end")))
    await world.provider.apply(world.ask(Resume()))
    world.change(cancel_at_end_of_period=False)
    await world.provider.apply(world.ask(Uncancel()))
    world.change(state="canceled", canceled_at=iso(NOW))
    await world.provider.apply(world.ask(Cancel(timing="now")))
    await world.provider.apply(world.ask(Cancel(timing="period_end")))
    assert world.writes() == []


# --- The connection -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["live", "test"])
async def test_a_site_says_whether_it_is_for_testing(world: MaxioWorld, mode: str) -> None:
    account = await world.connect(**world.vendor.credentials(mode)).check()
    assert (account.id, account.name, account.mode) == (f"northwind-{mode}", "Northwind Notes", mode)


@pytest.mark.parametrize(
    "subdomain", ["evil.example/", "a@evil.example", "a b", "a.", "-a", "a" * 64, "a:443#"]
)
async def test_a_subdomain_never_leads_to_another_host(subdomain: str) -> None:
    config = {"subdomain": subdomain, "api_key": "examplekey" * 4}
    http = OutboundHttp([LOOPBACK])
    provider = connect("maxio", config, http=http, clock=FakeClock(NOW), mode="test")
    with pytest.raises(CredentialsRefused, match="subdomain"):
        await provider.check()
    await http.aclose()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/subscriptions/{ben}.json", {"subscription": {"next_billing": "2027-01-01"}}),
        ("POST", "/subscriptions/{ben}/hold.json", {"hold": {"resume_at": "2027-01-01"}}),
        ("POST", "/subscriptions/{ben}/delayed_cancel.json", {"subscription": {"at": "now"}}),
        ("POST", "/subscriptions/{ben}/add_coupon.json", {"coupon_codes": ["A"]}),
        (
            "POST",
            "/product_families/4001/coupons.json",
            {"coupon": {"code": "A", "name": "A", "max_uses": 1}},
        ),
        ("GET", "/customers.json?email=ben%40example.com", None),
    ],
)
async def test_the_simulator_refuses_what_maxio_does_not_have(
    world: MaxioWorld, method: str, path: str, body: dict[str, Any] | None
) -> None:
    token = b64encode(f"{world.vendor.credentials('test')['api_key']}:x".encode()).decode()
    reply = await world.http.request(
        method,
        world.url + path.format(ben=world.bens),
        {"authorization": f"Basic {token}", "content-type": "application/json"},
        body=json.dumps(body).encode() if body else b"",
        deadline_s=5,
    )
    assert reply.status == 400


# --- Webhooks -------------------------------------------------------------------------------------


async def test_two_shared_keys_are_good_while_one_is_changed(world: MaxioWorld) -> None:
    headers, body = world.sign_inbound(world.bens, "12")
    key = world.vendor.credentials("test")["shared_key"]
    for keys in (f"{key} newKey", f"newKey  {key}"):
        notice = world.connect(shared_key=keys).verify_inbound(InboundMessage(headers, body, NOW))
        assert notice is not None
        assert (notice.event_id, notice.subscription_ids, notice.customer_ids) == (
            "12",
            (world.bens,),
            (world.id_of(BEN),),
        )
    for keys in ("newKey", "", " "):
        with pytest.raises(InboundRefused):
            world.connect(shared_key=keys).verify_inbound(InboundMessage(headers, body, NOW))


async def test_a_webhook_is_known_by_the_id_that_is_signed(world: MaxioWorld) -> None:
    headers, body = world.sign_inbound(world.bens, "12")
    forged = {**headers, "x-chargify-webhook-id": "13"}
    notice = world.provider.verify_inbound(InboundMessage(forged, body, NOW))
    assert notice is not None
    assert notice.event_id == "12"


@pytest.mark.parametrize(
    ("body", "is_refused"),
    [
        (b"id=1&event=test&payload[chargify]=testing", False),
        (b"id=1&event=customer_update&payload[customer][id]=..%2F5", False),
        (b"event=test", True),
        (b"\xff\xfe", True),
        (b"&".join(b"a=1" for _ in range(6000)), True),
    ],
)
async def test_a_genuine_webhook_about_nobody_is_no_notice(
    world: MaxioWorld, body: bytes, is_refused: bool
) -> None:
    message = InboundMessage(world.maxio.sign("test", body), body, NOW)
    if is_refused:
        with pytest.raises(InboundRefused):
            world.provider.verify_inbound(message)
    else:
        assert world.provider.verify_inbound(message) is None
