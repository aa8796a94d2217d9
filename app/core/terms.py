"""What an offer comes to for one subscription: prices, dates, and for each option the exact change.

Pure maths; whether the offer may be made is eligibility.py's question.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from pydantic import ConfigDict

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

Tax = Literal["included", "added"]


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

    Where the provider itself has said what a change comes to, that is shown; `tax` is then how prices stand to it, and
    what the next charge comes to is with it. `next_charge` is the next one if the offer is taken; with several options
    each has its own. `back_to` is the first charge without the discount; None for one that stays for good.
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
    tax: Tax | None = None
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


def discount_change(offer: DiscountOffer, coupon: DirectCoupon, price_now: Money | None) -> Discount:
    """What is applied where the offer is taken. An amount off in no currency is in that of the price."""
    duration = coupon.duration or "once"
    currency = coupon.currency or (price_now.currency if price_now else None)
    has_amount = coupon.amount_off is not None and currency is not None
    return Discount(
        coupon_id=offer.coupon_id,
        percent_off=coupon.percent_off,
        amount_off_minor=coupon.amount_off if has_amount else None,
        currency=currency if has_amount else None,
        duration=duration,
        months=coupon.duration_in_months if duration == "repeating" else None,
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
    change = discount_change(offer, coupon, shared.price_now)
    amount = (
        Money(change.amount_off_minor, change.currency)
        if change.amount_off_minor is not None and change.currency
        else None
    )
    said = preview_of(subscription, change, catalog)
    shared = _as_said(shared, said)
    after = (said.price_after if said else None) or (
        coupon.reduce(shared.price_now) if shared.price_now else None
    )
    first = (said.next_charge_at if said else None) or renews_at
    charge = _charge_as_said(first, after, said)
    saving = Saving(percent=coupon.percent_off, amount=amount, duration=change.duration, months=change.months)
    return shared.model_copy(
        update={
            "price_after": after,
            "saving": saving,
            "next_charge": charge,
            "back_to": _back_to(subscription, first, change) if first and after else None,
            "options": (Option(id="discount", change=change, next_charge=charge),),
        }
    )


def _back_to(subscription: DirectSubscription, renews_at: datetime, change: Discount) -> Charge | None:
    if change.duration == "forever" or subscription.interval is None:
        return None
    charges = charges_within(subscription, renews_at, change.months) if change.months else 1
    return _charge(subscription, renewal(subscription, renews_at, charges))


def _charge(subscription: DirectSubscription, at: datetime, price: Money | None = None) -> Charge | None:
    money = price_at(subscription, at, price)
    return Charge(at=at, money=money) if money else None


# --- What the provider says -----------------------------------------------------------------------


def preview_of(subscription: DirectSubscription, change: Change, catalog: Catalog) -> Preview | None:
    """What the provider itself says that the change comes to; None where it said nothing that can be shown.

    In another currency than the subscription's it cannot be compared with what the customer pays.
    """
    said = catalog.previews.get(preview_key(subscription.id, change))
    if said is None:
        return None
    amounts = (said.price_now, said.price_after, said.next_charge, subscription.price_total())
    return said if len({amount.currency for amount in amounts if amount is not None}) <= 1 else None


def is_refused(subscription: DirectSubscription, change: Change, catalog: Catalog) -> bool:
    """Whether the provider has said that it would not take the change."""
    return preview_key(subscription.id, change) in catalog.refused


def _as_said(shared: Terms, said: Preview | None) -> Terms:
    if said is None:
        return shared
    return shared.model_copy(update={"price_now": said.price_now or shared.price_now, "tax": said.tax})


def _charge_as_said(at: datetime | None, price: Money | None, said: Preview | None) -> Charge | None:
    """The next charge once a change is made; a price without its tax is no charge."""
    money = said.next_charge if said else None
    if money is None and not (said is not None and said.tax == "added"):
        money = price
    return Charge(at=at, money=money) if at and money else None


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

    By as many days, that is: two months from November on have 61 of them, two from February on 59. The customer picks
    among lengths also where the offer lets them pick a date, so that each is shown with the renewal it leads to.
    """
    begins_at = now.replace(microsecond=0)

    def option(count: int) -> Option:
        resumes_at = add_months(begins_at, count) if offer.unit == "month" else add_days(begins_at, 7 * count)
        moved = add_days(renews_at, (resumes_at - begins_at).days)
        return Option(
            id=f"{count}-{offer.unit}{'s' if count > 1 else ''}",
            change=Pause(resumes_at=resumes_at, renews_at=moved),
            next_charge=_charge(subscription, moved),
            unit=offer.unit,
            count=count,
            resumes_at=resumes_at,
            renews_at=moved,
        )

    options = tuple(option(count) for count in range(1, offer.max + 1))
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
    """The plans that this subscription can move to: known, cheaper, of the same currency and interval, not refused."""
    current = subscription.items[0].price
    found = [(plan, plan.price or catalog.prices.get(plan.price_id)) for plan in offer.plans]
    priced = [(plan, _in_currency_of(current, price)) for plan, price in found if price is not None]
    fitting = [(plan, price) for plan, price in priced if _is_a_step_down(current, price, subscription)]
    return [(plan, price) for plan, price in fitting if not _is_ruled_out(subscription, price, catalog)]


def _is_ruled_out(subscription: DirectSubscription, price: DirectPrice, catalog: Catalog) -> bool:
    """Whether the provider would not take the change, or says that it saves nothing."""
    change = PlanChange(price=price)
    said = preview_of(subscription, change, catalog)
    return is_refused(subscription, change, catalog) or (said is not None and not saves(said))


def saves(said: Preview) -> bool:
    """False where the provider says that the price would not go down."""
    return said.price_now is None or said.price_after is None or said.price_after.minor < said.price_now.minor


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
    plans = fitting_plans(offer, subscription, catalog)
    previews = _comparable([preview_of(subscription, PlanChange(price=price), catalog) for _, price in plans])
    quantity = subscription.items[0].quantity
    options = []
    for (plan, price), said in zip(plans, previews, strict=True):
        total = price.money.times(quantity) if price.money else None
        own = price_at(subscription, renews_at, total) if renews_at else total
        then = (said.price_after if said else None) or own
        options.append(
            Option(
                id=plan.price_id,
                change=PlanChange(price=price),
                next_charge=_charge_as_said((said.next_charge_at if said else None) or renews_at, then, said),
                name=price.name,
                tagline=plan.tagline,
                features=tuple(plan.features),
                price=then,
                list_price=Money(plan.msrp_minor, total.currency) if plan.msrp_minor and total else None,
            )
        )
    shared = _as_said(shared, previews[0] if previews else None)
    return shared.model_copy(update={"starts_at": renews_at, "options": tuple(options)})


def _comparable(previews: Sequence[Preview | None]) -> Sequence[Preview | None]:
    """What the provider says of each plan, if it says it of all in one manner: else prices could not be compared."""
    manners = {(said.tax, said.price_now, said.price_after is None) if said else None for said in previews}
    return previews if len(manners) == 1 else [None] * len(previews)


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
