"""Who may be made which offer, and whose cancellation needs a person: every reason has its case."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import Capability, Catalog, Change, Discount, PlanChange, Preview, preview_key
from app.core.direct import DirectCoupon, DirectSubscription, Obstacle
from app.core.eligibility import Blocker, ManualReason, automation_blockers, eligibility, outdated
from app.core.facts import History
from app.core.flow import Offer, OfferKind
from app.core.flow_check import parse_flow
from app.core.money import Money
from app.core.offers import present
from app.core.terms import terms
from tests.support.subscriptions import NOW, active, day, in_state, on_trial, price

CATALOG = Catalog(
    prices={
        "lite": price(600, price_id="lite"),
        "team": price(9900, price_id="team"),
        "old": price(600, price_id="old").model_copy(update={"active": False}),
    },
    coupons={
        "half": DirectCoupon(id="half", percent_off=50, duration="repeating", duration_in_months=3),
        "endless": DirectCoupon(id="endless", percent_off=50, duration="repeating"),
    },
)
DISCOUNT = {"kind": "discount", "percent": 50, "duration": "repeating", "months": 3}
ONCE = {"kind": "discount", "percent": 50, "duration": "once"}
PAUSE = {"kind": "pause"}
LITE = {"kind": "plan_change", "plans": [{"price_id": "lite"}, {"price_id": "team"}]}
TRIAL = {"kind": "trial_extension", "days": 14}


def offer(fields: Mapping[str, Any]) -> Offer:
    step = {"kind": "offer", "id": "stay", "offers": [{"id": "offer", **fields}]}
    definition = parse_flow({"name": "x", "steps": [step, {"kind": "confirm", "id": "c"}]})
    return definition.steps[0].offers[0]


def blockers(
    fields: Mapping[str, Any],
    subscription: DirectSubscription,
    *,
    history: History | None = None,
    lacking: Capability | None = None,
    cooldowns: Mapping[OfferKind, int] | None = None,
    accepted: bool = False,
    catalog: Catalog = CATALOG,
) -> set[Blocker]:
    found = eligibility(
        offer(fields),
        subscription=subscription,
        customer=None,
        history=history or History(),
        capabilities=frozenset(Capability) - {lacking},
        flow_cooldowns=cooldowns or {},
        catalog=catalog,
        now=NOW,
        accepted_in_session=accepted,
    )
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize(
    ("fields", "subscription"),
    [
        (DISCOUNT, active()),
        (ONCE, on_trial()),
        ({"kind": "discount", "coupon_id": "half"}, active()),
        (DISCOUNT, active(every="year")),
        (PAUSE, active()),
        (LITE, active()),
        (LITE, on_trial()),
        (TRIAL, on_trial()),
    ],
)
def test_an_ordinary_subscription_may_be_made_the_offer(
    fields: dict[str, Any], subscription: DirectSubscription
) -> None:
    assert blockers(fields, subscription) == set()


@pytest.mark.parametrize(
    ("fields", "subscription", "expected"),
    [
        (DISCOUNT, active(discounts=[{"coupon": {"percentOff": 10}}]), {Blocker.DISCOUNT_ACTIVE}),
        (
            DISCOUNT,
            active(discounts=[{"coupon": {"percentOff": 10}, "start": "2027-01-01", "end": "2027-03-01"}]),
            {Blocker.DISCOUNT_ACTIVE},
        ),
        (DISCOUNT, active(discounts=[{"coupon": {"percentOff": 10}, "end": "2026-11-01"}]), set()),
        (DISCOUNT, on_trial(), {Blocker.ONLY_ONCE_ON_TRIAL}),
        ({"kind": "discount", "coupon_id": "half"}, on_trial(), {Blocker.ONLY_ONCE_ON_TRIAL}),
        ({"kind": "discount", "coupon_id": "gone"}, active(), {Blocker.COUPON_UNKNOWN}),
        ({"kind": "discount", "coupon_id": "endless"}, active(), {Blocker.COUPON_UNKNOWN}),
        (DISCOUNT, active(0), {Blocker.NO_SAVING}),
        (
            {"kind": "discount", "amount": {"minor": 500, "currency": "USD"}, "duration": "once"},
            active(2900, "EUR"),
            {Blocker.NO_SAVING},
        ),
        (PAUSE, active(every="year"), set()),
        (PAUSE, active(count=3), set()),
        (PAUSE, active(every="week"), {Blocker.NOT_MONTHLY}),
        (PAUSE, active(every="day", count=30), {Blocker.NOT_MONTHLY}),
        (PAUSE, on_trial(), {Blocker.ON_TRIAL}),
        (
            {**LITE, "plans": [{"price_id": "team"}, {"price_id": "old"}, {"price_id": "gone"}]},
            active(),
            None,
        ),
        (LITE, active(every="year"), None),
        (LITE, active(currency="USD"), None),
        (LITE, active(600), None),
        (TRIAL, active(), {Blocker.NOT_ON_TRIAL}),
        (TRIAL, on_trial(ends="2026-11-22T10:00:00Z"), {Blocker.TRIAL_ENDS_SOON}),
        (TRIAL, on_trial(ends="2026-11-22T10:00:01Z"), set()),
        (TRIAL, on_trial(started="2025-01-01", ends="2026-12-18"), set()),  # 730 days with the 14
        (TRIAL, on_trial(started="2025-01-01", ends="2026-12-19"), {Blocker.TRIAL_TOO_LONG}),
    ],
)
def test_reasons_of_one_kind_of_offer(
    fields: dict[str, Any], subscription: DirectSubscription, expected: set[Blocker] | None
) -> None:
    assert blockers(fields, subscription) == ({Blocker.NO_CHEAPER_PLAN} if expected is None else expected)


ITEM = {"price": {"id": "p", "amount": {"value": 100, "currency": "EUR"}}}


@pytest.mark.parametrize("fields", [DISCOUNT, PAUSE, LITE, TRIAL], ids=lambda fields: fields["kind"])
@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        (active(end="2026-12-01"), Blocker.ENDS_ALREADY),
        (active(renews="2026-11-20"), Blocker.RENEWAL_UNKNOWN),
        (active(items=[ITEM, ITEM]), Blocker.SEVERAL_ITEMS),
        (in_state({"name": "paused", "pause": {"start": "2026-11-01"}}), Blocker.NOT_RUNNING),
        (in_state({"name": "unpaid"}), Blocker.NOT_RUNNING),
        (in_state({"name": "future"}), Blocker.NOT_RUNNING),
        (in_state({"name": "canceled", "canceledAt": "2026-11-01"}), Blocker.NOT_RUNNING),
    ],
    ids=lambda value: value.value if isinstance(value, Blocker) else "",
)
def test_reasons_against_any_change(
    fields: dict[str, Any], subscription: DirectSubscription, expected: Blocker
) -> None:
    assert expected in blockers(fields, subscription)


def test_a_tiered_price_cannot_be_discounted_in_figures() -> None:
    tiered = {"price": {"id": "p", "amount": {"model": "tiered", "currency": "EUR"}}}
    assert Blocker.PRICE_UNKNOWN in blockers(ONCE, active(items=[tiered]))


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        (DISCOUNT, Capability.DISCOUNT),
        (PAUSE, Capability.PAUSE),
        (LITE, Capability.PLAN_CHANGE),
        ({**TRIAL}, Capability.TRIAL_EXTENSION),
    ],
)
def test_what_the_provider_cannot_do_is_not_offered(fields: dict[str, Any], needed: Capability) -> None:
    subscription = on_trial() if fields["kind"] == "trial_extension" else active()
    assert blockers(fields, subscription, lacking=needed) == {Blocker.NOT_SUPPORTED}


@pytest.mark.parametrize("subscription", [active(every="year"), active(count=3)])
def test_time_that_is_paid_for_can_only_pause_where_the_renewal_can_move(
    subscription: DirectSubscription,
) -> None:
    assert blockers(PAUSE, subscription, lacking=Capability.MOVE_RENEWAL) == {Blocker.NOT_MONTHLY}
    assert blockers(PAUSE, active(), lacking=Capability.MOVE_RENEWAL) == set()


@pytest.mark.parametrize("fields", [{**PAUSE, "unit": "week"}, {**PAUSE, "resume_date": True}])
def test_a_pause_that_ends_between_renewals_is_offered_only_where_it_is_charged_as_shown(
    fields: dict[str, Any],
) -> None:
    lacking = Capability.PAUSE_TO_ANY_DAY
    assert blockers(fields, active(), lacking=lacking) == {Blocker.ONLY_TO_RENEWALS}
    assert blockers(fields, active()) == set()
    assert blockers(PAUSE, active(), lacking=lacking) == set(), "months end on a renewal"
    assert blockers(fields, active(every="year"), lacking=lacking) == set(), "there the renewal moves"


def test_nobody_takes_a_break_within_a_break() -> None:
    yearly = active(every="year")
    assert blockers(PAUSE, yearly, history=History(break_ends_at=day("2026-12-24"))) == {Blocker.ON_A_BREAK}
    assert blockers(PAUSE, yearly, history=History(break_ends_at=NOW)) == set()
    assert blockers(ONCE, yearly, history=History(break_ends_at=day("2026-12-24"))) == set()


@pytest.mark.parametrize("obstacle", Obstacle)
def test_what_only_a_person_may_change_is_neither_offered_nor_cancelled(obstacle: Obstacle) -> None:
    held = active().model_copy(update={"obstacles": (obstacle,)})
    for fields in (DISCOUNT, PAUSE, LITE):
        assert blockers(fields, held) == {Blocker.NEEDS_A_PERSON}
    assert automation_blockers(held, History(), NOW) == (ManualReason[obstacle.name],)


@pytest.mark.parametrize(
    ("renews", "end", "expected"),
    [
        ("2027-07-01", None, ()),
        ("2027-07-01T20:00:00", None, ()),
        ("2028-07-01", None, (Blocker.RENEWAL_MOVED,)),
        ("2027-06-01", None, (Blocker.RENEWAL_MOVED,)),
        ("2027-07-01", "2027-07-01", (Blocker.RENEWAL_MOVED,)),
    ],
)
def test_a_break_is_not_begun_once_the_renewal_is_another_than_was_shown(
    renews: str, end: str | None, expected: tuple[Blocker, ...]
) -> None:
    shown = present(
        offer(PAUSE),
        decision_id="dec_1",
        placement="stay",
        subscription=active(every="year", renews="2027-07-01"),
        customer=None,
        catalog=CATALOG,
        facts={},
        now=NOW,
    )
    found = active(every="year", renews=f"{renews}Z" if "T" in renews else renews, end=end)
    assert outdated(shown, found, NOW) == expected


def test_other_offers_do_not_depend_on_the_day_of_the_renewal() -> None:
    monthly = present(
        offer(PAUSE),
        decision_id="dec_1",
        placement="stay",
        subscription=active(),
        customer=None,
        catalog=CATALOG,
        facts={},
        now=NOW,
    )
    assert outdated(monthly, active(renews="2027-01-01"), NOW) == ()


# --- What the provider said beforehand ------------------------------------------------------------


def asked(subscription: DirectSubscription, change: Change, said: Preview | None) -> Catalog:
    """The catalog once the provider was asked; None: it would not take the change."""
    key = preview_key(subscription.id, change)
    if said is None:
        return replace(CATALOG, refused=frozenset({key}))
    return replace(CATALOG, previews={key: said})


HALF_OFF = Discount(percent_off=Decimal(50), duration="repeating", months=3)
TO_LITE = PlanChange(price=CATALOG.prices["lite"])


def test_what_the_provider_would_not_take_is_not_offered() -> None:
    refused = asked(active(), HALF_OFF, None)
    assert blockers(DISCOUNT, active(), catalog=refused) == {Blocker.REFUSED_BY_PROVIDER}
    assert blockers(ONCE, active(), catalog=refused) == set(), "another discount is another question"
    other = active().model_copy(update={"id": "sub_2"})
    assert blockers(DISCOUNT, other, catalog=refused) == set(), "and so is another subscription"
    assert blockers(LITE, active(), catalog=asked(active(), TO_LITE, None)) == {Blocker.REFUSED_BY_PROVIDER}


def test_one_plan_of_several_is_offered_although_another_is_refused() -> None:
    both = {"kind": "plan_change", "plans": [{"price_id": "lite"}, {"price_id": "mini"}]}
    mini = price(300, price_id="mini")
    catalog = replace(asked(active(), TO_LITE, None), prices={**CATALOG.prices, "mini": mini})
    assert blockers(both, active(), catalog=catalog) == set()
    shown = terms(offer(both), subscription=active(), catalog=catalog, now=NOW)
    assert [option.id for option in shown.options] == ["mini"]


@pytest.mark.parametrize(
    ("fields", "change", "expected"),
    [(DISCOUNT, HALF_OFF, Blocker.NO_SAVING), (LITE, TO_LITE, Blocker.NO_CHEAPER_PLAN)],
)
def test_what_saves_nothing_by_the_providers_reckoning_is_not_offered(
    fields: dict[str, Any], change: Change, expected: Blocker
) -> None:
    same = Preview(price_now=Money(3000, "EUR"), price_after=Money(3000, "EUR"))
    less = Preview(price_now=Money(3000, "EUR"), price_after=Money(2999, "EUR"))
    assert blockers(fields, active(), catalog=asked(active(), change, same)) == {expected}
    assert blockers(fields, active(), catalog=asked(active(), change, less)) == set()


# --- One at a time --------------------------------------------------------------------------------


def test_one_accepted_offer_is_enough_for_a_session() -> None:
    assert blockers(PAUSE, active(), accepted=True) == {Blocker.ACCEPTED_ALREADY}


@pytest.mark.parametrize("fields", [{"kind": "contact"}, {"kind": "redirect", "url": "https://a.example"}])
def test_talking_is_always_possible(fields: dict[str, Any]) -> None:
    broken = in_state({"name": "unpaid"}, items=[ITEM, ITEM])
    assert blockers(fields, broken, accepted=True) == set()


@pytest.mark.parametrize(
    ("flow_days", "offer_days", "last", "cooling"),
    [
        (0, None, "2026-11-21", False),
        (30, None, "2026-10-23", True),
        (30, None, "2026-10-22", False),
        (30, 0, "2026-11-20", False),
        (0, 10, "2026-11-20", True),
        (None, None, "2026-11-21", False),
    ],
)
def test_cooldown_of_a_plan_change(
    flow_days: int | None, offer_days: int | None, last: str, cooling: bool
) -> None:
    cooldowns = {} if flow_days is None else {OfferKind.PLAN_CHANGE: flow_days, OfferKind.PAUSE: 999}
    found = blockers(
        LITE | {"cooldown_days": offer_days},
        active(),
        cooldowns=cooldowns,
        history=History(last_by_kind={"plan_change": day(last)}),
    )
    assert found == ({Blocker.COOLDOWN} if cooling else set())


def test_the_cooldown_of_a_pause_runs_from_its_end() -> None:
    history = History(last_by_kind={"pause": day("2026-06-01")}, last_pause_ended_at=day("2026-09-01"))
    assert blockers(PAUSE, active(), history=history, cooldowns={OfferKind.PAUSE: 90}) == {Blocker.COOLDOWN}
    assert blockers(PAUSE, active(), history=history, cooldowns={OfferKind.PAUSE: 80}) == set()


def test_the_cooldown_of_a_discount() -> None:
    history = History(last_discount_at=day("2026-11-01"))
    assert blockers(DISCOUNT, active(), history=history, cooldowns={OfferKind.DISCOUNT: 30}) == {
        Blocker.COOLDOWN
    }


def test_a_trial_is_extended_as_often_as_the_offer_allows() -> None:
    once = History(trial_extensions=1)
    assert blockers(TRIAL, on_trial(), history=once) == {Blocker.TRIAL_EXTENDED_ALREADY}
    assert blockers({**TRIAL, "max_per_customer": 2}, on_trial(), history=once) == set()


@pytest.mark.parametrize("reason", [*Blocker, *ManualReason])
def test_every_reason_has_a_sentence_for_the_merchant(reason: Blocker | ManualReason) -> None:
    assert reason.sentence.endswith(".")
    assert type(reason)(str(reason)) is reason


# --- Cancelling by itself -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        (active(), ()),
        (on_trial(), ()),
        (active(end="2026-12-01"), ()),
        (in_state({"name": "unpaid"}), (ManualReason.UNPAID,)),
        (in_state({"name": "canceled", "canceledAt": "2026-11-01"}), (ManualReason.CANCELED,)),
        (active(end="2026-11-01"), (ManualReason.CANCELED,)),
        (in_state({"name": "future"}), (ManualReason.NOT_STARTED,)),
        (in_state({"name": "paused", "pause": {"start": "2026-11-01"}}), (ManualReason.FOREIGN_PAUSE,)),
        (active(items=[ITEM, ITEM]), (ManualReason.SEVERAL_ITEMS,)),
        (in_state({"name": "unpaid"}, items=[ITEM, ITEM]), (ManualReason.UNPAID, ManualReason.SEVERAL_ITEMS)),
    ],
)
def test_which_cancellations_need_a_person(
    subscription: DirectSubscription, expected: tuple[ManualReason, ...]
) -> None:
    assert automation_blockers(subscription, History(), NOW) == expected


def test_a_pause_of_our_own_can_be_cancelled() -> None:
    paused = in_state({"name": "paused", "pause": {"start": "2026-11-01", "end": "2026-12-01"}})
    assert automation_blockers(paused, History(paused_by_us=True), NOW) == ()
