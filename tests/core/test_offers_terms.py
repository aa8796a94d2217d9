"""What an offer comes to: prices, dates and the exact change, in every kind of currency and rhythm."""

from decimal import Decimal
from typing import Any

import pytest

from app.core.billing import (
    Catalog,
    Change,
    Discount,
    Pause,
    PlanChange,
    Preview,
    TrialExtension,
    preview_key,
)
from app.core.direct import DirectCoupon, DirectSubscription
from app.core.flow import Offer
from app.core.flow_check import parse_flow
from app.core.money import Money
from app.core.terms import Terms, terms
from tests.support.subscriptions import NOW, active, day, on_trial, price

NOTHING = Catalog()
CATALOG = Catalog(
    prices={
        "lite": price(600, price_id="lite"),
        "free": price(0, price_id="free"),
        "team": price(9900, price_id="team"),
        "yearly": price(600, every="year", price_id="yearly"),
        "dollars": price(600, "USD", price_id="dollars"),
    }
)


def offer(**fields: Any) -> Offer:
    step = {"kind": "offer", "id": "stay", "offers": [{"id": "offer", **fields}]}
    definition = parse_flow({"name": "x", "steps": [step, {"kind": "confirm", "id": "c"}]})
    return definition.steps[0].offers[0]


def discount(**fields: Any) -> Offer:
    return offer(kind="discount", **fields)


def worked_out(made: Offer, subscription: DirectSubscription, catalog: Catalog = NOTHING) -> Terms:
    return terms(made, subscription=subscription, catalog=catalog, now=NOW)


# --- Discount -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscription", "fields", "after"),
    [
        (active(2900, "EUR"), {"percent": 50}, Money(1450, "EUR")),
        (active(2999, "EUR"), {"percent": 50}, Money(1499, "EUR")),  # 15.00 off: a half is rounded up
        (active(2900, "EUR"), {"percent": 12.5}, Money(2537, "EUR")),
        (active(999, "JPY"), {"percent": 50}, Money(499, "JPY")),
        (active(1, "JPY"), {"percent": 50}, Money(0, "JPY")),
        (active(2999, "KWD"), {"percent": 33.3333}, Money(1999, "KWD")),
        (active(2900, "EUR"), {"percent": 100}, Money(0, "EUR")),
        (active(2900, "EUR", quantity=3), {"percent": 50}, Money(4350, "EUR")),
        (active(333, "EUR", quantity=3), {"percent": 50}, Money(499, "EUR")),  # of the whole, not of each
        (active(2900, "EUR"), {"amount": {"minor": 500, "currency": "EUR"}}, Money(2400, "EUR")),
        (active(2900, "EUR", quantity=3), {"amount": {"minor": 500, "currency": "EUR"}}, Money(8200, "EUR")),
        (active(2900, "EUR"), {"amount": {"minor": 5000, "currency": "EUR"}}, Money(0, "EUR")),
        (active(0, "EUR"), {"percent": 50}, Money(0, "EUR")),
    ],
)
def test_the_price_after_a_discount(
    subscription: DirectSubscription, fields: dict[str, Any], after: Money
) -> None:
    shown = worked_out(discount(duration="once", **fields), subscription)
    assert shown.price_after == after
    assert shown.next_charge is not None
    assert shown.next_charge.money == after


@pytest.mark.parametrize(
    ("subscription", "lasts", "until"),
    [
        (active(renews="2026-12-01"), {"duration": "once"}, "2027-01-01"),
        (active(renews="2026-12-01"), {"duration": "repeating", "months": 3}, "2027-03-01"),
        (active(renews="2026-12-01"), {"duration": "forever"}, None),
        (
            active(renews="2026-11-30", began="2026-10-31"),
            {"duration": "repeating", "months": 3},
            "2027-02-28",
        ),
        (
            active(renews="2027-01-31", began="2026-12-31"),
            {"duration": "repeating", "months": 2},
            "2027-03-31",
        ),
        (active(every="year", renews="2027-06-01"), {"duration": "repeating", "months": 3}, "2028-06-01"),
        (active(every="year", renews="2027-06-01"), {"duration": "repeating", "months": 12}, "2028-06-01"),
        (active(every="year", renews="2027-06-01"), {"duration": "repeating", "months": 13}, "2029-06-01"),
        (active(every="year", started="2024-02-29", renews="2027-02-28"), {"duration": "once"}, "2028-02-29"),
        (active(every="week", renews="2026-12-01"), {"duration": "repeating", "months": 1}, "2027-01-05"),
        (on_trial(ends="2026-11-30"), {"duration": "once"}, "2026-12-30"),
    ],
)
def test_until_when_a_discount_lasts(
    subscription: DirectSubscription, lasts: dict[str, Any], until: str | None
) -> None:
    shown = worked_out(discount(percent=50, **lasts), subscription)
    assert shown.until == (day(until) if until else None)
    if shown.back_to:
        assert shown.back_to.money == shown.price_now


def test_a_discount_says_what_it_is_and_applies_just_that() -> None:
    shown = worked_out(discount(percent=50, duration="repeating", months=3), active())
    assert shown.price_now == Money(2900, "EUR")
    assert (shown.interval, shown.interval_count) == ("month", 1)
    assert shown.next_charge is not None
    assert shown.next_charge.at == day("2026-12-01")
    assert [option.change for option in shown.options] == [
        Discount(percent_off=50, duration="repeating", months=3)
    ]
    assert shown.saving is not None
    assert (shown.saving.percent, shown.saving.duration, shown.saving.months) == (50, "repeating", 3)


def test_a_coupon_of_the_provider_is_shown_with_its_own_figures() -> None:
    coupon = DirectCoupon(
        id="five", amount_off=500, currency="EUR", duration="repeating", duration_in_months=2
    )
    shown = worked_out(discount(coupon_id="five"), active(), Catalog(coupons={"five": coupon}))
    assert shown.price_after == Money(2400, "EUR")
    assert shown.until == day("2027-02-01")
    [option] = shown.options
    assert option.change == Discount(
        coupon_id="five", amount_off_minor=500, currency="EUR", duration="repeating", months=2
    )


def test_a_coupon_that_nobody_knows_offers_nothing() -> None:
    assert worked_out(discount(coupon_id="gone"), active()).options == ()


# --- Pause ----------------------------------------------------------------------------------------


def test_a_pause_begins_when_what_is_paid_for_runs_out() -> None:
    shown = worked_out(offer(kind="pause", max=3), active(renews="2026-12-01"))
    assert [(option.id, option.count) for option in shown.options] == [
        ("1-month", 1),
        ("2-months", 2),
        ("3-months", 3),
    ]
    assert [option.change for option in shown.options] == [
        Pause(resumes_at=day(text)) for text in ("2027-01-01", "2027-02-01", "2027-03-01")
    ]
    assert all(option.next_charge and option.next_charge.at == option.resumes_at for option in shown.options)


def test_a_pause_from_a_short_month_goes_back_to_the_old_day() -> None:
    shown = worked_out(offer(kind="pause", max=3), active(renews="2027-01-31", began="2026-12-31"))
    assert [str(option.resumes_at)[:10] for option in shown.options] == [
        "2027-02-28",
        "2027-03-31",
        "2027-04-30",
    ]


def test_a_pause_in_weeks_is_charged_again_at_the_renewal_after_it() -> None:
    shown = worked_out(offer(kind="pause", unit="week", max=5), active(renews="2026-12-01"))
    first, *_, last = shown.options
    assert (first.id, first.resumes_at) == ("1-week", day("2026-12-08"))
    assert first.next_charge is not None
    assert first.next_charge.at == day("2027-01-01")
    assert (last.id, last.resumes_at) == ("5-weeks", day("2027-01-05"))
    assert last.next_charge is not None
    assert last.next_charge.at == day("2027-02-01")


def test_the_charge_after_a_pause_is_without_a_discount_that_ended_meanwhile() -> None:
    half = {"coupon": {"percentOff": 50}, "end": "2027-01-15"}
    shown = worked_out(offer(kind="pause", max=2), active(discounts=[half]))
    charges = [option.next_charge.money.minor for option in shown.options if option.next_charge]
    assert charges == [1450, 2900]


def test_the_end_of_a_pause_can_be_any_day_of_the_window() -> None:
    shown = worked_out(offer(kind="pause", max=2, resume_date=True), active(renews="2026-12-01"))
    window = shown.pause_window
    assert window is not None
    assert (window.earliest, window.latest) == (day("2026-12-02"), day("2027-02-01"))
    picked = window.option("2027-01-15")
    assert picked is not None
    assert picked.change == Pause(resumes_at=day("2027-01-15"))
    assert picked.next_charge is not None
    assert picked.next_charge.at == day("2027-02-01")
    assert window.option("2026-12-02") is not None
    assert window.option("2027-02-01") is not None


@pytest.mark.parametrize(
    "text", ["2026-12-01", "2027-02-02", "", "soon", "2027-13-01", "2027-01-15T00:00", "9" * 500]
)
def test_a_day_outside_the_window_or_no_day_at_all_is_no_option(text: str) -> None:
    window = worked_out(
        offer(kind="pause", max=2, resume_date=True), active(renews="2026-12-01")
    ).pause_window
    assert window is not None
    assert window.option(text) is None


YEARLY = active(29000, every="year", began="2026-02-28", renews="2027-02-28")


def test_a_break_of_paid_time_begins_now_and_moves_the_renewal_by_as_many_days() -> None:
    shown = worked_out(offer(kind="pause", max=3), YEARLY)
    assert shown.renews_before == day("2027-02-28")
    assert [(option.id, option.resumes_at, option.renews_at) for option in shown.options] == [
        ("1-month", day("2026-12-21T10:00"), day("2027-03-30")),  # 30 days
        ("2-months", day("2027-01-21T10:00"), day("2027-04-30")),  # 61
        ("3-months", day("2027-02-21T10:00"), day("2027-05-31")),  # 92
    ]
    assert all(option.next_charge.at == option.renews_at for option in shown.options if option.next_charge)
    assert {option.next_charge.money for option in shown.options if option.next_charge} == {
        Money(29000, "EUR")
    }


@pytest.mark.parametrize(
    ("subscription", "unit", "renews"),
    [
        (active(every="year", renews="2028-02-29"), "month", "2028-03-30"),
        (active(every="year", renews="2028-02-29"), "week", "2028-03-07"),
        (active(every="year", renews="2027-01-31"), "month", "2027-03-02"),
        (active(count=3, renews="2026-11-30"), "month", "2026-12-30"),
        (active(count=3, renews="2026-11-30"), "week", "2026-12-07"),
        (active(every="year", renews="2026-11-22"), "month", "2026-12-22"),
    ],
)
def test_a_moved_renewal_at_the_ends_of_months(
    subscription: DirectSubscription, unit: str, renews: str
) -> None:
    shown = worked_out(offer(kind="pause", unit=unit, max=1), subscription)
    assert [option.renews_at for option in shown.options] == [day(renews)]


def test_of_paid_time_a_length_is_picked_also_where_others_pick_a_date() -> None:
    made = offer(kind="pause", max=2, resume_date=True)
    assert worked_out(made, YEARLY).pause_window is None
    assert [option.id for option in worked_out(made, YEARLY).options] == ["1-month", "2-months"]
    assert worked_out(made, active()).pause_window is not None


def test_a_break_costs_the_discount_that_ends_before_the_moved_renewal() -> None:
    half = {"coupon": {"percentOff": 50}, "end": "2027-03-15"}
    shown = worked_out(
        offer(kind="pause", max=1), active(every="year", renews="2027-02-28", discounts=[half])
    )
    assert shown.price_now == Money(1450, "EUR")
    [option] = shown.options
    assert option.next_charge is not None
    assert option.next_charge.money == Money(2900, "EUR")


# --- What the provider says -----------------------------------------------------------------------


def said(change: Change, **figures: Any) -> Catalog:
    given = {
        name: Money(value, "EUR") if isinstance(value, int) else value for name, value in figures.items()
    }
    return Catalog(CATALOG.prices, {}, {preview_key("sub_1", change): Preview(**given)})


HALF_OFF = Discount(percent_off=Decimal(50), duration="once")
TO_LITE = PlanChange(price=price(600, price_id="lite"))


def test_a_discount_is_shown_as_the_provider_reckons_it() -> None:
    catalog = said(
        HALF_OFF,
        price_now=2437,
        price_after=1218,
        next_charge=1450,
        next_charge_at=day("2026-12-03"),
        tax="added",
    )
    shown = worked_out(discount(percent=50, duration="once"), active(), catalog)
    assert (shown.price_now, shown.price_after, shown.tax) == (
        Money(2437, "EUR"),
        Money(1218, "EUR"),
        "added",
    )
    assert shown.next_charge is not None
    assert (shown.next_charge.at, shown.next_charge.money) == (day("2026-12-03"), Money(1450, "EUR"))
    assert shown.back_to is not None
    assert shown.back_to.at == day("2027-01-03")
    [option] = shown.options
    assert (option.change, option.next_charge) == (HALF_OFF, shown.next_charge)


def test_what_the_provider_does_not_say_is_worked_out_here() -> None:
    shown = worked_out(discount(percent=50, duration="once"), active(), said(HALF_OFF, tax="included"))
    plain = worked_out(discount(percent=50, duration="once"), active())
    assert shown.tax == "included"
    assert shown.model_copy(update={"tax": None}) == plain


def test_a_price_without_its_tax_is_no_charge() -> None:
    shown = worked_out(discount(percent=50, duration="once"), active(), said(HALF_OFF, tax="added"))
    assert shown.price_after == Money(1450, "EUR")
    assert shown.next_charge is None
    assert shown.until == day("2027-01-01")


def test_another_currency_than_the_customers_is_not_shown() -> None:
    dollars = Money(1000, "USD")
    catalog = said(HALF_OFF, price_now=dollars, price_after=dollars, next_charge=dollars, tax="added")
    plain = worked_out(discount(percent=50, duration="once"), active())
    assert worked_out(discount(percent=50, duration="once"), active(), catalog) == plain


def test_a_plan_is_shown_as_the_provider_reckons_it() -> None:
    catalog = said(TO_LITE, price_now=3451, price_after=714, next_charge=714, tax="included")
    shown = worked_out(plans("lite"), active(), catalog)
    [option] = shown.options
    assert (shown.price_now, option.price, shown.tax) == (Money(3451, "EUR"), Money(714, "EUR"), "included")
    assert option.next_charge is not None
    assert (option.next_charge.at, option.next_charge.money) == (day("2026-12-01"), Money(714, "EUR"))
    assert option.change == TO_LITE


def test_plans_are_compared_in_one_reckoning() -> None:
    catalog = said(TO_LITE, price_now=3451, price_after=714, tax="included")
    assert worked_out(plans("lite", "free"), active(), catalog) == worked_out(
        plans("lite", "free"), active(), CATALOG
    )


# --- Plan change ----------------------------------------------------------------------------------


def plans(*ids: str, **fields: Any) -> Offer:
    return offer(kind="plan_change", plans=[{"price_id": price_id, **fields} for price_id in ids])


def test_a_smaller_plan_costs_less_from_the_next_renewal_on() -> None:
    made = plans("lite", tagline="Just notes", features=["Search"], msrp_minor=900)
    shown = worked_out(made, active(quantity=3), CATALOG)
    [option] = shown.options
    assert shown.starts_at == day("2026-12-01")
    assert shown.price_now == Money(8700, "EUR")
    assert option.price == Money(1800, "EUR")
    assert option.next_charge is not None
    assert (option.next_charge.at, option.next_charge.money) == (day("2026-12-01"), Money(1800, "EUR"))
    assert option.change == PlanChange(price=CATALOG.prices["lite"])
    assert (option.id, option.tagline, option.features) == ("lite", "Just notes", ("Search",))
    assert option.list_price == Money(900, "EUR")


@pytest.mark.parametrize("price_id", ["team", "yearly", "dollars", "unknown"])
def test_a_plan_that_is_no_step_down_is_left_out(price_id: str) -> None:
    assert [option.id for option in worked_out(plans("free", price_id), active(), CATALOG).options] == [
        "free"
    ]


def test_a_plan_can_bring_its_price_along() -> None:
    given = {"id": "lite", "name": "Lite", "amount": {"value": 600}}
    shown = worked_out(plans("lite", price=given), active(2900, "KWD"))
    assert [option.price for option in shown.options] == [Money(600, "KWD")]


# --- Trial extension, contact, redirect -----------------------------------------------------------


def test_a_longer_trial_is_counted_from_its_old_end() -> None:
    shown = worked_out(offer(kind="trial_extension", days=14), on_trial(ends="2026-11-30"))
    assert (shown.trial_ends_before, shown.trial_ends_after) == (day("2026-11-30"), day("2026-12-14"))
    [option] = shown.options
    assert option.change == TrialExtension(days=14, ends_at=day("2026-12-14"))
    assert option.next_charge is not None
    assert (option.next_charge.at, option.next_charge.money) == (day("2026-12-14"), Money(2900, "EUR"))


def test_contact_and_redirect_change_nothing() -> None:
    assert worked_out(offer(kind="contact"), active()).options == ()
    assert worked_out(offer(kind="redirect", url="https://a.example"), active()).options == ()
