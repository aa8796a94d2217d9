import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.adapters.billing.registry import connect
from app.core.billing import (
    Cancel,
    ChangeRequest,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
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
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
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
    change_of,
    lite,
    monthly,
    person,
)
from tests.adapters.billing.simulated import SimulatedWorld, simulated
from tests.support.paddle.ids import named, translated
from tests.support.paddle.vendor import sign
from tests.support.simulator.http import Answer

pytestmark = pytest.mark.anyio

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
PERIOD_END = Cancel(timing="period_end")


class PaddleWorld(SimulatedWorld):
    currencies = ("USD", "JPY")  # of those with three decimals it has none
    inbound = "signed"
    unpauses_to_cancel = True

    def raw(self, name: str = BENS) -> dict[str, Any]:
        """The subscription as Paddle keeps it, to be tampered with."""
        return self.books.state["subscriptions"][self.id_of(name)]

    def request(self, change: Any, effect_id: str = "eff_1", name: str = BENS) -> ChangeRequest:
        sub = self.id_of(name)
        return change_of(change, effect_id=effect_id, customer_id=sub, subscription_id=sub)

    async def seen(self, name: str = BENS):  # type: ignore[no-untyped-def]  # a subscription, which there is
        found = await self.provider.find_subscription(self.id_of(name), self.id_of(name))
        assert found is not None
        return found

    def writes(self) -> list[tuple[str, str]]:
        return [
            (method, path)
            for method, path in self.simulator.log
            if method != "GET" and not path.endswith("/preview")
        ]

    def types(self, name: str = BENS) -> list[str]:
        return [change["type"] for change in self.books.changes_of(self.id_of(name))]

    def answer_with(self, answer: Answer, method: str = "GET", ending: str = "") -> None:
        """Let Paddle answer this from now on, where the address ends so."""
        real = self.simulator._vendors_answer

        async def instead(ask: Any) -> Answer:
            return answer if ask.method == method and ask.path.endswith(ending) else await real(ask)

        self.simulator._vendors_answer = instead  # type: ignore[method-assign] - another answer


@pytest.fixture
async def world() -> AsyncIterator[PaddleWorld]:
    async with simulated(PaddleWorld, "paddle") as world:
        yield world


class TestPaddle(ProviderContract):
    pass


# --- Who is who ---------------------------------------------------------------------------------------


async def test_a_subscriptions_id_stands_for_its_customer(world: PaddleWorld) -> None:
    bens = translated(BENS)
    assert world.id_of(BEN) == bens
    customer = await world.provider.find_customer(bens)
    assert customer is not None
    assert (customer.id, customer.name, customer.currency) == (bens, "Ben Halvorsen", "USD")
    (only,) = await world.provider.list_subscriptions(bens)
    assert (only.id, only.customer_id) == (bens, bens)


async def test_paddles_own_id_of_a_customer_stands_for_all_his_subscriptions(world: PaddleWorld) -> None:
    emil = world.id_of("cus_emil")
    assert emil == translated("cus_emil")
    listed = await world.provider.list_subscriptions(emil)
    assert [each.id for each in listed] == [translated("sub_emil_publish"), translated("sub_emil_pro")]
    assert {each.customer_id for each in listed} == {emil}
    found = await world.provider.find_subscription(emil, translated("sub_emil_pro"))
    assert found is not None
    assert found.customer_id == emil
    assert await world.provider.find_subscription(emil, translated(BENS)) is None
    customer = await world.provider.find_customer(emil)
    assert customer is not None
    assert (customer.id, customer.country, customer.currency) == (emil, "US", None)


async def test_a_subscription_is_no_customer_of_another(world: PaddleWorld) -> None:
    pro, publish = translated("sub_emil_pro"), translated("sub_emil_publish")
    assert await world.provider.find_subscription(pro, publish) is None
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(PERIOD_END, customer_id=pro, subscription_id=publish))
    assert world.writes() == []


async def test_an_address_can_belong_to_several_customers(world: PaddleWorld) -> None:
    found = await world.provider.find_customers_by_email("EMIL@example.com")
    assert {each.id for each in found} == {translated("cus_emil"), translated("cus_emil_work")}
    assert await world.provider.find_customers_by_email("emil@example.com,ben@example.com") == []


async def test_only_the_very_address_counts_whatever_paddle_finds(world: PaddleWorld) -> None:
    world.answer_with(
        Answer({"data": list(world.books.state["customers"].values()), "meta": {}}), ending="/customers"
    )
    (found,) = await world.provider.find_customers_by_email("Ben@example.com")
    assert found.id == translated(BEN)


async def test_more_subscriptions_than_a_page_holds_come_newest_first_and_without_the_ended(
    world: PaddleWorld,
) -> None:
    world.vendor.largest_page = 4  # type: ignore[attr-defined]  # Paddle's own
    subscriptions = [
        monthly(
            f"sub_many_{number}",
            "cus_many",
            value=900,
            currency="USD",
            start=NOW - timedelta(days=40 + number),
            ends=add_days(NOW, 10),
        )
        for number in range(24)
    ]
    subscriptions[0]["status"] = {"name": "canceled", "canceledAt": iso(NOW)}
    world.put(person("cus_many"), subscriptions)
    listed = await world.provider.list_subscriptions(translated("cus_many"))
    assert [each.id for each in listed] == [translated(f"sub_many_{number}") for number in range(1, 21)]


# --- What a subscription looks like -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tamper", "reason"),
    [
        ({"status": "past_due"}, ManualReason.UNPAID),
        ({"status": "hibernating"}, ManualReason.UNKNOWN_STATE),
        ({"status": "active", "current_billing_period": None, "next_billed_at": None}, ManualReason.UNKNOWN_STATE),
        ({"status": "paused", "paused_at": iso(NOW), "next_billed_at": None}, ManualReason.FOREIGN_PAUSE),
        ({"scheduled_change": {"action": "move", "effective_at": iso(add_days(NOW, 9))}}, ManualReason.PENDING_UPDATE),
        ({"items": []}, ManualReason.UNKNOWN_STATE),
    ],
)  # fmt: skip
async def test_a_subscription_that_only_a_person_may_touch_says_why(
    world: PaddleWorld, tamper: dict[str, Any], reason: ManualReason
) -> None:
    world.raw().update(tamper)
    seen = await world.seen()
    assert reason in automation_blockers(seen, History(), NOW)
    assert world.writes() == []


async def test_several_items_are_left_to_a_person(world: PaddleWorld) -> None:
    items = world.raw()["items"]
    items.append({**items[0], "price": {**items[0]["price"], "id": named("pri", "seats")}})
    seen = await world.seen()
    assert automation_blockers(seen, History(), NOW) == (ManualReason.SEVERAL_ITEMS,)
    with pytest.raises(ProviderRefused, match="several items"):
        await world.provider.apply(world.request(PlanChange(price=lite(world))))
    assert world.writes() == []


async def test_what_was_billed_once_is_no_item_of_the_plan(world: PaddleWorld) -> None:
    items = world.raw()["items"]
    items.append({**items[0], "recurring": False})
    assert len((await world.seen()).items) == 1
    with pytest.raises(ProviderRefused):  # but Paddle would drop it with the old plan
        await world.provider.apply(world.request(PlanChange(price=lite(world))))


async def test_a_price_of_ones_country_is_the_price(world: PaddleWorld) -> None:
    price = world.raw(CHENS)["items"][0]["price"]
    price["unit_price_overrides"] = [
        {"country_codes": ["DE", "GB"], "unit_price": {"amount": "24900", "currency_code": "USD"}}
    ]
    assert (await world.seen(CHENS)).price_total() == Money(24900, "USD")


async def test_a_price_that_paddle_converts_is_not_guessed_at(world: PaddleWorld) -> None:
    world.raw()["currency_code"] = "EUR"
    seen = await world.seen()
    assert seen.price_total() is None
    assert automation_blockers(seen, History(), NOW) == ()  # leaving needs no price


async def test_odd_custom_data_is_sifted(world: PaddleWorld) -> None:
    world.raw()["custom_data"] = {
        "plan": "gold", "seats": 4, "vip": True, "nested": {"a": 1}, "list": [1], "none": None,
        "long": "x" * 600, " spaced ": "x", "nul": "a\x07b", "leavewell_effect": "eff_0",
    }  # fmt: skip
    assert (await world.seen()).metadata == {"plan": "gold", "seats": 4, "vip": True}


async def test_an_address_that_cannot_be_one_is_left_out(world: PaddleWorld) -> None:
    owner = world.books.state["customers"][world.raw()["customer_id"]]
    owner["email"] = "ben at example.com"
    customer = await world.provider.find_customer(world.id_of(BEN))
    assert customer is not None
    assert customer.email is None


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


# --- Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html>Bad gateway</html>", 502, content_type="text/html"),
        Answer(b"<html>Welcome</html>", 200, content_type="text/html"),
        Answer(b'{"data": {"id": ', 200),
        Answer({"meta": {}}, 200),
        Answer({"data": "sub"}, 200),
        Answer({"data": {"id": translated(BENS), "status": "active"}}, 200),
        Answer(b'"' + b"x" * 3_000_000 + b'"', 200),
        Answer({"error": {"code": "invalid_url"}}, 404),
        Answer(b"", 404),
        Answer({"error": {"code": "internal_error", "detail": "ben@example.com"}}, 500),
        Answer({"error": {"code": "service_unavailable"}}, 503),
        Answer({"error": {"code": "bad_request"}}, 400),
        Answer(b"", 301, {"location": "https://example.com/"}),
    ],
)
async def test_an_answer_that_is_none_is_an_outage(world: PaddleWorld, answer: Answer) -> None:
    world.answer_with(answer, ending=translated(BENS))
    with pytest.raises(ProviderUnavailable) as caught:
        await world.provider.find_subscription(world.id_of(BEN), world.id_of(BENS))
    assert "ben@" not in caught.value.reason


async def test_what_is_not_found_is_not_there(world: PaddleWorld) -> None:
    nobody = named("sub", "nobody")
    assert await world.provider.find_customer(nobody) is None
    assert await world.provider.find_customer(named("ctm", "nobody")) is None
    assert await world.provider.list_subscriptions(named("ctm", "nobody")) == []
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(PERIOD_END, customer_id=nobody, subscription_id=nobody))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "concurrent_modification", ProviderUnavailable),
        (409, "conflict", ProviderUnavailable),
        (400, "subscription_update_when_canceled", ProviderRefused),
        (400, "something_new", ProviderRefused),
        (422, "invalid_field", ProviderRefused),
    ],
)
async def test_paddles_no_names_its_code_to_the_merchant_only(
    world: PaddleWorld, status: int, code: str, kind: type[Exception]
) -> None:
    error = {
        "code": code,
        "detail": "ctm_secret",
        "errors": [
            {"field": "items[0].price_id", "message": "ctm_secret"},
            {"field": "ben@x", "message": ""},
        ],
    }
    world.answer_with(Answer({"error": error}, status), "POST", "/cancel")
    with pytest.raises(kind) as caught:
        await world.provider.apply(world.request(PERIOD_END))
    assert code in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "ben@" not in str(caught.value)
    if isinstance(caught.value, ProviderRefused):
        assert code not in caught.value.user_message
        assert caught.value.user_message.endswith(".")


@pytest.mark.parametrize(
    ("permission", "ask"),
    [
        ("customer.read", "customer"),
        ("address.read", "customer"),
        ("subscription.write", "cancel"),
        ("discount.write", "discount"),
    ],
)
async def test_a_missing_permission_is_named(world: PaddleWorld, permission: str, ask: str) -> None:
    every = ["subscription.write", "customer.read", "address.read", "price.read", "discount.write"]
    less = [each for each in every if each != permission]
    world.vendor.permissions = [*less, "subscription.read", "discount.read"]  # type: ignore[attr-defined]  # Paddle's own
    change = HALF if ask == "discount" else PERIOD_END
    asking = (
        world.provider.find_customer(world.id_of(BEN))
        if ask == "customer"
        else world.provider.apply(world.request(change))
    )
    with pytest.raises(CredentialsRefused, match=permission):
        await asking
    with pytest.raises(CredentialsRefused, match=permission):
        await world.provider.check()


async def test_a_key_of_the_other_mode_is_told_apart_and_never_used(world: PaddleWorld) -> None:
    live = world.vendor.credentials("live")["api_key"]
    mixed = connect("paddle", {"api_key": live}, http=world.http, clock=world.clock, mode="test")
    assert (await mixed.check()).mode == "live"
    assert (await world.provider.check()).mode == "test"
    assert (await world.provider.check()).name == "Northwind Notes"


async def test_a_key_without_a_prefix_is_known_by_where_it_works(world: PaddleWorld) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        await world.connect(api_key="0" * 50).check()
    assert "000" not in caught.value.reason


async def test_the_simulated_paddle_refuses_what_paddle_does_not_have(world: PaddleWorld) -> None:
    key = world.vendor.credentials("test")["api_key"]
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    for method, path, body in (
        ("PATCH", f"/subscriptions/{translated(BENS)}", {"trial_end": "now"}),
        ("POST", f"/subscriptions/{translated(BENS)}/cancel", {"at_period_end": True}),
        ("POST", "/discounts", {"description": "x", "type": "percentage", "amount": "5", "percent": 5}),
        ("POST", "/discounts", {"description": "x", "type": "percentage", "amount": "5.555"}),
        ("PATCH", f"/subscriptions/{translated(BENS)}", {"scheduled_change": {"action": "cancel"}}),
    ):
        reply = await world.http.request(
            method, world.url + path, headers, body=json.dumps(body).encode(), deadline_s=5
        )
        assert reply.status == 400
    reply = await world.http.request("GET", f"{world.url}/customers?mail=x", headers, deadline_s=5)
    assert reply.status == 400
    assert world.books.changes == []


# --- Webhooks -----------------------------------------------------------------------------------------


def message(body: bytes, *secrets: str, at: datetime = NOW) -> InboundMessage:
    """Signed by each secret, as while one is being changed."""
    signatures = [sign(body, secret, at)[0]["paddle-signature"] for secret in secrets]
    proofs = [signature.partition(";")[2] for signature in signatures]
    return InboundMessage({"paddle-signature": ";".join([f"ts={int(at.timestamp())}", *proofs])}, body, NOW)


def event(kind: str = "subscription.updated", **entity: Any) -> bytes:
    found = {"id": translated(BENS), "customer_id": translated(BEN), **entity}
    return json.dumps(
        {"event_id": named("evt", "1"), "event_type": kind, "occurred_at": iso(NOW), "data": found}
    ).encode()


OLD, NEW = "pdl_ntfset_" + "old", "pdl_ntfset_" + "new"


async def test_while_a_secret_changes_either_will_do(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=f"{NEW} {OLD}")
    for secrets in ((OLD,), (NEW,), (NEW, OLD), ("pdl_other", OLD)):
        notice = provider.verify_inbound(message(event(), *secrets))
        assert notice is not None
        assert notice.subscription_ids == (translated(BENS),)
        assert notice.customer_ids == (translated(BENS), translated(BEN))
    with pytest.raises(InboundRefused):
        provider.verify_inbound(message(event(), "pdl_other"))


async def test_an_old_a_timeless_and_an_unreadable_webhook_is_refused(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=OLD)
    signature = message(event(), OLD).headers["paddle-signature"]
    for bad in (
        message(event(), OLD, at=NOW - timedelta(minutes=6)),
        message(event(), OLD, at=NOW + timedelta(minutes=6)),
        InboundMessage({"paddle-signature": signature.partition(";")[2]}, event(), NOW),
        InboundMessage({"paddle-signature": f"ts=1;{signature}"}, event(), NOW),
        InboundMessage({"paddle-signature": "ts=²;h1=é"}, event(), NOW),
        message(b"not json", OLD),
        message(b"[" * 100_000, OLD),
        message(b"{}", OLD),
    ):
        with pytest.raises(InboundRefused):
            provider.verify_inbound(bad)


async def test_a_webhook_about_something_else_is_none_of_our_business(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret=OLD)
    assert provider.verify_inbound(message(event("transaction.completed"), OLD)) is None
    assert provider.verify_inbound(message(event(id="sub_short"), OLD)) is None


async def test_without_a_secret_no_webhook_is_believed(world: PaddleWorld) -> None:
    provider = world.connect(webhook_secret="")
    with pytest.raises(InboundRefused, match="No webhook secret"):
        provider.verify_inbound(message(event(), ""))
