"""What holds at the end of a walk, in figures and dates: for the result page and the receipt alike. Pure.

Of an offer it is exactly what was promised, of a cancellation what the provider has.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core import terms
from app.core.billing import PlanChange
from app.core.calendar import Interval
from app.core.direct import DirectSubscription
from app.core.money import Money
from app.core.offers import Option, ShownOffer
from app.core.renewals import next_renewal, price_at
from app.core.state import OfferRecord, OfferStatus, Outcome, SessionState
from app.core.world import Walk

# What was applied before says nothing about these.
WITHOUT_OFFER: Final = frozenset(
    {
        Outcome.CANCELED,
        Outcome.KEPT,
        Outcome.UNCANCELED,
        Outcome.RESUMED,
        Outcome.MANUAL_CANCELLATION_REQUESTED,
        Outcome.CANCEL_ALREADY_SCHEDULED,
    }
)


@dataclass(frozen=True, slots=True)
class Price:
    """An amount and how often it is charged; without an interval it is charged once."""

    money: Money
    interval: Interval | None = None
    interval_count: int = 1


@dataclass(frozen=True, slots=True)
class Charge:
    at: datetime
    money: Money


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows of a summary, printed in this order; what is None has no row."""

    plan: str | None = None
    new_plan: str | None = None
    price_before: Price | None = None
    price: Price | None = None
    next_charge: Charge | None = None
    back_to: Charge | None = None  # the old price, and from when it holds again
    renews_before: datetime | None = None  # the renewal that a break of paid time has moved to `renews_at`
    renews_at: datetime | None = None
    tax: terms.Tax | None = None  # how the prices stand to it; the next charge is with it
    resumes_at: datetime | None = None
    trial_ends_at: datetime | None = None
    ends_at: datetime | None = None
    ends_now: bool = False
    undo_until: datetime | None = None
    requested_at: datetime | None = None
    done_at: datetime | None = None
    reference: str | None = None


def summary_of(walk: Walk, state: SessionState, outcome: Outcome, taken: OfferRecord | None) -> Summary:
    """What now holds, the walk having come to `outcome`; `taken` is the offer that was applied, if one was."""
    subscription = walk.world.find_subscription(state.subscription_id)
    reference = reference_of(walk.session_id)
    plan, done_at = plan_of(subscription), state.finished_at
    if outcome in (Outcome.SUPPORT_REQUESTED, Outcome.REDIRECTED):
        return Summary()
    if outcome is Outcome.MANUAL_CANCELLATION_REQUESTED:
        return Summary(plan=plan, requested_at=done_at, reference=reference)
    if outcome in (Outcome.CANCELED, Outcome.CANCEL_ALREADY_SCHEDULED):
        ends_at = subscription.end if subscription else None
        return Summary(plan=plan, ends_at=ends_at, done_at=done_at, reference=reference)
    if taken is not None and outcome not in WITHOUT_OFFER:
        return promise(taken.shown, taken.option_id, plan, Summary(done_at=done_at, reference=reference))
    next_at = next_renewal(subscription, walk.now) if subscription else None
    money = price_at(subscription, next_at) if subscription and next_at else None
    return Summary(
        plan=plan,
        price=price_of(subscription, walk.now),
        next_charge=Charge(next_at, money) if next_at and money else None,
        done_at=done_at if outcome is not Outcome.KEPT else None,
        reference=reference if outcome is not Outcome.KEPT else None,
    )


def promise(shown: ShownOffer, option_id: str | None, plan: str | None, base: Summary) -> Summary:
    """What an offer comes to, as it was shown, with one of its options; times and reference are the base's."""
    worked_out, option = shown.terms, shown.find_option(option_id)
    is_plan = option is not None and isinstance(option.change, PlanChange)
    new_price = (option.price if option and is_plan else None) or worked_out.price_after
    return Summary(
        plan=None if is_plan else plan,
        new_plan=_name(option) if option and is_plan else None,
        price_before=shown_price(shown, worked_out.price_now) if new_price and worked_out.price_now else None,
        price=shown_price(shown, new_price) if new_price else None,
        next_charge=charge_of((option.next_charge if option else None) or worked_out.next_charge),
        back_to=charge_of(worked_out.back_to),
        renews_before=worked_out.renews_before if option and option.renews_at else None,
        renews_at=option.renews_at if option else None,
        tax=worked_out.tax,
        resumes_at=option.resumes_at if option else None,
        trial_ends_at=worked_out.trial_ends_after,
        requested_at=base.requested_at,
        done_at=base.done_at,
        reference=base.reference,
    )


def taken_offer(state: SessionState) -> OfferRecord | None:
    """The offer that was applied; there is never more than one such."""
    return next((o for o in state.offers if o.status is OfferStatus.APPLIED), None)


def plan_of(subscription: DirectSubscription | None) -> str | None:
    if subscription is None:
        return None
    names = [item.price.name for item in subscription.items if item.price.name]
    return " + ".join(names) or None


def price_of(subscription: DirectSubscription | None, now: datetime) -> Price | None:
    """What the next charge comes to, discounts included; None where it is not known."""
    if subscription is None:
        return None
    money = price_at(subscription, next_renewal(subscription, now) or now)
    every = subscription.interval
    if money is None:
        return None
    return Price(money, every.interval if every else None, every.interval_count if every else 1)


def shown_price(shown: ShownOffer, money: Money | None) -> Price | None:
    return Price(money, shown.terms.interval, shown.terms.interval_count) if money is not None else None


def charge_of(charge: terms.Charge | None) -> Charge | None:
    return Charge(charge.at, charge.money) if charge is not None else None


def reference_of(id: str) -> str:
    """What a customer can quote: short, made of the id of a session or request, worth nothing by itself."""
    code = id.rpartition("_")[2].upper()[:8]
    return f"LW-{code[:4]}-{code[4:]}"


def _name(option: Option) -> str:
    return option.name or option.id
