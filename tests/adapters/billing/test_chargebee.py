"""Chargebee beside the contract: its shapes, its errors, its keys, its calls that take several steps."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest

from app.adapters.billing.registry import connect
from app.core.billing import (
    Cancel,
    CredentialsRefused,
    Discount,
    InboundMessage,
    InboundRefused,
    NotYet,
    Pause,
    PlanChange,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.calendar import add_days, add_months
from app.core.direct import Active, DirectPrice, DirectSubscription
from app.core.eligibility import ManualReason, automation_blockers
from app.core.errors import InvalidInput
from app.core.facts import History
from app.core.money import Money
from app.core.renewals import next_renewal
from demo.billing.faults import Fault as Planned
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
from tests.adapters.billing.simulated import SimulatedWorld, simulated
from tests.support.server import served

HALF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
SOON = int((NOW + timedelta(days=3)).timestamp())


class ChargebeeWorld(SimulatedWorld):
    secret = "api_key"
    currencies = ("USD", "JPY")  # three decimals are not billed: see below
    inbound = "authorized"
    inbound_has_time = False
    unpauses_to_cancel = True

    def edit(self, subscription_id: str = BENS, **changes: object) -> None:
        self.vendor.edit(self.books, subscription_id, **changes)

    def set_up(self, **settings: object) -> None:
        self.vendor.set_up(self.books, **settings)

    @property
    def writes(self) -> list[str]:
        """What was sent to change something; estimates change nothing."""
        return [path for method, path in self.simulator.log if method == "POST" and "estimate" not in path]

    async def seen(self, subscription_id: str = BENS, customer_id: str = BEN) -> DirectSubscription:
        found = await self.provider.find_subscription(customer_id, subscription_id)
        assert found is not None
        return found

    async def pause_ben(self, months: int = 2) -> Pause:
        change = Pause(resumes_at=add_months(self.period_end(), months))
        await self.provider.apply(change_of(change))
        return change

    def period_end(self, subscription_id: str = BENS) -> datetime:
        end = self.subscription(subscription_id).period_end
        assert end is not None
        return end

    def skip_one_then(self, kind: str, point: str) -> None:
        """Let the second write fail."""
        self.simulator.faults.plan(Planned(point, "slow", seconds=0))  # type: ignore[arg-type] - a plain text
        self.simulator.faults.plan(Planned(point, kind))  # type: ignore[arg-type] - a plain text


@pytest.fixture
async def world() -> AsyncIterator[SimulatedWorld]:
    async with simulated(ChargebeeWorld, "chargebee") as world:
        yield world


class TestChargebee(ProviderContract):
    # --- Shapes that only a person may change ---

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
        self, world: ChargebeeWorld, changes: dict[str, Any], reason: ManualReason
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
        self, world: ChargebeeWorld, changes: dict[str, Any], name: str
    ) -> None:
        world.edit(**changes)
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(CASES[name].request(world))
        assert caught.value.user_message.endswith(".")
        assert world.writes == []

    async def test_a_ramp_is_a_schedule_on_sites_that_have_them(self, world: ChargebeeWorld) -> None:
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

    async def test_addons_and_charges_are_items_of_their_own(self, world: ChargebeeWorld) -> None:
        plan = world.books.state["subscriptions"][BENS]["subscription_items"][0]
        addon = {"item_price_id": "addon", "item_type": "addon", "quantity": 1, "unit_price": 100}
        world.edit(subscription_items=[plan, addon])
        seen = await world.seen()
        assert automation_blockers(seen, History(), NOW) == (ManualReason.SEVERAL_ITEMS,)
        with pytest.raises(ProviderRefused):
            await world.provider.apply(change_of(PlanChange(price=lite_price(world))))
        assert world.writes == []

    async def test_a_subscription_that_another_account_pays_for_is_billed_with_others(
        self, world: ChargebeeWorld
    ) -> None:
        family = {"parent_id": "head", "invoice_owner_id": "head", "payment_owner_id": "head"}
        with world.books.commit() as state:
            state["customers"][BEN]["relationship"] = family
        assert automation_blockers(await world.seen(), History(), NOW) == (ManualReason.SHARED_BILLING,)
        world.edit(override_relationship=True)
        assert automation_blockers(await world.seen(), History(), NOW) == ()

    async def test_an_end_that_is_set_is_seen_whatever_the_state_is_called(
        self, world: ChargebeeWorld
    ) -> None:
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

    async def test_a_pause_that_is_over_is_none(self, world: ChargebeeWorld) -> None:
        world.edit(pause_date=SOON - 9 * 86_400, resume_date=SOON - 5 * 86_400)
        assert isinstance((await world.seen()).status, Active)

    # --- Whatever the answer holds ---

    @pytest.mark.parametrize("value", [None, "x", "", -1, 10**30, 1.5, True, [], {}, [{"x": [1]}], {"x": {}}])
    async def test_no_attribute_can_break_the_reading(self, world: ChargebeeWorld, value: object) -> None:
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
    async def test_no_customer_price_or_coupon_can_break_it_either(
        self, world: ChargebeeWorld, value: object
    ) -> None:
        state = world.books.state
        for kind, name in (("customers", BEN), ("item_prices", LITE["id"]), ("coupons", "coupon_half_price")):
            whole = dict(state[kind][name])
            for key in whole.keys() - {"id", "deleted"}:
                state[kind][name] = {**whole, key: value}
                await world.provider.find_customer(BEN)
                await world.provider.load_catalog([LITE["id"]], ["coupon_half_price"])
                await world.provider.list_catalog()
            state[kind][name] = whole

    async def test_metadata_and_custom_fields_are_kept_as_far_as_they_fit(
        self, world: ChargebeeWorld
    ) -> None:
        world.edit(meta_data={"plan": "pro", "nested": {"a": 1}, "long": "x" * 9000}, cf_seats=3, cf_odd=[1])
        assert (await world.seen()).metadata == {"plan": "pro", "cf_seats": 3}

    async def test_names_come_from_the_price_list_and_prices_from_the_subscription(
        self, world: ChargebeeWorld
    ) -> None:
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
        self, world: ChargebeeWorld, item: dict[str, Any], total: int | None
    ) -> None:
        world.edit(subscription_items=[{"item_price_id": "plan", "item_type": "plan", **item}])
        seen = (await world.seen()).price_total()
        assert (seen.minor if seen else None) == total

    async def test_tiers_have_no_unit_price(self, world: ChargebeeWorld) -> None:
        world.edit(item_tiers=[{"item_price_id": "price_pro_monthly", "starting_unit": 1, "price": 100}])
        assert (await world.seen()).price_total() is None
        with world.books.commit() as state:
            state["item_prices"][LITE["id"]]["pricing_model"] = "volume"
        catalog = await world.provider.load_catalog([LITE["id"]], [])
        assert catalog.prices[LITE["id"]].money is None

    # --- Money ---

    async def test_a_dinar_is_kept_with_two_decimals(self, world: ChargebeeWorld) -> None:
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

    async def test_an_amount_with_too_many_decimals_is_not_rounded(self, world: ChargebeeWorld) -> None:
        off = Discount(amount_off_minor=505, currency="KWD", duration="once")
        with pytest.raises(ProviderRefused, match="two decimals"):
            await world.provider.apply(change_of(off))
        fine = Discount(percent_off=Decimal("12.345"), duration="once")
        with pytest.raises(ProviderRefused):
            await world.provider.apply(change_of(fine, effect_id="eff_2"))
        assert world.count_changes(BENS) == 0

    # --- Lists ---

    async def test_the_newest_twenty_come_from_as_many_pages_as_there_are(
        self, world: ChargebeeWorld
    ) -> None:
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

    async def test_more_ids_than_fit_an_address_are_asked_for_in_parts(self, world: ChargebeeWorld) -> None:
        ids = [f"{number:03}-{'x' * 90}" for number in range(60)]
        with world.books.commit() as state:
            plan = state["item_prices"][LITE["id"]]
            state["item_prices"] |= {name: {**plan, "id": name} for name in ids}
        catalog = await world.provider.load_catalog([*ids, 'not "an" id', "x" * 200], [])
        assert set(catalog.prices) == set(ids)

    async def test_everyone_of_an_address_is_found_and_nobody_else(self, world: ChargebeeWorld) -> None:
        found = await world.provider.find_customers_by_email("emil@example.com")
        assert {each.id for each in found} == {"cus_emil", "cus_emil_work"}
        world.put({**person("cus_late"), "email": "Late@Example.com"}, [])
        assert [each.id for each in await world.provider.find_customers_by_email("Late@Example.com")] == [
            "cus_late"
        ]

    @pytest.mark.parametrize("name", ["ACME Corp 12", "ben+1@example.com", "a:b~c=d", "..x"])
    async def test_ids_of_the_merchants_own_making_are_quoted(self, world: ChargebeeWorld, name: str) -> None:
        world.put(person(name), [])
        found = await world.provider.find_customer(name)
        assert found is not None
        assert found.id == name

    async def test_only_what_can_be_used_is_offered(self, world: ChargebeeWorld) -> None:
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

    async def test_coupons_made_for_one_customer_are_not_offered_to_others(
        self, world: ChargebeeWorld
    ) -> None:
        await world.provider.apply(change_of(HALF))
        assert any(name.startswith("lw-") for name in world.books.state["coupons"])
        listed = await world.provider.list_catalog()
        assert {each.id for each in listed.coupons} == {
            "coupon_half_price",
            "coupon_thanks",
            "coupon_five_dollars",
        }

    # --- Keys, and what is done when Chargebee has forgotten them ---

    @pytest.mark.parametrize("name", CASES)
    async def test_after_the_key_is_forgotten_the_change_is_still_made_once(
        self, world: ChargebeeWorld, name: str
    ) -> None:
        request = CASES[name].request(world)
        await world.provider.apply(request)
        sent = list(world.writes)
        world.clock.advance(minutes=31)
        await world.provider.apply(request)
        assert world.count_changes(request.subscription_id) == 1
        assert world.writes == sent

    @pytest.mark.parametrize("name", ["cancel", "half for 3 months", "pause", "plan change", "yearly pause"])
    async def test_where_reading_lags_the_key_does_its_work(self, world: ChargebeeWorld, name: str) -> None:
        request = CASES[name].request(world)
        await world.provider.apply(request)
        world.simulator.stale_reads = 1
        await world.provider.apply(request)
        assert world.count_changes(request.subscription_id) == 1

    async def test_a_key_that_is_refused_for_a_change_that_was_made_is_no_refusal(
        self, world: ChargebeeWorld
    ) -> None:
        request = CASES["cancel"].request(world)
        await world.provider.apply(request)
        before = world.books.before
        with world.books.commit() as state:
            state["idempotency"]["eff_1"]["signature"][2] = "Basic of-the-key-before"
        world.books.before = before
        world.simulator.stale_reads = 1
        await world.provider.apply(request)
        assert world.count_changes(BENS) == 1

    async def test_the_effect_is_the_key(self, world: ChargebeeWorld) -> None:
        await world.provider.apply(CASES["cancel"].request(world, "eff_7"))
        assert list(world.books.state["idempotency"]) == ["eff_7"]
        long = "eff/" + "x" * 300
        await world.provider.apply(change_of(Uncancel(), effect_id=long))
        (key,) = world.books.state["idempotency"].keys() - {"eff_7"}
        assert len(key) == 40

    # --- Discounts: a coupon is made, then put on the subscription ---

    async def test_a_coupon_is_for_one_redemption_within_the_hour(self, world: ChargebeeWorld) -> None:
        await world.provider.apply(change_of(HALF))
        (used,) = world.books.state["subscriptions"][BENS]["coupons"]
        made = world.books.state["coupons"][used["coupon_id"]]
        assert used["coupon_id"] == "lw-eff_1-1"
        assert (made["max_redemptions"], made["redemptions"]) == (1, 1)
        assert made["valid_till"] == int((NOW + timedelta(hours=1)).timestamp())

    @pytest.mark.parametrize("kind", ["drop", "500"])
    @pytest.mark.parametrize("point", ["before_commit", "after_commit"])
    async def test_a_fault_between_the_two_calls_leaves_nothing_twice(
        self, world: ChargebeeWorld, kind: str, point: str
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
        self, world: ChargebeeWorld
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
        self, world: ChargebeeWorld
    ) -> None:
        change = Discount(
            coupon_id="coupon_half_price", percent_off=Decimal(50), duration="repeating", months=3
        )
        with pytest.raises(ProviderRefused, match="run out"):
            await world.provider.preview(CHEN, CHENS, change)
        with pytest.raises(ProviderRefused, match="run out"):
            await world.provider.apply(change_of(change, customer_id=CHEN, subscription_id=CHENS))
        assert world.count_changes(CHENS) == 0

    async def test_a_coupon_that_expired_before_it_was_used_is_replaced(self, world: ChargebeeWorld) -> None:
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
        self, world: ChargebeeWorld
    ) -> None:
        await world.provider.apply(change_of(HALF))
        world.edit(coupons=[])
        world.clock.advance(minutes=31)
        await world.provider.apply(change_of(HALF))
        assert world.count_changes(BENS) == 1

    async def test_discounts_run_out_when_they_were_said_to(self, world: ChargebeeWorld) -> None:
        first = world.period_end()
        await world.provider.apply(change_of(HALF))
        for months, is_at_work in ((0, True), (1, True), (2, True), (3, False)):
            at = add_months(first, months)
            world.clock.set(at - timedelta(hours=1))
            seen = await world.seen()
            renews_at = next_renewal(seen, world.clock.now())
            assert renews_at == at
            assert any(each.is_active(renews_at) for each in seen.discounts or ()) is is_at_work

    async def test_a_discount_of_one_charge_is_over_once_that_is_made(self, world: ChargebeeWorld) -> None:
        once = Discount(percent_off=Decimal(20), duration="once")
        await world.provider.apply(change_of(once))
        assert is_in_place(once, await world.seen(), NOW)
        coupons = [{"coupon_id": "lw-eff_1-1", "applied_count": 1}]  # as a site shows it that keeps used ones
        world.edit(coupons=coupons)
        (discount,) = (await world.seen()).discounts or ()
        assert not discount.is_active(NOW)

    async def test_manual_discounts_are_seen(self, world: ChargebeeWorld) -> None:
        given = {
            "id": "dis_1", "type": "fixed_amount", "amount": 500, "currency_code": "USD", "apply_on": "invoice_amount",
            "duration_type": "limited_period", "period": 2, "period_unit": "month", "apply_till": SOON,
        }  # fmt: skip
        world.edit(discounts=[given])
        (discount,) = (await world.seen()).discounts or ()
        assert discount.coupon is not None
        assert (discount.coupon.amount_off, discount.coupon.duration_in_months) == (500, 2)
        assert discount.end == NOW + timedelta(days=3)

    # --- Pauses ---

    async def test_a_pause_begins_with_the_next_term_and_is_charged_when_it_ends(
        self, world: ChargebeeWorld
    ) -> None:
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
        self, world: ChargebeeWorld, start: str, first: str
    ) -> None:
        began, end = (datetime.fromisoformat(f"{day}T12:00:00+00:00") for day in (start, first))
        given = monthly("sub_end", "cus_end", value=900, currency="USD", start=began, ends=end)
        world.put(person("cus_end"), [given])
        resumes_at = add_months(end, 3)  # 28 February 2027
        request = change_of(Pause(resumes_at=resumes_at), customer_id="cus_end", subscription_id="sub_end")
        await world.provider.apply(request)
        assert is_in_place(request.change, world.subscription("sub_end"), NOW)

    async def test_a_pause_that_would_be_charged_on_another_day_than_was_shown_is_not_made(
        self, world: ChargebeeWorld
    ) -> None:
        for resumes_at in (world.period_end() + timedelta(weeks=2), NOW + timedelta(days=1)):
            change = Pause(resumes_at=resumes_at)
            with pytest.raises(ProviderRefused):
                await world.provider.preview(BEN, BENS, change)
            with pytest.raises(ProviderRefused):
                await world.provider.apply(change_of(change))
        assert world.writes == []

    async def test_a_site_that_does_not_pause_says_so_beforehand(self, world: ChargebeeWorld) -> None:
        world.set_up(can_pause=False)
        change = Pause(resumes_at=add_months(world.period_end(), 1))
        with pytest.raises(ProviderRefused, match="configuration_incompatible"):
            await world.provider.preview(BEN, BENS, change)
        with pytest.raises(ProviderRefused, match="configuration_incompatible"):
            await world.provider.apply(change_of(change))
        assert world.count_changes(BENS) == 0

    async def test_who_leaves_before_the_pause_begins_has_it_taken_away(self, world: ChargebeeWorld) -> None:
        end = world.period_end()
        await world.pause_ben()
        await world.provider.apply(change_of(Cancel(timing="period_end"), effect_id="eff_2"))
        world.clock.set(end + timedelta(days=80))
        after = world.subscription(BENS)
        assert (after.status.name, after.end) == ("canceled", end)

    @pytest.mark.parametrize("point", ["before_commit", "after_commit"])
    async def test_a_fault_between_unpausing_and_cancelling_ends_in_a_cancellation(
        self, world: ChargebeeWorld, point: str
    ) -> None:
        await world.pause_ben()
        world.skip_one_then("drop", point)
        request = change_of(Cancel(timing="period_end"), effect_id="eff_2")
        with pytest.raises(ProviderUnavailable):
            await world.provider.apply(request)
        await world.provider.apply(request)
        assert [each["type"] for each in world.books.changes_of(BENS)] == ["pause", "resume", "cancel"]
        assert is_in_place(request.change, world.subscription(BENS), NOW)

    async def test_who_leaves_during_the_pause_is_gone_at_once(self, world: ChargebeeWorld) -> None:
        await world.pause_ben()
        world.clock.set(world.subscription(BENS).status.pause.start + timedelta(days=5))
        await world.provider.apply(change_of(Cancel(timing="period_end"), effect_id="eff_2"))
        after = await world.seen()
        assert (after.status.name, after.end) == ("canceled", world.clock.now())

    async def test_a_pause_under_way_is_ended_by_a_new_term(self, world: ChargebeeWorld) -> None:
        await world.pause_ben()
        world.clock.set(world.subscription(BENS).status.pause.start + timedelta(days=5))
        await world.provider.apply(change_of(Resume(), effect_id="eff_2"))
        seen = await world.seen()
        assert isinstance(seen.status, Active)
        assert seen.period_end == add_months(world.clock.now(), 1)

    async def test_a_payment_that_fails_leaves_the_pause_and_says_so_without_details(
        self, world: ChargebeeWorld
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

    async def test_a_yearly_pause_moves_the_one_renewal_and_costs_nothing_before(
        self, world: ChargebeeWorld
    ) -> None:
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

    async def test_a_renewal_is_never_moved_back(self, world: ChargebeeWorld) -> None:
        change = Pause(resumes_at=add_months(NOW, 2), renews_at=NOW + timedelta(days=2))
        with pytest.raises(ProviderRefused):
            await world.provider.apply(change_of(change, customer_id=CHEN, subscription_id=CHENS))
        assert world.writes == []

    # --- Plans ---

    async def test_the_quantity_goes_along_and_a_flat_fee_has_none(self, world: ChargebeeWorld) -> None:
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
        self, world: ChargebeeWorld, trouble: str
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
    async def test_one_that_is_over_is_not_brought_back_to_life(
        self, world: ChargebeeWorld, name: str
    ) -> None:
        request = CASES[name].request(world)
        world.edit(request.subscription_id, status="cancelled", cancelled_at=SOON - 9 * 86_400)
        with pytest.raises(ProviderRefused):
            await world.provider.apply(request)
        assert world.writes == []
        assert world.subscription(request.subscription_id).status.name == "canceled"

    # --- Trials ---

    async def test_an_extended_trial_is_charged_at_its_new_end(self, world: ChargebeeWorld) -> None:
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

    async def test_a_trial_that_was_cancelled_can_go_on_as_a_trial(self, world: ChargebeeWorld) -> None:
        who = {"customer_id": DANA, "subscription_id": DANAS}
        await world.provider.apply(change_of(Cancel(timing="period_end"), **who))
        seen = await world.seen(DANAS, DANA)
        assert (seen.status.name, seen.end) == ("trial", seen.period_end)
        await world.provider.apply(change_of(Uncancel(), effect_id="eff_2", **who))
        seen = await world.seen(DANAS, DANA)
        assert (seen.status.name, seen.end) == ("trial", None)

    # --- Previews ---

    @pytest.mark.parametrize(
        ("kind", "after", "charge"), [("tax_exclusive", 1450, 1740), ("tax_inclusive", 1450, 1450)]
    )
    async def test_a_preview_says_how_the_price_stands_to_tax(
        self, world: ChargebeeWorld, kind: str, after: int, charge: int
    ) -> None:
        world.set_up(tax={"rate": 20, "price_type": kind})
        preview = await world.provider.preview(BEN, BENS, HALF)
        assert preview is not None
        assert preview.price_after is not None
        assert preview.next_charge is not None
        assert (preview.price_after.minor, preview.next_charge.minor) == (after, charge)
        assert preview.tax == ("added" if kind == "tax_exclusive" else "included")
        assert preview.next_charge_at == world.period_end()

    async def test_where_there_are_no_manual_discounts_there_is_no_preview_of_one(
        self, world: ChargebeeWorld
    ) -> None:
        world.set_up(manual_discounts=False)
        assert await world.provider.preview(BEN, BENS, HALF) is None
        coupon = Discount(
            coupon_id="coupon_half_price", percent_off=Decimal(50), duration="repeating", months=3
        )
        preview = await world.provider.preview(BEN, BENS, coupon)
        assert preview is not None
        assert preview.price_after is not None
        assert preview.price_after.minor == 1450
        with pytest.raises(ProviderRefused):
            await world.provider.preview(BEN, BENS, coupon.model_copy(update={"coupon_id": "coupon_gone"}))
        assert world.books.state["coupons"]["coupon_half_price"]["redemptions"] == 0

    async def test_a_pause_is_previewed_with_the_day_of_its_charge(self, world: ChargebeeWorld) -> None:
        resumes_at = add_months(world.period_end(), 2)
        preview = await world.provider.preview(BEN, BENS, Pause(resumes_at=resumes_at))
        assert preview is not None
        assert preview.next_charge_at == resumes_at
        assert await world.provider.preview(BEN, BENS, Cancel(timing="period_end")) is None
        assert world.writes == []

    # --- Credentials ---

    async def test_a_key_tells_its_mode_and_a_site_its_catalog(self, world: ChargebeeWorld) -> None:
        account = await world.provider.check()
        assert (account.id, account.mode) == ("northwind-test", "test")
        live = connect(
            "chargebee", {"api_base": world.url, **world.vendor.credentials("live")},
            http=world.http, clock=world.clock, mode="test",
        )  # fmt: skip
        account = await live.check()
        assert (account.id, account.mode) == ("northwind", "live")
        world.set_up(product_catalog="v1")
        with pytest.raises(CredentialsRefused, match=r"2\.0"):
            await world.provider.check()

    @pytest.mark.parametrize("site", ["evil.example/", "acme@evil.example", "a.b", "acme?", "-acme", "å"])
    async def test_a_site_cannot_send_the_key_elsewhere(self, world: ChargebeeWorld, site: str) -> None:
        config = {"site": site, "api_key": "test_" + "1" * 24}
        with pytest.raises(InvalidInput) as caught:
            connect("chargebee", config, http=world.http, clock=world.clock, mode="test")
        assert [error.field for error in caught.value.fields] == ["site"]

    async def test_a_pause_comes_back_where_the_cancellation_in_its_place_is_refused(
        self, world: ChargebeeWorld
    ) -> None:
        pause = await world.pause_ben()
        world.set_up(reason_codes=["Other"])
        with pytest.raises(ProviderRefused, match="cancel_reason_code"):
            await world.provider.apply(CASES["cancel"].request(world, "eff_2"))
        assert is_in_place(pause, world.subscription(BENS), NOW)

    async def test_a_site_that_demands_a_reason_code_is_given_it(self, world: ChargebeeWorld) -> None:
        world.set_up(reason_codes=["Other"])
        request = CASES["cancel"].request(world)
        with pytest.raises(ProviderRefused, match="cancel_reason_code"):
            await world.provider.apply(request)
        assert world.count_changes(BENS) == 0
        await world.connect(cancel_reason_code="Other").apply(CASES["cancel"].request(world, "eff_2"))
        assert world.count_changes(BENS) == 1

    # --- Webhooks ---

    async def test_while_the_password_is_changed_both_are_good(self, world: ChargebeeWorld) -> None:
        headers, body = world.sign_inbound(BENS, "evt_1")
        message = InboundMessage(headers, body, NOW)
        old = world.vendor.credentials("test")["webhook_password"]
        for passwords, is_good in (
            (f"new {old}", True),
            (f"{old} new", True),
            ("new", False),
            (f"new{old}", False),
        ):
            provider = world.connect(webhook_password=passwords)
            if is_good:
                notice = provider.verify_inbound(message)
                assert notice is not None
                assert (notice.event_id, notice.subscription_ids, notice.customer_ids) == (
                    "evt_1",
                    (BENS,),
                    (BEN,),
                )
            else:
                with pytest.raises(InboundRefused) as caught:
                    provider.verify_inbound(message)
                assert old not in str(caught.value)

    @pytest.mark.parametrize("missing", ["webhook_user", "webhook_password"])
    async def test_without_credentials_no_webhook_is_believed(
        self, world: ChargebeeWorld, missing: str
    ) -> None:
        headers, body = world.sign_inbound(BENS, "evt_1")
        provider = world.connect(**{missing: ""})
        for given in (headers, {"authorization": "Basic " + b64encode(b":").decode()}):
            with pytest.raises(InboundRefused):
                provider.verify_inbound(InboundMessage(given, body, NOW))

    @pytest.mark.parametrize(
        ("body", "outcome"),
        [
            (b"not json", "refused"),
            (b"[]", "refused"),
            (b'{"content": {"subscription": {"id": "sub_1"}}}', "refused"),
            (b'{"id": "", "content": {}}', "refused"),
            (b'{"id": "evt_1", "event_type": "plan_created", "content": {"plan": {"id": "x"}}}', None),
            (b'{"id": "evt_1", "content": {"subscription": {"id": "../x"}, "customer": 5}}', None),
            (b'{"id": "evt_1", "content": {"invoice": {"subscription_id": "sub_1"}}}', ("sub_1",)),
        ],
    )
    async def test_of_a_webhook_only_ids_are_read(
        self, world: ChargebeeWorld, body: bytes, outcome: object
    ) -> None:
        headers, _ = world.sign_inbound(BENS, "evt_1")
        message = InboundMessage(headers, body, NOW)
        if outcome == "refused":
            with pytest.raises(InboundRefused):
                world.provider.verify_inbound(message)
        else:
            notice = world.provider.verify_inbound(message)
            assert (notice.subscription_ids if notice else None) == outcome

    # --- The simulator itself ---

    @pytest.mark.parametrize(
        ("method", "path", "params", "code"),
        [
            ("POST", f"/subscriptions/{BENS}/cancel_for_items", {"at_period_end": "true"}, "invalid_request"),
            (
                "POST",
                f"/subscriptions/{BENS}/cancel_for_items",
                {"cancel_option": "later"},
                "param_wrong_value",
            ),
            ("POST", f"/subscriptions/{BENS}/pause", {"until": "1"}, "invalid_request"),
            ("POST", f"/subscriptions/{BENS}/remove_scheduled_pause", {"x": "1"}, "invalid_request"),
            ("POST", "/coupons/create_for_items", {"percent_off": "5"}, "invalid_request"),
            ("GET", "/customers", {"email": "ben@example.com"}, "invalid_request"),
            ("GET", "/subscriptions", {"limit": "1000"}, "param_wrong_value"),
            ("GET", "/subscriptions/sub_no", {}, "resource_not_found"),
        ],
    )
    async def test_what_chargebee_does_not_have_the_simulator_refuses(
        self, world: ChargebeeWorld, method: str, path: str, params: dict[str, str], code: str
    ) -> None:
        token = b64encode(f"{world.vendor.credentials('test')['api_key']}:".encode()).decode()
        query = f"?{urlencode(params)}" if method == "GET" and params else ""
        reply = await world.http.request(
            method, f"{world.url}/api/v2{path}{query}", {"authorization": f"Basic {token}"},
            body=urlencode(params).encode() if method == "POST" else b"", deadline_s=5,
        )  # fmt: skip
        answer = reply.json()
        assert isinstance(answer, dict)
        assert (answer["api_error_code"], reply.status) == (
            code,
            404 if code == "resource_not_found" else 400,
        )
        assert world.books.changes == []


# --- Answers that are none ------------------------------------------------------------------------


class Canned:
    """Answers some requests with the same thing always, and leaves the others to the simulator."""

    def __init__(self, rest: Any, method: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.rest, self.method, self.status, self.body, self.headers = rest, method, status, body, headers

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan" or scope["method"] != self.method:
            await self.rest(scope, receive, send)
            return
        headers = {"content-type": "application/json", "content-length": str(len(self.body)), **self.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def _error(code: str, **more: str) -> bytes:
    said = {"message": "ben@example.com owes 29.00", "api_error_code": code, "error_code": code, **more}
    return json.dumps(said).encode()


HTML = b"<html><body>502 Bad Gateway</body></html>"
UNANSWERED = [
    (401, _error("api_authentication_failed"), {}, CredentialsRefused, "API key"),
    (401, HTML, {}, CredentialsRefused, "API key"),
    (403, _error("api_authorization_failed"), {}, CredentialsRefused, "full-access"),
    (403, _error("request_blocked"), {}, CredentialsRefused, "blocked"),
    (404, _error("site_not_found"), {}, CredentialsRefused, "no such site"),
    (404, HTML, {}, ProviderUnavailable, "404"),
    (409, HTML, {}, ProviderUnavailable, "409"),
    (429, _error("api_request_limit_exceeded"), {"retry-after": "30"}, RateLimited, "429"),
    (429, HTML, {"retry-after": "30"}, RateLimited, "429"),
    (409, _error("operation_in_progress"), {}, NotYet, "409"),
    (400, _error("internal_temporary_error"), {}, ProviderUnavailable, "400"),
    (500, _error("internal_error"), {}, ProviderUnavailable, "500"),
    (503, HTML, {}, ProviderUnavailable, "503"),
    (200, HTML, {}, ProviderUnavailable, "200"),
    (200, b"[]", {}, ProviderUnavailable, "200"),
    (200, b'{"customer": {"id": ', {}, ProviderUnavailable, "200"),
    (200, b'{"x": "' + b"x" * 2_200_000 + b'"}', {}, ProviderUnavailable, "larger"),
    (302, b"", {"location": "https://evil.example/"}, ProviderUnavailable, "redirect"),
]


@pytest.mark.parametrize(("status", "body", "headers", "kind", "says"), UNANSWERED)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_that_is_none_is_told_from_a_no_and_repeats_no_secret(
    world: ChargebeeWorld,
    method: str,
    status: int,
    body: bytes,
    headers: dict[str, str],
    kind: type,
    says: str,
) -> None:
    with served(Canned(world.simulator, method, status, body, headers)) as url:
        provider = world.connect(api_base=url)
        asked = [provider.apply(CASES["cancel"].request(world)), provider.apply(change_of(HALF))]
        if method == "GET":
            asked += [provider.find_customer(BEN), provider.list_catalog(), provider.check()]
        for ask in asked:
            with pytest.raises(kind, match=says) as caught:
                await ask
            assert type(caught.value) is kind
            for secret in (world.vendor.credentials("test")["api_key"], "ben@example.com", "29.00"):
                assert secret not in f"{caught.value} {caught.value!r} {caught.value.reason}"
            if "retry-after" in headers:
                assert caught.value.retry_after == 30
    assert world.count_changes(BENS) == 0


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, _error("invalid_request", type="invalid_request", param="cancel_option")),
        (400, _error("configuration_incompatible", type="invalid_request")),
        (400, _error("payment_processing_failed", type="payment")),
        (404, _error("resource_not_found", type="invalid_request")),
        (409, _error("invalid_state_for_request", type="invalid_request")),
        (422, _error("unheard_of")),
    ],
)
async def test_a_no_is_final_names_its_code_and_repeats_no_message(
    world: ChargebeeWorld, status: int, body: bytes
) -> None:
    with (
        served(Canned(world.simulator, "POST", status, body, {})) as url,
        pytest.raises(ProviderRefused) as caught,
    ):
        await world.connect(api_base=url).apply(CASES["cancel"].request(world))
    assert json.loads(body)["api_error_code"] in caught.value.reason
    assert caught.value.user_message.endswith(".")
    assert "ben@" not in f"{caught.value} {caught.value.user_message} {caught.value.reason}"
