"""When a subscription is charged, and how much, as far as the canonical model tells. Pure."""

import calendar
from datetime import datetime
from typing import Final

from app.core.billing import DATE_TOLERANCE
from app.core.calendar import add_interval, add_months
from app.core.direct import Active, DirectSubscription, Paused, Period, Trial
from app.core.money import Money

MONTHS_IN: Final = {"month": 1, "year": 12}
_MOST_RENEWALS: Final = 120


def is_monthly(subscription: DirectSubscription) -> bool:
    every = subscription.interval
    return every is not None and (every.interval, every.interval_count) == ("month", 1)


def is_paid_ahead(subscription: DirectSubscription) -> bool:
    """Whether it is paid for longer than a month at once: a break then costs paid time instead of saving charges."""
    every = subscription.interval
    return every is not None and every.interval in MONTHS_IN and not is_monthly(subscription)


def next_renewal(subscription: DirectSubscription, now: datetime) -> datetime | None:
    """The next charge date: the end of the trial or of the paid period. None where there is none ahead."""
    end = subscription.period_end
    return end if end is not None and end > now and subscription.end is None else None


def renewal(subscription: DirectSubscription, first: datetime, number: int) -> datetime:
    """The charge date `number` intervals after the one at `first`; `first` itself where no interval is known.

    A subscription that renews on the 31st renews on the last day of shorter months and goes back to the 31st.
    """
    every = subscription.interval
    if every is None:
        return first
    at = add_interval(first, every.interval, every.interval_count * number)
    if every.interval not in MONTHS_IN:
        return at
    return at.replace(day=min(_billing_day(subscription, first), _days_in_month(at)))


def first_renewal_from(subscription: DirectSubscription, first: datetime, moment: datetime) -> datetime:
    """The first charge date, `first` or a later one, that is not before `moment`."""
    number = 0
    while (at := renewal(subscription, first, number)) < moment and subscription.interval is not None:
        number += 1
    return at


def is_renewal(subscription: DirectSubscription, moment: datetime) -> bool:
    """Whether it would renew about then, at one of the renewals after the next."""
    first = subscription.period_end
    if first is None:
        return False
    number = 1
    while (at := renewal(subscription, first, number)) + DATE_TOLERANCE <= moment and number < _MOST_RENEWALS:
        number += 1
    return abs(at - moment) < DATE_TOLERANCE


def charges_within(subscription: DirectSubscription, first: datetime, months: int) -> int:
    """How many charges, with the one at `first`, fall into the `months` that begin there; at least one."""
    every = subscription.interval
    if every is None:
        return 1
    if span := MONTHS_IN.get(every.interval):
        return -(-months // (span * every.interval_count))
    length = add_interval(first, every.interval, every.interval_count) - first
    return -(-(add_months(first, months) - first) // length)


def last_charge_within(subscription: DirectSubscription, first: datetime, months: int) -> datetime:
    """The last of the charges that fall into the `months` that begin with the one at `first`."""
    return renewal(subscription, first, charges_within(subscription, first, months) - 1)


def months_past(since: datetime, moment: datetime) -> int:
    """The fewest months from `since` on, at least one, that end after `moment`."""
    months = 1
    while add_months(since, months) <= moment:
        months += 1
    return months


def price_at(subscription: DirectSubscription, moment: datetime, price: Money | None = None) -> Money | None:
    """What a charge at `moment` comes to: `price` (else the subscription's own) less the discounts at work.

    None where the price is not known (tiered, or in several currencies).
    """
    price = price or subscription.price_total()
    for discount in subscription.discounts or ():
        if price is not None and discount.coupon is not None and discount.is_active(moment):
            price = discount.coupon.reduce(price)
    return price


def _billing_day(subscription: DirectSubscription, first: datetime) -> int:
    """The day of the month that it was meant to renew on, before a short month cut it."""
    if first.day < _days_in_month(first) or isinstance(subscription.status, Trial):
        return first.day
    began = _current_period(subscription)
    days = [first.day]
    if began is not None:
        days.append(began.start.day)
    if began is None or began.start.day == _days_in_month(began.start):
        days.append(subscription.start.day)
    return max(days)


def _current_period(subscription: DirectSubscription) -> Period | None:
    match subscription.status:
        case Active(current_period=period) | Paused(current_period=period):
            return period
        case _:
            return None


def _days_in_month(moment: datetime) -> int:
    return calendar.monthrange(moment.year, moment.month)[1]
