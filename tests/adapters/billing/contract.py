"""What every billing provider has to do, whichever vendor is behind it: subclass `ProviderContract`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

import pytest

from app.core.billing import (
    BillingProvider,
    Cancel,
    Capability,
    Change,
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
from app.core.direct import Active, DirectPrice, DirectSubscription
from app.core.eligibility import automation_blockers
from app.core.facts import History
from demo.billing.seed import CATALOG
from tests.support.clock import START

NOW = START
BEN, BENS = "cus_ben", "sub_ben_pro"  # Pro, monthly
CHEN, CHENS = "cus_chen", "sub_chen_pro"  # Pro, yearly
DANA, DANAS = "cus_dana", "sub_dana_pro"  # on trial
LITE, COUPON = "price_lite_monthly", "coupon_half_price"
A_DAY: Final = timedelta(days=1)

Fault = Literal["drop_before", "drop_after", "500", "429"]
Document = dict[str, Any]


class World(ABC):
    """A vendor for one test: six customers as in the demo, a provider connected to it, and its inner books.

    Customers, subscriptions, prices and coupons are named as in the demo; `id_of` tells what the vendor calls them.
    """

    provider: BillingProvider
    currencies: Sequence[str] = ("USD", "JPY", "KWD")
    """Those that the vendor bills in: two decimals, none, three."""
    inbound: Literal["none", "signed", "authorized"] = "none"
    """How its webhooks are proven: not sent, over the body, or by credentials alone."""
    inbound_has_time: bool = True
    unpauses_to_cancel: bool = False
    """Whether a pause that has not begun must be taken away before a cancel can be set: a change of its own."""
    coupon: str = COUPON
    """One of the demo's coupons that the vendor can have: some have amounts only."""

    @abstractmethod
    def subscription(self, subscription_id: str) -> DirectSubscription:
        """The truth, past the provider. By the vendor's id, as everything below."""

    @abstractmethod
    def count_changes(self, subscription_id: str) -> int:
        """How many changes were really made."""

    @abstractmethod
    def fail(self, fault: Fault) -> None:
        """Let the next call that changes something go wrong."""

    def id_of(self, name: str) -> str:
        return name

    def with_bad_credentials(self) -> tuple[BillingProvider, str] | None:
        """A provider that the vendor does not know, and the secret it used; None where nobody checks any."""
        return None

    def put(self, customer: Document, subscriptions: Sequence[Document]) -> None:
        """Put a customer there, by demo names."""
        raise NotImplementedError

    def remove_coupon(self, coupon_id: str) -> None:
        raise NotImplementedError

    def surprise(self) -> None:
        """From now on, answers have fields that no documentation knows."""
        raise NotImplementedError

    def sign_inbound(self, subscription_id: str, event_id: str) -> tuple[Mapping[str, str], bytes]:
        raise NotImplementedError


def change_of(
    change: Change, *, effect_id: str = "eff_1", customer_id: str = BEN, subscription_id: str = BENS
) -> ChangeRequest:
    return ChangeRequest(effect_id, "cs_1", customer_id, subscription_id, "test", change, None, NOW)


@dataclass(frozen=True)
class Case:
    """One change to one of the demo's subscriptions, and what the vendor must be able to do for it."""

    make: Callable[[World], Change]
    needs: Capability
    customer: str = BEN
    subscription: str = BENS

    def request(self, world: World, effect_id: str = "eff_1") -> ChangeRequest:
        return change_of(
            self.make(world),
            effect_id=effect_id,
            customer_id=world.id_of(self.customer),
            subscription_id=world.id_of(self.subscription),
        )


def lite(world: World) -> DirectPrice:
    amount = {"value": 600, "currency": "USD"}
    duration = {"interval": "month"}
    given = {"id": world.id_of(LITE), "name": "Lite", "amount": amount, "duration": duration}
    return DirectPrice.model_validate(given, by_alias=True)


def pause(world: World) -> Pause:
    """For two charges, as it is offered: from the next one on, until the day of another."""
    renews_at = world.subscription(world.id_of(BENS)).period_end
    assert renews_at is not None
    return Pause(resumes_at=add_months(renews_at, 2))


def coupon(world: World) -> Discount:
    """What the customer was shown of the coupon."""
    given = CATALOG.coupons[world.coupon]
    percent = given.get("percentOff")
    return Discount(
        coupon_id=world.id_of(world.coupon),
        percent_off=None if percent is None else Decimal(percent),
        amount_off_minor=given.get("amountOff"),
        currency=given.get("currency"),
        duration=given["duration"],
        months=given.get("durationInMonths"),
    )


def yearly_pause(world: World) -> Pause:
    renews_at = world.subscription(world.id_of(CHENS)).period_end
    assert renews_at is not None
    return Pause(resumes_at=add_months(NOW, 2), renews_at=add_months(renews_at, 2))


_DISCOUNT, _CANCEL = Capability.DISCOUNT, Capability.CANCEL_AT_PERIOD_END
CASES: Mapping[str, Case] = {
    "cancel": Case(lambda _: Cancel(timing="period_end"), _CANCEL),
    "cancel on trial": Case(lambda _: Cancel(timing="period_end"), _CANCEL, DANA, DANAS),
    "cancel now": Case(lambda _: Cancel(timing="now"), Capability.CANCEL_NOW),
    "half for 3 months": Case(
        lambda _: Discount(percent_off=Decimal(50), duration="repeating", months=3), _DISCOUNT
    ),
    "12.5 % once": Case(lambda _: Discount(percent_off=Decimal("12.5"), duration="once"), _DISCOUNT),
    "5 dollars for good": Case(
        lambda _: Discount(amount_off_minor=500, currency="USD", duration="forever"), _DISCOUNT
    ),
    "a fifth once, yearly": Case(
        lambda _: Discount(percent_off=Decimal(20), duration="once"), _DISCOUNT, CHEN, CHENS
    ),
    "a coupon": Case(coupon, _DISCOUNT),
    "pause": Case(pause, Capability.PAUSE),
    "yearly pause": Case(yearly_pause, Capability.MOVE_RENEWAL, CHEN, CHENS),
    "plan change": Case(lambda world: PlanChange(price=lite(world)), Capability.PLAN_CHANGE),
    "trial extension": Case(
        lambda _: TrialExtension(days=7, ends_at=add_days(NOW, 16)), Capability.TRIAL_EXTENSION, DANA, DANAS
    ),
}


def monthly(
    name: str, customer: str, *, value: int, currency: str, start: datetime, ends: datetime
) -> Document:
    price_id = f"price_{currency.lower()}_{value}"
    price = {
        "id": price_id,
        "type": "product",
        "active": True,
        "productId": f"prod_{currency.lower()}",
        "name": f"Plan in {currency}",
        "duration": {"interval": "month", "intervalCount": 1},
        "amount": {"model": "fixed", "value": value, "currency": currency},
    }
    return {
        "id": name,
        "customerId": customer,
        "start": iso(start),
        "status": {"name": "active", "currentPeriod": {"start": iso(add_months(ends, -1)), "end": iso(ends)}},
        "items": [{"id": f"{name}_1", "price": price, "quantity": 1}],
        "duration": price["duration"],
        "discounts": [],
        "metadata": {},
    }


def person(customer_id: str, currency: str = "USD") -> Document:
    return {
        "id": customer_id,
        "email": f"{customer_id.removeprefix('cus_')}@example.com",
        "currency": currency,
        "addresses": [{"country": "US"}],
    }


class ProviderContract:
    """The contract of `core.billing.BillingProvider`, as tests. Subclasses give the fixture `world`."""

    pytestmark = pytest.mark.anyio

    # --- Changes ---

    @pytest.mark.parametrize("name", CASES)
    async def test_a_change_is_made_and_proven(self, world: World, name: str) -> None:
        case = CASES[name]
        if case.needs not in world.provider.capabilities:
            with pytest.raises(ProviderRefused) as caught:
                await world.provider.apply(case.request(world))
            assert caught.value.user_message.endswith(".")
            assert world.count_changes(world.id_of(case.subscription)) == 0
            return
        request = case.request(world)
        applied = await world.provider.apply(request)
        assert is_in_place(request.change, world.subscription(request.subscription_id), NOW)
        assert world.count_changes(request.subscription_id) == 1
        if world.provider.reads_back:
            assert applied.confirmation == "read_back"
            seen = await world.provider.find_subscription(request.customer_id, request.subscription_id)
            assert seen is not None
            assert is_in_place(request.change, seen, NOW)
        else:
            assert applied.confirmation == "merchant"
            assert applied.subscription is not None
            assert is_in_place(request.change, applied.subscription, NOW)

    @pytest.mark.parametrize("name", CASES)
    async def test_a_repeated_effect_is_made_once(self, world: World, name: str) -> None:
        case = CASES[name]
        if case.needs not in world.provider.capabilities:
            return  # it is refused: the test above
        request = case.request(world)
        for _ in range(3):
            await world.provider.apply(request)
        assert world.count_changes(request.subscription_id) == 1
        assert is_in_place(request.change, world.subscription(request.subscription_id), NOW)

    @pytest.mark.parametrize("fault", ["drop_before", "drop_after", "500", "429"])
    @pytest.mark.parametrize("name", ["cancel", "half for 3 months", "pause"])
    async def test_after_a_failure_the_next_try_makes_it_once(
        self, world: World, name: str, fault: Fault
    ) -> None:
        request = CASES[name].request(world)
        world.fail(fault)
        with pytest.raises(ProviderUnavailable):
            await world.provider.apply(request)
        await world.provider.apply(request)
        assert world.count_changes(request.subscription_id) == 1
        assert is_in_place(request.change, world.subscription(request.subscription_id), NOW)

    async def test_a_busy_vendor_says_when_to_come_back(self, world: World) -> None:
        world.fail("429")
        with pytest.raises(ProviderUnavailable) as caught:
            await world.provider.apply(CASES["cancel"].request(world))
        assert caught.value.retry_after == 7

    async def test_what_the_vendor_will_not_do_is_final_and_said_in_words(self, world: World) -> None:
        request = change_of(
            TrialExtension(days=7, ends_at=add_days(NOW, 16)),
            customer_id=world.id_of(BEN),
            subscription_id=world.id_of(BENS),
        )
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(request)
        assert caught.value.user_message.endswith(".")
        assert world.count_changes(request.subscription_id) == 0

    async def test_a_coupon_that_is_gone_changes_nothing(self, world: World) -> None:
        request = CASES["a coupon"].request(world)
        if not world.provider.reads_back:
            return  # the merchant's own program looks after his coupons
        world.remove_coupon(world.id_of(world.coupon))
        with pytest.raises(ProviderRefused) as caught:
            await world.provider.apply(request)
        assert caught.value.user_message.endswith(".")
        assert world.count_changes(request.subscription_id) == 0
        await world.provider.apply(CASES["cancel"].request(world, "eff_2"))  # the way out stays open

    async def test_a_cancel_can_be_taken_back(self, world: World) -> None:
        bens = world.id_of(BENS)
        await world.provider.apply(CASES["cancel"].request(world))
        undo = change_of(Uncancel(), effect_id="eff_2", customer_id=world.id_of(BEN), subscription_id=bens)
        await world.provider.apply(undo)
        assert world.subscription(bens).end is None
        assert isinstance(world.subscription(bens).status, Active)

    async def test_a_pause_can_be_ended(self, world: World) -> None:
        bens = world.id_of(BENS)
        await world.provider.apply(CASES["pause"].request(world))
        on = change_of(Resume(), effect_id="eff_2", customer_id=world.id_of(BEN), subscription_id=bens)
        await world.provider.apply(on)
        assert isinstance(world.subscription(bens).status, Active)

    @pytest.mark.parametrize("first", ["half for 3 months", "pause", "plan change"])
    async def test_who_takes_an_offer_can_still_cancel_and_nothing_is_left_over(
        self, world: World, first: str
    ) -> None:
        if CASES[first].needs not in world.provider.capabilities:
            return
        await world.provider.apply(CASES[first].request(world))
        request = CASES["cancel"].request(world, "eff_2")
        await world.provider.apply(request)
        after = world.subscription(request.subscription_id)
        assert is_in_place(request.change, after, NOW)
        takes_it_away = first == "pause" and world.unpauses_to_cancel
        assert world.count_changes(request.subscription_id) == (3 if takes_it_away else 2)

    # --- Customers and subscriptions ---

    async def test_a_customer_is_found_by_id(self, world: World) -> None:
        ben = world.id_of(BEN)
        customer = await world.provider.find_customer(ben)
        assert customer is not None
        assert (customer.id, customer.email, customer.country) == (ben, "ben@example.com", "US")
        assert await world.provider.find_customer("cus_nobody") is None

    async def test_subscriptions_belong_to_their_customer(self, world: World) -> None:
        ben, bens, dana = world.id_of(BEN), world.id_of(BENS), world.id_of(DANA)
        assert [each.id for each in await world.provider.list_subscriptions(ben)] == [bens]
        assert await world.provider.list_subscriptions("cus_nobody") == []
        mine = await world.provider.find_subscription(ben, bens)
        assert mine is not None
        assert mine.customer_id == ben
        assert await world.provider.find_subscription(dana, bens) is None
        assert await world.provider.find_subscription(ben, "sub_nothing") is None
        price = mine.price_total()
        assert price is not None
        assert (price.minor, price.currency) == (2900, "USD")
        assert automation_blockers(mine, History(), NOW) == ()

    async def test_strange_ids_find_nothing(self, world: World) -> None:
        ben = world.id_of(BEN)
        for strange in (
            f"../{ben}", f"{ben}/subscriptions", "cus ben?x=1#y", "ü🎈", "%2e%2e", "a" * 255, "' OR 1=1", "*",
        ):  # fmt: skip
            assert await world.provider.find_customer(strange) is None
            assert await world.provider.list_subscriptions(strange) == []
            assert await world.provider.find_subscription(ben, strange) is None

    async def test_a_customer_is_found_by_email(self, world: World) -> None:
        if Capability.FIND_BY_EMAIL not in world.provider.capabilities:
            pytest.fail("connect the simulator so that it can look up")
        (found,) = await world.provider.find_customers_by_email("Ben@Example.com")
        assert found.email == "ben@example.com"
        assert [each.id for each in await world.provider.list_subscriptions(found.id)] == [world.id_of(BENS)]
        for nobody in ("nobody@example.com", "ben@example.co", "en@example.com", "%@example.com", "*"):
            assert await world.provider.find_customers_by_email(nobody) == []

    async def test_the_catalog_leaves_out_what_is_not_known(self, world: World) -> None:
        catalog = await world.provider.load_catalog(["price_no"], ["coupon_no"])
        assert (dict(catalog.prices), dict(catalog.coupons)) == ({}, {})

    # --- What a merchant can name, and what the vendor says beforehand ---

    async def test_the_price_list_names_what_offers_can_use(self, world: World) -> None:
        if not world.provider.reads_back:
            return  # flows describe the prices themselves
        listed = await world.provider.list_catalog()
        assert world.id_of(LITE) in [price.id for price in listed.prices]
        assert world.id_of(world.coupon) in [coupon.id for coupon in listed.coupons]
        known = await world.provider.load_catalog([world.id_of(LITE)], [world.id_of(world.coupon)])
        price, coupon = known.prices[world.id_of(LITE)], known.coupons[world.id_of(world.coupon)]
        assert price.money is not None
        assert (price.money.minor, price.money.currency) == (600, "USD")
        assert price.duration is not None
        assert (price.duration.interval, price.duration.interval_count) == ("month", 1)
        given = CATALOG.coupons[world.coupon]
        assert (coupon.percent_off, coupon.amount_off) == (given.get("percentOff"), given.get("amountOff"))
        assert (coupon.duration, coupon.duration_in_months) == (
            given["duration"],
            given.get("durationInMonths"),
        )

    @pytest.mark.parametrize(("name", "after"), [("half for 3 months", 1450), ("plan change", 600)])
    async def test_a_preview_says_what_comes_and_changes_nothing(
        self, world: World, name: str, after: int
    ) -> None:
        case = CASES[name]
        request = case.request(world)
        preview = await world.provider.preview(request.customer_id, request.subscription_id, request.change)
        assert world.count_changes(request.subscription_id) == 0
        if preview is None:
            return  # it has none: what the customer sees is worked out here
        assert preview.price_after is not None
        assert (preview.price_after.minor, preview.price_after.currency) == (after, "USD")
        renews_at = world.subscription(request.subscription_id).period_end
        assert renews_at is not None
        if preview.next_charge_at is not None:
            assert abs(preview.next_charge_at - renews_at) < A_DAY

    # --- Money and dates ---

    @pytest.mark.parametrize(("currency", "value"), [("USD", 2999), ("JPY", 1500), ("KWD", 2995)])
    async def test_money_is_counted_in_the_currencys_smallest_unit(
        self, world: World, currency: str, value: int
    ) -> None:
        if not world.provider.reads_back:
            return
        if currency not in world.currencies:
            return
        customer, name = f"cus_{currency.lower()}", f"sub_{currency.lower()}"
        end = NOW + timedelta(days=12)
        world.put(
            person(customer, currency),
            [monthly(name, customer, value=value, currency=currency, start=add_months(end, -6), ends=end)],
        )
        seen = await world.provider.find_subscription(world.id_of(customer), world.id_of(name))
        assert seen is not None
        price = seen.price_total()
        assert price is not None
        assert (price.minor, price.currency) == (value, currency)
        if Capability.DISCOUNT not in world.provider.capabilities:
            return
        off = Discount(amount_off_minor=500, currency=currency, duration="once")
        request = change_of(off, customer_id=world.id_of(customer), subscription_id=world.id_of(name))
        await world.provider.apply(request)
        assert is_in_place(off, world.subscription(world.id_of(name)), NOW)

    @pytest.mark.parametrize(
        ("start", "ends"),
        [
            ("2026-08-31T12:00:00+00:00", "2026-11-30T12:00:00+00:00"),
            ("2026-01-31T23:30:00+00:00", "2026-11-30T23:30:00+00:00"),
            ("2024-02-29T00:00:00+00:00", "2026-11-29T00:00:00+00:00"),
            ("2026-10-25T00:30:00+00:00", "2026-11-25T00:30:00+00:00"),
        ],
    )
    async def test_dates_are_kept(self, world: World, start: str, ends: str) -> None:
        if not world.provider.reads_back:
            return
        began, end = datetime.fromisoformat(start), datetime.fromisoformat(ends)
        world.put(
            person("cus_date"),
            [monthly("sub_date", "cus_date", value=900, currency="USD", start=began, ends=end)],
        )
        customer, name = world.id_of("cus_date"), world.id_of("sub_date")
        seen = await world.provider.find_subscription(customer, name)
        assert seen is not None
        assert seen.period_end is not None
        assert abs(seen.period_end - end) < A_DAY
        assert abs(seen.start - began) < A_DAY
        await world.provider.apply(
            change_of(Cancel(timing="period_end"), customer_id=customer, subscription_id=name)
        )
        ended = world.subscription(name).end
        assert ended is not None
        assert abs(ended - end) < A_DAY

    async def test_fields_of_a_later_version_do_no_harm(self, world: World) -> None:
        if not world.provider.reads_back:
            return
        world.surprise()
        request = CASES["cancel"].request(world)
        assert await world.provider.find_customer(request.customer_id) is not None
        assert await world.provider.list_subscriptions(request.customer_id)
        await world.provider.load_catalog([world.id_of(LITE)], [world.id_of(world.coupon)])
        await world.provider.apply(request)
        seen = await world.provider.find_subscription(request.customer_id, request.subscription_id)
        assert seen is not None
        assert is_in_place(request.change, seen, NOW)

    # --- The connection itself ---

    async def test_a_connection_says_who_is_at_the_other_end(self, world: World) -> None:
        account = await world.provider.check()
        assert account.id
        assert account.mode in ("test", None)

    async def test_credentials_that_are_not_known_are_named_as_such_and_not_repeated(
        self, world: World
    ) -> None:
        bad = world.with_bad_credentials()
        if bad is None:
            return
        provider, secret = bad
        for ask in (provider.check(), provider.find_customer(world.id_of(BEN))):
            with pytest.raises(CredentialsRefused) as caught:
                await ask
            assert secret not in str(caught.value)
        with pytest.raises(CredentialsRefused):
            await provider.apply(CASES["cancel"].request(world))
        assert world.count_changes(world.id_of(BENS)) == 0

    async def test_webhooks_are_believed_only_with_their_proof(self, world: World) -> None:
        if world.inbound == "none":
            with pytest.raises(InboundRefused):
                world.provider.verify_inbound(InboundMessage({}, b"{}", NOW))
            return
        bens = world.id_of(BENS)
        headers, body = world.sign_inbound(bens, "evt_1")
        notice = world.provider.verify_inbound(InboundMessage(headers, body, NOW))
        assert notice is not None
        assert notice.event_id
        assert bens in (*notice.subscription_ids, *notice.customer_ids)
        again = world.provider.verify_inbound(InboundMessage(headers, body, NOW))
        assert again == notice
        refused = [InboundMessage({}, body, NOW), InboundMessage({"content-type": "text/plain"}, b"", NOW)]
        if world.inbound == "signed":
            changed = body[:-3] + bytes([body[-3] ^ 1]) + body[-2:]
            refused.append(InboundMessage(headers, changed, NOW))
        if world.inbound_has_time:
            refused.append(InboundMessage(headers, body, NOW + timedelta(minutes=6)))
        for message in refused:
            with pytest.raises(InboundRefused):
                world.provider.verify_inbound(message)
