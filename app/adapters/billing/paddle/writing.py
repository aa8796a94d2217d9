"""Our changes as Paddle's calls. Each is made on a subscription that was read a moment ago."""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final, assert_never

from app.adapters.billing.paddle.discounts import find_coupon, make_coupon, throw_away
from app.adapters.billing.paddle.reading import period_end, scheduled
from app.adapters.billing.paddle.values import EFFECT, moment
from app.adapters.billing.paddle.wire import LOCKED, Object, PaddleApi, PaddleRefused, inner, path
from app.core.billing import (
    Cancel,
    ChangeRequest,
    Discount,
    NotYet,
    Pause,
    PlanChange,
    ProviderError,
    ProviderRefused,
    Resume,
    TrialExtension,
    Uncancel,
)
from app.core.calendar import iso
from app.core.direct import DirectSubscription
from app.core.renewals import is_renewal

NOTICE: Final = timedelta(minutes=30)
"""Paddle takes no billing date nearer than this, and changes nothing so shortly before one."""
RENEWAL_TAKES_S: Final = 900.0

_NOT_NOW = "This change is not possible while your subscription is in its present state."
_ENDED = "Your subscription has already ended."
_SEVERAL = "This change is not possible for a subscription with several items."
# A renewal delays these; an offer that it delays would no longer be the one that was shown.
_CAN_WAIT: Final = (Cancel, Uncancel, Resume)


async def make_change(
    api: PaddleApi, request: ChangeRequest, raw: Object, subscription: DirectSubscription, now: datetime
) -> str | None:
    """Carry the change out; Paddle's id of the request that did it.

    Raises ProviderRefused for what Paddle refuses, and for what it would take and carry out as something else.
    """
    try:
        return await _make(api, request, raw, subscription, now)
    except PaddleRefused as refused:
        if refused.code in LOCKED and isinstance(request.change, _CAN_WAIT):
            raise NotYet(
                f"Paddle changes nothing in the half hour before a renewal ({refused.code}).",
                retry_after=RENEWAL_TAKES_S,
            ) from None
        raise


async def preview_body(
    api: PaddleApi,
    change: PlanChange | Discount | TrialExtension | Pause,
    raw: Object,
    subscription: DirectSubscription,
    now: datetime,
) -> Object | None:
    """What the change would send to the subscription; None where nothing is sent that Paddle could preview."""
    match change:
        case PlanChange():
            return await _plan(api, change, raw, now)
        case Discount(coupon_id=str()):
            _steady(raw, now, "active", "trialing")
            return _attach(await find_coupon(api, change, subscription, now))
        case TrialExtension(ends_at=ends_at):
            _steady(raw, now, "trialing")
            return _bill_at(ends_at, now)
        case Pause(renews_at=datetime() as renews_at):
            _steady(raw, now, "active")
            return _bill_at(renews_at, now)
        case Pause(resumes_at=resumes_at):
            _check_pause(raw, subscription, resumes_at, now)
            return None  # nothing is sent to the subscription itself
        case _:  # a discount that is yet to be made
            return None


async def _make(
    api: PaddleApi, request: ChangeRequest, raw: Object, subscription: DirectSubscription, now: datetime
) -> str | None:
    here = path("subscriptions", str(raw["id"]))
    match request.change:
        case Cancel(timing=timing):
            return await _cancel(api, here, raw, timing)
        case Uncancel():
            return await _uncancel(api, here, raw)
        case Resume():
            return await _resume(api, here, raw, now)
        case Discount() as change:
            return await _discount(api, here, request.effect_id, change, raw, subscription, now)
        case Pause(renews_at=datetime() as renews_at):
            _steady(raw, now, "active")
            return await _update(api, here, _bill_at(renews_at, now))
        case Pause(resumes_at=resumes_at):
            _check_pause(raw, subscription, resumes_at, now)
            return await _pause(api, here, resumes_at)
        case PlanChange() as change:
            return await _update(api, here, await _plan(api, change, raw, now))
        case TrialExtension(ends_at=ends_at):
            _steady(raw, now, "trialing")
            return await _update(api, here, _bill_at(ends_at, now))
        case _:
            assert_never(request.change)


async def _cancel(api: PaddleApi, here: str, raw: Object, timing: str) -> str | None:
    action, _, resumes_at = scheduled(raw)
    if action == "pause":  # one change can be scheduled, and a pause would stand in the way
        await _update(api, here, {"scheduled_change": None})
    at_once = timing == "now" or raw.get("status") == "paused"  # nothing is paid for in a pause
    body = {"effective_from": "immediately" if at_once else "next_billing_period"}
    try:
        return await _act(api, here, "cancel", body)
    except ProviderRefused:
        if action == "pause" and resumes_at is not None:  # else it would be charged as it renews
            with suppress(ProviderError):
                await _pause(api, here, resumes_at)
        raise


async def _uncancel(api: PaddleApi, here: str, raw: Object) -> str | None:
    if raw.get("status") == "canceled":
        raise ProviderRefused(_ENDED, "Paddle cannot bring a canceled subscription back.")
    return await _update(api, here, {"scheduled_change": None})


def _check_pause(raw: Object, subscription: DirectSubscription, resumes_at: datetime, now: datetime) -> None:
    """Raises ProviderRefused for a pause that would be charged on another day than the customer is told.

    Paddle begins a new billing period, and charges it, on the day that a subscription resumes.
    """
    _steady(raw, now, "active")
    renews_at = moment(raw.get("next_billed_at"))
    if renews_at is None or resumes_at <= renews_at:
        raise ProviderRefused(_NOT_NOW, "The pause would be over before the next renewal.")
    if not is_renewal(subscription, resumes_at):
        raise ProviderRefused(
            "A break can only end on a day of payment here.",
            "Paddle charges on the day of resumption, which is none of the subscription's renewals.",
        )


async def _pause(api: PaddleApi, here: str, resumes_at: datetime) -> str | None:
    return await _act(
        api,
        here,
        "pause",
        {
            "effective_from": "next_billing_period",
            "resume_at": iso(resumes_at),
            "on_resume": "start_new_billing_period",
        },
    )


async def _resume(api: PaddleApi, here: str, raw: Object, now: datetime) -> str | None:
    if raw.get("status") == "canceled":
        raise ProviderRefused(_ENDED, "Paddle cannot bring a canceled subscription back.")
    if raw.get("status") != "paused":
        return await _update(api, here, {"scheduled_change": None})
    # Whoever paused in the middle of a paid period gets the rest of it, and is not charged for it twice.
    ends_at = period_end(raw)
    goes_on = ends_at is not None and ends_at > now + NOTICE
    return await _act(
        api,
        here,
        "resume",
        {
            "effective_from": "immediately",
            "on_resume": "continue_existing_billing_period" if goes_on else "start_new_billing_period",
        },
    )


async def _discount(
    api: PaddleApi,
    here: str,
    effect_id: str,
    change: Discount,
    raw: Object,
    subscription: DirectSubscription,
    now: datetime,
) -> str | None:
    _steady(raw, now, "active", "trialing")
    if any(given.end is None or given.end > now for given in subscription.discounts or ()):
        raise ProviderRefused(
            "Another discount is already at work on your subscription.",
            "Paddle would put the discount in the place of the one that is there.",
        )
    if change.coupon_id is not None:
        body = _attach(await find_coupon(api, change, subscription, now))
        if raw.get("status") == "active":  # beside the merchant's own data, in the same write
            body["custom_data"] = {**inner(raw, "custom_data"), EFFECT: effect_id}
        return await _update(api, here, body)
    coupon = await make_coupon(api, change, effect_id, subscription, now)
    try:
        return await _update(api, here, _attach(coupon))
    except ProviderRefused:
        await throw_away(api, coupon, here)
        raise


async def _plan(api: PaddleApi, change: PlanChange, raw: Object, now: datetime) -> Object:
    if raw.get("status") == "trialing":
        raise ProviderRefused(
            "The plan cannot be changed during a trial.", "Paddle changes no items during a trial."
        )
    _steady(raw, now, "active")
    items = raw.get("items")
    only = items[0] if isinstance(items, list) and len(items) == 1 else None
    if not isinstance(only, dict):
        raise ProviderRefused(_SEVERAL, "The subscription has several items, which Paddle would all replace.")
    price = await api.find(path("prices", change.price.id))
    if price is None or price.get("status") != "active":
        raise ProviderRefused(
            "This plan is no longer available.", "The price does not exist at Paddle, or is not active."
        )
    if price.get("billing_cycle") != raw.get("billing_cycle"):
        raise ProviderRefused(_NOT_NOW, "The price is billed at another interval than the subscription.")
    return {
        "items": [{"price_id": change.price.id, "quantity": only.get("quantity", 1)}],
        "proration_billing_mode": "do_not_bill",
    }


def _attach(coupon: Object) -> Object:
    """From the next charge on, so that the charge already made does not count as the first."""
    return {"discount": {"id": coupon["id"], "effective_from": "next_billing_period"}}


def _bill_at(at: datetime, now: datetime) -> Object:
    if at <= now + NOTICE:
        raise ProviderRefused(_NOT_NOW, "Paddle takes no billing date less than 30 minutes ahead.")
    return {"next_billed_at": iso(at), "proration_billing_mode": "do_not_bill"}


def _steady(raw: Object, now: datetime, *statuses: str) -> None:
    """Raises ProviderRefused unless the subscription is in such a status, with no change and no renewal waiting."""
    if raw.get("status") not in statuses:
        raise ProviderRefused(_NOT_NOW, f"The subscription is not {' or '.join(statuses)} at Paddle.")
    if raw.get("scheduled_change") is not None:
        raise ProviderRefused(_NOT_NOW, "A change is already scheduled for the subscription at Paddle.")
    renews_at = moment(raw.get("next_billed_at"))
    if renews_at is not None and renews_at - now < NOTICE:
        raise PaddleRefused("subscription_locked_renewal")


async def _act(api: PaddleApi, here: str, action: str, body: Object) -> str | None:
    return (await api.send("POST", f"{here}/{action}", body))[1]


async def _update(api: PaddleApi, here: str, body: Object) -> str | None:
    return (await api.send("PATCH", here, body))[1]
