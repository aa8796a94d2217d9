"""What Paddle's objects say, and who is who."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from app.core.billing import Cancel, PlanChange, ProviderRefused
from app.core.calendar import add_days, iso
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from app.core.money import Money
from tests.adapters.billing.contract import BEN, BENS, CHENS, NOW, change_of, lite, monthly, person
from tests.adapters.billing.simulated import simulated
from tests.support.paddle.ids import named, translated
from tests.support.paddle.world import PaddleWorld
from tests.support.simulator.http import Answer

PERIOD_END = Cancel(timing="period_end")


@pytest.fixture
async def world() -> AsyncIterator[PaddleWorld]:
    async with simulated(PaddleWorld, "paddle") as world:
        yield world


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
