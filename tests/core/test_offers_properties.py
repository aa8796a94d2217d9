"""Whatever the price, currency, rhythm and date: nobody pays more, dates go forward, what is stored reads back."""

import json
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.core.billing import Capability, Catalog, Pause
from app.core.direct import DirectSubscription
from app.core.eligibility import eligibility
from app.core.facts import History
from app.core.flow import DiscountOffer, Offer
from app.core.flow_check import parse_flow
from app.core.offers import present
from app.core.terms import Terms, terms
from tests.support.subscriptions import NOW, active, on_trial

CURRENCIES = st.sampled_from(["EUR", "USD", "JPY", "KWD", "CLF"])
PRICES = st.integers(0, 10**9)
RENEWALS = st.dates(date(2026, 11, 22), date(2029, 12, 31))


@st.composite
def running(draw: st.DrawFn) -> DirectSubscription:
    renews = draw(RENEWALS)
    began = renews - timedelta(days=draw(st.integers(1, 366)))
    if draw(st.booleans()):
        return on_trial(draw(PRICES), draw(CURRENCIES), started=began.isoformat(), ends=renews.isoformat())
    return active(
        draw(PRICES),
        draw(CURRENCIES),
        every=draw(st.sampled_from(["day", "week", "month", "year"])),
        count=draw(st.integers(1, 6)),
        began=began.isoformat(),
        renews=renews.isoformat(),
        quantity=draw(st.integers(0, 50)),
    )


@st.composite
def discounts(draw: st.DrawFn) -> dict[str, Any]:
    lasts = draw(st.sampled_from(["once", "repeating", "forever"]))
    months = {"months": draw(st.integers(1, 36))} if lasts == "repeating" else {}
    if draw(st.booleans()):
        percent = draw(st.decimals(min_value="0.01", max_value=100, places=2))
        return {"kind": "discount", "percent": float(percent), "duration": lasts, **months}
    amount = {"minor": draw(st.integers(1, 10**9)), "currency": draw(CURRENCIES)}
    return {"kind": "discount", "amount": amount, "duration": lasts, **months}


OFFERS = st.one_of(
    discounts(),
    st.builds(
        lambda unit, longest, is_date: {
            "kind": "pause",
            "unit": unit,
            "max": longest,
            "resume_date": is_date,
        },
        st.sampled_from(["week", "month"]),
        st.integers(1, 12),
        st.booleans(),
    ),
    st.builds(lambda days: {"kind": "trial_extension", "days": days}, st.integers(1, 30)),
    st.just({"kind": "plan_change", "plans": [{"price_id": "lite"}, {"price_id": "free"}]}),
    st.just({"kind": "contact"}),
)


def made(fields: dict[str, Any]) -> Offer:
    step = {"kind": "offer", "id": "stay", "offers": [{"id": "offer", **fields}]}
    definition = parse_flow({"name": "x", "steps": [step, {"kind": "confirm", "id": "c"}]})
    return definition.steps[0].offers[0]


def catalog_for(subscription: DirectSubscription) -> Catalog:
    current = subscription.items[0].price
    return Catalog(
        {
            name: current.model_copy(
                update={"id": name, "amount": current.amount.model_copy(update={"value": value})}
            )
            for name, value in (("lite", 600), ("free", 0))
        }
    )


def worked_out(offer: Offer, subscription: DirectSubscription) -> Terms:
    return terms(offer, subscription=subscription, catalog=catalog_for(subscription), now=NOW)


@given(subscription=running(), fields=discounts())
def test_a_discount_never_raises_the_price_or_goes_below_zero(
    subscription: DirectSubscription, fields: dict[str, Any]
) -> None:
    offer = made(fields)
    assert isinstance(offer, DiscountOffer)
    shown = worked_out(offer, subscription)
    assert shown.price_now is not None
    assert shown.price_after is not None
    assert 0 <= shown.price_after.minor <= shown.price_now.minor
    assert shown.price_after.currency == shown.price_now.currency


@given(subscription=running(), fields=OFFERS)
def test_dates_go_forward(subscription: DirectSubscription, fields: dict[str, Any]) -> None:
    shown = worked_out(made(fields), subscription)
    end = subscription.period_end
    assert end is not None
    if shown.next_charge:
        assert NOW < end <= shown.next_charge.at
    if shown.back_to:
        assert shown.next_charge is not None
        assert shown.next_charge.at < shown.back_to.at
    resumptions = [option.resumes_at for option in shown.options if option.resumes_at]
    assert resumptions == sorted(set(resumptions))
    for option in shown.options:
        if option.resumes_at:
            assert option.next_charge is not None
            begins = NOW if option.renews_at else end
            assert begins < option.resumes_at <= option.next_charge.at
    if shown.pause_window:
        assert end < shown.pause_window.earliest <= shown.pause_window.latest
    if shown.trial_ends_after and shown.trial_ends_before:
        assert shown.trial_ends_before < shown.trial_ends_after


@st.composite
def paid_ahead(draw: st.DrawFn) -> DirectSubscription:
    every, count = draw(st.sampled_from([("year", 1), ("year", 2), ("month", 3), ("month", 6), ("month", 2)]))
    renews = draw(
        st.one_of(RENEWALS, st.sampled_from([date(2028, 2, 29), date(2027, 1, 31), date(2026, 11, 30)]))
    )
    return active(draw(PRICES), draw(CURRENCIES), every=every, count=count, renews=renews.isoformat())


@given(
    subscription=paid_ahead(),
    unit=st.sampled_from(["week", "month"]),
    longest=st.integers(1, 12),
    is_date=st.booleans(),
    ago=st.timedeltas(timedelta(0), timedelta(days=20)),
)
def test_a_break_of_paid_time_gives_back_exactly_what_it_takes(
    subscription: DirectSubscription, unit: str, longest: int, is_date: bool, ago: timedelta
) -> None:
    offer, now = made({"kind": "pause", "unit": unit, "max": longest, "resume_date": is_date}), NOW - ago
    shown = terms(offer, subscription=subscription, catalog=Catalog(), now=now)
    before = subscription.period_end
    assert before is not None
    assert (shown.renews_before, shown.pause_window) == (before, None)
    assert [option.count for option in shown.options] == list(range(1, longest + 1))
    for option in shown.options:
        assert isinstance(option.change, Pause)
        assert (option.change.resumes_at, option.change.renews_at) == (option.resumes_at, option.renews_at)
        assert option.resumes_at is not None
        assert option.renews_at is not None
        away = option.resumes_at - now
        assert timedelta(0) <= option.renews_at - before - away < timedelta(seconds=1)
        assert option.renews_at.timetz() == before.timetz()
        assert option.next_charge is not None
        assert option.next_charge.at == option.renews_at > option.resumes_at
        assert option.next_charge.money == shown.price_now


@given(subscription=running(), fields=OFFERS)
def test_every_plan_offered_costs_less(subscription: DirectSubscription, fields: dict[str, Any]) -> None:
    shown = worked_out(made(fields), subscription)
    for option in shown.options:
        if option.price is not None:
            assert shown.price_now is not None
            assert option.price.minor <= shown.price_now.minor


@given(subscription=running(), fields=OFFERS)
def test_what_was_shown_reads_back_from_its_json(
    subscription: DirectSubscription, fields: dict[str, Any]
) -> None:
    shown = present(
        made(fields),
        decision_id="dec_1",
        placement="stay",
        subscription=subscription,
        customer=None,
        catalog=catalog_for(subscription),
        facts={},
        now=NOW,
    )
    assert type(shown).model_validate(json.loads(json.dumps(shown.model_dump(mode="json")))) == shown
    assert type(shown).model_validate(json.loads(json.dumps(shown.to_wire()))) == shown


@given(subscription=running(), fields=OFFERS)
def test_an_eligible_offer_always_has_something_to_take(
    subscription: DirectSubscription, fields: dict[str, Any]
) -> None:
    offer = made(fields)
    blockers = eligibility(
        offer,
        subscription=subscription,
        customer=None,
        history=History(),
        capabilities=frozenset(Capability),
        flow_cooldowns={},
        catalog=catalog_for(subscription),
        now=NOW,
        accepted_in_session=False,
    )
    shown = worked_out(offer, subscription)
    if not blockers and offer.kind != "contact":
        assert shown.options or shown.pause_window
