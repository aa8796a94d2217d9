"""Whether an offer may be made, and whether a cancellation may be carried out by itself: reasons with names.

Pure. Asked when an offer is about to be shown and again right before it is applied. The merchant's own rules
(`when`) are not looked at here.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from app.core.billing import DATE_TOLERANCE, Capability, Catalog
from app.core.calendar import add_days
from app.core.direct import (
    Canceled,
    DirectCustomer,
    DirectSubscription,
    Future,
    Obstacle,
    Paused,
    Trial,
    Unpaid,
)
from app.core.facts import History
from app.core.flow import (
    ContactOffer,
    DiscountOffer,
    Offer,
    OfferKind,
    PauseOffer,
    PlanChangeOffer,
    RedirectOffer,
    TrialExtensionOffer,
)
from app.core.offers import ShownOffer
from app.core.reasons import NamedReason
from app.core.renewals import is_monthly, is_paid_ahead, next_renewal, price_at
from app.core.terms import coupon_of, discount_change, fitting_plans, is_refused, preview_of, saves

NEEDED: Final = {
    OfferKind.DISCOUNT: Capability.DISCOUNT,
    OfferKind.PAUSE: Capability.PAUSE,
    OfferKind.PLAN_CHANGE: Capability.PLAN_CHANGE,
    OfferKind.TRIAL_EXTENSION: Capability.TRIAL_EXTENSION,
}
"""What an offer asks of the billing provider; contact and redirect ask nothing."""

TRIAL_NOTICE: Final = timedelta(hours=24)
LONGEST_TRIAL_DAYS: Final = 730


class Blocker(NamedReason):
    """Why an offer is not made to a customer. It is then left out, never shown greyed out."""

    NOT_SUPPORTED = "not_supported", "The billing provider cannot make this change."
    ACCEPTED_ALREADY = "accepted_already", "The customer has already accepted an offer in this session."
    NOT_RUNNING = "not_running", "The subscription is neither active nor on trial."
    ENDS_ALREADY = "ends_already", "The subscription is already scheduled to end."
    SEVERAL_ITEMS = "several_items", "The subscription has several items."
    NEEDS_A_PERSON = (
        "needs_a_person",
        "Only a person may change this subscription: see why it is not cancelled by itself.",
    )
    PRICE_UNKNOWN = (
        "price_unknown",
        "The price is tiered or in several currencies, so no new price can be shown.",
    )
    RENEWAL_UNKNOWN = "renewal_unknown", "It is not known when the subscription renews."
    COOLDOWN = "cooldown", "The customer took an offer of this kind too recently."
    DISCOUNT_ACTIVE = "discount_active", "Another discount is at work, or will be."
    COUPON_UNKNOWN = "coupon_unknown", "The billing provider does not know the coupon, or it cannot be used."
    NO_SAVING = (
        "no_saving",
        "The discount would not lower the price, for example because its currency differs.",
    )
    ONLY_ONCE_ON_TRIAL = "only_once_on_trial", "On trial, only a discount of the first charge is offered."
    ON_TRIAL = "on_trial", "A trial cannot be paused."
    ON_A_BREAK = "on_a_break", "A break that the customer took before is not over yet."
    RENEWAL_MOVED = (
        "renewal_moved",
        "The subscription renews on another day than when the offer was shown.",
    )
    NOT_MONTHLY = (
        "not_monthly",
        "Only subscriptions billed every month can be paused, and longer ones where the billing provider can move "
        "the renewal.",
    )
    ONLY_TO_RENEWALS = (
        "only_to_renewals",
        "The billing provider ends a pause only on a day of renewal: offer months, not weeks or a date.",
    )
    NO_CHEAPER_PLAN = (
        "no_cheaper_plan",
        "None of the plans is known, cheaper, and of the same currency and interval.",
    )
    NOT_ON_TRIAL = "not_on_trial", "The subscription is not on trial."
    TRIAL_ENDS_SOON = "trial_ends_soon", "The trial ends within 24 hours."
    TRIAL_TOO_LONG = "trial_too_long", "The trial would become longer than 730 days."
    TRIAL_EXTENDED_ALREADY = (
        "trial_extended_already",
        "The trial has been extended as often as the offer allows.",
    )
    REFUSED_BY_PROVIDER = (
        "refused_by_provider",
        "The billing provider was asked beforehand, and would not take the change.",
    )


class ManualReason(NamedReason):
    """Why a cancellation is recorded as a request for a person, instead of being carried out at once."""

    UNPAID = (
        "unpaid",
        "The subscription is unpaid; when it ends, and what is still owed, is for a person to settle.",
    )
    CANCELED = "canceled", "The subscription is already canceled."
    NOT_STARTED = "not_started", "The subscription has not begun yet."
    FOREIGN_PAUSE = "foreign_pause", "The subscription was paused by someone else."
    SEVERAL_ITEMS = "several_items", "The subscription has several items, and no single end date."
    SCHEDULE = (
        "schedule",
        "A schedule of changes governs the subscription, and would overwrite a cancellation.",
    )
    PENDING_UPDATE = "pending_update", "A change to the subscription is still waiting to take effect."
    SHARED_BILLING = "shared_billing", "The subscription is billed together with others."
    CONTRACT = "contract", "The subscription is under a contract with rules of its own for ending it."
    UNKNOWN_STATE = "unknown_state", "The subscription is in a state that is not known here."


_REASONS: Final = {obstacle: ManualReason[obstacle.name] for obstacle in Obstacle}


def eligibility(
    offer: Offer,
    *,
    subscription: DirectSubscription,
    customer: DirectCustomer | None,
    history: History,
    capabilities: Collection[Capability],
    flow_cooldowns: Mapping[OfferKind, int],
    catalog: Catalog,
    now: datetime,
    accepted_in_session: bool,
) -> tuple[Blocker, ...]:
    """Every reason against making this offer now; () means that it may be made.

    Contact and redirect offers change nothing at the provider: they are always eligible.
    """
    if isinstance(offer, ContactOffer | RedirectOffer):
        return ()
    kind = OfferKind(offer.kind)
    found = list(_general(kind, subscription, capabilities, now, accepted_in_session))
    if _is_cooling_down(offer, kind, history, flow_cooldowns, now):
        found.append(Blocker.COOLDOWN)
    match offer:
        case DiscountOffer():
            found += _discount(offer, subscription, catalog, now)
        case PauseOffer():
            found += _pause(offer, subscription, history, capabilities, now)
        case PlanChangeOffer():
            found += _plan_change(offer, subscription, catalog)
        case TrialExtensionOffer():
            found += _trial_extension(offer, subscription, history, now)
    return tuple(found)


def outdated(shown: ShownOffer, subscription: DirectSubscription, now: datetime) -> tuple[Blocker, ...]:
    """What makes an offer's figures untrue that were true when it was shown; () while they still hold.

    A break moves the renewal to a day that was counted from the old one: after another renewal it would be paid twice.
    """
    before = shown.terms.renews_before
    if before is None:
        return ()
    renews_at = next_renewal(subscription, now)
    holds = renews_at is not None and abs(renews_at - before) < DATE_TOLERANCE
    return () if holds else (Blocker.RENEWAL_MOVED,)


def automation_blockers(
    subscription: DirectSubscription, history: History, now: datetime
) -> tuple[ManualReason, ...]:
    """Every reason why cancelling this subscription needs a person; () means that it is carried out at once.

    One that already has its end date is not a case of this: it is shown, and not touched again.
    """
    return tuple(dict.fromkeys(_manual_reasons(subscription, history, now)))


def _manual_reasons(
    subscription: DirectSubscription, history: History, now: datetime
) -> Iterator[ManualReason]:
    match subscription.status:
        case Unpaid():
            yield ManualReason.UNPAID
        case Canceled():
            yield ManualReason.CANCELED
        case Future():
            yield ManualReason.NOT_STARTED
        case Paused() if not history.paused_by_us:
            yield ManualReason.FOREIGN_PAUSE
        case _ if subscription.end is not None and subscription.end <= now:
            yield ManualReason.CANCELED
        case _:
            pass
    if len(subscription.items) > 1:
        yield ManualReason.SEVERAL_ITEMS
    yield from (_REASONS[obstacle] for obstacle in subscription.obstacles or ())


def _general(
    kind: OfferKind,
    subscription: DirectSubscription,
    capabilities: Collection[Capability],
    now: datetime,
    accepted_in_session: bool,
) -> Iterator[Blocker]:
    if NEEDED[kind] not in capabilities:
        yield Blocker.NOT_SUPPORTED
    if accepted_in_session:
        yield Blocker.ACCEPTED_ALREADY
    if subscription.status.name not in ("active", "trial"):
        yield Blocker.NOT_RUNNING
    elif subscription.end is not None:
        yield Blocker.ENDS_ALREADY
    elif next_renewal(subscription, now) is None:
        yield Blocker.RENEWAL_UNKNOWN
    if len(subscription.items) > 1:
        yield Blocker.SEVERAL_ITEMS
    if subscription.obstacles:
        yield Blocker.NEEDS_A_PERSON


def _is_cooling_down(
    offer: Offer, kind: OfferKind, history: History, flow_cooldowns: Mapping[OfferKind, int], now: datetime
) -> bool:
    """A pause's cooldown runs from its end, every other from the day it was accepted."""
    days = offer.cooldown_days if offer.cooldown_days is not None else flow_cooldowns.get(kind, 0)
    moments = [history.last_by_kind.get(kind)]
    if kind is OfferKind.PAUSE:
        moments.append(history.last_pause_ended_at)
    if kind is OfferKind.DISCOUNT:
        moments.append(history.last_discount_at)
    latest = max((moment for moment in moments if moment is not None), default=None)
    return latest is not None and days > 0 and now < add_days(latest, days)


def needs_any_day(offer: PauseOffer) -> bool:
    """Whether a pause of charges can end between two renewals."""
    return offer.unit == "week" or offer.resume_date


def _discount(
    offer: DiscountOffer, subscription: DirectSubscription, catalog: Catalog, now: datetime
) -> Iterator[Blocker]:
    if any(given.end is None or given.end > now for given in subscription.discounts or ()):
        yield Blocker.DISCOUNT_ACTIVE
    coupon = coupon_of(offer, catalog)
    if coupon is None:
        yield Blocker.COUPON_UNKNOWN
        return
    if isinstance(subscription.status, Trial) and coupon.duration not in (None, "once"):
        yield Blocker.ONLY_ONCE_ON_TRIAL
    price = price_at(subscription, next_renewal(subscription, now) or now)
    change = discount_change(offer, coupon, price)
    said = preview_of(subscription, change, catalog)
    if price is None:
        yield Blocker.PRICE_UNKNOWN
    elif coupon.reduce(price).minor >= price.minor or (said is not None and not saves(said)):
        yield Blocker.NO_SAVING
    if is_refused(subscription, change, catalog):
        yield Blocker.REFUSED_BY_PROVIDER


def _pause(
    offer: PauseOffer,
    subscription: DirectSubscription,
    history: History,
    capabilities: Collection[Capability],
    now: datetime,
) -> Iterator[Blocker]:
    if history.break_ends_at is not None and history.break_ends_at > now:
        yield Blocker.ON_A_BREAK
    can_move = Capability.MOVE_RENEWAL in capabilities and is_paid_ahead(subscription)
    if not (is_monthly(subscription) or can_move):
        yield Blocker.NOT_MONTHLY
    if is_monthly(subscription) and needs_any_day(offer) and Capability.PAUSE_TO_ANY_DAY not in capabilities:
        yield Blocker.ONLY_TO_RENEWALS
    if isinstance(subscription.status, Trial):
        yield Blocker.ON_TRIAL


def _plan_change(
    offer: PlanChangeOffer, subscription: DirectSubscription, catalog: Catalog
) -> Iterator[Blocker]:
    if fitting_plans(offer, subscription, catalog):
        return
    asked_nobody = replace(catalog, refused=frozenset())
    would_fit = fitting_plans(offer, subscription, asked_nobody)
    yield Blocker.REFUSED_BY_PROVIDER if would_fit else Blocker.NO_CHEAPER_PLAN


def _trial_extension(
    offer: TrialExtensionOffer, subscription: DirectSubscription, history: History, now: datetime
) -> Iterator[Blocker]:
    if not isinstance(subscription.status, Trial):
        yield Blocker.NOT_ON_TRIAL
        return
    trial = subscription.status.trial
    if trial.end - now <= TRIAL_NOTICE:
        yield Blocker.TRIAL_ENDS_SOON
    if add_days(trial.end, offer.days) > add_days(trial.start, LONGEST_TRIAL_DAYS):
        yield Blocker.TRIAL_TOO_LONG
    if history.trial_extensions >= offer.max_per_customer:
        yield Blocker.TRIAL_EXTENDED_ALREADY
