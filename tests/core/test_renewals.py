"""Charge dates keep the day they began on, through short months and leap years."""

import pytest

from app.core.direct import DirectSubscription
from app.core.money import Money
from app.core.renewals import charges_within, first_renewal_from, next_renewal, price_at, renewal
from tests.support.subscriptions import NOW, active, day, in_state, on_trial


def dates(subscription: DirectSubscription, count: int) -> list[str]:
    first = subscription.period_end
    assert first is not None
    return [renewal(subscription, first, number).date().isoformat() for number in range(count)]


@pytest.mark.parametrize(
    ("subscription", "expected"),
    [
        (active(renews="2026-12-01"), ["2026-12-01", "2027-01-01", "2027-02-01"]),
        (active(renews="2027-01-31", began="2026-12-31"), ["2027-01-31", "2027-02-28", "2027-03-31"]),
        (active(renews="2027-02-28", began="2027-01-31"), ["2027-02-28", "2027-03-31", "2027-04-30"]),
        (active(renews="2027-02-28", began="2027-01-28"), ["2027-02-28", "2027-03-28", "2027-04-28"]),
        (active(renews="2027-02-28", began="2027-01-30"), ["2027-02-28", "2027-03-30", "2027-04-30"]),
        (active(renews="2026-11-30", began="2026-10-31"), ["2026-11-30", "2026-12-31", "2027-01-31"]),
        (active(every="year", renews="2027-03-01"), ["2027-03-01", "2028-03-01"]),
        (
            active(every="year", started="2024-02-29", began="2026-02-28", renews="2027-02-28"),
            ["2027-02-28", "2028-02-29", "2029-02-28"],
        ),
        (
            active(count=3, started="2026-08-31", began="2026-11-30", renews="2027-02-28"),
            ["2027-02-28", "2027-05-31", "2027-08-31"],
        ),
        (active(every="week", count=2, renews="2026-12-28"), ["2026-12-28", "2027-01-11"]),
        (active(every="day", count=10, renews="2026-12-28"), ["2026-12-28", "2027-01-07"]),
        (on_trial(ends="2027-02-28", started="2027-01-31"), ["2027-02-28", "2027-03-28"]),
    ],
)
def test_charge_dates(subscription: DirectSubscription, expected: list[str]) -> None:
    assert dates(subscription, len(expected)) == expected


def test_the_next_renewal_is_the_end_of_what_is_paid_or_tried() -> None:
    assert next_renewal(active(renews="2026-12-01"), NOW) == day("2026-12-01")
    assert next_renewal(on_trial(ends="2026-11-30"), NOW) == day("2026-11-30")


def test_there_is_no_next_renewal_without_a_date_ahead() -> None:
    assert next_renewal(active(renews="2026-11-20"), NOW) is None
    assert next_renewal(active(end="2026-12-01"), NOW) is None
    assert next_renewal(in_state({"name": "unpaid"}), NOW) is None
    assert next_renewal(in_state({"name": "canceled", "canceledAt": "2026-10-01"}), NOW) is None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("2026-11-21", "2026-12-01"), ("2027-01-01", "2027-01-01"), ("2027-01-02", "2027-02-01")],
)
def test_the_first_renewal_from_a_day_on(moment: str, expected: str) -> None:
    assert first_renewal_from(active(), day("2026-12-01"), day(moment)) == day(expected)


@pytest.mark.parametrize(
    ("subscription", "months", "charges"),
    [
        (active(), 1, 1),
        (active(), 3, 3),
        (active(count=3), 3, 1),
        (active(count=3), 4, 2),
        (active(every="year"), 1, 1),
        (active(every="year"), 12, 1),
        (active(every="year"), 13, 2),
        (active(every="week"), 1, 5),  # 1, 8, 15, 22 and 29 December
        (active(every="day", count=30), 2, 3),  # 62 days
    ],
)
def test_how_many_charges_a_span_of_months_holds(
    subscription: DirectSubscription, months: int, charges: int
) -> None:
    assert charges_within(subscription, day("2026-12-01"), months) == charges


def test_a_charge_is_less_the_discounts_at_work_on_its_day() -> None:
    half = {"coupon": {"percentOff": 50, "duration": "repeating"}, "end": "2027-02-01"}
    subscription = active(2900, discounts=[half], quantity=2)
    assert price_at(subscription, day("2027-01-01")) == Money(2900, "EUR")
    assert price_at(subscription, day("2027-02-01")) == Money(5800, "EUR")
