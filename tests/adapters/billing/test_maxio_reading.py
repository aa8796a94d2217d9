"""What Maxio's objects say: shapes for a person, and who is whose."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from app.core.billing import Cancel, Pause
from app.core.calendar import add_months, iso
from app.core.eligibility import ManualReason, automation_blockers
from app.core.facts import History
from tests.adapters.billing.contract import BEN, DANA, NOW, change_of, monthly, person
from tests.adapters.billing.simulated import simulated
from tests.support.maxio.world import MaxioWorld, canned
from tests.support.simulator.http import Answer

RENEWS: Final = datetime(2026, 12, 12, 9, 0, tzinfo=UTC)  # Ben's


@pytest.fixture
async def world() -> AsyncIterator[MaxioWorld]:
    async with simulated(MaxioWorld, "maxio") as world:
        yield world


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
