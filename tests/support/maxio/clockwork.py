"""What time does to Maxio's subscriptions: renewals, trials, holds and cancellations that come due."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from demo.billing.timeline import add_months
from tests.support.simulator.books import Document

ZONE: Final = timezone(timedelta(hours=-5))  # API answers are in the site's own time zone


def read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def must(text: str | None) -> datetime:
    moment = read(text)
    assert moment is not None
    return moment


def write(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(ZONE).replace(microsecond=0).isoformat()


def later(moment: datetime, interval: int, unit: str, times: int = 1) -> datetime:
    return (
        moment + timedelta(days=interval * times) if unit == "day" else add_months(moment, interval * times)
    )


def period_of(state: Document, subscription: Document) -> tuple[int, str]:
    price = state["price_points"][str(subscription["product_price_point_id"])]
    return price["interval"], price["interval_unit"]


def settle(state: Document, now: datetime) -> None:
    for subscription in state.get("subscriptions", {}).values():
        while _advance(state, subscription, now):
            pass


def _advance(state: Document, subscription: Document, now: datetime) -> bool:
    """One step; False where nothing is due."""
    if subscription["state"] == "on_hold":
        resumes_at = read(subscription["automatically_resume_at"])
        if resumes_at is None or resumes_at > now:
            return False
        resume(state, subscription, resumes_at)
        return True
    if subscription["state"] not in ("active", "trialing"):
        return False
    if (expires := read(subscription["expires_at"])) and expires <= now:
        subscription.update(state="expired")
        return False
    due = read(subscription["current_period_ends_at"])
    if due is None or due > now:
        return False
    if subscription["cancel_at_end_of_period"]:
        cancel(subscription, due)
    else:
        renew(state, subscription, due)
    return True


def resume(state: Document, subscription: Document, at: datetime) -> None:
    """Back to where it was if the renewal is still ahead, else like a reactivation: charged now, from now on."""
    trial_ends = read(subscription["trial_ended_at"])
    subscription.update(
        state="trialing" if trial_ends and trial_ends > at else "active", automatically_resume_at=None
    )
    if must(subscription["current_period_ends_at"]) > at:
        return
    if subscription["cancel_at_end_of_period"]:
        cancel(subscription, at)
    else:
        renew(state, subscription, at)


def renew(state: Document, subscription: Document, at: datetime) -> None:
    if subscription["next_product_id"]:
        change_product(state, subscription, subscription["next_product_id"], None)
        subscription["next_product_id"] = None
    interval, unit = period_of(state, subscription)
    subscription.update(
        state="active",
        current_period_started_at=write(at),
        current_period_ends_at=write(later(at, interval, unit)),
        next_assessment_at=write(later(at, interval, unit)),
    )
    amount = _charged(state, subscription)
    charge = {"subscription_id": subscription["id"], "at": write(at), "amount_in_cents": amount}
    state.setdefault("charges", []).append(charge)


def _charged(state: Document, subscription: Document) -> int:
    """The renewal's price; uses up one use of every coupon."""
    price: int = subscription["product_price_in_cents"]
    for given in subscription["_coupons"]:
        coupon = state["coupons"][str(given["coupon_id"])]
        off = coupon["amount_in_cents"] or round(price * float(coupon["percentage"] or 0) / 100)
        price = max(price - off, 0)
        given["use_count"] += 1
    subscription["_coupons"] = [
        given
        for given in subscription["_coupons"]
        if (allowed := uses_allowed(state["coupons"][str(given["coupon_id"])])) is None
        or given["use_count"] < allowed
    ]
    return price


def uses_allowed(coupon: Document) -> int | None:
    if not coupon["recurring"]:
        return 1
    allowed: int | None = coupon["duration_period_count"]
    return allowed


def cancel(subscription: Document, at: datetime) -> None:
    subscription.update(state="canceled", canceled_at=write(at), automatically_resume_at=None)


def change_product(state: Document, subscription: Document, product_id: int, price_id: int | None) -> None:
    product = state["products"][str(product_id)]
    price: dict[str, Any] = state["price_points"][str(price_id or product["default_product_price_point_id"])]
    subscription.update(
        product_id=product["id"],
        product_price_point_id=price["id"],
        product_price_in_cents=price["price_in_cents"],
    )
