"""What was promised to a customer, held against what the provider has now. Pure; names differences, mends nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, assert_never

from app.core.billing import (
    DATE_TOLERANCE,
    Cancel,
    Change,
    Discount,
    Pause,
    PlanChange,
    Resume,
    TrialExtension,
    Uncancel,
    is_in_place,
)
from app.core.calendar import add_months
from app.core.direct import Canceled, DirectSubscription, Paused, Period
from app.core.reasons import NamedReason


class Drift(NamedReason):
    """One way in which the provider no longer shows what was promised."""

    SUBSCRIPTION_GONE = (
        "subscription_gone",
        "The provider has no such subscription of this customer any more.",
    )
    STILL_RUNNING = "still_running", "It was cancelled, and runs on without an end."
    OTHER_END = "other_end", "It was cancelled, and ends on another date than the customer was told."
    ENDS_AGAIN = "ends_again", "The cancellation was taken back, and it has an end again."
    OVER = "over", "It is over, and not by a cancellation made here."
    NOT_PAUSED = "not_paused", "It was paused, and the pause was ended or never held."
    OTHER_RETURN = "other_return", "It is paused until another date than the customer was told."
    STILL_PAUSED = "still_paused", "Its pause is over by what the customer was told, and it is paused still."
    OTHER_RENEWAL = "other_renewal", "Its renewal was to move, and stands on another date."
    NO_DISCOUNT = "no_discount", "A discount was promised that is not at work."
    OTHER_PLAN = "other_plan", "It was moved to another plan, and has a different one now."
    SHORTER_TRIAL = "shorter_trial", "The trial was to last longer than it does."
    MADE_AFTER_ALL = (
        "made_after_all",
        "It was given up because billing did not answer, and was made all the same.",
    )


@dataclass(frozen=True, slots=True)
class Promise:
    """A change that was carried out, and when. One that `is_doubtful` was sent and then given up unanswered."""

    effect_id: str
    change: Change
    applied_at: datetime
    is_doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    effect_id: str
    drift: Drift


# Later ones of a kind stand in the place of earlier ones.
_KIND: Final = {
    Cancel: "end",
    Uncancel: "end",
    Pause: "pause",
    Resume: "pause",
    Discount: "discount",
    PlanChange: "plan",
    TrialExtension: "trial",
}


def differences(
    promises: Sequence[Promise], subscription: DirectSubscription | None, now: datetime
) -> list[Difference]:
    """Everything that is not as the last change of each kind left it; `promises` are one subscription's, in any order.

    Of an offer that was given up, whether it was made all the same: the customer was told that it was not. What time
    has settled by itself is no difference: a discount that is used up, a pause or trial that has ended.
    """
    kept = sorted((one for one in promises if not one.is_doubtful), key=lambda one: one.applied_at)
    standing = {_KIND[type(promise.change)]: promise for promise in kept}
    given_up = [
        Difference(promise.effect_id, Drift.MADE_AFTER_ALL)
        for promise in promises
        if promise.is_doubtful and _is_made_after_all(promise, standing, subscription, now)
    ]
    return given_up + _of_kept(kept, standing, subscription, now)


def _of_kept(
    kept: Sequence[Promise],
    standing: Mapping[str, Promise],
    subscription: DirectSubscription | None,
    now: datetime,
) -> list[Difference]:
    if not kept:
        return []
    latest = kept[-1]
    if subscription is None:
        return [Difference(latest.effect_id, Drift.SUBSCRIPTION_GONE)]
    if isinstance(subscription.status, Canceled):
        ended = standing.get("end")
        is_ours = ended is not None and isinstance(ended.change, Cancel)
        return [] if is_ours else [Difference(latest.effect_id, Drift.OVER)]
    return [
        Difference(promise.effect_id, drift)
        for promise in standing.values()
        for drift in _drifts(promise, subscription, now)
    ]


def _is_made_after_all(
    promise: Promise, standing: Mapping[str, Promise], subscription: DirectSubscription | None, now: datetime
) -> bool:
    """Only of an offer: a cancellation that was given up went to a person, who may have carried it out."""
    if subscription is None or not isinstance(promise.change, Discount | Pause | PlanChange | TrialExtension):
        return False
    later = standing.get(_KIND[type(promise.change)])
    is_superseded = later is not None and later.applied_at >= promise.applied_at
    return not is_superseded and is_in_place(promise.change, subscription, now)


def _drifts(promise: Promise, subscription: DirectSubscription, now: datetime) -> Iterator[Drift]:
    match promise.change:
        case Cancel():
            yield from _end(promise.change, subscription, now)
        case Uncancel():
            if subscription.end is not None:
                yield Drift.ENDS_AGAIN
        case Pause():
            yield from _pause(promise.change, subscription, now)
        case Resume():
            if isinstance(subscription.status, Paused):
                yield Drift.STILL_PAUSED
        case Discount():
            if _is_due(promise, promise.change, subscription, now) and not is_in_place(
                promise.change, subscription, now
            ):
                yield Drift.NO_DISCOUNT
        case PlanChange():
            if not is_in_place(promise.change, subscription, now):
                yield Drift.OTHER_PLAN
        case TrialExtension():
            if now < promise.change.ends_at and not is_in_place(promise.change, subscription, now):
                yield Drift.SHORTER_TRIAL
        case _:
            assert_never(promise.change)


def _end(change: Cancel, subscription: DirectSubscription, now: datetime) -> Iterator[Drift]:
    if subscription.end is None or (change.timing == "now" and subscription.end > now):
        yield Drift.STILL_RUNNING
    elif (
        change.timing == "period_end"
        and change.at is not None
        and abs(subscription.end - change.at) > DATE_TOLERANCE
    ):
        yield Drift.OTHER_END


def _pause(change: Pause, subscription: DirectSubscription, now: datetime) -> Iterator[Drift]:
    if change.renews_at is not None:
        if now < change.renews_at and not is_in_place(change, subscription, now):
            yield Drift.OTHER_RENEWAL
        return
    is_paused = isinstance(subscription.status, Paused)
    if now + DATE_TOLERANCE < change.resumes_at:
        if not is_paused:
            yield Drift.NOT_PAUSED
        elif not is_in_place(change, subscription, now):
            yield Drift.OTHER_RETURN
    elif now > change.resumes_at + DATE_TOLERANCE and is_paused:
        yield Drift.STILL_PAUSED


def _is_due(promise: Promise, change: Discount, subscription: DirectSubscription, now: datetime) -> bool:
    """Whether the discount must still be at work: one for a single charge only until the period it was made in ends."""
    if change.duration == "forever":
        return True
    if change.duration == "repeating" and change.months is not None:
        return now + DATE_TOLERANCE < add_months(promise.applied_at, change.months)
    match subscription.status:
        case Canceled():
            return False
        case status:
            period: Period | None = getattr(status, "trial", None) or status.current_period
    return period is not None and period.start <= promise.applied_at and now < period.end
