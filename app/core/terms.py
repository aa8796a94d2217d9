"""What an offer comes to for one subscription: prices, dates, and for each option the exact change.

Pure maths; whether the offer may be made is eligibility.py's question.
"""

from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict

from app.core.billing import Catalog, Change, Discount, Pause, PlanChange, TrialExtension
from app.core.calendar import Interval, add_days, add_months
from app.core.direct import DirectCoupon, DirectPrice, DirectSubscription, Trial
from app.core.fields import Moment, Percent, Shape
from app.core.flow import DiscountOffer, Offer, PauseOffer, PlanChangeOffer, PlanOption, TrialExtensionOffer
from app.core.money import Money
from app.core.renewals import (
    charges_within,
    first_renewal_from,
    is_paid_ahead,
    next_renewal,
    price_at,
    renewal,
)


class Snapshot(Shape):
    """A stored value: it reads back from its own JSON, by either spelling of its names."""

    model_config = ConfigDict(strict=False)


class Charge(Snapshot):
    at: Moment
    money: Money


class Saving(Snapshot):
    """A discount in figures: percent or amount, for the next charge, some months, or for good."""

    percent: Percent | None = None
    amount: Money | None = None
    duration: Literal["once", "repeating", "forever"]
    months: int | None = None


class Option(Snapshot):
    """One way to take an offer: what is applied, and what the customer is told of it.

    A pause has `unit`, `count` (not for a picked date) and `resumes_at`, one of paid time `renews_at`; a plan has
    `name` to `list_price`.
    """

    id: str
    change: Change
    next_charge: Charge | None = None
    unit: Literal["week", "month"] | None = None
    count: int | None = None
    resumes_at: Moment | None = None
    renews_at: Moment | None = None
    name: str | None = None
    tagline: str | None = None
    features: tuple[str, ...] = ()
    price: Money | None = None
    list_price: Money | None = None


class PauseWindow(Snapshot):
    """The days between which a customer picks the end of a pause, and the charges that then may be next."""

    earliest: Moment
    latest: Moment
    charges: tuple[Charge, ...] = ()

    def option(self, day: str) -> Option | None:
        """The option for an ISO date such as `2027-01-15`; None for anything else and outside the window."""
        try:
            picked = date.fromisoformat(day)
        except ValueError:
            return None
        if not self.earliest.date() <= picked <= self.latest.date():
            return None
        resumes_at = datetime.combine(picked, self.earliest.timetz())
        charge = next((c for c in self.charges if c.at >= resumes_at), None)
        return Option(
            id=picked.isoformat(),
            change=Pause(resumes_at=resumes_at),
            resumes_at=resumes_at,
            next_charge=charge,
        )


class Terms(Snapshot):
    """What the customer is shown. Prices are for one interval, all items, less the discounts at work.

    `next_charge` is the next one if the offer is taken; with several options each has its own.
    `back_to` is the first charge without the discount; None for one that stays for good.
    `starts_at` is when a new plan's price begins, `renews_before` the renewal that a pause of paid time moves. Unknown
    prices and dates are None.
    """

    price_now: Money | None = None
    price_after: Money | None = None
    interval: Interval | None = None
    interval_count: int = 1
    next_charge: Charge | None = None
    back_to: Charge | None = None
    saving: Saving | None = None
    starts_at: Moment | None = None
    renews_before: Moment | None = None
    trial_ends_before: Moment | None = None
    trial_ends_after: Moment | None = None
    pause_window: PauseWindow | None = None
    options: tuple[Option, ...] = ()

    @property
    def until(self) -> datetime | None:
        """When a discount ends: the date of the first full charge."""
        return self.back_to.at if self.back_to else None


def terms(offer: Offer, *, subscription: DirectSubscription, catalog: Catalog, now: datetime) -> Terms:
    """What `offer` comes to for this subscription now. Contact and redirect offers have no options."""
    renews_at = next_renewal(subscription, now)
    every = subscription.interval
    shared = Terms(
        price_now=price_at(subscription, renews_at or now),
        interval=every.interval if every else None,
        interval_count=every.interval_count if every else 1,
    )
    match offer:
        case DiscountOffer():
            return _discount(offer, shared, subscription, catalog, renews_at)
        case PauseOffer():
            if is_paid_ahead(subscription) and renews_at is not None:
                return _paid_pause(offer, shared, subscription, renews_at, now)
            return _pause(offer, shared, subscription, renews_at or now)
        case PlanChangeOffer():
            return _plan_change(offer, shared, subscription, catalog, renews_at)
        case TrialExtensionOffer():
            return _trial_extension(offer, shared, subscription)
        case _:
            return shared


# --- Discount -------------------------------------------------------------------------------------


def coupon_of(offer: DiscountOffer, catalog: Catalog) -> DirectCoupon | None:
    """The reduction that an offer means, however written; None for a coupon that is unknown or incomplete."""
    if offer.coupon_id is not None:
        coupon = catalog.coupons.get(offer.coupon_id)
        if coupon is not None and coupon.duration == "repeating" and coupon.duration_in_months is None:
            return None  # for how long, nobody could say
        return coupon
    return DirectCoupon(
        percent_off=offer.percent,
        amount_off=offer.amount.minor if offer.amount else None,
        currency=offer.amount.currency if offer.amount else None,
        duration=offer.duration,
        duration_in_months=offer.months,
    )


def _discount(
    offer: DiscountOffer,
    shared: Terms,
    subscription: DirectSubscription,
    catalog: Catalog,
    renews_at: datetime | None,
) -> Terms:
    coupon = coupon_of(offer, catalog)
    if coupon is None:
        return shared
    duration, months = coupon.duration or "once", coupon.duration_in_months
    if duration != "repeating":
        months = None
    currency = coupon.currency or (shared.price_now.currency if shared.price_now else None)
    amount = Money(coupon.amount_off, currency) if coupon.amount_off is not None and currency else None
    change = Discount(
        coupon_id=offer.coupon_id,
        percent_off=coupon.percent_off,
        amount_off_minor=amount.minor if amount else None,
        currency=amount.currency if amount else None,
        duration=duration,
        months=months,
    )
    after = coupon.reduce(shared.price_now) if shared.price_now else None
    charge = Charge(at=renews_at, money=after) if renews_at and after else None
    return shared.model_copy(
        update={
            "price_after": after,
            "saving": Saving(percent=coupon.percent_off, amount=amount, duration=duration, months=months),
            "next_charge": charge,
            "back_to": _back_to(subscription, renews_at, duration, months) if charge else None,
            "options": (Option(id="discount", change=change, next_charge=charge),),
        }
    )


def _back_to(
    subscription: DirectSubscription, renews_at: datetime | None, duration: str, months: int | None
) -> Charge | None:
    if renews_at is None or duration == "forever" or subscription.interval is None:
        return None
    charges = charges_within(subscription, renews_at, months) if months else 1
    return _charge(subscription, renewal(subscription, renews_at, charges))


def _charge(subscription: DirectSubscription, at: datetime, price: Money | None = None) -> Charge | None:
    money = price_at(subscription, at, price)
    return Charge(at=at, money=money) if money else None


# --- Pause ----------------------------------------------------------------------------------------


def _pause(offer: PauseOffer, shared: Terms, subscription: DirectSubscription, first: datetime) -> Terms:
    """A break begins when what is paid for runs out, at `first`: nobody pays for days that they are away."""

    def resumption(count: int) -> datetime:
        return renewal(subscription, first, count) if offer.unit == "month" else add_days(first, 7 * count)

    if offer.resume_date:
        latest = resumption(offer.max)
        charges = _charges_until(subscription, first, latest)
        window = PauseWindow(earliest=add_days(first, 1), latest=latest, charges=charges)
        return shared.model_copy(update={"pause_window": window})
    options = tuple(
        Option(
            id=f"{count}-{offer.unit}{'s' if count > 1 else ''}",
            change=Pause(resumes_at=resumption(count)),
            next_charge=_charge(subscription, first_renewal_from(subscription, first, resumption(count))),
            unit=offer.unit,
            count=count,
            resumes_at=resumption(count),
        )
        for count in range(1, offer.max + 1)
    )
    return shared.model_copy(update={"options": options})


def _paid_pause(
    offer: PauseOffer, shared: Terms, subscription: DirectSubscription, renews_at: datetime, now: datetime
) -> Terms:
    """A break of what is paid for already begins now, and is given back at the end: the renewal moves by as much.

    The customer picks among lengths also where the offer lets them pick a date, for the two dates move together.
    """
    today = now.replace(hour=renews_at.hour, minute=renews_at.minute, second=renews_at.second, microsecond=0)

    def later(moment: datetime, count: int) -> datetime:
        return add_months(moment, count) if offer.unit == "month" else add_days(moment, 7 * count)

    options = tuple(
        Option(
            id=f"{count}-{offer.unit}{'s' if count > 1 else ''}",
            change=Pause(resumes_at=later(today, count), renews_at=later(renews_at, count)),
            next_charge=_charge(subscription, later(renews_at, count)),
            unit=offer.unit,
            count=count,
            resumes_at=later(today, count),
            renews_at=later(renews_at, count),
        )
        for count in range(1, offer.max + 1)
    )
    return shared.model_copy(update={"options": options, "renews_before": renews_at})


def _charges_until(subscription: DirectSubscription, first: datetime, latest: datetime) -> tuple[Charge, ...]:
    charges = []
    at, number = first, 0
    while at < latest and subscription.interval is not None:
        number += 1
        at = renewal(subscription, first, number)
        if charge := _charge(subscription, at):
            charges.append(charge)
    return tuple(charges)


# --- Plan change ----------------------------------------------------------------------------------


def fitting_plans(
    offer: PlanChangeOffer, subscription: DirectSubscription, catalog: Catalog
) -> list[tuple[PlanOption, DirectPrice]]:
    """The plans that this subscription can move to: known, cheaper, of the same currency and interval."""
    current = subscription.items[0].price
    found = [(plan, plan.price or catalog.prices.get(plan.price_id)) for plan in offer.plans]
    priced = [(plan, _in_currency_of(current, price)) for plan, price in found if price is not None]
    return [(plan, price) for plan, price in priced if _is_a_step_down(current, price, subscription)]


def _in_currency_of(current: DirectPrice, price: DirectPrice) -> DirectPrice:
    if price.amount.currency is not None:
        return price
    amount = price.amount.model_copy(update={"currency": current.amount.currency})
    return price.model_copy(update={"amount": amount})


def _is_a_step_down(current: DirectPrice, price: DirectPrice, subscription: DirectSubscription) -> bool:
    now, then = current.money, price.money
    if price.active is False or now is None or then is None:
        return False
    is_same_rhythm = price.duration is None or price.duration == subscription.interval
    return is_same_rhythm and then.currency == now.currency and then.minor < now.minor


def _plan_change(
    offer: PlanChangeOffer,
    shared: Terms,
    subscription: DirectSubscription,
    catalog: Catalog,
    renews_at: datetime | None,
) -> Terms:
    """The new price holds from the next renewal on; nothing is charged or credited before."""
    quantity = subscription.items[0].quantity
    options = []
    for plan, price in fitting_plans(offer, subscription, catalog):
        total = price.money.times(quantity) if price.money else None
        options.append(
            Option(
                id=plan.price_id,
                change=PlanChange(price=price),
                next_charge=_charge(subscription, renews_at, total) if renews_at else None,
                name=price.name,
                tagline=plan.tagline,
                features=tuple(plan.features),
                price=price_at(subscription, renews_at, total) if renews_at else total,
                list_price=Money(plan.msrp_minor, total.currency) if plan.msrp_minor and total else None,
            )
        )
    return shared.model_copy(update={"starts_at": renews_at, "options": tuple(options)})


# --- Trial extension ------------------------------------------------------------------------------


def _trial_extension(offer: TrialExtensionOffer, shared: Terms, subscription: DirectSubscription) -> Terms:
    """The days are added to the trial's end, not to today."""
    if not isinstance(subscription.status, Trial):
        return shared
    ends_before = subscription.status.trial.end
    ends_after = add_days(ends_before, offer.days)
    charge = _charge(subscription, ends_after)
    change = TrialExtension(days=offer.days, ends_at=ends_after)
    return shared.model_copy(
        update={
            "trial_ends_before": ends_before,
            "trial_ends_after": ends_after,
            "next_charge": charge,
            "options": (Option(id="trial-extension", change=change, next_charge=charge),),
        }
    )
