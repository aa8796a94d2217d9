"""What Chargebee's objects say: shapes for a person, odd answers, money and lists."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import Discount, PlanChange, ProviderRefused, Uncancel, is_in_place
from app.core.calendar import add_months
from app.core.direct import Active
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from demo.billing.seed import LITE
from tests.adapters.billing.contract import (
    BEN,
    BENS,
    CASES,
    CHEN,
    CHENS,
    DANA,
    DANAS,
    NOW,
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


# --- Shapes that only a person may change ---------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"has_scheduled_changes": True}, ManualReason.PENDING_UPDATE),
        ({"changes_scheduled_at": SOON}, ManualReason.SCHEDULE),
        ({"has_scheduled_advance_invoices": True}, ManualReason.SCHEDULE),
        ({"next_billing_at": SOON + 90 * 86_400}, ManualReason.SCHEDULE),
        ({"contract_term": {"id": "1", "status": "active"}}, ManualReason.CONTRACT),
        ({"due_invoices_count": 1, "total_dues": 2900}, ManualReason.UNPAID),
        ({"status": "transferred"}, ManualReason.UNKNOWN_STATE),
        ({"status": "on_holiday"}, ManualReason.UNKNOWN_STATE),
        ({"current_term_start": None}, ManualReason.UNKNOWN_STATE),
        ({"channel": "app_store"}, ManualReason.UNKNOWN_STATE),
        ({"subscription_items": []}, ManualReason.UNKNOWN_STATE),
        ({"subscription_items": None}, ManualReason.UNKNOWN_STATE),
        ({"status": "future", "start_date": SOON}, ManualReason.NOT_STARTED),
        ({"status": "paused", "pause_date": SOON - 9 * 86_400}, ManualReason.FOREIGN_PAUSE),
        ({"pause_date": SOON, "resume_date": SOON + 86_400}, ManualReason.FOREIGN_PAUSE),
    ],
)
async def test_an_unsafe_shape_needs_a_person_and_says_why(
    world: ChargebeeWorld, changes: dict[str, Any], reason: ManualReason
) -> None:
    world.edit(**changes)
    seen = await world.seen()
    assert automation_blockers(seen, History(), NOW) == (reason,)
    assert [each.id for each in await world.provider.list_subscriptions(BEN)] == [BENS]


@pytest.mark.parametrize(
    "changes",
    [
        {"has_scheduled_changes": True},
        {"contract_term": {"status": "active"}},
        {"status": "on_holiday"},
        {"channel": "play_store"},
    ],
)
@pytest.mark.parametrize("name", ["cancel", "half for 3 months", "plan change"])
async def test_what_came_up_since_the_offer_is_not_written_over(
    world: ChargebeeWorld, changes: dict[str, Any], name: str
) -> None:
    world.edit(**changes)
    with pytest.raises(ProviderRefused) as caught:
        await world.provider.apply(CASES[name].request(world))
    assert caught.value.user_message.endswith(".")
    assert world.writes == []


async def test_a_ramp_is_a_schedule_on_sites_that_have_them(world: ChargebeeWorld) -> None:
    ramp = {
        "id": "rmp_1",
        "subscription_id": BENS,
        "status": "scheduled",
        "effective_from": SOON,
        "updated_at": 1,
    }
    other = {**ramp, "id": "rmp_2", "subscription_id": CHENS, "status": "succeeded"}
    world.set_up(ramps=[ramp, other])
    assert automation_blockers(await world.seen(), History(), NOW) == (ManualReason.SCHEDULE,)
    assert automation_blockers(await world.seen(CHENS, CHEN), History(), NOW) == ()
    with pytest.raises(ProviderRefused):
        await world.provider.apply(CASES["plan change"].request(world))
    assert world.writes == []


async def test_addons_and_charges_are_items_of_their_own(world: ChargebeeWorld) -> None:
    plan = world.books.state["subscriptions"][BENS]["subscription_items"][0]
    addon = {"item_price_id": "addon", "item_type": "addon", "quantity": 1, "unit_price": 100}
    world.edit(subscription_items=[plan, addon])
    seen = await world.seen()
    assert automation_blockers(seen, History(), NOW) == (ManualReason.SEVERAL_ITEMS,)
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(PlanChange(price=lite_price(world))))
    assert world.writes == []


async def test_a_subscription_that_another_account_pays_for_is_billed_with_others(
    world: ChargebeeWorld,
) -> None:
    family = {"parent_id": "head", "invoice_owner_id": "head", "payment_owner_id": "head"}
    with world.books.commit() as state:
        state["customers"][BEN]["relationship"] = family
    assert automation_blockers(await world.seen(), History(), NOW) == (ManualReason.SHARED_BILLING,)
    world.edit(override_relationship=True)
    assert automation_blockers(await world.seen(), History(), NOW) == ()


async def test_an_end_that_is_set_is_seen_whatever_the_state_is_called(world: ChargebeeWorld) -> None:
    world.edit(cancelled_at=SOON)
    assert (await world.seen()).end == NOW + timedelta(days=3)
    world.edit(cancelled_at=int((NOW - timedelta(days=90)).timestamp()), activated_at=SOON - 80 * 86_400)
    assert (await world.seen()).end is None  # it ended once, and was reactivated
    world.edit(DANAS, trial_end_action="cancel_subscription")
    dana = await world.seen(DANAS, DANA)
    assert dana.end == dana.period_end
    with pytest.raises(ProviderRefused):
        await world.provider.apply(
            change_of(Uncancel(), customer_id=DANA, subscription_id=DANAS)
        )  # it was nobody's cancellation
    assert world.writes == []


async def test_a_pause_that_is_over_is_none(world: ChargebeeWorld) -> None:
    world.edit(pause_date=SOON - 9 * 86_400, resume_date=SOON - 5 * 86_400)
    assert isinstance((await world.seen()).status, Active)


# --- Whatever the answer holds --------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "x", "", -1, 10**30, 1.5, True, [], {}, [{"x": [1]}], {"x": {}}])
async def test_no_attribute_can_break_the_reading(world: ChargebeeWorld, value: object) -> None:
    found = json.loads(json.dumps(world.books.state["subscriptions"][BENS]))
    more = {
        "trial_end",
        "pause_date",
        "resume_date",
        "cancelled_at",
        "contract_term",
        "discounts",
        "item_tiers",
    }
    for name in sorted((found.keys() | more) - {"id", "customer_id", "deleted"}):
        with world.books.commit() as state:
            state["subscriptions"][BENS] = {**found, name: value}
        assert await world.provider.find_subscription(BEN, BENS) is not None, name
    for name in found["subscription_items"][0]:
        with world.books.commit() as state:
            broken = {**found["subscription_items"][0], name: value}
            state["subscriptions"][BENS] = {**found, "subscription_items": [broken]}
        assert await world.provider.find_subscription(BEN, BENS) is not None, name


@pytest.mark.parametrize("value", [None, "x", -1, 10**30, [], {}])
async def test_no_customer_price_or_coupon_can_break_it_either(world: ChargebeeWorld, value: object) -> None:
    state = world.books.state
    for kind, name in (("customers", BEN), ("item_prices", LITE["id"]), ("coupons", "coupon_half_price")):
        whole = dict(state[kind][name])
        for key in whole.keys() - {"id", "deleted"}:
            state[kind][name] = {**whole, key: value}
            await world.provider.find_customer(BEN)
            await world.provider.load_catalog([LITE["id"]], ["coupon_half_price"])
            await world.provider.list_catalog()
        state[kind][name] = whole


async def test_metadata_and_custom_fields_are_kept_as_far_as_they_fit(world: ChargebeeWorld) -> None:
    world.edit(meta_data={"plan": "pro", "nested": {"a": 1}, "long": "x" * 9000}, cf_seats=3, cf_odd=[1])
    assert (await world.seen()).metadata == {"plan": "pro", "cf_seats": 3}


async def test_names_come_from_the_price_list_and_prices_from_the_subscription(world: ChargebeeWorld) -> None:
    items = world.books.state["subscriptions"][BENS]["subscription_items"]
    world.edit(
        subscription_items=[{**items[0], "unit_price": 2500, "amount": 2500}]
    )  # agreed with this customer
    (item,) = (await world.seen()).items
    assert (item.price.name, item.price.product_id) == ("Pro", "prod_pro")
    assert item.price.money is not None
    assert item.price.money.minor == 2500


@pytest.mark.parametrize(
    ("item", "total"),
    [
        ({"unit_price": 2900, "quantity": 3}, 8700),
        ({"unit_price": 2900, "quantity": 3, "free_quantity": 1}, None),
        ({"quantity": 3, "amount": 5000}, None),
        ({"unit_price_in_decimal": "29.5", "quantity": 2}, 5900),
        ({"unit_price_in_decimal": "0.0125", "quantity": 400}, None),
        ({"unit_price": 2900, "quantity_in_decimal": "2"}, 5800),
        ({"unit_price": 2900, "quantity_in_decimal": "2.5"}, None),
        ({"unit_price": 0}, 0),
    ],
)
async def test_a_price_is_known_only_where_one_unit_has_one(
    world: ChargebeeWorld, item: dict[str, Any], total: int | None
) -> None:
    world.edit(subscription_items=[{"item_price_id": "plan", "item_type": "plan", **item}])
    seen = (await world.seen()).price_total()
    assert (seen.minor if seen else None) == total


async def test_tiers_have_no_unit_price(world: ChargebeeWorld) -> None:
    world.edit(item_tiers=[{"item_price_id": "price_pro_monthly", "starting_unit": 1, "price": 100}])
    assert (await world.seen()).price_total() is None
    with world.books.commit() as state:
        state["item_prices"][LITE["id"]]["pricing_model"] = "volume"
    catalog = await world.provider.load_catalog([LITE["id"]], [])
    assert catalog.prices[LITE["id"]].money is None


# --- Money ----------------------------------------------------------------------------------------


async def test_a_dinar_is_kept_with_two_decimals(world: ChargebeeWorld) -> None:
    end = NOW + timedelta(days=12)
    given = monthly("sub_kwd", "cus_kwd", value=2990, currency="KWD", start=add_months(end, -6), ends=end)
    world.put(person("cus_kwd", "KWD"), [given])
    kept = world.books.state["subscriptions"]["sub_kwd"]["subscription_items"][0]
    assert kept["unit_price"] == 299
    price = (await world.seen("sub_kwd", "cus_kwd")).price_total()
    assert price is not None
    assert (price.minor, price.currency) == (2990, "KWD")
    off = Discount(amount_off_minor=500, currency="KWD", duration="once")
    await world.provider.apply(change_of(off, customer_id="cus_kwd", subscription_id="sub_kwd"))
    assert is_in_place(off, world.subscription("sub_kwd"), NOW)
    (used,) = world.books.state["subscriptions"]["sub_kwd"]["coupons"]
    assert world.books.state["coupons"][used["coupon_id"]]["discount_amount"] == 50


async def test_an_amount_with_too_many_decimals_is_not_rounded(world: ChargebeeWorld) -> None:
    off = Discount(amount_off_minor=505, currency="KWD", duration="once")
    with pytest.raises(ProviderRefused, match="two decimals"):
        await world.provider.apply(change_of(off))
    fine = Discount(percent_off=Decimal("12.345"), duration="once")
    with pytest.raises(ProviderRefused):
        await world.provider.apply(change_of(fine, effect_id="eff_2"))
    assert world.count_changes(BENS) == 0


# --- Lists ----------------------------------------------------------------------------------------


async def test_the_newest_twenty_come_from_as_many_pages_as_there_are(world: ChargebeeWorld) -> None:
    many = [
        monthly(
            f"sub_{number}", "cus_many", value=900, currency="USD",
            start=NOW - timedelta(days=number), ends=NOW + timedelta(days=20),
        )
        for number in range(130)
    ]  # fmt: skip
    world.put(person("cus_many"), many)
    world.edit("sub_0", status="cancelled", cancelled_at=SOON)
    listed = await world.provider.list_subscriptions("cus_many")
    assert [each.id for each in listed] == [f"sub_{number}" for number in range(1, 21)]
    assert world.simulator.log.count(("GET", "/api/v2/subscriptions")) == 2


async def test_more_ids_than_fit_an_address_are_asked_for_in_parts(world: ChargebeeWorld) -> None:
    ids = [f"{number:03}-{'x' * 90}" for number in range(60)]
    with world.books.commit() as state:
        plan = state["item_prices"][LITE["id"]]
        state["item_prices"] |= {name: {**plan, "id": name} for name in ids}
    catalog = await world.provider.load_catalog([*ids, 'not "an" id', "x" * 200], [])
    assert set(catalog.prices) == set(ids)


async def test_everyone_of_an_address_is_found_and_nobody_else(world: ChargebeeWorld) -> None:
    found = await world.provider.find_customers_by_email("emil@example.com")
    assert {each.id for each in found} == {"cus_emil", "cus_emil_work"}
    world.put({**person("cus_late"), "email": "Late@Example.com"}, [])
    assert [each.id for each in await world.provider.find_customers_by_email("Late@Example.com")] == [
        "cus_late"
    ]


@pytest.mark.parametrize("name", ["ACME Corp 12", "ben+1@example.com", "a:b~c=d", "..x"])
async def test_ids_of_the_merchants_own_making_are_quoted(world: ChargebeeWorld, name: str) -> None:
    world.put(person(name), [])
    found = await world.provider.find_customer(name)
    assert found is not None
    assert found.id == name


async def test_only_what_can_be_used_is_offered(world: ChargebeeWorld) -> None:
    coupons = [  # by the vendor's own words
        {"id": "units", "discount_type": "offer_quantity", "discount_quantity": 1},
        {"id": "over", "discount_type": "percentage", "discount_percentage": 10, "valid_till": SOON - 9 * 86_400},
        {"id": "used", "discount_type": "percentage", "discount_percentage": 10, "max_redemptions": 1,
         "redemptions": 1},
        {"id": "archived", "discount_type": "percentage", "discount_percentage": 10, "status": "archived"},
        {"id": "weeks", "discount_type": "percentage", "discount_percentage": 10, "duration_type": "limited_period",
         "period": 6, "period_unit": "week"},
        {"id": "years", "discount_type": "percentage", "discount_percentage": 10, "duration_type": "limited_period",
         "period": 1, "period_unit": "year"},
    ]  # fmt: skip
    plain = {"name": "Coupon", "status": "active", "duration_type": "forever", "redemptions": 0}
    with world.books.commit() as state:
        state["coupons"] |= {each["id"]: {**plain, **each} for each in coupons}
        state["item_prices"][LITE["id"]]["status"] = "archived"
    names = [each["id"] for each in coupons]
    catalog = await world.provider.load_catalog([LITE["id"], "price_pro_monthly"], names)
    assert set(catalog.prices) == {"price_pro_monthly"}
    assert {name: c.duration_in_months for name, c in catalog.coupons.items()} == {
        "weeks": None,
        "years": 12,
    }


async def test_coupons_made_for_one_customer_are_not_offered_to_others(world: ChargebeeWorld) -> None:
    await world.provider.apply(change_of(HALF))
    assert any(name.startswith("lw-") for name in world.books.state["coupons"])
    listed = await world.provider.list_catalog()
    assert {each.id for each in listed.coupons} == {
        "coupon_half_price",
        "coupon_thanks",
        "coupon_five_dollars",
    }
